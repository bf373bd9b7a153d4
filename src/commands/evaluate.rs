//! `whitebox evaluate --checkpoint FILE --data NAME`

use whitebox::data::{DataArguments, Split};
use whitebox::harness::console;
use whitebox::train::{evaluate, EVALUATION_PIECE};
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
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (network, _) = arguments.checkpoint.load()?;
    let limit = arguments.limit.map(|limit| limit as usize);
    let images = arguments.data.draw(Split::Test, limit, arguments.seed)?;
    let bar = console::progress(images.len().div_ceil(EVALUATION_PIECE), "evaluating");
    let threads = console::threads(arguments.threads);
    let score = evaluate(&network, &images, threads, || bar.inc(1))?;
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
