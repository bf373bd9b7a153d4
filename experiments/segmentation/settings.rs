//! How long, on what, and with which networks.

use serde::{Deserialize, Serialize};
use whitebox::data::scenes::{Colours, Scenes};
use whitebox::harness::run::Run;
use whitebox::train::augment::Augmentation;
use whitebox::train::Recipe;
use whitebox::Result;

use super::arms::{self, Arm};

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
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
pub(crate) struct Settings {
    pub(crate) scenes: Scenes,
    /// Of the scenes, and the first of the networks.
    pub(crate) seed: u64,
    pub(crate) recipe: Recipe,
    pub(crate) arms: Vec<Arm>,
    pub(crate) seeds: usize,
    /// Epochs after which CRATE is measured too; the first is at 5 % of the training.
    pub(crate) stages: Vec<usize>,
    pub(crate) training_scenes: usize,
    pub(crate) held_out_scenes: usize,
    pub(crate) measured_scenes: usize,
    /// Share of the pixels, and deviation in units of a byte.
    pub(crate) noise: (f64, f64),
}

impl Settings {
    pub(crate) fn of(run: &Run, flags: &Flags) -> Result<Self> {
        let scenes = Scenes {
            side: 32,
            colours: flags.colours,
            noise: 10,
        };
        let epochs = run.count(4, flags.epochs);
        let mut stages: Vec<usize> = [20, 10, 4, 2].map(|part| epochs.div_ceil(part)).to_vec();
        stages.extend([epochs - epochs / 4, epochs]);
        stages.dedup();
        Ok(Self {
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
        })
    }
}
