//! Patches to tokens: LayerNorm, linear map, LayerNorm, class token, positions (official
//! `to_patch_embedding`, `cls_token`, `pos_embedding`). A ViT has neither LayerNorm.

use dfdx::prelude::*;

use super::config::{Architecture, Config};
use super::linear::Linear;
use super::norm::LayerNorm;
use super::tensor::{Matrix, Tokens, Vector};
use super::Real;

/// The embedding's parameters.
#[derive(Debug, Clone)]
pub struct Embedding<E: Dtype, D: Device<E>> {
    /// Of the patches; none in a ViT.
    pub patch_norm: Option<LayerNorm<E, D>>,
    /// Patch width to d.
    pub linear: Linear<E, D>,
    /// Of the embedded patches; none in a ViT.
    pub norm: Option<LayerNorm<E, D>>,
    /// Shape (d,).
    pub class_token: Vector<E, D>,
    /// Shape (n, d), class token first.
    pub position: Matrix<E, D>,
}

impl<E: Real, D: Device<E>> Embedding<E, D> {
    pub(super) fn blank(device: &D, config: &Config) -> Result<Self, D::Err> {
        let d = config.d;
        let norm = |features| match config.architecture {
            Architecture::Vit => Ok(None),
            _ => LayerNorm::identity(device, features, config.layer_norm_epsilon()).map(Some),
        };
        Ok(Self {
            patch_norm: norm(config.patch_width())?,
            linear: Linear::blank(device, config.patch_width(), d)?,
            norm: norm(d)?,
            class_token: device.try_zeros_like(&(d,))?,
            position: device.try_zeros_like(&(config.tokens(), d))?,
        })
    }

    /// By dfdx operations.
    ///
    /// # Shapes
    /// patches (b, n - 1, patch width) to (b, n, d).
    ///
    /// # Errors
    /// The device's own.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        patches: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let (b, _, _) = *patches.shape();
        let (_, d) = *self.position.shape();
        let normalise = |norm: &Option<LayerNorm<E, D>>, x| match norm {
            Some(norm) => norm.try_forward(x),
            None => Ok(x),
        };
        let x = normalise(&self.patch_norm, patches)?;
        let x = self.linear.try_forward(x)?;
        let x = normalise(&self.norm, x)?;
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
