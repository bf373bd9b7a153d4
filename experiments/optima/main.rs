//! # What the rate reduction is largest at, and what rates count
//!
//! **Claims** C-THY-34, C-THY-35, C-THY-36, C-THY-39: the older, label-based objective on which CRATE's
//! builds (book, chapter 3), where its theorems are about global maxima, and the reading of a rate as a
//! number of balls. The closed forms are property tests (`tests/theory/optima.rs`); here are the searches.
//!
//! **Criteria**: the constants below, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_optima`: about two minutes on two cores.

use std::process::ExitCode;

use clap::Parser;
use ndarray::{s, Axis as Dimension};
use serde::Serialize;
use whitebox::data::lines_and_plane::LinesAndPlane;
use whitebox::data::subspaces::{gaussian, orthogonal_bases};
use whitebox::exact::mcr2::{largest_lambda, regularised_singular_values};
use whitebox::exact::mixture::posterior_mean;
use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::clusters::{merge, purity};
use whitebox::measure::entropy::neighbour_term;
use whitebox::measure::maxima::{constrained_maximum, regularised_maximum, Groups, Maximum};
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::{parallel, Result};

const BOOK: &str = "authors' book, chapter 3";

// ANCHOR: claims
const ORTHOGONAL_SUBSPACES: Claim = Claim {
    id: "C-THY-34",
    paper: BOOK,
    location: "theorem MCR2-properties",
    statement:
        "The features that maximise the rate reduction with labels lie in orthogonal subspaces, \
                with equal singular values but the last",
    criteria: &[
        Criterion::at_least(
            "fraction of restarts with cosines across classes below 1e-3",
            0.9,
        ),
        Criterion::at_least(
            "fraction of restarts with leading singular values equal to 1 %",
            0.9,
        ),
        Criterion::at_least(
            "smallest cosine across classes at the start, largest pair",
            0.1,
        )
        .control(),
    ],
    kind: Kind::Asymptotic,
    scale: Size::Small,
};

