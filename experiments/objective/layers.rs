//! Does the objective fall from layer to layer, and is a layer a step on that of its own subspaces?

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{across, over_networks, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::trend::spearman;
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

const NEURIPS: &str = "NeurIPS 2023, arXiv 2306.01129";

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-09",
        Source::of(NEURIPS, "section 2: the objective that the layers are unrolled from"),
        Whose::Authors,
        "lambda ||Z||_0 + R^c(Z | U) - R(Z) falls with depth in a trained network",
        &[
            Criterion::at_most(
                "lambda = 0.1: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 0.1)),
            ),
            Criterion::at_most("lambda = 0.1: rank correlation with depth", -0.6, |found: &Found| {
                each(found, Network::Trained, |rows| Some(spearman(&objective(rows, 0.1))))
            })
            .secondary(),
            Criterion::at_most(
                "lambda = 0: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 0.0)),
            )
            .secondary(),
            Criterion::at_most(
                "lambda = 0.01: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 0.01)),
            )
            .secondary(),
            Criterion::at_most(
                "lambda = 1: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 1.0)),
            )
            .secondary(),
            Criterion::at_least("lambda = 0.1: fall beyond the untrained network's", 0.0, |found: &Found| {
                pairs(found, |own, control| Some(change(control, 0.1)? - change(own, 0.1)?))
            })
            .control(),
        ],
    )
    .pilot_informed(),
    Claim::new(
        "C-CRIT-03",
        Source::of("arXiv 2411.17182", "figures of SRR by layer"),
        Whose::Critics,
        "SRR = ||Z||_0 + R^c(Z | U) - R(Z) falls in the early layers and rises after",
        &[
            Criterion::at_least("rise from the least to the last layer's, over the range", 0.05, |found: &Found| {
                each(found, Network::Trained, |rows| rise(&objective(rows, 1.0)))
            }),
            Criterion::at_least("fall from the first layer's to the least, over the range", 0.05, |found: &Found| {
                each(found, Network::Trained, |rows| fall(&objective(rows, 1.0)))
            })
            .secondary(),
            Criterion::at_least("with 0.1 ||Z||_0: the lesser of the two", 0.05, |found: &Found| {
                each(found, Network::Trained, |rows| inside(&objective(rows, 0.1)))
            })
            .secondary(),
            Criterion::at_least("with 0.01 ||Z||_0: the lesser of the two", 0.05, |found: &Found| {
                each(found, Network::Trained, |rows| inside(&objective(rows, 0.01)))
            })
            .secondary(),
            Criterion::at_least("R^c - R alone: the lesser of the two", 0.05, |found: &Found| {
                each(found, Network::Trained, |rows| inside(&objective(rows, 0.0)))
            })
            .secondary(),
        ],
    )
    .pilot_informed(),
    Claim::new(
        "C-LAY-09-step",
        Source::of(NEURIPS, "section 2: a layer is a step on the objective"),
        Whose::Authors,
        "Each layer but the first lowers the objective of its own subspaces, lambda = 0.1, and raises R - R^c",
        &[
            Criterion::at_most("change of the objective across a layer, mean over layers", 0.0, |found: &Found| {
                each(found, Network::Trained, |rows| across_layers(rows, 0.1))
            }),
            Criterion::at_least(
                "change of R - R^c across a layer, mean over layers, nats",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| Some(-across_layers(rows, 0.0)?)),
            )
            .secondary(),
            Criterion::at_most(
                "change of the objective across a layer: trained less untrained",
                0.0,
                |found: &Found| {
                    pairs(found, |own, control| Some(across_layers(own, 0.1)? - across_layers(control, 0.1)?))
                },
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("layers that raise R - R^c of their own subspaces, of those but the first", |found: &Found| {
            each(found, Network::Trained, raising)
        }),
        Number::of("untrained: layers that raise R - R^c", |found: &Found| {
            each(found, Network::Untrained, raising)
        }),
        Number::of("untrained: change of R - R^c across a layer, mean over layers, nats", |found: &Found| {
            each(found, Network::Untrained, |rows| Some(-across_layers(rows, 0.0)?))
        }),
    ])
    .pilot_informed(),
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
    pub(crate) rate: f64,
    subspace_rate: f64,
    srr: f64,
    /// Of `Z^l` with the same subspaces; none for the first layer.
    srr_before: Option<f64>,
    /// `R - R^c` of `Z^l` with the same subspaces.
    reduction_before: f64,
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
fn pairs(found: &Found, of: fn(&[Row], &[Row]) -> Option<f64>) -> Option<Measured> {
    let controls = networks(found, Network::Untrained);
    over_networks(&networks(found, Network::Trained), |own| {
        let control = controls.iter().find(|rows| rows[0].seed == own[0].seed)?;
        of(own, control)
    })
}

/// `lambda ||Z||_0 + R^c - R` after every layer.
fn objective(rows: &[Row], lambda: f64) -> Vec<f64> {
    rows.iter()
        .map(|row| lambda * row.nonzeros - row.reduction)
        .collect()
}

/// From the first layer to the last.
fn change(rows: &[Row], lambda: f64) -> Option<f64> {
    let values = objective(rows, lambda);
    Some(values.last()? - values.first()?)
}

/// Across a layer, for its own subspaces, mean over all layers but the first: its input is the embedding, dense,
/// of which any ISTA output has fewer nonzeros.
fn across_layers(rows: &[Row], lambda: f64) -> Option<f64> {
    let changes: Option<Vec<f64>> = rows
        .iter()
        .skip(1)
        .map(|row| {
            let entered = row.srr_before? + row.reduction_before;
            Some(lambda * (row.nonzeros - entered) - (row.reduction - row.reduction_before))
        })
        .collect();
    let changes = changes?;
    Some(changes.iter().sum::<f64>() / changes.len() as f64)
}

fn raising(rows: &[Row]) -> Option<f64> {
    let raise = rows
        .iter()
        .skip(1)
        .filter(|row| row.reduction > row.reduction_before);
    Some(raise.count() as f64)
}

/// From the least value to the last, over the range.
fn rise(values: &[f64]) -> Option<f64> {
    let [least, most] = range(values);
    Some((values.last()? - least) / (most - least))
}

/// From the first value to the least, over the range.
fn fall(values: &[f64]) -> Option<f64> {
    let [least, most] = range(values);
    Some((values.first()? - least) / (most - least))
}

/// The lesser of fall and rise: 0 where the least value is the first or the last.
fn inside(values: &[f64]) -> Option<f64> {
    Some(fall(values)?.min(rise(values)?))
}

fn range(values: &[f64]) -> [f64; 2] {
    let all = values.iter().copied();
    [
        all.clone().fold(f64::INFINITY, f64::min),
        all.fold(f64::NEG_INFINITY, f64::max),
    ]
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("layers.csv", &found.0)?;
    let mut series = Vec::new();
    for network in Network::BOTH {
        let each: Vec<Vec<f64>> = networks(found, network)
            .into_iter()
            .map(|rows| objective(rows, 1.0))
            .collect();
        let values = across(&each);
        if !values.is_empty() {
            series.push(Series::by_layer(network.word(), network.colour(), values).with_interval());
        }
    }
    let title = "||Z||_0 + R^c(Z | U) - R(Z) after each layer, with its own subspaces";
    shown.chart("srr.svg", &Chart::by_layer(title, "SRR", series))
}
