//! # How much should an autoencoder not see, and what of it matters?
//!
//! ICLR 2024 (arXiv 2404.02446) trains CRATE-MAE with three quarters of the patches masked, with a threshold that the code
//! sets to 0.5 and published files to 5, and with a decoder that takes attention away.
//!
//! Here small CRATE-MAEs are trained that differ from the plain one (three quarters, 0.5, taken away) in one of the three,
//! from the same seeds, on the same pictures, for as many steps. Each is measured as every other: by the linear probe on
//! whole pictures, and by the error of masked pixels with three quarters masked, whatever it was trained with.
//!
//! | question | claims |
//! |---|---|
//! | `ratio`: which share of patches should be masked? | C-MAE-06 |
//! | `threshold`: how much does lambda matter? | C-MAE-09 |
//! | `sign`: does it matter that attention is taken away? | C-MAE-08-retrained |
//!
//! **Controls**: the untrained network of every seed, as a check that training has taught something to compare; that
//! turning the decoder's output with its sign changes no prediction.
//!
//! **Criteria**: those of the files, fixed before the first run. The claim of C-MAE-06 is about the best of several ratios,
//! so that it holds only if it does for each of them, at its upper limit.
//!
//! **Run**: `cargo run --release --bin exp_masking`: about half an hour on two cores, 21 networks on 5,000 images for ten
//! epochs. An interrupted run goes on with the training it was at.

mod networks;
mod ratio;
mod sign;
mod threshold;

use std::process::ExitCode;

use dfdx::prelude::Cpu;
use networks::{variants, Material, Row, PLAIN};
use serde::{Deserialize, Serialize};
use sign::Turned;
use whitebox::claim::Claim;
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::model::autoencoder::{Autoencoder, AutoencoderConfig};
use whitebox::train::{Recipe, Reconstruct};
use whitebox::Result;

const PAPER: &str = "ICLR 2024, arXiv 2404.02446";

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seeds: u32,
    /// Training images.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Held-out images.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    held_out: u32,
    /// Passes over the training images.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Training images of the linear probe, and as many held-out ones, if there are.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..))]
    probed: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    /// The plain network.
    network: AutoencoderConfig,
    /// How it is trained.
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    held_out_images: usize,
    probed_images: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    networks: Vec<Row>,
    /// Of the plain network of every seed.
    turned: Vec<Turned>,
}

struct MaskedAutoencoding;

impl Experiment for MaskedAutoencoding {
    const NAME: &'static str = "masking";
    const TITLE: &'static str = "Share masked, threshold and sign of a small white-box autoencoder";
    const CLAIMS: &'static [&'static [Claim<Found>]] =
        &[ratio::CLAIMS, threshold::CLAIMS, sign::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let draw = |split, count| {
            let images = flags.data.draw(split, Some(count), run.seed)?;
            run.reads(&images);
            Ok::<_, whitebox::Error>(images)
        };
        let training = draw(Split::Train, run.count(200, flags.images))?;
        let held_out = draw(Split::Test, run.count(100, flags.held_out))?;
        let [channels, height, width] = training.shape;
        let demo = AutoencoderConfig::preset("mae-demo")?.for_images(channels, [height, width]);
        let mut network = PLAIN.network(demo);
        if run.quick {
            (network.encoder_depth, network.decoder_depth) = (2, 2);
        }
        let recipe = Recipe {
            epochs: run.count(1, flags.epochs),
            ..Recipe::read("mae-demo", &[])?
        };
        let settings = Settings {
            network,
            recipe: PLAIN.recipe(&recipe),
            seeds: run.count(2, flags.seeds),
            training_images: training.len(),
            held_out_images: held_out.len(),
            probed_images: run.count(60, flags.probed),
        };
        let steps = training.len().div_ceil(recipe.batch) * recipe.epochs;
        let variants = variants();
        let networks = Networks::of(run, &settings, variants.len() * settings.seeds * steps)?;
        let material = Material::new(run, &settings, &training, &held_out)?;
        let (mut rows, mut turned) = (Vec::new(), Vec::new());
        for seed in run.seed..run.seed + settings.seeds as u64 {
            for variant in &variants {
                let (config, recipe) = (variant.network(network), variant.recipe(&recipe));
                let task = Reconstruct::new(&config, &training, &held_out, &recipe)?;
                let start = Autoencoder::new(config, seed, &Cpu::default())?;
                if *variant == PLAIN {
                    rows.push(Row::of(PLAIN, seed, false, &start, &material)?);
                }
                let file = variant.file(seed);
                let trained = networks.train_for(&task, &file, start, (&recipe, seed), &[])?;
                rows.push(Row::of(*variant, seed, true, &trained.network, &material)?);
                if *variant == PLAIN {
                    turned.push(Turned::of(&trained.network, material.few())?);
                }
            }
        }
        Ok(Found {
            settings,
            results: Results {
                networks: rows,
                turned,
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("networks.csv", &found.networks)?;
        ratio::show(found, shown)?;
        threshold::show(found, shown);
        sign::show(found, shown);
        Ok(())
    }
}

fn main() -> ExitCode {
    experiment::main::<MaskedAutoencoding>()
}
