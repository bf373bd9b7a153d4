//! Compression: multi-head subspace self-attention.

use dfdx::prelude::*;
use ndarray::Array3;

use super::attention::{attend, give_linear, output_blocks, take_linear, AttentionCopy, Place};
use super::kernel::{Around, Copied, Kernel, Order};
use super::Form;
use crate::error::Result;
use crate::exact::coding_rate::bases_from_projection;
use crate::fused::attention::{self, Roles};
use crate::fused::stack;
use crate::mask::Mask;
use crate::model::doubles::{number, widened};
use crate::model::linear::{project, Linear};
use crate::model::names::{visit_linear, Part, StepNames};
use crate::model::ordered::{values, Affine, Norm};
use crate::model::parameters::{visit, Init, Visitor};
use crate::model::probe::{Probe, Site};
use crate::model::tape::{add, swap};
use crate::model::tensor::{constant, observe, Matrix, Scalar, Tokens};
use crate::model::{tied, Real};

/// Multi-head subspace self-attention in the form of the official code:
///
/// `MSSA(Z) = concat_k( softmax(W_k W_k^T / sqrt(p)) W_k ) out^T + bias`, `W_k = Z U_k`,
///
/// one projection for queries, keys and values. The paper's form (NeurIPS 2023, eq. 12) has
/// `out = U` up to a factor; the code learns it freely. [`Output`] has both.
#[derive(Debug, Clone)]
pub struct Mssa<E: Dtype, D: Device<E>> {
    /// `[U_1, ..., U_K]^T`, shape (k p, d). Official name `qkv.weight`.
    pub subspace_bases: Matrix<E, D>,
    /// What takes the heads back to a token.
    pub output: Output<E, D>,
    /// Heads, `K`.
    pub heads: usize,
    /// Which tokens a token reads.
    pub mask: Mask,
}

/// What takes the heads of MSSA, side by side, back to a token.
#[derive(Debug, Clone)]
pub enum Output<E: Dtype, D: Device<E>> {
    /// Nothing: for a single head as wide as the token.
    Identity,
    /// A linear map of its own, as in the official code. Official name `to_out.0`.
    Free(Linear<E, D>),
    /// `s [U_1, ..., U_K]`, without bias, as in the derivation: only the scale `s` is learned beside the bases.
    /// With `M = sum_k U_k SSA(Z | U_k)`, the block adds `s M`.
    Tied(Scalar<E, D>),
}

/// What fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// `K`.
    pub heads: usize,
    /// `p`.
    pub head_width: usize,
    /// What takes the heads back to a token.
    pub output: OutputKind,
    /// Which tokens a token reads.
    pub mask: Mask,
}

/// See [`Output`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// Nothing.
    Identity,
    /// A linear map.
    Free,
    /// The bases, times a learned scale.
    Tied,
}

impl Plan {
    /// `K p`.
    fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    pub(super) fn parameters(&self, d: u128) -> u128 {
        let inner = self.inner() as u128;
        let output = match self.output {
            OutputKind::Identity => 0,
            OutputKind::Free => inner * d + d,
            OutputKind::Tied => 1,
        };
        inner * d + output
    }

    /// Projection, scores, mixing and the way back.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        let inner = self.inner() as u128;
        let output = match self.output {
            OutputKind::Identity => 0,
            OutputKind::Free | OutputKind::Tied => n * inner * d,
        };
        n * inner * d + 2 * n * n * inner + output
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Mssa<E, D>, D::Err> {
        Ok(Mssa {
            subspace_bases: device.try_zeros_like(&(self.inner(), d))?,
            output: match self.output {
                OutputKind::Identity => Output::Identity,
                OutputKind::Free => Output::Free(Linear::blank(device, self.inner(), d)?),
                OutputKind::Tied => Output::Tied(device.try_zeros()?),
            },
            heads: self.heads,
            mask: self.mask,
        })
    }
}

