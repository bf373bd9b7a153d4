//! Copies of parameters in the order in which the kernels read them.

use dfdx::prelude::*;

use super::linear::Linear;
use super::norm::LayerNorm;
use crate::fused::buffer::Buffer;
use crate::fused::layer_norm;
use crate::fused::product::{Matrix, Panels};

/// Which of the two products with a matrix is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// `X A^T`.
    Forward,
    /// `G A`.
    Adjoint,
}

impl Direction {
    /// A matrix `A` of weights, (m, n), in the order of its product.
    pub(super) fn panels(self, weights: &[f32], m: usize) -> Panels<'static> {
        self.in_order(Matrix::new(weights, m, weights.len() / m))
    }

    fn in_order(self, matrix: Matrix<'_>) -> Panels<'static> {
        Panels::of(match self {
            Self::Forward => matrix.t(),
            Self::Adjoint => matrix,
        })
    }
}

/// The numbers of a contiguous tensor.
pub(super) fn values<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Buffer {
    let mut values = Buffer::unfilled(tensor.shape().num_elements());
    tensor.copy_into(&mut values);
    values
}

/// A LayerNorm's parameters.
#[derive(Debug)]
pub(super) struct Norm {
    gain: Buffer,
    bias: Buffer,
    epsilon: f64,
}

impl Norm {
    pub(super) fn copy(norm: &LayerNorm<f32, Cpu>) -> Self {
        Self {
            gain: values(&norm.gain),
            bias: values(&norm.bias),
            epsilon: norm.epsilon,
        }
    }

    pub(super) fn weights(&self) -> layer_norm::Weights<'_> {
        layer_norm::Weights {
            gain: &self.gain,
            bias: &self.bias,
            epsilon: self.epsilon as f32,
        }
    }
}

/// Matrix and bias of a linear map.
#[derive(Debug)]
pub(super) struct Affine {
    pub(super) matrix: Panels<'static>,
    pub(super) bias: Buffer,
}

impl Affine {
    pub(super) fn copy(linear: &Linear<f32, Cpu>, direction: Direction) -> Self {
        let bias = values(&linear.bias);
        Self {
            matrix: direction.panels(&values(&linear.weight), bias.len()),
            bias,
        }
    }

    /// `scale` times the map.
    pub(super) fn scaled(linear: &Linear<f32, Cpu>, scale: f32, direction: Direction) -> Self {
        let (mut weight, mut bias) = (values(&linear.weight), values(&linear.bias));
        for value in weight.iter_mut().chain(bias.iter_mut()) {
            *value *= scale;
        }
        Self {
            matrix: direction.panels(&weight, bias.len()),
            bias,
        }
    }

    /// `s U` without bias, where `bases` are `U^T`, (n, d).
    pub(super) fn tied(bases: &[f32], scale: f32, d: usize, direction: Direction) -> Self {
        let scaled: Vec<f32> = bases.iter().map(|u| scale * u).collect();
        let transposed = Matrix::new(&scaled, scaled.len() / d, d);
        Self {
            matrix: direction.in_order(transposed.t()),
            bias: Buffer::zeroed(d),
        }
    }
}
