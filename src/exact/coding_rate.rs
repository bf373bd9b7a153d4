//! Coding rates in the papers' convention, their gradients in closed form, and the rate reduction
//! (NeurIPS 2023 (3) and (4); book (4.2.1) to (4.2.3), (4.1.3) and (4.2.9)).
//!
//! `Z` is (d, N) with tokens as columns; `U = [U_1, ..., U_K]` is (K, d, p); `epsilon` is the
//! quantisation precision, in the units of `Z`, and enters squared. Rates are in nats, their gradients in nats
//! per unit of `Z`. Nothing here asks the bases to be orthonormal.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};
use rayon::prelude::*;

use super::log_determinant::{
    half_log_determinant, half_log_determinant_with_gradient, LogDeterminant, Prepared,
    ScaledTokens,
};
use crate::error::{Error, Result};

/// `R^c(Z | U_[K])` with its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct SubspaceRate {
    /// The sum over heads, nats.
    pub total: f64,
    /// One rate per head, `R(U_k^T Z)` with `p` in place of `d`, nats.
    pub per_head: Vec<LogDeterminant>,
}

/// `Delta R(Z | U_[K]) = R(Z) - R^c(Z | U_[K])` with its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct RateReduction {
    /// `R(Z)`.
    pub rate: LogDeterminant,
    /// `R^c(Z | U_[K])`.
    pub subspace: SubspaceRate,
    /// The difference, nats.
    pub delta: f64,
}

/// `R(Z; eps) = 1/2 logdet(I_d + d / (N eps^2) Z Z^T)`, nats (NeurIPS 2023 (3); book (4.2.2)).
///
/// # Shapes
/// z (d, N), both at least 1.
///
/// # Example
/// Two orthogonal tokens of length 1 and 2, `d / (N eps^2) = 1`: `I + Z Z^T = diag(2, 5)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::coding_rate;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let rate = coding_rate(z.view(), 1.0)?.value;
/// assert!((rate - 0.5 * 10f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for an empty matrix; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`; [`Error::Lapack`] if
/// a factorisation fails.
pub fn coding_rate(z: ArrayView2<'_, f64>, epsilon: f64) -> Result<LogDeterminant> {
    rate_prepared(&Prepared::new("tokens", z)?, epsilon)
}

/// `R(Z; eps)` in nats, see [`coding_rate`], of tokens (d, N) that were prepared once for many calls.
///
/// # Errors
/// [`Error::Domain`] for `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
pub fn rate_prepared(tokens: &Prepared, epsilon: f64) -> Result<LogDeterminant> {
    half_log_determinant(&ScaledTokens::new(tokens, None, epsilon)?)
}

/// The least and the most that [`coding_rate`] can be for tokens with this sum of squares: all of them
/// parallel, or all singular values equal. With `s = d / (N eps^2) ||Z||_F^2` and `r = min(d, N)`,
/// `1/2 ln(1 + s) <= R <= r/2 ln(1 + s / r)`, nats (the logarithm is concave; claim C-THY-31). Not rigorous in the last
/// digits.
///
/// # Shapes
/// z (d, N); gives `[least, most]`. Nothing is checked: NaN gives NaN.
///
/// # Example
/// `s = 5`: parallel tokens of this size have `1/2 ln 6`, two of equal length `ln(7/2)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::coding_rate::rate_bounds;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let [least, most] = rate_bounds(z.view(), 1.0);
/// assert!((least - 0.5 * 6f64.ln()).abs() < 1e-15);
/// assert!((most - 3.5f64.ln()).abs() < 1e-15);
/// ```
pub fn rate_bounds(z: ArrayView2<'_, f64>, epsilon: f64) -> [f64; 2] {
    let (d, n) = z.dim();
    let largest = z.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if largest == 0.0 {
        return [0.0; 2];
    }
    let squares: f64 = z.iter().map(|v| (v / largest).powi(2)).sum();
    // In logarithms, since s may be out of the range of doubles.
    let s = 2.0 * (largest.ln() - epsilon.ln()) + (squares * d as f64 / n as f64).ln();
    let ln_1p_exp = |x: f64| if x > 40.0 { x } else { x.exp().ln_1p() };
    let r = d.min(n) as f64;
    [0.5 * ln_1p_exp(s), 0.5 * r * ln_1p_exp(s - r.ln())]
}

