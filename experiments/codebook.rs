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
//! **Criteria**: the claims below. Their bounds were fixed before the first run, what decides and by which limits
//! after it.
//!
//! **Run**: `cargo run --release --bin exp_codebook`: about half an hour on two cores. An interrupted run
//! goes on with the training it was at.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::DataName;
use whitebox::harness::comparison::{
    self, less, means, small_network, BySeed, Comparison, ComparisonFlags, Training, Variant,
};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::measure::statistics::{paired_differences, Summary};
use whitebox::model::Config;
use whitebox::train::Recipe;
use whitebox::Result;

type Found = experiment::Found<Settings, Vec<Training>>;

const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-SUP-06",
        Source::of(
            "derived by this project",
            "section 2 of NeurIPS 2023: U and D are the parameters of a layer",
        ),
        Whose::Project,
        "With U and D frozen at their random start CRATE is worse by 3 points or more",
        &[
            Criterion::at_least(
                "all trained less U and D frozen, points",
                3.0,
                |found: &Found| less(&of(found, ALL), &of(found, CODEBOOK)),
            ),
            Criterion::at_least(
                "U and D frozen: accuracy over that of guessing",
                2.0,
                |found: &Found| Some(over_guessing(found, CODEBOOK)),
            )
            .check(),
        ],
    )
    .beside(&[
        Number::of(
            "share of the accuracy above the linear classifier that is lost",
            |found: &Found| share_lost(found, CODEBOOK),
        ),
        Number::of("that of U frozen alone", |found: &Found| {
            share_lost(found, "U frozen")
        }),
        Number::of("that of D frozen alone", |found: &Found| {
            share_lost(found, "D frozen")
        }),
    ]),
    Claim::new(
        "C-CRIT-02-fixed",
        Source::of("arXiv 2411.17182", "variant CRATE-Fix"),
        Whose::Critics,
        "CRATE with a random output projection that is never trained comes within a point of CRATE",
        &[
            Criterion::at_most(
                "all trained and output frozen differ by, points",
                1.0,
                |found: &Found| Some(less(&of(found, ALL), &of(found, OUTPUT))?.size()),
            ),
            Criterion::at_least(
                "output frozen less U and D frozen, points",
                0.0,
                |found: &Found| less(&of(found, OUTPUT), &of(found, CODEBOOK)),
            )
            .control(),
        ],
    ),
];

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

/// Accuracies of a variant in per cent, by seed.
fn of(found: &Found, variant: &str) -> BySeed {
    comparison::accuracies(found, |row| row.variant == variant, Training::scored)
}

fn over_guessing(found: &Found, variant: &str) -> Measured {
    let guessing = 100.0 / found.settings.network.classes as f64;
    let times = of(found, variant)
        .into_iter()
        .map(|(seed, v)| (seed, v / guessing));
    comparison::mean(&times.collect::<Vec<_>>())
}

/// What freezing costs, over what all parameters gain on the linear classifier.
fn share_lost(found: &Found, variant: &str) -> Option<Measured> {
    let lost = paired_differences(&of(found, ALL), &of(found, variant))?;
    let linear = 100.0 * found.settings.linear_accuracy;
    let gained = of(found, ALL)
        .into_iter()
        .map(|(_, accuracy)| accuracy - linear);
    let shares: Vec<f64> = lost
        .iter()
        .zip(gained)
        .map(|(lost, gained)| lost / gained)
        .collect();
    Some(Measured::mean(Unit::Network, &shares))
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    held_out_images: usize,
    linear_accuracy: f64,
}

struct Codebook;

impl Experiment for Codebook {
    const NAME: &'static str = "codebook";
    const TITLE: &'static str = "CRATE with parts of it frozen";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[CLAIMS];
    type Flags = ComparisonFlags;
    type Settings = Settings;
    type Results = Vec<Training>;

    fn data(flags: &ComparisonFlags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &ComparisonFlags) -> Result<Found> {
        let material = flags.material(run, false)?;
        let settings = Settings {
            network: small_network(&material.training, 64, 4)?,
            recipe: Recipe {
                learning_rate: 4e-3,
                ..material.recipe
            },
            seeds: material.seeds,
            training_images: material.training.len(),
            held_out_images: material.held_out.len(),
            linear_accuracy: material.linear_accuracy,
        };
        let plain = Variant::new(ALL, settings.network, settings.recipe.clone());
        let variants = VARIANTS.map(|(name, parts)| {
            plain.but(name, |variant| {
                variant.recipe.freeze = parts.iter().map(|&part| part.to_owned()).collect();
            })
        });
        let (training, held_out) = (&material.training, &material.held_out);
        let comparison = Comparison::new(training, held_out, run.seed, settings.seeds);
        let networks = Networks::of(run, &settings, comparison.steps(&variants))?;
        let results = comparison.train(&networks, &variants, |variant, seed, trained| {
            Ok(Training::of(variant, seed, &trained))
        })?;
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        let linear = Summary::of(&[100.0 * found.settings.linear_accuracy]);
        let mut lines = vec![("linear".to_owned(), vec![linear])];
        lines.extend(VARIANTS.map(|(variant, _)| {
            let accuracies = comparison::over_seeds(&of(found, variant));
            (variant.to_owned(), vec![accuracies])
        }));
        shown.say(means(&["accuracy, per cent"], 2, &lines));
        shown.table("trainings.csv", found)
    }
}

fn main() -> ExitCode {
    experiment::main::<Codebook>()
}
