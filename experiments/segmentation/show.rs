//! What a run shows: a table of means, curves over layers and over training, the maps of some scenes.

use ndarray::Array2;
use serde::Serialize;
use whitebox::data::Split;
use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::comparison::{means, over_seeds};
use whitebox::harness::experiment::Shown;
use whitebox::harness::heat_map::{self, HeatMap};
use whitebox::measure::segmentation::layer_scores::LayerScores;
use whitebox::Result;

use super::arms::CRATE;
use super::row::{end, values, Example, Row};
use super::Found;

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.say(table(found));
    let networks: Vec<_> = found.networks.iter().map(NetworkLine::of).collect();
    shown.table("networks.csv", &networks)?;
    shown.table(
        "layers.csv",
        &found.networks.iter().flat_map(lines).collect::<Vec<_>>(),
    )?;
    shown.table("floors.csv", &[&found.floors])?;
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
    let maps = found
        .examples
        .iter()
        .map(|example| example_maps(found, example));
    let maps = maps.collect::<Result<Vec<_>>>()?.concat();
    let columns = found.settings.arms[0].network.heads + 2;
    let title = "Scenes, their objects, and what heads of CRATE's last layer but one read";
    heat_map::write(&shown.path("heads.svg"), title, &maps, columns)
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

#[derive(Serialize)]
struct NetworkLine<'a> {
    arm: &'a str,
    seed: u64,
    epoch: usize,
    accuracy: f64,
    chosen: f64,
    chosen_elsewhere: f64,
    information: f64,
    permuted: f64,
    p_value: f64,
    stable: f64,
    information_elsewhere: f64,
}

impl<'a> NetworkLine<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            arm: &row.arm,
            seed: row.seed,
            epoch: row.epoch,
            accuracy: row.accuracy,
            chosen: row.chosen,
            chosen_elsewhere: row.chosen_elsewhere,
            information: row.parts.information,
            permuted: row.parts.permuted,
            p_value: row.parts.p_value,
            stable: row.parts.stable,
            information_elsewhere: row.parts_elsewhere.information,
        }
    }
}

#[derive(Serialize)]
struct LayerLine<'a> {
    arm: &'a str,
    seed: u64,
    epoch: usize,
    layer: usize,
    chosen: f64,
    best: f64,
    mean: f64,
    chosen_elsewhere: f64,
    best_elsewhere: f64,
    chosen_by_area: f64,
    best_by_area: f64,
    ranking: f64,
    cut: f64,
    keys_component: f64,
    keys_component_size: f64,
    tokens_component: f64,
}

fn lines(row: &Row) -> impl Iterator<Item = LayerLine<'_>> {
    let layers = row.layers.iter().enumerate();
    layers.map(|(index, own)| LayerLine {
        arm: &row.arm,
        seed: row.seed,
        epoch: row.epoch,
        layer: index + 1,
        chosen: own.chosen,
        best: own.best,
        mean: own.mean,
        chosen_elsewhere: own.chosen_elsewhere,
        best_elsewhere: own.best_elsewhere,
        chosen_by_area: own.chosen_by_area,
        best_by_area: own.best_by_area,
        ranking: own.ranking,
        cut: own.cut,
        keys_component: own.keys_component,
        keys_component_size: own.keys_component_size,
        tokens_component: own.tokens_component,
    })
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

/// A scene in greys, the share of each patch that is its object, and the maps of the heads, each over its largest.
fn example_maps(found: &Found, example: &Example) -> Result<Vec<HeatMap>> {
    let settings = &found.settings;
    let network = &settings.arms[0].network;
    let scene = settings
        .scenes
        .draw(Split::Test, settings.seed, example.scene)?;
    let [patch, _] = network.patch_size;
    let side = settings.scenes.side;
    let picture = Array2::from_shape_fn((side, side), |(y, x)| {
        let grey: f64 = (0..3).map(|c| f64::from(scene.pixels[[c, y, x]])).sum();
        1.0 - grey / (3.0 * 255.0)
    });
    let grid = side / patch;
    let object = Array2::from_shape_fn((grid, grid), |(y, x)| {
        let own = scene
            .mask
            .exact_chunks((patch, patch))
            .into_iter()
            .nth(y * grid + x);
        let count = own.map_or(0, |own| own.iter().filter(|&&inside| inside).count());
        count as f64 / (patch * patch) as f64
    });
    let map = |title: String, values: Array2<f64>| HeatMap { title, values };
    let name = format!("{:?} {:?}", scene.texture, scene.shape).to_lowercase();
    let mut maps = vec![map(name, picture), map("object".into(), object)];
    for (head, own) in example.maps.iter().enumerate() {
        let largest = own.iter().copied().fold(0.0, f64::max);
        let values = Array2::from_shape_fn((grid, grid), |(y, x)| own[y * grid + x] / largest);
        maps.push(map(format!("head {}", head + 1), values));
    }
    Ok(maps)
}
