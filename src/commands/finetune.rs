//! `whitebox finetune --checkpoint FILE --data NAME --out FILE`

use whitebox::model::transfer::transfer;
use whitebox::{Error, Result};

use super::checkpoint::CheckpointArguments;
use super::train::TrainingArguments;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    /// Side that images are resized to, pixels; default: what the checkpoint was trained on. Where it
    /// differs, positions are interpolated.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    size: Option<u16>,
    /// How to train: the name of a recipe or a file NAME.toml.
    #[arg(long, default_value = "finetune")]
    recipe: String,
    #[command(flatten)]
    training: TrainingArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.training.recipe(&arguments.recipe)?;
    let (trained, checkpoint) = arguments.checkpoint.load_encoder()?;
    let (images, held_out) = arguments.training.images()?;
    let own = *trained.config();
    if images.shape[0] != own.channels {
        return Err(Error::argument(
            "--data",
            format!(
                "images of {} channels, which the checkpoint reads",
                own.channels
            ),
            format!("{} channels", images.shape[0]),
            "choose another data set or checkpoint",
        ));
    }
    let size = arguments
        .size
        .map_or(own.image_size, |side| [side.into(); 2]);
    let config = own.for_images(own.channels, size, images.classes);
    let network = transfer(&trained, config, arguments.training.seed)?;
    let start = serde_json::json!({ "sha256": checkpoint.sha256, "training": checkpoint.training });
    arguments
        .training
        .classify(network, recipe, Some(start), &images, &held_out)
}
