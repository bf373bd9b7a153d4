//! The layers of one network at one stage.

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::data::Images;
use whitebox::harness::run::Run;
use whitebox::measure::layerwise::{measure, Quantity};
use whitebox::model::Classifier;
use whitebox::train;
use whitebox::Result;

/// What is measured: official rate, nonzeros, the caption's rate.
const QUANTITIES: [Quantity; 3] = [
    Quantity::OFFICIAL_RATE,
    Quantity::NONZERO_AFTER_ISTA,
    Quantity::SUBSPACE_RATE_AFTER_MSSA,
];

/// One layer of one network at one stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) labels: String,
    pub(super) seed: u64,
    pub(super) stage: String,
    pub(super) epoch: usize,
    pub(super) layer: usize,
    pub(super) official_rate: f64,
    pub(super) nonzero: f64,
    pub(super) subspace_rate: f64,
    pub(super) held_out_accuracy: f64,
    /// On the images and labels that it is trained on; not measured by the first runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) training_accuracy: Option<f64>,
}

/// Measures a network: labels, seed, stage and epoch as they stand in its rows.
pub(super) fn rows(
    (labels, seed, stage, epoch): (&str, u64, &str, usize),
    network: &Classifier<f32, Cpu>,
    [training, held_out]: [&Images; 2],
    indices: &[usize],
    run: &Run,
) -> Result<Vec<Row>> {
    let found = measure(
        network,
        held_out,
        indices,
        &QUANTITIES,
        run.seed,
        run.threads,
        |_| {},
    )?;
    let accuracy = |images| train::evaluate(network, images, run.threads, || {});
    let (fit, accuracy) = (accuracy(training)?.accuracy, accuracy(held_out)?.accuracy);
    let [rate, nonzero, subspace] = found.all(QUANTITIES)?;
    let row = |layer| Row {
        labels: labels.to_owned(),
        seed,
        stage: stage.to_owned(),
        epoch,
        layer: layer + 1,
        official_rate: rate[layer],
        nonzero: nonzero[layer],
        subspace_rate: subspace[layer],
        held_out_accuracy: accuracy,
        training_accuracy: Some(fit),
    };
    Ok((0..network.config().depth).map(row).collect())
}
