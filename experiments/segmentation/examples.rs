//! What heads read of some scenes, to be looked at.

use dfdx::prelude::Cpu;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use whitebox::data::Split;
use whitebox::harness::experiment::Shown;
use whitebox::harness::heat_map::{self, HeatMap};
use whitebox::measure::segmentation::head_maps::HeadMaps;
use whitebox::model::Classifier;
use whitebox::Result;

use super::material::Material;
use super::row::last_but_one;
use super::Found;

/// Scenes that are shown.
const EXAMPLES: usize = 4;

/// The maps of a scene, by head and patch, row-major.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Example {
    scene: usize,
    maps: Vec<Vec<f64>>,
}

/// The maps of the last layer but one of the first scenes of different textures.
pub(crate) fn of(network: &Classifier<f32, Cpu>, material: &Material<'_>) -> Result<Vec<Example>> {
    let layer = last_but_one(network.config().depth);
    // Labels are texture times shape, in turn: a step of 5 goes through both.
    let count = 5 * EXAMPLES - 4;
    let shown = material.shown(network, layer, 0, count)?;
    let chosen = shown.iter().enumerate().step_by(5);
    let example = |(scene, own): (usize, &HeadMaps)| {
        let maps = own.maps.outer_iter();
        Example {
            scene,
            maps: maps.map(|map| map.iter().copied().collect()).collect(),
        }
    };
    Ok(chosen.map(example).collect())
}

/// Draws them, a scene a row.
pub(crate) fn draw(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let rows = found.examples.iter().map(|example| maps(found, example));
    let maps = rows.collect::<Result<Vec<_>>>()?.concat();
    let columns = found.settings.arms[0].network.heads + 2;
    let title = "Scenes, their objects, and what heads of CRATE's last layer but one read";
    heat_map::write(&shown.path("heads.svg"), title, &maps, columns)
}

/// A scene in greys, the share of each patch that is its object, and the maps of the heads, each over its largest.
fn maps(found: &Found, example: &Example) -> Result<Vec<HeatMap>> {
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
