//! # Does training improve the objective, and when?
//!
//! **Claim** C-LAY-06 (NeurIPS 2023, arXiv 2306.01129, section 3; overview, arXiv 2311.13110: curves at
//! several stages of training): the compression term and the number of nonzeros at the last layer fall
//! while a network is trained. Nothing in the loss asks for it.
//!
//! A network is trained from several seeds, and its layers are measured before the first step, after the
//! first epoch, half way and at the end, on held-out images.
//!
//! **Claim** C-LAY-10-permuted (this project's, after the overview, chapter on the white-box transformer: many losses
//! give compressing layers): the same happens on permuted labels. If it does, compression is no sign of
//! anything that was learned about the classes. If it does not, though the labels were fitted, it is one.
//!
//! **Claim** C-LAY-01-seeds: what [C-LAY-01](layerwise.rs) asks of one network, asked of these. It was added after the
//! run, with the bounds that C-LAY-01 had before.
//!
//! **Criteria**: the claims below. Their bounds were fixed before the first run, what decides and by which limits
//! after it.
//!
//! **Run**: `cargo run --release --bin exp_training_dynamics`: about ten minutes on two cores. An
//! interrupted run goes on with the training it was at.

mod depth;
mod layers;
mod permuted;
mod show;
mod stages;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::harness::comparison::{small_network, BySeed, Comparison, Labels, Variant};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::model::Config;
use whitebox::train::Recipe;
use whitebox::Result;

use layers::Row;

type Found = experiment::Found<Settings, Vec<Row>>;

/// The stages that are measured, in order.
const STAGES: [&str; 4] = [BEFORE, FIRST, HALF_WAY, END];
const BEFORE: &str = "before training";
const FIRST: &str = "first epoch";
const HALF_WAY: &str = "half way";
const END: &str = "end";

/// The labels that a network is trained on.
const TRUE: &str = "true";
const PERMUTED: &str = "permuted";

/// Which networks are trained.
#[derive(Debug, clap::Args)]
struct Flags {
    /// Which images.
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

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    measured_images: usize,
}

/// A number of one layer at a stage, by seed.
fn at(rows: &[Row], labels: &str, stage: &str, layer: usize, of: fn(&Row) -> f64) -> BySeed {
    let own = rows
        .iter()
        .filter(|r| (&*r.labels, &*r.stage, r.layer) == (labels, stage, layer));
    own.map(|row| (row.seed, of(row))).collect()
}

/// The same of the last layer.
fn last(found: &Found, labels: &str, stage: &str, of: fn(&Row) -> f64) -> BySeed {
    at(found, labels, stage, found.settings.network.depth, of)
}

struct TrainingDynamics;

impl Experiment for TrainingDynamics {
    const NAME: &'static str = "training_dynamics";
    const TITLE: &'static str = "The layers of a network while it is trained";
    const CLAIMS: &'static [&'static [Claim<Found>]] =
        &[stages::CLAIMS, permuted::CLAIMS, depth::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Vec<Row>;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let images = run.count(60, flags.images);
        let training = flags.data.draw(Split::Train, Some(images), run.seed)?;
        let held_out = flags
            .data
            .draw(Split::Test, Some(images.min(2000)), run.seed)?;
        for images in [&training, &held_out] {
            run.reads(images);
        }
        let settings = Settings {
            network: small_network(&training, 96, 6)?,
            recipe: Recipe {
                epochs: run.count(4, flags.epochs),
                batch: 64,
                ..Recipe::demo()
            },
            seeds: run.count(1, flags.seeds),
            training_images: training.len(),
            measured_images: run.count(4, flags.measured),
        };
        let epochs = [1, settings.recipe.epochs / 2, settings.recipe.epochs];
        let plain = Variant::new(TRUE, settings.network, settings.recipe.clone());
        let permuted = plain.but(PERMUTED, |variant| variant.labels = Labels::Permuted);
        let variants = [plain, permuted];
        let comparison = Comparison {
            stages: &epochs,
            ..Comparison::new(&training, &held_out, run.seed, settings.seeds)
        };
        let networks = Networks::of(run, &settings, comparison.steps(&variants))?;
        let indices = held_out.sample(settings.measured_images, run.seed);
        let rows = comparison.train(&networks, &variants, |variant, seed, trained| {
            let start = variant.start(seed)?;
            let networks = [(0, start)]
                .into_iter()
                .chain(epochs.into_iter().zip(trained.stages));
            let images = variant.labels.of(&training, seed);
            let mut rows = Vec::new();
            for (stage, (epoch, network)) in STAGES.into_iter().zip(networks) {
                let of = (&*variant.name, seed, stage, epoch);
                rows.extend(layers::rows(
                    of,
                    &network,
                    [&images, &held_out],
                    &indices,
                    run,
                )?);
            }
            Ok(rows)
        })?;
        Ok(Found {
            settings,
            results: rows.concat(),
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        show::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<TrainingDynamics>()
}
