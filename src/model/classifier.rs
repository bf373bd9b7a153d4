//! The classifiers: CRATE (NeurIPS 2023, section 2; official `model/crate.py`), the ViT it is compared with
//! (official `model/vit.py`), what lies between, and the encoders of autoencoders under a head.
//!
//! patches -> LayerNorm -> linear -> LayerNorm -> class token and positions -> L layers ->
//! class token (or mean) -> LayerNorm -> linear. ViTs and encoders have no LayerNorm before their layers.

use dfdx::prelude::*;

use super::block::Layer;
use super::config::{Architecture, Config, Pool};
use super::embedding::{self, Embedding};
use super::kernels::Execution;
use super::linear::Linear;
use super::norm::LayerNorm;
use super::parameters::{Collect, Initialise, Restore, Values, Visitor};
use super::patches::{Patches, OTHER_IMAGES};
use super::probe::{NoProbe, Probe};
use super::runtime::Runtime;
use super::stack::Stack;
use super::tensor::Tokens;
use super::Real;
use crate::data::Images;
use crate::error::{Error, Result};

/// Logits of a batch, shape (b, classes).
pub type Logits<E, D, T = NoneTape> = Tensor<(usize, usize), E, D, T>;

/// Numbers in the tokens of the images that go through the layers at once in a pass forward.
const PIECE: usize = 1 << 16;

/// The network. Build one with [`Classifier::new`] or read one from a checkpoint.
#[derive(Debug, Clone)]
pub struct Classifier<E: Dtype, D: Device<E>> {
    pub(super) config: Config,
    execution: Execution,
    device: D,
    pub(super) embedding: Embedding<E, D>,
    pub(super) stack: Stack<E, D>,
    pub(super) head_norm: LayerNorm<E, D>,
    pub(super) head: Linear<E, D>,
}

impl<E: Real, D: Runtime<E>> Classifier<E, D> {
    /// A network with the official random initialisation.
    ///
    /// # Errors
    /// [`Error::Argument`] for impossible sizes, [`Error::Device`] if memory runs out.
    pub fn new(config: Config, seed: u64, device: &D) -> Result<Self> {
        let mut network = Self::blank(config, device)?;
        network.visit_parameters(&mut Initialise { seed })?;
        Ok(network)
    }

    /// A network whose parameters are still to be filled.
    pub(super) fn blank(config: Config, device: &D) -> Result<Self> {
        config.check()?;
        Self::try_blank(config, device).map_err(Error::device)
    }

    fn try_blank(config: Config, device: &D) -> std::result::Result<Self, D::Err> {
        let d = config.d;
        Ok(Self {
            config,
            execution: Execution::Fastest,
            device: device.clone(),
            embedding: Embedding::of_classifier(device, &config)?,
            stack: Stack::blank(device, d, config.depth, &config.layer())?,
            head_norm: LayerNorm::identity(device, d, config.head_norm_epsilon())?,
            head: Linear::blank(device, d, config.classes)?,
        })
    }

