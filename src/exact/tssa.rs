//! Token statistics self-attention (ToST, arXiv 2412.17810; book (4.3.8) to (4.3.15)): descent on a
//! variational bound of the compression term that needs second moments of features only, so that
//! its cost is linear in the number of tokens.
//!
//! `R^var(Z, Pi | U) = sum_k tr(Pi_k) / (2 N) sum_i f( ((U_k^T Z)^{o2} pi_k / tr(Pi_k))_i )`,
//! `f(x) = ln(1 + s x)`, `s = d / eps^2` per squared unit of `Z`, with `pi_k` the weights of the tokens in group `k`.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, Axis};

use super::mssa::softmax_columns;

/// `f(x) = ln(1 + s x)`, nats, of a second moment `x` with `s = d / eps^2` (book, after (4.3.9)); NaN below `-1 / s`.
pub fn log_moment(x: f64, s: f64) -> f64 {
    (s * x).ln_1p()
}

/// `f'(x) = s / (1 + s x)`, nats per squared unit of the tokens (book, after (4.3.9)).
///
/// # Example
/// `s = 4` at 2: `ln 9`, and a slope of 4/9.
/// ```
/// use whitebox::exact::tssa::{log_moment, log_moment_slope};
///
/// assert!((log_moment(2.0, 4.0) - 9f64.ln()).abs() < 1e-15);
/// assert_eq!(log_moment_slope(2.0, 4.0), 4.0 / 9.0);
/// ```
pub fn log_moment_slope(x: f64, s: f64) -> f64 {
    s / (1.0 + s * x)
}

/// Weighted second moments of the features of one group, `(U_k^T Z)^{o2} pi_k / <pi_k, 1>`, in the squared units of `z`
/// (in book (4.3.10)); NaN for weights that are all zero.
///
/// # Shapes
/// z (d, N), basis (d, p), weights (N,); gives (p,).
///
/// # Example
/// Features 1 and 3 with weights 3/4 and 1/4: `(3 * 1 + 9) / 4`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::second_moments;
///
/// let z = array![[1.0, 3.0], [5.0, 7.0]];
/// let axis = array![[1.0], [0.0]];
/// let moments = second_moments(z.view(), axis.view(), array![0.75, 0.25].view());
/// assert_eq!(moments, array![3.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn second_moments(
    z: ArrayView2<'_, f64>,
    basis: ArrayView2<'_, f64>,
    weights: ArrayView1<'_, f64>,
) -> Array1<f64> {
    let squares = basis.t().dot(&z).mapv(|w| w * w);
    squares.dot(&weights) / weights.sum()
}

// ANCHOR: variational_rate
/// `R^var(Z, Pi | U_[K])` as at the head of this module, nats (book (4.3.8)); `s = d / eps^2`.
///
/// # Shapes
/// z (d, N), bases (K, d, p), membership (K, N), no row of it all zero.
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
///
/// # Panics
/// If the shapes do not fit each other.
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
/// memberships held fixed, nats per unit of `Z` (book (4.3.10)); `s = d / eps^2`.
///
/// # Shapes
/// z (d, N), bases (K, d, p), membership (K, N), no row of it all zero; gives (d, N).
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
///
/// # Panics
/// If the shapes do not fit each other.
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

/// `Pi_kj = softmax_k( ||U_k^T z_j||^2 / (2 eta) )`, the soft memberships (arXiv 2412.17810 (10); book (4.3.14)):
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
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn memberships(z: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>, eta: f64) -> Array2<f64> {
    softmax_columns((head_energies(z, bases, false) / (2.0 * eta)).view())
}

/// `-(tau / N) sum_k U_k D_k U_k^T Z diag(pi_k)`, `D_k = diag f'(moments_k)`: what token statistics
/// attention adds to the tokens, in their units (book (4.3.15)); `s = d / eps^2`, `tau` the length of the step.
///
/// # Shapes
/// z (d, N), bases (K, d, p), membership (K, N), no row of it all zero; gives (d, N).
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
///
/// # Panics
/// If the shapes do not fit each other.
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
/// and a learned temperature per head stands in for `1 / (2 eta)` (official `tost_vision/tost.py`).
///
/// # Shapes
/// z (d, N), bases (K, d, p), temperatures (K,); gives (K, N).
///
/// # Example
/// Tokens 1 and 2 on the axes: each feature is in one token alone, and at length 1 has energy 1 there. Temperature ln 3
/// makes it three to one.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::code_memberships;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let temperatures = array![3f64.ln(), 3f64.ln()];
/// let shares = code_memberships(z.view(), axes.view(), temperatures.view());
/// let exact = array![[3.0 / 4.0, 1.0 / 4.0], [1.0 / 4.0, 3.0 / 4.0]];
/// assert!((shares - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn code_memberships(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    temperatures: ArrayView1<'_, f64>,
) -> Array2<f64> {
    let energies = head_energies(z, bases, true);
    softmax_columns((energies * temperatures.insert_axis(Axis(1))).view())
}

/// What the heads of ToST's code put out, with `U` in place of its learned output projection:
/// `-sum_k U_k diag(1 / (1 + moments_k)) U_k^T Z diag(pi_k)` (official `tost_vision/tost.py`). The precision is
/// absorbed in the scale of the tokens, and neither `tau` nor `1 / N` appears; 1e-8 is added to the weights of a group.
///
/// # Shapes
/// z (d, N), bases (K, d, p), membership (K, N); gives (d, N).
///
/// # Example
/// Tokens 1 and 2 on the axes, each in its own group: moments 1 and 4, of the tokens 1/2 and 1/5 are taken.
/// ```
/// use ndarray::array;
/// use whitebox::exact::tssa::tssa_code;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let step = tssa_code(z.view(), axes.view(), labels.view());
/// let exact = array![[-1.0 / 2.0, 0.0], [0.0, -2.0 / 5.0]];
/// assert!((step - exact).iter().all(|v| v.abs() < 1e-8));
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
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
