//! Does it come with training?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::comparison;
use whitebox::measure::trend::spearman;

use super::arms::{CRATE, CRATE_LEARNS};
use super::heads::MARGIN;
use super::row::{end, learned, less, values, Row};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-06",
    Source::of(PAPER, "figure 10"),
    Whose::Authors,
    "CRATE comes to find the object while it is trained",
    &[
        Criterion::at_least(
            "overlap at the end less at 5 % of the training",
            0.0,
            |found: &Found| {
                let first = *found.settings.stages.first()?;
                less(found, (CRATE, end(found)), (CRATE, first), |row| row.chosen)
            },
        ),
        Criterion::at_least(
            "rank correlation of epoch and overlap",
            0.6,
            |found: &Found| trend(found, |row| row.chosen),
        )
        .secondary(),
        Criterion::at_least(
            "overlap at the end less before training",
            MARGIN,
            |found: &Found| learned(found, CRATE, |row| row.chosen),
        )
        .control(),
        CRATE_LEARNS,
    ],
)
.beside(&[
    Number::of(
        "rank correlation of epoch and MaskCut's overlap",
        |found: &Found| trend(found, |row| row.last().cut),
    ),
    Number::of(
        "the last layer's best head, end less 5 %",
        |found: &Found| {
            let first = *found.settings.stages.first()?;
            less(found, (CRATE, end(found)), (CRATE, first), |row| {
                row.last().best
            })
        },
    ),
])];
// ANCHOR_END: claims

/// The mean over seeds of the rank correlation of a number with the stages of the training.
fn trend(found: &Found, value: fn(&Row) -> f64) -> Option<Measured> {
    let stages = found.settings.stages.iter();
    let by_stage: Vec<_> = stages
        .map(|&epoch| values(found, (CRATE, epoch), value))
        .collect();
    let of_seed = |&(seed, _): &(u64, f64)| {
        let at = |values: &comparison::BySeed| values.iter().find(|v| v.0 == seed).map(|v| v.1);
        let course: Option<Vec<f64>> = by_stage.iter().map(at).collect();
        Some((seed, spearman(&course?)))
    };
    let trends: Option<comparison::BySeed> = by_stage.first()?.iter().map(of_seed).collect();
    Some(comparison::mean(&trends?))
}
