//! Labelled images: files first checked, then decoded. And tokens drawn from a model. Every reader names the file and
//! what is wrong with it; every draw is named by a seed, a stream and a number. Imports [`crate::error`],
//! [`crate::seed`], [`crate::artefact`] and, for LAPACK on one thread, [`crate::exact`]; no network and no dfdx. Begin
//! with [`Images`], which is what training and measuring take, or with [`subspaces`] for tokens.
//!
//! | file | what |
//! |---|---|
//! | [`idx`] | IDX files, plain or gzip: Fashion-MNIST, MNIST |
//! | [`cifar`] | CIFAR-10 and CIFAR-100 in their binary layout |
//! | [`image_folder`] | one folder per class of JPEG or PNG files |
//! | `jpeg` | whether a JPEG file is whole |
//! | [`lines_and_plane`] | points near two lines and a plane |
//! | [`masked`] | pictures with the masks of their objects: PASCAL VOC, COCO, pairs of files |
//! | [`noise`] | noise on finished pictures |
//! | [`npy`] | arrays of numpy |
//! | [`picture`] | one picture: decoding, cropping, resizing |
//! | [`procedural`] | seeded pictures made on the spot, for tests |
//! | [`scenes`] | seeded pictures of one textured object, with its mask and parts |
//! | [`sheet`] | pictures side by side, as PNG |
//! | [`source`] | which of these a command line means |
//! | [`subspaces`] | tokens drawn from a union of subspaces |

pub mod cifar;
pub mod idx;
pub mod image_folder;
mod jpeg;
pub mod lines_and_plane;
pub mod masked;
pub mod noise;
pub mod npy;
pub mod picture;
pub mod procedural;
pub mod scenes;
pub mod sheet;
pub mod source;
pub mod subspaces;

pub use source::{DataArguments, DataName};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use picture::Picture;

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Images to train on.
    Train,
    /// Images held out.
    Test,
}

/// Channel statistics that images are normalised with: `(pixel / 255 - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Per channel, in units of 1 (white).
    pub mean: Vec<f32>,
    /// Per channel.
    pub deviation: Vec<f32>,
}

impl Normalisation {
    /// Appends the network input of a picture that has as many channels.
    pub fn apply(&self, picture: &Picture<'_>, input: &mut Vec<f32>) {
        let plane = picture.shape[1] * picture.shape[2];
        for (channel, pixels) in picture.planes.chunks_exact(plane).enumerate() {
            let mean = self.mean[channel];
            let deviation = self.deviation[channel];
            input.extend(
                pixels
                    .iter()
                    .map(|&pixel| (f32::from(pixel) / 255.0 - mean) / deviation),
            );
        }
    }
}

/// Where pictures are kept.
#[derive(Debug, Clone)]
enum Store {
    /// (images, channels, height, width), row-major.
    Bytes(Vec<u8>),
    /// One file each, of any size.
    Files(Vec<PathBuf>),
}

/// Labelled pictures of one size, or cut to it when a network asks for them.
#[derive(Debug, Clone)]
pub struct Images {
    /// Name for people: "fashion-mnist train".
    pub name: String,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    store: Store,
    /// One class per image, from 0.
    pub labels: Vec<usize>,
    /// Names of the classes, in their order, where folders name them; else none.
    pub class_names: Vec<String>,
    /// How to turn pixels into network input.
    pub normalisation: Normalisation,
    /// What its reader passed over, and other things to know, each a line for people.
    pub notes: Vec<String>,
    /// SHA-256 of shape, labels and pixels, hexadecimal; of pictures that stay in their files, their
    /// names and sizes stand for the pixels.
    pub sha256: String,
}

impl Images {
    /// Bundles decoded images and hashes them.
    ///
    /// # Errors
    /// [`Error::Shape`] if pixels and labels disagree, or there are none.
    pub fn new(
        name: impl Into<String>,
        shape: [usize; 3],
        classes: usize,
        pixels: Vec<u8>,
        labels: Vec<usize>,
        normalisation: Normalisation,
    ) -> Result<Self> {
        use sha2::Digest;
        let name = name.into();
        let size: usize = shape.iter().product();
        if labels.is_empty() || pixels.len() != size * labels.len() {
            return Err(Error::shape(
                name,
                format!(
                    "({}, {}, {}, {})",
                    labels.len(),
                    shape[0],
                    shape[1],
                    shape[2]
                ),
                format!("{} bytes", pixels.len()),
                "pass as many images as labels, at least one",
            ));
        }
        let mut hash = hash_of(shape, &labels);
        hash.update(&pixels);
        Ok(Self {
            sha256: crate::artefact::hexadecimal(&hash.finalize()),
            name,
            shape,
            classes,
            store: Store::Bytes(pixels),
            labels,
            class_names: Vec::new(),
            notes: Vec::new(),
            normalisation,
        })
    }

