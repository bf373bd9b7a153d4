//! `whitebox train [--data NAME] [--preset demo] [--recipe demo] --out FILE`

use std::path::PathBuf;
use std::time::Duration;

use dfdx::prelude::Cpu;
use whitebox::data::{DataArguments, Images, Split};
use whitebox::harness::console;
use whitebox::harness::device::DeviceArguments;
use whitebox::harness::training::Training;
use whitebox::model::autoencoder::{Autoencoder, AutoencoderConfig, Kind, AUTOENCODER_PRESETS};
use whitebox::model::checkpoint::Stored;
use whitebox::model::{hub, Architecture, Classifier, Config};
use whitebox::train::task::{Portable, Scored, Task};
use whitebox::train::{Classify, Epoch, Recipe, Reconstruct, Score};
use whitebox::{Error, Result};

/// What training from scratch and fine-tuning share.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainingArguments {
    #[command(flatten)]
    data: DataArguments,
    /// Changes a setting of the recipe: learning_rate=1e-4, augmentation.flip=false, gradient_clip=none.
    /// May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Passes over the training images: short for --set epochs=N.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Images per step, in all and not per thread or device: short for --set batch=N.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Use only so many training and held-out images, drawn by the seed: for trials.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seed of initialisation, order and augmentation.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The checkpoint to write, or a folder for model.safetensors and config.json; an interrupted run goes on
    /// from FILE.state. The course of the training goes to FILE.csv, a line after every epoch.
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Seconds between two writings of FILE.state within an epoch.
    #[arg(long, default_value_t = 300)]
    save_every: u32,
    /// Go on with an interrupted run, and refuse to begin a new one. Without it, FILE.state is taken up
    /// if there is one.
    #[arg(long)]
    resume: bool,
    /// Give up a finished training in FILE for this one. Without it, that is refused, unless it is this very
    /// training: then nothing is left to do.
    #[arg(long)]
    replace: bool,
    /// Epochs after which the network is written too, as NAME-epochE.safetensors beside FILE: 1,5,15.
    #[arg(long, value_name = "EPOCHS", value_delimiter = ',')]
    keep: Vec<usize>,
    #[command(flatten)]
    device: DeviceArguments,
    /// Folder for TensorBoard event files; needs a program built with --features tensorboard.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

impl TrainingArguments {
    pub(crate) fn recipe(&self, name: &str) -> Result<Recipe> {
        let short = |key: &str, value: Option<u32>| value.map(|value| format!("{key}={value}"));
        let mut changes = self.set.clone();
        changes.extend(short("epochs", self.epochs));
        changes.extend(short("batch", self.batch));
        Recipe::read(name, &changes)
    }

    /// Training and held-out images.
    pub(crate) fn images(&self) -> Result<(Images, Images)> {
        let limit = self.limit.map(|limit| limit as usize);
        let draw = |split| self.data.draw(split, limit, self.seed);
        Ok((draw(Split::Train)?, draw(Split::Test)?))
    }

    /// Trains a classifier, and says what it is worth.
    pub(crate) fn classify(
        &self,
        network: Classifier<f32, Cpu>,
        recipe: Recipe,
        start: Option<serde_json::Value>,
        images: &Images,
        held_out: &Images,
    ) -> Result<()> {
        let task = Classify::new(network.config(), images, held_out, &recipe);
        let set = (images, held_out);
        let line = |score: &Score| {
            format!(
                "held-out accuracy {:.2} % (top-5 {:.2} %), loss {:.4}",
                100.0 * score.accuracy,
                100.0 * score.top5,
                score.loss
            )
        };
        self.run(&task, network, recipe.clone(), start, set, line)
    }

