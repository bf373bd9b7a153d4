//! CIFAR-10 and CIFAR-100 in their binary layout: records of one or two label bytes and 3 x 32 x 32 pixel
//! bytes.

use std::path::{Path, PathBuf};

use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// One of the three sets of labelled pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cifar {
    /// Ten classes: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.
    Ten,
    /// A hundred classes: `train.bin` and `test.bin`.
    Hundred,
    /// The same pictures in twenty classes of classes.
    HundredCoarse,
}

impl Cifar {
    fn word(self) -> &'static str {
        match self {
            Self::Ten => "cifar10",
            Self::Hundred => "cifar100",
            Self::HundredCoarse => "cifar100-coarse",
        }
    }

    /// The folder that the published archive holds.
    fn folder(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-batches-bin",
            Self::Hundred | Self::HundredCoarse => "cifar-100-binary",
        }
    }

    fn files(self, split: Split) -> Vec<String> {
        match (self, split) {
            (Self::Ten, Split::Train) => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
            (Self::Ten, Split::Test) => vec!["test_batch.bin".into()],
            (_, Split::Train) => vec!["train.bin".into()],
            (_, Split::Test) => vec!["test.bin".into()],
        }
    }

    /// Label bytes of a record, the place of the one that counts, and the number of classes.
    fn labels(self) -> (usize, usize, usize) {
        match self {
            Self::Ten => (1, 0, 10),
            Self::HundredCoarse => (2, 0, 20),
            Self::Hundred => (2, 1, 100),
        }
    }

    fn normalisation(self) -> Normalisation {
        let [mean, deviation] = match self {
            Self::Ten => [[0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]],
            Self::Hundred | Self::HundredCoarse => {
                [[0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]]
            }
        };
        Normalisation {
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
        }
    }

    /// The folder with the first of `files`: `folder` itself or the one of the archive in it.
    fn locate(self, folder: &Path, files: &[String]) -> Result<PathBuf> {
        let inside = folder.join(self.folder());
        let has = |folder: &Path, name: &str| folder.join(name).is_file();
        if has(&inside, &files[0]) && !has(folder, &files[0]) {
            return Ok(inside);
        }
        if has(folder, &files[0]) {
            return Ok(folder.to_owned());
        }
        let wanted = format!("{} of {}, the binary version", files[0], self.word());
        let other = |got: &str, remedy: String| Err(Error::file(folder, &wanted, got, remedy));
        let archive = format!(
            "download the binary version and name its folder {}",
            self.folder()
        );
        let below = ["", "cifar-10-batches-py", "cifar-100-python"];
        let pickled = |name: &str| below.iter().any(|sub| has(&folder.join(sub), name));
        if pickled("data_batch_1") || pickled("batches.meta") || pickled("meta") {
            return other("the Python version", archive);
        }
        let hundred = has(folder, "train.bin") || folder.join("cifar-100-binary").is_dir();
        if self == Self::Ten && hundred {
            return other("CIFAR-100", "give `data` cifar100 for it".into());
        }
        if self != Self::Ten && has(folder, "data_batch_1.bin") {
            return other("CIFAR-10", "give `data` cifar10 for it".into());
        }
        Ok(folder.to_owned())
    }
}

/// Reads one split; `folder` is that of the files or the one above it.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] if a file is empty, truncated, of another version or has a label that no
/// class has.
pub fn read(folder: &Path, cifar: Cifar, split: Split) -> Result<Images> {
    let names = cifar.files(split);
    let folder = cifar.locate(folder, &names)?;
    let (label_bytes, place, classes) = cifar.labels();
    let size = label_bytes + PIXELS;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|e| {
            let remedy = format!("name the folder {} with `data_dir`", cifar.folder());
            Error::io("read", &path, e, remedy)
        })?;
        if bytes.is_empty() || bytes.len() % size != 0 {
            return Err(Error::file(
                path,
                format!("whole records of {size} bytes"),
                format!("{} bytes", bytes.len()),
                "copy the file again",
            ));
        }
        for (index, record) in bytes.chunks_exact(size).enumerate() {
            let label = usize::from(record[place]);
            if label >= classes {
                return Err(Error::file(
                    path,
                    format!("labels 0 to {}", classes - 1),
                    format!("{label} in record {index}"),
                    "give the binary files of the set that `data` names (CIFAR-100 has another layout)",
                ));
            }
            labels.push(label);
            pixels.extend_from_slice(&record[label_bytes..]);
        }
    }
    let word = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    Images::new(
        format!("{} {word}", cifar.word()),
        SHAPE,
        classes,
        pixels,
        labels,
        cifar.normalisation(),
    )
}
