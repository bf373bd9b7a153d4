//! `whitebox probe --checkpoint FILE --data NAME`

use dfdx::prelude::Cpu;
use whitebox::data::{DataArguments, Images, Split};
use whitebox::harness::comparison::means;
use whitebox::harness::console;
use whitebox::measure::features::{Encoder, Finding, Probed, TokenFindings};
use whitebox::measure::statistics::Summary;
use whitebox::model::{Autoencoder, Classifier};
use whitebox::Result;

use super::checkpoint::CheckpointArguments;

/// Larger sides than this are brought to it for the probe of pixels, whose matrices would not fit into memory.
const LARGEST_SIDE: usize = 32;

/// Length of a gradient above which a fit is spoken of.
const FAR_FROM_OPTIMUM: f64 = 1e-3;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Which features, instead of both: the class token, or the mean of the patches' tokens.
    #[arg(long, value_enum)]
    features: Option<Token>,
    /// Images that probes are fitted to, and as many held-out ones that they are tried on.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Seed of the choice of images, and of the untrained network.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// What of the tokens is a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Token {
    Class,
    Mean,
}

impl Token {
    const ALL: [Self; 2] = [Self::Class, Self::Mean];

    fn words(self) -> &'static str {
        match self {
            Self::Class => "class token, per cent",
            Self::Mean => "mean token, per cent",
        }
    }

    fn of(self, found: &TokenFindings) -> Finding {
        match self {
            Self::Class => found.class,
            Self::Mean => found.mean,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let checkpoint = arguments.checkpoint.file.read()?;
    match arguments.checkpoint.autoencoder(&checkpoint)? {
        Some(trained) => {
            let untrained = Autoencoder::new(*trained.config(), arguments.seed, &Cpu::default())?;
            arguments.probe(&trained, &untrained)
        }
        None => {
            let (trained, _) = arguments.checkpoint.encoder(checkpoint)?;
            let untrained = Classifier::new(*trained.config(), arguments.seed, &Cpu::default())?;
            arguments.probe(&trained, &untrained)
        }
    }
}

impl Arguments {
    /// Says what probes find in the tokens of both networks and in pixels.
    fn probe<N: Encoder>(&self, trained: &N, untrained: &N) -> Result<()> {
        let draw = |split| self.data.draw(split, Some(self.images as usize), self.seed);
        let (training, held_out): (Images, Images) = (draw(Split::Train)?, draw(Split::Test)?);
        held_out.check_classes(&training.class_names)?;
        let probed = Probed {
            training: &training,
            held_out: &held_out,
            count: self.images as usize,
            threads: console::threads(self.threads),
        };
        let tokens = Token::ALL.into_iter();
        let tokens: Vec<Token> = tokens
            .filter(|token| self.features.is_none_or(|asked| asked == *token))
            .collect();
        let mut lines = Vec::new();
        for (name, network) in [("trained", trained), ("untrained", untrained)] {
            let found = probed.tokens(network)?;
            let found: Vec<Finding> = tokens.iter().map(|token| token.of(&found)).collect();
            found.iter().for_each(|found| warn(name, found));
            lines.push((name.to_owned(), found.iter().map(per_cent).collect()));
        }
        let size = trained.patches().image_size;
        let size = size.map(|side| side.min(LARGEST_SIDE));
        let pixels = probed.pixels(size)?;
        warn("pixels", &pixels);
        let [height, width] = size;
        println!(
            "linear probe on {} images of {}, tried on {} of {}\npixels, {height} x {width}: {:.2} per cent",
            training.len(),
            training.name,
            held_out.len(),
            held_out.name,
            100.0 * pixels.accuracy
        );
        let columns: Vec<&str> = tokens.iter().map(|token| token.words()).collect();
        println!("{}", means(&columns, 2, &lines).trim_start_matches('\n'));
        Ok(())
    }
}

fn per_cent(found: &Finding) -> Summary {
    Summary::of(&[100.0 * found.accuracy])
}

/// Says where a fit ended short of its optimum.
fn warn(name: &str, found: &Finding) {
    let length = found.gradient_norm;
    console::warn((length > FAR_FROM_OPTIMUM).then(|| {
        format!("the probe of {name} ended short of its optimum: a gradient of {length:.1e}")
    }));
}
