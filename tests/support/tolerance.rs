//! How far two ways of computing one number may lie apart, by name and with the reason; and the checks that hold
//! numbers to it. A check that fails says where, both numbers, and the bound.
#![allow(dead_code)]

use std::panic::Location;

use ndarray::{Array2, ArrayView2};
use proptest::test_runner::{TestCaseError, TestCaseResult};

/// 45 units in the last place: what a handful of operations in a row may come to.
const OPERATIONS: f64 = 45.0 * f64::EPSILON;

/// What a computed rate is certified to, relative to it.
const RATE: f64 = 1e-12;

/// A sum of `terms` products that are at most `size` together, and a handful of operations before.
pub(crate) fn sum(terms: usize, size: f64) -> f64 {
    OPERATIONS * terms as f64 * size
}

/// A product with an explicit inverse, of a matrix of `terms` rows whose largest eigenvalue is at most `condition`
/// times its smallest: errors of the inverse grow with that.
pub(crate) fn inverse(condition: f64, terms: usize, size: f64) -> f64 {
    condition * sum(terms, size)
}

/// Eigenvalues of a symmetric matrix of `terms` rows and norm at most `size`, and a function of slope at most 100 of
/// each: LAPACK finds them to a few `terms u size`.
pub(crate) fn spectrum(terms: usize, size: f64) -> f64 {
    100.0 * sum(terms, size)
}

/// Two computed rates that should be equal, each near `rate`.
pub(crate) fn rates(rate: f64) -> f64 {
    2.0 * RATE * rate
}

/// Rates of tokens that are rounded by `operations` units in the last place of the largest: the rate moves by
/// `||grad R||_F ||dZ||_F <= sqrt(a rank) / 2 ||dZ||_F`, and to second order by `a ||dZ||^2 / 2` in the
/// directions that were empty. On top of [`rates`].
pub(crate) fn moved_rates(
    z: ArrayView2<'_, f64>,
    epsilon: f64,
    operations: usize,
    rate: f64,
) -> f64 {
    let (d, count) = z.dim();
    let a = d as f64 / count as f64 / (epsilon * epsilon);
    let rank = d.min(count) as f64;
    let noise = operations as f64 * f64::EPSILON * norm(z);
    rates(rate) + 0.5 * (a * rank).sqrt() * noise + a * noise * noise
}

/// By how much a computed rate of ordinary tokens scatters from one point to the next, for differences of two:
/// far less than what is certified for any tokens.
pub(crate) fn scatter(rate: f64) -> f64 {
    OPERATIONS * (1.0 + rate)
}

/// A central difference with step `h`: `h^2` times the third derivative (the fourth for a second difference is
/// handed over in its place), and `noise`, the rounding of the values, over what they are divided by.
pub(crate) fn difference(h: f64, derivative: f64, noise: f64, divisor: f64) -> f64 {
    h * h * derivative + noise / divisor
}

/// Frobenius norm.
pub(crate) fn norm(z: ArrayView2<'_, f64>) -> f64 {
    z.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[track_caller]
fn fail(message: String) -> TestCaseResult {
    Err(TestCaseError::fail(format!(
        "{message}\nat {}",
        Location::caller()
    )))
}

/// `||found - exact||_F <= bound`. NaN is not near anything.
#[track_caller]
pub(crate) fn near(
    what: &str,
    found: &Array2<f64>,
    exact: &Array2<f64>,
    bound: f64,
) -> TestCaseResult {
    if found.dim() != exact.dim() {
        return fail(format!(
            "{what}: {:?} against {:?}",
            found.dim(),
            exact.dim()
        ));
    }
    let difference = found - exact;
    let distance = norm(difference.view());
    if distance <= bound {
        return Ok(());
    }
    let worst = difference
        .indexed_iter()
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
        .map_or((0, 0), |(place, _)| place);
    fail(format!(
        "{what}: off by {distance:e}, bound {bound:e}; most at {worst:?}: {:e} against {:e}",
        found[worst], exact[worst]
    ))
}

/// `|found - exact| <= bound`.
#[track_caller]
pub(crate) fn near_number(what: &str, found: f64, exact: f64, bound: f64) -> TestCaseResult {
    if (found - exact).abs() <= bound {
        return Ok(());
    }
    let off = (found - exact).abs();
    fail(format!(
        "{what}: {found:e} against {exact:e}, off by {off:e}, bound {bound:e}"
    ))
}

/// `|found - exact| <= bound`, one after the other.
#[track_caller]
pub(crate) fn near_numbers<'a>(
    what: &str,
    found: impl IntoIterator<Item = &'a f64>,
    exact: impl IntoIterator<Item = f64>,
    bound: f64,
) -> TestCaseResult {
    let (mut found, mut exact) = (found.into_iter(), exact.into_iter());
    for place in 0.. {
        match (found.next(), exact.next()) {
            (Some(&a), Some(b)) if (a - b).abs() <= bound => {}
            (None, None) => break,
            (a, b) => {
                return fail(format!(
                    "{what}: at {place}: {a:?} against {b:?}, bound {bound:e}"
                ))
            }
        }
    }
    Ok(())
}

/// `found <= limit + slack`.
#[track_caller]
pub(crate) fn at_most(what: &str, found: f64, limit: f64, slack: f64) -> TestCaseResult {
    if found <= limit + slack {
        return Ok(());
    }
    let over = found - limit;
    fail(format!(
        "{what}: {found:e} above {limit:e} by {over:e}, bound {slack:e}"
    ))
}
