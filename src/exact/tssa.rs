//! Token statistics self-attention (ToST, arXiv 2412.17810; book, chapter 4): descent on a
//! variational bound of the compression term that needs second moments of features only, so that
//! its cost is linear in the number of tokens.
//!
//! `R^var(Z, Pi | U) = sum_k tr(Pi_k) / (2 N) sum_i f( ((U_k^T Z)^{o2} pi_k / tr(Pi_k))_i )`,
//! `f(x) = ln(1 + d x / eps^2)`, with `pi_k` the weights of the tokens in group `k`.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3};

/// `f(x) = ln(1 + s x)`.
pub fn log_moment(x: f64, s: f64) -> f64 {
    (s * x).ln_1p()
}

/// `f'(x) = s / (1 + s x)`.
pub fn log_moment_slope(x: f64, s: f64) -> f64 {
    s / (1.0 + s * x)
}

/// Weighted second moments of the features of one group, `(U_k^T Z)^{o2} pi_k / <pi_k, 1>`, (p,).
pub fn second_moments(
    z: ArrayView2<'_, f64>,
    basis: ArrayView2<'_, f64>,
    weights: ArrayView1<'_, f64>,
) -> Array1<f64> {
    let squares = basis.t().dot(&z).mapv(|w| w * w);
    squares.dot(&weights) / weights.sum()
}

/// `R^var`, nats.
///
/// # Shapes
/// z (d, N), bases (K, d, p), membership (K, N); `s = d / eps^2`.
pub fn variational_rate(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    membership: ArrayView2<'_, f64>,
    s: f64,
) -> f64 {
    let count = z.ncols() as f64;
    bases
        .outer_iter()
        .zip(membership.outer_iter())
        .map(|(basis, weights)| {
            let moments = second_moments(z, basis, weights);
            let sum: f64 = moments.iter().map(|&m| log_moment(m, s)).sum();
            0.5 * weights.sum() / count * sum
        })
        .sum()
}

/// `1 / N sum_k U_k diag(f'(moments_k)) U_k^T Z diag(pi_k)`: the gradient of `R^var` by `Z` with the
/// memberships held fixed (book, chapter 4, eq. grad Rcf).
///
/// # Shapes
/// As [`variational_rate`]; gives (d, N).
pub fn variational_gradient(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    membership: ArrayView2<'_, f64>,
    s: f64,
) -> Array2<f64> {
    let count = z.ncols() as f64;
    let mut gradient = Array2::zeros(z.dim());
    for (basis, weights) in bases.outer_iter().zip(membership.outer_iter()) {
        let slopes = second_moments(z, basis, weights).mapv(|m| log_moment_slope(m, s));
        let mut projected = basis.t().dot(&z) * weights;
        for (mut row, slope) in projected.outer_iter_mut().zip(&slopes) {
            row *= *slope;
        }
        gradient.scaled_add(1.0 / count, &basis.dot(&projected));
    }
    gradient
}
