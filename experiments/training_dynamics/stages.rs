//! The last layer before training, after the first epoch and at the end.

use whitebox::claim::{Claim, Criterion, Measured, Source, Unit, Whose};

use super::{last, Found, Row, BEFORE, END, FIRST, TRUE};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-06",
    Source::of(
        "NeurIPS 2023, arXiv 2306.01129",
        "figure of the layers at several stages of training",
    ),
    Whose::Authors,
    "R^c and the nonzeros of the last layer fall from before training to the first epoch and on to the last",
    &[
        Criterion::at_least("fraction of seeds where R^c falls at both", 1.0, |found: &Found| {
            Some(falls(found, TRUE, |row| row.official_rate))
        }),
        Criterion::at_least("fraction of seeds where the nonzeros fall at both", 1.0, |found: &Found| {
            Some(falls(found, TRUE, |row| row.nonzero))
        })
        .secondary(),
    ],
)];

/// Share of the seeds whose number falls from stage to stage.
pub(super) fn falls(found: &Found, labels: &str, of: fn(&Row) -> f64) -> Measured {
    let [before, first, end] = [BEFORE, FIRST, END].map(|stage| last(found, labels, stage, of));
    let both: Vec<bool> = before
        .iter()
        .zip(&first)
        .zip(&end)
        .map(|((before, first), end)| end.1 < first.1 && first.1 < before.1)
        .collect();
    Measured::share_of(Unit::Network, &both, |both| *both)
}
