//! The same with permuted labels.

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::comparison::{mean, BySeed};

use super::{last, stages, Found, Row, BEFORE, END, PERMUTED};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-10-permuted",
    Source::of(
        "derived by this project",
        "after the remark of the overview, arXiv 2311.13110, that many losses give compressing layers",
    ),
    Whose::Project,
    "R^c of the last layer falls by training on permuted labels too",
    &[
        Criterion::at_least("R^c, before training less end, nats", 0.0, |found: &Found| {
            stages::fall(found, PERMUTED, BEFORE, END, stages::RATE)
        }),
        Criterion::at_least("accuracy on the permuted labels that were trained on", 0.95, fitted).check(),
        Criterion::at_most("held-out accuracy over that of guessing", 1.5, over_guessing).check(),
    ],
)];

/// Whether there was anything that the layers learned: without it, R^c says nothing of labels.
fn fitted(found: &Found) -> Option<Measured> {
    let known = last(found, PERMUTED, END, |row| {
        row.training_accuracy.unwrap_or(f64::NAN)
    });
    Some(mean(&known))
}

/// Whether it was nothing about the classes.
fn over_guessing(found: &Found) -> Option<Measured> {
    let guessing = 1.0 / found.settings.network.classes as f64;
    let of = last(found, PERMUTED, END, |row: &Row| row.held_out_accuracy);
    let times: BySeed = of
        .into_iter()
        .map(|(seed, v)| (seed, v / guessing))
        .collect();
    Some(mean(&times))
}
