//! The label-based rate of maximal coding rate reduction (Yu, Chan, You, Song and Ma 2020; book (3.4.13)):
//!
//! `R^c(Z | Pi) = sum_k tr(Pi_k) / (2 N) logdet(I + d / (tr(Pi_k) eps^2) Z Pi_k Z^T)`,
//!
//! with diagonal, non-negative `Pi_k` that sum to the identity. A different object from
//! [`super::subspace_rate`]: it sees which token belongs where.

use ndarray::{s, Array2, ArrayView2};

use super::coding_rate::{coding_rate, coding_rate_gradient};
use crate::error::{Error, Result};

/// `R^c(Z | Pi) = sum_k tr(Pi_k) / (2 N) logdet(I + d / (tr(Pi_k) eps^2) Z Pi_k Z^T)`, nats (book (3.4.13)).
///
/// # Shapes
/// z (d, N), membership (K, N), non-negative: row `k` is the diagonal of `Pi_k`. A row of zeros counts nothing.
///
/// # Example
/// Each token its own group: `d / (tr(Pi_k) eps^2) = 2`, weights `tr(Pi_k) / (2 N) = 1/4`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mcr2::label_rate;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let rate = label_rate(z.view(), labels.view(), 1.0)?;
/// assert!((rate - 0.25 * (3f64.ln() + 9f64.ln())).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for a negative membership, NaN,
/// infinities or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
pub fn label_rate(
    z: ArrayView2<'_, f64>,
    membership: ArrayView2<'_, f64>,
    epsilon: f64,
) -> Result<f64> {
    check(z, membership)?;
    let count = z.ncols();
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

/// `grad R^c(Z | Pi) = a sum_k (I + d / (tr(Pi_k) eps^2) Z Pi_k Z^T)^{-1} Z Pi_k`, `a = d / (N eps^2)`, nats per unit
/// of `Z`, with the memberships held fixed (book (4.1.4)).
///
/// # Shapes
/// z (d, N), membership (K, N), non-negative; gives (d, N).
///
/// # Example
/// `z / (1 + 2 z^2)` for the tokens 1 and 2.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mcr2::label_rate_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let gradient = label_rate_gradient(z.view(), labels.view(), 1.0)?;
/// let exact = array![[1.0 / 3.0, 0.0], [0.0, 2.0 / 9.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for a negative membership, NaN,
/// infinities or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
pub fn label_rate_gradient(
    z: ArrayView2<'_, f64>,
    membership: ArrayView2<'_, f64>,
    epsilon: f64,
) -> Result<Array2<f64>> {
    check(z, membership)?;
    let count = z.ncols() as f64;
    let mut gradient = Array2::zeros(z.dim());
    for weights in membership.outer_iter() {
        let trace = weights.sum();
        if trace == 0.0 {
            continue;
        }
        // With Y = sqrt(N / tr) Z Pi^{1/2}, R(Y) has gradient a (I + a Y Y^T)^{-1} Y; the chain rule
        // brings sqrt(N / tr) Pi^{1/2} again, and the rate's weight tr / N.
        let roots = weights.mapv(|w| (w * count / trace).sqrt());
        let weighted: Array2<f64> = &z * &roots;
        let inner = coding_rate_gradient(weighted.view(), epsilon)?;
        gradient = gradient + inner * &roots * (trace / count);
    }
    Ok(gradient)
}

/// `grad (R(Z) - R^c(Z | Pi) - lambda / 2 ||Z||_F^2)`, nats per unit of `Z`: zero at the maxima of the rate reduction
/// with labels and a regulariser (book (3.4.16)).
///
/// # Shapes
/// z (d, N), membership (K, N), non-negative; gives (d, N).
///
/// # Example
/// `diag(1/2, 2/5)` of [`coding_rate_gradient`] less `diag(1/3, 2/9)` of [`label_rate_gradient`] less a tenth of the
/// tokens.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mcr2::regularised_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let labels = array![[1.0, 0.0], [0.0, 1.0]];
/// let gradient = regularised_gradient(z.view(), labels.view(), 1.0, 0.1)?;
/// let exact = array![[1.0 / 15.0, 0.0], [0.0, -1.0 / 45.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for a negative membership, NaN,
/// infinities or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
pub fn regularised_gradient(
    z: ArrayView2<'_, f64>,
    membership: ArrayView2<'_, f64>,
    epsilon: f64,
    lambda: f64,
) -> Result<Array2<f64>> {
    let expansion = coding_rate_gradient(z, epsilon)?;
    let compression = label_rate_gradient(z, membership, epsilon)?;
    Ok(expansion - compression - &z * lambda)
}

/// Memberships of `groups` classes of `each` tokens, side by side: 1 for a token's own class, else 0.
///
/// # Shapes
/// Gives (groups, groups each).
pub fn equal_labels(groups: usize, each: usize) -> Array2<f64> {
    let mut labels = Array2::zeros((groups, groups * each));
    for k in 0..groups {
        labels.slice_mut(s![k, k * each..(k + 1) * each]).fill(1.0);
    }
    labels
}

/// The singular value that all directions of group `k` share at a local maximum of
/// `Delta R(Z | Pi) - lambda / 2 ||Z||_F^2` (book, theorem 3.8, (3.4.18)):
/// `s_k^2 = (eta_k + sqrt(eta_k^2 - 4 lambda^2 N / N_k)) / (2 lambda alpha_k)`,
/// `eta_k = (alpha_k - alpha) - lambda (N / N_k + 1)`, `alpha = d / (N eps^2)`, `alpha_k = d / (N_k eps^2)`.
/// Gives `(s_k, that of the smaller root)` in the units of `Z`, the second a saddle; none where `lambda` is too large.
///
/// # Example
/// Two classes of one token, `alpha = 1`, `alpha_k = 2`, `lambda = 1/6`: `eta = 1 - 3/6`, the root is 1/6, and
/// `s^2 = (1/2 + 1/6) / (2/3) = 1` or `(1/2 - 1/6) / (2/3) = 1/2`. At 1 the slope is `1/2 - 1/3 - 1/6 = 0` indeed.
/// ```
/// use whitebox::exact::mcr2::{equal_labels, regularised_gradient, regularised_singular_values};
///
/// let (maximum, saddle) = regularised_singular_values(2, 2, 1, 1.0, 1.0 / 6.0).unwrap();
/// assert!((maximum - 1.0).abs() < 1e-15 && (saddle - 0.5f64.sqrt()).abs() < 1e-15);
/// let (z, labels) = (ndarray::Array2::eye(2), equal_labels(2, 1));
/// let slope = regularised_gradient(z.view(), labels.view(), 1.0, 1.0 / 6.0)?;
/// assert!(slope.iter().all(|v| v.abs() < 1e-15));
/// # Ok::<(), whitebox::Error>(())
/// ```
pub fn regularised_singular_values(
    d: usize,
    total: usize,
    group: usize,
    epsilon: f64,
    lambda: f64,
) -> Option<(f64, f64)> {
    let (d, total, group) = (d as f64, total as f64, group as f64);
    let alpha = d / (total * epsilon * epsilon);
    let alpha_k = d / (group * epsilon * epsilon);
    let eta = (alpha_k - alpha) - lambda * (total / group + 1.0);
    let discriminant = eta * eta - 4.0 * lambda * lambda * total / group;
    if eta <= 0.0 || discriminant < 0.0 {
        return None;
    }
    // The product of the roots is 1 / (alpha alpha_k): no cancellation in the smaller one.
    let larger = (eta + discriminant.sqrt()) / (2.0 * lambda * alpha_k);
    let smaller = 1.0 / (alpha * alpha_k * larger);
    Some((larger.sqrt(), smaller.sqrt()))
}

/// The largest `lambda` for which [`regularised_singular_values`] exist, the largest group having `largest` of `total`
/// tokens (book (3.4.17)): `d (r - 1) / (N (r + 1) eps^2)`, `r = sqrt(N / N_max)`.
///
/// # Example
/// Two classes of one token: `(sqrt 2 - 1) / (sqrt 2 + 1) = (sqrt 2 - 1)^2 = 3 - 2 sqrt 2`, about 0.1716.
/// ```
/// use whitebox::exact::mcr2::{largest_lambda, regularised_singular_values};
///
/// let limit = largest_lambda(2, 2, 1, 1.0);
/// assert!((limit - (3.0 - 2.0 * 2f64.sqrt())).abs() < 1e-15);
/// assert!(regularised_singular_values(2, 2, 1, 1.0, 0.1715).is_some());
/// assert!(regularised_singular_values(2, 2, 1, 1.0, 0.1716).is_none());
/// ```
pub fn largest_lambda(d: usize, total: usize, largest: usize, epsilon: f64) -> f64 {
    let root = (total as f64 / largest as f64).sqrt();
    d as f64 * (root - 1.0) / (total as f64 * (root + 1.0) * epsilon * epsilon)
}

/// Memberships that fit the tokens and are not negative.
fn check(z: ArrayView2<'_, f64>, membership: ArrayView2<'_, f64>) -> Result<()> {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn labels_stand_side_by_side() {
        let exact = array![[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]];
        assert_eq!(equal_labels(2, 2), exact);
    }

    /// One direction a class, one token each: by hand, `R` has `alpha = 1 / eps^2` and `R^c` twice that.
    #[test]
    fn the_gradient_vanishes_at_the_closed_form_and_nowhere_beside_it() {
        let (epsilon, lambda) = (0.5, 0.3);
        let (alpha, alpha_k) = (4.0, 8.0);
        let (large, small) = regularised_singular_values(2, 2, 1, epsilon, lambda).unwrap();
        let labels = equal_labels(2, 1);
        for s in [large, small, 1.1 * large] {
            let z = Array2::eye(2) * s;
            let found = regularised_gradient(z.view(), labels.view(), epsilon, lambda).unwrap();
            let exact = s
                * (alpha / (1.0 + alpha * s * s)
                    - 0.5 * alpha_k / (1.0 + alpha_k * s * s)
                    - lambda);
            for ((i, j), v) in found.indexed_iter() {
                let exact = if i == j { exact } else { 0.0 };
                assert!((v - exact).abs() < 1e-13, "{v} {exact} at ({i}, {j})");
            }
            assert_eq!(exact.abs() < 1e-13, s != 1.1 * large, "{exact}");
        }
    }
}