const REGULARISED_MAXIMA: Claim = Claim {
    id: "C-THY-35",
    paper: BOOK,
    location: "theorems mcr-global-opt and benign landscape",
    statement: "Ascent on the regularised objective ends at the closed form from any start",
    criteria: &[
        Criterion::at_least(
            "fraction of starts whose nonzero singular values are the closed form's to 1e-4",
            0.99,
        ),
        Criterion::at_least("fraction of starts with cross products below 1e-4", 0.99),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const RATES_CLUSTER: Claim = Claim {
    id: "C-THY-36",
    paper: BOOK,
    location: "lossy coding: two lines and a plane",
    statement:
        "Merging clusters while the coding length falls finds two lines and a plane when eps is \
                within a factor 2 of the noise",
    criteria: &[
        Criterion::at_least(
            "smallest fraction of draws with three groups, eps / noise in 1/2, 1, 2",
            0.8,
        ),
        Criterion::at_most("eps / noise = 16: fraction of draws with three groups", 0.2).control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const DENOISING_LOWERS_ENTROPY: Claim = Claim {
    id: "C-THY-39",
    paper: BOOK,
    location: "theorem conditioning_reduces_entropy",
    statement:
        "E[x_s | x_t] has less entropy than x_t for s < t, for a mixture of two lines in the plane",
    criteria: &[
        Criterion::at_least("smallest fall of entropy over its standard error", 3.0),
        Criterion::at_most(
            "s = t: largest change of entropy over its standard error",
            3.0,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};
// ANCHOR_END: claims

/// Search for the maxima of the rate reduction with labels, and read rates as counts.
#[derive(Debug, Parser)]
#[command(name = "exp_optima", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
}

#[derive(Debug, Clone, Serialize)]
struct Settings {
    epsilon: f64,
    groups: usize,
    d: usize,
    rank: usize,
    group_tokens: usize,
    restarts: usize,
    regularised_d: usize,
    regularised_tokens: usize,
    /// Of the largest lambda for which the maxima exist.
    lambda_share: f64,
    starts: usize,
    iterations: usize,
    line_points: usize,
    plane_points: usize,
    noise: f64,
    epsilon_over_noise: Vec<f64>,
    cluster_draws: usize,
    entropy_points: usize,
    neighbours: usize,
    entropy_draws: usize,
}

impl Settings {
    fn new(quick: bool) -> Self {
        let count = |trial, full| if quick { trial } else { full };
        Self {
            epsilon: 0.5,
            groups: 3,
            d: 12,
            rank: 4,
            group_tokens: 30,
            restarts: count(1, 50),
            regularised_d: 16,
            regularised_tokens: 20,
            lambda_share: 0.5,
            starts: count(1, 100),
            iterations: count(300, 3000),
            line_points: 79,
            plane_points: 200,
            noise: 0.02,
            epsilon_over_noise: if quick {
                vec![1.0 / 32.0, 0.5, 1.0, 2.0, 16.0]
            } else {
                (-5..=5).map(|power| 2f64.powi(power)).collect()
            },
            cluster_draws: count(1, 20),
            entropy_points: count(200, 1000),
            neighbours: 3,
            entropy_draws: count(4, 30),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct ClusterRow {
    epsilon_over_noise: f64,
    three_groups: f64,
    mean_groups: f64,
    deviation: f64,
    /// Share of points whose group is that of the majority of their true one.
    purity: f64,
    draws: usize,
}

#[derive(Debug, Clone, Serialize)]
struct EntropyRow {
    t: f64,
    s_over_t: f64,
    /// `h(x_t) - h(E[x_s | x_t])`, nats.
    fall: f64,
    standard_error: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    maxima: Vec<Maximum>,
    regularised: Vec<Maximum>,
    closed_form: Option<f64>,
    clusters: Vec<ClusterRow>,
    entropy: Vec<EntropyRow>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let run = Run::begin("optima", &arguments.experiment, None)?;
    let settings = Settings::new(run.quick);
    println!("Maxima of the rate reduction with labels, and rates as counts ({BOOK}).");
    let bar = run.progress(
        settings.restarts
            + settings.starts
            + settings.epsilon_over_noise.len()
            + ENTROPY_GRID.len(),
    );
    let maxima = parallel::map(settings.restarts, run.threads, |draw| {
        let found = constrained(&settings, run.seed, draw);
        bar.inc(1);
        found
    })?;
    let regularised = parallel::map(settings.starts, run.threads, |draw| {
        let found = regularised(&settings, run.seed, draw);
        bar.inc(1);
        found
    })?;
    let mut clusters = Vec::new();
    for &ratio in &settings.epsilon_over_noise {
        clusters.push(cluster_row(&settings, &run, ratio)?);
        bar.inc(1);
    }
    let mut entropy = Vec::new();
    for (t, s_over_t) in ENTROPY_GRID {
        entropy.push(entropy_row(&settings, &run, t, s_over_t)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let results = Results {
        closed_form: closed_form(&settings),
        maxima,
        regularised,
        clusters,
        entropy,
    };
    let verdicts = results.judge();
    results.print();
    results.write(&run)?;
    let artefacts = "clusters.csv, entropy.csv and groups.svg";
    run.finish(settings, verdicts, results, &Sources::default(), artefacts)
}

impl Settings {
    fn groups(&self, each: usize) -> Groups {
        Groups {
            count: self.groups,
            each,
        }
    }
}

/// The maximum with `||Z_k||_F^2 = N_k` and `rank Z_k <= rank`.
fn constrained(settings: &Settings, seed: u64, draw: usize) -> Result<Maximum> {
    let groups = settings.groups(settings.group_tokens);
    let start = gaussian(seed, &format!("start {draw}"), settings.d, groups.tokens());
    constrained_maximum(
        &start,
        groups,
        settings.rank,
        settings.epsilon,
        settings.iterations,
    )
}

fn regularised_lambda(settings: &Settings) -> f64 {
    let total = settings.groups * settings.regularised_tokens;
    let largest = largest_lambda(
        settings.regularised_d,
        total,
        settings.regularised_tokens,
        settings.epsilon,
    );
    settings.lambda_share * largest
}

fn closed_form(settings: &Settings) -> Option<f64> {
    let total = settings.groups * settings.regularised_tokens;
    let roots = regularised_singular_values(
        settings.regularised_d,
        total,
        settings.regularised_tokens,
        settings.epsilon,
        regularised_lambda(settings),
    );
    roots.map(|(larger, _)| larger)
}

fn regularised(settings: &Settings, seed: u64, draw: usize) -> Result<Maximum> {
    let groups = settings.groups(settings.regularised_tokens);
    let start = gaussian(
        seed,
        &format!("free start {draw}"),
        settings.regularised_d,
        groups.tokens(),
    );
    regularised_maximum(
        &start,
        groups,
        settings.epsilon,
        regularised_lambda(settings),
        settings.iterations,
        closed_form(settings),
    )
}

fn cluster_row(settings: &Settings, run: &Run, ratio: f64) -> Result<ClusterRow> {
    // The noise's length: its deviation in each of three coordinates.
    let epsilon = ratio * settings.noise * 3f64.sqrt();
    let model = LinesAndPlane {
        line_points: settings.line_points,
        plane_points: settings.plane_points,
        noise: settings.noise,
    };
    let draws = parallel::map(settings.cluster_draws, run.threads, |draw| {
        let (points, truth) = model.draw(run.seed, draw)?;
        let groups = merge(&points, epsilon)?;
        Ok((groups.len() as f64, purity(&groups, &truth)))
    })?;
    let counts = Summary::of(&draws.iter().map(|d| d.0).collect::<Vec<_>>());
    Ok(ClusterRow {
        epsilon_over_noise: ratio,
        three_groups: fraction(&draws, |d| d.0 == 3.0),
        mean_groups: counts.mean,
        deviation: counts.deviation,
        purity: Summary::of(&draws.iter().map(|d| d.1).collect::<Vec<_>>()).mean,
        draws: counts.count,
    })
}

/// `t` and `s / t`; the last of each `t` is the control.
const ENTROPY_GRID: [(f64, f64); 9] = [
    (0.2, 0.5),
    (0.2, 0.9),
    (0.2, 1.0),
    (0.5, 0.5),
    (0.5, 0.9),
    (0.5, 1.0),
    (1.0, 0.5),
    (1.0, 0.9),
    (1.0, 1.0),
];

/// The fall of entropy from `x_t` to `E[x_s | x_t]`, estimated on different points for the two, so
/// that their errors are independent.
fn entropy_row(settings: &Settings, run: &Run, t: f64, s_over_t: f64) -> Result<EntropyRow> {
    let falls = parallel::map(settings.entropy_draws, run.threads, |draw| {
        let bases = orthogonal_bases(run.seed, "lines", 2, 1)?;
        let sample = |name: &str| {
            let n = settings.entropy_points;
            let along = gaussian(run.seed, &format!("{name} along {draw}"), 1, n);
            let mut points = gaussian(run.seed, &format!("{name} noise {draw}"), 2, n) * t;
            for (j, mut point) in points.axis_iter_mut(Dimension(1)).enumerate() {
                point.scaled_add(along[(0, j)], &bases.slice(s![j % 2, .., 0]));
            }
            points
        };
        let before = sample("before");
        let mut after = sample("after");
        let keep = s_over_t * s_over_t;
        for mut point in after.axis_iter_mut(Dimension(1)) {
            // x_s = x + s g: given x and x_t it lies on the segment between them.
            let clean = posterior_mean(point.view(), bases.view(), t);
            let denoised = &point * keep + clean * (1.0 - keep);
            point.assign(&denoised);
        }
        let neighbours = settings.neighbours;
        Ok(neighbour_term(&before, neighbours) - neighbour_term(&after, neighbours))
    })?;
    let found = Summary::of(&falls);
    Ok(EntropyRow {
        t,
        s_over_t,
        fall: found.mean,
        standard_error: found.deviation / (found.count as f64).sqrt(),
    })
}

impl Results {
    fn judge(&self) -> Vec<Verdict> {
        let number = Measurement::of;
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let orthogonal = vec![
            number(
                "fraction of restarts with cosines across classes below 1e-3",
                fraction(&self.maxima, |m| m.cosine < 1e-3),
            ),
            number(
                "fraction of restarts with leading singular values equal to 1 %",
                fraction(&self.maxima, |m| m.spread < 0.01),
            ),
            number(
                "smallest cosine across classes at the start, largest pair",
                least(&mut self.maxima.iter().map(|m| m.start_cosine)),
            ),
            number(
                "fraction of restarts in which every class has the full rank",
                fraction(&self.maxima, |m| m.ranks.iter().all(|&r| r == m.ranks[0])),
            ),
        ];
        let regularised = vec![
            number(
                "fraction of starts whose nonzero singular values are the closed form's to 1e-4",
                fraction(&self.regularised, |m| m.distance.is_some_and(|d| d < 1e-4)),
            ),
            number(
                "fraction of starts with cross products below 1e-4",
                fraction(&self.regularised, |m| m.cross_product < 1e-4),
            ),
            number(
                "fraction of starts whose ranks fill the space",
                fraction(&self.regularised, |m| m.ranks.iter().sum::<usize>() == 16),
            ),
        ];
        let near = self
            .clusters
            .iter()
            .filter(|r| (0.5..=2.0).contains(&r.epsilon_over_noise));
        let mut clusters = vec![number(
            "smallest fraction of draws with three groups, eps / noise in 1/2, 1, 2",
            least(&mut near.map(|r| r.three_groups)),
        )];
        let at = |ratio: f64| self.clusters.iter().find(|r| r.epsilon_over_noise == ratio);
        if let (Some(fine), Some(coarse)) = (at(1.0 / 32.0), at(16.0)) {
            clusters.push(number(
                "eps / noise = 16: fraction of draws with three groups",
                coarse.three_groups,
            ));
            clusters.push(number(
                "eps / noise = 1/32: fraction of draws with three groups",
                fine.three_groups,
            ));
        }
        let denoised = self.entropy.iter().filter(|r| r.s_over_t < 1.0);
        let control = self.entropy.iter().filter(|r| r.s_over_t == 1.0);
        let entropy = vec![
            number(
                "smallest fall of entropy over its standard error",
                least(&mut denoised.map(|r| r.fall / r.standard_error)),
            ),
            number(
                "s = t: largest change of entropy over its standard error",
                most(&mut control.map(|r| (r.fall / r.standard_error).abs())),
            ),
        ];
        vec![
            ORTHOGONAL_SUBSPACES.judge(orthogonal),
            REGULARISED_MAXIMA.judge(regularised),
            RATES_CLUSTER.judge(clusters),
            DENOISING_LOWERS_ENTROPY.judge(entropy),
        ]
    }

    fn print(&self) {
        println!("\nGroups found among two lines and a plane.\n");
        println!(
            "{:>11} | {:>7} | {:>11} | {:>7}",
            "eps / noise", "groups", "three found", "purity"
        );
        for row in &self.clusters {
            println!(
                "{:>11.4} | {:>7.1} | {:>9.0} % | {:>7.3}",
                row.epsilon_over_noise,
                row.mean_groups,
                100.0 * row.three_groups,
                row.purity
            );
        }
    }

    fn write(&self, run: &Run) -> Result<()> {
        table::write(&run.path("clusters.csv"), &self.clusters)?;
        table::write(&run.path("entropy.csv"), &self.entropy)?;
        let points = self.clusters.iter().map(|r| {
            let value = Summary {
                mean: r.mean_groups,
                deviation: r.deviation,
                count: r.draws,
            };
            (r.epsilon_over_noise, value)
        });
        Chart {
            title: "Groups that shorten the code most: two lines and a plane",
            horizontal: Axis {
                name: "eps / noise",
                scale: Scale::Logarithmic,
            },
            vertical: Axis {
                name: "groups (three are there)",
                scale: Scale::Logarithmic,
            },
            series: vec![Series::new(
                "groups found",
                Colour::Kind(0),
                points.collect(),
            )],
        }
        .write(&run.path("groups.svg"))
    }
}
