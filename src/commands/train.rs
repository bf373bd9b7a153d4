//! `whitebox train [--data NAME] [--preset demo] [--out FILE]`

use std::path::PathBuf;

use whitebox::data::{DataArguments, Split};
use whitebox::harness::console;
use whitebox::harness::training::Training;
use whitebox::model::CrateConfig;
use whitebox::train::Recipe;
use whitebox::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Sizes: demo, crate-tiny, crate-small, crate-base or crate-large.
    #[arg(long, default_value = "demo")]
    preset: String,
    /// Side of a patch, pixels, instead of the preset's.
    #[arg(long)]
    patch: Option<usize>,
    /// Layers, instead of the preset's.
    #[arg(long)]
    depth: Option<usize>,
    /// Width of a token and number of heads, instead of the preset's: the head width is their ratio.
    #[arg(long, num_args = 2, value_names = ["WIDTH", "HEADS"])]
    width: Option<Vec<usize>>,
    /// Passes over the training images.
    #[arg(long, default_value_t = Recipe::demo().epochs)]
    epochs: usize,
    /// Images per step.
    #[arg(long, default_value_t = Recipe::demo().batch)]
    batch: usize,
    /// Largest learning rate.
    #[arg(long, default_value_t = Recipe::demo().learning_rate)]
    learning_rate: f64,
    /// AdamW's decoupled weight decay.
    #[arg(long, default_value_t = Recipe::demo().weight_decay)]
    weight_decay: f64,
    /// Epochs of linear warm-up.
    #[arg(long, default_value_t = Recipe::demo().warmup_epochs)]
    warmup_epochs: f64,
    /// Label smoothing.
    #[arg(long, default_value_t = Recipe::demo().label_smoothing)]
    label_smoothing: f64,
    /// Largest random shift, pixels.
    #[arg(long, default_value_t = Recipe::demo().augmentation.shift)]
    shift: usize,
    /// No random horizontal flip: for digits and letters.
    #[arg(long)]
    no_flip: bool,
    /// Use only so many training and held-out images, drawn by the seed: for trials.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seed of initialisation, order and augmentation.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The checkpoint to write; an interrupted run goes on from FILE.state.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut recipe = Recipe {
        epochs: arguments.epochs,
        batch: arguments.batch,
        learning_rate: arguments.learning_rate,
        weight_decay: arguments.weight_decay,
        warmup_epochs: arguments.warmup_epochs,
        label_smoothing: arguments.label_smoothing,
        ..Recipe::demo()
    };
    recipe.augmentation.shift = arguments.shift;
    recipe.augmentation.flip = !arguments.no_flip;
    recipe.check()?;
    let mut config = CrateConfig::preset(&arguments.preset)?;
    if let Some([d, heads]) = arguments.width.as_deref() {
        config = config.with_width(*d, *heads)?;
    }
    config.depth = arguments.depth.unwrap_or(config.depth);
    config.patch_size = arguments.patch.map_or(config.patch_size, |side| [side; 2]);
    let limit = arguments.limit.map(|limit| limit as usize);
    let read = |split| {
        let images = arguments.data.read(split, limit, arguments.seed)?;
        match limit {
            Some(limit) => images.subset(&images.sample(limit, arguments.seed)),
            None => Ok(images),
        }
    };
    let (images, held_out) = (read(Split::Train)?, read(Split::Test)?);
    let [channels, height, width] = images.shape;
    config = config.for_images(channels, [height, width], images.classes);
    config.check()?;
    eprintln!(
        "training {:.2} M parameters on {} images of {}",
        config.parameters() as f64 * 1e-6,
        images.len(),
        images.name
    );
    let training = Training {
        config,
        recipe,
        seed: arguments.seed,
        threads: console::threads(arguments.threads),
        out: &arguments.out,
    };
    let epochs = training.run(&images, &held_out)?;
    if let Some(last) = epochs.last() {
        println!(
            "held-out accuracy {:.2} %, loss {:.4}; wrote {}",
            100.0 * last.held_out.accuracy,
            last.held_out.loss,
            arguments.out.display()
        );
    }
    Ok(())
}
