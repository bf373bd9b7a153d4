//! Does denoising lower entropy, for a mixture of two lines in the plane?

use indicatif::ProgressBar;
use ndarray::{s, Array2, Axis};
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::subspaces::{gaussian, orthogonal_bases};
use whitebox::exact::mixture::posterior_mean;
use whitebox::harness::run::Run;
use whitebox::measure::entropy::neighbour_term;
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

use super::{Found, Settings, BOOK};

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-THY-39",
    Source::of(BOOK, "theorem conditioning_reduces_entropy"),
    Whose::Authors,
    "E[x_s | x_t] has less entropy than x_t for s < t, for a mixture of two lines in the plane",
    &[
        Criterion::at_least(
            "smallest fall of entropy over its standard error",
            3.0,
            |found: &Found| {
                let denoised = found.entropy.iter().filter(|r| r.s_over_t < 1.0);
                let ratios = denoised.map(|r| r.fall / r.standard_error);
                Some(Measured::exact(ratios.fold(f64::INFINITY, f64::min)))
            },
        ),
        Criterion::at_most(
            "s = t: largest change of entropy over its standard error",
            3.0,
            |found: &Found| {
                let same = found.entropy.iter().filter(|r| r.s_over_t == 1.0);
                let ratios = same.map(|r| (r.fall / r.standard_error).abs());
                Some(Measured::exact(ratios.fold(0.0, f64::max)))
            },
        )
        .check(),
    ],
)
.beside(&[Number::of(
    "smallest fall of entropy, nats",
    |found: &Found| {
        let denoised = found.entropy.iter().filter(|r| r.s_over_t < 1.0);
        let least = denoised.min_by(|a, b| a.fall.total_cmp(&b.fall))?;
        let count = found.settings.entropy_draws;
        let deviation = least.standard_error * (count as f64).sqrt();
        let mean = least.fall;
        Some(Measured::summary(
            Unit::Draw,
            &Summary {
                mean,
                deviation,
                count,
            },
        ))
    },
)])];

/// `t` and `s / t`; the last of each `t` changes nothing.
pub(crate) const GRID: [(f64, f64); 9] = [
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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    t: f64,
    s_over_t: f64,
    /// `h(x_t) - h(E[x_s | x_t])`, nats.
    fall: f64,
    standard_error: f64,
}

pub(crate) fn measure(settings: &Settings, run: &Run, bar: &ProgressBar) -> Result<Vec<Row>> {
    let rows = GRID.map(|(t, s_over_t)| {
        let falls = parallel::map(settings.entropy_draws, run.threads, |draw| {
            fall(settings, run.seed, draw, t, s_over_t)
        })?;
        bar.inc(1);
        let found = Summary::of(&falls);
        Ok(Row {
            t,
            s_over_t,
            fall: found.mean,
            standard_error: found.standard_error(),
        })
    });
    rows.into_iter().collect()
}

/// The fall of entropy from `x_t` to `E[x_s | x_t]`, estimated on different points for the two, so
/// that their errors are independent.
fn fall(settings: &Settings, seed: u64, draw: usize, t: f64, s_over_t: f64) -> Result<f64> {
    let bases = orthogonal_bases(seed, "lines", 2, 1)?;
    let sample = |name: &str| -> Array2<f64> {
        let n = settings.entropy_points;
        let along = gaussian(seed, &format!("{name} along {draw}"), 1, n);
        let mut points = gaussian(seed, &format!("{name} noise {draw}"), 2, n) * t;
        for (j, mut point) in points.axis_iter_mut(Axis(1)).enumerate() {
            point.scaled_add(along[(0, j)], &bases.slice(s![j % 2, .., 0]));
        }
        points
    };
    let before = sample("before");
    let mut after = sample("after");
    let keep = s_over_t * s_over_t;
    for mut point in after.axis_iter_mut(Axis(1)) {
        // x_s = x + s g: given x and x_t it lies on the segment between them.
        let clean = posterior_mean(point.view(), bases.view(), t);
        let denoised = &point * keep + clean * (1.0 - keep);
        point.assign(&denoised);
    }
    let neighbours = settings.neighbours;
    Ok(neighbour_term(&before, neighbours) - neighbour_term(&after, neighbours))
}
