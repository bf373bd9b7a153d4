//! Do some heads withstand noise, and others not?

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};

use super::arms::{CRATE, CRATE_LEARNS, VIT};
use super::row::{learned, mean, Row};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-07",
    Source::of(PAPER, "figures 11 and 12"),
    Whose::Authors,
    "Of the heads of CRATE's last layer but one some withstand noise, and others do not",
    &[
        Criterion::at_least(
            "overlap of masks with and without noise, largest less smallest over heads",
            0.3,
            |found: &Found| mean(found, CRATE, |row| most(row) - least(row)),
        ),
        Criterion::at_least("less the same of CRATE untrained", 0.0, |found: &Found| {
            learned(found, CRATE, |row| most(row) - least(row))
        })
        .control(),
        CRATE_LEARNS,
    ],
)
.beside(&[
    Number::of("the head that keeps most", |found: &Found| {
        mean(found, CRATE, most)
    }),
    Number::of("the head that keeps least", |found: &Found| {
        mean(found, CRATE, least)
    }),
    Number::of("largest less smallest in the ViT", |found: &Found| {
        mean(found, VIT, |row| most(row) - least(row))
    }),
])];
// ANCHOR_END: claims

fn most(row: &Row) -> f64 {
    row.kept.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn least(row: &Row) -> f64 {
    row.kept.iter().copied().fold(f64::INFINITY, f64::min)
}
