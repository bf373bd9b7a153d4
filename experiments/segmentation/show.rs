//! What a run shows: a table of means, curves over layers and over training.

use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::comparison::{means, over_seeds};
use whitebox::harness::experiment::Shown;
use whitebox::measure::segmentation::layer_scores::LayerScores;
use whitebox::Result;

use super::arms::CRATE;
use super::row::{end, values, Row};
use super::{examples, tables, Found};

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.say(table(found));
    tables::write(found, shown)?;
    shown.chart(
        "layers.svg",
        &by_layer(
            found,
            "Overlap of a chosen head's mask with the object",
            |layer| layer.chosen,
        ),
    )?;
    shown.chart(
        "cut.svg",
        &by_layer(
            found,
            "Overlap of MaskCut's first mask with the object",
            |layer| layer.cut,
        ),
    )?;
    shown.chart("course.svg", &course(found))?;
    examples::draw(found, shown)
}

fn table(found: &Found) -> String {
    let numbers: [fn(&Row) -> f64; 6] = [
        |row| 100.0 * row.accuracy,
        |row| row.chosen,
        |row| row.chosen_elsewhere,
        |row| row.last().best,
        |row| row.last().cut,
        |row| row.last().keys_component,
    ];
    let mut lines = Vec::new();
    for arm in &found.settings.arms {
        for (word, epoch) in [("untrained", 0), ("trained", end(found))] {
            let cells = numbers.map(|of| over_seeds(&values(found, (&arm.name, epoch), of)));
            lines.push((format!("{}, {word}", arm.name), cells.to_vec()));
        }
    }
    let columns = [
        "accuracy, per cent",
        "chosen head",
        "of another scene",
        "best head, last layer",
        "MaskCut",
        "first component",
    ];
    let floors = &found.floors;
    format!(
        "{}\n\nOverlaps without a network: everything {:.3}, a disc in the middle {:.3}, the best of random maps {:.3}, \
         the better of two clusters of pixels {:.3}. First component of pixels: {:.3}.",
        means(&columns, 3, &lines),
        floors.everything,
        floors.disc,
        floors.random_maps,
        floors.clusters,
        floors.pixels_component
    )
}

/// A score over layers, of every arm, and of CRATE before its training.
fn by_layer<'a>(found: &Found, title: &'a str, of: fn(&LayerScores) -> f64) -> Chart<'a> {
    let depth = found.settings.arms[0].network.depth;
    let series = |name: String, colour: Colour, which: (&str, usize)| {
        let at = |layer| over_seeds(&values(found, which, |row| of(&row.layers[layer])));
        Series::by_layer(name, colour, (0..depth).map(at).collect())
    };
    let arms = found.settings.arms.iter().enumerate();
    let mut all: Vec<Series> = arms
        .map(|(index, arm)| {
            let colour = match &*arm.name {
                CRATE => Colour::Trained,
                _ => Colour::Kind(index - 1),
            };
            series(arm.name.clone(), colour, (&arm.name, end(found)))
        })
        .collect();
    all.push(series(
        "CRATE untrained".into(),
        Colour::Untrained,
        (CRATE, 0),
    ));
    Chart::by_layer(title, "intersection over union", all)
}

/// CRATE over its training.
fn course(found: &Found) -> Chart<'_> {
    let series = |name: &str, colour: Colour, of: fn(&Row) -> f64| {
        let epochs = [0].into_iter().chain(found.settings.stages.iter().copied());
        let point = |epoch| (epoch as f64, over_seeds(&values(found, (CRATE, epoch), of)));
        Series::new(name, colour, epochs.map(point).collect())
    };
    Chart {
        title: "CRATE while it is trained",
        horizontal: Axis {
            name: "epoch",
            scale: Scale::Linear,
        },
        vertical: Axis {
            name: "intersection over union; accuracy as a fraction",
            scale: Scale::Linear,
        },
        series: vec![
            series("chosen head", Colour::Trained, |row| row.chosen),
            series("of another scene", Colour::Control, |row| {
                row.chosen_elsewhere
            }),
            series("MaskCut", Colour::Kind(0), |row| row.last().cut),
            series("accuracy", Colour::Reference, |row| row.accuracy),
        ],
    }
}
