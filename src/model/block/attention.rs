//! What MSSA and MHSA share: one map a head, an output projection, and the kernel.

use dfdx::prelude::*;
use ndarray::Array3;

use super::kernel::Copied;
use crate::exact::coding_rate::bases_from_projection;
use crate::fused::attention::{self, Roles};
use crate::fused::buffer::Buffer;
use crate::fused::product::Panels;
use crate::fused::stack;
use crate::mask::Mask;
use crate::model::doubles::widened;
use crate::model::linear::Linear;
use crate::model::ordered::{Affine, Norm};
use crate::model::probe::{Probe, Site};
use crate::model::tape::swap;
use crate::model::tensor::{constant, Tokens};
use crate::model::Real;

/// Queries, keys or values of every head, shape (b, k, n, p); keys transposed, (b, k, p, n).
type Heads<E, D, T> = Tensor<(usize, usize, usize, usize), E, D, T>;

/// Where a block stands in its network.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// From 0.
    pub layer: usize,
    /// Within the layer, from 0.
    pub step: usize,
}

/// `softmax(Q K^T / sqrt(p)) V` of every head, side by side, shape (b, n, k p).
pub(super) fn attend<E: Real, D: Device<E>, T: Tape<E, D>>(
    queries: Heads<E, D, T>,
    keys: Heads<E, D, T>,
    values: Heads<E, D, T>,
    mask: Mask,
    place: Place,
    probe: &mut impl Probe<E>,
) -> Result<Tokens<E, D, T>, D::Err> {
    let (b, heads, n, p) = *queries.shape();
    let device = queries.device().clone();
    let attention = queries
        .try_matmul(keys)?
        .try_mul(constant::<E>((p as f64).powf(-0.5)))?;
    let attention = match mask {
        Mask::None => attention,
        Mask::Causal => attention.try_add(hidden::<E, D>(mask, &[b, heads, n], &device)?)?,
    };
    let attention = attention.try_softmax::<Axis<3>>()?;
    let site = Site::Attention(place.step);
    if probe.wants(site, place.layer) {
        let shape = [b, heads, n, n];
        probe.observe(site, place.layer, &shape, attention.as_vec());
    }
    attention
        .try_matmul(values)?
        .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?
        .try_reshape_like(&(b, n, heads * p))
}

/// What a score that no token may read is lowered by: far below any score, and still a number.
const HIDDEN: f64 = -1e30;

/// Zero where a token reads another, [`HIDDEN`] where it does not, (b, k, n, n).
fn hidden<E: Real, D: Device<E>>(
    mask: Mask,
    &[b, heads, n]: &[usize; 3],
    device: &D,
) -> Result<Heads<E, D, NoneTape>, D::Err> {
    let value = |index: usize| match mask.allows(index / n, index % n) {
        true => E::default(),
        false => constant(HIDDEN),
    };
    let values = (0..n * n).map(value).collect();
    device
        .try_tensor_from_vec(values, (n, n))?
        .try_broadcast_like::<_, Axes2<0, 1>>(&(b, heads, n, n))
}

/// `W_1, ..., W_K`, (K, d, p), of an output projection: it adds `sum_k W_k` times what head `k` made.
///
/// # Errors
/// [`crate::Error::Shape`] if the memory of its weight cannot be read as one matrix.
pub(super) fn output_blocks<E: Real, D: Device<E>>(
    output: &Linear<E, D>,
    heads: usize,
) -> crate::Result<Array3<f64>> {
    bases_from_projection(widened(&output.weight)?.t(), heads)
}

/// Parameters of an attention in the kernel's order.
#[derive(Debug)]
pub(super) struct AttentionCopy {
    pub(super) norm: Norm,
    pub(super) projection: Panels<'static>,
    pub(super) projection_bias: Option<Buffer>,
    pub(super) output: Option<Affine>,
    pub(super) heads: usize,
    pub(super) head_width: usize,
    pub(super) roles: Roles,
    pub(super) mask: Mask,
}

impl Copied for AttentionCopy {
    fn block(&self) -> stack::Block<'_> {
        stack::Block::Attention(attention::Weights {
            norm: self.norm.weights(),
            projection: &self.projection,
            projection_bias: self.projection_bias.as_deref(),
            output: self.output.as_ref().map(|o| (&o.matrix, &*o.bias)),
            heads: self.heads,
            head_width: self.head_width,
            roles: self.roles,
            mask: self.mask,
        })
    }
}

/// Takes dfdx's gradients of a linear map.
pub(super) fn take_linear(
    gradients: &mut Gradients<f32, Cpu>,
    linear: &Linear<f32, Cpu>,
) -> Result<(Vec<f32>, Vec<f32>), CpuError> {
    let mut held = Default::default();
    give_linear(gradients, linear, &mut held)?;
    Ok(held)
}

/// Exchanges them for those that are held.
pub(super) fn give_linear(
    gradients: &mut Gradients<f32, Cpu>,
    linear: &Linear<f32, Cpu>,
    (weight, bias): &mut (Vec<f32>, Vec<f32>),
) -> Result<(), CpuError> {
    swap(gradients, &linear.weight, weight)?;
    swap(gradients, &linear.bias, bias)
}