impl<E: Real, D: Device<E>> Form<E, D> for Mssa<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        place: Place,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (b, n, _) = *x.shape();
        let (inner, _) = *self.subspace_bases.shape();
        let p = inner / self.heads;
        let projected = project(x, &self.subspace_bases)?;
        for site in [Site::Projection(place.step), Site::Keys(place.step)] {
            observe(probe, site, place.layer, &projected);
        }
        let w = projected
            .try_reshape_like(&(b, n, self.heads, p))?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?;
        // A permuted tensor keeps its id, and dfdx cannot run the backward pass of a product of
        // a tensor with itself: adding zero gives the keys an identity of their own.
        let keys = w
            .retaped::<T>()
            .try_add(constant::<E>(0.0))?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 1, 3, 2>>()?;
        let read = attend(w.retaped::<T>(), keys, w, self.mask, place, probe)?;
        match &self.output {
            Output::Identity => Ok(read),
            Output::Free(output) => output.try_forward(read),
            Output::Tied(scale) => {
                let (_, d) = *self.subspace_bases.shape();
                read.try_reshape_like(&(b * n, inner))?
                    .try_matmul(self.subspace_bases.retaped::<T>())?
                    .try_reshape_like(&(b, n, d))?
                    .try_mul(
                        scale
                            .clone()
                            .try_broadcast_like::<_, Axes3<0, 1, 2>>(&(b, n, d))?,
                    )
            }
        }
    }

    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (rows, fan_in) = *self.subspace_bases.shape();
        let [weight, _] = names.linear(fan_in, rows);
        let name = names.weight(Part::Projection);
        let bases = &mut self.subspace_bases;
        visit(visitor, name, &[rows, fan_in], weight, bases)?;
        match &mut self.output {
            Output::Identity => Ok(()),
            Output::Free(output) => visit_linear(visitor, names, Part::Output, output),
            Output::Tied(scale) => {
                let first = Init::Constant(tied::initial_scale(rows, fan_in));
                visit(visitor, names.of(Part::OutputScale), &[1], first, scale)
            }
        }
    }

    fn heads(&self) -> Option<usize> {
        Some(self.heads)
    }

    fn bases(&self) -> Result<Option<Array3<f64>>> {
        let projection = widened(&self.subspace_bases)?;
        bases_from_projection(projection.view(), self.heads).map(Some)
    }

    fn output_blocks(&self) -> Result<Option<Array3<f64>>> {
        match &self.output {
            Output::Identity => Ok(None),
            Output::Free(output) => output_blocks(output, self.heads).map(Some),
            Output::Tied(scale) => Ok(self.bases()?.map(|bases| bases * number(scale))),
        }
    }

    fn tied_scale(&self) -> Option<f64> {
        match &self.output {
            Output::Tied(scale) => Some(number(scale)),
            Output::Identity | Output::Free(_) => None,
        }
    }
}

impl Mssa<f32, Cpu> {
    /// Its kernel, which adds the block's input itself.
    pub(super) fn kernel(&self, skip: Option<f64>) -> Option<&dyn Kernel> {
        let scaled = skip? != 1.0;
        (!(scaled && matches!(self.output, Output::Identity))).then_some(self as &dyn Kernel)
    }
}

impl Kernel for Mssa<f32, Cpu> {
    fn copy(
        &self,
        around: Around<'_>,
        Order { direction, .. }: Order,
        _forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied> {
        let (inner, d) = *self.subspace_bases.shape();
        let projection = values(&self.subspace_bases);
        let weight = around.weight();
        let output = match &self.output {
            Output::Identity => None,
            Output::Free(linear) if weight == 1.0 => Some(Affine::copy(linear, direction)),
            Output::Free(linear) => Some(Affine::scaled(linear, weight, direction)),
            Output::Tied(scale) => {
                let scale = weight * scale.array();
                Some(Affine::tied(&projection, scale, d, direction))
            }
        };
        Box::new(AttentionCopy {
            norm: Norm::copy(around.norm),
            projection: direction.panels(&projection, inner),
            projection_bias: None,
            output,
            heads: self.heads,
            head_width: inner / self.heads,
            roles: Roles::One,
            mask: self.mask,
        })
    }

    fn take(
        &self,
        around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> std::result::Result<stack::Gradients, CpuError> {
        let mut held = attention::Gradients::default();
        swap(gradients, &self.subspace_bases, &mut held.projection)?;
        held.output = match &self.output {
            Output::Identity => None,
            Output::Free(linear) if around.weight() == 1.0 => Some(take_linear(gradients, linear)?),
            Output::Free(_) | Output::Tied(_) => {
                let (inner, d) = *self.subspace_bases.shape();
                Some((vec![0.0; inner * d], vec![0.0; d]))
            }
        };
        Ok(stack::Gradients::Attention(held))
    }

    fn give(
        &self,
        around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> std::result::Result<(), CpuError> {
        let stack::Gradients::Attention(mut held) = held else {
            unreachable!("`take` gives those of attention");
        };
        swap(gradients, &self.subspace_bases, &mut held.projection)?;
        let Some(mut found) = held.output else {
            return Ok(());
        };
        let weight = around.weight();
        match &self.output {
            Output::Identity => Ok(()),
            Output::Free(linear) if weight == 1.0 => give_linear(gradients, linear, &mut found),
            Output::Free(linear) => {
                let (by_weight, by_bias) = &mut found;
                for value in by_weight.iter_mut().chain(by_bias.iter_mut()) {
                    *value *= weight;
                }
                add(gradients, &linear.weight, by_weight)?;
                add(gradients, &linear.bias, by_bias)
            }
            Output::Tied(scale) => {
                let (_, d) = *self.subspace_bases.shape();
                let bases = values(&self.subspace_bases);
                let (by_bases, by_scale) =
                    tied::adjoint(&found.0, &bases, weight * scale.array(), d);
                add(gradients, &self.subspace_bases, &by_bases)?;
                add(gradients, scale, &[weight * by_scale])
            }
        }
    }
}
