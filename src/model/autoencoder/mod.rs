//! The masked autoencoders: CRATE-MAE (ICLR 2024; official `model/crate_ae/crate_ae.py`) and the ViT of the same file.
//!
//! patches -> linear -> mask token in place of what is masked -> class token and fixed positions -> encoder -> LayerNorm
//! -> decoder -> LayerNorm -> linear -> pixels. Other than in the MAE of He et al. the encoder sees the mask tokens, and
//! both halves have one width.

mod config;
mod infer;
mod positions;
mod visit;

pub use config::{
    AutoencoderConfig, DecoderSign, Kind, AUTOENCODER_PRESETS, OFFICIAL_LAMBDA, OFFICIAL_STEP_SIZE,
};
pub use infer::Unseen;
pub use positions::sine_positions;

use dfdx::prelude::*;

use super::embedding::{self, Embedding};
use super::kernels::Execution;
use super::linear::Linear;
use super::norm::LayerNorm;
use super::parameters::{Initialise, Visitor};
use super::probe::{NoProbe, Probe, Site};
use super::runtime::Runtime;
use super::stack::Stack;
use super::tensor::{constant, Matrix, Tokens};
use super::{Network, Real};
use crate::data::Images;
use crate::error::{Error, Result};

/// The network. Build one with [`Autoencoder::new`] or read one from a checkpoint.
///
/// Where a pass is probed, the layers of the decoder are counted on from those of the encoder.
#[derive(Debug, Clone)]
pub struct Autoencoder<E: Dtype, D: Device<E>> {
    config: AutoencoderConfig,
    execution: Execution,
    device: D,
    embedding: Embedding<E, D>,
    encoder: Stack<E, D>,
    encoder_norm: LayerNorm<E, D>,
    decoder: Stack<E, D>,
    decoder_norm: LayerNorm<E, D>,
    /// A token to the pixels of its patch.
    prediction: Linear<E, D>,
    unused: Unused<E, D>,
}

/// What the official state dict holds and no pass reads.
#[derive(Debug, Clone)]
struct Unused<E: Dtype, D: Device<E>> {
    /// `pos_embed`: the positions that are added are `decoder_pos_embed`.
    position: Matrix<E, D>,
    /// `decoder_embed`.
    map: Linear<E, D>,
}

/// A probe that counts layers from another one.
struct Behind<'a, P> {
    probe: &'a mut P,
    layers: usize,
}

impl<E, P: Probe<E>> Probe<E> for Behind<'_, P> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.probe.wants(site, self.layers + layer)
    }

    fn observe(&mut self, site: Site, layer: usize, shape: &[usize], values: Vec<E>) {
        let layer = self.layers + layer;
        self.probe.observe(site, layer, shape, values);
    }
}

impl<E: Real, D: Runtime<E>> Autoencoder<E, D> {
    /// A network with the official random initialisation.
    ///
    /// # Errors
    /// [`Error::Argument`] for impossible sizes, [`Error::Device`] if memory runs out.
    pub fn new(config: AutoencoderConfig, seed: u64, device: &D) -> Result<Self> {
        let mut network = Self::blank(config, device)?;
        network.visit_parameters(&mut Initialise { seed })?;
        Ok(network)
    }

    /// A network whose parameters are still to be filled, but for the positions.
    pub(super) fn blank(config: AutoencoderConfig, device: &D) -> Result<Self> {
        config.check()?;
        Self::try_blank(config, device).map_err(Error::device)
    }

    fn try_blank(config: AutoencoderConfig, device: &D) -> std::result::Result<Self, D::Err> {
        let d = config.d;
        let width = config.patches().width();
        let [side, _] = config.patches().grid();
        let table = sine_positions(d, side).into_iter().map(constant);
        let table: Vec<E> = table.collect();
        // Two tensors, each its own: a clone would share what is found for the other.
        let position = || device.try_tensor_from_vec(table.clone(), (config.tokens(), d));
        let norm = || LayerNorm::identity(device, d, config::FINAL_EPSILON);
        Ok(Self {
            config,
            execution: Execution::Fastest,
            device: device.clone(),
            embedding: Embedding {
                mask_token: Some(device.try_zeros_like(&(d,))?),
                position: position()?,
                learns_position: false,
                ..Embedding::plain(device, width, config.tokens(), d)?
            },
            encoder: Stack::blank(device, d, config.encoder_depth, &config.encoder_layer())?,
            encoder_norm: norm()?,
            decoder: Stack::blank(device, d, config.decoder_depth, &config.decoder_layer())?,
            decoder_norm: norm()?,
            prediction: Linear::blank(device, d, width)?,
            unused: Unused {
                position: position()?,
                map: Linear::blank(device, d, d)?,
            },
        })
    }

    /// Sizes and constants.
    pub fn config(&self) -> &AutoencoderConfig {
        &self.config
    }

    /// The same network, run by another implementation.
    pub fn with_execution(mut self, execution: Execution) -> Self {
        self.execution = execution;
        self
    }

    /// The same network on another device.
    ///
    /// # Errors
    /// [`Error::Device`] if its memory runs out.
    pub fn on<F: Runtime<E>>(&self, device: &F) -> Result<Autoencoder<E, F>> {
        let mut network = Autoencoder::blank(self.config, device)?;
        network.set_parameters(&self.parameters())?;
        Ok(network)
    }

