//! A transformer's attention.

use dfdx::prelude::*;
use ndarray::{s, Array3};

use super::attention::{attend, give_linear, output_blocks, take_linear, AttentionCopy, Place};
use super::kernel::{Around, Copied, Kernel, Order};
use super::Form;
use crate::error::Result;
use crate::exact::coding_rate::bases_from_projection;
use crate::fused::attention::{self, Roles};
use crate::fused::stack;
use crate::mask::Mask;
use crate::model::doubles::widened;
use crate::model::linear::{project, Linear};
use crate::model::names::{visit_linear, Part, StepNames};
use crate::model::ordered::{values, Affine, Norm};
use crate::model::parameters::{visit, Visitor};
use crate::model::probe::{Probe, Site};
use crate::model::tape::swap;
use crate::model::tensor::{across_tokens, observe, Matrix, Tokens, Vector};
use crate::model::Real;

/// Multi-head self-attention of a transformer:
///
/// `MHSA(Z) = concat_k( softmax(Q_k K_k^T / sqrt(p)) V_k ) out^T + bias`, with a projection for each of
/// queries, keys and values.
#[derive(Debug, Clone)]
pub struct Mhsa<E: Dtype, D: Device<E>> {
    /// `[Q, K, V]^T`, shape (3 k p, d), one below the other.
    pub projection: Matrix<E, D>,
    /// Shape (3 k p,), in a ViT.
    pub projection_bias: Option<Vector<E, D>>,
    /// Output projection; none for a single head as wide as the token.
    pub output: Option<Linear<E, D>>,
    /// Heads, `K`.
    pub heads: usize,
    /// Which tokens a token reads.
    pub mask: Mask,
}

/// What fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// `K`.
    pub heads: usize,
    /// `p`.
    pub head_width: usize,
    /// Whether the projections have biases.
    pub projection_bias: bool,
    /// Whether there is an output projection.
    pub output: bool,
    /// Which tokens a token reads.
    pub mask: Mask,
}

impl Plan {
    /// `K p`.
    fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    pub(super) fn parameters(&self, d: u128) -> u128 {
        let inner = self.inner() as u128;
        let bias = if self.projection_bias { 3 * inner } else { 0 };
        let output = if self.output { inner * d + d } else { 0 };
        3 * inner * d + bias + output
    }

    /// Three projections, scores, mixing and the way back.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        let inner = self.inner() as u128;
        let projections = if self.output { 4 } else { 3 };
        projections * n * inner * d + 2 * n * n * inner
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Mhsa<E, D>, D::Err> {
        let rows = 3 * self.inner();
        Ok(Mhsa {
            projection: device.try_zeros_like(&(rows, d))?,
            projection_bias: match self.projection_bias {
                true => Some(device.try_zeros_like(&(rows,))?),
                false => None,
            },
            output: match self.output {
                true => Some(Linear::blank(device, self.inner(), d)?),
                false => None,
            },
            heads: self.heads,
            mask: self.mask,
        })
    }
}

impl<E: Real, D: Device<E>> Form<E, D> for Mhsa<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        place: Place,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (b, n, _) = *x.shape();
        let (rows, _) = *self.projection.shape();
        let inner = rows / 3;
        let mut all = project(x, &self.projection)?;
        if let Some(bias) = &self.projection_bias {
            all = all.try_add(across_tokens(bias, &(b, n, rows))?)?;
        }
        let shape = (b, n, self.heads, inner / self.heads);
        let keys = all
            .retaped::<T>()
            .try_slice((0..b, 0..n, inner..2 * inner))?
            .try_reshape_like(&(b, n, inner))?;
        observe(probe, Site::Keys(place.step), place.layer, &keys);
        let keys = keys
            .try_reshape_like(&shape)?
            .try_permute::<_, Axes4<0, 2, 3, 1>>()?;
        let values = all
            .retaped::<T>()
            .try_slice((0..b, 0..n, 2 * inner..rows))?
            .try_reshape_like(&(b, n, inner))?;
        observe(probe, Site::Projection(place.step), place.layer, &values);
        let values = values
            .try_reshape_like(&shape)?
            .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
        let queries = all
            .try_slice((0..b, 0..n, 0..inner))?
            .try_reshape_like(&shape)?
            .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
        let read = attend(queries, keys, values, self.mask, place, probe)?;
        match &self.output {
            Some(output) => output.try_forward(read),
            None => Ok(read),
        }
    }

    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (rows, fan_in) = *self.projection.shape();
        let [weight, bias] = names.linear(fan_in, rows);
        let name = names.weight(Part::Projection);
        let projection = &mut self.projection;
        visit(visitor, name, &[rows, fan_in], weight, projection)?;
        if let Some(tensor) = &mut self.projection_bias {
            visit(visitor, names.bias(Part::Projection), &[rows], bias, tensor)?;
        }
        match &mut self.output {
            Some(output) => visit_linear(visitor, names, Part::Output, output),
            None => Ok(()),
        }
    }

    fn heads(&self) -> Option<usize> {
        Some(self.heads)
    }

    /// Of the values.
    fn bases(&self) -> Result<Option<Array3<f64>>> {
        let all = widened(&self.projection)?;
        let first = all.nrows() / 3 * 2;
        let values = all.slice_move(s![first.., ..]);
        bases_from_projection(values.view(), self.heads).map(Some)
    }

    fn output_blocks(&self) -> Result<Option<Array3<f64>>> {
        let blocks = self.output.as_ref();
        let blocks = blocks.map(|output| output_blocks(output, self.heads));
        blocks.transpose()
    }
}

impl Mhsa<f32, Cpu> {
    /// Its kernel, which adds the block's input itself.
    pub(super) fn kernel(&self, skip: Option<f64>) -> Option<&dyn Kernel> {
        (skip? == 1.0).then_some(self as &dyn Kernel)
    }
}

impl Kernel for Mhsa<f32, Cpu> {
    fn copy(
        &self,
        around: Around<'_>,
        Order { direction, .. }: Order,
        _forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied> {
        let (rows, _) = *self.projection.shape();
        let linear = |linear| Affine::copy(linear, direction);
        Box::new(AttentionCopy {
            norm: Norm::copy(around.norm),
            projection: direction.panels(&values(&self.projection), rows),
            projection_bias: self.projection_bias.as_ref().map(values),
            output: self.output.as_ref().map(linear),
            heads: self.heads,
            head_width: rows / 3 / self.heads,
            roles: Roles::Three,
            mask: self.mask,
        })
    }

    fn take(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> std::result::Result<stack::Gradients, CpuError> {
        let mut held = attention::Gradients::default();
        swap(gradients, &self.projection, &mut held.projection)?;
        if let Some(bias) = &self.projection_bias {
            let held = held.projection_bias.get_or_insert_default();
            swap(gradients, bias, held)?;
        }
        if let Some(output) = &self.output {
            held.output = Some(take_linear(gradients, output)?);
        }
        Ok(stack::Gradients::Attention(held))
    }

    fn give(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> std::result::Result<(), CpuError> {
        let stack::Gradients::Attention(mut held) = held else {
            unreachable!("`take` gives those of attention");
        };
        swap(gradients, &self.projection, &mut held.projection)?;
        if let (Some(bias), Some(held)) = (&self.projection_bias, &mut held.projection_bias) {
            swap(gradients, bias, held)?;
        }
        match (&self.output, &mut held.output) {
            (Some(output), Some(held)) => give_linear(gradients, output, held),
            _ => Ok(()),
        }
    }
}
