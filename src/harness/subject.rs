//! What an experiment on networks looks at: images, trained networks, and for each the untrained network of
//! the same sizes and seed as control.

use std::collections::BTreeMap;
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
use crate::train::{Classify, Recipe};

/// The flags that name the networks.
#[derive(Debug, Clone, clap::Args)]
pub struct SubjectArguments {
    /// A trained network; may be given several times. Default: those kept for the data set in
    /// reports/checkpoints, crate-demo-DATA-SEED.safetensors.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["train", "preset"])]
    pub checkpoint: Vec<PathBuf>,
    /// First train the network of the seed, with the recipe of those that ship, and write it among them.
    /// Goes on from where an interrupted training stopped.
    #[arg(long, conflicts_with = "preset")]
    pub train: bool,
    /// Look at an untrained network of these sizes alone: demo, crate-tiny, crate-small, crate-base
    /// or crate-large. Claims about training are then not testable.
    #[arg(long)]
    pub preset: Option<String>,
    #[command(flatten)]
    device: DeviceArguments,
}

/// A network after training and before.
#[derive(Debug, Clone)]
pub struct Pair {
    /// That its parameters were drawn from.
    pub seed: u64,
    /// The trained network, unless an untrained one alone was asked for.
    pub trained: Option<Classifier<f32, Cpu>>,
    /// Hash of the trained network's file.
    pub checkpoint_sha256: Option<String>,
    /// The control.
    pub untrained: Classifier<f32, Cpu>,
}

/// Images and networks, read and built.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Where their layers are measured.
    pub device: DeviceName,
    /// The networks, all of the same sizes.
    pub pairs: Vec<Pair>,
    /// None where the data set has a validation split alone.
    pub training_images: Option<Images>,
    /// Images that training did not see.
    pub held_out_images: Images,
}

impl Subject {
    /// Reads what the flags name; of an image folder, no more than `count` pictures a split.
    ///
    /// # Errors
    /// Those of the data set, the checkpoints and the training; [`Error::Io`] if there is no trained
    /// network for the data set, [`Error::File`] if one has other sizes than the first.
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
        let pairs = match &arguments.preset {
            Some(preset) => vec![Pair {
                seed,
                trained: None,
                checkpoint_sha256: None,
                untrained: Classifier::new(sizes(preset)?, seed, &Cpu::default())?,
            }],
            None => {
                let kept = Kept::of(data.data, &run.root);
                if arguments.train {
                    let images = training_images.as_ref().ok_or_else(no_training_images)?;
                    let (config, recipe) = (sizes("demo")?, recipe(data.data));
                    let task = Classify::new(&config, images, &held_out_images, &recipe);
                    let training = Training {
                        network: Classifier::new(config, seed, &Cpu::default())?,
                        start: None,
                        recipe: recipe.clone(),
                        seed,
                        threads,
                        out: &kept.path(seed),
                        config_file: None,
                        save_every: Duration::from_secs(300),
                        resume: false,
                        replace: true,
                        device: arguments.device.device,
                        tensorboard: None,
                        keep: &[],
                    };
                    training.run(&task, images, &held_out_images)?;
                }
                let files = match arguments.checkpoint.as_slice() {
                    [] => kept.files(seed)?,
                    named => with_seeds(named, seed),
                };
                read_pairs(&files, run)?
            }
        };
        let subject = Self {
            device: arguments.device.device,
            pairs,
            training_images,
            held_out_images,
        };
        for images in subject.images() {
            run.reads(images);
        }
        Ok(subject)
    }

    /// The first network, which a look at a single one is a look at.
    pub fn first(&self) -> &Pair {
        // There is one: `load` refuses to end without.
        &self.pairs[0]
    }

    /// The sizes of the networks.
    pub fn config(&self) -> &Config {
        self.first().untrained.config()
    }

    /// The seeds of the networks.
    pub fn seeds(&self) -> Vec<u64> {
        self.pairs.iter().map(|pair| pair.seed).collect()
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

/// The networks that are kept for a data set.
struct Kept {
    folder: PathBuf,
    data: DataName,
}

impl Kept {
    fn of(data: DataName, root: &Path) -> Self {
        Self {
            folder: root.join("reports/checkpoints"),
            data,
        }
    }

    fn prefix(&self) -> String {
        format!("crate-demo-{}", self.data.word())
    }

    /// The file of the network of a seed.
    fn path(&self, seed: u64) -> PathBuf {
        let name = format!("{}-{seed}.safetensors", self.prefix());
        self.folder.join(name)
    }

    /// The files that there are, with their seeds, in the order of those; where none names its seed, the
    /// one that names none.
    fn files(&self, seed: u64) -> Result<Vec<(u64, PathBuf)>> {
        let prefix = format!("{}-", self.prefix());
        let mut found = BTreeMap::new();
        // Where there is no folder there is no file either.
        for entry in std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name
                .and_then(|name| name.strip_prefix(&prefix))
                .and_then(|rest| rest.strip_suffix(".safetensors"))
                .and_then(|number| number.parse::<u64>().ok());
            if let Some(number) = number {
                found.insert(number, path);
            }
        }
        if !found.is_empty() {
            return Ok(found.into_iter().collect());
        }
        let single = self.folder.join(format!("{}.safetensors", self.prefix()));
        if single.exists() {
            return Ok(vec![(seed, single)]);
        }
        Err(Error::io(
            "find",
            self.path(seed),
            std::io::ErrorKind::NotFound.into(),
            format!(
                "add --train to make a network for {}, or name one with --checkpoint, or look at \
                 an untrained one with --preset",
                self.data.word()
            ),
        ))
    }
}

