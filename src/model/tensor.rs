//! Tensors of tokens and weights, and what all composed forms do with them.
//!
//! Rows are tokens: a batch is (b, n, d). A weight keeps PyTorch's shape (out, in).

use dfdx::prelude::*;

use super::probe::{Probe, Site};
use super::Real;

/// A batch of token matrices, shape (b, n, features).
pub type Tokens<E, D, T = NoneTape> = Tensor<(usize, usize, usize), E, D, T>;
/// A weight matrix, shape (out, in).
pub type Matrix<E, D> = Tensor<(usize, usize), E, D>;
/// A bias or gain.
pub type Vector<E, D> = Tensor<(usize,), E, D>;
/// A single number.
pub type Scalar<E, D> = Tensor<Rank0, E, D>;

/// Converts a constant of the papers to the number type of the network.
pub(super) fn constant<E: Real>(value: f64) -> E {
    // f64 to f32 or f64 always succeeds.
    <E as num_traits::NumCast>::from(value).unwrap_or_else(E::nan)
}

/// The same vector for every token of a batch of shape (b, n, features).
pub(super) fn across_tokens<E: Real, D: Device<E>>(
    vector: &Vector<E, D>,
    shape: &(usize, usize, usize),
) -> Result<Tokens<E, D>, D::Err> {
    vector.clone().try_broadcast_like::<_, Axes2<0, 1>>(shape)
}

/// Hands the probe the tokens of a site, if it wants them.
pub(super) fn observe<E: Real, D: Device<E>, T>(
    probe: &mut impl Probe<E>,
    site: Site,
    layer: usize,
    tokens: &Tokens<E, D, T>,
) {
    if probe.wants(site, layer) {
        let (b, n, features) = *tokens.shape();
        probe.observe(site, layer, &[b, n, features], tokens.as_vec());
    }
}
