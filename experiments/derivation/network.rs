//! A network as it is measured, and what is read off its layers.

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::data::Images;
use whitebox::harness::run::Run;
use whitebox::measure::layerwise::{measure, Quantity};
use whitebox::model::Classifier;
use whitebox::Result;

const QUANTITIES: [Quantity; 5] = [
    Quantity::OFFICIAL_RATE,
    Quantity::OFFICIAL_RATE_RANDOM,
    Quantity::PROJECTED_COSINE_ADDED,
    Quantity::PROJECTED_COSINE_TIED,
    Quantity::NONZERO_AFTER_ISTA,
];

/// A network; means over images.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) arm: String,
    pub(crate) seed: u64,
    pub(crate) trained: bool,
    pub(crate) accuracy: f64,
    pub(crate) layers: Vec<Layer>,
}

/// A layer of it; scales where the output is tied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) official_rate: f64,
    pub(crate) random_rate: f64,
    pub(crate) cosine_added: f64,
    pub(crate) cosine_tied: f64,
    pub(crate) nonzero: f64,
    pub(crate) scale: Option<f64>,
    pub(crate) scale_at_start: Option<f64>,
}

/// Measures `network`, whose training began at `start`, on the first `count` images.
pub(crate) fn layers(
    run: &Run,
    network: &Classifier<f32, Cpu>,
    start: &Classifier<f32, Cpu>,
    images: &Images,
    count: usize,
) -> Result<Vec<Layer>> {
    let indices: Vec<usize> = (0..count).collect();
    let found = measure(
        network,
        images,
        &indices,
        &QUANTITIES,
        run.seed,
        run.threads,
        |_| {},
    )?;
    let [official, random, added, tied, nonzero] = found.all(QUANTITIES)?;
    let layer = |index: usize| Layer {
        official_rate: official[index],
        random_rate: random[index],
        cosine_added: added[index],
        cosine_tied: tied[index],
        nonzero: nonzero[index],
        scale: network.layers()[index].tied_scale(),
        scale_at_start: start.layers()[index].tied_scale(),
    };
    Ok((0..official.len()).map(layer).collect())
}

impl Row {
    fn first_and_last(&self, of: fn(&Layer) -> f64) -> [f64; 2] {
        [self.layers.first(), self.layers.last()].map(|layer| layer.map_or(f64::NAN, of))
    }

    fn over_layers(&self, of: fn(&Layer) -> f64, which: fn(f64, f64) -> f64) -> f64 {
        self.layers.iter().map(of).reduce(which).unwrap_or(f64::NAN)
    }

    /// Held-out accuracy.
    pub(crate) fn percent(&self) -> f64 {
        100.0 * self.accuracy
    }

    /// The official `R^c` of the last layer over that of the first.
    pub(crate) fn ratio(&self) -> f64 {
        let [first, last] = self.first_and_last(|layer| layer.official_rate);
        last / first
    }

    /// The official `R^c` of the first layer less that of the last.
    pub(crate) fn fall(&self) -> f64 {
        let [first, last] = self.first_and_last(|layer| layer.official_rate);
        first - last
    }

    /// [`Self::ratio`] with random subspaces in place of the learned ones.
    pub(crate) fn random_ratio(&self) -> f64 {
        let [first, last] = self.first_and_last(|layer| layer.random_rate);
        last / first
    }

    /// Of the last layer's tokens.
    pub(crate) fn nonzero(&self) -> f64 {
        self.first_and_last(|layer| layer.nonzero)[1]
    }

    /// The least over the layers of the cosine between what the block adds and steepest descent.
    pub(crate) fn cosine(&self) -> f64 {
        self.over_layers(|layer| layer.cosine_added, f64::min)
    }

    /// The least over the layers; NaN without a scale.
    pub(crate) fn scale(&self) -> f64 {
        self.over_layers(|layer| layer.scale.unwrap_or(f64::NAN), f64::min)
    }

    /// The furthest that a scale has come from its start; NaN without a scale.
    pub(crate) fn moved(&self) -> f64 {
        let moved = |layer: &Layer| Some((layer.scale? - layer.scale_at_start?).abs());
        let moved = self
            .layers
            .iter()
            .map(moved)
            .reduce(|a, b| Some(a?.max(b?)));
        moved.flatten().unwrap_or(f64::NAN)
    }
}
