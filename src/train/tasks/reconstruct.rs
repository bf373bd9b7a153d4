//! Pictures of which most patches are masked: the mean square error of the pixels that the network makes of those
//! (official `forward_loss`).

use std::iter::repeat_n;

use dfdx::prelude::*;
use rayon::prelude::*;

use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::autoencoder::AutoencoderConfig;
use crate::model::patches::Patches;
use crate::model::probe::NoProbe;
use crate::model::{Autoencoder, Network, Runtime};
use crate::seed;
use crate::train::augment::Augmentation;
use crate::train::masking::Masking;
use crate::train::recipe::Recipe;
use crate::train::score::EVALUATION_PIECE;
use crate::train::task::{elsewhere, Draw, Loss, Portable, Task};
use crate::train::{train, Circumstances, Epoch, Observer};

/// Images per shard.
const SHARD: usize = 16;

/// To fill in what is masked of pictures.
#[derive(Debug, Clone, Copy)]
pub struct Reconstruct<'a> {
    images: &'a Images,
    held_out: &'a Images,
    augmentation: Augmentation,
    masking: Masking,
    /// As the network writes its predictions.
    predictions: Patches,
}

/// Pictures as they enter the network, what of them is masked, and what is to be found.
#[derive(Debug)]
pub struct Masked {
    /// (b, channels, height, width), row-major, normalised.
    pub input: Vec<f32>,
    /// (b, patches).
    pub masked: Vec<bool>,
    /// (b, patches, patch width), channel fastest.
    pub targets: Vec<f32>,
}

impl<'a> Reconstruct<'a> {
    /// For a network of `config`, with the augmentation and the masking of `recipe`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the recipe does not say how to mask, or would mask nothing.
    pub fn new(
        config: &AutoencoderConfig,
        images: &'a Images,
        held_out: &'a Images,
        recipe: &Recipe,
    ) -> Result<Self> {
        let wanted = "the share of patches to mask";
        let remedy = "set it with `set` masking.ratio=0.75";
        let masking = recipe
            .masking
            .ok_or_else(|| Error::argument("masking.ratio", wanted, "none", remedy))?;
        let patches = config.patches().count();
        if masking.kept(patches) == patches {
            let got = format!("{} of {patches} patches", masking.ratio);
            let wanted = "a share that leaves something to be found";
            return Err(Error::argument("masking.ratio", wanted, got, remedy));
        }
        Ok(Self {
            images,
            held_out,
            augmentation: recipe.augmentation,
            masking,
            predictions: config.predictions(),
        })
    }

    /// Held-out images with the masks that every network is scored with.
    ///
    /// # Errors
    /// [`Error::Io`] if an image cannot be read.
    pub fn held_out(&self, range: std::ops::Range<usize>) -> Result<Masked> {
        let input = self
            .held_out
            .normalised(range.clone(), self.predictions.image_size)?;
        let draw = |image| {
            let mut rng = seed::stream(0, &format!("mask/held-out/{image}"));
            self.masking.draw(self.predictions.count(), &mut rng)
        };
        self.masked(input, range.flat_map(draw).collect())
    }

    fn masked(&self, input: Vec<f32>, masked: Vec<bool>) -> Result<Masked> {
        let patches = self.predictions.cut(&input)?;
        Ok(Masked {
            targets: self.masking.targets(patches, self.predictions.width()),
            input,
            masked,
        })
    }
}

