//! Is the first principal component the object?

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};

use super::arms::{CRATE, CRATE_LEARNS, EQUAL_PARAMETERS, VIT, VIT_LEARNS};
use super::row::{ahead, learned, mean};
use super::{Found, PAPER};

/// What areas under the curve have to differ by.
const MARGIN: f64 = 0.05;

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-08",
    Source::of(PAPER, "figure 3"),
    Whose::Authors,
    "The first principal component of what CRATE's last layer projects is the object",
    &[
        Criterion::at_least(
            "area under the curve of the object",
            0.8,
            |found: &Found| mean(found, CRATE, |row| row.last().keys_component),
        ),
        Criterion::at_least("less that of the ViT", MARGIN, |found: &Found| {
            ahead(found, CRATE, VIT, |row| row.last().keys_component)
        })
        .secondary(),
        Criterion::at_least("less that of CRATE untrained", MARGIN, |found: &Found| {
            learned(found, CRATE, |row| row.last().keys_component)
        })
        .control(),
        Criterion::at_least(
            "less that of the pixels of patches",
            MARGIN,
            |found: &Found| {
                mean(found, CRATE, |row| {
                    row.last().keys_component - found.floors.pixels_component
                })
            },
        )
        .control(),
        EQUAL_PARAMETERS,
        CRATE_LEARNS,
        VIT_LEARNS,
    ],
)
.beside(&[
    Number::of("area by the size of the component", |found: &Found| {
        mean(found, CRATE, |row| row.last().keys_component_size)
    }),
    Number::of("area by the component of the tokens", |found: &Found| {
        mean(found, CRATE, |row| row.last().tokens_component)
    }),
    Number::of(
        "area by the component of the tokens, CRATE less ViT",
        |found: &Found| ahead(found, CRATE, VIT, |row| row.last().tokens_component),
    ),
])];
// ANCHOR_END: claims
