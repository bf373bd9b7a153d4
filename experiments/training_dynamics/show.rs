//! What a run shows: the last layer at every stage, the curves over all layers with the true labels.

use whitebox::harness::chart::{Chart, Colour, Series};
use whitebox::harness::comparison::{means, over_seeds};
use whitebox::harness::experiment::Shown;
use whitebox::Result;

use super::{at, last, Found, Row, BEFORE, END, PERMUTED, STAGES, TRUE};

pub(super) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let numbers: [fn(&Row) -> f64; 3] = [
        |row| 100.0 * row.held_out_accuracy,
        |row| row.official_rate,
        |row| 100.0 * row.nonzero,
    ];
    let mut lines = Vec::new();
    for labels in [TRUE, PERMUTED] {
        for stage in STAGES {
            let of = numbers.map(|of| over_seeds(&last(found, labels, stage, of)));
            lines.push((format!("{labels} labels, {stage}"), of.to_vec()));
        }
    }
    let columns = [
        "accuracy, per cent",
        "last layer: R^c, nats",
        "nonzeros, per cent",
    ];
    shown.say(means(&columns, 1, &lines));
    shown.table("layers.csv", found)?;
    shown.chart(
        "rate.svg",
        &chart(
            found,
            "Compression term by layer while training (official measurement)",
            "R^c, nats",
            |row| row.official_rate,
        ),
    )?;
    shown.chart(
        "sparsity.svg",
        &chart(
            found,
            "Nonzero entries of the ISTA outputs while training",
            "fraction of nonzeros",
            |row| row.nonzero,
        ),
    )
}

fn chart<'a>(found: &Found, title: &'a str, vertical: &'a str, of: fn(&Row) -> f64) -> Chart<'a> {
    let series = STAGES.into_iter().enumerate().map(|(index, stage)| {
        let colour = match stage {
            BEFORE => Colour::Untrained,
            END => Colour::Trained,
            _ => Colour::Kind(index),
        };
        let layers = 1..=found.settings.network.depth;
        let by_layer = layers.map(|layer| over_seeds(&at(found, TRUE, stage, layer, of)));
        Series::by_layer(stage, colour, by_layer.collect())
    });
    Chart::by_layer(title, vertical, series.collect())
}
