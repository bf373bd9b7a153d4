//! How numbers of a network go with its gap.

use serde::Serialize;
use whitebox::measure::rank_correlation::{
    bootstrap_over_variants, granulated_tau, kendall, partial_kendall, tau, Case,
};
use whitebox::seed;

use super::variants::Row;

/// Resamplings of the variants.
const RESAMPLINGS: usize = 2000;

/// Name of a number that may predict the gap, and where it stands.
pub(super) type Predictor = (&'static str, fn(&Row) -> f64);

/// SRR first, then what it is held against.
pub(super) const PREDICTORS: [Predictor; 7] = [
    ("SRR", |row| row.srr),
    ("R^c", |row| row.subspace_rate),
    ("-R", |row| row.minus_rate),
    ("nonzeros", |row| row.nonzeros),
    ("norm of the parameters", |row| row.parameter_norm),
    ("1 / margin", |row| row.inverse_margin),
    ("training loss", |row| row.training_loss),
];

/// How a predictor goes with the gap.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Correlation {
    pub(super) predictor: &'static str,
    pub(super) tau: f64,
    /// The 95 % interval over variants.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Mean over the settings of the tau among networks that differ in this setting only.
    pub(super) granulated: f64,
    /// With the training loss taken out; NaN for the training loss itself.
    pub(super) partial: f64,
}

/// A number of every network with its gap.
fn cases(rows: &[&Row], of: fn(&Row) -> f64) -> Vec<Case<4>> {
    let cases = rows.iter().map(|row| Case {
        settings: row.settings(),
        seed: row.seed,
        pair: (of(row), row.gap),
    });
    cases.collect()
}

/// All of a predictor.
pub(super) fn correlation((predictor, of): Predictor, rows: &[&Row]) -> Correlation {
    let cases = cases(rows, of);
    let mut rng = seed::stream(0, "bootstrap");
    let [low, high] = bootstrap_over_variants(&cases, 0.025, RESAMPLINGS, &mut rng, tau);
    Correlation {
        predictor,
        tau: tau(&cases),
        low,
        high,
        granulated: granulated_tau(&cases),
        partial: partial(rows, of),
    }
}

/// Tau with the gap, with the training loss taken out.
fn partial(rows: &[&Row], of: fn(&Row) -> f64) -> f64 {
    let loss: fn(&Row) -> f64 = |row| row.training_loss;
    let together: Vec<(f64, f64)> = rows.iter().map(|row| (of(row), loss(row))).collect();
    let with_gap = |of| tau(&cases(rows, of));
    partial_kendall(with_gap(of), kendall(&together), with_gap(loss))
}
