//! What do its layers do?

use serde::Serialize;
use whitebox::claim::{Claim, Criterion, Number, Source, Whose};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::halves::LayerRates;
use whitebox::measure::statistics::Summary;
use whitebox::Result;

use super::row::{beside, mean, of, Row};
use super::{Found, CRATE, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-MAE-04",
        Source::of(PAPER, "figure 4"),
        Whose::Authors,
        "The encoder compresses, the decoder expands again",
        &[
            Criterion::at_most(
                "encoder: last over first layer less that of the untrained network",
                0.0,
                |found| {
                    beside(found, (CRATE, false), |own, other| {
                        fall(found, own, official) - fall(found, other, official)
                    })
                },
            ),
            Criterion::at_least("decoder: last over first layer", 1.1, |found| {
                mean(found, CRATE, |row| rise(found, row, official))
            })
            .secondary(),
            Criterion::at_most(
                "encoder: last over first layer less the same in random subspaces",
                0.0,
                |found| {
                    mean(found, CRATE, |row| {
                        fall(found, row, official) - fall(found, row, |layer| layer.random)
                    })
                },
            )
            .control(),
            Criterion::at_least(
                "decoder: last over first layer less the same in random subspaces",
                0.0,
                |found| {
                    mean(found, CRATE, |row| {
                        rise(found, row, official) - rise(found, row, |layer| layer.random)
                    })
                },
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("encoder: last over first layer", |found: &Found| {
            mean(found, CRATE, |row| fall(found, row, official))
        }),
        Number::of(
            "the same of what is seen of the picture",
            |found: &Found| mean(found, CRATE, |row| fall(found, row, |layer| layer.visible)),
        ),
        Number::of("the same of R", |found: &Found| {
            mean(found, CRATE, |row| fall(found, row, |layer| layer.rate))
        }),
    ]),
    Claim::new(
        "C-MAE-04-sparsity",
        Source::of(PAPER, "figure 4"),
        Whose::Authors,
        "The encoder sparsifies",
        &[
            Criterion::at_most("nonzeros, last over first layer", 0.9, |found| {
                mean(found, CRATE, |row| fall(found, row, |layer| layer.nonzero))
            }),
            Criterion::at_most("less that of the untrained network", 0.0, |found| {
                beside(found, (CRATE, false), |own, other| {
                    let nonzero = |row| fall(found, row, |layer| layer.nonzero);
                    nonzero(own) - nonzero(other)
                })
            })
            .control(),
        ],
    ),
];
// ANCHOR_END: claims

fn official(layer: &LayerRates) -> f64 {
    layer.official
}

/// Of the encoder, the last layer's number over the first's.
fn fall(found: &Found, row: &Row, of: fn(&LayerRates) -> f64) -> f64 {
    let depth = found.settings.crate_mae.encoder_depth;
    last_over_first(&row.layers[..depth.min(row.layers.len())], of)
}

/// Of the decoder.
fn rise(found: &Found, row: &Row, of: fn(&LayerRates) -> f64) -> f64 {
    let depth = found.settings.crate_mae.encoder_depth;
    last_over_first(&row.layers[depth.min(row.layers.len())..], of)
}

fn last_over_first(layers: &[LayerRates], of: fn(&LayerRates) -> f64) -> f64 {
    let [first, last] = [layers.first(), layers.last()].map(|own| own.map_or(f64::NAN, of));
    last / first
}

/// A layer of a network.
#[derive(Serialize)]
struct LayerLine {
    seed: u64,
    trained: bool,
    layer: usize,
    official_rate: f64,
    visible_rate: f64,
    random_rate: f64,
    rate: f64,
    nonzero: f64,
}

fn layer_lines(row: &Row) -> impl Iterator<Item = LayerLine> + '_ {
    let layers = row.layers.iter().enumerate();
    layers.map(|(index, rates)| LayerLine {
        seed: row.seed,
        trained: row.trained,
        layer: index + 1,
        official_rate: rates.official,
        visible_rate: rates.visible,
        random_rate: rates.random,
        rate: rates.rate,
        nonzero: rates.nonzero,
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let lines: Vec<_> = found.networks.iter().flat_map(layer_lines).collect();
    shown.table("layers.csv", &lines)?;
    let by_layer = |value: fn(&LayerRates) -> f64, trained: bool| {
        let rows: Vec<&Row> = of(found, CRATE, trained).collect();
        let depth = rows.iter().map(|row| row.layers.len()).min().unwrap_or(0);
        let at = |index| {
            let values = rows.iter().map(|row: &&Row| value(&row.layers[index]));
            Summary::of(&values.collect::<Vec<_>>())
        };
        (0..depth).map(at).collect::<Vec<_>>()
    };
    let rate = Chart::by_layer(
        "The official R^c, encoder and behind it decoder",
        "R^c, nats",
        vec![
            Series::by_layer("trained", 0, by_layer(official, true)),
            Series::by_layer("trained, random subspaces", 1, by_layer(|l| l.random, true)),
            Series::by_layer("untrained", 2, by_layer(official, false)),
        ],
    );
    shown.chart("rate.svg", &rate)?;
    let sparsity = Chart::by_layer(
        "Nonzero outputs, encoder and behind it decoder",
        "fraction",
        vec![
            Series::by_layer("trained", 0, by_layer(|l| l.nonzero, true)),
            Series::by_layer("untrained", 2, by_layer(|l| l.nonzero, false)),
        ],
    );
    shown.chart("sparsity.svg", &sparsity)
}
