//! # Is the codebook learned?
//!
//! **Claim** C-SUP-06 (derived by this project from C-LAY-03): before training CRATE's layers already give sparse
//! and structured tokens. If the subspaces `U` and dictionaries `D` are what is learned, a network whose `U`
//! and `D` stay at their random start, while norms, output projections, embedding and head are trained, is
//! worse by 3 points or more.
//!
//! **Claim** C-CRIT-02-fixed (arXiv 2411.17182, variant CRATE-Fix): an output projection that stays at its
//! random start does nearly as well as a learned one. In the papers' MSSA there is nothing to learn there.
//!
//! The same network is trained with different parts frozen, from the same seeds, and the differences are
//! taken seed by seed.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_codebook`: about half an hour on two cores. An interrupted run
//! goes on with the training it was at.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::comparison::{
    difference, means, over_seeds, small_network, BySeed, Comparison, Training, Variant,
};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::linear;
use whitebox::measure::statistics::Summary;
use whitebox::model::Config;
use whitebox::train::augment::Augmentation;
use whitebox::train::Recipe;
use whitebox::Result;

// ANCHOR: claims
const CODEBOOK_IS_LEARNED: Claim = Claim {
    id: "C-SUP-06",
    paper: "derived by this project",
    location: "section 2 of NeurIPS 2023: U and D are the parameters of a layer",
    statement: "With U and D frozen at their random start CRATE is worse by 3 points or more",
    criteria: &[
        Criterion::at_least("all trained less U and D frozen, points", 3.0),
        // Student's distribution, one-sided 5 %.
        Criterion::above_zero("all trained less U and D frozen, standard errors"),
        Criterion::at_least("U and D frozen: accuracy over that of guessing", 2.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const OUTPUT_NEED_NOT_BE: Claim = Claim {
    id: "C-CRIT-02-fixed",
    paper: "arXiv 2411.17182",
    location: "variant CRATE-Fix",
    statement:
        "CRATE with a random output projection that is never trained comes within a point of CRATE",
    criteria: &[
        Criterion::at_most("all trained less output frozen, points", 1.0),
        Criterion::at_least("output frozen less U and D frozen, points", 0.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// What is frozen, by the official names.
const VARIANTS: [(&str, &[&str]); 5] = [
    (ALL, &[]),
    ("U frozen", &["qkv.weight"]),
    ("D frozen", &[".1.fn.weight"]),
    (CODEBOOK, &["qkv.weight", ".1.fn.weight"]),
    (OUTPUT, &["to_out.0.weight"]),
];
const ALL: &str = "all trained";
const CODEBOOK: &str = "U and D frozen";
const OUTPUT: &str = "output frozen";

/// Train CRATE with parts of it frozen.
#[derive(Debug, Parser)]
#[command(name = "exp_codebook", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seeds: u32,
    /// Training images.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    held_out_images: usize,
    linear_accuracy: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("codebook", &arguments.experiment, Some(data.data))?;
    let seeds = arguments.experiment.count(2, arguments.seeds);
    let images = arguments.experiment.count(200, arguments.images);
    let training = data.draw(Split::Train, Some(images), run.seed)?;
    let held_out = data.draw(Split::Test, run.quick.then_some(100), run.seed)?;
    let recipe = Recipe {
        epochs: arguments.experiment.count(1, arguments.epochs),
        batch: 64,
        learning_rate: 4e-3,
        augmentation: Augmentation::default(),
        ..Recipe::demo()
    };
    let config = small_network(&training, 64, 4)?;
    println!(
        "CRATE, {} layers, width {}, with parts of it frozen, on {} images of {}, {} epochs, {seeds} seeds.",
        config.depth,
        config.d,
        training.len(),
        data.data.word(),
        recipe.epochs,
    );
    let settings = Settings {
        network: config,
        recipe: recipe.clone(),
        seeds,
        training_images: training.len(),
        held_out_images: held_out.len(),
        linear_accuracy: linear::accuracy(&training, &held_out)?,
    };
    let plain = Variant::new(ALL, config, recipe);
    let variants = VARIANTS.map(|(name, freeze)| {
        plain.but(name, |variant| {
            variant.recipe.freeze = freeze.iter().map(|&part| part.to_owned()).collect();
        })
    });
    let comparison = Comparison::new(&training, &held_out, run.seed, seeds);
    let networks = Networks::of(&run, &settings, comparison.steps(&variants))?;
    let rows = comparison.train(&networks, &variants, |variant, seed, trained| {
        Ok(Training::of(variant, seed, &trained))
    })?;
    networks.bar().finish_and_clear();
    print(&rows, settings.linear_accuracy);
    table::write(&run.path("trainings.csv"), &rows)?;
    let verdicts = judge(&rows, training.classes);
    let sources = Sources {
        images: vec![&training, &held_out],
        checkpoint_sha256: None,
    };
    run.finish(settings, verdicts, rows, &sources, "trainings.csv")?;
    networks.discard()
}

/// Accuracies in per cent, by seed.
fn accuracies(rows: &[Training], variant: &str) -> BySeed {
    let own = rows.iter().filter(|row| row.variant == variant);
    own.map(|row| (row.seed, 100.0 * row.accuracy)).collect()
}

fn judge(rows: &[Training], classes: usize) -> Vec<Verdict> {
    let less = |a, b| difference(&accuracies(rows, a), &accuracies(rows, b));
    let codebook = less(ALL, CODEBOOK);
    let guessing = 100.0 / classes as f64;
    vec![
        CODEBOOK_IS_LEARNED.judge(vec![
            Measurement::of("all trained less U and D frozen, points", codebook.mean),
            Measurement::in_standard_errors(
                "all trained less U and D frozen, standard errors",
                &codebook,
            ),
            Measurement::of(
                "U and D frozen: accuracy over that of guessing",
                over_seeds(&accuracies(rows, CODEBOOK)).mean / guessing,
            ),
        ]),
        OUTPUT_NEED_NOT_BE.judge(vec![
            Measurement::of(
                "all trained less output frozen, points",
                less(ALL, OUTPUT).mean,
            ),
            Measurement::of(
                "output frozen less U and D frozen, points",
                less(OUTPUT, CODEBOOK).mean,
            ),
        ]),
    ]
}

fn print(rows: &[Training], linear: f64) {
    let line = |(variant, _): (&str, _)| {
        (
            variant.to_owned(),
            vec![over_seeds(&accuracies(rows, variant))],
        )
    };
    let mut lines = vec![("linear".to_owned(), vec![Summary::of(&[100.0 * linear])])];
    lines.extend(VARIANTS.map(line));
    println!("{}", means(&["accuracy, per cent"], 2, &lines));
}
