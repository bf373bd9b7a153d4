//! The compression term of tokens brought to one length, which is what LayerNorm hands to attention and
//! what the official code measures: growing or shrinking a token changes nothing.
//!
//! With `z_j` for token `j`, `x_j = z_j / |z_j|` and any rate `R`, the chain rule gives, for every token,
//!
//! `grad_{z_j} R(X) = (I - x_j x_j^T) g_j / |z_j|`, `G = (grad R)(X)`:
//!
//! the part of the gradient at the unit tokens that is tangential to their sphere, over their length.
//! Two rates are offered in this form:
//!
//! | | what is brought to length 1 |
//! |---|---|
//! | [`scale_free_rate`] | every token `z_j`, before it is projected |
//! | [`unit_projection_rate`] | every projected token `U_k^T z_j`, as the official code does |

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis, Zip};

use super::coding_rate::{
    coding_rate, coding_rate_gradient, prepare_bases, subspace_rate, subspace_rate_gradient,
    SubspaceRate,
};
use crate::error::{Error, Result};

/// `x_j = z_j / |z_j|`: every column scaled to length 1, without unit; zero columns stay zero.
///
/// # Shapes
/// z (d, N); gives (d, N).
///
/// # Example
/// ```
/// use ndarray::array;
/// use whitebox::exact::scale_free::unit_tokens;
///
/// let unit = unit_tokens(array![[3.0, 0.0], [4.0, 2.0]].view());
/// assert_eq!(unit, array![[0.6, 0.0], [0.8, 1.0]]);
/// ```
pub fn unit_tokens(z: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut unit = z.to_owned();
    for mut token in unit.axis_iter_mut(Axis(1)) {
        let size = length(token.view());
        if size > 0.0 {
            token /= size;
        }
    }
    unit
}

/// A direction without what it does to the lengths of the tokens, to first order: column `j` is
/// `(I - x_j x_j^T) v_j`, `x_j = z_j / |z_j|`, in the units of the direction. Where a token is zero, the direction
/// stays as it is.
///
/// # Shapes
/// z and direction (d, N); gives (d, N).
///
/// # Example
/// Tokens on the axes: the first loses what it moves along the first axis, the second along the second.
/// ```
/// use ndarray::array;
/// use whitebox::exact::scale_free::tangential;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let turned = tangential(z.view(), array![[5.0, 6.0], [7.0, 8.0]].view());
/// assert_eq!(turned, array![[0.0, 6.0], [7.0, 0.0]]);
/// ```
///
/// # Panics
/// If the shapes differ.
pub fn tangential(z: ArrayView2<'_, f64>, direction: ArrayView2<'_, f64>) -> Array2<f64> {
    without_growth(unit_tokens(z).view(), direction.to_owned())
}

/// `R^c(X | U_[K]; eps)`, nats, of the tokens `x_j = z_j / |z_j|`; a token of length zero counts as zero.
///
/// # Shapes
/// z (d, N), bases (K, d, p).
///
/// # Example
/// Tokens on the axes, of length 1 whatever it was, and `p / (N eps^2) = 1/2`: `1/2 ln(3/2)` twice.
/// ```
/// use ndarray::array;
/// use whitebox::exact::scale_free::scale_free_rate;
///
/// let z = array![[3.0, 0.0], [0.0, 5.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let rate = scale_free_rate(z.view(), axes.view(), 1.0)?.total;
/// assert!((rate - 1.5f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn scale_free_rate(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<SubspaceRate> {
    subspace_rate(unit_tokens(z).view(), bases, epsilon)
}