    /// Sizes and constants.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same network, run by another implementation.
    pub fn with_execution(mut self, execution: Execution) -> Self {
        self.execution = execution;
        self
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The same network on another device.
    ///
    /// # Errors
    /// [`Error::Device`] if its memory runs out.
    pub fn on<F: Runtime<E>>(&self, device: &F) -> Result<Classifier<E, F>> {
        let mut network = Classifier::blank(self.config, device)?;
        network.set_parameters(&self.parameters())?;
        Ok(network)
    }

    /// Refuses images that the network cannot read.
    ///
    /// # Errors
    /// [`Error::Shape`] naming both.
    pub fn check_fit(&self, images: &Images) -> Result<()> {
        Patches::of(&self.config).check_channels(images)?;
        if images.classes > self.config.classes {
            return Err(Error::shape(
                format!("classes of {}", images.name),
                format!("at most {}", self.config.classes),
                images.classes.to_string(),
                OTHER_IMAGES,
            ));
        }
        Ok(())
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer<E, D>] {
        self.stack.layers()
    }

    /// Takes every parameter in turn, under its official name.
    ///
    /// # Errors
    /// The visitor's own.
    pub fn visit_parameters(&mut self, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        // A visitor may change what it visits.
        self.embedding.weights = embedding::KernelWeights::default();
        self.visit_all(visitor)
    }

    /// All parameters, in the order of [`Classifier::visit_parameters`].
    pub fn parameters(&self) -> Vec<Values<E>> {
        let mut collect = Collect(Vec::new());
        // Tensors are shared, so the clone is cheap, and collecting cannot fail.
        let _ = self.clone().visit_parameters(&mut collect);
        collect.0
    }

    /// Overwrites all parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] if `values` come from a network of other sizes.
    pub fn set_parameters(&mut self, values: &[Values<E>]) -> Result<()> {
        self.visit_parameters(&mut Restore(values.iter()))
    }

    /// Logits, shape (b, classes), row-major.
    ///
    /// # Arguments
    /// `images`: (b, channels, height, width), row-major, already normalised.
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, [`Error::Device`].
    pub fn forward(&self, images: &[E]) -> Result<Vec<E>> {
        self.forward_probed(images, &mut NoProbe)
    }

    /// The tokens that leave the last layer, class token first, each through the LayerNorm that the head reads through:
    /// features. Those of an autoencoder's encoder are those of [`super::Autoencoder::encode`] of whole images.
    ///
    /// # Shapes
    /// images (b, channels, height, width), row-major and normalised; gives (b, n, d).
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, [`Error::Device`].
    pub fn encode(&self, images: &[E]) -> Result<Vec<E>> {
        let patches = self.patches(images)?;
        let z = self.try_tokens(patches, self.layers().len(), &mut NoProbe);
        let z = z.and_then(|z| match self.execution {
            Execution::Fastest => D::try_normalise(&self.head_norm, z),
            Execution::Composed => self.head_norm.try_forward(z),
        });
        Ok(z.map_err(Error::device)?.as_vec())
    }

    /// [`Classifier::forward`] with the images spread over threads; the logits do not depend on
    /// their number.
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, [`Error::Device`].
    pub fn forward_on(&self, images: &[E], threads: usize) -> Result<Vec<E>> {
        if !D::is_shared() {
            return self.forward(images);
        }
        let image = Patches::of(&self.config).image();
        // Equal pieces for every thread, small enough for its cache; what is left over is shared out inside the
        // kernels.
        let count = images.len() / image;
        let threads = threads.max(1);
        let rounds = count - count % threads;
        let numbers = self.config.tokens() * self.config.d;
        let piece = (rounds / threads).clamp(1, (PIECE / numbers).max(1));
        let (whole, rest) = images.split_at(rounds * image);
        let pieces: Vec<&[E]> = whole.chunks(piece * image).collect();
        let forward = |network: &Self, piece: usize| network.forward(pieces[piece]);
        let mut logits = D::run_pieces(self, pieces.len(), threads, forward, Ok)?.concat();
        if !rest.is_empty() || rounds == 0 {
            let rest = D::within(threads, &mut self.clone(), |network| network.forward(rest));
            logits.extend(rest??);
        }
        Ok(logits)
    }

    /// [`Classifier::forward`] with a look at the intermediates.
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, [`Error::Device`].
    pub fn forward_probed(&self, images: &[E], probe: &mut impl Probe<E>) -> Result<Vec<E>> {
        let patches = self.patches(images)?;
        let logits = self
            .try_forward_patches::<NoneTape>(patches, probe)
            .map_err(Error::device)?;
        Ok(logits.as_vec())
    }

    /// Images (b, channels, height, width), cut as the network reads them, (b, patches, patch width).
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of images, [`Error::Device`].
    pub fn patches(&self, images: &[E]) -> Result<Tensor<(usize, usize, usize), E, D>> {
        let patches = Patches::of(&self.config);
        let shape = (
            patches.images(images.len())?,
            patches.count(),
            patches.width(),
        );
        let tensor = self.device.try_tensor_from_vec(patches.cut(images)?, shape);
        tensor.map_err(Error::device)
    }

    /// Logits (b, classes) of patches (b, patches, patch width), on the tape that `patches` has.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_forward_patches<T: Tape<E, D>>(
        &self,
        patches: Tensor<(usize, usize, usize), E, D, T>,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Logits<E, D, T>, D::Err> {
        let z = self.try_tokens(patches, 0, probe)?;
        self.try_logits(z, 0, probe)
    }

    /// The tokens (b, n, d) that enter layer `layer`, from 0.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_tokens<T: Tape<E, D>>(
        &self,
        patches: Tensor<(usize, usize, usize), E, D, T>,
        layer: usize,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let z = match self.execution {
            Execution::Fastest => D::try_embed(&self.embedding, patches, &[])?,
            Execution::Composed => self.embedding.try_forward(patches, &[])?,
        };
        self.stack.try_forward(0..layer, self.execution, z, probe)
    }

    /// Logits (b, classes) of the tokens (b, n, d) that enter layer `layer`, from 0.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_logits<T: Tape<E, D>>(
        &self,
        z: Tokens<E, D, T>,
        layer: usize,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Logits<E, D, T>, D::Err> {
        let ((b, _, _), d) = (*z.shape(), self.config.d);
        let range = layer..self.layers().len();
        let z = self.stack.try_forward(range, self.execution, z, probe)?;
        let architecture = self.config.architecture;
        let pooled = match self.config.pool {
            Pool::Cls => z.try_slice((0..b, 0..1, 0..d))?,
            Pool::Mean => {
                // A ViT's official code leaves the class token out, CRATE's does not.
                let first = usize::from(architecture.is_vit());
                z.try_slice((0..b, first..self.config.tokens(), 0..d))?
                    .try_mean::<(usize, usize), Axis<1>>()?
                    .try_reshape_like(&(b, 1, d))?
            }
        };
        let mut normalised = self.head_norm.try_forward(pooled)?;
        if architecture == Architecture::Vit && self.config.pool == Pool::Mean {
            // The official code passes the mean through the same LayerNorm twice.
            normalised = self.head_norm.try_forward(normalised)?;
        }
        let logits = self.head.try_forward(normalised)?;
        logits.try_reshape_like(&(b, self.config.classes))
    }
}
