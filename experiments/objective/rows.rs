//! The parts of the objective, layer by layer and network by network.

use serde::{Deserialize, Serialize};
use whitebox::claim::Measured;
use whitebox::harness::layer_curves::{over_networks, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::Found;

/// The parts of the objective before and after a layer, for its own subspaces.
pub(crate) const PARTS: [Quantity; 6] = [
    Quantity::RATE,
    Quantity::RATE_AFTER_ISTA,
    Quantity::ORTHONORMAL_RATE_BEFORE_MSSA,
    Quantity::ORTHONORMAL_RATE_AFTER_ISTA,
    Quantity::NONZERO_AFTER_ISTA,
    Quantity::COMPLETE_RATE_AFTER_ISTA,
];

/// The objective after one layer, with that layer's subspaces; means over images, rates in nats.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) network: Network,
    #[serde(default)]
    pub(crate) seed: u64,
    layer: usize,
    /// `||Z^{l+1}||_0`.
    pub(crate) nonzeros: f64,
    pub(crate) rate: f64,
    subspace_rate: f64,
    srr: f64,
    /// Of `Z^l` with the same subspaces; none for the first layer.
    pub(crate) srr_before: Option<f64>,
    /// `R - R^c` of `Z^l` with the same subspaces.
    pub(crate) reduction_before: f64,
    pub(crate) reduction: f64,
    /// `R^c` with random, exactly orthogonal subspaces that together are everything.
    #[serde(default)]
    complete_rate: Option<f64>,
}

impl Row {
    /// `R - R^c` with those.
    pub(crate) fn complete_reduction(&self) -> Option<f64> {
        Some(self.rate - self.complete_rate?)
    }
}

/// Tokens have `entries` numbers, d N.
pub(crate) fn rows(curves: &NetworkCurves, parts: [Quantity; 6], entries: f64) -> Result<Vec<Row>> {
    let [mut rate_before, mut rate, mut before, mut after, mut nonzero, mut complete] =
        [const { Vec::new() }; 6];
    let columns = [
        &mut rate_before,
        &mut rate,
        &mut before,
        &mut after,
        &mut nonzero,
        &mut complete,
    ];
    for (column, quantity) in columns.into_iter().zip(parts) {
        *column = curves.means(quantity)?;
    }
    let row = |l: usize| {
        let nonzeros = entries * nonzero[l];
        let (reduction_before, reduction) = (rate_before[l] - before[l], rate[l] - after[l]);
        // What enters a layer is what left the one before.
        let entered = l.checked_sub(1).map(|before| entries * nonzero[before]);
        Row {
            network: curves.network,
            seed: curves.seed,
            layer: l + 1,
            nonzeros,
            rate: rate[l],
            subspace_rate: after[l],
            srr: nonzeros - reduction,
            srr_before: entered.map(|nonzeros| nonzeros - reduction_before),
            reduction_before,
            reduction,
            complete_rate: Some(complete[l]),
        }
    };
    Ok((0..curves.depth()).map(row).collect())
}

/// The rows of every trained or untrained network, by seed.
pub(crate) fn networks(found: &Found, network: Network) -> Vec<&[Row]> {
    let all = found
        .0
        .chunk_by(|a, b| (a.network, a.seed) == (b.network, b.seed));
    all.filter(|rows| rows[0].network == network).collect()
}

pub(crate) fn each(
    found: &Found,
    network: Network,
    of: fn(&[Row]) -> Option<f64>,
) -> Option<Measured> {
    over_networks(&networks(found, network), |rows| of(rows))
}

/// A number of every network and its control.
pub(crate) fn pairs(found: &Found, of: fn(&[Row], &[Row]) -> Option<f64>) -> Option<Measured> {
    let controls = networks(found, Network::Untrained);
    over_networks(&networks(found, Network::Trained), |own| {
        let control = controls.iter().find(|rows| rows[0].seed == own[0].seed)?;
        of(own, control)
    })
}
