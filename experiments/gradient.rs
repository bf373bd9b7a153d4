//! # How good is MSSA as a stand-in for the gradient of R^c?
//!
//! **Claims** C-THY-05, C-THY-10, C-CRIT-01, C-SUP-01, on drawn tokens. NeurIPS 2023 (arXiv
//! 2306.01129, section 2.3; book, chapter 4) replaces the exact descent direction of the compression
//! term,
//!
//! `-grad R^c = -c sum_k U_k W_k (I + c W_k^T W_k)^{-1}`, `W_k = U_k^T Z`, `c = p / (N eps^2)`,
//!
//! first by the first order of its Neumann series and then by attention, which gives
//! `(1 - kappa c) Z + kappa c M`, `M = sum_k U_k SSA(Z | U_k)`; the code adds instead, `Z + M`. A
//! critical follow-up (arXiv 2411.17182) says that this ascends.
//!
//! Tokens come from a union of K orthogonal subspaces with leakage into the others, or have no
//! structure at all. One setting is swept at a time: the radius of the series, eps, the noise, the
//! scale of the softmax, the number of heads, the length of the step.
//!
//! **Criteria**: the constants below, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_gradient`: about a minute on two cores.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use ndarray::{Array2, Array3, ArrayView2, Axis};
use rand::Rng;
use serde::Serialize;
use whitebox::data::subspaces::{gaussian, UnionOfSubspaces};
use whitebox::exact::mssa::{attention_update, doubly_stochastic};
use whitebox::exact::neumann::radius;
use whitebox::exact::scale_free::unit_tokens;
use whitebox::exact::subspace_rate;
use whitebox::harness::chart::{Axis as ChartAxis, Chart, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::descent::{Descent, Direction};
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::{parallel, seed, Result};

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129";
const BOOK: &str = "authors' book, chapter 4";
const FOLLOW_UP: &str = "arXiv 2411.17182";

// ANCHOR: claims
const FIRST_ORDER: Claim = Claim {
    id: "C-THY-05",
    paper: BOOK,
    location: "eq. gd_rc_neumann",
    statement: "The first order of the Neumann series stands in for the exact gradient while its \
                radius rho is at most 1/2, and has the wrong sign along some direction beyond 1",
    criteria: &[
        Criterion::at_least(
            "smallest cosine with the exact gradient where rho <= 1/2",
            0.95,
        ),
        Criterion::at_least(
            "fraction of draws with rho > 1 where it raises R^c at kappa c = 0.1",
            0.5,
        ),
        Criterion::at_most(
            "fraction of draws with rho <= 1/2 where it raises R^c at kappa c = 0.1",
            0.0,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const OFFICIAL_STEP_COMPRESSES: Claim = Claim {
    id: "C-THY-10",
    paper: PAPER,
    location: "section 2.3 and the official code's skip connection",
    statement: "The official step Z + M compresses: R^c falls",
    criteria: &[
        Criterion::at_least("Z + M: fraction of draws where R^c falls", 0.95),
        Criterion::at_least(
            "Z + M: fraction of draws where R^c is below that of Z scaled to the same norm",
            0.5,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const OFFICIAL_STEP_COMPRESSES_UNIT_TOKENS: Claim = Claim {
    id: "C-THY-10-unit",
    paper: PAPER,
    location: "the same, with tokens scaled to length 1 before every rate, as the official measurement has it",
    statement: "Measured on tokens of length 1, the official step Z + M compresses",
    criteria: &[
        Criterion::at_least("Z + M, unit tokens: fraction of draws where R^c falls", 0.95),
        // Z + M and (Z + M) / 2 are the same point there: whatever falls says nothing of the sign.
        Criterion::at_most("Z - M, unit tokens: fraction of draws where R^c falls", 0.5).control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const STACK_ASCENDS: Claim = Claim {
    id: "C-CRIT-01",
    paper: FOLLOW_UP,
    location: "attention-only experiment",
    statement:
        "A stack of 12 tied steps Z + M ascends on R^c; with the sign turned it first descends",
    criteria: &[
        Criterion::at_least(
            "Z + M: fraction of draws where R^c rises at every layer",
            0.95,
        ),
        Criterion::at_least(
            "Z - M: fraction of draws where R^c falls at the first layer",
            0.95,
        ),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

/// What "descends, and not by shrinking alone" means.
const DESCENDS: &[Criterion] = &[
    Criterion::at_least("smallest fraction over cells of draws that descend", 0.95),
    Criterion::at_least("smallest mean cosine over cells beyond shrinkage", 0.2),
    Criterion::at_least(
        "the same less a random doubly stochastic map's, smallest over cells",
        0.0,
    )
    .control(),
];

const CONVEX_FORM_DESCENDS: Claim = Claim {
    id: "C-SUP-01",
    paper: BOOK,
    location: "the step (1 - kappa c) Z + kappa c M",
    statement:
        "The convex form of MSSA descends on R^c far outside the radius, beyond mere shrinkage",
    criteria: DESCENDS,
    kind: Kind::Empirical,
    scale: Size::Small,
};

const CONVEX_FORM_DESCENDS_ANYWHERE: Claim = Claim {
    id: "C-SUP-01-any",
    paper: BOOK,
    location: "the same step, outside the book's assumptions",
    statement: "The same with coherent bases, and with a few tokens that are ten times as long",
    criteria: DESCENDS,
    kind: Kind::Empirical,
    scale: Size::Small,
};
// ANCHOR_END: claims

/// Hold MSSA's steps against the exact gradient of the compression term, on drawn tokens.
#[derive(Debug, Parser)]
#[command(name = "exp_gradient", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// Draws per setting of a sweep.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..))]
    draws: u32,
}

/// The middle of every sweep.
#[derive(Debug, Clone, Copy, Serialize)]
struct Settings {
    heads: usize,
    p: usize,
    tokens: usize,
    noise: f64,
    epsilon: f64,
    softmax_scale: f64,
    draws: usize,
}

impl Settings {
    fn middle(draws: usize) -> Self {
        Self {
            heads: 4,
            p: 16,
            tokens: 128,
            noise: 0.3,
            epsilon: 0.5,
            softmax_scale: 0.25,
            draws,
        }
    }

    fn model(&self) -> UnionOfSubspaces {
        UnionOfSubspaces::new(self.heads, self.p, self.tokens, self.noise)
    }
}

/// One point of a sweep.
#[derive(Debug, Clone, Serialize)]
struct Row {
    sweep: &'static str,
    setting: f64,
    direction: Direction,
    quantity: &'static str,
    mean: f64,
    deviation: f64,
    draws: usize,
}

impl Row {
    fn summary(&self) -> Summary {
        Summary {
            mean: self.mean,
            deviation: self.deviation,
            count: self.draws,
        }
    }
}

/// One cell of the sign question.
#[derive(Debug, Clone, Serialize)]
struct SignCell {
    tokens: &'static str,
    softmax_scale: f64,
    epsilon_squared: f64,
    /// Fractions of draws where `R^c` falls.
    added: f64,
    subtracted: f64,
    convex: f64,
    added_unit_tokens: f64,
    subtracted_unit_tokens: f64,
    /// `R^c(Z + M)` below that of `Z` scaled to the norm of `Z + M`.
    added_against_scaling: f64,
}

/// One cell of the convex form.
#[derive(Debug, Clone, Serialize)]
struct ConvexCell {
    setting: &'static str,
    tokens: &'static str,
    rho: f64,
    softmax_scale: f64,
    descends: f64,
    cosine: f64,
    cosine_of_shrinkage: f64,
    beyond_shrinkage: f64,
    beyond_shrinkage_random_map: f64,
}

/// `R^c` along the stack: mean change per layer.
#[derive(Debug, Clone, Serialize)]
struct StackRow {
    sign: &'static str,
    layer: usize,
    mean: f64,
    deviation: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    sweeps: Vec<Row>,
    signs: Vec<SignCell>,
    convex: Vec<ConvexCell>,
    stack: Vec<StackRow>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let run = Run::begin("gradient", &arguments.experiment, None)?;
    let draws = arguments.experiment.count(4, arguments.draws);
    let middle = Settings::middle(draws);
    println!(
        "MSSA against the exact gradient of R^c ({PAPER}).\n\
         {} subspaces of width {}, {} tokens, noise {}, epsilon {}; {draws} draws per setting.",
        middle.heads, middle.p, middle.tokens, middle.noise, middle.epsilon
    );
    let sweeps = sweeps();
    let bar = run.progress(sweeps.len() + 3);
    let mut rows = Vec::new();
    let mut radius_draws = Vec::new();
    for sweep in &sweeps {
        let (found, by_draw) = sweep.measure(&middle, &run)?;
        rows.extend(found);
        radius_draws.extend(by_draw);
        bar.inc(1);
    }
    let signs = sign_question(&middle, &run)?;
    bar.inc(1);
    let convex = convex_form(&run, draws)?;
    bar.inc(1);
    let stack = stack(&middle, &run)?;
    bar.finish_and_clear();

    let mut verdicts = vec![FIRST_ORDER.judge(first_order(&radius_draws))];
    verdicts.extend(judge_signs(&signs));
    verdicts.push(STACK_ASCENDS.judge(vec![
        Measurement::of(
            "Z + M: fraction of draws where R^c rises at every layer",
            stack.1,
        ),
        Measurement::of(
            "Z - M: fraction of draws where R^c falls at the first layer",
            stack.2,
        ),
    ]));
    let plain = |cell: &&ConvexCell| cell.setting == "orthogonal bases";
    let (inside, outside): (Vec<_>, Vec<_>) = convex.iter().partition(plain);
    verdicts.push(CONVEX_FORM_DESCENDS.judge(judge_convex(&inside)));
    verdicts.push(CONVEX_FORM_DESCENDS_ANYWHERE.judge(judge_convex(&outside)));

    print(&rows);
    let mut files = vec![
        "sweeps.csv".to_owned(),
        "signs.csv".into(),
        "convex.csv".into(),
    ];
    table::write(&run.path("sweeps.csv"), &rows)?;
    table::write(&run.path("signs.csv"), &signs)?;
    table::write(&run.path("convex.csv"), &convex)?;
    for sweep in &sweeps {
        let file = format!("{}.svg", sweep.name);
        sweep.chart(&rows).write(&run.path(&file))?;
        files.push(file);
    }
    let results = Results {
        sweeps: rows,
        signs,
        convex,
        stack: stack.0,
    };
    run.finish(
        middle,
        verdicts,
        results,
        &Sources::default(),
        &files.join(", "),
    )
}

/// One setting that is swept while the others stay in the middle.
struct Sweep {
    name: &'static str,
    title: &'static str,
    axis: &'static str,
    values: Vec<f64>,
    apply: fn(&mut Settings, f64),
}

/// What one draw gave: the radius, the cosine of the first order, whether it raised `R^c`.
struct RadiusDraw {
    rho: f64,
    cosine: f64,
    raised: bool,
}

/// Length of the step, `kappa c`, wherever it is not swept.
const STEP: f64 = 0.1;

fn powers_of_two(range: std::ops::RangeInclusive<i32>) -> Vec<f64> {
    range.map(|power| 2f64.powi(power)).collect()
}

fn sweeps() -> Vec<Sweep> {
    let nothing: fn(&mut Settings, f64) = |_, _| ();
    vec![
        Sweep {
            name: "radius",
            title: "Cosine with the exact descent direction of R^c, by radius",
            axis: "radius rho of the series (tokens scaled)",
            values: powers_of_two(-8..=8),
            apply: nothing,
        },
        Sweep {
            name: "epsilon",
            title: "Cosine with the exact descent direction of R^c, by precision",
            axis: "epsilon",
            values: powers_of_two(-5..=5),
            apply: |settings, value| settings.epsilon = value,
        },
        Sweep {
            name: "noise",
            title: "Cosine with the exact descent direction of R^c, by noise",
            axis: "noise: deviation in the other subspaces",
            values: vec![0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            apply: |settings, value| settings.noise = value,
        },
        Sweep {
            name: "scale",
            title: "Cosine with the exact descent direction of R^c, by scale of the softmax",
            axis: "factor on the scores (p^{-1/2} = 0.25)",
            values: powers_of_two(-8..=5),
            apply: |settings, value| settings.softmax_scale = value,
        },
        Sweep {
            name: "heads",
            title: "Cosine with the exact descent direction of R^c, by number of heads",
            axis: "heads K, width 16 each, 32 tokens per head",
            values: vec![1.0, 2.0, 4.0, 8.0, 16.0],
            apply: |settings, value| {
                settings.heads = value as usize;
                settings.tokens = 32 * settings.heads;
            },
        },
        Sweep {
            name: "step",
            title: "Change of R^c by length of the step",
            axis: "length of the step, kappa c",
            values: powers_of_two(-7..=2),
            apply: nothing,
        },
    ]
}

impl Sweep {
    fn measure(&self, middle: &Settings, run: &Run) -> Result<(Vec<Row>, Vec<RadiusDraw>)> {
        let mut rows = Vec::new();
        let mut by_draw = Vec::new();
        for &value in &self.values {
            let mut settings = *middle;
            (self.apply)(&mut settings, value);
            let draws = parallel::map(settings.draws, run.threads, |draw| {
                let mut drawn = settings.model().draw(run.seed, draw)?;
                if self.name == "radius" {
                    let found = radius(drawn.noisy.view(), drawn.bases.view(), settings.epsilon)?;
                    drawn.noisy *= (value / found).sqrt();
                }
                let descent = Descent::at(
                    drawn.noisy.view(),
                    drawn.bases.view(),
                    settings.epsilon,
                    settings.softmax_scale,
                )?;
                let before = descent.rate()?;
                let step = if self.name == "step" { value } else { STEP };
                let measured = Direction::ALL
                    .iter()
                    .map(|&which| {
                        let direction = descent.direction(which);
                        let after = descent.rate_after(direction.view(), step)?;
                        Ok([
                            descent.cosine(direction.view()),
                            descent.cosine_beyond_shrinkage(direction.view()),
                            after / before - 1.0,
                        ])
                    })
                    .collect::<Result<Vec<[f64; 3]>>>()?;
                Ok(measured)
            })?;
            let quantities = ["cosine", "cosine_beyond_shrinkage", "relative_change"];
            for (which, &direction) in Direction::ALL.iter().enumerate() {
                for (index, quantity) in quantities.into_iter().enumerate() {
                    let values: Vec<f64> = draws.iter().map(|d| d[which][index]).collect();
                    let found = Summary::of(&values);
                    rows.push(Row {
                        sweep: self.name,
                        setting: value,
                        direction,
                        quantity,
                        mean: found.mean,
                        deviation: found.deviation,
                        draws: found.count,
                    });
                }
            }
            if self.name == "radius" {
                by_draw.extend(draws.iter().map(|draw| RadiusDraw {
                    rho: value,
                    cosine: draw[1][0],
                    raised: draw[1][2] > 0.0,
                }));
            }
        }
        Ok((rows, by_draw))
    }

    fn chart(&self, rows: &[Row]) -> Chart<'_> {
        let quantity = if self.name == "step" {
            "relative_change"
        } else {
            "cosine"
        };
        let series = Direction::ALL
            .iter()
            .enumerate()
            // The exact direction's cosine is 1; a subtracted step's is the added one's turned over.
            .filter(|(_, which)| {
                self.name == "step" || !matches!(which, Direction::Exact | Direction::Subtracted)
            })
            .map(|(colour, &direction)| {
                Series::new(
                    direction.name(),
                    colour,
                    rows.iter()
                        .filter(|r| {
                            (r.sweep, r.direction, r.quantity) == (self.name, direction, quantity)
                        })
                        // Beyond 1 the first order blows up: the picture shows what the others do.
                        .filter(|r| r.mean.abs() <= 1.5)
                        .map(|r| (r.setting, r.summary()))
                        .collect(),
                )
            })
            .collect();
        Chart {
            title: self.title,
            horizontal: ChartAxis {
                name: self.axis,
                scale: Scale::Logarithmic,
            },
            vertical: ChartAxis {
                name: if self.name == "step" {
                    "relative change of R^c"
                } else {
                    "cosine"
                },
                scale: Scale::Linear,
            },
            series,
        }
    }
}

fn first_order(draws: &[RadiusDraw]) -> Vec<Measurement> {
    let raised = |draws: &[&RadiusDraw]| fraction(draws, |d| d.raised);
    let inside: Vec<&RadiusDraw> = draws.iter().filter(|d| d.rho <= 0.5).collect();
    let outside: Vec<&RadiusDraw> = draws.iter().filter(|d| d.rho > 1.0).collect();
    let smallest = inside
        .iter()
        .map(|d| d.cosine)
        .fold(f64::INFINITY, f64::min);
    vec![
        Measurement::of(
            "smallest cosine with the exact gradient where rho <= 1/2",
            smallest,
        ),
        Measurement::of(
            "fraction of draws with rho > 1 where it raises R^c at kappa c = 0.1",
            raised(&outside),
        ),
        Measurement::of(
            "fraction of draws with rho <= 1/2 where it raises R^c at kappa c = 0.1",
            raised(&inside),
        ),
    ]
}

/// Every combination of data, scale and precision: does `R^c` fall, and on which tokens?
fn sign_question(middle: &Settings, run: &Run) -> Result<Vec<SignCell>> {
    let mut cells = Vec::new();
    for tokens in ["union of subspaces", "no structure"] {
        for softmax_scale in [(middle.p as f64).powf(-0.5), 1.0, 10.0, 100.0] {
            for epsilon_squared in [0.01f64, 0.25, 1.0, 4.0] {
                let draws = parallel::map(middle.draws, run.threads, |draw| {
                    let drawn = middle.model().draw(run.seed, draw)?;
                    let z = match tokens {
                        "no structure" => {
                            let (d, n) = drawn.noisy.dim();
                            gaussian(run.seed, &format!("no structure {draw}"), d, n)
                        }
                        _ => drawn.noisy,
                    };
                    let z = unit_tokens(z.view());
                    let epsilon = epsilon_squared.sqrt();
                    let descent =
                        Descent::at(z.view(), drawn.bases.view(), epsilon, softmax_scale)?;
                    let m = descent.direction(Direction::Added);
                    let (added, subtracted) = (&z + &m, &z - &m);
                    let convex = (&z + &m) * 0.5;
                    let ratio = norm(&added) / norm(&z);
                    let before = descent.rate()?;
                    let falls = |z: &Array2<f64>| Ok(descent.rate_of(z.view())? < before);
                    Ok([
                        falls(&added)?,
                        falls(&subtracted)?,
                        falls(&convex)?,
                        falls(&unit_tokens(added.view()))?,
                        falls(&unit_tokens(subtracted.view()))?,
                        descent.rate_of(added.view())? < descent.rate_of((&z * ratio).view())?,
                    ])
                })?;
                let share = |index: usize| fraction(&draws, |d| d[index]);
                cells.push(SignCell {
                    tokens,
                    softmax_scale,
                    epsilon_squared,
                    added: share(0),
                    subtracted: share(1),
                    convex: share(2),
                    added_unit_tokens: share(3),
                    subtracted_unit_tokens: share(4),
                    added_against_scaling: share(5),
                });
            }
        }
    }
    Ok(cells)
}

fn judge_signs(cells: &[SignCell]) -> [Verdict; 2] {
    let mean =
        |pick: fn(&SignCell) -> f64| cells.iter().map(pick).sum::<f64>() / cells.len() as f64;
    [
        OFFICIAL_STEP_COMPRESSES.judge(vec![
            Measurement::of(
                "Z + M: fraction of draws where R^c falls",
                mean(|c| c.added),
            ),
            Measurement::of(
                "Z - M: fraction of draws where R^c falls",
                mean(|c| c.subtracted),
            ),
            Measurement::of(
                "(Z + M) / 2: fraction of draws where R^c falls",
                mean(|c| c.convex),
            ),
            Measurement::of(
                "Z + M: fraction of draws where R^c is below that of Z scaled to the same norm",
                mean(|c| c.added_against_scaling),
            ),
        ]),
        OFFICIAL_STEP_COMPRESSES_UNIT_TOKENS.judge(vec![
            Measurement::of(
                "Z + M, unit tokens: fraction of draws where R^c falls",
                mean(|c| c.added_unit_tokens),
            ),
            Measurement::of(
                "Z - M, unit tokens: fraction of draws where R^c falls",
                mean(|c| c.subtracted_unit_tokens),
            ),
        ]),
    ]
}

/// Twelve tied layers from tokens without structure and from a union of subspaces, half of the draws
/// each; `(rows, share that rises throughout, share that falls first with the sign turned)`.
fn stack(middle: &Settings, run: &Run) -> Result<(Vec<StackRow>, f64, f64)> {
    const LAYERS: usize = 12;
    let draws = parallel::map(middle.draws, run.threads, |draw| {
        let drawn = middle.model().draw(run.seed, draw)?;
        let start = if draw % 2 == 0 {
            drawn.noisy
        } else {
            let (d, n) = drawn.noisy.dim();
            gaussian(run.seed, &format!("stack {draw}"), d, n)
        };
        let rates = |sign: f64| -> Result<Vec<f64>> {
            let mut z = start.clone();
            let mut rates = Vec::with_capacity(LAYERS + 1);
            for layer in 0..=LAYERS {
                rates.push(subspace_rate(z.view(), drawn.bases.view(), middle.epsilon)?.total);
                if layer < LAYERS {
                    let m = attention_update(z.view(), drawn.bases.view(), middle.softmax_scale);
                    z = z + m * sign;
                }
            }
            Ok(rates)
        };
        Ok([rates(1.0)?, rates(-1.0)?])
    })?;
    let mut rows = Vec::new();
    for (index, sign) in ["Z + M", "Z - M"].into_iter().enumerate() {
        for layer in 0..=LAYERS {
            let values: Vec<f64> = draws.iter().map(|d| d[index][layer]).collect();
            let found = Summary::of(&values);
            rows.push(StackRow {
                sign,
                layer,
                mean: found.mean,
                deviation: found.deviation,
            });
        }
    }
    let rises = fraction(&draws, |d| d[0].windows(2).all(|w| w[1] > w[0]));
    let falls = fraction(&draws, |d| d[1][1] < d[1][0]);
    Ok((rows, rises, falls))
}

/// Tokens for the convex form: 4 subspaces of width 8, 64 tokens.
fn convex_tokens(
    setting: &str,
    tokens: &str,
    draw: usize,
    seed: u64,
) -> Result<(Array2<f64>, Array3<f64>)> {
    let model = UnionOfSubspaces::new(4, 8, 64, 0.3);
    let drawn = model.draw(seed, draw)?;
    let (d, n) = drawn.noisy.dim();
    let mut z = match tokens {
        "no structure" => gaussian(seed, &format!("isotropic {draw}"), d, n),
        _ => drawn.noisy,
    };
    let mut bases = drawn.bases;
    match setting {
        // A part that all heads share, as trained bases have it: no longer orthonormal.
        "coherent bases" => {
            let shared = gaussian(seed, &format!("shared {draw}"), d, 8) / (d as f64).sqrt();
            for mut basis in bases.outer_iter_mut() {
                basis += &shared;
            }
        }
        "long tokens" => z
            .slice_mut(ndarray::s![.., ..;16])
            .mapv_inplace(|v| 10.0 * v),
        _ => (),
    }
    Ok((z, bases))
}

fn convex_form(run: &Run, draws: usize) -> Result<Vec<ConvexCell>> {
    let epsilon = 0.5;
    let mut cells = Vec::new();
    for setting in ["orthogonal bases", "coherent bases", "long tokens"] {
        for tokens in ["union of subspaces", "no structure"] {
            for rho in [0.01, 1.0, 100.0] {
                for softmax_scale in [8f64.powf(-0.5), 1.0] {
                    let found = parallel::map(draws, run.threads, |draw| {
                        let (mut z, bases) = convex_tokens(setting, tokens, draw, run.seed)?;
                        z *= (rho / radius(z.view(), bases.view(), epsilon)?).sqrt();
                        let descent = Descent::at(z.view(), bases.view(), epsilon, softmax_scale)?;
                        let convex = descent.direction(Direction::Convex);
                        let shrinkage = descent.direction(Direction::Shrinkage);
                        let random = random_map(run.seed, draw, z.ncols());
                        let control = through(&bases, z.view(), &random) - &z;
                        Ok([
                            descent.cosine(convex.view()),
                            descent.cosine(shrinkage.view()),
                            descent.cosine_beyond_shrinkage(convex.view()),
                            descent.cosine_beyond_shrinkage(control.view()),
                        ])
                    })?;
                    let mean = |i: usize| found.iter().map(|f| f[i]).sum::<f64>() / draws as f64;
                    cells.push(ConvexCell {
                        setting,
                        tokens,
                        rho,
                        softmax_scale,
                        descends: fraction(&found, |f| f[0] > 0.0),
                        cosine: mean(0),
                        cosine_of_shrinkage: mean(1),
                        beyond_shrinkage: mean(2),
                        beyond_shrinkage_random_map: mean(3),
                    });
                }
            }
        }
    }
    Ok(cells)
}

/// A doubly stochastic matrix that knows nothing of the tokens.
fn random_map(seed: u64, draw: usize, n: usize) -> Array2<f64> {
    let mut rng = seed::stream(seed, &format!("map {draw}"));
    let scores = Array2::from_shape_simple_fn((n, n), || rng.gen_range(0.01..1.0f64));
    doubly_stochastic(scores, 200)
}

/// `sum_k U_k U_k^T Z A` for a given map.
fn through(bases: &Array3<f64>, z: ArrayView2<'_, f64>, map: &Array2<f64>) -> Array2<f64> {
    let read = z.dot(map);
    let mut sum = Array2::zeros(z.dim());
    for basis in bases.axis_iter(Axis(0)) {
        sum += &basis.dot(&basis.t().dot(&read));
    }
    sum
}

fn judge_convex(cells: &[&ConvexCell]) -> Vec<Measurement> {
    let least =
        |pick: fn(&ConvexCell) -> f64| cells.iter().map(|c| pick(c)).fold(f64::INFINITY, f64::min);
    vec![
        Measurement::of(
            "smallest fraction over cells of draws that descend",
            least(|c| c.descends),
        ),
        Measurement::of(
            "smallest mean cosine over cells beyond shrinkage",
            least(|c| c.beyond_shrinkage),
        ),
        Measurement::of(
            "the same less a random doubly stochastic map's, smallest over cells",
            least(|c| c.beyond_shrinkage - c.beyond_shrinkage_random_map),
        ),
        Measurement::of(
            "smallest mean cosine over cells of mere shrinkage",
            least(|c| c.cosine_of_shrinkage),
        ),
    ]
}

fn norm(z: &Array2<f64>) -> f64 {
    z.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The sweep of the radius, as a table.
fn print(rows: &[Row]) {
    println!("\nCosine with the exact descent direction, and relative change of R^c at kappa c = {STEP}.\n");
    print!("{:>9} |", "rho");
    let shown = [
        Direction::Truncated,
        Direction::Convex,
        Direction::Added,
        Direction::Shrinkage,
    ];
    for which in shown {
        print!(" {:>25} |", which.name());
    }
    println!();
    let mut by_setting: BTreeMap<(i64, Direction), [f64; 2]> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.sweep == "radius") {
        let index = match row.quantity {
            "cosine" => 0,
            "relative_change" => 1,
            _ => continue,
        };
        let key = (row.setting.log2().round() as i64, row.direction);
        by_setting.entry(key).or_default()[index] = row.mean;
    }
    let mut settings: Vec<i64> = by_setting.keys().map(|k| k.0).collect();
    settings.dedup();
    for setting in settings {
        print!("{:>9} |", 2f64.powi(setting as i32));
        for which in shown {
            if let Some([cosine, change]) = by_setting.get(&(setting, which)) {
                print!(" {:>11.3} {:>11.1} % |", cosine, 100.0 * change);
            }
        }
        println!();
    }
}
