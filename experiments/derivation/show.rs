//! Tables and figures.

use serde::Serialize;
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::Summary;
use whitebox::Result;

use super::network::{Layer, Row};
use super::{Found, ARMS};

/// A network.
#[derive(Serialize)]
struct NetworkLine<'a> {
    arm: &'a str,
    seed: u64,
    trained: bool,
    accuracy: f64,
    ratio: f64,
    fall: f64,
    random_ratio: f64,
    cosine: f64,
    nonzero: f64,
    scale: Option<f64>,
    negative_scales: usize,
}

/// A layer of a network.
#[derive(Serialize)]
struct LayerLine<'a> {
    arm: &'a str,
    seed: u64,
    trained: bool,
    layer: usize,
    official_rate: f64,
    random_rate: f64,
    cosine_added: f64,
    cosine_tied: f64,
    nonzero: f64,
    scale: Option<f64>,
}

fn network_line(row: &Row) -> NetworkLine<'_> {
    let scales: Vec<f64> = row.layers.iter().filter_map(|layer| layer.scale).collect();
    NetworkLine {
        arm: &row.arm,
        seed: row.seed,
        trained: row.trained,
        accuracy: row.accuracy,
        ratio: row.ratio(),
        fall: row.fall(),
        random_ratio: row.random_ratio(),
        cosine: row.cosine(),
        nonzero: row.nonzero(),
        scale: (!scales.is_empty()).then(|| row.scale()),
        negative_scales: scales.iter().filter(|s| **s < 0.0).count(),
    }
}

fn layer_lines(row: &Row) -> impl Iterator<Item = LayerLine<'_>> {
    let layers = row.layers.iter().enumerate();
    layers.map(|(index, layer)| LayerLine {
        arm: &row.arm,
        seed: row.seed,
        trained: row.trained,
        layer: index + 1,
        official_rate: layer.official_rate,
        random_rate: layer.random_rate,
        cosine_added: layer.cosine_added,
        cosine_tied: layer.cosine_tied,
        nonzero: layer.nonzero,
        scale: layer.scale,
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.say(format_args!(
        "\n{:>10} {:>9} | {:>8} {:>6} {:>6} {:>8} {:>8} {:>6}",
        "", "", "accuracy", "ratio", "fall", "cosine", "nonzero", "scale"
    ));
    for (arm, _) in ARMS {
        for trained in [false, true] {
            let rows: Vec<&Row> = of(found, arm, trained).collect();
            let mean = |value: fn(&Row) -> f64| {
                Summary::of(&rows.iter().map(|row| value(row)).collect::<Vec<_>>()).mean
            };
            shown.say(format_args!(
                "{arm:>10} {:>9} | {:>6.2} % {:>6.3} {:>6.1} {:>8.3} {:>8.3} {:>6.3}",
                if trained { "trained" } else { "untrained" },
                mean(Row::percent),
                mean(Row::ratio),
                mean(Row::fall),
                mean(Row::cosine),
                mean(Row::nonzero),
                mean(Row::scale),
            ));
        }
    }
    let networks: Vec<_> = found.iter().map(network_line).collect();
    shown.table("networks.csv", &networks)?;
    let layers: Vec<_> = found.iter().flat_map(layer_lines).collect();
    shown.table("layers.csv", &layers)?;
    let by_layer = |of_layer: fn(&Layer) -> f64| {
        let arms = ARMS.iter().enumerate();
        arms.map(|(colour, (arm, _))| {
            let rows: Vec<&Row> = of(found, arm, true).collect();
            let depth = rows.iter().map(|row| row.layers.len()).min().unwrap_or(0);
            let at = |index| {
                let values = rows.iter().map(|row| of_layer(&row.layers[index]));
                Summary::of(&values.collect::<Vec<_>>())
            };
            Series::by_layer(*arm, colour, (0..depth).map(at).collect())
        })
        .collect()
    };
    let rate = Chart::by_layer(
        "The official R^c by layer, means over seeds",
        "R^c, nats",
        by_layer(|layer| layer.official_rate),
    );
    shown.chart("rate.svg", &rate)?;
    let cosine = Chart::by_layer(
        "What the first block adds against steepest descent",
        "cosine",
        by_layer(|layer| layer.cosine_added),
    );
    shown.chart("cosine.svg", &cosine)?;
    let sparsity = Chart::by_layer(
        "Nonzero entries by layer, means over seeds",
        "fraction",
        by_layer(|layer| layer.nonzero),
    );
    shown.chart("sparsity.svg", &sparsity)
}

/// The rows of an arm.
fn of<'a>(found: &'a Found, arm: &'a str, trained: bool) -> impl Iterator<Item = &'a Row> {
    found
        .iter()
        .filter(move |row| row.arm == arm && row.trained == trained)
}
