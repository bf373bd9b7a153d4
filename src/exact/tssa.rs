//! Token statistics self-attention (ToST, arXiv 2412.17810; book, chapter 4): descent on a
//! variational bound of the compression term that needs second moments of features only, so that
//! its cost is linear in the number of tokens.
//!
//! `R^var(Z, Pi | U) = sum_k tr(Pi_k) / (2 N) sum_i f( ((U_k^T Z)^{o2} pi_k / tr(Pi_k))_i )`,
//! `f(x) = ln(1 + d x / eps^2)`, with `pi_k` the weights of the tokens in group `k`.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, Axis};

use super::mssa::softmax_columns;

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

// ANCHOR: variational_rate
/// `R^var`, nats.
///
/// # Shapes
/// z (d, N), bases (K, d, p), membership (K, N); `s = d / eps^2`.
///
/// # Example
/// A token on each axis, of length 1 and 2, and in its own group: moments 1 and 4.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::variational_rate;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let rate = variational_rate(z.view(), axes.view(), labels.view(), 1.0);
/// assert!((rate - 0.25 * 10f64.ln()).abs() < 1e-15);
/// ```
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
// ANCHOR_END: variational_rate

/// `1 / N sum_k U_k diag(f'(moments_k)) U_k^T Z diag(pi_k)`: the gradient of `R^var` by `Z` with the
/// memberships held fixed (book, chapter 4, eq. grad Rcf).
///
/// # Shapes
/// As [`variational_rate`]; gives (d, N).
///
/// # Example
/// Moments 1 and 4, slopes 1/2 and 1/5, halved by `1 / N`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::variational_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let gradient = variational_gradient(z.view(), axes.view(), labels.view(), 1.0);
/// let exact = array![[1.0 / 4.0, 0.0], [0.0, 1.0 / 5.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
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

/// `Pi_kj = softmax_k( ||U_k^T z_j||^2 / (2 eta) )`, the soft memberships (arXiv 2412.17810, eq. 10):
/// over subspaces, for every token.
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (K, N). `eta > 0`, in the square of the units of `z`.
///
/// # Example
/// A token of length 1 on the first axis has energies 1 and 0; `1 / (2 eta) = ln 3` shares it out as 3 to 1.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::memberships;
///
/// let z = array![[1.0], [0.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let shares = memberships(z.view(), axes.view(), 0.5 / 3f64.ln());
/// assert!((shares - array![[3.0 / 4.0], [1.0 / 4.0]]).iter().all(|v| v.abs() < 1e-15));
/// ```
pub fn memberships(z: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>, eta: f64) -> Array2<f64> {
    softmax_columns((head_energies(z, bases, false) / (2.0 * eta)).view())
}

/// `-(tau / N) sum_k U_k D_k U_k^T Z diag(pi_k)`, `D_k = diag f'(moments_k)`: what token statistics
/// attention adds to the tokens (arXiv 2412.17810; book, chapter 4).
///
/// # Shapes
/// As [`variational_gradient`].
///
/// # Example
/// `tau = 2`: of the tokens 1 and 2 a half and two fifths are taken. The stronger one keeps more.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::tssa;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let step = tssa(z.view(), axes.view(), labels.view(), 1.0, 2.0);
/// let exact = array![[-1.0 / 2.0, 0.0], [0.0, -2.0 / 5.0]];
/// assert!((step - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
pub fn tssa(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    membership: ArrayView2<'_, f64>,
    s: f64,
    tau: f64,
) -> Array2<f64> {
    variational_gradient(z, bases, membership, s) * -tau
}

/// Memberships as ToST's code has them: every feature is first scaled to length 1 over the tokens,
/// and a learned temperature per head stands in for `1 / (2 eta)`.
///
/// # Shapes
/// As [`memberships`]; temperatures (K,).
pub fn code_memberships(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    temperatures: ArrayView1<'_, f64>,
) -> Array2<f64> {
    let energies = head_energies(z, bases, true);
    softmax_columns((energies * temperatures.insert_axis(Axis(1))).view())
}

/// What the heads of ToST's code put out, with `U` in place of its learned output projection:
/// `-sum_k U_k diag(1 / (1 + moments_k)) U_k^T Z diag(pi_k)`. The precision is absorbed in the scale
/// of the tokens, and neither `tau` nor `1 / N` appears.
///
/// # Shapes
/// As [`variational_gradient`].
pub fn tssa_code(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    membership: ArrayView2<'_, f64>,
) -> Array2<f64> {
    let mut out = Array2::zeros(z.dim());
    for (basis, weights) in bases.outer_iter().zip(membership.outer_iter()) {
        let w = basis.t().dot(&z);
        let total = weights.sum() + 1e-8;
        let moments = w.mapv(|w| w * w).dot(&weights) / total;
        let kept = &w * &weights / (moments + 1.0).insert_axis(Axis(1));
        out -= &basis.dot(&kept);
    }
    out
}

/// `||U_k^T z_j||^2`, (K, N); with features of length 1 over the tokens if `normalised`.
fn head_energies(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    normalised: bool,
) -> Array2<f64> {
    let mut energies = Array2::zeros((bases.len_of(Axis(0)), z.ncols()));
    for (basis, mut row) in bases.outer_iter().zip(energies.outer_iter_mut()) {
        let mut w = basis.t().dot(&z);
        if normalised {
            for mut feature in w.outer_iter_mut() {
                let length = feature.dot(&feature).sqrt().max(1e-12);
                feature /= length;
            }
        }
        row.assign(&w.mapv(|w| w * w).sum_axis(Axis(0)));
    }
    energies
}
