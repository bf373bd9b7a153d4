//! `whitebox evaluate --checkpoint FILE --data NAME`

use dfdx::prelude::Cpu;
use whitebox::data::{DataArguments, Images, Split};
use whitebox::harness::console;
use whitebox::harness::device::{DeviceArguments, OnDevice};
use whitebox::model::{Classifier, Runtime};
use whitebox::train::{evaluate, Score, EVALUATION_PIECE};
use whitebox::Result;

use super::checkpoint::CheckpointArguments;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Use only so many held-out images, drawn by the seed.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seed of that draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArguments,
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// [`evaluate`] on any device.
struct Work<'a, F> {
    network: &'a Classifier<f32, Cpu>,
    images: &'a Images,
    threads: usize,
    done: F,
}

impl<F: Fn() + Sync> OnDevice for Work<'_, F> {
    type Output = Score;

    fn run<D: Runtime<f32>>(self, device: &D) -> Result<Score> {
        let network = self.network.on(device)?;
        evaluate(&network, self.images, self.threads, self.done)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (network, checkpoint) = arguments.checkpoint.load()?;
    let limit = arguments.limit.map(|limit| limit as usize);
    let images = arguments.data.draw(Split::Test, limit, arguments.seed)?;
    // A class that the folders lack would give those after it the numbers of others.
    let training = checkpoint.training.unwrap_or_default();
    let names: Vec<String> =
        serde_json::from_value(training["class_names"].clone()).unwrap_or_default();
    images.check_classes(&names)?;
    if names.is_empty() {
        images.check_class_count(network.config().classes)?;
    }
    let bar = console::progress(images.len().div_ceil(EVALUATION_PIECE), "evaluating");
    let threads = console::threads(arguments.threads);
    let score = arguments.device.device.run(Work {
        network: &network,
        images: &images,
        threads,
        done: || bar.inc(1),
    })?;
    bar.finish_and_clear();
    println!(
        "{} images of {}: top-1 {:.2} %, top-5 {:.2} %, loss {:.4}",
        images.len(),
        images.name,
        100.0 * score.accuracy,
        100.0 * score.top5,
        score.loss
    );
    Ok(())
}
