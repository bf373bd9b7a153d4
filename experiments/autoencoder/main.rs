//! # Does the white-box autoencoder do what its paper says?
//!
//! ICLR 2024 (arXiv 2404.02446): CRATE-MAE reconstructs as ViT-MAE does with 30 % of its parameters, its features are as
//! good for a linear probe, its encoder compresses and sparsifies and its decoder undoes that, layer by layer.
//!
//! Here CRATE-MAE is trained beside the ViT of the official file, made as small as it is, from the same seeds, on the same
//! masked pictures. Pictures are in deviations of the data, so that an error of 1 is that of knowing nothing.
//!
//! | question | claims |
//! |---|---|
//! | `cost`: what does it reconstruct with how much? | C-MAE-01, C-MAE-03 |
//! | `probe`: what does a linear probe find in its features? | C-MAE-02 |
//! | `layers`: what do its layers do? | C-MAE-04, -sparsity |
//! | `inversion`: do layers of the decoder undo those of the encoder? | C-MAE-07 |
//!
//! **Controls**: the untrained network of every seed; for features, pixels; for errors, what fills in a picture without a
//! network: the mean training picture, a harmonic surface through what is seen (which stands for bilinear interpolation),
//! and the best linear guess from the covariance of training pictures.
//!
//! **Criteria**: those of the files, fixed before the first run. The harmonic and linear floors of C-MAE-03 were known:
//! .56 and .19 on Fashion-MNIST.
//!
//! **Run**: `cargo run --release --bin exp_autoencoder`: about an hour on two cores. An interrupted run goes on with the
//! training it was at.

mod cost;
mod inversion;
mod layers;
mod material;
mod probe;
mod row;

use std::process::ExitCode;

use dfdx::prelude::Cpu;
use material::{Floors, Material};
use row::Row;
use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::model::autoencoder::{Autoencoder, AutoencoderConfig, Kind};
use whitebox::train::{Recipe, Reconstruct};
use whitebox::Result;

const PAPER: &str = "ICLR 2024, arXiv 2404.02446";
const CRATE: &str = "CRATE-MAE";
const VIT: &str = "ViT-MAE";

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seeds: u32,
    /// Training images.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Training images, and as many held-out ones, of the linear probe.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..))]
    probed: u32,
    /// Held-out images whose layers are measured.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    measured: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    crate_mae: AutoencoderConfig,
    vit_mae: AutoencoderConfig,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    held_out_images: usize,
    probed_images: usize,
    measured_images: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    floors: Floors,
    networks: Vec<Row>,
}

struct Autoencoding;

impl Experiment for Autoencoding {
    const NAME: &'static str = "autoencoder";
    const TITLE: &'static str = "The white-box autoencoder beside a transformer of its size";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        cost::CLAIMS,
        probe::CLAIMS,
        layers::CLAIMS,
        inversion::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let draw = |split, count| {
            let images = flags.data.draw(split, count, run.seed)?;
            run.reads(&images);
            Ok::<_, whitebox::Error>(images)
        };
        let training = draw(Split::Train, Some(run.count(200, flags.images)))?;
        let held_out = draw(Split::Test, run.quick.then_some(100))?;
        let [channels, height, width] = training.shape;
        let demo = AutoencoderConfig::preset("mae-demo")?.for_images(channels, [height, width]);
        let mut crate_mae = demo;
        if run.quick {
            (crate_mae.encoder_depth, crate_mae.decoder_depth) = (2, 2);
        }
        let vit_mae = AutoencoderConfig {
            kind: Kind::VitMae,
            ..crate_mae
        };
        let settings = Settings {
            crate_mae,
            vit_mae: vit_mae.with_parameters_near(crate_mae.trained_parameters(), 512),
            recipe: Recipe {
                epochs: run.count(1, flags.epochs),
                ..Recipe::read("mae-demo", &[])?
            },
            seeds: run.count(2, flags.seeds),
            training_images: training.len(),
            held_out_images: held_out.len(),
            probed_images: run.count(60, flags.probed),
            measured_images: run.count(4, flags.measured),
        };
        let recipe = &settings.recipe;
        let steps = training.len().div_ceil(recipe.batch) * recipe.epochs;
        let networks = Networks::of(run, &settings, 2 * settings.seeds * steps)?;
        let task = Reconstruct::new(&crate_mae, &training, &held_out, recipe)?;
        let material = Material::new(run, &settings, &training, &held_out, &task)?;
        let mut rows = Vec::new();
        for seed in run.seed..run.seed + settings.seeds as u64 {
            for (name, config) in [(CRATE, settings.crate_mae), (VIT, settings.vit_mae)] {
                let start = Autoencoder::new(config, seed, &Cpu::default())?;
                rows.push(Row::of(name, seed, false, &start, &material)?);
                let file = format!("{name}-{seed}");
                let trained = networks.train_for(&task, &file, start, (recipe, seed), &[])?;
                rows.push(Row::of(name, seed, true, &trained.network, &material)?);
            }
        }
        let floors = material.floors()?;
        Ok(Found {
            settings,
            results: Results {
                floors,
                networks: rows,
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        cost::show(found, shown);
        probe::show(found, shown);
        shown.table("networks.csv", &row::lines(&found.networks))?;
        layers::show(found, shown)?;
        inversion::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Autoencoding>()
}
