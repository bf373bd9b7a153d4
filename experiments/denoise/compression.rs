//! A compression step acts on the second moments of a head; a denoiser acts on a token.
//!
//! With `kappa = 1 / c` the exact step on `R^c` is Wiener's filter for each head (C-THY-14, a property
//! test). Where only some of the subspaces have tokens, the filter removes what leaks into the others;
//! where all have, noise and signal share every direction.

use ndarray::{s, Array2, ArrayView2};
use serde::Serialize;
use whitebox::data::subspaces::{SubspaceTokens, UnionOfSubspaces};
use whitebox::exact::attention_only::signal_to_noise;
use whitebox::exact::mixture::{nearest_projection, posterior_mean, wiener_filters};
use whitebox::exact::mssa::attention_update;
use whitebox::exact::subspace_rate;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::run::Run;
use whitebox::harness::table;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::{parallel, Result};

const PAPER: &str = "ICLR 2024, arXiv 2404.02446";

// ANCHOR: claims
const ONE_SUBSPACE: Claim = Claim {
    id: "C-THY-14-one",
    paper: PAPER,
    location: "compression as denoising",
    statement:
        "With tokens in one subspace only, the exact compression step removes the noise outside \
                it and keeps the signal",
    criteria: &[
        Criterion::at_most("one subspace populated: energy of the noise kept", 0.05),
        Criterion::at_least("one subspace populated: energy of the signal kept", 0.9),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const MIXTURE: Claim = Claim {
    id: "C-THY-14",
    paper: PAPER,
    location: "compression as denoising",
    statement:
        "With tokens in all subspaces, the exact compression step halves the distance to the \
                clean tokens (mean square)",
    criteria: &[
        Criterion::at_most(
            "all populated: mean square error after / before, exact step",
            0.5,
        ),
        Criterion::at_most(
            "all populated: the same, posterior mean of every token",
            0.5,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const ATTENTION_DENOISES: Claim = Claim {
    id: "C-THY-14-attention",
    paper: "authors' book, chapter 4",
    location: "the step (1 - kappa c) Z + kappa c M at kappa c = 1",
    statement: "Attention, which does see tokens, halves it",
    criteria: &[
        Criterion::at_most(
            "all populated: the same, attention with scores unscaled",
            0.5,
        ),
        Criterion::at_most(
            "all populated: the same, projection on the nearest subspace",
            0.5,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const OPPOSITE: Claim = Claim {
    id: "C-SUP-03",
    paper: "derived by this project",
    location: "bears on arXiv 2306.01129, 2404.02446, 2411.17182",
    statement: "Z + M raises the signal-to-noise ratio while R^c rises; Z - M lowers both",
    criteria: &[
        Criterion::at_least("draws where Z + M raises the ratio", 1.0),
        Criterion::at_least("draws where Z + M raises R^c", 1.0),
        Criterion::at_least("draws where Z - M lowers the ratio", 1.0),
        Criterion::at_least("draws where Z - M lowers R^c", 1.0),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};
// ANCHOR_END: claims

/// The model: 4 subspaces of width 16.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    heads: usize,
    p: usize,
    tokens: usize,
    noise: f64,
    draws: usize,
    sweep: Vec<f64>,
    sign_noise: f64,
    sign_tokens: usize,
    sign_epsilon: f64,
    region_draws: usize,
}

impl Settings {
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            heads: 4,
            p: 16,
            tokens: 512,
            noise: 0.05,
            draws: if quick { 2 } else { 20 },
            sweep: vec![0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            sign_noise: 0.3,
            sign_tokens: 400,
            sign_epsilon: 0.5,
            region_draws: if quick { 1 } else { 5 },
        }
    }

    /// `eps^2 = 10 p noise^2`: the filter's noise level is ten times the noise.
    fn epsilon(&self, noise: f64) -> f64 {
        (10.0 * self.p as f64).sqrt() * noise
    }
}

/// What takes noise off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    ExactStep,
    AttentionUnscaled,
    AttentionScaled,
    NearestSubspace,
    PosteriorMean,
}

impl Method {
    const ALL: [Self; 5] = [
        Self::ExactStep,
        Self::AttentionUnscaled,
        Self::AttentionScaled,
        Self::NearestSubspace,
        Self::PosteriorMean,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ExactStep => "exact step on R^c",
            Self::AttentionUnscaled => "attention, scale 1",
            Self::AttentionScaled => "attention, scale p^{-1/2}",
            Self::NearestSubspace => "nearest subspace",
            Self::PosteriorMean => "posterior mean",
        }
    }

    fn apply(self, drawn: &SubspaceTokens, noise: f64, epsilon: f64) -> Result<Array2<f64>> {
        let (z, bases) = (drawn.noisy.view(), drawn.bases.view());
        let by_token = |denoise: &dyn Fn(ndarray::ArrayView1<'_, f64>) -> ndarray::Array1<f64>| {
            let mut out = Array2::zeros(z.dim());
            for (token, mut place) in z.columns().into_iter().zip(out.columns_mut()) {
                place.assign(&denoise(token));
            }
            out
        };
        Ok(match self {
            Self::ExactStep => filtered(drawn, epsilon, z)?,
            Self::AttentionUnscaled => attention_update(z, bases, 1.0),
            Self::AttentionScaled => {
                let scale = (bases.dim().2 as f64).powf(-0.5);
                attention_update(z, bases, scale)
            }
            Self::NearestSubspace => by_token(&|x| nearest_projection(x, bases)),
            Self::PosteriorMean => by_token(&|x| posterior_mean(x, bases, noise)),
        })
    }
}

/// The filter that the exact step applies to the tokens, applied to anything.
fn filtered(drawn: &SubspaceTokens, epsilon: f64, x: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let filters = wiener_filters(drawn.noisy.view(), drawn.bases.view(), epsilon)?;
    let mut sum = Array2::zeros(x.dim());
    for (basis, filter) in drawn.bases.outer_iter().zip(filters.outer_iter()) {
        sum += &basis.dot(&filter.dot(&basis.t().dot(&x)));
    }
    Ok(sum)
}

#[derive(Debug, Clone, Serialize)]
struct MomentRow {
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

/// One draw's answers to the sign question.
#[derive(Debug, Clone, Copy)]
struct Signs {
    raises_ratio: bool,
    raises_rate: bool,
    lowers_ratio: bool,
    lowers_rate: bool,
    numbers: [f64; 7],
}

#[derive(Debug, Clone, Serialize)]
struct SignRow {
    noise: f64,
    p: usize,
    tokens: usize,
    /// Share of draws in which all four signs are as claimed.
    all_four: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    moments: Vec<MomentRow>,
    signs: Vec<Measurement>,
    region: Vec<SignRow>,
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Results> {
    let populations = [1, 2, 4].map(|populated| (populated, settings.noise));
    let sweep = settings.sweep.iter().map(|&noise| (settings.heads, noise));
    let cells: Vec<(usize, f64)> = populations.into_iter().chain(sweep).collect();
    let grid = region();
    let bar = run.progress(cells.len() + 1 + grid.len());
    let mut moments = Vec::new();
    for (populated, noise) in cells {
        moments.extend(second_moments(settings, run, populated, noise)?);
        bar.inc(1);
    }
    let draws = sign_draws(
        run,
        settings.sign_noise,
        settings.p,
        settings.sign_tokens,
        settings.sign_epsilon,
        settings.draws,
    )?;
    bar.inc(1);
    let share =
        |quantity, holds: fn(&Signs) -> bool| Measurement::of(quantity, fraction(&draws, holds));
    let mean = |quantity, index: usize| {
        let total: f64 = draws.iter().map(|d| d.numbers[index]).sum();
        Measurement::of(quantity, total / draws.len() as f64)
    };
    let signs = vec![
        share("draws where Z + M raises the ratio", |d| d.raises_ratio),
        share("draws where Z + M raises R^c", |d| d.raises_rate),
        share("draws where Z - M lowers the ratio", |d| d.lowers_ratio),
        share("draws where Z - M lowers R^c", |d| d.lowers_rate),
        mean("signal-to-noise ratio of Z", 0),
        mean("of Z + M", 1),
        mean("of Z - M", 2),
        mean("of the exact step at kappa c = 1", 3),
        mean("R^c of Z", 4),
        mean("R^c of Z + M", 5),
        mean("R^c of Z - M", 6),
    ];
    let mut rows = Vec::new();
    for (noise, p, tokens) in grid {
        let draws = sign_draws(
            run,
            noise,
            p,
            tokens,
            settings.sign_epsilon,
            settings.region_draws,
        )?;
        rows.push(SignRow {
            noise,
            p,
            tokens,
            all_four: fraction(&draws, |d| {
                d.raises_ratio && d.raises_rate && d.lowers_ratio && d.lowers_rate
            }),
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Results {
        moments,
        signs,
        region: rows,
    })
}

fn second_moments(
    settings: &Settings,
    run: &Run,
    populated: usize,
    noise: f64,
) -> Result<Vec<MomentRow>> {
    let model = UnionOfSubspaces {
        populated,
        ..UnionOfSubspaces::new(settings.heads, settings.p, settings.tokens, noise)
    };
    let epsilon = settings.epsilon(noise);
    let draws = parallel::map(settings.draws, run.threads, |draw| {
        let drawn = model.draw(run.seed, draw)?;
        let noise_part = &drawn.noisy - &drawn.clean;
        let before = energy(&noise_part);
        let ratios = Method::ALL
            .iter()
            .map(|method| {
                let after = method.apply(&drawn, noise, epsilon)?;
                Ok(energy(&(after - &drawn.clean)) / before)
            })
            .collect::<Result<Vec<f64>>>()?;
        let kept = |part: &Array2<f64>| -> Result<f64> {
            Ok(energy(&filtered(&drawn, epsilon, part.view())?) / energy(part))
        };
        Ok((ratios, kept(&noise_part)?, kept(&drawn.clean)?))
    })?;
    let noise_kept = Summary::of(&draws.iter().map(|d| d.1).collect::<Vec<_>>());
    let signal_kept = Summary::of(&draws.iter().map(|d| d.2).collect::<Vec<_>>());
    Ok(Method::ALL
        .iter()
        .enumerate()
        .map(|(index, &method)| {
            let ratio = Summary::of(&draws.iter().map(|d| d.0[index]).collect::<Vec<_>>());
            let linear = method == Method::ExactStep;
            MomentRow {
                populated,
                noise,
                method,
                error_ratio: ratio.mean,
                error_ratio_deviation: ratio.deviation,
                noise_kept: linear.then_some(noise_kept.mean),
                signal_kept: linear.then_some(signal_kept.mean),
                draws: draws.len(),
            }
        })
        .collect())
}

/// Noise, width and number of tokens for which the four signs are asked again.
fn region() -> Vec<(f64, usize, usize)> {
    let mut cells = Vec::new();
    for noise in [0.05, 0.1, 0.3, 0.5, 0.8] {
        for p in [4, 16, 64] {
            for tokens in [64, 256] {
                cells.push((noise, p, tokens));
            }
        }
    }
    cells
}

fn sign_draws(
    run: &Run,
    noise: f64,
    p: usize,
    tokens: usize,
    epsilon: f64,
    draws: usize,
) -> Result<Vec<Signs>> {
    let model = UnionOfSubspaces::new(4, p, tokens, noise);
    parallel::map(draws, run.threads, |draw| {
        let drawn = model.draw(run.seed, draw)?;
        let z = &drawn.noisy;
        let m = attention_update(z.view(), drawn.bases.view(), 1.0);
        let ratio = |z: &Array2<f64>| mean_ratio(&drawn, z);
        let rate = |z: &Array2<f64>| -> Result<f64> {
            Ok(subspace_rate(z.view(), drawn.bases.view(), epsilon)?.total)
        };
        let (added, subtracted) = (z + &m, z - &m);
        let exact = filtered(&drawn, epsilon, z.view())?;
        let ratios = [ratio(z), ratio(&added), ratio(&subtracted), ratio(&exact)];
        let rates = [rate(z)?, rate(&added)?, rate(&subtracted)?];
        Ok(Signs {
            raises_ratio: ratios[1] > ratios[0],
            raises_rate: rates[1] > rates[0],
            lowers_ratio: ratios[2] < ratios[0],
            lowers_rate: rates[2] < rates[0],
            numbers: [
                ratios[0], ratios[1], ratios[2], ratios[3], rates[0], rates[1], rates[2],
            ],
        })
    })
}

/// Mean over subspaces of the signal-to-noise ratio of their tokens.
pub(crate) fn mean_ratio(drawn: &SubspaceTokens, z: &Array2<f64>) -> f64 {
    let ratios = block_ratios(drawn, z);
    ratios.iter().sum::<f64>() / ratios.len() as f64
}

/// The signal-to-noise ratio of the tokens of every subspace.
pub(crate) fn block_ratios(drawn: &SubspaceTokens, z: &Array2<f64>) -> Vec<f64> {
    let blocks = drawn.bases.outer_iter().enumerate();
    blocks
        .map(|(k, basis)| signal_to_noise(z.slice(s![.., drawn.members(k)]), basis))
        .collect()
}

fn energy(z: &Array2<f64>) -> f64 {
    z.iter().map(|v| v * v).sum()
}

impl Results {
    fn row(&self, populated: usize, noise: f64, method: Method) -> Option<&MomentRow> {
        self.moments
            .iter()
            .find(|r| r.populated == populated && r.noise == noise && r.method == method)
    }

    pub(crate) fn judge(&self) -> Vec<Verdict> {
        let all = |quantity, method| {
            let row = self.row(4, 0.05, method);
            row.map(|row| Measurement::of(quantity, row.error_ratio))
        };
        let mut one = Vec::new();
        if let Some(row) = self.row(1, 0.05, Method::ExactStep) {
            let noise = row
                .noise_kept
                .map(|v| Measurement::of("one subspace populated: energy of the noise kept", v));
            let signal = row
                .signal_kept
                .map(|v| Measurement::of("one subspace populated: energy of the signal kept", v));
            one.extend(noise.into_iter().chain(signal));
        }
        let mixture = [
            all(
                "all populated: mean square error after / before, exact step",
                Method::ExactStep,
            ),
            all(
                "all populated: the same, posterior mean of every token",
                Method::PosteriorMean,
            ),
        ];
        let attention = [
            all(
                "all populated: the same, attention with scores unscaled",
                Method::AttentionUnscaled,
            ),
            all(
                "all populated: the same, attention with the network's scale",
                Method::AttentionScaled,
            ),
            all(
                "all populated: the same, projection on the nearest subspace",
                Method::NearestSubspace,
            ),
        ];
        vec![
            ONE_SUBSPACE.judge(one),
            MIXTURE.judge(mixture.into_iter().flatten().collect()),
            ATTENTION_DENOISES.judge(attention.into_iter().flatten().collect()),
            OPPOSITE.judge(self.signs.clone()),
        ]
    }

    pub(crate) fn print(&self) {
        println!("\nMean square error after / before one step, noise 0.05, by number of populated subspaces.\n");
        print!("{:>10} |", "populated");
        for method in Method::ALL {
            print!(" {:>25}", method.name());
        }
        println!();
        for populated in [1, 2, 4] {
            print!("{populated:>10} |");
            for method in Method::ALL {
                if let Some(row) = self.row(populated, 0.05, method) {
                    print!(" {:>25.4}", row.error_ratio);
                }
            }
            println!();
        }
    }

    pub(crate) fn write(&self, run: &Run) -> Result<()> {
        table::write(&run.path("second-moments.csv"), &self.moments)?;
        table::write(&run.path("signs.csv"), &self.region)?;
        let series = Method::ALL
            .iter()
            .enumerate()
            .map(|(colour, &method)| {
                Series::new(
                    method.name(),
                    colour,
                    self.moments
                        .iter()
                        .filter(|r| r.populated == 4 && r.method == method)
                        // The right subspace leaves nothing but rounding: off the chart.
                        .filter(|r| r.error_ratio > 1e-6)
                        .map(|r| {
                            let value = Summary {
                                mean: r.error_ratio,
                                deviation: r.error_ratio_deviation,
                                count: r.draws,
                            };
                            (r.noise, value)
                        })
                        .collect(),
                )
            })
            .collect();
        Chart {
            title: "Distance to the clean tokens after one step, all subspaces populated",
            horizontal: Axis {
                name: "noise: deviation in the other subspaces",
                scale: Scale::Logarithmic,
            },
            vertical: Axis {
                name: "mean square error after / before",
                scale: Scale::Logarithmic,
            },
            series,
        }
        .write(&run.path("noise.svg"))
    }
}
