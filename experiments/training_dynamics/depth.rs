//! R^c over the layers of the trained networks, one by one.

use whitebox::claim::{Claim, Criterion, Measured, Source, Unit, Whose};
use whitebox::harness::comparison::mean;
use whitebox::measure::trend::{last_over_first, spearman};

use super::{last, Found, BEFORE, END, TRUE};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-01-seeds",
    Source::of(
        "NeurIPS 2023, arXiv 2306.01129; overview, arXiv 2311.13110",
        "figure of the layers, left, over several networks",
    ),
    Whose::Authors,
    "In trained networks from several seeds R^c falls with depth, by a tenth or more (official measurement)",
    &[
        Criterion::at_most("R^c at the last layer / at the first", 0.90, |found: &Found| {
            Some(of_curves(found, END, last_over_first))
        }),
        Criterion::at_most("rank correlation of R^c with depth", -0.6, |found: &Found| {
            Some(of_curves(found, END, spearman))
        })
        .secondary(),
        Criterion::at_least("before training: R^c at the last layer / at the first", 0.90, |found: &Found| {
            Some(of_curves(found, BEFORE, last_over_first))
        })
        .control(),
        Criterion::at_least("held-out accuracy over that of guessing", 5.0, |found: &Found| {
            let guessing = 1.0 / found.settings.network.classes as f64;
            let of = last(found, TRUE, END, |row| row.held_out_accuracy);
            Some(mean(&of.into_iter().map(|(seed, v)| (seed, v / guessing)).collect::<Vec<_>>()))
        })
        .check(),
    ],
)];

/// A number of the curve over the layers of each network.
fn of_curves(found: &Found, stage: &str, number: fn(&[f64]) -> f64) -> Measured {
    let own = found
        .iter()
        .filter(|row| row.labels == TRUE && row.stage == stage);
    let own: Vec<_> = own.collect();
    let curves = own.chunk_by(|a, b| a.seed == b.seed);
    let numbers = curves.map(|curve| {
        let rates: Vec<f64> = curve.iter().map(|row| row.official_rate).collect();
        number(&rates)
    });
    Measured::mean(Unit::Network, &numbers.collect::<Vec<_>>())
}