/// `grad R = a (I_d + a Z Z^T)^{-1} Z`, `a = d / (N eps^2)`, nats per unit of `Z` (book (4.1.3)).
///
/// # Shapes
/// z (d, N); gives (d, N).
///
/// # Example
/// `a = 1` and `I + Z Z^T = diag(2, 5)`: the gradient is `diag(1/2, 2/5)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::coding_rate_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let gradient = coding_rate_gradient(z.view(), 1.0)?;
/// let exact = array![[1.0 / 2.0, 0.0], [0.0, 2.0 / 5.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for an empty matrix; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`; [`Error::Lapack`] if
/// a factorisation fails.
pub fn coding_rate_gradient(z: ArrayView2<'_, f64>, epsilon: f64) -> Result<Array2<f64>> {
    let tokens = Prepared::new("tokens", z)?;
    let b = ScaledTokens::new(&tokens, None, epsilon)?;
    let (_, resolvent) = half_log_determinant_with_gradient(&b)?;
    Ok(resolvent * b.multiplier())
}

// ANCHOR: subspace_rate
/// `R^c(Z | U_[K]; eps) = sum_k 1/2 logdet(I_p + p / (N eps^2) U_k^T Z Z^T U_k)`, nats (NeurIPS 2023 (4); book
/// (4.2.3)).
///
/// # Shapes
/// z (d, N), bases (K, d, p).
///
/// # Example
/// Two subspaces, the axes; `p / (N eps^2) = 1/2`, energies 1 and 4: `1/2 ln(3/2) + 1/2 ln 3`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::subspace_rate;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let rate = subspace_rate(z.view(), axes.view(), 1.0)?;
/// assert!((rate.total - 0.5 * 4.5f64.ln()).abs() < 1e-12);
/// assert!((rate.per_head[1].value - 0.5 * 3f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn subspace_rate(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<SubspaceRate> {
    subspace_rate_prepared(
        &Prepared::new("tokens", z)?,
        &prepare_bases(bases)?,
        epsilon,
    )
}
// ANCHOR_END: subspace_rate

/// `R^c(Z | U_[K]; eps)` in nats, see [`subspace_rate`], of operands that were prepared once for many calls.
///
/// # Shapes
/// tokens (d, N), K bases (d, p).
///
/// # Errors
/// [`Error::Shape`] for a basis that does not fit; [`Error::Domain`] for `epsilon <= 0`; [`Error::Lapack`] if a
/// factorisation fails.
pub fn subspace_rate_prepared(
    tokens: &Prepared,
    bases: &[Prepared],
    epsilon: f64,
) -> Result<SubspaceRate> {
    let per_head = bases
        .par_iter()
        .map(|basis| half_log_determinant(&ScaledTokens::new(tokens, Some(basis), epsilon)?))
        .collect::<Result<Vec<_>>>()?;
    Ok(SubspaceRate {
        total: per_head.iter().map(|rate| rate.value).sum(),
        per_head,
    })
}

/// `R^c` of every sample of a batch, nats, spread over samples and heads by rayon; each equals
/// [`subspace_rate`] of the sample alone, whatever the number of threads.
///
/// # Shapes
/// batch (B, d, N), bases (K, d, p); gives B rates.
///
/// # Example
/// The tokens 1 and 2 on the axes, and the same twice as long: `p / (N eps^2) = 1/2` times energies 1 and 4, then 4 and
/// 16: `1/2 ln(3/2 * 3)` and `1/2 ln(3 * 9)`.
/// ```
/// use ndarray::{array, stack, Axis};
/// use whitebox::exact::subspace_rates;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let batch = stack(Axis(0), &[z.view(), (&z * 2.0).view()])?;
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let rates = subspace_rates(batch.view(), axes.view(), 1.0)?;
/// assert!((rates[0].total - 0.5 * 4.5f64.ln()).abs() < 1e-12);
/// assert!((rates[1].total - 0.5 * 27f64.ln()).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Of the first sample that has one: [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for
/// NaN, infinities or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
pub fn subspace_rates(
    batch: ArrayView3<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Vec<SubspaceRate>> {
    let bases = prepare_bases(bases)?;
    (0..batch.len_of(Axis(0)))
        .into_par_iter()
        .map(|sample| {
            let tokens = Prepared::new("tokens", batch.index_axis(Axis(0), sample))?;
            subspace_rate_prepared(&tokens, &bases, epsilon)
        })
        .collect()
}

/// Checks and scales the bases of one layer, for many calls of [`subspace_rate_prepared`].
///
/// # Shapes
/// bases (K, d, p); gives K of (d, p).
///
/// # Example
/// The tokens 1 and 2 on the axes: `R = 1/2 ln 10`, `R^c = 1/2 ln(9/2)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::coding_rate::{prepare_bases, rate_prepared, subspace_rate_prepared};
/// use whitebox::exact::log_determinant::Prepared;
///
/// let tokens = Prepared::new("tokens", array![[1.0, 0.0], [0.0, 2.0]].view())?;
/// let axes = prepare_bases(array![[[1.0], [0.0]], [[0.0], [1.0]]].view())?;
/// let rate = rate_prepared(&tokens, 1.0)?.value;
/// assert!((rate - 0.5 * 10f64.ln()).abs() < 1e-12);
/// let rate = subspace_rate_prepared(&tokens, &axes, 1.0)?.total;
/// assert!((rate - 0.5 * 4.5f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if there are none or they are empty; [`Error::Domain`] for NaN or infinities.
pub fn prepare_bases(bases: ArrayView3<'_, f64>) -> Result<Vec<Prepared>> {
    if bases.is_empty() {
        return Err(Error::shape(
            "bases",
            "(K, d, p), none of them 0",
            format!("{:?}", bases.dim()),
            "give one basis (d, p) per head",
        ));
    }
    bases
        .axis_iter(Axis(0))
        .map(|basis| Prepared::new("bases", basis))
        .collect()
}

// ANCHOR: subspace_rate_gradient
/// `grad R^c = c sum_k U_k U_k^T Z (I_N + c (U_k^T Z)^T U_k^T Z)^{-1}`, `c = p / (N eps^2)`, nats per unit of `Z` (book
/// (4.2.9)). A step of length `kappa` against it is the compression that attention approximates (book (4.2.7)).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// On the axes, `c = 1/2`: `c w / (1 + c w^2)` is 1/3 for `w = 1` and for `w = 2`: strong directions are pulled no
/// harder.
/// ```
/// use ndarray::array;
/// use whitebox::exact::subspace_rate_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let gradient = subspace_rate_gradient(z.view(), axes.view(), 1.0)?;
/// let exact = array![[1.0 / 3.0, 0.0], [0.0, 1.0 / 3.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn subspace_rate_gradient(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Array2<f64>> {
    let tokens = Prepared::new("tokens", z)?;
    let prepared = prepare_bases(bases)?;
    let mut gradient = Array2::zeros(z.dim());
    for (basis, view) in prepared.iter().zip(bases.outer_iter()) {
        let b = ScaledTokens::new(&tokens, Some(basis), epsilon)?;
        let (_, resolvent) = half_log_determinant_with_gradient(&b)?;
        gradient.scaled_add(b.multiplier(), &view.dot(&resolvent));
    }
    Ok(gradient)
}
// ANCHOR_END: subspace_rate_gradient