    fn run<N: Stored, S: Scored, T: Portable + Task<Cpu, Network = N, Score = S>>(
        &self,
        task: &T,
        network: N,
        recipe: Recipe,
        start: Option<serde_json::Value>,
        (images, held_out): (&Images, &Images),
        line: impl Fn(&S) -> String,
    ) -> Result<()> {
        let (out, config_file) = hub::place(&self.out)?;
        let numbers = network.parameters().into_iter();
        let trained = numbers.filter(|found| found.parameter.trained);
        let count: usize = trained.map(|found| found.values.len()).sum();
        eprintln!(
            "training {:.2} M parameters on {} images of {}",
            count as f64 * 1e-6,
            images.len(),
            images.name
        );
        let training = Training {
            network,
            start,
            recipe,
            seed: self.seed,
            threads: console::threads(self.threads),
            out: &out,
            config_file: config_file.as_deref(),
            save_every: Duration::from_secs(self.save_every.into()),
            resume: self.resume,
            replace: self.replace,
            device: self.device.device,
            tensorboard: self.tensorboard.as_deref(),
            keep: &self.keep,
        };
        let epochs: Vec<Epoch<S>> = training.run(task, images, held_out)?;
        if let Some(last) = epochs.last() {
            println!("{}; see {}", line(&last.held_out), out.display());
        }
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Sizes: demo, crate-tiny, crate-small, crate-base, crate-large, vit-tiny, vit-small or vit-base; of a masked
    /// autoencoder: mae-demo, mae-crate-tiny, mae-crate-small, mae-crate-base, mae-crate-large or mae-vit-base.
    #[arg(long, default_value = "demo")]
    preset: String,
    /// What the network is made of, instead of the preset's. crate-encoder and vit-encoder are classifiers made as the
    /// encoders of autoencoders are: what to hold fine-tuned ones against.
    #[arg(long)]
    architecture: Option<Architecture>,
    /// Side of a patch, pixels, instead of the preset's.
    #[arg(long)]
    patch: Option<usize>,
    /// Layers, instead of the preset's; of an autoencoder, in each half.
    #[arg(long)]
    depth: Option<usize>,
    /// Width of a token and number of heads, instead of the preset's: the head width is their ratio.
    #[arg(long, num_args = 2, value_names = ["WIDTH", "HEADS"], action = clap::ArgAction::Set)]
    width: Option<Vec<usize>>,
    /// The weight of ISTA's threshold, instead of the official one: 0.1 in a classifier, 0.5 in an autoencoder.
    #[arg(long, allow_negative_numbers = true)]
    lambda: Option<f64>,
    /// How to train: the name of a recipe (demo, imagenet-paper, imagenet-readme, imagenet-code,
    /// finetune; for an autoencoder mae-demo or mae) or a file NAME.toml. Without it, demo or mae-demo.
    #[arg(long)]
    recipe: Option<String>,
    #[command(flatten)]
    training: TrainingArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if AUTOENCODER_PRESETS.contains(&arguments.preset.as_str()) {
        return reconstruct(arguments);
    }
    let training = &arguments.training;
    let recipe = training.recipe(arguments.recipe.as_deref().unwrap_or("demo"))?;
    let mut config = Config::preset(&arguments.preset)?;
    if let Some([d, heads]) = arguments.width.as_deref() {
        config = config.with_width(*d, *heads)?;
    }
    if let Some(architecture) = arguments.architecture {
        config = config.of(architecture);
    }
    config.depth = arguments.depth.unwrap_or(config.depth);
    config.lambda = arguments.lambda.unwrap_or(config.lambda);
    config.patch_size = arguments.patch.map_or(config.patch_size, |side| [side; 2]);
    let (images, held_out) = training.images()?;
    let [channels, height, width] = images.shape;
    config = config.for_images(channels, [height, width], images.classes);
    let network = Classifier::new(config, training.seed, &Cpu::default())?;
    training.classify(network, recipe, None, &images, &held_out)
}

/// Trains a masked autoencoder.
fn reconstruct(arguments: &Arguments) -> Result<()> {
    let training = &arguments.training;
    let recipe = training.recipe(arguments.recipe.as_deref().unwrap_or("mae-demo"))?;
    let mut config = AutoencoderConfig::preset(&arguments.preset)?;
    if let Some([d, heads]) = arguments.width.as_deref() {
        (config.d, config.heads, config.decoder_heads) = (*d, *heads, *heads);
    }
    config.kind = match arguments.architecture {
        None => config.kind,
        Some(Architecture::Crate) => Kind::CrateMae,
        Some(Architecture::Vit) => Kind::VitMae,
        Some(other) => {
            let wanted = "crate or vit, of which there are autoencoders";
            let got = other.word();
            return Err(Error::argument("--architecture", wanted, got, "choose one"));
        }
    };
    if let Some(depth) = arguments.depth {
        (config.encoder_depth, config.decoder_depth) = (depth, depth);
    }
    config.lambda = arguments.lambda.unwrap_or(config.lambda);
    config.patch_size = arguments.patch.map_or(config.patch_size, |side| [side; 2]);
    let (images, held_out) = training.images()?;
    let [channels, height, width] = images.shape;
    config = config.for_images(channels, [height, width]);
    let network = Autoencoder::new(config, training.seed, &Cpu::default())?;
    let task = Reconstruct::new(&config, &images, &held_out, &recipe)?;
    let set = (&images, &held_out);
    let line = |error: &f64| format!("held-out error of masked pixels {error:.4}");
    training.run(&task, network, recipe.clone(), None, set, line)
}
