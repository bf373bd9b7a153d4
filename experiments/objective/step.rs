//! Is a layer a step on the objective of its own subspaces?

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};
use whitebox::harness::layer_curves::{mean, Network};

use super::rows::{each, pairs, Row};
use super::{Found, NEURIPS};

pub(crate) const CLAIMS: &[Claim<Found>] = &[
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
    mean(&changes?)
}

fn raising(rows: &[Row]) -> Option<f64> {
    let raise = rows
        .iter()
        .skip(1)
        .filter(|row| row.reduction > row.reduction_before);
    Some(raise.count() as f64)
}
