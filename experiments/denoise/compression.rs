//! A compression step acts on the second moments of a head; a denoiser acts on a token.
//!
//! With `kappa = 1 / c` the exact step on `R^c` is Wiener's filter for each head (C-THY-14, a property test).
//! Where some subspaces are empty it removes what leaks there; else noise and signal share every direction.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::denoising::{Kept, Method};
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

use crate::settings::Compression as Settings;
use crate::Found;

const PAPER: &str = "ICLR 2024, arXiv 2404.02446";

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-14-one",
        Source::of(PAPER, "compression as denoising"),
        Whose::Authors,
        "With tokens in one subspace only, the exact compression step removes the noise outside it and keeps \
         the signal",
        &[
            // Means over draws whose spread no record has: of a fixed set.
            Criterion::at_most(
                "one subspace populated: energy of the noise kept",
                0.05,
                |found: &Found| row(found, 1, Method::ExactStep)?.noise_kept.map(Measured::exact),
            ),
            Criterion::at_least(
                "one subspace populated: energy of the signal kept",
                0.9,
                |found: &Found| row(found, 1, Method::ExactStep)?.signal_kept.map(Measured::exact),
            )
            .secondary(),
        ],
    ),
    Claim::new(
        "C-THY-14",
        Source::of(PAPER, "compression as denoising"),
        Whose::Authors,
        "With tokens in all subspaces, the exact compression step halves the distance to the clean tokens \
         (mean square)",
        &[
            Criterion::at_most(
                "all populated: mean square error after / before, exact step",
                0.5,
                |found: &Found| error(found, Method::ExactStep),
            ),
            Criterion::at_most(
                "all populated: the same, posterior mean of every token",
                0.5,
                |found: &Found| error(found, Method::PosteriorMean),
            )
            .check(),
        ],
    ),
    Claim::new(
        "C-THY-14-attention",
        Source::of(
            "authors' book, chapter 4",
            "the step (1 - kappa c) Z + kappa c M at kappa c = 1",
        ),
        Whose::Authors,
        "Attention, which does see tokens, halves it",
        &[
            Criterion::at_most(
                "all populated: the same, attention with scores unscaled",
                0.5,
                |found: &Found| error(found, Method::AttentionUnscaled),
            ),
            Criterion::at_most(
                "all populated: the same, projection on the nearest subspace",
                0.5,
                |found: &Found| error(found, Method::NearestSubspace),
            )
            .check(),
        ],
    )
    .beside(&[Number::of(
        "all populated: the same, attention with the network's scale",
        |found: &Found| error(found, Method::AttentionScaled),
    )]),
];

fn row(found: &Found, populated: usize, method: Method) -> Option<&Row> {
    let noise = found.settings.compression.noise;
    let mut rows = found.compression.moments.iter();
    rows.find(|r| r.populated == populated && r.noise == noise && r.method == method)
}

fn error(found: &Found, method: Method) -> Option<Measured> {
    let row = row(found, found.settings.compression.heads, method)?;
    Some(Measured::summary(Unit::Draw, &row.error()))
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    populated: usize,
    noise: f64,
    method: Method,
    /// Mean square error after / before.
    error_ratio: f64,
    error_ratio_deviation: f64,
    /// Energy of noise and signal that the filter keeps; for the exact step, which is linear.
    noise_kept: Option<f64>,
    signal_kept: Option<f64>,
    draws: usize,
}

impl Row {
    fn error(&self) -> Summary {
        Summary {
            mean: self.error_ratio,
            deviation: self.error_ratio_deviation,
            count: self.draws,
        }
    }
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
    let mut text = "\nMean square error after / before one step, noise 0.05, by number of populated subspaces.\n\n".to_owned();
    text += &format!("{:>10} |", "populated");
    for method in Method::ALL {
        text += &format!(" {:>25}", method.name());
    }
    for populated in [1, 2, heads] {
        text += &format!("\n{populated:>10} |");
        for row in Method::ALL
            .into_iter()
            .filter_map(|method| row(found, populated, method))
        {
            text += &format!(" {:>25.4}", row.error_ratio);
        }
    }
    shown.say(text);
    shown.table("second-moments.csv", &found.compression.moments)?;
    let methods = Method::ALL.into_iter().enumerate();
    let series = methods.map(|(colour, method)| {
        let rows = found.compression.moments.iter();
        // The right subspace leaves nothing but rounding: off the chart.
        let rows =
            rows.filter(|r| r.populated == heads && r.method == method && r.error_ratio > 1e-6);
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