    /// Pictures that stay in their files.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is not there.
    pub fn of_files(
        name: impl Into<String>,
        shape: [usize; 3],
        classes: usize,
        paths: Vec<PathBuf>,
        labels: Vec<usize>,
        normalisation: Normalisation,
    ) -> Result<Self> {
        use sha2::Digest;
        let mut hash = hash_of(shape, &labels);
        for path in &paths {
            let remedy = "check that it can be read";
            let file = std::fs::metadata(path).map_err(|e| Error::io("read", path, e, remedy))?;
            hash.update(file.len().to_le_bytes());
            // Class and file: the same pictures may lie elsewhere.
            for part in path.iter().rev().take(2) {
                hash.update(part.as_encoded_bytes());
            }
        }
        Ok(Self {
            sha256: crate::artefact::hexadecimal(&hash.finalize()),
            name: name.into(),
            shape,
            classes,
            store: Store::Files(paths),
            labels,
            class_names: Vec::new(),
            notes: Vec::new(),
            normalisation,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never true: see [`Images::new`].
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Picture `index` as it is kept, at its own size.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if it does not decode.
    pub fn picture(&self, index: usize) -> Result<Picture<'_>> {
        match &self.store {
            Store::Bytes(bytes) => {
                let size: usize = self.shape.iter().product();
                Ok(Picture {
                    shape: self.shape,
                    planes: bytes[index * size..(index + 1) * size].into(),
                })
            }
            Store::Files(paths) => Picture::decode(&paths[index]),
        }
    }

    /// Which picture `index` is, for people: its file, or its place from 0.
    pub fn describe(&self, index: usize) -> String {
        match &self.store {
            Store::Bytes(_) => format!("picture {index} of {} of {}", self.len(), self.name),
            Store::Files(paths) => paths[index].display().to_string(),
        }
    }

    /// Refuses these images if their classes are not those called `names`: a class that is missing or one
    /// too many gives all after it another number. Nothing to say where either has no names.
    ///
    /// # Errors
    /// [`Error::Domain`] naming the classes in which they differ.
    pub fn check_classes(&self, names: &[String]) -> Result<()> {
        let own = &self.class_names;
        if own.is_empty() || names.is_empty() || own == names {
            return Ok(());
        }
        let list = |of: &[String], without: &[String]| {
            let left: Vec<&str> = of
                .iter()
                .filter(|name| !without.contains(name))
                .map(String::as_str)
                .collect();
            match left.len() {
                0 => "none".to_owned(),
                1..=5 => left.join(", "),
                more => format!("{} and {} more", left[..4].join(", "), more - 4),
            }
        };
        Err(Error::domain(
            format!("classes of {}", self.name),
            format!("the {} that the network is trained on", names.len()),
            format!(
                "{}: missing {}; not known to it {}",
                own.len(),
                list(names, own),
                list(own, names)
            ),
            "give both splits a folder of the same name for every class",
        ))
    }

    /// Refuses these images if they have another number of classes than the `classes` of a network that does
    /// not know the names of its own: their labels would mean others.
    ///
    /// # Errors
    /// [`Error::Domain`] with both numbers.
    pub fn check_class_count(&self, classes: usize) -> Result<()> {
        if self.classes == classes {
            return Ok(());
        }
        let first: Vec<&str> = self
            .class_names
            .iter()
            .take(4)
            .map(String::as_str)
            .collect();
        let found = match (first.join(", "), self.class_names.len()) {
            (_, 0) => self.classes.to_string(),
            (first, 1..=4) => format!("{} ({first})", self.classes),
            (first, _) => format!("{} ({first}, ...)", self.classes),
        };
        Err(Error::domain(
            format!("classes of {}", self.name),
            format!("{classes}, as many as the network has"),
            found,
            "give it pictures of the classes that it was trained on, all of them",
        ))
    }

    /// Network input of `[height, width]` for the images `indices`: (indices, channels, height,
    /// width). Pictures in files are cut as the official evaluation cuts them; others are resized if
    /// they are not of that size.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if a picture does not decode.
    pub fn normalised(
        &self,
        indices: impl IntoIterator<Item = usize>,
        to: [usize; 2],
    ) -> Result<Vec<f32>> {
        let mut input = Vec::new();
        for index in indices {
            let picture = self.picture(index)?;
            let picture = match self.store {
                Store::Files(_) if to[0] == to[1] => image_folder::prepare(&picture, to[0]),
                _ => picture.resize(to),
            };
            self.normalise_into(&picture, &mut input);
        }
        Ok(input)
    }

    /// Appends the network input of a picture.
    pub fn normalise_into(&self, picture: &Picture<'_>, input: &mut Vec<f32>) {
        self.normalisation.apply(picture, input);
    }

    /// The images `indices`, in that order, as a set of their own.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are none.
    pub fn subset(&self, indices: &[usize]) -> Result<Self> {
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        let (name, normalisation) = (self.name.clone(), self.normalisation.clone());
        let mut subset = match &self.store {
            Store::Bytes(bytes) => {
                let size: usize = self.shape.iter().product();
                let chosen = indices
                    .iter()
                    .flat_map(|&i| &bytes[i * size..(i + 1) * size]);
                let chosen = chosen.copied().collect();
                Self::new(
                    name,
                    self.shape,
                    self.classes,
                    chosen,
                    labels,
                    normalisation,
                )
            }
            Store::Files(paths) => {
                let chosen = indices.iter().map(|&i| paths[i].clone()).collect();
                Self::of_files(
                    name,
                    self.shape,
                    self.classes,
                    chosen,
                    labels,
                    normalisation,
                )
            }
        }?;
        subset.class_names.clone_from(&self.class_names);
        Ok(subset)
    }

    /// The images of `classes` alone, whose first becomes class 0.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are none.
    pub fn of_classes(&self, classes: std::ops::Range<usize>) -> Result<Self> {
        let own = |&image: &usize| classes.contains(&self.labels[image]);
        let mut chosen = self.subset(&(0..self.len()).filter(own).collect::<Vec<_>>())?;
        chosen.name = format!(
            "{}, classes {} to {}",
            self.name,
            classes.start,
            classes.end.saturating_sub(1)
        );
        for label in &mut chosen.labels {
            *label -= classes.start;
        }
        chosen.classes = classes.len();
        chosen.class_names = self
            .class_names
            .get(classes.clone())
            .unwrap_or_default()
            .to_vec();
        chosen.sha256 =
            crate::artefact::sha256(format!("{} {}", chosen.name, chosen.sha256).as_bytes());
        Ok(chosen)
    }

    /// The same pictures with their labels in an order drawn by the seed: nothing about the classes is
    /// left to learn, and everything else stays.
    pub fn permuted(&self, seed: u64) -> Self {
        use rand::seq::SliceRandom;
        let mut permuted = self.clone();
        let name = format!("permuted labels/{}", self.name);
        permuted
            .labels
            .shuffle(&mut crate::seed::stream(seed, &name));
        permuted.sha256 =
            crate::artefact::sha256(format!("{name} {seed} {}", self.sha256).as_bytes());
        permuted.name = format!("{} with permuted labels", self.name);
        permuted
    }

    /// `count` distinct indices, or all of them, drawn by the seed and sorted.
    pub fn sample(&self, count: usize, seed: u64) -> Vec<usize> {
        sample(&self.name, self.len(), count, seed)
    }
}

/// `count` of the numbers below `of`, or all of them, drawn by the seed for the set called `name`, and sorted.
fn sample(name: &str, of: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut rng = crate::seed::stream(seed, &format!("sample/{name}"));
    let mut indices = rand::seq::index::sample(&mut rng, of, count.min(of)).into_vec();
    indices.sort_unstable();
    indices
}

/// What the hash of a data set begins with.
fn hash_of(shape: [usize; 3], labels: &[usize]) -> sha2::Sha256 {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for number in shape.iter().chain(labels) {
        hash.update((*number as u64).to_le_bytes());
    }
    hash
}
