//! The same with permuted labels.

use whitebox::claim::{Claim, Criterion, Source, Whose};
use whitebox::harness::comparison::mean;

use super::{last, stages, Found, END, PERMUTED};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-10-permuted",
    Source::of(
        "overview, arXiv 2311.13110",
        "remark on the forward and the backward pass",
    ),
    Whose::Authors,
    "R^c of the last layer falls in the same way when the labels are permuted",
    &[
        Criterion::at_least(
            "fraction of seeds where R^c falls at both",
            1.0,
            |found: &Found| Some(stages::falls(found, PERMUTED, |row| row.official_rate)),
        ),
        Criterion::at_most(
            "held-out accuracy over that of guessing",
            1.5,
            |found: &Found| {
                let guessing = 1.0 / found.settings.network.classes as f64;
                let accuracies = last(found, PERMUTED, END, |row| row.held_out_accuracy);
                let times = accuracies.into_iter().map(|(seed, v)| (seed, v / guessing));
                Some(mean(&times.collect::<Vec<_>>()))
            },
        )
        .check(),
    ],
)];
