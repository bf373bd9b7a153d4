//! How much does lambda matter?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::comparison::{largest, mean, means, over_seeds, BySeed};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::paired_differences;

use super::networks::{by_seed, Row, Variant, LAMBDAS, PLAIN};
use super::ratio::learned;
use super::Found;

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-MAE-09",
    Source::of(
        "official code and checkpoints; book, chapter 7",
        "lambda 0.1, 0.5 and 5, in place of each other",
    ),
    Whose::Project,
    "CRATE-MAE learns as well with any of the thresholds that its authors have",
    &[
        Criterion::at_most(
            "probe on the mean token, largest difference from lambda 0.5, points",
            2.0,
            |found| {
                let apart = against_official(found, |row| row.probe_mean)?;
                largest(&apart, |difference| difference.size())
            },
        ),
        Criterion::at_most(
            "logarithm of the error, largest difference from lambda 0.5",
            0.1,
            |found| {
                let apart = against_official(found, |row| row.error.ln())?;
                largest(&apart, |difference| difference.size())
            },
        )
        .secondary(),
        Criterion::at_least("trained less untrained network, points", 2.0, learned).check(),
    ],
)
.beside(&[
    Number::of("share of nonzeros at lambda 0.1", |found: &Found| {
        Some(nonzero(found, LAMBDAS[0]))
    }),
    Number::of("at lambda 0.5", |found: &Found| {
        Some(nonzero(found, LAMBDAS[1]))
    }),
    Number::of("at lambda 5", |found: &Found| {
        Some(nonzero(found, LAMBDAS[2]))
    }),
])];
// ANCHOR_END: claims

/// What `value` is of the networks of a threshold.
fn of(found: &Found, lambda: f64, value: fn(&Row) -> f64) -> BySeed {
    by_seed(&found.networks, Variant { lambda, ..PLAIN }, true, value)
}

fn nonzero(found: &Found, lambda: f64) -> Measured {
    mean(&of(found, lambda, |row| row.nonzero))
}

/// The differences of the other thresholds from the official one, seed by seed.
fn against_official(found: &Found, value: fn(&Row) -> f64) -> Option<Vec<Vec<f64>>> {
    let official = of(found, PLAIN.lambda, value);
    let others = LAMBDAS.into_iter().filter(|lambda| *lambda != PLAIN.lambda);
    let apart = others.map(|lambda| paired_differences(&of(found, lambda, value), &official));
    apart.collect()
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) {
    let values: [fn(&Row) -> f64; 4] = [
        |row| row.probe_mean,
        |row| row.probe_class,
        |row| row.error,
        |row| row.nonzero,
    ];
    let lines = LAMBDAS.map(|lambda| {
        let cells = values.map(|value| over_seeds(&of(found, lambda, value)));
        (format!("lambda {lambda}"), cells.to_vec())
    });
    let columns = [
        "mean token, per cent",
        "class token, per cent",
        "error",
        "nonzeros",
    ];
    shown.say(means(&columns, 3, &lines));
}
