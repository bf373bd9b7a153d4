//! Linear maps of tokens.

use dfdx::prelude::*;

use super::tensor::{across_tokens, Matrix, Tokens, Vector};
use super::Real;

/// `x W^T + bias`.
#[derive(Debug, Clone)]
pub struct Linear<E: Dtype, D: Device<E>> {
    /// Shape (out, in).
    pub weight: Matrix<E, D>,
    /// Shape (out,).
    pub bias: Vector<E, D>,
}

impl<E: Real, D: Device<E>> Linear<E, D> {
    /// Zeros, to be filled.
    pub(super) fn blank(device: &D, inputs: usize, outputs: usize) -> Result<Self, D::Err> {
        Ok(Self {
            weight: device.try_zeros_like(&(outputs, inputs))?,
            bias: device.try_zeros_like(&(outputs,))?,
        })
    }

    /// # Shapes
    /// (b, n, in) to (b, n, out).
    ///
    /// # Errors
    /// The device's own.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let y = project(x, &self.weight)?;
        let shape = *y.shape();
        y.try_add(across_tokens(&self.bias, &shape)?)
    }
}

/// `x W^T` for every token, as one product over all tokens of the batch.
///
/// # Shapes
/// x (b, n, in), weight (out, in); gives (b, n, out).
pub(super) fn project<E: Real, D: Device<E>, T: Tape<E, D>>(
    x: Tokens<E, D, T>,
    weight: &Matrix<E, D>,
) -> Result<Tokens<E, D, T>, D::Err> {
    let (b, n, inner) = *x.shape();
    let (out, _) = *weight.shape();
    x.try_reshape_like(&(b * n, inner))?
        .try_matmul(
            weight
                .retaped::<T>()
                .try_permute::<(usize, usize), Axes2<1, 0>>()?,
        )?
        .try_reshape_like(&(b, n, out))
}
