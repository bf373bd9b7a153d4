//! # Does training improve the objective, and when?
//!
//! **Claim** C-LAY-06 (NeurIPS 2023, arXiv 2306.01129, section 3; overview, arXiv 2311.13110: curves at
//! several stages of training): the compression term and the number of nonzeros at the last layer fall
//! while a network is trained. Nothing in the loss asks for it.
//!
//! A network is trained from several seeds, and its layers are measured before the first step, after the
//! first epoch, half way and at the end, on held-out images.
//!
//! **Claim** C-LAY-10-permuted (after the overview, chapter on the white-box transformer: many losses
//! give compressing layers): the same happens on permuted labels. If it does, compression is no sign of
//! anything that was learned about the classes.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_training_dynamics`: about ten minutes on two cores. An
//! interrupted run goes on with the training it was at.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::comparison::{small_network, Comparison, Labels, Variant};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::layerwise::{measure, Quantity};
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::model::Config;
use whitebox::train::{self, Recipe};
use whitebox::Result;

// ANCHOR: claims
const OBJECTIVE_IMPROVES: Claim = Claim {
    id: "C-LAY-06",
    paper: "NeurIPS 2023, arXiv 2306.01129",
    location: "figure of the layers at several stages of training",
    statement:
        "R^c and the nonzeros of the last layer fall from before training to the first epoch \
                and on to the last",
    criteria: &[
        Criterion::at_least("fraction of seeds where R^c falls at both", 1.0),
        Criterion::at_least("fraction of seeds where the nonzeros fall at both", 1.0),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const COMPRESSES_WITHOUT_MEANING: Claim = Claim {
    id: "C-LAY-10-permuted",
    paper: "overview, arXiv 2311.13110",
    location: "remark on the forward and the backward pass",
    statement: "R^c of the last layer falls in the same way when the labels are permuted",
    criteria: &[
        Criterion::at_least("fraction of seeds where R^c falls at both", 1.0),
        Criterion::at_most("held-out accuracy over that of guessing", 1.5).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// The stages that are measured, in order.
const STAGES: [&str; 4] = ["before training", "first epoch", "half way", "end"];

/// What is measured: official rate, nonzeros, the caption's rate.
const QUANTITIES: [Quantity; 3] = [
    Quantity::OFFICIAL_RATE,
    Quantity::NONZERO_AFTER_ISTA,
    Quantity::SUBSPACE_RATE_AFTER_MSSA,
];

/// The labels that a network is trained on.
const TRUE: &str = "true";
const PERMUTED: &str = "permuted";

/// Measure the layers of a network while it is trained.
#[derive(Debug, Parser)]
#[command(name = "exp_training_dynamics", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Training images.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(4..))]
    epochs: u32,
    /// Held-out images that are measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..))]
    measured: u32,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    measured_images: usize,
}

/// One layer of one network at one stage.
#[derive(Debug, Clone, Serialize)]
struct Row {
    labels: String,
    seed: u64,
    stage: String,
    epoch: usize,
    layer: usize,
    official_rate: f64,
    nonzero: f64,
    subspace_rate: f64,
    held_out_accuracy: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("training_dynamics", &arguments.experiment, Some(data.data))?;
    let images = arguments.experiment.count(60, arguments.images);
    let measured = arguments.experiment.count(4, arguments.measured);
    let seeds = arguments.experiment.count(1, arguments.seeds);
    let recipe = Recipe {
        epochs: arguments.experiment.count(4, arguments.epochs),
        batch: 64,
        ..Recipe::demo()
    };
    let training = data.draw(Split::Train, Some(images), run.seed)?;
    let held_out = data.draw(Split::Test, Some(images.min(2000)), run.seed)?;
    let config = small_network(&training, 96, 6)?;
    println!(
        "The layers while a network is trained, claims C-LAY-06 and C-LAY-10-permuted.\n\
         CRATE, {} layers, width {}, {} heads; {} images of {}, {} epochs, {seeds} seeds.",
        config.depth,
        config.d,
        config.heads,
        training.len(),
        data.data.word(),
        recipe.epochs,
    );
    let settings = Settings {
        network: config,
        recipe: recipe.clone(),
        seeds,
        training_images: training.len(),
        measured_images: measured,
    };
    let epochs = [1, recipe.epochs / 2, recipe.epochs];
    let plain = Variant::new(TRUE, config, recipe);
    let permuted = plain.but(PERMUTED, |variant| variant.labels = Labels::Permuted);
    let variants = [plain, permuted];
    let comparison = Comparison {
        stages: &epochs,
        ..Comparison::new(&training, &held_out, run.seed, seeds)
    };
    let networks = Networks::of(&run, &settings, comparison.steps(&variants))?;
    let indices = held_out.sample(measured, run.seed);
    let rows = comparison.train(&networks, &variants, |variant, seed, trained| {
        let networks = [variant.start(seed)?].into_iter().chain(trained.stages);
        let stages = networks.zip([0].into_iter().chain(epochs));
        let mut rows = Vec::new();
        for (stage, (network, epoch)) in STAGES.into_iter().zip(stages) {
            let found = measure(
                &network,
                &held_out,
                &indices,
                &QUANTITIES,
                run.seed,
                run.threads,
                |_| {},
            )?;
            let accuracy = train::evaluate(&network, &held_out, run.threads, || {})?.accuracy;
            let [rate, nonzero, subspace] = found.all(QUANTITIES)?;
            rows.extend((0..config.depth).map(|layer| Row {
                labels: variant.name.clone(),
                seed,
                stage: stage.to_owned(),
                epoch,
                layer: layer + 1,
                official_rate: rate[layer],
                nonzero: nonzero[layer],
                subspace_rate: subspace[layer],
                held_out_accuracy: accuracy,
            }));
        }
        Ok(rows)
    })?;
    let rows = rows.concat();
    networks.bar().finish_and_clear();
    print(&rows, config.depth);
    table::write(&run.path("layers.csv"), &rows)?;
    let figures = [
        (
            "rate.svg",
            "Compression term by layer while training (official measurement)",
            "R^c, nats",
            (|row| row.official_rate) as fn(&Row) -> f64,
        ),
        (
            "sparsity.svg",
            "Nonzero entries of the ISTA outputs while training",
            "fraction of nonzeros",
            |row| row.nonzero,
        ),
    ];
    for (file, title, vertical, value) in figures {
        let series = STAGES.into_iter().enumerate().map(|(colour, stage)| {
            let by_layer = (1..=config.depth).map(|layer| {
                let values: Vec<f64> = rows
                    .iter()
                    .filter(|r| (&*r.labels, &*r.stage, r.layer) == (TRUE, stage, layer))
                    .map(value)
                    .collect();
                Summary::of(&values)
            });
            Series::by_layer(stage, colour, by_layer.collect())
        });
        Chart::by_layer(title, vertical, series.collect()).write(&run.path(file))?;
    }
    let sources = Sources {
        images: vec![&training, &held_out],
        checkpoint_sha256: None,
    };
    let verdicts = judge(&rows, config.depth, training.classes);
    let artefacts = "layers.csv, rate.svg and sparsity.svg";
    run.finish(settings, verdicts, rows, &sources, artefacts)?;
    networks.discard()
}

fn judge(rows: &[Row], depth: usize, classes: usize) -> Vec<Verdict> {
    let falls = |labels: &str, value: fn(&Row) -> f64| {
        let last = |seed: u64, stage: &str| {
            let mut found = rows.iter();
            found
                .find(|r| (&*r.labels, r.seed, &*r.stage, r.layer) == (labels, seed, stage, depth))
                .map_or(f64::NAN, value)
        };
        let own = rows
            .iter()
            .filter(|r| r.labels == labels && r.layer == depth);
        let seeds: Vec<u64> = own
            .filter(|r| r.stage == STAGES[0])
            .map(|r| r.seed)
            .collect();
        fraction(&seeds, |&seed| {
            let [before, first, _, end] = STAGES.map(|stage| last(seed, stage));
            end < first && first < before
        })
    };
    let guessing = 1.0 / classes as f64;
    let accuracies: Vec<f64> = rows
        .iter()
        .filter(|r| (&*r.labels, &*r.stage, r.layer) == (PERMUTED, STAGES[3], depth))
        .map(|r| r.held_out_accuracy / guessing)
        .collect();
    let both = "fraction of seeds where R^c falls at both";
    vec![
        OBJECTIVE_IMPROVES.judge(vec![
            Measurement::of(both, falls(TRUE, |row| row.official_rate)),
            Measurement::of(
                "fraction of seeds where the nonzeros fall at both",
                falls(TRUE, |row| row.nonzero),
            ),
        ]),
        COMPRESSES_WITHOUT_MEANING.judge(vec![
            Measurement::of(both, falls(PERMUTED, |row| row.official_rate)),
            Measurement::of(
                "held-out accuracy over that of guessing",
                Summary::of(&accuracies).mean,
            ),
        ]),
    ]
}

fn print(rows: &[Row], depth: usize) {
    println!(
        "\n{:>9} {:>4} {:>16} | {:>8} | {:>12} {:>12} | {:>12} {:>12}",
        "labels",
        "seed",
        "stage",
        "accuracy",
        "R^c first",
        "R^c last",
        "nonzero 1st",
        "nonzero last"
    );
    for first in rows.iter().filter(|row| row.layer == 1) {
        let same = |row: &&Row| {
            (&row.labels, row.seed, &row.stage, row.layer)
                == (&first.labels, first.seed, &first.stage, depth)
        };
        if let Some(last) = rows.iter().find(same) {
            println!(
                "{:>9} {:>4} {:>16} | {:>6.2} % | {:>12.2} {:>12.2} | {:>12.3} {:>12.3}",
                first.labels,
                first.seed,
                first.stage,
                100.0 * first.held_out_accuracy,
                first.official_rate,
                last.official_rate,
                first.nonzero,
                last.nonzero,
            );
        }
    }
}
