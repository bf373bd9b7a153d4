//! Does the objective fall from layer to layer, and is a layer a step on that of its own subspaces?

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{across, over_networks, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::statistics::fraction;
use whitebox::measure::trend::spearman;
use whitebox::Result;

use super::Found;

/// The parts of the objective before and after a layer, for its own subspaces.
pub(crate) const PARTS: [Quantity; 5] = [
    Quantity::RATE,
    Quantity::RATE_AFTER_ISTA,
    Quantity::ORTHONORMAL_RATE_BEFORE_MSSA,
    Quantity::ORTHONORMAL_RATE_AFTER_ISTA,
    Quantity::NONZERO_AFTER_ISTA,
];

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-09",
        Source::of(
            "NeurIPS 2023, arXiv 2306.01129",
            "section 2: the objective that the layers are unrolled from",
        ),
        Whose::Authors,
        "SRR = ||Z||_0 + R^c(Z | U) - R(Z) falls with depth in a trained network",
        &[
            Criterion::at_most(
                "held-out: SRR after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| Some(change(rows))),
            ),
            Criterion::at_most(
                "held-out: rank correlation of SRR with depth",
                -0.6,
                |found: &Found| each(found, Network::Trained, |rows| Some(spearman(&srr(rows)))),
            )
            .secondary(),
            Criterion::at_least(
                "fall of SRR beyond the untrained network's",
                0.0,
                |found: &Found| pairs(found, |own, control| change(control) - change(own)),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-CRIT-03",
        Source::of("arXiv 2411.17182", "figures of SRR by layer"),
        Whose::Critics,
        "SRR falls in the early layers and rises after",
        &[
            Criterion::at_least(
                "rise from the least SRR to the last layer's, over the range",
                0.05,
                |found: &Found| each(found, Network::Trained, |rows| Some(rise(&srr(rows)))),
            ),
            Criterion::at_least(
                "layers before that of the least SRR",
                1.0,
                |found: &Found| {
                    each(found, Network::Trained, |rows| {
                        Some(least(&srr(rows)) as f64)
                    })
                },
            )
            .secondary(),
        ],
    ),
    Claim::new(
        "C-LAY-09-step",
        Source::of(
            "NeurIPS 2023, arXiv 2306.01129",
            "section 2: a layer is a step on the objective",
        ),
        Whose::Authors,
        "Each layer but the first lowers the SRR of its own subspaces and raises R - R^c",
        &[
            Criterion::at_least("fraction of layers that lower SRR", 0.8, |found: &Found| {
                each(found, Network::Trained, |rows| {
                    Some(fraction(&rows[1..], lowers))
                })
            }),
            Criterion::at_least(
                "fraction of layers that raise R - R^c",
                0.8,
                |found: &Found| {
                    each(found, Network::Trained, |rows| {
                        Some(fraction(&rows[1..], |row| {
                            row.reduction > row.reduction_before
                        }))
                    })
                },
            )
            .secondary(),
            Criterion::at_most(
                "untrained: fraction of layers that lower SRR",
                0.5,
                |found: &Found| {
                    each(found, Network::Untrained, |rows| {
                        Some(fraction(&rows[1..], lowers))
                    })
                },
            )
            .control(),
        ],
    ),
];
// ANCHOR_END: claims

/// The objective after one layer, with that layer's subspaces; means over images, rates in nats.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Row {
    network: Network,
    #[serde(default)]
    seed: u64,
    layer: usize,
    /// `||Z^{l+1}||_0`.
    nonzeros: f64,
    rate: f64,
    subspace_rate: f64,
    srr: f64,
    /// Of `Z^l` with the same subspaces; none for the first layer.
    srr_before: Option<f64>,
    /// `R - R^c` of `Z^l` with the same subspaces.
    reduction_before: f64,
    reduction: f64,
}

/// Tokens have `entries` numbers, d N.
pub(crate) fn rows(curves: &NetworkCurves, parts: [Quantity; 5], entries: f64) -> Result<Vec<Row>> {
    let [mut rate_before, mut rate, mut before, mut after, mut nonzero] = [const { Vec::new() }; 5];
    let columns = [
        &mut rate_before,
        &mut rate,
        &mut before,
        &mut after,
        &mut nonzero,
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
        }
    };
    Ok((0..curves.depth()).map(row).collect())
}

/// The rows of every trained or untrained network, by seed.
fn networks(found: &Found, network: Network) -> Vec<&[Row]> {
    let all = found
        .0
        .chunk_by(|a, b| (a.network, a.seed) == (b.network, b.seed));
    all.filter(|rows| rows[0].network == network).collect()
}

fn each(found: &Found, network: Network, of: fn(&[Row]) -> Option<f64>) -> Option<Measured> {
    over_networks(&networks(found, network), |rows| of(rows))
}

/// A number of every network and its control.
fn pairs(found: &Found, of: fn(&[Row], &[Row]) -> f64) -> Option<Measured> {
    let controls = networks(found, Network::Untrained);
    over_networks(&networks(found, Network::Trained), |own| {
        let control = controls.iter().find(|rows| rows[0].seed == own[0].seed)?;
        Some(of(own, control))
    })
}

fn srr(rows: &[Row]) -> Vec<f64> {
    rows.iter().map(|row| row.srr).collect()
}

/// From the first layer to the last.
fn change(rows: &[Row]) -> f64 {
    rows[rows.len() - 1].srr - rows[0].srr
}

fn lowers(row: &Row) -> bool {
    row.srr_before.is_some_and(|before| row.srr < before)
}

/// The first layer, from 0, with the least value.
fn least(values: &[f64]) -> usize {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    values.iter().take_while(|&&value| value > least).count()
}

/// From the least value to the last, over the range.
fn rise(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = values[least(values)];
    (values[values.len() - 1] - least) / (most - least)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("layers.csv", &found.0)?;
    let mut series = Vec::new();
    for network in Network::BOTH {
        let each: Vec<Vec<f64>> = networks(found, network).into_iter().map(srr).collect();
        let values = across(&each);
        if !values.is_empty() {
            series.push(Series::by_layer(network.word(), network.colour(), values).with_interval());
        }
    }
    let title = "||Z||_0 + R^c(Z | U) - R(Z) after each layer, with its own subspaces";
    shown.chart("srr.svg", &Chart::by_layer(title, "SRR", series))
}
