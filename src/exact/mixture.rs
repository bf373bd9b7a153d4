//! The Bayes denoiser of a mixture of low-rank Gaussians (book (3.2.56)): `x ~ 1/K sum_k N(0, U_k U_k^T)` with
//! orthonormal columns in every `U_k`, observed as `x_t = x + t g`, `g ~ N(0, I)`; and what compression puts in its
//! place. `t` is in the units of `x`, which are those of the unit variance on the subspaces.

use ndarray::{Array1, Array3, ArrayView1, ArrayView2, ArrayView3, Axis};
use ndarray_linalg::{Eigh, UPLO};

use super::mssa::compression_coefficient;
use super::single_threaded_blas;
use crate::error::{Error, Result};

/// `P(k | x_t) = softmax_k( ||U_k^T x_t||^2 / (2 t^2 (1 + t^2)) )`, without unit: the membership of one token, a
/// softmax over subspaces (not over tokens, as in MSSA); the weights in book (3.2.56).
///
/// # Shapes
/// x (d,), bases (K, d, p) with orthonormal columns; gives (K,). `t > 0`.
///
/// # Example
/// `t = 1`: energies over 4. A token of energy `4 ln 3` on the first axis belongs to it three to one.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mixture::membership;
///
/// let x = array![(4.0 * 3f64.ln()).sqrt(), 0.0];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let shares = membership(x.view(), axes.view(), 1.0);
/// assert!((shares - array![3.0 / 4.0, 1.0 / 4.0]).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `x`.
pub fn membership(x: ArrayView1<'_, f64>, bases: ArrayView3<'_, f64>, t: f64) -> Array1<f64> {
    let energies: Array1<f64> = bases
        .outer_iter()
        .map(|basis| {
            let w = basis.t().dot(&x);
            w.dot(&w) / (2.0 * t * t * (1.0 + t * t))
        })
        .collect();
    let largest = energies.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let weights = energies.mapv(|e| (e - largest).exp());
    &weights / weights.sum()
}

/// `E[x | x_t] = 1 / (1 + t^2) sum_k P(k | x_t) U_k U_k^T x_t`, in the units of `x` (book (3.2.56)).
///
/// # Shapes
/// x (d,), bases (K, d, p) with orthonormal columns; gives (d,). `t > 0`.
///
/// # Example
/// `t = 1`, and a token of energy `4 ln 3` on the first axis, which belongs to it three to one: half of three quarters.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mixture::posterior_mean;
///
/// let x = array![(4.0 * 3f64.ln()).sqrt(), 0.0];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let mean = posterior_mean(x.view(), axes.view(), 1.0);
/// assert!((mean - &x * 3.0 / 8.0).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `x`.
pub fn posterior_mean(x: ArrayView1<'_, f64>, bases: ArrayView3<'_, f64>, t: f64) -> Array1<f64> {
    let weights = membership(x, bases, t);
    let mut mean = Array1::zeros(x.len());
    for (basis, weight) in bases.outer_iter().zip(&weights) {
        mean.scaled_add(*weight, &basis.dot(&basis.t().dot(&x)));
    }
    mean / (1.0 + t * t)
}