/// `Delta R(Z | U_[K]; eps) = R(Z; eps) - R^c(Z | U_[K]; eps)`, nats, with its parts (book (4.2.1)).
///
/// # Shapes
/// z (d, N), bases (K, d, p).
///
/// # Example
/// `R = 1/2 ln 10` and `R^c = 1/2 ln(9/2)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::rate_reduction;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let found = rate_reduction(z.view(), axes.view(), 1.0)?;
/// assert!((found.delta - 0.5 * (20.0 / 9.0f64).ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn rate_reduction(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<RateReduction> {
    let rate = coding_rate(z, epsilon)?;
    let subspace = subspace_rate(z, bases, epsilon)?;
    Ok(RateReduction {
        delta: rate.value - subspace.total,
        rate,
        subspace,
    })
}

/// `grad Delta R = grad R - grad R^c`, nats per unit of `Z`: the difference of book (4.1.3) and (4.2.9).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// `diag(1/2, 2/5)` less `diag(1/3, 1/3)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::rate_reduction_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let gradient = rate_reduction_gradient(z.view(), axes.view(), 1.0)?;
/// let exact = array![[1.0 / 6.0, 0.0], [0.0, 1.0 / 15.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn rate_reduction_gradient(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Array2<f64>> {
    Ok(coding_rate_gradient(z, epsilon)? - subspace_rate_gradient(z, bases, epsilon)?)
}

/// The bases that a stacked projection weight, as networks hold it, means: row `k p + j` is column `j` of `U_k`.
///
/// # Shapes
/// weight (K p, d); gives (K, d, p).
///
/// # Example
/// Two heads of width 1: each row is a basis, stood up.
/// ```
/// use ndarray::array;
/// use whitebox::exact::coding_rate::bases_from_projection;
///
/// let bases = bases_from_projection(array![[1.0, 2.0], [3.0, 4.0]].view(), 2)?;
/// assert_eq!(bases, array![[[1.0], [2.0]], [[3.0], [4.0]]]);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if `heads` does not divide the rows.
pub fn bases_from_projection(weight: ArrayView2<'_, f64>, heads: usize) -> Result<Array3<f64>> {
    let (inner, d) = weight.dim();
    if heads == 0 || inner % heads != 0 {
        return Err(Error::shape(
            "projection weight",
            format!("rows divisible by {heads} heads"),
            format!("{inner} rows"),
            "give the right number of heads",
        ));
    }
    let p = inner / heads;
    Ok(Array3::from_shape_fn((heads, d, p), |(k, i, j)| {
        weight[(k * p + j, i)]
    }))
}
