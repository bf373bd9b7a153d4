//! The label-based rate of maximal coding rate reduction (book, chapter 3):
//!
//! `R^c(Z | Pi) = sum_k tr(Pi_k) / (2 N) logdet(I + d / (tr(Pi_k) eps^2) Z Pi_k Z^T)`,
//!
//! with diagonal, non-negative `Pi_k` that sum to the identity. A different object from
//! [`super::subspace_rate`]: it sees which token belongs where.

use ndarray::{Array2, ArrayView2};

use super::coding_rate::coding_rate;
use crate::error::{Error, Result};

/// `R^c(Z | Pi)`, nats.
///
/// # Shapes
/// z (d, N), membership (K, N), non-negative: row `k` is the diagonal of `Pi_k`.
///
/// # Errors
/// [`Error::Shape`] if the two do not fit, [`Error::Domain`] for a negative membership, and as
/// [`coding_rate`].
pub fn label_rate(
    z: ArrayView2<'_, f64>,
    membership: ArrayView2<'_, f64>,
    epsilon: f64,
) -> Result<f64> {
    let count = z.ncols();
    if membership.ncols() != count {
        return Err(Error::shape(
            "membership",
            format!("(K, {count})"),
            format!("{:?}", membership.dim()),
            "give one column per token",
        ));
    }
    if let Some((position, value)) = membership
        .indexed_iter()
        .find(|(_, v)| v.is_nan() || **v < 0.0)
    {
        return Err(Error::domain(
            "membership",
            "numbers >= 0",
            format!("{value} at {position:?}"),
            "give weights",
        ));
    }
    membership.outer_iter().try_fold(0.0, |total, weights| {
        let trace = weights.sum();
        if trace == 0.0 {
            return Ok(total);
        }
        // d / (tr eps^2) Z Pi Z^T is the rate's own d / (N eps^2) Y Y^T with Y = sqrt(N / tr) Z Pi^{1/2}.
        let roots = weights.mapv(|w| (w * count as f64 / trace).sqrt());
        let weighted: Array2<f64> = &z * &roots;
        let rate = coding_rate(weighted.view(), epsilon)?.value;
        Ok(total + trace / count as f64 * rate)
    })
}
