//! How numbers of a network go with its gap.

use serde::Serialize;
use whitebox::measure::rank_correlation::{
    bootstrap_over_variants, granulated_tau, kendall, partial_kendall, tau, Case,
};
use whitebox::measure::statistics::median;
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

/// Which networks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Compared {
    /// All that were trained.
    All,
    /// Those whose training loss came down to the target: chosen by how their training went.
    Reached,
}

impl Compared {
    /// These of the networks.
    pub(super) fn of(self, rows: &[Row]) -> Vec<&Row> {
        let own = rows.iter().filter(|row| self == Self::All || row.reached);
        own.collect()
    }
}

/// How a predictor goes with the gap.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Correlation {
    networks: Compared,
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

impl Correlation {
    /// For people.
    pub(super) fn name(&self) -> String {
        match self.networks {
            Compared::All => self.predictor.to_owned(),
            Compared::Reached => format!("reached: {}", self.predictor),
        }
    }
}

/// All of a predictor.
pub(super) fn correlation(
    rows: &[Row],
    networks: Compared,
    (predictor, of): Predictor,
) -> Correlation {
    let rows = networks.of(rows);
    let [low, high] = limits(&rows, 0.025, |rows| with_gap(rows, of));
    Correlation {
        networks,
        predictor,
        tau: with_gap(&rows, of),
        low,
        high,
        granulated: granulated(&rows, of),
        partial: partial(&rows, of),
    }
}

/// A number of the networks with its limits over variants, each passed with probability `tail`.
pub(super) fn limits(rows: &[&Row], tail: f64, number: impl Fn(&[&Row]) -> f64) -> [f64; 2] {
    let mut rng = seed::stream(0, "bootstrap");
    bootstrap_over_variants(
        rows,
        |row| row.settings(),
        tail,
        RESAMPLINGS,
        &mut rng,
        number,
    )
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

/// Tau with the gap.
pub(super) fn with_gap(rows: &[&Row], of: fn(&Row) -> f64) -> f64 {
    tau(&cases(rows, of))
}

/// Among networks that differ in one setting only.
pub(super) fn granulated(rows: &[&Row], of: fn(&Row) -> f64) -> f64 {
    granulated_tau(&cases(rows, of))
}

/// With the training loss taken out.
pub(super) fn partial(rows: &[&Row], of: fn(&Row) -> f64) -> f64 {
    let loss: fn(&Row) -> f64 = |row| row.training_loss;
    let together: Vec<(f64, f64)> = rows.iter().map(|row| (of(row), loss(row))).collect();
    partial_kendall(with_gap(rows, of), kendall(&together), with_gap(rows, loss))
}

/// The size of tau of SRR less the median size of the others': one that falls as the gap rises tells as much of it.
pub(super) fn ahead_of_the_others(rows: &[&Row]) -> f64 {
    let sizes = PREDICTORS.map(|(_, of)| with_gap(rows, of).abs());
    sizes[0] - median(&sizes[1..])
}
