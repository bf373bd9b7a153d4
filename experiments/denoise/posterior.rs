//! The posterior of a mixture normalises over subspaces, for one token; MSSA normalises over tokens, in one
//! subspace: which denoises?

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::subspaces::{gaussian, UnionOfSubspaces};
use whitebox::exact::mixture::posterior_mean;
use whitebox::exact::mssa::attention_update;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::denoising::by_token;
use whitebox::measure::membership::{best_mix, head_softmax, mean_square_error};
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

use crate::membership::least;
use crate::settings::{Membership as Settings, HEADS};
use crate::Found;

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SUP-05",
    Source::of(
        "authors' book, chapter 3 against chapter 4",
        "eq. gmm_lowrank_denoiser and the definition of SSA",
    ),
    Whose::Authors,
    "One step of MSSA, best mixed with its input, denoises as well as the posterior mean",
    &[
        Criterion::at_most(
            "largest error of attention over that of the posterior mean",
            1.2,
            |found: &Found| {
                let scales = [Denoiser::Attention, Denoiser::AttentionScaled];
                let errors = scales.into_iter().filter_map(|d| over_the_best(found, d));
                least(errors)
            },
        ),
        // With the posterior's own axis for its softmax a step has to come near the posterior, or the
        // best mix is no fair chance.
        Criterion::at_most(
            "the same with the softmax over heads",
            1.2,
            |found: &Found| over_the_best(found, Denoiser::SoftmaxOverHeads).map(Measured::exact),
        )
        .check(),
    ],
)
.beside(&[Number::of(
    "the same for shrinkage alone",
    |found: &Found| over_the_best(found, Denoiser::Shrinkage).map(Measured::exact),
)])];

/// Largest error over that of the posterior mean, over noise.
fn over_the_best(found: &Found, denoiser: Denoiser) -> Option<f64> {
    let rows = || found.membership.posterior.iter();
    let ratios = rows().filter(|r| r.method == denoiser).filter_map(|row| {
        let best = rows().find(|r| r.t == row.t && r.method == Denoiser::PosteriorMean)?;
        Some(row.error / best.error)
    });
    ratios.reduce(f64::max)
}

/// What takes the noise off, best mixed with the tokens but for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Denoiser {
    #[serde(rename = "posterior mean")]
    PosteriorMean,
    #[serde(rename = "attention, scale 1")]
    Attention,
    #[serde(rename = "attention, scale p^{-1/2}")]
    AttentionScaled,
    #[serde(rename = "softmax over heads")]
    SoftmaxOverHeads,
    #[serde(rename = "shrinkage alone")]
    Shrinkage,
}

impl Denoiser {
    const ALL: [(Self, &'static str); 5] = [
        (Self::PosteriorMean, "posterior mean"),
        (Self::Attention, "attention, scale 1"),
        (Self::AttentionScaled, "attention, scale p^{-1/2}"),
        (Self::SoftmaxOverHeads, "softmax over heads"),
        (Self::Shrinkage, "shrinkage alone"),
    ];
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Deviation `t` of the noise in every coordinate.
    t: f64,
    method: Denoiser,
    /// Mean square error per coordinate.
    error: f64,
    deviation: f64,
    draws: usize,
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let bar = run.progress(settings.noises.len());
    let model = UnionOfSubspaces::new(HEADS, settings.p, settings.tokens, 0.0);
    let scale = (settings.p as f64).powf(-0.5);
    let mut rows = Vec::new();
    for &t in &settings.noises {
        let draws = parallel::map(settings.draws, run.threads, |draw| {
            let drawn = model.draw(run.seed, draw)?;
            let (d, n) = drawn.clean.dim();
            let x = &drawn.clean + &(gaussian(run.seed, &format!("noise {draw}"), d, n) * t);
            let (z, bases) = (x.view(), drawn.bases.view());
            let errors = Denoiser::ALL.map(|(denoiser, _)| {
                let step = match denoiser {
                    Denoiser::PosteriorMean => {
                        let found = by_token(z, |x| posterior_mean(x.to_owned().view(), bases, t));
                        return mean_square_error(&found, &drawn.clean);
                    }
                    Denoiser::Attention => attention_update(z, bases, 1.0),
                    Denoiser::AttentionScaled => attention_update(z, bases, scale),
                    Denoiser::SoftmaxOverHeads => {
                        by_token(z, |x| head_softmax(x.to_owned().view(), bases, scale))
                    }
                    Denoiser::Shrinkage => Array2::zeros((d, n)),
                };
                mean_square_error(&best_mix(&x, &step, &drawn.clean), &drawn.clean)
            });
            Ok(errors)
        })?;
        for (index, (method, _)) in Denoiser::ALL.into_iter().enumerate() {
            let found = Summary::of(&draws.iter().map(|d| d[index]).collect::<Vec<_>>());
            rows.push(Row {
                t,
                method,
                error: found.mean,
                deviation: found.deviation,
                draws: found.count,
            });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("posterior.csv", &found.membership.posterior)?;
    let denoisers = Denoiser::ALL.into_iter().enumerate();
    let series = denoisers.map(|(colour, (denoiser, name))| {
        let rows = found.membership.posterior.iter();
        let points = rows.filter(|r| r.method == denoiser).map(|r| {
            let value = Summary {
                mean: r.error,
                deviation: r.deviation,
                count: r.draws,
            };
            (r.t, value)
        });
        Series::new(name, colour, points.collect())
    });
    let axis = |name| Axis {
        name,
        scale: Scale::Logarithmic,
    };
    let chart = Chart {
        title: "Error of denoisers of a union of subspaces",
        horizontal: axis("noise t in every coordinate"),
        vertical: axis("mean square error per coordinate"),
        series: series.collect(),
    };
    shown.chart("posterior.svg", &chart)
}
