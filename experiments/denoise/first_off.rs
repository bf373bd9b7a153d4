//! The first layer off the theorem, by noise.

use serde::{Deserialize, Serialize};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

use crate::attention_only::EXACT;
use crate::settings::{AttentionOnly as Settings, HEADS};
use crate::Found;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    noise: f64,
    rescaled: bool,
    /// First layer that is not exact; one more than there are layers if all are. Mean over draws.
    first_layer_off: f64,
    deviation: f64,
    draws: usize,
}

/// 4 subspaces of width 64, 256 tokens.
pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let (theorem, layers) = (settings.theorem(), settings.rescaled_layers);
    let mut rows = Vec::new();
    for &noise in &settings.first_off_noises {
        let model = UnionOfSubspaces::new(HEADS, 64, 256, noise);
        for rescaled in [false, true] {
            let draws = parallel::map(settings.first_off_draws, run.threads, |draw| {
                let found = theorem.deviations(&model.draw(run.seed, draw)?, layers, rescaled);
                let first = found.iter().position(|&v| v > EXACT).unwrap_or(layers);
                Ok(first as f64 + 1.0)
            })?;
            let found = Summary::of(&draws);
            rows.push(Row {
                noise,
                rescaled,
                first_layer_off: found.mean,
                deviation: found.deviation,
                draws: found.count,
            });
        }
    }
    Ok(rows)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let rows = &found.attention_only.first_off;
    let mut text = "\nFirst layer whose growth of the signal-to-noise ratio is not 1 + eta tau (21: none of 20), p 64, N 256.\n\n".to_owned();
    text += &format!("{:>9} | {:>10} | {:>10}", "noise", "as it is", "rescaled");
    for pair in rows.chunks_exact(2) {
        let (noise, plain, rescaled) = (
            pair[0].noise,
            pair[0].first_layer_off,
            pair[1].first_layer_off,
        );
        text += &format!("\n{noise:>9.5} | {plain:>10.1} | {rescaled:>10.1}");
    }
    shown.say(text);
    shown.table("first-layer-off.csv", rows)?;
    let kinds = [(false, "as the theorem has it"), (true, "tokens rescaled")];
    let series = kinds
        .into_iter()
        .enumerate()
        .map(|(colour, (rescaled, name))| {
            let points = rows
                .iter()
                .rev()
                .filter(|r| r.rescaled == rescaled)
                .map(|r| {
                    let value = Summary {
                        mean: r.first_layer_off,
                        deviation: r.deviation,
                        count: r.draws,
                    };
                    (r.noise, value)
                });
            Series::new(name, colour, points.collect())
        });
    let axis = |name, scale| Axis { name, scale };
    let chart = Chart {
        title: "First of 20 layers off the theorem (21: none)",
        horizontal: axis(
            "noise: deviation in the other subspaces",
            Scale::Logarithmic,
        ),
        vertical: axis("layer", Scale::Linear),
        series: series.collect(),
    };
    shown.chart("first-layer-off.svg", &chart)
}
