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
//! **Criteria**: the claims below. Their bounds were fixed before the first run, what decides and by which limits
//! after it.
//!
//! **Run**: `cargo run --release --bin exp_optimiser`: about twenty minutes on two cores. An interrupted
//! run goes on with the training it was at.

mod claims;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::DataName;
use whitebox::harness::comparison::{
    self, means, small_network, Comparison, ComparisonFlags, Training, Variant,
};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::measure::statistics::Summary;
use whitebox::model::Config;
use whitebox::train::optimiser::Method;
use whitebox::train::Recipe;
use whitebox::Result;

type Found = experiment::Found<Settings, Vec<Row>>;

/// A method with the learning rates to choose from, and its weight decay.
const METHODS: [(Method, &str, [f64; 3], f64); 2] = [
    (Method::AdamW, "AdamW", [1e-3, 4e-3, 1.6e-2], 0.05),
    (Method::Lion, "Lion", [1e-4, 4e-4, 1.6e-3], 0.5),
];

const CHOICE: &str = "choice";
const COMPARISON: &str = "comparison";

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    validation_images: usize,
    linear_accuracy: f64,
}

/// One training. Accuracy on the images held back, or on the held-out ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    method: String,
    learning_rate: f64,
    stage: String,
    seed: u64,
    training_loss: f64,
    accuracy: f64,
}

/// Whether two rows differ in the seed alone.
fn same(a: &Row, b: &Row) -> bool {
    (&a.method, a.learning_rate, &a.stage) == (&b.method, b.learning_rate, &b.stage)
}

/// Every method at every rate.
fn variants(settings: &Settings) -> Vec<Variant> {
    let plain = Variant::new("plain", settings.network, settings.recipe.clone());
    let variant = |(method, name, rates, weight_decay): (_, _, [f64; 3], _)| {
        rates.map(|rate| {
            plain.but(format!("{name} {rate}"), |variant| {
                variant.recipe.method = method;
                variant.recipe.learning_rate = rate;
                variant.recipe.weight_decay = weight_decay;
            })
        })
    };
    METHODS.map(variant).concat()
}

struct Optimiser;

impl Experiment for Optimiser {
    const NAME: &'static str = "optimiser";
    const TITLE: &'static str = "CRATE trained by Lion and by AdamW";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[claims::CLAIMS];
    type Flags = ComparisonFlags;
    type Settings = Settings;
    type Results = Vec<Row>;

    fn data(flags: &ComparisonFlags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &ComparisonFlags) -> Result<Found> {
        let material = flags.material(run, true)?;
        let (training, held_out) = (&material.training, &material.held_out);
        let validation = material.validation.as_ref().unwrap_or(held_out);
        let settings = Settings {
            network: small_network(training, 64, 4)?,
            recipe: material.recipe.clone(),
            seeds: material.seeds,
            training_images: training.len(),
            validation_images: validation.len(),
            linear_accuracy: material.linear_accuracy,
        };
        let variants = variants(&settings);
        // From a seed that the comparison does not use.
        let aside = run.seed + settings.seeds as u64;
        let choice = Comparison::new(training, validation, aside, 1);
        let comparison = Comparison::new(training, held_out, run.seed, settings.seeds);
        let steps = choice.steps(&variants) + METHODS.len() * comparison.steps(&variants[..1]);
        let networks = Networks::of(run, &settings, steps)?;
        let mut results: Vec<Row> = Vec::new();
        for ((_, method, ..), variants) in METHODS.into_iter().zip(variants.chunks(3)) {
            let train = |comparison: &Comparison<'_>, stage: &str, variants: &[Variant]| {
                comparison.train(&networks, variants, |variant, seed, trained| {
                    let training = Training::of(variant, seed, &trained);
                    Ok(Row {
                        method: method.to_owned(),
                        learning_rate: variant.recipe.learning_rate,
                        stage: stage.to_owned(),
                        seed,
                        training_loss: training.training_loss,
                        accuracy: training.accuracy,
                    })
                })
            };
            let chosen = train(&choice, CHOICE, variants)?;
            // The first of equals.
            let better = |best: usize, other: usize| {
                let ahead = chosen[other].accuracy > chosen[best].accuracy;
                [best, other][usize::from(ahead)]
            };
            let best = (0..chosen.len()).fold(0, better);
            results.extend(chosen);
            results.extend(train(&comparison, COMPARISON, &variants[best..=best])?);
        }
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        let linear = Summary::of(&[100.0 * found.settings.linear_accuracy]);
        let mut lines = vec![("linear on pixels".to_owned(), vec![linear])];
        lines.extend(found.chunk_by(same).map(|rows| {
            let name = format!(
                "{} {}, {}",
                rows[0].method, rows[0].learning_rate, rows[0].stage
            );
            let scores = comparison::accuracies(rows, |_| true, |row| (row.seed, row.accuracy));
            (name, vec![comparison::over_seeds(&scores)])
        }));
        shown.say(means(&["accuracy, per cent"], 2, &lines));
        shown.table("trainings.csv", found)
    }
}

fn main() -> ExitCode {
    experiment::main::<Optimiser>()
}
