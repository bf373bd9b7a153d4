//! # Does the optimiser decide how good CRATE is?
//!
//! **Claim** C-CLS-08 (NeurIPS 2023, arXiv 2306.01129, appendix on training): the papers train CRATE with Lion,
//! the official code and the later papers with AdamW as well. If the accuracy is the architecture's, each
//! method at its best learning rate reaches the same.
//!
//! Every method has three learning rates, a factor of four apart. The best is chosen on training images that
//! are held back, from a seed of its own; the comparison is on the held-out images, from other seeds. The
//! product of learning rate and weight decay is the same for both methods' middle rates, since that is what
//! shrinks a weight.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_optimiser`: about twenty minutes on two cores. An interrupted
//! run goes on with the training it was at.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::comparison::{small_network, Comparison, Training, Variant};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::linear;
use whitebox::measure::statistics::Summary;
use whitebox::model::Config;
use whitebox::train::augment::Augmentation;
use whitebox::train::optimiser::Method;
use whitebox::train::Recipe;
use whitebox::Result;

// ANCHOR: claims
const OPTIMISER_DOES_NOT_DECIDE: Claim = Claim {
    id: "C-CLS-08",
    paper: "NeurIPS 2023, arXiv 2306.01129",
    location: "appendix: Lion, against AdamW of the official code",
    statement: "Lion and AdamW, each at its best learning rate, are within a point of one another",
    criteria: &[
        Criterion::at_most("difference between the methods, points", 1.0),
        Criterion::at_least("the lesser one less the linear classifier, points", 2.0).control(),
        Criterion::at_least("methods whose best rate is not at an end of the three", 2.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// A method with the learning rates to choose from, and its weight decay.
const METHODS: [(Method, &str, [f64; 3], f64); 2] = [
    (Method::AdamW, "AdamW", [1e-3, 4e-3, 1.6e-2], 0.05),
    (Method::Lion, "Lion", [1e-4, 4e-4, 1.6e-3], 0.5),
];

/// Train CRATE by Lion and by AdamW.
#[derive(Debug, Parser)]
#[command(name = "exp_optimiser", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Seeds of the comparison.
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
    validation_images: usize,
    linear_accuracy: f64,
}

/// One training. Accuracy on the images held back, or on the held-out ones.
#[derive(Debug, Clone, Serialize)]
struct Row {
    method: &'static str,
    learning_rate: f64,
    stage: &'static str,
    seed: u64,
    training_loss: f64,
    accuracy: f64,
}

fn name(method: Method) -> &'static str {
    let found = METHODS.iter().find(|known| known.0 == method);
    found.map_or("", |known| known.1)
}

const CHOICE: &str = "choice";
const COMPARISON: &str = "comparison";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("optimiser", &arguments.experiment, Some(data.data))?;
    let seeds = arguments.experiment.count(2, arguments.seeds);
    let images = arguments.experiment.count(200, arguments.images);
    let held_back = images / 10;
    let drawn = data.draw(Split::Train, Some(images + held_back), run.seed)?;
    let indices: Vec<usize> = (0..drawn.len()).collect();
    let (validation, training) = indices.split_at(held_back.min(drawn.len() / 2));
    let (validation, training) = (drawn.subset(validation)?, drawn.subset(training)?);
    let held_out = data.draw(Split::Test, run.quick.then_some(100), run.seed)?;
    let recipe = Recipe {
        epochs: arguments.experiment.count(1, arguments.epochs),
        batch: 64,
        augmentation: Augmentation::default(),
        ..Recipe::demo()
    };
    let config = small_network(&training, 64, 4)?;
    println!(
        "CRATE, {} layers, width {}, by Lion and AdamW on {} images of {}, {} epochs, {seeds} seeds.",
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
        validation_images: validation.len(),
        linear_accuracy: linear::accuracy(&training, &held_out)?,
    };
    let trainings = METHODS.len() * (METHODS[0].2.len() + seeds);
    let steps = training.len().div_ceil(recipe.batch) * recipe.epochs;
    let networks = Networks::of(&run, &settings, trainings * steps)?;
    let train = |variants: &[Variant], comparison: Comparison<'_>, stage: &'static str| {
        comparison.train(&networks, variants, |variant, seed, trained| {
            let training = Training::of(variant, seed, &trained);
            Ok(Row {
                method: name(variant.recipe.method),
                learning_rate: variant.recipe.learning_rate,
                stage,
                seed,
                training_loss: training.training_loss,
                accuracy: training.accuracy,
            })
        })
    };
    let plain = Variant::new("plain", config, recipe);
    let mut rows = Vec::new();
    for (method, name, rates, weight_decay) in METHODS {
        let variants = rates.map(|rate| {
            plain.but(format!("{name} {rate}"), |variant| {
                variant.recipe = Recipe {
                    method,
                    learning_rate: rate,
                    weight_decay,
                    ..variant.recipe.clone()
                };
            })
        });
        // From a seed that the comparison does not use.
        let aside = Comparison::new(&training, &validation, run.seed + seeds as u64, 1);
        let choice = train(&variants, aside, CHOICE)?;
        let mut best = 0;
        for (index, row) in choice.iter().enumerate() {
            if row.accuracy > choice[best].accuracy {
                best = index;
            }
        }
        let comparison = Comparison::new(&training, &held_out, run.seed, seeds);
        rows.extend(choice);
        rows.extend(train(&variants[best..=best], comparison, COMPARISON)?);
    }
    networks.bar().finish_and_clear();
    print(&rows, settings.linear_accuracy);
    table::write(&run.path("trainings.csv"), &rows)?;
    let verdicts = judge(&rows, settings.linear_accuracy);
    let sources = Sources {
        images: vec![&training, &validation, &held_out],
        checkpoint_sha256: None,
    };
    run.finish(settings, verdicts, rows, &sources, "trainings.csv")?;
    networks.discard()
}

fn compared<'a>(rows: &'a [Row], method: &'a str) -> impl Iterator<Item = &'a Row> {
    let own = move |row: &&Row| row.method == method && row.stage == COMPARISON;
    rows.iter().filter(own)
}

fn judge(rows: &[Row], linear: f64) -> Vec<Verdict> {
    let means = METHODS.map(|(_, name, ..)| {
        let accuracies: Vec<f64> = compared(rows, name).map(|r| 100.0 * r.accuracy).collect();
        Summary::of(&accuracies).mean
    });
    let inside = METHODS.iter().filter(|(_, name, rates, _)| {
        let chosen = compared(rows, name).next();
        chosen.is_some_and(|row| row.learning_rate == rates[1])
    });
    vec![OPTIMISER_DOES_NOT_DECIDE.judge(vec![
        Measurement::of(
            "difference between the methods, points",
            (means[0] - means[1]).abs(),
        ),
        Measurement::of(
            "the lesser one less the linear classifier, points",
            means[0].min(means[1]) - 100.0 * linear,
        ),
        Measurement::of(
            "methods whose best rate is not at an end of the three",
            inside.count() as f64,
        ),
    ])]
}

fn print(rows: &[Row], linear: f64) {
    println!(
        "\n{:>6} | {:>13} | {:>10} {:>4} | {:>13} | {:>8}",
        "", "learning rate", "", "seed", "training loss", "accuracy"
    );
    for row in rows {
        println!(
            "{:>6} | {:>13} | {:>10} {:>4} | {:>13.4} | {:>6.2} %",
            row.method,
            row.learning_rate,
            row.stage,
            row.seed,
            row.training_loss,
            100.0 * row.accuracy
        );
    }
    println!("linear classifier on pixels: {:.2} %", 100.0 * linear);
}
