//! The last layer before training, after the first epoch and at the end.

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::comparison::less;

use super::{last, Found, Row, BEFORE, END, FIRST, HALF_WAY, TRUE};

const SOURCE: Source = Source::of(
    "NeurIPS 2023, arXiv 2306.01129",
    "figure of the layers at several stages of training",
);

pub(super) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-06",
        SOURCE,
        Whose::Authors,
        "R^c and the nonzeros of the last layer are lower after training than before",
        &[
            Criterion::at_least("R^c, before training less end, nats", 0.0, |found: &Found| {
                fall(found, TRUE, BEFORE, END, RATE)
            }),
            Criterion::at_least("nonzeros, before training less end", 0.0, |found: &Found| {
                fall(found, TRUE, BEFORE, END, NONZEROS)
            })
            .secondary(),
        ],
    ),
    Claim::new(
        "C-LAY-06-stages",
        SOURCE,
        Whose::Authors,
        "R^c and the nonzeros of the last layer fall in the first epoch, and again from there to the end",
        &[
            Criterion::at_least("R^c, first epoch less end, nats", 0.0, |found: &Found| {
                fall(found, TRUE, FIRST, END, RATE)
            }),
            Criterion::at_least("R^c, before training less first epoch, nats", 0.0, |found: &Found| {
                fall(found, TRUE, BEFORE, FIRST, RATE)
            })
            .secondary(),
            Criterion::at_least("nonzeros, before training less first epoch", 0.0, |found: &Found| {
                fall(found, TRUE, BEFORE, FIRST, NONZEROS)
            })
            .secondary(),
            Criterion::at_least("nonzeros, first epoch less end", 0.0, |found: &Found| {
                fall(found, TRUE, FIRST, END, NONZEROS)
            })
            .secondary(),
        ],
    )
    .beside(&[Number::of("R^c, half way less end, nats", |found: &Found| {
        fall(found, TRUE, HALF_WAY, END, RATE)
    })]),
];

pub(super) const RATE: fn(&Row) -> f64 = |row| row.official_rate;
const NONZEROS: fn(&Row) -> f64 = |row| row.nonzero;

/// By how much a number of the last layer falls from one stage to another, seed by seed.
pub(super) fn fall(
    found: &Found,
    labels: &str,
    from: &str,
    to: &str,
    of: fn(&Row) -> f64,
) -> Option<Measured> {
    less(&last(found, labels, from, of), &last(found, labels, to, of))
}