impl<D: Runtime<f32>> Task<D> for Reconstruct<'_> {
    type Network = Autoencoder<f32, D>;
    type Batch = Masked;
    type Score = f64;

    fn examples(&self) -> usize {
        self.images.len()
    }

    fn shard(&self) -> usize {
        SHARD
    }

    fn numbers(&self, network: &Self::Network) -> usize {
        network.config().tokens() * network.config().d
    }

    fn check(&self, network: &Self::Network) -> Result<()> {
        network.check_fit(self.images)?;
        network.check_fit(self.held_out)
    }

    fn batch(&self, indices: &[usize], draw: Draw) -> Result<Masked> {
        let size = self.predictions.image_size;
        let one = |&image: &usize| {
            let stream =
                |what: &str| seed::stream(draw.seed, &format!("{what}/{}/{image}", draw.epoch));
            let picture = self.images.picture(image)?;
            let changed = self
                .augmentation
                .apply(&picture, size, &mut stream("augment"));
            let mut input = Vec::new();
            self.images.normalise_into(&changed, &mut input);
            let count = self.predictions.count();
            Ok((input, self.masking.draw(count, &mut stream("mask"))))
        };
        let made: Vec<_> = indices.par_iter().map(one).collect::<Result<_>>()?;
        let (input, masked): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        self.masked(input.concat(), masked.concat())
    }

    fn loss(&self, network: &Self::Network, batch: &Masked, weight: f64) -> Result<Loss<D>> {
        loss(network, batch, weight)
    }

    fn score(&self, network: &Self::Network, threads: usize) -> Result<f64> {
        let count = self.held_out.len();
        let pieces = count.div_ceil(EVALUATION_PIECE);
        let made = |network: &Self::Network, piece: usize| {
            let start = piece * EVALUATION_PIECE;
            let batch = self.held_out(start..(start + EVALUATION_PIECE).min(count))?;
            let found = network.reconstruct(&batch.input, &batch.masked)?;
            Ok((batch, found))
        };
        let width = self.predictions.width();
        let parts = D::run_pieces(network, pieces, threads, made, |(batch, found)| {
            Ok(squared_error(&found, &batch.targets, &batch.masked, width))
        })?;
        let (sum, numbers) = parts
            .into_iter()
            .fold((0.0, 0), |(a, b), (sum, numbers)| (a + sum, b + numbers));
        let mean = sum / numbers as f64;
        if !mean.is_finite() {
            let remedy = "train with a smaller learning rate";
            let got = mean.to_string();
            return Err(Error::domain(
                "held-out errors",
                "finite numbers",
                got,
                remedy,
            ));
        }
        Ok(mean)
    }

    fn identity(&self, network: &Self::Network) -> serde_json::Value {
        serde_json::json!({
            "config": network.config(),
            "images": self.images.sha256,
            "held_out": self.held_out.sha256,
        })
    }
}

impl Portable for Reconstruct<'_> {
    fn train_on<D: Runtime<f32>>(
        &self,
        device: &D,
        network: &mut Autoencoder<f32, Cpu>,
        recipe: &Recipe,
        run: &Circumstances<'_>,
        observer: &mut impl Observer<Autoencoder<f32, Cpu>, f64>,
    ) -> Result<Vec<Epoch<f64>>> {
        let moved = network.on(device)?;
        let back = |network: &Autoencoder<f32, D>| network.on(&Cpu::default());
        elsewhere(network, moved, back, observer, |network, watched| {
            train(network, self, recipe, run, watched)
        })
    }
}

/// The sum of squared differences over the masked patches, and how many numbers it is of.
pub fn squared_error(
    found: &[f32],
    targets: &[f32],
    masked: &[bool],
    width: usize,
) -> (f64, usize) {
    let patches = found.chunks_exact(width).zip(targets.chunks_exact(width));
    let mut sum = 0.0;
    let mut numbers = 0;
    for ((found, target), _) in patches.zip(masked).filter(|(_, masked)| **masked) {
        let differences = found.iter().zip(target);
        sum += differences
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum::<f64>();
        numbers += width;
    }
    (sum, numbers)
}

/// `weight` times the mean square error over all pixels of masked patches.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the network, [`Error::Device`].
pub fn loss<D: Runtime<f32>>(
    network: &Autoencoder<f32, D>,
    batch: &Masked,
    weight: f64,
) -> Result<Loss<D>> {
    let patches = network.patches(&batch.input)?.leaky_traced();
    let latent = network.try_encode(patches, &batch.masked, &mut NoProbe);
    let found = latent.and_then(|latent| network.try_decode(latent, &mut NoProbe));
    let found = found.map_err(Error::device)?;
    let shape = *found.shape();
    let (_, _, width) = shape;
    let numbers = batch.masked.iter().filter(|&&masked| masked).count() * width;
    let share = (weight / numbers as f64) as f32;
    let shares = batch.masked.iter();
    let shares = shares.flat_map(|&masked| repeat_n(if masked { share } else { 0.0 }, width));
    let device = network.device();
    let of = |values: Vec<f32>| device.try_tensor_from_vec(values, shape);
    let error = of(batch.targets.clone()).and_then(|targets| found.try_sub(targets));
    let error = error.and_then(|error| error.try_square());
    let weighed = error.and_then(|error| error.try_mul(of(shares.collect())?));
    let loss = weighed.and_then(|weighed| weighed.try_sum::<Rank0, _>());
    Ok(loss.map_err(Error::device)?.into())
}
