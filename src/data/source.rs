//! Which data set a command line means: `--data NAME --data-dir DIR`.

use std::path::{Path, PathBuf};

use super::cifar::Cifar;
use super::{cifar, idx, image_folder, procedural, scenes, Images, Normalisation, Split};
use crate::error::{Error, Result};

/// Where Debian's package dataset-fashion-mnist puts its files.
pub const FASHION_MNIST_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The data sets this program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DataName {
    /// 70,000 grey 28 x 28 pictures of clothes (Debian package dataset-fashion-mnist).
    FashionMnist,
    /// 70,000 grey 28 x 28 digits, IDX files.
    Mnist,
    /// 60,000 colour 32 x 32 pictures in ten classes, binary layout.
    Cifar10,
    /// The same of other pictures in a hundred classes.
    Cifar100,
    /// Those in its twenty classes of classes.
    Cifar100Coarse,
    /// JPEG or PNG files in a folder per class, prepared as ImageNet is.
    ImageFolder,
    /// Gratings made on the spot from the seed, for trials and tests.
    Procedural,
    /// 19,200 colour 32 x 32 pictures of a textured object in sixteen classes, made on the spot, whose masks are
    /// known; the same whatever the seed.
    Scenes,
}

impl DataName {
    /// The word used on the command line and in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::FashionMnist => "fashion-mnist",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Cifar100Coarse => "cifar100-coarse",
            Self::ImageFolder => "image-folder",
            Self::Procedural => "procedural",
            Self::Scenes => "scenes",
        }
    }

    /// Whether a mirrored picture is still one of its class: digits are not, nor are diagonal stripes.
    pub fn may_be_mirrored(self) -> bool {
        !matches!(self, Self::Mnist | Self::Scenes)
    }
}

/// The flags that name a data set.
#[derive(Debug, Clone, clap::Args)]
pub struct DataArguments {
    /// Data set.
    #[arg(long, value_enum, default_value = "fashion-mnist")]
    pub data: DataName,
    /// Folder with its files; Fashion-MNIST has a default.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Number of classes of IDX files, where it is not 10: EMNIST has up to 62.
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub classes: Option<u16>,
}

impl DataArguments {
    /// Reads one split; `limit` spares decoding more pictures of an image folder than needed. What was passed
    /// over is said on standard error.
    ///
    /// # Errors
    /// [`Error::Argument`] if a folder is needed and not given, or `classes` and not asked for; else the
    /// reader's own.
    pub fn read(&self, split: Split, limit: Option<usize>, seed: u64) -> Result<Images> {
        let images = self.read_quietly(split, limit, seed)?;
        for note in &images.notes {
            eprintln!("warning: {note}");
        }
        Ok(images)
    }

    fn read_quietly(&self, split: Split, limit: Option<usize>, seed: u64) -> Result<Images> {
        let own_classes = matches!(self.data, DataName::Mnist | DataName::FashionMnist);
        if let (Some(classes), false) = (self.classes, own_classes) {
            return Err(Error::argument(
                "`classes`",
                "nothing, or a set of IDX files, which do not tell it",
                format!("{classes} for {}", self.data.word()),
                "leave it out",
            ));
        }
        let classes = self.classes.map_or(10, usize::from);
        match self.data {
            DataName::FashionMnist => {
                let default = Path::new(FASHION_MNIST_FOLDER);
                let folder = self.data_dir.as_deref().unwrap_or(default);
                if self.data_dir.is_none() && !folder.is_dir() {
                    return Err(Error::io(
                        "find",
                        folder,
                        std::io::ErrorKind::NotFound.into(),
                        "run `sudo apt-get install dataset-fashion-mnist`, or name the folder with \
                         the four IDX files with `data_dir`",
                    ));
                }
                idx::mnist_like(
                    folder,
                    "fashion-mnist",
                    split,
                    classes,
                    grey(0.2860, 0.3530),
                )
            }
            DataName::Mnist => idx::mnist_like(
                self.folder()?,
                "mnist",
                split,
                classes,
                grey(0.1307, 0.3081),
            ),
            DataName::Cifar10 => cifar::read(self.folder()?, Cifar::Ten, split),
            DataName::Cifar100 => cifar::read(self.folder()?, Cifar::Hundred, split),
            DataName::Cifar100Coarse => cifar::read(self.folder()?, Cifar::HundredCoarse, split),
            DataName::ImageFolder => image_folder::read(self.folder()?, split, limit),
            DataName::Procedural => procedural::gratings(limit.unwrap_or(2000), 1, 28, split, seed),
            DataName::Scenes => scenes::standard(split, limit),
        }
    }

    /// `limit` images of a split, drawn by the seed, or all of them; pictures of a folder stay in their
    /// files.
    ///
    /// # Errors
    /// [`Error::Argument`] if a folder is needed and not given, or `classes` and not asked for; else the
    /// reader's own.
    pub fn draw(&self, split: Split, limit: Option<usize>, seed: u64) -> Result<Images> {
        let decoded = if self.data == DataName::ImageFolder {
            None
        } else {
            limit
        };
        let images = self.read(split, decoded, seed)?;
        match limit {
            Some(limit) => images.subset(&images.sample(limit, seed)),
            None => Ok(images),
        }
    }

    /// Whether the data set has a training split: an image folder may hold a validation split alone.
    pub fn has_training_images(&self) -> bool {
        match (self.data, &self.data_dir) {
            (DataName::ImageFolder, Some(folder)) => {
                image_folder::sub_folder(folder, Split::Train).is_some()
            }
            _ => true,
        }
    }

    fn folder(&self) -> Result<&Path> {
        self.data_dir.as_deref().ok_or_else(|| {
            Error::argument(
                "`data_dir`",
                format!("the folder of {}", self.data.word()),
                "nothing",
                "add `data_dir` DIR",
            )
        })
    }
}

fn grey(mean: f32, deviation: f32) -> Normalisation {
    Normalisation {
        mean: vec![mean],
        deviation: vec![deviation],
    }
}
