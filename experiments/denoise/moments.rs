//! How near each method comes to the clean tokens, by noise and by number of populated subspaces.

use serde::{Deserialize, Serialize};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::denoising::{Kept, Method};
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

use crate::settings::Compression as Settings;
use crate::Found;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) populated: usize,
    noise: f64,
    pub(crate) method: Method,
    /// Mean square error after / before.
    pub(crate) error_ratio: f64,
    error_ratio_deviation: f64,
    /// Energy of noise and signal that the filter keeps; for the exact step, which is linear.
    pub(crate) noise_kept: Option<f64>,
    pub(crate) signal_kept: Option<f64>,
    draws: usize,
}

impl Row {
    pub(crate) fn error(&self) -> Summary {
        Summary {
            mean: self.error_ratio,
            deviation: self.error_ratio_deviation,
            count: self.draws,
        }
    }
}

pub(crate) fn row(found: &Found, populated: usize, method: Method) -> Option<&Row> {
    let noise = found.settings.compression.noise;
    let mut rows = found.compression.moments.iter();
    rows.find(|r| r.populated == populated && r.noise == noise && r.method == method)
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let populations = [1, 2, 4].map(|populated| (populated, settings.noise));
    let sweep = settings.sweep.iter().map(|&noise| (settings.heads, noise));
    let cells: Vec<(usize, f64)> = populations.into_iter().chain(sweep).collect();
    let bar = run.progress(cells.len());
    let mut rows = Vec::new();
    for (populated, noise) in cells {
        let model = UnionOfSubspaces {
            populated,
            ..UnionOfSubspaces::new(settings.heads, settings.p, settings.tokens, noise)
        };
        let draws = parallel::map(settings.draws, run.threads, |draw| {
            Kept::of(&model.draw(run.seed, draw)?, noise, settings.epsilon(noise))
        })?;
        let summary =
            |of: &dyn Fn(&Kept) -> f64| Summary::of(&draws.iter().map(of).collect::<Vec<_>>());
        for method in Method::ALL {
            let error = summary(&|d| d.errors[method as usize]);
            let linear = method == Method::ExactStep;
            rows.push(Row {
                populated,
                noise,
                method,
                error_ratio: error.mean,
                error_ratio_deviation: error.deviation,
                noise_kept: linear.then(|| summary(&|d| d.noise).mean),
                signal_kept: linear.then(|| summary(&|d| d.signal).mean),
                draws: draws.len(),
            });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let heads = found.settings.compression.heads;
    let mut text = "\nMean square error after / before one step, noise 0.05, by number of populated subspaces.\n\n populated |".to_owned();
    for method in Method::ALL {
        text += &format!(" {:>25}", method.name());
    }
    for populated in [1, 2, heads] {
        text += &format!("\n{populated:>10} |");
        for row in Method::ALL.iter().filter_map(|m| row(found, populated, *m)) {
            text += &format!(" {:>25.4}", row.error_ratio);
        }
    }
    shown.say(text);
    shown.table("second-moments.csv", &found.compression.moments)?;
    let (rows, methods) = (
        &found.compression.moments,
        Method::ALL.into_iter().enumerate(),
    );
    let series = methods.map(|(colour, method)| {
        // The right subspace leaves nothing but rounding: off the chart.
        let rows = rows
            .iter()
            .filter(|r| (r.populated, r.method) == (heads, method) && r.error_ratio > 1e-6);
        let points = rows.map(|r| (r.noise, r.error())).collect();
        Series::new(method.name(), colour, points)
    });
    let axis = |name| Axis {
        name,
        scale: Scale::Logarithmic,
    };
    let chart = Chart {
        title: "Distance to the clean tokens after one step, all subspaces populated",
        horizontal: axis("noise: deviation in the other subspaces"),
        vertical: axis("mean square error after / before"),
        series: series.collect(),
    };
    shown.chart("noise.svg", &chart)
}
