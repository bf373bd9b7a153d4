//! The flags that say what no tensor of a checkpoint shows.

use std::path::PathBuf;

use dfdx::prelude::Cpu;
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::{Classifier, Pool};
use whitebox::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct CheckpointArguments {
    /// Trained network: safetensors with the official parameter names, or a file of the official
    /// programs (.pth, .pth.tar, .t7).
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: PathBuf,
    /// Heads; no tensor's shape shows it. Not needed for checkpoints written here.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    heads: Option<u32>,
    /// What the head reads.
    #[arg(long, value_enum)]
    pool: Option<Pool>,
    /// Image channels.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    channels: Option<u32>,
}

impl CheckpointArguments {
    /// The network, and the file it is from.
    pub(crate) fn load(&self) -> Result<(Classifier<f32, Cpu>, Checkpoint)> {
        let checkpoint = Checkpoint::read(&self.checkpoint)?;
        let own = checkpoint.config;
        let config = match (own, self.heads, self.pool, self.channels) {
            (Some(config), None, None, None) => config,
            _ => {
                let heads = match self.heads {
                    Some(heads) => heads as usize,
                    None => checkpoint.own_config()?.heads,
                };
                let pool = self.pool.or(own.map(|c| c.pool)).unwrap_or(Pool::Cls);
                let channels = self.channels.map(|c| c as usize);
                let channels = channels.or(own.map(|c| c.channels)).unwrap_or(3);
                checkpoint.infer(heads, pool, channels)?
            }
        };
        let network = checkpoint.network(config, &Cpu::default())?;
        Ok((network, checkpoint))
    }
}
