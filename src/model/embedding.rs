//! From patches to tokens: linear map, class token, positions; in CRATE's classifiers (official `to_patch_embedding`,
//! `cls_token`, `pos_embedding`) with a LayerNorm before and after the map, in autoencoders with a token in place of
//! the patches that are masked and positions that are a table.

use std::sync::{Arc, OnceLock};

use dfdx::prelude::*;

use super::config::Config;
use super::kernel_weights::get;
use super::linear::Linear;
use super::norm::LayerNorm;
use super::ordered::{values, Affine, Direction, Norm};
use super::tensor::{constant, Matrix, Tokens, Vector};
use super::Real;
use crate::fused::buffer::Buffer;
use crate::fused::embedding;

/// The embedding's parameters.
#[derive(Debug, Clone)]
pub struct Embedding<E: Dtype, D: Device<E>> {
    /// Of the patches, if there is one.
    pub patch_norm: Option<LayerNorm<E, D>>,
    /// Patch width to d.
    pub linear: Linear<E, D>,
    /// Of the embedded patches, if there is one.
    pub norm: Option<LayerNorm<E, D>>,
    /// Shape (d,).
    pub class_token: Vector<E, D>,
    /// What stands in place of a masked patch, shape (d,), where patches can be masked.
    pub mask_token: Option<Vector<E, D>>,
    /// Shape (n, d), class token first.
    pub position: Matrix<E, D>,
    /// Whether positions are learned: no gradient is found for a table.
    pub learns_position: bool,
    /// What the kernels read, made when it is first asked for.
    pub(super) weights: KernelWeights,
}

impl<E: Real, D: Device<E>> Embedding<E, D> {
    /// That of a classifier, to be filled.
    pub(super) fn of_classifier(device: &D, config: &Config) -> Result<Self, D::Err> {
        let d = config.d;
        let norm = |features| match config.architecture.embeds_by_convolution() {
            true => Ok(None),
            false => LayerNorm::identity(device, features, config.layer_norm_epsilon()).map(Some),
        };
        let plain = Self::plain(device, config.patch_width(), config.tokens(), d)?;
        Ok(Self {
            patch_norm: norm(config.patch_width())?,
            norm: norm(d)?,
            ..plain
        })
    }

    /// Without LayerNorms or mask token, to be filled.
    pub(super) fn plain(
        device: &D,
        patch_width: usize,
        tokens: usize,
        d: usize,
    ) -> Result<Self, D::Err> {
        Ok(Self {
            patch_norm: None,
            linear: Linear::blank(device, patch_width, d)?,
            norm: None,
            class_token: device.try_zeros_like(&(d,))?,
            mask_token: None,
            position: device.try_zeros_like(&(tokens, d))?,
            learns_position: true,
            weights: KernelWeights::default(),
        })
    }

    /// By dfdx operations. Of the patches, those that are `masked` make way for the mask token: all patches of the batch
    /// in order, or an empty slice for none.
    ///
    /// # Shapes
    /// patches (b, n - 1, patch width) to (b, n, d).
    ///
    /// # Errors
    /// The device's own.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        patches: Tokens<E, D, T>,
        masked: &[bool],
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let (b, n, _) = *patches.shape();
        let (_, d) = *self.position.shape();
        let normalise = |norm: &Option<LayerNorm<E, D>>, x| match norm {
            Some(norm) => norm.try_forward(x),
            None => Ok(x),
        };
        let x = normalise(&self.patch_norm, patches)?;
        let x = self.linear.try_forward(x)?;
        let mut x = normalise(&self.norm, x)?;
        if let (Some(token), false) = (&self.mask_token, masked.is_empty()) {
            let share = |kept: bool| -> Result<Tokens<E, D>, D::Err> {
                let share = |&masked: &bool| constant(f64::from(u8::from(masked != kept)));
                let shares = masked.iter().map(share).collect();
                let shares = x.device().try_tensor_from_vec(shares, (b, n))?;
                shares.try_broadcast_like::<_, Axis<2>>(&(b, n, d))
            };
            let [shown, hidden] = [share(true)?, share(false)?];
            let token = token
                .retaped::<T>()
                .try_broadcast_like::<_, Axes2<0, 1>>(&(b, n, d))?;
            x = x.try_mul(shown)?.try_add(token.try_mul(hidden)?)?;
        }
        let class_token = self
            .class_token
            .retaped::<T>()
            .try_broadcast_like::<_, Axes2<0, 1>>(&(b, 1, d))?;
        let x = (class_token, x).try_concat_along(Axis::<1>)?;
        let shape = *x.shape();
        let position = self
            .position
            .retaped::<T>()
            .try_broadcast_like::<_, Axis<0>>(&shape)?;
        x.try_add(position)
    }
}

impl Embedding<f32, Cpu> {
    /// The parameters as the kernels read them.
    pub(super) fn ordered(&self, direction: Direction) -> Arc<Ordered> {
        let cell = &self.weights.0[direction as usize];
        get(cell, || Arc::new(Ordered::copy(self, direction)))
    }
}

/// What was made so far of the parameters: whoever changes one has to start from [`KernelWeights::default`] again.
#[derive(Debug, Clone, Default)]
pub(super) struct KernelWeights(Arc<[OnceLock<Arc<Ordered>>; 2]>);

/// The parameters in the kernel's order.
#[derive(Debug)]
pub(super) struct Ordered {
    norms: [Option<Norm>; 2],
    linear: Affine,
    class_token: Buffer,
    mask_token: Option<Buffer>,
    position: Buffer,
}

impl Ordered {
    fn copy(embedding: &Embedding<f32, Cpu>, direction: Direction) -> Self {
        let norm = |n: &Option<LayerNorm<f32, Cpu>>| n.as_ref().map(Norm::copy);
        Self {
            norms: [norm(&embedding.patch_norm), norm(&embedding.norm)],
            linear: Affine::copy(&embedding.linear, direction),
            class_token: values(&embedding.class_token),
            mask_token: embedding.mask_token.as_ref().map(values),
            position: values(&embedding.position),
        }
    }

    pub(super) fn weights(&self) -> embedding::Weights<'_> {
        let norm = |index: usize| self.norms[index].as_ref().map(Norm::weights);
        embedding::Weights {
            patch_norm: norm(0),
            weight: &self.linear.matrix,
            bias: &self.linear.bias,
            norm: norm(1),
            class_token: &self.class_token,
            mask_token: self.mask_token.as_deref(),
            position: &self.position,
        }
    }
}
