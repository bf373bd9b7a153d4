//! What every direction is worth, one setting moved at a time: rows, and a picture each.

use serde::{Deserialize, Serialize};
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::descent::{Direction, Effect};
use whitebox::measure::statistics::Summary;
use whitebox::measure::sweep::{Setting, STEP};
use whitebox::Result;

use crate::Found;

/// What a row is the mean of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Quantity {
    Cosine,
    CosineBeyondShrinkage,
    RelativeChange,
}

impl Quantity {
    const ALL: [Self; 3] = [
        Self::Cosine,
        Self::CosineBeyondShrinkage,
        Self::RelativeChange,
    ];

    fn of(self, effect: &Effect) -> f64 {
        match self {
            Self::Cosine => effect.cosine,
            Self::CosineBeyondShrinkage => effect.cosine_beyond_shrinkage,
            Self::RelativeChange => effect.relative_change,
        }
    }
}

/// One point of a sweep.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    sweep: Setting,
    setting: f64,
    direction: Direction,
    quantity: Quantity,
    mean: f64,
    deviation: f64,
    draws: usize,
}

/// The rows of a setting at `value`.
pub(crate) fn rows(
    sweep: Setting,
    value: f64,
    draws: &[[Effect; Direction::ALL.len()]],
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (which, direction) in Direction::ALL.into_iter().enumerate() {
        for quantity in Quantity::ALL {
            let values: Vec<f64> = draws.iter().map(|d| quantity.of(&d[which])).collect();
            let found = Summary::of(&values);
            rows.push(Row {
                sweep,
                setting: value,
                direction,
                quantity,
                mean: found.mean,
                deviation: found.deviation,
                draws: found.count,
            });
        }
    }
    rows
}

/// Name of a sweep's picture, its title and its horizontal axis.
fn picture(setting: Setting) -> (&'static str, &'static str, &'static str) {
    match setting {
        Setting::Radius => (
            "radius.svg",
            "Cosine with the exact descent direction of R^c, by radius",
            "radius rho of the series (tokens scaled)",
        ),
        Setting::Epsilon => (
            "epsilon.svg",
            "Cosine with the exact descent direction of R^c, by precision",
            "epsilon",
        ),
        Setting::Noise => (
            "noise.svg",
            "Cosine with the exact descent direction of R^c, by noise",
            "noise: deviation in the other subspaces",
        ),
        Setting::Scale => (
            "scale.svg",
            "Cosine with the exact descent direction of R^c, by scale of the softmax",
            "factor on the scores (p^{-1/2} = 0.25)",
        ),
        Setting::Heads => (
            "heads.svg",
            "Cosine with the exact descent direction of R^c, by number of heads",
            "heads K, width 16 each, 32 tokens per head",
        ),
        Setting::Step => (
            "step.svg",
            "Change of R^c by length of the step",
            "length of the step, kappa c",
        ),
    }
}

/// What a sweep's picture shows, and of which directions. The exact direction's cosine is 1; a subtracted
/// step's is the added one's turned over.
fn drawn(setting: Setting) -> (Quantity, &'static str, fn(&Direction) -> bool) {
    match setting {
        Setting::Step => (Quantity::RelativeChange, "relative change of R^c", |_| true),
        _ => (Quantity::Cosine, "cosine", |direction| {
            !matches!(direction, Direction::Exact | Direction::Subtracted)
        }),
    }
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.say(table(&found.sweeps));
    shown.table("sweeps.csv", &found.sweeps)?;
    for setting in Setting::ALL {
        let (file, title, horizontal) = picture(setting);
        let (quantity, vertical, takes) = drawn(setting);
        let directions = Direction::ALL.into_iter().enumerate();
        let series = directions.filter(|(_, direction)| takes(direction));
        let series = series.map(|(colour, direction)| {
            let rows = found.sweeps.iter().filter(|r| {
                // Beyond 1 the first order blows up: the picture shows what the others do.
                (r.sweep, r.direction, r.quantity) == (setting, direction, quantity)
                    && r.mean.abs() <= 1.5
            });
            Series::new(direction.name(), colour, rows.map(Row::point).collect())
        });
        let chart = Chart {
            title,
            horizontal: Axis {
                name: horizontal,
                scale: Scale::Logarithmic,
            },
            vertical: Axis {
                name: vertical,
                scale: Scale::Linear,
            },
            series: series.collect(),
        };
        shown.chart(file, &chart)?;
    }
    Ok(())
}

impl Row {
    fn point(&self) -> (f64, Summary) {
        let value = Summary {
            mean: self.mean,
            deviation: self.deviation,
            count: self.draws,
        };
        (self.setting, value)
    }
}

/// The sweep of the radius.
fn table(rows: &[Row]) -> String {
    let directions = [
        Direction::Truncated,
        Direction::Convex,
        Direction::Added,
        Direction::Shrinkage,
    ];
    let mut text = format!(
        "\nCosine with the exact descent direction, and relative change of R^c at kappa c = {STEP}.\n\n{:>9} |",
        "rho"
    );
    for direction in directions {
        text += &format!(" {:>25} |", direction.name());
    }
    for rho in Setting::Radius.values() {
        text += &format!("\n{rho:>9} |");
        for direction in directions {
            let mean = |quantity: Quantity| {
                let row = rows.iter().find(|r| {
                    (r.sweep, r.direction, r.quantity) == (Setting::Radius, direction, quantity)
                        && r.setting == rho
                });
                row.map_or(f64::NAN, |row| row.mean)
            };
            let change = 100.0 * mean(Quantity::RelativeChange);
            text += &format!(" {:>11.3} {change:>11.1} % |", mean(Quantity::Cosine));
        }
    }
    text
}
