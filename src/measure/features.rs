//! What a linear probe finds in features of pictures (C-MAE-02): in the class token and in the mean of the patches' tokens
//! that a network makes of whole pictures, and in their pixels. All are probed alike: features of some training and some
//! held-out pictures, each computed once, and [`Probe`] between them.

use dfdx::prelude::Cpu;
use ndarray::{s, Array2, ArrayView2, Axis};

use super::softmax_regression::Probe;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::patches::Patches;
use crate::model::{Autoencoder, Classifier};
use crate::parallel;

/// Weight of the ridge of the probe.
const RIDGE: f64 = 1e-4;

/// Pictures per forward pass.
const PIECE: usize = 50;

/// A network that makes tokens of whole pictures.
pub trait Encoder: Sync {
    /// How it cuts pictures.
    fn patches(&self) -> Patches;

    /// The tokens of pictures (b, channels, height, width), normalised, class token first: (b, n, d).
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of pictures, [`Error::Device`].
    fn encode(&self, images: &[f32]) -> Result<Vec<f32>>;
}

impl Encoder for Autoencoder<f32, Cpu> {
    fn patches(&self) -> Patches {
        self.config().patches()
    }

    fn encode(&self, images: &[f32]) -> Result<Vec<f32>> {
        self.encode(images, &[])
    }
}

impl Encoder for Classifier<f32, Cpu> {
    fn patches(&self) -> Patches {
        Patches::of(self.config())
    }

    fn encode(&self, images: &[f32]) -> Result<Vec<f32>> {
        self.encode(images)
    }
}

/// Features of pictures, a row each.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// The class token, (pictures, d).
    pub class: Array2<f64>,
    /// The mean of the patches' tokens, (pictures, d).
    pub mean: Array2<f64>,
}

impl Features {
    /// Of the first `count` of `images`, or all if they are fewer. The number of threads changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the pictures have other channels than the network reads, [`Error::Io`] if one cannot be read,
    /// [`Error::Device`].
    pub fn of(
        network: &impl Encoder,
        images: &Images,
        count: usize,
        threads: usize,
    ) -> Result<Self> {
        let patches = network.patches();
        patches.check_channels(images)?;
        let count = count.min(images.len());
        let made = parallel::map(count.div_ceil(PIECE), threads, |piece| {
            let own = piece * PIECE..((piece + 1) * PIECE).min(count);
            let input = images.normalised(own, patches.image_size)?;
            network.encode(&input)
        })?;
        let encoded = made.concat();
        let tokens = patches.count() + 1;
        let d = encoded.len() / (count * tokens).max(1);
        let (mut class, mut mean) = (Array2::zeros((count, d)), Array2::zeros((count, d)));
        for (index, image) in encoded.chunks_exact((tokens * d).max(1)).enumerate() {
            let image = ArrayView2::from_shape((tokens, d), image)
                .map_err(|e| Error::misfit("tokens", tokens, &e))?
                .mapv(f64::from);
            class.row_mut(index).assign(&image.row(0));
            let sum = image.slice(s![1.., ..]).sum_axis(Axis(0));
            mean.row_mut(index).assign(&(sum / (tokens - 1) as f64));
        }
        Ok(Self { class, mean })
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// The share of held-out pictures that it tells right.
    pub accuracy: f64,
    /// Length of the gradient where the fit ended, see [`Probe::gradient_norm`].
    pub gradient_norm: f64,
}

/// What a probe found in the tokens of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenFindings {
    /// In the class token.
    pub class: Finding,
    /// In the mean of the patches' tokens.
    pub mean: Finding,
}

/// Pictures to fit probes to, and pictures to try them on.
#[derive(Debug, Clone, Copy)]
pub struct Probed<'a> {
    /// What probes are fitted to.
    pub training: &'a Images,
    /// What they are tried on.
    pub held_out: &'a Images,
    /// Of either, so many, the first ones.
    pub count: usize,
    /// The results do not depend on it.
    pub threads: usize,
}

