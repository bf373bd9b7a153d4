//! The tables of a run.

use serde::Serialize;
use whitebox::harness::experiment::Shown;
use whitebox::Result;

use super::row::Row;
use super::Found;

pub(crate) fn write(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let networks: Vec<_> = found.networks.iter().map(NetworkLine::of).collect();
    shown.table("networks.csv", &networks)?;
    let layers: Vec<_> = found.networks.iter().flat_map(lines).collect();
    shown.table("layers.csv", &layers)?;
    shown.table("floors.csv", &[&found.floors])
}

/// A network after an epoch.
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

/// A layer of it.
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