/// `ln p_t(x_t)`, nats, the density of `x_t = x + t g`: `1/K sum_k N(0, U_k U_k^T + t^2 I)`. Its gradient gives the
/// denoiser by Tweedie's formula, `E[x | x_t] = x_t + t^2 grad ln p_t(x_t)` (book (3.2.20)).
///
/// # Shapes
/// x (d,), bases (K, d, p) with orthonormal columns. `t > 0`.
///
/// # Example
/// `t = 1`: covariances `diag(2, 1)` and `diag(1, 2)` of determinant 2. A token of energy `4 ln 3` on the first axis
/// has `exp(-ln 3) = 1/3` in the one and `exp(-2 ln 3) = 1/9` in the other, 2/9 on average.
/// ```
/// use ndarray::array;
/// use std::f64::consts::TAU;
/// use whitebox::exact::mixture::log_density;
///
/// let x = array![(4.0 * 3f64.ln()).sqrt(), 0.0];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let density = log_density(x.view(), axes.view(), 1.0).exp();
/// assert!((density - 2.0 / 9.0 / (TAU * 2f64.sqrt())).abs() < 1e-15);
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `x`, or more columns than rows.
pub fn log_density(x: ArrayView1<'_, f64>, bases: ArrayView3<'_, f64>, t: f64) -> f64 {
    let (heads, d, p) = bases.dim();
    let variance = t * t;
    let energy = x.dot(&x);
    let logs: Vec<f64> = bases
        .outer_iter()
        .map(|basis| {
            let w = basis.t().dot(&x);
            let inside = w.dot(&w);
            // Covariance: 1 + t^2 on the span of U_k, t^2 elsewhere.
            let logdet = p as f64 * (1.0 + variance).ln() + (d - p) as f64 * variance.ln();
            let square = inside / (1.0 + variance) + (energy - inside) / variance;
            -0.5 * (logdet + square + d as f64 * std::f64::consts::TAU.ln())
        })
        .collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|l| (l - largest).exp()).sum();
    largest + sum.ln() - (heads as f64).ln()
}

/// `U_k U_k^T x` for the subspace with the largest projection, in the units of `x`: the limit of [`posterior_mean`] for
/// small `t` (claim C-THY-13). Zero without subspaces.
///
/// # Shapes
/// x (d,), bases (K, d, p) with orthonormal columns; gives (d,).
///
/// # Example
/// ```
/// use ndarray::array;
/// use whitebox::exact::mixture::nearest_projection;
///
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let nearest = nearest_projection(array![3.0, -4.0].view(), axes.view());
/// assert_eq!(nearest, array![0.0, -4.0]);
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `x`.
pub fn nearest_projection(x: ArrayView1<'_, f64>, bases: ArrayView3<'_, f64>) -> Array1<f64> {
    let energy = |k: usize| {
        let w = bases.index_axis(Axis(0), k).t().dot(&x);
        w.dot(&w)
    };
    let nearest =
        (0..bases.len_of(Axis(0))).reduce(|a, b| if energy(b) > energy(a) { b } else { a });
    match nearest {
        Some(k) => {
            let basis = bases.index_axis(Axis(0), k);
            basis.dot(&basis.t().dot(&x))
        }
        None => Array1::zeros(x.len()),
    }
}

/// `F_k = c G_k (I + c G_k)^{-1}`, `G_k = W_k W_k^T`, `W_k = U_k^T Z`, `c = p / (N eps^2)`, without unit: what one
/// exact step of length `1 / c` on `R^c` multiplies the coefficients of head `k` by (claim C-THY-14). It is the Bayes
/// denoiser of a Gaussian with second moment `G_k / N` under noise of variance `eps^2 / p` (Wiener's filter): it sees
/// the second moments of a head, not its tokens.
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (K, p, p).
///
/// # Example
/// Tokens 1 and 2 on the axes, `c = 1/2`: `c G` is 1/2 and 2, of which 1/3 and 2/3 are kept.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mixture::wiener_filters;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let filters = wiener_filters(z.view(), axes.view(), 1.0)?;
/// assert!((filters - array![[[1.0 / 3.0]], [[2.0 / 3.0]]]).iter().all(|v| v.abs() < 1e-15));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if the input is not finite.
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn wiener_filters(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Array3<f64>> {
    single_threaded_blas();
    let (heads, _, p) = bases.dim();
    let c = compression_coefficient(p, z.ncols(), epsilon);
    let mut filters = Array3::zeros((heads, p, p));
    for (basis, mut filter) in bases.outer_iter().zip(filters.outer_iter_mut()) {
        let w = basis.t().dot(&z);
        let gram = w.dot(&w.t()) * c;
        let (values, vectors) = gram.eigh(UPLO::Lower).map_err(|e| Error::Lapack {
            operation: "symmetric eigenvalues",
            shape: format!("{p} x {p}"),
            message: e.to_string(),
        })?;
        let shrunk = values.mapv(|s| s / (1.0 + s));
        filter.assign(&(&vectors * &shrunk).dot(&vectors.t()));
    }
    Ok(filters)
}