// ANCHOR: scale_free_gradient
/// The gradient of [`scale_free_rate`] with respect to `Z`, nats per unit of `Z`: column `j` is
/// `(I - x_j x_j^T) g_j / |z_j|`, `G = grad R^c(X | U_[K]; eps)` (claim C-THY-43).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// One subspace, the first axis, `p / (N eps^2) = 1`. The token (1, 1) has `x = (1, 1) / sqrt 2` and
/// `R^c = 1/2 ln(3/2)`: `g = (2, 0) / (3 sqrt 2)`, of which `(1, 1) / (3 sqrt 2)` is growth, and the rest over `sqrt 2`
/// is (1/6, -1/6). The other token is not in the subspace.
/// ```
/// use ndarray::array;
/// use whitebox::exact::scale_free::scale_free_gradient;
///
/// let z = array![[1.0, 0.0], [1.0, 2.0]];
/// let axis = array![[[1.0], [0.0]]];
/// let gradient = scale_free_gradient(z.view(), axis.view(), 0.5f64.sqrt())?;
/// let exact = array![[1.0 / 6.0, 0.0], [-1.0 / 6.0, 0.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities, `epsilon <= 0` or
/// a token of length zero, which has no direction; [`Error::Lapack`] if a factorisation fails.
pub fn scale_free_gradient(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Array2<f64>> {
    through_unit_length("tokens", z, |unit| {
        subspace_rate_gradient(unit, bases, epsilon)
    })
}
// ANCHOR_END: scale_free_gradient

/// `sum_k R(X_k; eps)`, nats, `X_k` the projected tokens `U_k^T Z` each brought to length 1: the official
/// measure ([`super::official_rate()`]) at any precision. A projected token of length zero counts as zero.
///
/// # Shapes
/// z (d, N), bases (K, d, p).
///
/// # Example
/// One subspace, all of the plane, `p / (N eps^2) = 1`. Tokens (1, 0) and (1, 1) at length 1:
/// `I + X X^T = [[5, 1], [1, 3]] / 2` has the determinant 7/2.
/// ```
/// use ndarray::array;
/// use whitebox::exact::scale_free::unit_projection_rate;
///
/// let z = array![[1.0, 1.0], [0.0, 1.0]];
/// let plane = array![[[1.0, 0.0], [0.0, 1.0]]];
/// let rate = unit_projection_rate(z.view(), plane.view(), 1.0)?.total;
/// assert!((rate - 0.5 * 3.5f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn unit_projection_rate(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<SubspaceRate> {
    let per_head = projections(z, bases)?
        .iter()
        .map(|projected| coding_rate(unit_tokens(projected.view()).view(), epsilon))
        .collect::<Result<Vec<_>>>()?;
    Ok(SubspaceRate {
        total: per_head.iter().map(|rate| rate.value).sum(),
        per_head,
    })
}

