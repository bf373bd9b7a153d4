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
use ndarray::{concatenate, s, Array1, Array2, ArrayView2, Axis as Dimension};
use ndarray_linalg::{DeterminantH, SVD};
use rand::Rng;
use serde::Serialize;
use whitebox::data::subspaces::{gaussian, orthogonal_bases};
use whitebox::exact::coding_rate_gradient;
use whitebox::exact::mcr2::{label_rate_gradient, largest_lambda, regularised_singular_values};
use whitebox::exact::mixture::posterior_mean;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::{parallel, seed, Error, Result};

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

/// Where one ascent ended.
#[derive(Debug, Clone, Serialize)]
struct Maximum {
    start_cosine: f64,
    /// Largest |cosine| of tokens of different classes.
    cosine: f64,
    /// Of the leading singular values of a class (all but the last), largest over classes: (largest - smallest) / largest.
    spread: f64,
    ranks: Vec<usize>,
    /// Largest distance of a nonzero singular value from the closed form; none without regulariser.
    distance: Option<f64>,
    /// Largest entry of `Z_k^T Z_l`, k != l.
    cross_product: f64,
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
        let found = constrained_maximum(&settings, run.seed, draw);
        bar.inc(1);
        found
    })?;
    let regularised = parallel::map(settings.starts, run.threads, |draw| {
        let found = regularised_maximum(&settings, run.seed, draw);
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

/// Labels of `groups` classes of `each` tokens.
fn labels(groups: usize, each: usize) -> Array2<f64> {
    let mut labels = Array2::zeros((groups, groups * each));
    for k in 0..groups {
        labels.slice_mut(s![k, k * each..(k + 1) * each]).fill(1.0);
    }
    labels
}

/// `grad Delta R(Z | Pi) - lambda Z`.
fn reduction_gradient(
    z: &Array2<f64>,
    labels: &Array2<f64>,
    epsilon: f64,
    lambda: f64,
) -> Result<Array2<f64>> {
    let expansion = coding_rate_gradient(z.view(), epsilon)?;
    let compression = label_rate_gradient(z.view(), labels.view(), epsilon)?;
    Ok(expansion - compression - z * lambda)
}

/// Gradient ascent with Barzilai and Borwein's step lengths, projected after every step; stops when
/// a step no longer moves the tokens.
fn ascend(
    mut z: Array2<f64>,
    iterations: usize,
    first_step: f64,
    gradient: impl Fn(&Array2<f64>) -> Result<Array2<f64>>,
    project: impl Fn(Array2<f64>) -> Result<Array2<f64>>,
) -> Result<Array2<f64>> {
    let mut slope = gradient(&z)?;
    let mut step = first_step;
    for _ in 0..iterations {
        let next = project(&z + &(&slope * step))?;
        let new_slope = gradient(&next)?;
        let moved = &next - &z;
        let length = (&moved * &moved).sum();
        if length <= 1e-26 * (&next * &next).sum() {
            return Ok(next);
        }
        let curvature = -(&moved * &(&new_slope - &slope)).sum();
        // Along a convex direction the step length says nothing: keep the first one.
        step = if curvature > 0.0 {
            (length / curvature).min(100.0 * first_step)
        } else {
            first_step
        };
        (z, slope) = (next, new_slope);
    }
    Ok(z)
}

/// The maximum with `||Z_k||_F^2 = N_k` and `rank Z_k <= rank`.
fn constrained_maximum(settings: &Settings, seed: u64, draw: usize) -> Result<Maximum> {
    let (groups, each, d) = (settings.groups, settings.group_tokens, settings.d);
    let pi = labels(groups, each);
    let project = |z: Array2<f64>| -> Result<Array2<f64>> {
        let blocks = (0..groups)
            .map(|k| {
                let block = z.slice(s![.., k * each..(k + 1) * each]).to_owned();
                let low = truncated(&block, settings.rank)?;
                let length = (&low * &low).sum().sqrt();
                Ok(low * ((each as f64).sqrt() / length))
            })
            .collect::<Result<Vec<_>>>()?;
        let views: Vec<ArrayView2<'_, f64>> = blocks.iter().map(|b| b.view()).collect();
        concatenate(Dimension(1), &views)
            .map_err(|e| Error::misfit("groups side by side", views.len(), &e))
    };
    let start = project(gaussian(seed, &format!("start {draw}"), d, groups * each))?;
    // 1 / a is the inverse of the gradient's Lipschitz constant.
    let step = (groups * each) as f64 * settings.epsilon.powi(2) / d as f64;
    let gradient = |z: &Array2<f64>| reduction_gradient(z, &pi, settings.epsilon, 0.0);
    let z = ascend(start.clone(), settings.iterations, step, gradient, project)?;
    describe(&start, &z, groups, each, None)
}

/// The best approximation of that rank.
fn truncated(block: &Array2<f64>, rank: usize) -> Result<Array2<f64>> {
    let (left, values, right) = svd(block)?;
    let rank = rank.min(values.len());
    let left = left.slice(s![.., ..rank]).to_owned() * values.slice(s![..rank]);
    Ok(left.dot(&right.slice(s![..rank, ..])))
}

fn svd(block: &Array2<f64>) -> Result<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let failed = |message: String| Error::Lapack {
        operation: "singular values",
        shape: format!("{} x {}", block.nrows(), block.ncols()),
        message,
    };
    let (left, values, right) = block.svd(true, true).map_err(|e| failed(e.to_string()))?;
    match (left, right) {
        (Some(left), Some(right)) => Ok((left, values, right)),
        _ => Err(failed("no singular vectors".into())),
    }
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

fn regularised_maximum(settings: &Settings, seed: u64, draw: usize) -> Result<Maximum> {
    let (groups, each, d) = (
        settings.groups,
        settings.regularised_tokens,
        settings.regularised_d,
    );
    let pi = labels(groups, each);
    let lambda = regularised_lambda(settings);
    let start = gaussian(seed, &format!("free start {draw}"), d, groups * each);
    let step = (groups * each) as f64 * settings.epsilon.powi(2) / d as f64;
    let gradient = |z: &Array2<f64>| reduction_gradient(z, &pi, settings.epsilon, lambda);
    let z = ascend(start.clone(), settings.iterations, step, gradient, Ok)?;
    describe(&start, &z, groups, each, closed_form(settings))
}

/// A singular value counts as zero below this share of the largest.
const NOTHING: f64 = 1e-3;

fn describe(
    start: &Array2<f64>,
    z: &Array2<f64>,
    groups: usize,
    each: usize,
    closed_form: Option<f64>,
) -> Result<Maximum> {
    let (mut spread, mut distance) = (0.0f64, 0.0f64);
    let mut ranks = Vec::new();
    for k in 0..groups {
        let block = z.slice(s![.., k * each..(k + 1) * each]).to_owned();
        let (_, values, _) = svd(&block)?;
        let rank = values.iter().filter(|&&v| v > NOTHING * values[0]).count();
        if rank > 1 {
            spread = spread.max((values[0] - values[rank - 2]) / values[0]);
        }
        if let Some(exact) = closed_form {
            let off = values.iter().take(rank).map(|v| (v - exact).abs());
            distance = distance.max(off.fold(0.0, f64::max));
        }
        ranks.push(rank);
    }
    let across = |z: &Array2<f64>, unit: bool| {
        let z = if unit {
            whitebox::data::subspaces::unit_columns(z)
        } else {
            z.clone()
        };
        let gram = z.t().dot(&z);
        let pairs = gram
            .indexed_iter()
            .filter(|((i, j), _)| i / each != j / each);
        pairs.map(|(_, v)| v.abs()).fold(0.0, f64::max)
    };
    Ok(Maximum {
        start_cosine: across(start, true),
        cosine: across(z, true),
        spread,
        ranks,
        distance: closed_form.map(|_| distance),
        cross_product: across(z, false),
    })
}

/// Points near two lines and a plane through the origin of space, with their true group.
fn lines_and_plane(
    settings: &Settings,
    seed: u64,
    draw: usize,
) -> Result<(Array2<f64>, Vec<usize>)> {
    let frame = orthogonal_bases(seed, &format!("frame {draw}"), 3, 1)?;
    let axis = |k: usize| frame.slice(s![k, .., 0]).to_owned();
    // The lines leave the plane spanned by the first two axes, and are not orthogonal to it.
    let lines = [&axis(2) + &(axis(0) * 0.5), &axis(2) - &(axis(1) * 0.5)];
    let total = 2 * settings.line_points + settings.plane_points;
    let mut rng = seed::stream(seed, &format!("points {draw}"));
    let mut points = gaussian(seed, &format!("jitter {draw}"), 3, total) * settings.noise;
    let mut group = Vec::with_capacity(total);
    for (j, mut point) in points.axis_iter_mut(Dimension(1)).enumerate() {
        let k = (j / settings.line_points).min(2);
        group.push(k);
        let mut uniform = || rng.gen_range(-1.0..1.0f64);
        if k < 2 {
            point.scaled_add(uniform(), &lines[k]);
        } else {
            point.scaled_add(uniform(), &axis(0));
            point.scaled_add(uniform(), &axis(1));
        }
    }
    Ok((points, group))
}

/// A cluster: its points' second moment sum, and who they are.
#[derive(Clone)]
struct Cluster {
    moment: Array2<f64>,
    members: Vec<usize>,
}

/// Coding length in nats of a cluster of `total` points: the points to within eps, their frame, and
/// whose they are (Ma, Derksen, Hong, Wright 2007).
fn length(moment: &Array2<f64>, count: usize, total: usize, epsilon: f64) -> Result<f64> {
    let (d, n) = (moment.nrows() as f64, count as f64);
    // Three by three, and only compared: the Gram matrix's own accuracy is enough.
    let matrix = Array2::<f64>::eye(moment.nrows()) + moment * (d / (n * epsilon * epsilon));
    let (_, log_determinant) = matrix.sln_deth().map_err(|e| Error::Lapack {
        operation: "determinant",
        shape: "3 x 3".into(),
        message: e.to_string(),
    })?;
    Ok((n + d) * 0.5 * log_determinant + n * (total as f64 / n).ln())
}

/// Merges the pair whose union shortens the code most, until none does.
fn merge(points: &Array2<f64>, epsilon: f64) -> Result<Vec<Vec<usize>>> {
    let total = points.ncols();
    let mut clusters: Vec<Option<Cluster>> = points
        .axis_iter(Dimension(1))
        .enumerate()
        .map(|(j, point)| {
            let column = point.to_owned().insert_axis(Dimension(1));
            Some(Cluster {
                moment: column.dot(&column.t()),
                members: vec![j],
            })
        })
        .collect();
    let mut lengths = clusters
        .iter()
        .flatten()
        .map(|c| length(&c.moment, 1, total, epsilon))
        .collect::<Result<Vec<f64>>>()?;
    let gain = |a: &Cluster, b: &Cluster, before: f64| -> Result<f64> {
        let moment = &a.moment + &b.moment;
        Ok(before - length(&moment, a.members.len() + b.members.len(), total, epsilon)?)
    };
    // Best partner with a larger number, by cluster.
    let mut best: Vec<Option<(f64, usize)>> = vec![None; total];
    let search =
        |i: usize, clusters: &[Option<Cluster>], lengths: &[f64]| -> Result<Option<(f64, usize)>> {
            let Some(own) = &clusters[i] else {
                return Ok(None);
            };
            let mut found: Option<(f64, usize)> = None;
            for (j, other) in clusters.iter().enumerate().skip(i + 1) {
                let Some(other) = other else { continue };
                let gain = gain(own, other, lengths[i] + lengths[j])?;
                if found.is_none_or(|(best, _)| gain > best) {
                    found = Some((gain, j));
                }
            }
            Ok(found)
        };
    for (i, slot) in best.iter_mut().enumerate() {
        *slot = search(i, &clusters, &lengths)?;
    }
    loop {
        let top = best
            .iter()
            .enumerate()
            .filter_map(|(i, b)| b.map(|(gain, j)| (gain, i, j)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, i, j)) = top.filter(|t| t.0 > 0.0) else {
            break;
        };
        let (Some(mut first), Some(second)) = (clusters[i].take(), clusters[j].take()) else {
            break;
        };
        first.moment += &second.moment;
        first.members.extend(second.members);
        lengths[i] = length(&first.moment, first.members.len(), total, epsilon)?;
        clusters[i] = Some(first);
        best[j] = None;
        for a in 0..total {
            if clusters[a].is_none() {
                continue;
            }
            let stale = a == i || best[a].is_some_and(|(_, partner)| partner == i || partner == j);
            if stale {
                best[a] = search(a, &clusters, &lengths)?;
            } else if a < i {
                if let (Some(own), Some(new)) = (&clusters[a], &clusters[i]) {
                    let gain = gain(own, new, lengths[a] + lengths[i])?;
                    if best[a].is_none_or(|(best, _)| gain > best) {
                        best[a] = Some((gain, i));
                    }
                }
            }
        }
    }
    Ok(clusters.into_iter().flatten().map(|c| c.members).collect())
}

fn cluster_row(settings: &Settings, run: &Run, ratio: f64) -> Result<ClusterRow> {
    // The noise's length: its deviation in each of three coordinates.
    let epsilon = ratio * settings.noise * 3f64.sqrt();
    let draws = parallel::map(settings.cluster_draws, run.threads, |draw| {
        let (points, truth) = lines_and_plane(settings, run.seed, draw)?;
        let groups = merge(&points, epsilon)?;
        let right: usize = groups
            .iter()
            .map(|members| {
                let count = |k: usize| members.iter().filter(|&&j| truth[j] == k).count();
                (0..3).map(count).max().unwrap_or(0)
            })
            .sum();
        Ok((groups.len() as f64, right as f64 / truth.len() as f64))
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
        Ok(entropy(&before, neighbours) - entropy(&after, neighbours))
    })?;
    let found = Summary::of(&falls);
    Ok(EntropyRow {
        t,
        s_over_t,
        fall: found.mean,
        standard_error: found.deviation / (found.count as f64).sqrt(),
    })
}

/// Kozachenko and Leonenko's estimate of the entropy of points in the plane from the distance to the
/// k-th neighbour, up to a constant of `n` and `k`: `2 mean ln r_k`.
fn entropy(points: &Array2<f64>, neighbours: usize) -> f64 {
    let n = points.ncols();
    let total: f64 = (0..n)
        .map(|i| {
            let mut squares: Vec<f64> = (0..n)
                .filter(|&j| j != i)
                .map(|j| {
                    let (x, y) = (
                        points[(0, i)] - points[(0, j)],
                        points[(1, i)] - points[(1, j)],
                    );
                    x * x + y * y
                })
                .collect();
            let (_, square, _) = squares.select_nth_unstable_by(neighbours - 1, f64::total_cmp);
            square.ln()
        })
        .sum();
    total / n as f64
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
            series: vec![Series {
                name: "groups found".into(),
                points: points.collect(),
                colour: 0,
            }],
        }
        .write(&run.path("groups.svg"))
    }
}
