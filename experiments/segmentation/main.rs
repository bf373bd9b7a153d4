//! # Do networks trained on labels alone find the objects, and which block does it?
//!
//! CPAL 2024 (arXiv 2308.16271): what CRATE's class token reads is the object, though nothing but its label was ever shown; a
//! ViT's is not. Deeper layers do it better, MSSA does it and not ISTA, heads stand for parts, it comes with training, and the
//! first principal component of the tokens is the object.
//!
//! The paper's networks saw ImageNet-21K. Here CRATE and what lies between it and a ViT, all of as many parameters, are trained
//! from the same seeds on scenes whose objects are known to the pixel: one textured object on a ground of random cells, the
//! label texture times shape. All of them read their answer off the class token, the ViT too, whose official code takes the
//! mean of the patches: of the last layer's map the mean would never learn anything.
//!
//! | question | claims |
//! |---|---|
//! | `heads`: do maps of the class token find the object? | C-SEG-01 |
//! | `layers`: do deeper layers do it better? | C-SEG-03 |
//! | `blocks`: is it MSSA that does it? | C-SEG-04 |
//! | `parts`: do heads stand for parts? | C-SEG-05 |
//! | `course`: does it come with training? | C-SEG-06 |
//! | `noise`: do some heads withstand noise, and others not? | C-SEG-07 |
//! | `components`: is the first principal component the object? | C-SEG-08 |
//!
//! **Measured** by the overlap (intersection over union, on pixels) of the object with the smallest set of patches that holds
//! 60 % of what a head reads. The head is chosen on one half of the scenes and measured on the other; the best head for each
//! object, an oracle, stands beside it.
//!
//! **Controls**: the untrained network of every seed; the maps of another scene, which have all but the picture; a disc in the
//! middle, everything, the best of as many smooth random maps, and two clusters of the pixels.
//!
//! **Criteria**: those of the files, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_segmentation`: about an hour on two cores. An interrupted run goes on with the
//! training it was at.

mod arms;
mod blocks;
mod components;
mod course;
mod heads;
mod layers;
mod material;
mod noise;
mod parts;
mod row;
mod show;

use std::process::ExitCode;

use arms::Arm;
use material::{Floors, Material};
use row::{Example, Row};
use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::scenes::{Colours, Scenes};
use whitebox::harness::comparison::Comparison;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::train::augment::Augmentation;
use whitebox::train::Recipe;
use whitebox::Result;

const PAPER: &str = "CPAL 2024, arXiv 2308.16271";

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seeds: u32,
    /// Scenes to train on.
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..))]
    epochs: u32,
    /// Held-out scenes whose layers are measured.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(2..))]
    measured: u32,
    /// Whether object and ground have colours of their own.
    #[arg(long, value_enum, default_value = "apart")]
    colours: Colours,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    scenes: Scenes,
    /// Of the scenes, and the first of the networks.
    seed: u64,
    recipe: Recipe,
    arms: Vec<Arm>,
    seeds: usize,
    /// Epochs after which CRATE is measured too; the first is at 5 % of the training.
    stages: Vec<usize>,
    training_scenes: usize,
    held_out_scenes: usize,
    measured_scenes: usize,
    /// Share of the pixels, and deviation in units of a byte.
    noise: (f64, f64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    floors: Floors,
    networks: Vec<Row>,
    /// Maps of the first trained CRATE.
    examples: Vec<Example>,
}

struct Segmentation;

impl Experiment for Segmentation {
    const NAME: &'static str = "segmentation";
    const TITLE: &'static str = "Objects in what networks read that were trained on labels alone";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        heads::CLAIMS,
        layers::CLAIMS,
        blocks::CLAIMS,
        parts::CLAIMS,
        course::CLAIMS,
        noise::CLAIMS,
        components::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let scenes = Scenes {
            side: 32,
            colours: flags.colours,
            noise: 10,
        };
        let epochs = run.count(4, flags.epochs);
        let mut stages: Vec<usize> = [20, 10, 4, 2].map(|part| epochs.div_ceil(part)).to_vec();
        stages.extend([epochs - epochs / 4, epochs]);
        stages.dedup();
        let settings = Settings {
            scenes,
            seed: run.seed,
            recipe: Recipe {
                epochs,
                batch: 64,
                learning_rate: 2e-3,
                augmentation: Augmentation::default(),
                ..Recipe::demo()
            },
            arms: arms::all(run.quick)?,
            seeds: run.count(2, flags.seeds),
            stages,
            training_scenes: run.count(96, flags.images),
            held_out_scenes: run.count(64, flags.measured.max(1000)),
            measured_scenes: run.count(32, flags.measured),
            noise: (0.5, 75.0),
        };
        let material = Material::new(run, &settings)?;
        let comparison = Comparison {
            stages: &settings.stages,
            ..Comparison::new(
                &material.training,
                &material.held_out,
                run.seed,
                settings.seeds,
            )
        };
        let variants = arms::variants(&settings);
        let networks = Networks::of(run, &settings, comparison.steps(&variants))?;
        let mut examples = Vec::new();
        let rows = comparison.train(&networks, &variants, |variant, seed, trained| {
            let mut measured = vec![(0, variant.start(seed)?)];
            if variant.name == arms::CRATE {
                measured.extend(settings.stages.iter().copied().zip(trained.stages));
                if examples.is_empty() {
                    examples = row::examples(&trained.network, &material)?;
                }
            } else {
                measured.push((epochs, trained.network));
            }
            let rows = measured.iter();
            let rows =
                rows.map(|(epoch, own)| Row::of(&variant.name, (seed, *epoch), own, &material));
            rows.collect::<Result<Vec<Row>>>()
        })?;
        let floors = material.floors()?;
        Ok(Found {
            results: Results {
                floors,
                networks: rows.concat(),
                examples,
            },
            settings,
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        show::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Segmentation>()
}
