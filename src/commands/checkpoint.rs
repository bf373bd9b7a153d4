//! The flags that say what no tensor of a checkpoint shows.

use std::path::PathBuf;

use dfdx::prelude::Cpu;
use whitebox::model::autoencoder::{Autoencoder, Unseen};
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::{Classifier, Network, Pool};
use whitebox::{Error, Result};

/// The flags that name a network in a file.
#[derive(Debug, clap::Args)]
pub(crate) struct FileArguments {
    /// Trained network: safetensors with the official parameter names, a file of torch.save (.pth,
    /// .pth.tar, .t7), or a folder with model.safetensors or its index, and config.json.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) checkpoint: PathBuf,
    /// Which network of the file, where it holds several: an entry, such as teacher or model_ema, or what
    /// its names begin with.
    #[arg(long, value_name = "ENTRY")]
    key: Option<String>,
    /// Leave out tensors that are no parameter of the network, and list them, instead of refusing the file.
    #[arg(long)]
    allow_extra: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckpointArguments {
    #[command(flatten)]
    pub(crate) file: FileArguments,
    /// Heads; no tensor's shape shows it. Not needed for checkpoints written here.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) heads: Option<u32>,
    /// What the head reads.
    #[arg(long, value_enum)]
    pool: Option<Pool>,
    /// Image channels.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    channels: Option<u32>,
    /// The weight of ISTA's threshold, which no tensor shows. Of a classifier from elsewhere it is taken for the official
    /// 0.1; of an autoencoder's encoder it has to be given, 0.5 or 5.0 of published files. Not needed for checkpoints
    /// written here.
    #[arg(long, allow_negative_numbers = true)]
    lambda: Option<f64>,
}

impl FileArguments {
    pub(crate) fn read(&self) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::read_entry(&self.checkpoint, self.key.as_deref())?;
        checkpoint.allow_extra = self.allow_extra;
        Ok(checkpoint)
    }

    /// Says on standard error what is not as in the plainest checkpoint.
    pub(crate) fn report(&self, network: &impl Network<f32, Cpu>, checkpoint: &Checkpoint) {
        let path = checkpoint.path().display();
        for note in &checkpoint.notes {
            eprintln!("note: {path}: {note}");
        }
        if self.key.is_none() && !checkpoint.others.is_empty() {
            let others = checkpoint.others.join(", ");
            eprintln!("note: {path}: other networks to choose with --key: {others}");
        }
        let left_out = checkpoint.left_out(network);
        if !left_out.is_empty() {
            eprintln!("note: {path}: left out {}", left_out.join(", "));
        }
    }
}

impl CheckpointArguments {
    /// The network, and the file it is from.
    pub(crate) fn load(&self) -> Result<(Classifier<f32, Cpu>, Checkpoint)> {
        self.classifier(self.file.read()?, None)
    }

    /// The same for a network that gets another head: a file without one will do, and of an autoencoder its encoder.
    pub(crate) fn load_encoder(&self) -> Result<(Classifier<f32, Cpu>, Checkpoint)> {
        self.encoder(self.file.read()?)
    }

    /// The same of a file that was read.
    pub(crate) fn encoder(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<(Classifier<f32, Cpu>, Checkpoint)> {
        self.classifier(checkpoint, Some(1))
    }

    /// The autoencoder, if the file holds a whole one.
    pub(crate) fn autoencoder(
        &self,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Autoencoder<f32, Cpu>>> {
        if !checkpoint.holds_autoencoder() {
            return Ok(None);
        }
        let config = checkpoint.autoencoder_config(Unseen {
            heads: self.heads.map(|heads| heads as usize),
            decoder_heads: None,
            lambda: self.lambda,
        })?;
        let network = checkpoint.autoencoder(config, &Cpu::default())?;
        self.file.report(&network, checkpoint);
        Ok(Some(network))
    }

    fn classifier(
        &self,
        checkpoint: Checkpoint,
        headless: Option<usize>,
    ) -> Result<(Classifier<f32, Cpu>, Checkpoint)> {
        let own = match headless {
            Some(classes) => checkpoint.encoder_config(classes),
            None => checkpoint.config(),
        };
        let told = self.heads.is_some() || self.pool.is_some() || self.channels.is_some();
        let config = match own.filter(|_| !told && self.lambda.is_none()) {
            Some(config) => config,
            None => {
                let known = own.map(|c| c.heads).or(checkpoint.heads);
                let heads = match self.heads {
                    Some(heads) => heads as usize,
                    None => match known {
                        Some(heads) => heads,
                        None => checkpoint.own_config()?.heads,
                    },
                };
                let pool = self.pool.or(own.map(|c| c.pool)).unwrap_or(Pool::Cls);
                let channels = self.channels.map(|c| c as usize);
                let channels = channels.or(own.map(|c| c.channels)).unwrap_or(3);
                let config = checkpoint.infer(heads, pool, channels, headless, self.lambda)?;
                if let Some(known) = known.filter(|&known| known != heads) {
                    return Err(Error::argument(
                        "--heads",
                        format!("the {known} that {} names", self.file.checkpoint.display()),
                        heads.to_string(),
                        "leave it out",
                    ));
                }
                config
            }
        };
        let device = Cpu::default();
        let network = match headless {
            Some(_) => checkpoint.encoder(config, &device)?,
            None => checkpoint.network(config, &device)?,
        };
        self.report(&network, &checkpoint);
        Ok((network, checkpoint))
    }

    /// Says on standard error what is not as in the plainest checkpoint.
    fn report(&self, network: &Classifier<f32, Cpu>, checkpoint: &Checkpoint) {
        self.file.report(network, checkpoint);
        let path = checkpoint.path().display();
        let config = network.config();
        if let Some((name, heads)) = config.published_with_other_heads() {
            eprintln!(
                "warning: {path}: {name} has the same shapes and {heads} heads, not {}; with a wrong \
                 number every result is wrong",
                config.heads
            );
        }
    }
}
