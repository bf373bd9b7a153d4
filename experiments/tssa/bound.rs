//! How tight the variational bound is when `U_k` spans the right subspace but does not diagonalise the tokens in
//! it, and when it misses some of them.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Source, Unit, Whose};
use whitebox::data::subspaces::{Bases, SpectralGroups};
use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::measure::token_statistics::relative_gap;
use whitebox::measure::trend::fit_line;
use whitebox::{parallel, Result};

use crate::{Found, Settings, PAPER};

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-24",
        Source::of(PAPER, "theorem on the variational form (book: var_concave)"),
        Whose::Authors,
        "The bound is tight where U_k diagonalises the second moments of its group, and opens with the square \
         of the angle",
        &[
            Criterion::at_most("aligned: largest relative gap", 1e-10, |found: &Found| {
                let row = found.gap(Sweep::Angle, 0.0)?;
                Some(Measured::exact(row.mean.abs().max(row.smallest.abs())))
            }),
            Criterion::at_least("slope of log gap against log angle", 1.9, |found: &Found| {
                Some(Measured::exact(found.slope()))
            })
            .secondary(),
            Criterion::at_most(
                "slope of log gap against log angle, from above",
                2.1,
                |found: &Found| Some(Measured::exact(found.slope())),
            )
            .secondary(),
            Criterion::at_least(
                "random rotation within the subspace: smallest relative gap",
                0.01,
                |found: &Found| {
                    let row = found.gap(Sweep::RandomRotation, NO_ANGLE)?;
                    Some(Measured::exact(row.smallest))
                },
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-THY-26",
        Source::of(PAPER, "corollary for low-rank groups (book: var_concave_logdet)"),
        Whose::Authors,
        "The variational rate bounds the label rate while every group lies in its subspace",
        &[
            // A theorem: one draw against it would settle it, and no number of draws proves it.
            Criterion::at_most(
                "draws that violate the bound inside the hypothesis",
                0.0,
                |found: &Found| {
                    let inside = found.gaps.iter().filter(|r| r.sweep != Sweep::Noise);
                    let violations = inside.map(|r| r.violations * r.draws as f64);
                    Some(Measured::exact(violations.sum()))
                },
            ),
            Criterion::at_least(
                "noise 1: fraction of draws that violate it with the aligned basis",
                0.5,
                |found: &Found| {
                    let row = found.gap(Sweep::Noise, 1.0)?;
                    Some(Measured::mean_share(Unit::Draw, &[row.violations], row.draws))
                },
            )
            .control(),
        ],
    ),
];

/// What is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Sweep {
    #[serde(rename = "angle")]
    Angle,
    #[serde(rename = "random rotation")]
    RandomRotation,
    #[serde(rename = "noise")]
    Noise,
}

/// What stands in the column of settings for a rotation by no angle in particular.
const NO_ANGLE: f64 = -1.0;

/// How far the bound is from the label rate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    sweep: Sweep,
    setting: f64,
    /// `(R^var - R) / R`: mean, deviation, smallest, over draws.
    mean: f64,
    deviation: f64,
    smallest: f64,
    violations: f64,
    draws: usize,
}

impl crate::Results {
    fn gap(&self, sweep: Sweep, setting: f64) -> Option<&Row> {
        let mut rows = self.gaps.iter();
        rows.find(|r| r.sweep == sweep && r.setting == setting)
    }

    /// In the quadratic regime: angles of at most a tenth.
    fn slope(&self) -> f64 {
        let angles = self.gaps.iter().filter(|r| r.sweep == Sweep::Angle);
        let small = angles.filter(|r| r.setting > 0.0 && r.setting <= 0.11);
        let points: Vec<(f64, f64)> = small.map(|r| (r.setting.ln(), r.mean.ln())).collect();
        fit_line(&points).growth
    }
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let turned = |angle: f64| (Sweep::Angle, angle, Bases::Turned(angle), 0.0);
    let mut cells = vec![
        turned(0.0),
        (Sweep::RandomRotation, NO_ANGLE, Bases::TurnedAtRandom, 0.0),
    ];
    cells.extend((1..=7).map(|i| turned(10f64.powf(-0.5 * f64::from(i)))));
    cells.extend(
        [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
            .map(|noise| (Sweep::Noise, noise, Bases::Orthogonal, noise)),
    );
    let bar = run.progress(cells.len());
    let mut rows = Vec::new();
    for (sweep, setting, bases, noise) in cells {
        let model = SpectralGroups {
            heads: settings.heads,
            p: settings.p,
            tokens: settings.tokens,
            noise,
        };
        let gaps = parallel::map(settings.draws, run.threads, |draw| {
            let groups = model.draw(run.seed, draw)?;
            let bases = bases.of(groups.aligned.clone(), run.seed, draw)?;
            relative_gap(&groups, bases.view(), settings.epsilon)
        })?;
        let summary = Summary::of(&gaps);
        rows.push(Row {
            sweep,
            setting,
            mean: summary.mean,
            deviation: summary.deviation,
            smallest: gaps.iter().copied().fold(f64::INFINITY, f64::min),
            violations: fraction(&gaps, |&gap| gap < -1e-12),
            draws: summary.count,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("gaps.csv", &found.gaps)?;
    let chart = |sweep: Sweep, title, horizontal, vertical, scale| {
        let rows = found.gaps.iter().filter(|r| r.sweep == sweep);
        let points = rows.map(|r| {
            let value = Summary {
                mean: r.mean,
                deviation: r.deviation,
                count: r.draws,
            };
            (r.setting, value)
        });
        let mut points: Vec<(f64, Summary)> = points.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Chart {
            title,
            horizontal: Axis {
                name: horizontal,
                scale: Scale::Logarithmic,
            },
            vertical: Axis {
                name: vertical,
                scale,
            },
            series: vec![Series::new("gap", Colour::Trained, points)],
        }
    };
    let title = "Gap of the variational bound, bases turned within their subspaces";
    let (angle, gap) = ("angle, radians", "(R^var - R) / R");
    let angle = chart(Sweep::Angle, title, angle, gap, Scale::Logarithmic);
    shown.chart("angle.svg", &angle)?;
    let title = "Gap of the variational bound, groups that leave their subspaces";
    let noise = "noise: deviation in every coordinate";
    let gap = "(R^var - R) / R; below 0 the bound fails";
    let noise = chart(Sweep::Noise, title, noise, gap, Scale::Linear);
    shown.chart("noise.svg", &noise)
}
