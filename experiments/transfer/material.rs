//! Half of the classes to learn first, few images of the others to learn then.

use serde::{Deserialize, Serialize};
use whitebox::data::{DataArguments, Images, Split};
use whitebox::harness::comparison::small_network;
use whitebox::harness::run::Run;
use whitebox::model::Config;
use whitebox::train::augment::Augmentation;
use whitebox::train::Recipe;
use whitebox::Result;

/// Images of the new classes, rising.
const FEW: [usize; 3] = [250, 1000, 4000];

/// Fine-tune CRATE on classes that it has not seen.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// Which images.
    #[command(flatten)]
    pub(super) data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seeds: u32,
    /// Images to pre-train on.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) network: Config,
    pub(super) pretraining: Recipe,
    /// For each number of images of the new classes.
    pub(super) fine_tuning: Vec<Recipe>,
    pub(super) seeds: usize,
    pretraining_images: usize,
}

/// The images, and how to train on them.
pub(super) struct Material {
    pub(super) old: Images,
    pub(super) old_held_out: Images,
    pub(super) new: Images,
    pub(super) new_held_out: Images,
    /// Numbers of images of the new classes.
    pub(super) few: [usize; 3],
    pub(super) settings: Settings,
}

impl Flags {
    /// Draws the images.
    pub(super) fn read(&self, run: &Run) -> Result<Material> {
        let few = FEW.map(|images| if run.quick { images / 25 } else { images });
        let read = |split| self.data.draw(split, run.quick.then_some(800), run.seed);
        let (training, held_out) = (read(Split::Train)?, read(Split::Test)?);
        let half = training.classes / 2;
        let old = training.of_classes(0..half)?;
        let old = old.subset(&old.sample(run.count(200, self.images), run.seed))?;
        let new = training.of_classes(half..training.classes)?;
        let new_held_out = held_out.of_classes(half..training.classes)?;
        for images in [&old, &new, &new_held_out] {
            run.reads(images);
        }
        let pretraining = Recipe {
            epochs: run.count(1, self.epochs),
            batch: 64,
            learning_rate: 2e-3,
            augmentation: Augmentation::default(),
            ..Recipe::demo()
        };
        // As many steps whatever the number of images, and the same for every origin.
        let steps = run.count(4, 600);
        let fine_tuning = few.map(|images| Recipe {
            epochs: steps / images.div_ceil(32).min(steps),
            batch: 32,
            learning_rate: 1e-3,
            ..pretraining.clone()
        });
        let settings = Settings {
            network: Config {
                classes: half,
                ..small_network(&training, 64, 4)?
            },
            pretraining,
            fine_tuning: fine_tuning.to_vec(),
            seeds: run.count(2, self.seeds),
            pretraining_images: old.len(),
        };
        Ok(Material {
            old_held_out: held_out.of_classes(0..half)?,
            old,
            new,
            new_held_out,
            few,
            settings,
        })
    }
}
