//! A network as it is measured.

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::claim::Measured;
use whitebox::harness::comparison::{self, BySeed};
use whitebox::measure::segmentation::layer_scores::{kept, of_all_layers, of_layer, LayerScores};
use whitebox::measure::segmentation::parts::{of_heads, PartsOfHeads};
use whitebox::model::Classifier;
use whitebox::{parallel, seed, train, Result};

use super::material::Material;
use super::Found;

/// Permutations of heads.
const PERMUTATIONS: usize = 999;

/// A network at a point of its training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) arm: String,
    pub(crate) seed: u64,
    /// 0 before training.
    pub(crate) epoch: usize,
    /// On held-out scenes.
    pub(crate) accuracy: f64,
    pub(crate) layers: Vec<LayerScores>,
    /// Overlap of the head of all layers that is best on the other half.
    pub(crate) chosen: f64,
    /// The same with the maps of the next scene.
    pub(crate) chosen_elsewhere: f64,
    /// Of the heads of the last layer but one.
    pub(crate) parts: PartsOfHeads,
    /// The same with the maps of the next scene.
    pub(crate) parts_elsewhere: PartsOfHeads,
    /// By head of the last layer but one, the overlap of its masks on noisy scenes with those on the plain ones.
    pub(crate) kept: Vec<f64>,
}

impl Row {
    pub(crate) fn of(
        arm: &str,
        (seed, epoch): (u64, usize),
        network: &Classifier<f32, Cpu>,
        material: &Material<'_>,
    ) -> Result<Self> {
        let (truth, threads) = (material.truth(), material.run.threads);
        let (depth, count) = (network.config().depth, truth.masks.len());
        let layers = parallel::map(depth, threads, |layer| {
            of_layer(&material.shown(network, layer + 1, 0, count)?, &truth)
        })?;
        let (layers, overlaps): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
        let [chosen, chosen_elsewhere] = of_all_layers(&overlaps, &truth)?;
        let shown = parallel::map(2, threads, |kind| {
            material.shown(network, last_but_one(depth), kind, count)
        })?;
        let [plain, noisy] = [&shown[0], &shown[1]];
        let parts = |shift: usize| {
            let maps = plain.iter().map(|own| own.maps.view());
            let maps = maps.cycle().skip(shift);
            let pictures = maps.zip(material.parts.iter().map(|own| own.view()));
            let mut rng = seed::stream(material.run.seed, "permutations of heads");
            of_heads(&pictures.collect::<Vec<_>>(), PERMUTATIONS, &mut rng)
        };
        let accuracy = train::evaluate(network, &material.held_out, threads, || {})?.accuracy;
        Ok(Self {
            arm: arm.to_owned(),
            seed,
            epoch,
            accuracy,
            layers,
            chosen,
            chosen_elsewhere,
            parts: parts(0)?,
            parts_elsewhere: parts(1)?,
            kept: kept(plain, noisy)?,
        })
    }

    /// The scores of the last layer.
    pub(crate) fn last(&self) -> LayerScores {
        // A network has a layer.
        self.layers[self.layers.len() - 1]
    }
}

/// The layer, from 1, whose heads the paper shows.
pub(crate) fn last_but_one(depth: usize) -> usize {
    depth.max(2) - 1
}

/// A number of the networks of an arm after an epoch, by seed.
pub(crate) fn values(
    found: &Found,
    (arm, epoch): (&str, usize),
    value: impl Fn(&Row) -> f64,
) -> BySeed {
    let own = found.networks.iter();
    let own = own.filter(|row| row.arm == arm && row.epoch == epoch);
    own.map(|row| (row.seed, value(row))).collect()
}

/// The last epoch.
pub(crate) fn end(found: &Found) -> usize {
    found.settings.recipe.epochs
}

/// The mean of `value` over the trained networks of an arm.
pub(crate) fn mean(found: &Found, arm: &str, value: impl Fn(&Row) -> f64) -> Option<Measured> {
    Some(comparison::mean(&values(found, (arm, end(found)), value)))
}

/// The mean over seeds of `value` of one network less that of another: arms after epochs.
pub(crate) fn less(
    found: &Found,
    first: (&str, usize),
    second: (&str, usize),
    value: impl Fn(&Row) -> f64,
) -> Option<Measured> {
    let of = |which| values(found, which, &value);
    comparison::less(&of(first), &of(second))
}

/// The same of trained networks of two arms.
pub(crate) fn ahead(
    found: &Found,
    first: &str,
    second: &str,
    value: impl Fn(&Row) -> f64,
) -> Option<Measured> {
    less(found, (first, end(found)), (second, end(found)), value)
}

/// The same of a trained network and itself before training.
pub(crate) fn learned(found: &Found, arm: &str, value: impl Fn(&Row) -> f64) -> Option<Measured> {
    less(found, (arm, end(found)), (arm, 0), value)
}
