//! Do deeper layers find the object better?

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};
use whitebox::measure::segmentation::layer_scores::LayerScores;
use whitebox::measure::trend::spearman;

use super::arms::{CRATE, CRATE_LEARNS, VIT};
use super::heads::MARGIN;
use super::row::{learned, mean, Row};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-03",
    Source::of(PAPER, "figure 6"),
    Whose::Authors,
    "CRATE's deeper layers find the object better",
    &[
        Criterion::at_least(
            "rank correlation of layer and overlap",
            0.6,
            |found: &Found| mean(found, CRATE, |row| trend(row, |layer| layer.chosen)),
        ),
        Criterion::at_least("last less first layer", MARGIN, |found: &Found| {
            mean(found, CRATE, |row| rise(row, |layer| layer.chosen))
        })
        .secondary(),
        Criterion::at_least(
            "last less first layer, less the same of CRATE untrained",
            MARGIN,
            |found: &Found| learned(found, CRATE, |row| rise(row, |layer| layer.chosen)),
        )
        .control(),
        CRATE_LEARNS,
    ],
)
.beside(&[
    Number::of("rank correlation of the ViT", |found: &Found| {
        mean(found, VIT, |row| trend(row, |layer| layer.chosen))
    }),
    Number::of("last less first layer of the ViT", |found: &Found| {
        mean(found, VIT, |row| rise(row, |layer| layer.chosen))
    }),
    Number::of(
        "rank correlation of layer and MaskCut's overlap",
        |found: &Found| mean(found, CRATE, |row| trend(row, |layer| layer.cut)),
    ),
])];
// ANCHOR_END: claims

fn by_layer(row: &Row, of: fn(&LayerScores) -> f64) -> Vec<f64> {
    row.layers.iter().map(of).collect()
}

fn trend(row: &Row, of: fn(&LayerScores) -> f64) -> f64 {
    spearman(&by_layer(row, of))
}

fn rise(row: &Row, of: fn(&LayerScores) -> f64) -> f64 {
    let values = by_layer(row, of);
    values[values.len() - 1] - values[0]
}
