//! Labelled images: files first checked, then decoded. And tokens drawn from a model.
//!
//! | file | what |
//! |---|---|
//! | [`idx`] | IDX files, plain or gzip: Fashion-MNIST, MNIST |
//! | [`cifar`] | CIFAR-10 in its binary layout |
//! | [`image_folder`] | one folder per class of JPEG or PNG files |
//! | [`procedural`] | seeded pictures made on the spot, for tests |
//! | [`source`] | which of these a command line means |
//! | [`subspaces`] | tokens drawn from a union of subspaces |

pub mod cifar;
pub mod idx;
pub mod image_folder;
pub mod procedural;
pub mod source;
pub mod subspaces;

pub use source::{DataArguments, DataName};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

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

/// Images of one size with their labels, as bytes.
#[derive(Debug, Clone)]
pub struct Images {
    /// Name for people: "fashion-mnist train".
    pub name: String,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// (images, channels, height, width), row-major.
    pub pixels: Vec<u8>,
    /// One class per image, from 0.
    pub labels: Vec<usize>,
    /// How to turn pixels into network input.
    pub normalisation: Normalisation,
    /// SHA-256 of shape, pixels and labels, hexadecimal.
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
        let mut hash = sha2::Sha256::new();
        for number in shape.iter().chain(&labels) {
            hash.update((*number as u64).to_le_bytes());
        }
        hash.update(&pixels);
        Ok(Self {
            sha256: crate::artefact::hexadecimal(&hash.finalize()),
            name,
            shape,
            classes,
            pixels,
            labels,
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

    /// Bytes of image `index`, (channels, height, width).
    pub fn image(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// Network input for the images `indices`: (indices, channels, height, width).
    pub fn normalised(&self, indices: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let mut input = Vec::new();
        for index in indices {
            self.normalise_into(self.image(index), &mut input);
        }
        input
    }

    /// Appends the network input of one image's bytes.
    pub fn normalise_into(&self, image: &[u8], input: &mut Vec<f32>) {
        let plane = self.shape[1] * self.shape[2];
        for (channel, pixels) in image.chunks_exact(plane).enumerate() {
            let mean = self.normalisation.mean[channel];
            let deviation = self.normalisation.deviation[channel];
            input.extend(
                pixels
                    .iter()
                    .map(|&pixel| (f32::from(pixel) / 255.0 - mean) / deviation),
            );
        }
    }

    /// The images `indices`, in that order, as a set of their own.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are none.
    pub fn subset(&self, indices: &[usize]) -> Result<Self> {
        Self::new(
            self.name.clone(),
            self.shape,
            self.classes,
            indices
                .iter()
                .flat_map(|&i| self.image(i))
                .copied()
                .collect(),
            indices.iter().map(|&i| self.labels[i]).collect(),
            self.normalisation.clone(),
        )
    }

    /// `count` distinct indices, or all of them, drawn by the seed and sorted.
    pub fn sample(&self, count: usize, seed: u64) -> Vec<usize> {
        let mut rng = crate::seed::stream(seed, &format!("sample/{}", self.name));
        let count = count.min(self.len());
        let mut indices = rand::seq::index::sample(&mut rng, self.len(), count).into_vec();
        indices.sort_unstable();
        indices
    }
}
