//! LayerNorm.

use dfdx::prelude::*;

use super::tensor::{across_tokens, Tokens, Vector};
use super::Real;

/// `LN(z) = (z - mean(z)) / sqrt(var(z) + epsilon) * gain + bias`, over the features of each token.
#[derive(Debug, Clone)]
pub struct LayerNorm<E: Dtype, D: Device<E>> {
    /// Shape (features,).
    pub gain: Vector<E, D>,
    /// Shape (features,).
    pub bias: Vector<E, D>,
    /// Additive constant under the root.
    pub epsilon: f64,
}

impl<E: Real, D: Device<E>> LayerNorm<E, D> {
    pub(super) fn identity(device: &D, features: usize, epsilon: f64) -> Result<Self, D::Err> {
        Ok(Self {
            gain: device.try_ones_like(&(features,))?,
            bias: device.try_zeros_like(&(features,))?,
            epsilon,
        })
    }

    /// # Shapes
    /// (b, n, features) to the same.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let shape = *x.shape();
        let gain = across_tokens(&self.gain, &shape)?;
        let bias = across_tokens(&self.bias, &shape)?;
        x.try_normalize::<Axis<2>>(self.epsilon)?
            .try_mul(gain)?
            .try_add(bias)
    }
}
