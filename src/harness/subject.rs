//! What an experiment on networks looks at: images, a trained network, and the untrained network of
//! the same sizes as control.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dfdx::prelude::Cpu;

use super::device::{DeviceArguments, DeviceName};
use super::run::Run;
use super::training::Training;
use crate::data::{DataArguments, DataName, Images, Split};
use crate::error::{Error, Result};
use crate::model::checkpoint::Checkpoint;
use crate::model::{Classifier, Config};
use crate::train::Recipe;

/// The flags that name the network.
#[derive(Debug, Clone, clap::Args)]
pub struct SubjectArguments {
    /// The trained network; default: the one kept for the data set in reports/checkpoints.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["train", "preset"])]
    pub checkpoint: Option<PathBuf>,
    /// First train the network, with the recipe of the one that ships, and write it to the default
    /// place. Goes on from where an interrupted training stopped.
    #[arg(long, conflicts_with = "preset")]
    pub train: bool,
    /// Look at an untrained network of these sizes alone: demo, crate-tiny, crate-small, crate-base
    /// or crate-large. Claims about training are then not testable.
    #[arg(long)]
    pub preset: Option<String>,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Images and networks, read and built.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Where their layers are measured.
    pub device: DeviceName,
    /// The trained network, unless an untrained one alone was asked for.
    pub trained: Option<Classifier<f32, Cpu>>,
    /// Hash of the trained network's file.
    pub checkpoint_sha256: Option<String>,
    /// The control.
    pub untrained: Classifier<f32, Cpu>,
    /// None where the data set has a validation split alone.
    pub training_images: Option<Images>,
    /// Images that training did not see.
    pub held_out_images: Images,
}

impl Subject {
    /// Reads what the flags name; of an image folder, no more than `count` pictures a split.
    ///
    /// # Errors
    /// Those of the data set, the checkpoint and the training; [`Error::Io`] if there is no trained
    /// network for the data set.
    pub fn load(
        arguments: &SubjectArguments,
        data: &DataArguments,
        count: usize,
        run: &Run,
    ) -> Result<Self> {
        let (seed, threads) = (run.seed, run.threads);
        let limit = (!arguments.train).then_some(count);
        let training_images = if data.has_training_images() {
            Some(data.read(Split::Train, limit, seed)?)
        } else {
            None
        };
        let held_out_images = data.read(Split::Test, limit, seed)?;
        let [channels, height, width] = held_out_images.shape;
        let classes = held_out_images.classes;
        let sizes = |preset: &str| -> Result<Config> {
            let config = Config::preset(preset)?;
            Ok(config.for_images(channels, [height, width], classes))
        };
        let (trained, checkpoint_sha256, config) = match &arguments.preset {
            Some(preset) => (None, None, sizes(preset)?),
            None => {
                let path = arguments.path(data.data, &run.root);
                if arguments.train {
                    let images = training_images.as_ref().ok_or_else(no_training_images)?;
                    let training = Training {
                        network: Classifier::new(sizes("demo")?, seed, &Cpu::default())?,
                        start: None,
                        recipe: recipe(data.data),
                        seed,
                        threads,
                        out: &path,
                        config_file: None,
                        save_every: Duration::from_secs(300),
                        resume: false,
                        replace: true,
                        device: arguments.device.device,
                        tensorboard: None,
                        keep: &[],
                    };
                    training.run(images, &held_out_images)?;
                }
                let (network, sha256) = read(&path, arguments, data.data)?;
                let config = *network.config();
                (Some(network), Some(sha256), config)
            }
        };
        Ok(Self {
            device: arguments.device.device,
            trained,
            checkpoint_sha256,
            untrained: Classifier::new(config, seed, &Cpu::default())?,
            training_images,
            held_out_images,
        })
    }

    /// The splits there are.
    pub fn splits(&self) -> Vec<(Split, &Images)> {
        let training = self.training_images.iter();
        training
            .map(|images| (Split::Train, images))
            .chain([(Split::Test, &self.held_out_images)])
            .collect()
    }

    /// The same without their names, for the provenance.
    pub fn images(&self) -> Vec<&Images> {
        self.splits()
            .into_iter()
            .map(|(_, images)| images)
            .collect()
    }
}

impl SubjectArguments {
    fn path(&self, data: DataName, root: &Path) -> PathBuf {
        self.checkpoint.clone().unwrap_or_else(|| {
            let name = format!("crate-demo-{}.safetensors", data.word());
            root.join("reports/checkpoints").join(name)
        })
    }
}

/// The recipe of the network that ships.
fn recipe(data: DataName) -> Recipe {
    let mut recipe = Recipe::demo();
    recipe.augmentation.flip = data.may_be_mirrored();
    recipe
}

fn no_training_images() -> Error {
    Error::argument(
        "--train",
        "a data set with training images",
        "a folder without a sub-folder train",
        "name another --data-dir",
    )
}

fn read(
    path: &Path,
    arguments: &SubjectArguments,
    data: DataName,
) -> Result<(Classifier<f32, Cpu>, String)> {
    if arguments.checkpoint.is_none() && !path.exists() {
        return Err(Error::io(
            "find",
            path,
            std::io::ErrorKind::NotFound.into(),
            format!(
                "add --train to make a network for {}, or name one with --checkpoint, or look at \
                 an untrained one with --preset",
                data.word()
            ),
        ));
    }
    let checkpoint = Checkpoint::read(path)?;
    let network = checkpoint.network(checkpoint.own_config()?, &Cpu::default())?;
    Ok((network, checkpoint.sha256))
}
