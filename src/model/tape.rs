//! What hooking a kernel into dfdx's tape takes: gradients in and out without a copy.

use dfdx::prelude::*;

use super::norm::LayerNorm;
use crate::fused::{lanes, layer_norm};

/// Exchanges dfdx's gradient of a tensor for what is held.
pub(super) fn swap<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
    held: &mut Vec<f32>,
) -> Result<(), CpuError> {
    std::mem::swap(&mut **gradients.get_or_alloc_mut(tensor)?, held);
    Ok(())
}

/// The same for a LayerNorm's two.
pub(super) fn swap_norm(
    gradients: &mut Gradients<f32, Cpu>,
    norm: &LayerNorm<f32, Cpu>,
    held: &mut layer_norm::Gradients,
) -> Result<(), CpuError> {
    swap(gradients, &norm.gain, &mut held.gain)?;
    swap(gradients, &norm.bias, &mut held.bias)
}

/// Adds to dfdx's gradient of a tensor.
pub(super) fn add<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
    derivative: &[f32],
) -> Result<(), CpuError> {
    lanes::add_to(gradients.get_or_alloc_mut(tensor)?, derivative);
    Ok(())
}