impl Probed<'_> {
    /// What a probe finds in the tokens of `network`.
    ///
    /// # Errors
    /// Those of [`Features::of`] and [`Probe::fit`].
    pub fn tokens(&self, network: &impl Encoder) -> Result<TokenFindings> {
        let features = |images| Features::of(network, images, self.count, self.threads);
        let (training, held_out) = (features(self.training)?, features(self.held_out)?);
        Ok(TokenFindings {
            class: self.find(training.class.view(), held_out.class.view())?,
            mean: self.find(training.mean.view(), held_out.mean.view())?,
        })
    }

    /// What a probe finds in pixels, of pictures brought to `size`.
    ///
    /// # Errors
    /// [`Error::Io`] if a picture cannot be read; those of [`Probe::fit`].
    pub fn pixels(&self, size: [usize; 2]) -> Result<Finding> {
        let pixels = |images: &Images| {
            let count = self.count.min(images.len());
            let values = images.normalised(0..count, size)?;
            let width = values.len() / count.max(1);
            let values = values.into_iter().map(f64::from).collect();
            Array2::from_shape_vec((count, width), values)
                .map_err(|e| Error::misfit("pixels", width, &e))
        };
        let (training, held_out) = (pixels(self.training)?, pixels(self.held_out)?);
        self.find(training.view(), held_out.view())
    }

    /// Fits a probe to features of the training pictures and tries it on those of the held-out ones.
    fn find(
        &self,
        training: ArrayView2<'_, f64>,
        held_out: ArrayView2<'_, f64>,
    ) -> Result<Finding> {
        let fitted = &self.training.labels[..training.nrows()];
        let tried = &self.held_out.labels[..held_out.nrows()];
        parallel::within(self.threads, || {
            let probe = Probe::fit(training, fitted, self.training.classes, RIDGE)?;
            Ok(Finding {
                accuracy: probe.accuracy(held_out, tried)?,
                gradient_norm: probe.gradient_norm,
            })
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{procedural, Normalisation, Split};
    use crate::model::autoencoder::AutoencoderConfig;
    use crate::model::{Config, Pool};

    fn autoencoder() -> Autoencoder<f32, Cpu> {
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        let config = AutoencoderConfig {
            d: 16,
            encoder_depth: 2,
            decoder_depth: 1,
            ..demo
        };
        Autoencoder::new(config, 3, &Cpu::default()).unwrap()
    }

    fn gratings(count: usize, split: Split) -> Images {
        procedural::gratings(count, 1, 28, split, 5).unwrap()
    }

    #[test]
    fn features_are_the_first_token_and_the_mean_of_the_others_whatever_the_pieces() {
        let network = autoencoder();
        // One more than a piece.
        let images = gratings(PIECE + 1, Split::Test);
        let found = Features::of(&network, &images, PIECE + 1, 2).unwrap();
        assert_eq!(found, Features::of(&network, &images, 1000, 1).unwrap());
        assert_eq!(found.class.dim(), (PIECE + 1, 16));
        for index in [0, PIECE] {
            let input = images.normalised([index], [28; 2]).unwrap();
            let tokens = network.encode(&input, &[]).unwrap();
            for number in 0..16 {
                let patches = (1..50).map(|token| f64::from(tokens[16 * token + number]));
                let mean = patches.sum::<f64>() / 49.0;
                // Sums of 49 numbers of a size of one, in another order, of products in f32 in other pieces.
                let far = (found.mean[(index, number)] - mean).abs();
                assert!(far < 1e-5, "{index} {number}: {far}");
                let far = (found.class[(index, number)] - f64::from(tokens[number])).abs();
                assert!(far < 1e-5, "{index} {number}: {far}");
            }
        }
        let few = Features::of(&network, &images, 7, 2).unwrap();
        assert_eq!(few.mean.nrows(), 7);
    }

    #[test]
    fn a_probe_of_the_encoder_alone_finds_what_that_of_the_autoencoder_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let network = autoencoder();
        crate::model::checkpoint::write(&path, &network, &serde_json::json!(null)).unwrap();
        let file = crate::model::checkpoint::Checkpoint::read(&path).unwrap();
        let config = network.config().classifier(10, Pool::Cls);
        let encoder = file.encoder(config, &Cpu::default()).unwrap();
        let images = gratings(20, Split::Test);
        let whole = Features::of(&network, &images, 20, 2).unwrap();
        assert_eq!(whole, Features::of(&encoder, &images, 20, 2).unwrap());
    }

    /// Pictures of three classes, each of one shade that tells its class.
    fn shades(count: usize, step: usize) -> Images {
        let labels: Vec<usize> = (0..count).map(|index| index % 3).collect();
        let shades = labels.iter().enumerate();
        let shades = shades.map(|(index, label)| (40 + 80 * label + index * step % 20) as u8);
        let pixels = shades.flat_map(|shade| [shade; 28 * 28]).collect();
        let normalisation = Normalisation {
            mean: vec![0.5],
            deviation: vec![0.25],
        };
        Images::new("shades", [1, 28, 28], 3, pixels, labels, normalisation).unwrap()
    }

    #[test]
    fn a_probe_finds_what_pixels_and_tokens_show_and_other_channels_are_refused() {
        let (training, held_out) = (shades(90, 7), shades(30, 11));
        let pictures = Probed {
            training: &training,
            held_out: &held_out,
            count: 1000,
            threads: 2,
        };
        let found = pictures.tokens(&autoencoder()).unwrap();
        assert!(found.mean.accuracy > 0.9, "{found:?}");
        let pixels = pictures.pixels([7; 2]).unwrap();
        assert!(pixels.accuracy > 0.9, "{pixels:?}");
        let config = Config::preset("demo").unwrap().with_width(16, 4).unwrap();
        let config = Config { depth: 1, ..config };
        let classifier = Classifier::new(config, 3, &Cpu::default()).unwrap();
        let found = pictures.tokens(&classifier).unwrap();
        assert!((0.0..=1.0).contains(&found.class.accuracy), "{found:?}");
        let coloured = procedural::gratings(10, 3, 28, Split::Test, 5).unwrap();
        let refused = Features::of(&classifier, &coloured, 10, 1).unwrap_err();
        assert!(refused.to_string().contains("1 channels"), "{refused}");
    }
}
