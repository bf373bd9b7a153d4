//! `whitebox reconstruct --checkpoint FILE (--pictures FILE... | --data NAME) --out FILE.png`

use std::path::PathBuf;

use dfdx::prelude::Cpu;
use whitebox::data::sheet::Sheet;
use whitebox::data::Images;
use whitebox::model::autoencoder::{Autoencoder, Unseen};
use whitebox::model::checkpoint::Checkpoint;
use whitebox::train::masking::Masking;
use whitebox::train::tasks::reconstruct::squared_error;
use whitebox::{seed, Error, Result};

use super::checkpoint::FileArguments;
use super::pictures::PictureArguments;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: FileArguments,
    /// Heads of the encoder; no tensor's shape shows it. Not needed for checkpoints written here.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    heads: Option<u32>,
    /// Heads of the decoder, if not as many.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    decoder_heads: Option<u32>,
    /// The weight of ISTA's threshold, which no tensor shows: 0.5 and 5.0 in published files. Not needed for
    /// checkpoints written here.
    #[arg(long)]
    lambda: Option<f64>,
    #[command(flatten)]
    pictures: PictureArguments,
    /// The share of patches to mask.
    #[arg(long, default_value_t = 0.75, allow_negative_numbers = true)]
    ratio: f64,
    /// The PNG file to write. A row is a picture: as it is, as the network sees it, as the network makes it, and that
    /// in the place of what was masked.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What stands for a masked patch in the figure: mid grey, as a share of white.
const GREY: f32 = 0.5;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !(0.0..1.0).contains(&arguments.ratio) {
        return Err(Error::argument(
            "--ratio",
            "a share in [0, 1)",
            arguments.ratio.to_string(),
            "the published networks are trained with 0.75",
        ));
    }
    let checkpoint = arguments.file.read()?;
    let count = |heads: Option<u32>| heads.map(|heads| heads as usize);
    let config = checkpoint.autoencoder_config(Unseen {
        heads: count(arguments.heads),
        decoder_heads: count(arguments.decoder_heads),
        lambda: arguments.lambda,
    })?;
    let network = checkpoint.autoencoder(config, &Cpu::default())?;
    arguments.file.report(&network, &checkpoint);
    let images = arguments.pictures.images(config.image_size)?;
    network.check_fit(&images)?;
    let masking = Masking {
        ratio: arguments.ratio,
        normalised_targets: normalised_targets(&checkpoint),
    };
    let (rows, error) = reconstructed(&network, &images, masking, arguments.pictures.seed)?;
    let [height, width] = config.image_size;
    let sheet = Sheet {
        shape: [config.channels, height, width],
        normalisation: &images.normalisation,
        rows,
    };
    sheet.write(&arguments.out)?;
    if error.is_finite() {
        println!(
            "mean square error of masked pixels, in deviations of the data: {error:.4}; see {}",
            arguments.out.display()
        );
    } else {
        println!("nothing is masked; see {}", arguments.out.display());
    }
    Ok(())
}

/// Whether the network was trained to find patches that are normalised each by itself.
fn normalised_targets(checkpoint: &Checkpoint) -> bool {
    let training = checkpoint.training.as_ref();
    let setting = training.map(|training| &training["recipe"]["masking"]["normalised_targets"]);
    setting.and_then(serde_json::Value::as_bool) == Some(true)
}

/// A row of every picture, and the mean square error over what was masked.
fn reconstructed(
    network: &Autoencoder<f32, Cpu>,
    images: &Images,
    masking: Masking,
    seed: u64,
) -> Result<(Vec<Vec<Vec<f32>>>, f64)> {
    let predictions = network.config().predictions();
    let (width, count) = (predictions.width(), predictions.count());
    let (mut rows, mut sum, mut numbers) = (Vec::new(), 0.0, 0);
    for index in 0..images.len() {
        let image = images.normalised([index], predictions.image_size)?;
        let mut rng = seed::stream(seed, &format!("mask/{index}"));
        let masked = masking.draw(count, &mut rng);
        let patches = predictions.cut(&image)?;
        let mut made = network.reconstruct(&image, &masked)?;
        if masking.normalised_targets {
            masking.restore(&patches, &mut made, width);
        }
        let (own, own_numbers) = squared_error(&made, &patches, &masked, width);
        (sum, numbers) = (sum + own, numbers + own_numbers);
        let channels = images.normalisation.mean.len();
        let grey = |number: usize| {
            let channel = number % channels;
            let normalisation = &images.normalisation;
            (GREY - normalisation.mean[channel]) / normalisation.deviation[channel]
        };
        let mut seen = patches.clone();
        let mut pasted = patches.clone();
        for patch in (0..count).filter(|&patch| masked[patch]) {
            let own = patch * width..(patch + 1) * width;
            for number in own.clone() {
                seen[number] = grey(number);
            }
            pasted[own.clone()].copy_from_slice(&made[own]);
        }
        let mut row = vec![image];
        for patches in [seen, made, pasted] {
            row.push(predictions.join(&patches)?);
        }
        rows.push(row);
    }
    Ok((rows, sum / numbers as f64))
}
