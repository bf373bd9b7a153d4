//! Which steps descend on the objective?

use std::fmt::Write;

use serde::Serialize;
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::Summary;
use whitebox::measure::unrolled::{Dictionary, Start, Step, Steps};
use whitebox::Result;

use super::{Found, BOOK};

/// What rounding may add to an objective of a few hundred terms, relative.
const ROUNDING: f64 = 1e-12;

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-17",
        Source::of(BOOK, "proximal gradient, descent lemma"),
        Whose::Authors,
        "From a feasible start no step of at most 2 / L raises the objective",
        &[
            Criterion::at_most(
                "rises in steps of at most 2 / L, all dictionaries",
                0.0,
                |found: &Found| {
                    // The limit itself, 2 / L, is rounded: it is within.
                    let within = feasible(found).filter(|p| p.eta_lipschitz <= 2.0 * (1.0 + 1e-15));
                    let rises: usize = within.map(|p| p.rises(ROUNDING)).sum();
                    Some(Measured::exact(rises as f64))
                },
            ),
            Criterion::at_least(
                "share of first steps of 4 / L that raise it",
                0.05,
                |found: &Found| {
                    let beyond = feasible(found).filter(|p| p.step == Step::Beyond);
                    let beyond: Vec<&Steps> = beyond.collect();
                    let share = Measured::share_of(Unit::Exact, &beyond, |p| p.objective[1] > p.objective[0]);
                    Some(Measured::exact(share.value))
                },
            )
            .check(),
        ],
    ),
    Claim::new(
        "C-THY-19",
        Source::of("authors' book, chapter 7", "(beta, lambda) = (1, 0.1)"),
        Whose::Project,
        "A step of 1, as the book prints it, raises the objective with the dictionaries a network begins with, and \
         lowers it with a rotation",
        &[
            Criterion::at_least(
                "initial: fraction of layers where a step of 1 raises it",
                1.0,
                |found: &Found| raises(found, Dictionary::Initial),
            ),
            Criterion::at_least(
                "rotation: fraction of layers where a step of 1 lowers it",
                1.0,
                |found: &Found| {
                    let book = (Start::Clamped, Step::Book);
                    found.fraction(Dictionary::Rotation, book, |_, path| path.objective[1] < path.objective[0])
                },
            )
            .secondary(),
        ],
    )
    .beside(&[Number::of(
        "learned: fraction of layers where a step of 1 raises it",
        |found: &Found| raises(found, Dictionary::Learned),
    )]),
];

fn feasible(found: &Found) -> impl Iterator<Item = &Steps> {
    found.paths.iter().filter(|p| p.start != Start::Warm)
}

fn raises(found: &Found, dictionary: Dictionary) -> Option<Measured> {
    let book = (Start::Clamped, Step::Book);
    found.fraction(dictionary, book, |_, path| {
        path.objective[1] > path.objective[0]
    })
}

#[derive(Serialize)]
struct Row {
    dictionary: Dictionary,
    seed: u64,
    layer: usize,
    start: Start,
    step: Step,
    steps: usize,
    objective: f64,
}

fn rows(path: &Steps) -> impl Iterator<Item = Row> + '_ {
    let along = path.objective.iter().enumerate();
    along.map(|(steps, &objective)| Row {
        dictionary: path.dictionary,
        seed: path.seed,
        layer: path.layer,
        start: path.start,
        step: path.step,
        steps,
        objective,
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let rows: Vec<Row> = found.paths.iter().flat_map(rows).collect();
    shown.table("objective.csv", &rows)?;
    let lines = [
        ("learned, official 0.1", Dictionary::Learned, Step::Official),
        ("learned, 1 / L", Dictionary::Learned, Step::Inverse),
        ("rotation, 1 / L", Dictionary::Rotation, Step::Inverse),
        ("initial, official 0.1", Dictionary::Initial, Step::Official),
        ("initial, 1 / L", Dictionary::Initial, Step::Inverse),
    ];
    // Mean over layers and networks, from the block's own start.
    let along = |dictionary, step| -> Vec<Summary> {
        let layers = found.layers(dictionary, Start::Warm, step);
        let steps = layers.first().map_or(0, |(_, path)| path.objective.len());
        let at = |step: usize| layers.iter().map(move |(_, path)| path.objective[step]);
        (0..steps)
            .map(|step| Summary::of(&at(step).collect::<Vec<_>>()))
            .collect()
    };
    let mut text = String::from(
        "\nObjective over that of the zero code, mean over layers, from the block's own start.\n\nsteps",
    );
    let columns = [lines[0], lines[3], lines[2]].map(|(name, dictionary, step)| {
        let _ = write!(text, " | {name:>21}");
        along(dictionary, step)
    });
    for step in 0..=found.settings.steps {
        let _ = write!(text, "\n{step:>5}");
        for column in &columns {
            let value = column.get(step).map_or(f64::NAN, |value| value.mean);
            let _ = write!(text, " | {value:>21.3}");
        }
    }
    shown.say(text);
    let series = lines.into_iter().enumerate();
    let series = series.map(|(kind, (name, dictionary, step))| {
        let points = along(dictionary, step).into_iter().enumerate();
        let points = points.map(|(step, value)| (step as f64, value));
        Series::new(name, Colour::Kind(kind), points.collect())
    });
    let chart = Chart {
        title: "LASSO objective along unrolled ISTA steps (zero code: 1)",
        horizontal: Axis {
            name: "steps from the block's input",
            scale: Scale::Linear,
        },
        vertical: Axis {
            name: "objective / that of the zero code",
            scale: Scale::Logarithmic,
        },
        series: series.collect(),
    };
    shown.chart("objective.svg", &chart)
}
