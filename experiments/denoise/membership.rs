//! The posterior of a mixture normalises over subspaces, for one token; MSSA normalises over tokens,
//! in one subspace.

use ndarray::{Array1, Array2, Axis as Dimension};
use serde::Serialize;
use whitebox::data::subspaces::{gaussian, UnionOfSubspaces};
use whitebox::exact::mixture::posterior_mean;
use whitebox::exact::mssa::{attention_map, attention_update};
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::run::Run;
use whitebox::harness::table;
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

// ANCHOR: claims
const SOFTMAX_IS_MEMBERSHIP: Claim = Claim {
    id: "C-THY-11",
    paper: "authors' book, chapter 4",
    location: "text before eq. grad Rc",
    statement:
        "softmax(W^T W) is membership: tokens of the subspace attend to each other, tokens of \
                other subspaces to all alike",
    criteria: &[
        Criterion::at_least("smallest mass on the own subspace, tokens of it", 0.9),
        Criterion::at_least(
            "smallest entropy / ln N, tokens of other subspaces, noise <= 0.1",
            0.9,
        ),
        // Mass that is all on the token itself makes attention the identity, not membership.
        Criterion::at_most(
            "largest mass on the token itself, tokens of the subspace",
            0.5,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const ATTENTION_IS_THE_DENOISER: Claim = Claim {
    id: "C-SUP-05",
    paper: "authors' book, chapter 3 against chapter 4",
    location: "eq. gmm_lowrank_denoiser and the definition of SSA",
    statement:
        "One step of MSSA, best mixed with its input, denoises as well as the posterior mean",
    criteria: &[
        Criterion::at_most(
            "largest error of attention over that of the posterior mean",
            1.2,
        ),
        Criterion::at_most("the same with the softmax over heads", 1.2).control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};
// ANCHOR_END: claims

/// Two models: widths 32 for the masses, 16 for the denoisers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    mass_p: usize,
    mass_tokens: usize,
    mass_noises: Vec<f64>,
    p: usize,
    tokens: usize,
    noises: Vec<f64>,
    draws: usize,
}

impl Settings {
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            mass_p: 32,
            mass_tokens: 256,
            mass_noises: vec![0.0, 0.1, 0.3, 0.5],
            p: 16,
            tokens: 400,
            noises: vec![0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
            draws: if quick { 2 } else { 20 },
        }
    }
}

const HEADS: usize = 4;

#[derive(Debug, Clone, Serialize)]
struct MassRow {
    softmax_scale: f64,
    noise: f64,
    /// Tokens of the subspace: mass on all of its tokens, on the token itself, on the others.
    own_subspace: f64,
    itself: f64,
    others_of_own: f64,
    /// Tokens of other subspaces: entropy of their weights over `ln N`.
    foreign_entropy: f64,
}

#[derive(Debug, Clone, Serialize)]
struct PosteriorRow {
    /// Deviation `t` of the noise in every coordinate.
    t: f64,
    method: &'static str,
    /// Mean square error per coordinate.
    error: f64,
    deviation: f64,
    draws: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    masses: Vec<MassRow>,
    posterior: Vec<PosteriorRow>,
}

const METHODS: [&str; 5] = [
    "posterior mean",
    "attention, scale 1",
    "attention, scale p^{-1/2}",
    "softmax over heads",
    "shrinkage alone",
];

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Results> {
    let bar = run.progress(2 * settings.mass_noises.len() + settings.noises.len());
    let mut masses = Vec::new();
    for softmax_scale in [1.0, (settings.mass_p as f64).powf(-0.5)] {
        for &noise in &settings.mass_noises {
            let model = UnionOfSubspaces::new(HEADS, settings.mass_p, settings.mass_tokens, noise);
            let draws = parallel::map(settings.draws, run.threads, |draw| {
                let drawn = model.draw(run.seed, draw)?;
                let mut sums = [0.0; 4];
                for (k, basis) in drawn.bases.outer_iter().enumerate() {
                    let map = attention_map(drawn.noisy.view(), basis, softmax_scale);
                    let members = drawn.members(k);
                    for (j, column) in map.columns().into_iter().enumerate() {
                        if members.contains(&j) {
                            let own: f64 = members.clone().map(|i| column[i]).sum();
                            let share = (members.len() * HEADS) as f64;
                            sums[0] += own / share;
                            sums[1] += column[j] / share;
                            sums[2] += (own - column[j]) / share;
                        } else {
                            let entropy: f64 = column
                                .iter()
                                .map(|&a| if a > 0.0 { -a * a.ln() } else { 0.0 })
                                .sum();
                            let share = ((map.ncols() - members.len()) * HEADS) as f64;
                            sums[3] += entropy / (map.ncols() as f64).ln() / share;
                        }
                    }
                }
                Ok(sums)
            })?;
            let mean = |i: usize| draws.iter().map(|d| d[i]).sum::<f64>() / draws.len() as f64;
            masses.push(MassRow {
                softmax_scale,
                noise,
                own_subspace: mean(0),
                itself: mean(1),
                others_of_own: mean(2),
                foreign_entropy: mean(3),
            });
            bar.inc(1);
        }
    }
    let mut posterior = Vec::new();
    for &t in &settings.noises {
        let model = UnionOfSubspaces::new(HEADS, settings.p, settings.tokens, 0.0);
        let draws = parallel::map(settings.draws, run.threads, |draw| {
            let drawn = model.draw(run.seed, draw)?;
            let (d, n) = drawn.clean.dim();
            let x = &drawn.clean + &(gaussian(run.seed, &format!("noise {draw}"), d, n) * t);
            let bases = drawn.bases.view();
            let scaled = (settings.p as f64).powf(-0.5);
            let bayes = columns(&x, |token| posterior_mean(token.view(), bases, t));
            let heads = columns(&x, |token| head_softmax(token, &drawn.bases, scaled));
            let error = |found: &Array2<f64>| {
                let difference = found - &drawn.clean;
                (&difference * &difference).sum() / (d * n) as f64
            };
            let mixed = |m: &Array2<f64>| error(&best_mix(&x, m, &drawn.clean));
            Ok([
                error(&bayes),
                mixed(&attention_update(x.view(), bases, 1.0)),
                mixed(&attention_update(x.view(), bases, scaled)),
                mixed(&heads),
                mixed(&Array2::zeros((d, n))),
            ])
        })?;
        for (index, method) in METHODS.into_iter().enumerate() {
            let found = Summary::of(&draws.iter().map(|d| d[index]).collect::<Vec<_>>());
            posterior.push(PosteriorRow {
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
    Ok(Results { masses, posterior })
}

fn columns(x: &Array2<f64>, denoise: impl Fn(&Array1<f64>) -> Array1<f64>) -> Array2<f64> {
    let mut out = Array2::zeros(x.dim());
    for (token, mut place) in x.axis_iter(Dimension(1)).zip(out.columns_mut()) {
        place.assign(&denoise(&token.to_owned()));
    }
    out
}

/// `sum_k softmax_k(scale ||U_k^T x||^2) U_k U_k^T x`: attention's weights, normalised over heads.
fn head_softmax(x: &Array1<f64>, bases: &ndarray::Array3<f64>, scale: f64) -> Array1<f64> {
    let projections: Vec<Array1<f64>> = bases.outer_iter().map(|basis| basis.t().dot(x)).collect();
    let energies: Vec<f64> = projections.iter().map(|w| scale * w.dot(w)).collect();
    let largest = energies.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = energies.iter().map(|e| (e - largest).exp()).sum();
    let mut sum = Array1::zeros(x.len());
    for ((basis, w), e) in bases.outer_iter().zip(&projections).zip(&energies) {
        sum.scaled_add((e - largest).exp() / total, &basis.dot(w));
    }
    sum
}

/// The combination `a X + b M` nearest to the clean tokens: the most favourable step there is.
fn best_mix(x: &Array2<f64>, m: &Array2<f64>, clean: &Array2<f64>) -> Array2<f64> {
    let inner = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum();
    let (xx, xm, mm) = (inner(x, x), inner(x, m), inner(m, m));
    let (xc, mc) = (inner(x, clean), inner(m, clean));
    let determinant = xx * mm - xm * xm;
    // M along X (or zero): the best multiple of X is all there is.
    if determinant <= 1e-12 * xx * mm.max(f64::MIN_POSITIVE) {
        return x * (xc / xx);
    }
    let a = (mm * xc - xm * mc) / determinant;
    let b = (xx * mc - xm * xc) / determinant;
    x * a + m * b
}

impl Results {
    pub(crate) fn judge(&self) -> Vec<Verdict> {
        let unscaled: Vec<&MassRow> = self
            .masses
            .iter()
            .filter(|r| r.softmax_scale == 1.0)
            .collect();
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
        let masses = vec![
            Measurement::of(
                "smallest mass on the own subspace, tokens of it",
                least(&mut unscaled.iter().map(|r| r.own_subspace)),
            ),
            Measurement::of(
                "smallest entropy / ln N, tokens of other subspaces, noise <= 0.1",
                least(
                    &mut unscaled
                        .iter()
                        .filter(|r| r.noise <= 0.1)
                        .map(|r| r.foreign_entropy),
                ),
            ),
            Measurement::of(
                "largest mass on the token itself, tokens of the subspace",
                most(&mut unscaled.iter().map(|r| r.itself)),
            ),
            Measurement::of(
                "scale p^{-1/2}: largest mass on the token itself",
                most(
                    &mut self
                        .masses
                        .iter()
                        .filter(|r| r.softmax_scale != 1.0)
                        .map(|r| r.itself),
                ),
            ),
            Measurement::of(
                "scale p^{-1/2}: smallest mass on the own subspace",
                least(
                    &mut self
                        .masses
                        .iter()
                        .filter(|r| r.softmax_scale != 1.0)
                        .map(|r| r.own_subspace),
                ),
            ),
        ];
        let ratio = |method: &str| {
            let rows = self.posterior.iter().filter(|r| r.method == method);
            let ratios = rows.filter_map(|row| {
                let best = self
                    .posterior
                    .iter()
                    .find(|r| r.t == row.t && r.method == METHODS[0])?;
                Some(row.error / best.error)
            });
            most(&mut { ratios })
        };
        let denoisers = vec![
            Measurement::of(
                "largest error of attention over that of the posterior mean",
                ratio(METHODS[1]).min(ratio(METHODS[2])),
            ),
            Measurement::of("the same with the softmax over heads", ratio(METHODS[3])),
            Measurement::of("the same for shrinkage alone", ratio(METHODS[4])),
        ];
        vec![
            SOFTMAX_IS_MEMBERSHIP.judge(masses),
            ATTENTION_IS_THE_DENOISER.judge(denoisers),
        ]
    }

    pub(crate) fn write(&self, run: &Run) -> Result<()> {
        table::write(&run.path("masses.csv"), &self.masses)?;
        table::write(&run.path("posterior.csv"), &self.posterior)?;
        let series = METHODS
            .into_iter()
            .enumerate()
            .map(|(colour, method)| {
                Series::new(
                    method,
                    colour,
                    self.posterior
                        .iter()
                        .filter(|r| r.method == method)
                        .map(|r| {
                            let value = Summary {
                                mean: r.error,
                                deviation: r.deviation,
                                count: r.draws,
                            };
                            (r.t, value)
                        })
                        .collect(),
                )
            })
            .collect();
        Chart {
            title: "Error of denoisers of a union of subspaces",
            horizontal: Axis {
                name: "noise t in every coordinate",
                scale: Scale::Logarithmic,
            },
            vertical: Axis {
                name: "mean square error per coordinate",
                scale: Scale::Logarithmic,
            },
            series,
        }
        .write(&run.path("posterior.svg"))
    }
}