    /// The layers of the encoder.
    pub fn encoder(&self) -> &Stack<E, D> {
        &self.encoder
    }

    /// The layers of the decoder.
    pub fn decoder(&self) -> &Stack<E, D> {
        &self.decoder
    }

    /// Refuses images that the network cannot read.
    ///
    /// # Errors
    /// [`Error::Shape`] naming both.
    pub fn check_fit(&self, images: &Images) -> Result<()> {
        self.config.patches().check_channels(images)
    }

    /// Images (b, channels, height, width), cut as the network reads them, (b, patches, patch width).
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, [`Error::Device`].
    pub fn patches(&self, images: &[E]) -> Result<Tokens<E, D>> {
        let patches = self.config.patches();
        let shape = (
            patches.images(images.len())?,
            patches.count(),
            patches.width(),
        );
        let tensor = self.device.try_tensor_from_vec(patches.cut(images)?, shape);
        tensor.map_err(Error::device)
    }

    /// What the encoder makes of patches (b, patches, patch width), behind its LayerNorm, (b, n, d). Of the patches of
    /// all images in order, those that are `masked` make way for the mask token; an empty slice masks none, as for
    /// features.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_encode<T: Tape<E, D>>(
        &self,
        patches: Tokens<E, D, T>,
        masked: &[bool],
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let z = match self.execution {
            Execution::Fastest => D::try_embed(&self.embedding, patches, masked)?,
            Execution::Composed => self.embedding.try_forward(patches, masked)?,
        };
        let range = 0..self.config.encoder_depth;
        let z = self.encoder.try_forward(range, self.execution, z, probe)?;
        self.try_normalise(&self.encoder_norm, z)
    }

    /// The pixels that the decoder makes of the encoder's tokens (b, n, d): (b, patches, patch width), channel fastest.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_decode<T: Tape<E, D>>(
        &self,
        latent: Tokens<E, D, T>,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (b, n, d) = *latent.shape();
        let layers = self.config.encoder_depth;
        let mut probe = Behind { probe, layers };
        let range = 0..self.config.decoder_depth;
        let decoder = &self.decoder;
        let z = decoder.try_forward(range, self.execution, latent, &mut probe)?;
        let z = self.try_normalise(&self.decoder_norm, z)?;
        self.prediction
            .try_forward(
                z.try_slice((0..b, 1..n, 0..d))?
                    .try_reshape_like(&(b, n - 1, d))?,
            )
    }

    fn try_normalise<T: Tape<E, D>>(
        &self,
        norm: &LayerNorm<E, D>,
        z: Tokens<E, D, T>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        match self.execution {
            Execution::Fastest => D::try_normalise(norm, z),
            Execution::Composed => norm.try_forward(z),
        }
    }

    /// The tokens behind the encoder's LayerNorm, class token first, of images (b, channels, height, width), row-major
    /// and normalised; `masked` as in [`Autoencoder::try_encode`].
    ///
    /// # Shapes
    /// Gives (b, n, d).
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, or not all their patches are spoken of,
    /// [`Error::Device`].
    pub fn encode(&self, images: &[E], masked: &[bool]) -> Result<Vec<E>> {
        let patches = self.masked_patches(images, masked)?;
        let latent = self.try_encode(patches, masked, &mut NoProbe);
        Ok(latent.map_err(Error::device)?.as_vec())
    }

    /// The pixels of all patches, (b, patches, patch width), channel fastest, that the network makes of images of which
    /// some are `masked`.
    ///
    /// # Errors
    /// As [`Autoencoder::encode`].
    pub fn reconstruct(&self, images: &[E], masked: &[bool]) -> Result<Vec<E>> {
        self.reconstruct_probed(images, masked, &mut NoProbe)
    }

    /// [`Autoencoder::reconstruct`] with a look at the intermediates.
    ///
    /// # Errors
    /// As [`Autoencoder::encode`].
    pub fn reconstruct_probed(
        &self,
        images: &[E],
        masked: &[bool],
        probe: &mut impl Probe<E>,
    ) -> Result<Vec<E>> {
        let patches = self.masked_patches(images, masked)?;
        let latent = self.try_encode(patches, masked, probe);
        let made = latent.and_then(|latent| self.try_decode(latent, probe));
        Ok(made.map_err(Error::device)?.as_vec())
    }

    fn masked_patches(&self, images: &[E], masked: &[bool]) -> Result<Tokens<E, D>> {
        let patches = self.patches(images)?;
        let (b, count, _) = *patches.shape();
        if !masked.is_empty() && masked.len() != b * count {
            return Err(Error::shape(
                "the mask",
                format!("({b}, {count})"),
                format!("{} patches", masked.len()),
                "say of every patch whether it is masked",
            ));
        }
        Ok(patches)
    }
}

impl<E: Real, D: Runtime<E>> Network<E, D> for Autoencoder<E, D> {
    fn device(&self) -> &D {
        &self.device
    }

    fn visit_parameters(&mut self, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        // A visitor may change what it visits.
        self.embedding.weights = embedding::KernelWeights::default();
        self.visit_all(visitor)
    }
}
