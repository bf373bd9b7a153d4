//! Sizes and constants of a CRATE classifier, as in the papers' tables and the official code.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The class token; all published sizes.
    Cls,
    /// The mean over all tokens, class token included, as in the official code.
    Mean,
}

/// Everything that fixes a CRATE classifier apart from its parameters.
///
/// `p` need not be `d / k`: the projection is `d -> k p`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CrateConfig {
    /// Image height and width in pixels.
    pub image_size: [usize; 2],
    /// Patch height and width in pixels.
    pub patch_size: [usize; 2],
    /// Image channels.
    pub channels: usize,
    /// Classes of the head.
    pub classes: usize,
    /// Width of a token, `d`.
    pub d: usize,
    /// Layers, `L`.
    pub depth: usize,
    /// Heads, `K`.
    pub heads: usize,
    /// Width of a head, `p`.
    pub head_width: usize,
    /// What the head reads.
    pub pool: Pool,
    /// ISTA step size, `eta`. Official code: 0.1.
    pub step_size: f64,
    /// ISTA threshold weight, `lambda`. Official code: 0.1 for classifiers.
    pub lambda: f64,
}

/// Names that [`CrateConfig::preset`] knows.
pub const PRESETS: [&str; 5] = [
    "demo",
    "crate-tiny",
    "crate-small",
    "crate-base",
    "crate-large",
];

/// Step size and threshold weight of the official classifiers (`model/crate.py`).
pub const OFFICIAL_STEP_SIZE: f64 = 0.1;
/// See [`OFFICIAL_STEP_SIZE`].
pub const OFFICIAL_LAMBDA: f64 = 0.1;
/// LayerNorm's additive constant in the official code (the PyTorch default).
pub const LAYER_NORM_EPSILON: f64 = 1e-5;

impl CrateConfig {
    /// A named size. `crate-*` are those of NeurIPS 2023 (224 px, patch 16, 3 channels);
    /// `demo` is this project's own, for 28 px grey images.
    ///
    /// # Errors
    /// [`Error::Argument`] on an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let (d, depth, heads) = match name {
            "demo" => {
                return Ok(Self {
                    image_size: [28, 28],
                    patch_size: [4, 4],
                    channels: 1,
                    classes: 10,
                    d: 128,
                    depth: 12,
                    heads: 4,
                    head_width: 32,
                    pool: Pool::Cls,
                    step_size: OFFICIAL_STEP_SIZE,
                    lambda: OFFICIAL_LAMBDA,
                })
            }
            "crate-tiny" => (384, 12, 6),
            "crate-small" => (576, 12, 12),
            "crate-base" => (768, 12, 12),
            "crate-large" => (1024, 24, 16),
            _ => {
                return Err(Error::argument(
                    "--preset",
                    PRESETS.join(", "),
                    name,
                    "name one of these",
                ))
            }
        };
        Ok(Self {
            image_size: [224, 224],
            patch_size: [16, 16],
            channels: 3,
            classes: 1000,
            d,
            depth,
            heads,
            head_width: d / heads,
            pool: Pool::Cls,
            step_size: OFFICIAL_STEP_SIZE,
            lambda: OFFICIAL_LAMBDA,
        })
    }

    /// The same network for images of another size, number of channels or classes. Images whose
    /// sides the patch does not divide are refused by [`CrateConfig::check`].
    pub fn for_images(mut self, channels: usize, size: [usize; 2], classes: usize) -> Self {
        self.channels = channels;
        self.image_size = size;
        self.classes = classes;
        self
    }

    /// The same network with another width, whose heads share it equally.
    ///
    /// # Errors
    /// [`Error::Argument`] if `heads` does not divide `d`.
    pub fn with_width(mut self, d: usize, heads: usize) -> Result<Self> {
        if heads == 0 || !d.is_multiple_of(heads) {
            return Err(Error::argument(
                "--width",
                "a width that the number of heads divides",
                format!("{d} {heads}"),
                "choose another pair",
            ));
        }
        (self.d, self.heads, self.head_width) = (d, heads, d / heads);
        Ok(self)
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("image height", self.image_size[0]),
            ("image width", self.image_size[1]),
            ("patch height", self.patch_size[0]),
            ("patch width", self.patch_size[1]),
            ("channels", self.channels),
            ("classes", self.classes),
            ("width d", self.d),
            ("depth", self.depth),
            ("heads", self.heads),
            ("head width p", self.head_width),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::argument(name, "at least 1", "0", "give a size"));
            }
        }
        for (side, axis) in ["height", "width"].into_iter().zip(0..) {
            if !self.image_size[axis].is_multiple_of(self.patch_size[axis]) {
                return Err(Error::argument(
                    format!("patch {side}"),
                    format!("a divisor of the image {side} {}", self.image_size[axis]),
                    self.patch_size[axis].to_string(),
                    "choose another --patch",
                ));
            }
        }
        for (name, value) in [("step size eta", self.step_size), ("lambda", self.lambda)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::argument(
                    name,
                    "a finite number >= 0",
                    value.to_string(),
                    "the official value is 0.1",
                ));
            }
        }
        Ok(())
    }

    /// Patches per image.
    pub fn patches(&self) -> usize {
        (self.image_size[0] / self.patch_size[0]) * (self.image_size[1] / self.patch_size[1])
    }

    /// Tokens per image, `N`: the patches and the class token.
    pub fn tokens(&self) -> usize {
        self.patches() + 1
    }

    /// Numbers in a patch.
    pub fn patch_width(&self) -> usize {
        self.channels * self.patch_size[0] * self.patch_size[1]
    }

    /// Output width of the projection, `K p`.
    pub fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    /// Whether a layer has an output projection: the official code leaves it out for a single
    /// head as wide as the token.
    pub fn has_output_projection(&self) -> bool {
        !(self.heads == 1 && self.head_width == self.d)
    }

    /// Number of parameters. Gives the published 6.09, 13.12, 22.80 and 77.64 million
    /// (NeurIPS 2023, table 1) for the four presets.
    pub fn parameters(&self) -> usize {
        let (d, inner, patch) = (self.d, self.inner(), self.patch_width());
        let output = if self.has_output_projection() {
            inner * d + d
        } else {
            0
        };
        let layer = 2 * d + d * inner + output + 2 * d + d * d;
        let embedding = 2 * patch + (patch * d + d) + 2 * d + self.tokens() * d + d;
        let head = 2 * d + d * self.classes + self.classes;
        embedding + self.depth * layer + head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_published_parameter_counts() {
        for (name, count) in [
            ("crate-tiny", 6_090_856),
            ("crate-small", 13_116_328),
            ("crate-base", 22_796_008),
            ("crate-large", 77_641_192),
        ] {
            assert_eq!(CrateConfig::preset(name).unwrap().parameters(), count);
        }
    }

    #[test]
    fn every_named_preset_is_consistent() {
        for name in PRESETS {
            CrateConfig::preset(name).unwrap().check().unwrap();
        }
        assert_eq!(CrateConfig::preset("huge").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_patch_that_does_not_divide_the_image_is_refused_by_name() {
        let mut config = CrateConfig::preset("demo").unwrap();
        config.patch_size = [5, 4];
        let message = config.check().unwrap_err().to_string();
        assert!(
            message.contains("patch height") && message.contains("28"),
            "{message}"
        );
    }
}