/// The files with the numbers that their names end in, as `net-3.safetensors`; where those are not all
/// there and different, they are counted from `first`.
fn with_seeds(files: &[PathBuf], first: u64) -> Vec<(u64, PathBuf)> {
    let number = |path: &PathBuf| {
        let stem = path.file_stem()?.to_str()?;
        stem.rsplit_once('-')?.1.parse::<u64>().ok()
    };
    let named: Option<BTreeMap<u64, PathBuf>> = files
        .iter()
        .map(|path| Some((number(path)?, path.clone())))
        .collect();
    match named.filter(|named| named.len() == files.len()) {
        Some(named) => named.into_iter().collect(),
        None => (first..).zip(files.iter().cloned()).collect(),
    }
}

/// Reads trained networks, and draws the untrained one of each.
fn read_pairs(files: &[(u64, PathBuf)], run: &Run) -> Result<Vec<Pair>> {
    let mut pairs: Vec<Pair> = Vec::new();
    for (seed, path) in files {
        let checkpoint = Checkpoint::read(path)?;
        let config = checkpoint.own_config()?;
        if let Some(first) = pairs.first().filter(|p| *p.untrained.config() != config) {
            return Err(Error::file(
                path,
                format!("a network of the sizes of {}", files[0].1.display()),
                format!("{config:?} beside {:?}", first.untrained.config()),
                "look at networks of one size at a time with `checkpoint`",
            ));
        }
        run.reads_checkpoint(path, &checkpoint.sha256);
        pairs.push(Pair {
            seed: *seed,
            trained: Some(checkpoint.network(config, &Cpu::default())?),
            untrained: Classifier::new(config, *seed, &Cpu::default())?,
            checkpoint_sha256: Some(checkpoint.sha256),
        });
    }
    Ok(pairs)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_networks_of_a_data_set_are_found_in_the_order_of_their_seeds() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("reports/checkpoints");
        let found = || {
            let files = Kept::of(DataName::Cifar100, root.path()).files(7)?;
            let names = files
                .into_iter()
                .map(|(seed, path)| (seed, path.file_name().unwrap().to_str().unwrap().to_owned()));
            Ok::<_, Error>(names.collect::<Vec<_>>())
        };
        assert!(found().unwrap_err().to_string().contains("cifar100-7"));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str| std::fs::write(folder.join(name), "").unwrap();
        write("crate-demo-cifar100.safetensors");
        write("crate-demo-cifar100-coarse-1.safetensors");
        let single = (7, "crate-demo-cifar100.safetensors".to_owned());
        assert_eq!(found().unwrap(), [single]);
        for seed in [10, 2, 0] {
            write(&format!("crate-demo-cifar100-{seed}.safetensors"));
        }
        let seeds: Vec<u64> = found().unwrap().into_iter().map(|(seed, _)| seed).collect();
        assert_eq!(seeds, [0, 2, 10]);
    }

    #[test]
    fn named_files_have_the_seeds_in_their_names_or_are_counted() {
        let seeds = |names: &[&str]| {
            let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            let found = with_seeds(&files, 5).into_iter();
            found.map(|(seed, _)| seed).collect::<Vec<_>>()
        };
        assert_eq!(seeds(&["a-3.safetensors", "b/c-1.safetensors"]), [1, 3]);
        assert_eq!(seeds(&["a-3.safetensors", "b.safetensors"]), [5, 6]);
        assert_eq!(seeds(&["a-3.safetensors", "b/a-3.safetensors"]), [5, 6]);
    }
}