/// The gradient of [`unit_projection_rate`] with respect to `Z`, nats per unit of `Z`: `sum_k U_k V_k`, where column
/// `j` of `V_k` is `(I - x x^T) g / |w|` for `w = U_k^T z_j`, `x = w / |w|` and `g` its column of `(grad R)(X_k)`.
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// One subspace, all of the plane, `p / (N eps^2) = 1`. Tokens (1, 0) and (1, 1): `(I + X X^T)^{-1} X` has the columns
/// (3, -1) / 7 and (2, 4) / (7 sqrt 2). Without growth and over the lengths they are (0, -1) / 7 and (-1, 1) / 14: the
/// rate falls as the tokens turn to each other.
/// ```
/// use ndarray::array;
/// use whitebox::exact::scale_free::unit_projection_gradient;
///
/// let z = array![[1.0, 1.0], [0.0, 1.0]];
/// let plane = array![[[1.0, 0.0], [0.0, 1.0]]];
/// let gradient = unit_projection_gradient(z.view(), plane.view(), 1.0)?;
/// let exact = array![[0.0, -1.0 / 14.0], [-1.0 / 7.0, 1.0 / 14.0]];
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities, `epsilon <= 0` or
/// a projected token of length zero; [`Error::Lapack`] if a factorisation fails.
pub fn unit_projection_gradient(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Array2<f64>> {
    let mut gradient = Array2::zeros(z.dim());
    for (projected, basis) in projections(z, bases)?.iter().zip(bases.outer_iter()) {
        let slope = through_unit_length("projected tokens", projected.view(), |unit| {
            coding_rate_gradient(unit, epsilon)
        })?;
        gradient += &basis.dot(&slope);
    }
    Ok(gradient)
}

/// The gradient with respect to `z` of what has the gradient `slope` at the unit tokens.
fn through_unit_length(
    name: &str,
    z: ArrayView2<'_, f64>,
    slope: impl FnOnce(ArrayView2<'_, f64>) -> Result<Array2<f64>>,
) -> Result<Array2<f64>> {
    let unit = unit_tokens(z);
    // Before a token of length zero is complained of: NaN and empty operands have errors of their own.
    let slope = slope(unit.view())?;
    let mut gradient = without_growth(unit.view(), slope);
    for (index, mut column) in gradient.axis_iter_mut(Axis(1)).enumerate() {
        let size = length(z.column(index));
        if size == 0.0 {
            return Err(Error::domain(
                name,
                "columns that are not zero",
                format!("length 0 in column {index}"),
                "leave such tokens out: they have no direction",
            ));
        }
        column /= size;
    }
    Ok(gradient)
}

/// [`tangential`] to tokens that are of length 1 already.
fn without_growth(unit: ArrayView2<'_, f64>, mut direction: Array2<f64>) -> Array2<f64> {
    Zip::from(direction.axis_iter_mut(Axis(1)))
        .and(unit.axis_iter(Axis(1)))
        .for_each(|mut column, token| {
            let along = column.dot(&token);
            column.scaled_add(-along, &token);
        });
    direction
}

/// `U_k^T Z` of every head, (p, N) each.
fn projections(z: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>) -> Result<Vec<Array2<f64>>> {
    prepare_bases(bases)?;
    let (d, rows) = (z.nrows(), bases.len_of(Axis(1)));
    if rows != d {
        return Err(Error::shape(
            "bases",
            format!("(K, {d}, p)"),
            format!("{:?}", bases.dim()),
            "give bases (K, d, p) for tokens (d, N)",
        ));
    }
    let each = bases.outer_iter().map(|basis| basis.t().dot(&z));
    Ok(each.collect())
}

/// Euclidean length; the plain root of the sum of squares where that neither under- nor overflows.
fn length(token: ArrayView1<'_, f64>) -> f64 {
    let plain = token.dot(&token);
    if (1e-200..1e200).contains(&plain) {
        return plain.sqrt();
    }
    let largest = token
        .iter()
        .fold(0.0, |largest: f64, v| largest.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let squares: f64 = token.iter().map(|v| (v / largest).powi(2)).sum();
    largest * squares.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{gaussian, orthogonal_bases};
    use crate::exact::official_rate::{projection_rate, Lengths};

    /// Tokens of lengths from 1 to about 100, and bases that are neither orthonormal nor orthogonal.
    fn setting() -> (Array2<f64>, ndarray::Array3<f64>) {
        let mut z = gaussian(3, "z", 8, 13);
        for (index, mut token) in z.axis_iter_mut(Axis(1)).enumerate() {
            token *= 1.4f64.powi(index as i32);
        }
        let mut bases = orthogonal_bases(3, "bases", 4, 2).unwrap();
        let shared = gaussian(3, "shared", 8, 2) / 4.0;
        for mut basis in bases.outer_iter_mut() {
            basis += &shared;
        }
        (z, bases)
    }

    /// Largest difference between a gradient and central differences, over the gradient's largest entry.
    fn disagreement(
        z: &Array2<f64>,
        gradient: &Array2<f64>,
        rate: impl Fn(ArrayView2<'_, f64>) -> f64,
    ) -> f64 {
        let mut worst = 0.0f64;
        for ((i, j), &exact) in gradient.indexed_iter() {
            let h = 1e-5 * length(z.column(j));
            let at = |h: f64| {
                let mut z = z.clone();
                z[(i, j)] += h;
                rate(z.view())
            };
            let found = (at(h) - at(-h)) / (2.0 * h);
            worst = worst.max((found - exact).abs() * length(z.column(j)));
        }
        worst
    }

    #[test]
    fn both_gradients_are_those_of_their_rates() {
        let (z, bases) = setting();
        for epsilon in [0.1, 1.0, 3.0] {
            let gradient = scale_free_gradient(z.view(), bases.view(), epsilon).unwrap();
            let rate =
                |z: ArrayView2<'_, f64>| scale_free_rate(z, bases.view(), epsilon).unwrap().total;
            assert!(disagreement(&z, &gradient, rate) < 1e-7, "{epsilon}");
            let gradient = unit_projection_gradient(z.view(), bases.view(), epsilon).unwrap();
            let rate = |z: ArrayView2<'_, f64>| {
                unit_projection_rate(z, bases.view(), epsilon)
                    .unwrap()
                    .total
            };
            assert!(disagreement(&z, &gradient, rate) < 1e-7, "{epsilon}");
        }
    }

    #[test]
    fn gradients_have_no_part_along_the_tokens_and_scale_with_their_lengths() {
        let (z, bases) = setting();
        let gradient = scale_free_gradient(z.view(), bases.view(), 0.5).unwrap();
        let mut longer = z.clone();
        for (index, mut token) in longer.axis_iter_mut(Axis(1)).enumerate() {
            token *= 1.0 + index as f64;
        }
        let of_longer = scale_free_gradient(longer.view(), bases.view(), 0.5).unwrap();
        for (index, slope) in gradient.axis_iter(Axis(1)).enumerate() {
            let size = length(slope);
            let along = slope.dot(&z.column(index)) / length(z.column(index));
            assert!(along.abs() < 1e-14 * (1.0 + size), "{index}");
            let rescaled = &of_longer.column(index) * (1.0 + index as f64);
            let difference = length((&rescaled - &slope).view());
            assert!(difference < 1e-12 * size, "{index}");
        }
    }

    #[test]
    fn the_tangential_part_is_a_projection_and_keeps_what_turns() {
        let (z, _) = setting();
        let direction = gaussian(4, "direction", 8, 13);
        let once = tangential(z.view(), direction.view());
        let twice = tangential(z.view(), once.view());
        assert!((&once - &twice).iter().all(|v| v.abs() < 1e-14));
        let radial = tangential(z.view(), z.view());
        let largest = z.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(radial.iter().all(|v| v.abs() < 1e-14 * largest));
        // What moves along a sphere changes no length to first order.
        let moved = length((&z.column(5) + &(&once.column(5) * 1e-6)).view());
        assert!((moved / length(z.column(5)) - 1.0).abs() < 1e-11);
    }

    #[test]
    fn unit_projections_have_the_official_measure() {
        let (z, bases) = setting();
        let stacked = Array2::from_shape_fn((13, 8), |(token, column)| {
            let (head, feature) = (column / 2, column % 2);
            let basis = bases.index_axis(Axis(0), head);
            basis.column(feature).dot(&z.column(token))
        });
        let official = projection_rate(stacked.view(), 4, Lengths::Unit, 0.1).unwrap();
        let found = unit_projection_rate(z.view(), bases.view(), 0.1).unwrap();
        assert!((official.total - found.total).abs() < 1e-12 * official.total);
    }

    #[test]
    fn lengths_of_any_size_become_one() {
        for size in [1e-300, 1e-160, 1.0, 1e160, 1e300] {
            let unit = unit_tokens((Array2::ones((4, 2)) * size).view());
            assert!(unit.iter().all(|v| (v - 0.5).abs() < 1e-15), "{size}");
        }
        assert_eq!(unit_tokens(Array2::zeros((3, 2)).view()).sum(), 0.0);
    }

    #[test]
    fn tokens_without_a_direction_and_bases_that_do_not_fit_are_errors() {
        let (mut z, bases) = setting();
        assert!(scale_free_gradient(z.view(), bases.view(), -1.0).is_err());
        let narrow = z.slice(ndarray::s![..5, ..]);
        assert!(scale_free_gradient(narrow, bases.view(), 1.0).is_err());
        assert!(unit_projection_gradient(narrow, bases.view(), 1.0).is_err());
        z.column_mut(4).fill(0.0);
        for gradient in [scale_free_gradient, unit_projection_gradient] {
            let error = gradient(z.view(), bases.view(), 1.0).unwrap_err();
            assert!(error.to_string().contains("column 4"), "{error}");
        }
        assert!(scale_free_rate(z.view(), bases.view(), 1.0).is_ok());
    }
}
