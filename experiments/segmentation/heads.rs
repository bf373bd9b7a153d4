//! Do maps of the class token find the object?

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};

use super::arms::{CRATE, CRATE_LEARNS, EQUAL_PARAMETERS, VIT, VIT_LEARNS};
use super::row::{ahead, learned, mean};
use super::{Found, PAPER};

/// What overlaps have to differ by.
pub(crate) const MARGIN: f64 = 0.03;

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-01",
    Source::of(PAPER, "figure 4"),
    Whose::Authors,
    "Trained on labels alone, CRATE's class token reads the object, and more so than a ViT's",
    &[
        Criterion::at_least(
            "overlap of a head chosen on other scenes, CRATE less ViT",
            MARGIN,
            |found: &Found| ahead(found, CRATE, VIT, |row| row.chosen),
        ),
        // The paper's rule. The best that 60 % of the patches can be is the object's area over .6.
        Criterion::at_least(
            "60 % of the patches, best head of the last layer, CRATE less ViT",
            0.0,
            |found: &Found| ahead(found, CRATE, VIT, |row| row.last().best_by_area),
        )
        .secondary(),
        Criterion::at_least("CRATE less CRATE untrained", MARGIN, |found: &Found| {
            learned(found, CRATE, |row| row.chosen)
        })
        .control(),
        Criterion::at_least(
            "CRATE less its maps of another scene",
            MARGIN,
            |found: &Found| mean(found, CRATE, |row| row.chosen - row.chosen_elsewhere),
        )
        .control(),
        Criterion::at_least(
            "CRATE less a disc in the middle",
            MARGIN,
            |found: &Found| mean(found, CRATE, |row| row.chosen - found.floors.disc),
        )
        .control(),
        Criterion::at_least("CRATE less everything", MARGIN, |found: &Found| {
            mean(found, CRATE, |row| row.chosen - found.floors.everything)
        })
        .control(),
        Criterion::at_least(
            "CRATE less the better of two clusters of pixels",
            MARGIN,
            |found: &Found| mean(found, CRATE, |row| row.chosen - found.floors.clusters),
        )
        .control(),
        Criterion::at_least(
            "best head of the last layer, CRATE less the best of random maps",
            MARGIN,
            |found: &Found| {
                mean(found, CRATE, |row| {
                    row.last().best - found.floors.random_maps
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
    Number::of(
        "overlap of a head chosen on other scenes, CRATE",
        |found: &Found| mean(found, CRATE, |row| row.chosen),
    ),
    Number::of("the same, ViT", |found: &Found| {
        mean(found, VIT, |row| row.chosen)
    }),
    Number::of("ViT less ViT untrained", |found: &Found| {
        learned(found, VIT, |row| row.chosen)
    }),
    Number::of(
        "best head of the last layer, CRATE less ViT",
        |found: &Found| ahead(found, CRATE, VIT, |row| row.last().best),
    ),
    Number::of(
        "ranking of the object by the last layer, CRATE less ViT",
        |found: &Found| ahead(found, CRATE, VIT, |row| row.last().ranking),
    ),
    Number::of("accuracy, CRATE less ViT, points", |found: &Found| {
        ahead(found, CRATE, VIT, |row| 100.0 * row.accuracy)
    }),
])];
// ANCHOR_END: claims
