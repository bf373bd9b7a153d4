//! Whether the layers of a decoder undo those of the encoder (C-MAE-07): a linear map from the states of one to those
//! of the other, their dictionaries, and the subspaces of their heads. What is measured of matched layers has a meaning
//! only beside the same of layers that do not match.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};
use ndarray_linalg::{FactorizeHInto, SolveH};
use serde::{Deserialize, Serialize};

use super::coherence::overlap;
use crate::error::{Error, Result};
use crate::exact::frame::frame;
use crate::exact::linear::{frobenius, inner};
use crate::exact::low_rank::singular_values;
use crate::exact::single_threaded_blas;

/// Weight of the ridge over the mean variance of an input: it makes the map unique where inputs are dependent, as
/// sparse codes with dead coordinates are. Small, since weak directions of an input may carry what is asked for.
const RIDGE: f64 = 1e-6;

/// Heads that are matched, at most.
const MOST_HEADS: usize = 16;

/// `R^2` on held-out tokens of the map `x -> A x + b` whose `A` and `b` minimise
/// `sum_i |A x_i + b - y_i|^2 + r |A|_F^2` over the others, pooled over the coordinates of `y`:
///
/// `1 - sum |y - A x - b|^2 / sum |y - m|^2`, `m` the mean of `targets`.
///
/// 1 for targets that are an affine map of the inputs; 0 for no better a guess than `m`; negative for a worse one.
///
/// # Shapes
/// inputs (n, d) and targets (n, e), the same tokens in the same order; held_out_inputs (m, d) and held_out_targets
/// (m, e) likewise.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit, or one is empty; [`Error::Domain`] if a number is not finite, if the
/// equations have no solution, since all inputs are the same, or if all held-out targets are `m`.
pub fn linear_agreement(
    inputs: ArrayView2<'_, f64>,
    targets: ArrayView2<'_, f64>,
    held_out_inputs: ArrayView2<'_, f64>,
    held_out_targets: ArrayView2<'_, f64>,
) -> Result<f64> {
    single_threaded_blas();
    let ((n, d), (m, e)) = (inputs.dim(), held_out_targets.dim());
    check("inputs", inputs, (n, d))?;
    check("targets", targets, (n, e))?;
    check("held-out inputs", held_out_inputs, (m, d))?;
    check("held-out targets", held_out_targets, (m, e))?;
    let mean = |rows: ArrayView2<'_, f64>| rows.sum_axis(Axis(0)) / rows.nrows() as f64;
    let (input_mean, target_mean) = (mean(inputs), mean(targets));
    // Without their means, the inputs leave `b` out of the equations.
    let x = &inputs - &input_mean;
    let y = &targets - &target_mean;
    let mut gram = x.t().dot(&x);
    let ridge = RIDGE * gram.diag().sum() / d as f64;
    gram.diag_mut().mapv_inplace(|g| g + ridge);
    let unsolvable = |e: ndarray_linalg::error::LinalgError| {
        Error::domain(
            "the equations of least squares",
            "a solution",
            e.to_string(),
            "use inputs that differ",
        )
    };
    let factors = gram.factorizeh_into().map_err(unsolvable)?;
    let products = x.t().dot(&y);
    let mut map = Array2::<f64>::zeros((d, e));
    for (product, mut column) in products.columns().into_iter().zip(map.columns_mut()) {
        let solution = factors.solveh(&product.to_owned()).map_err(unsolvable)?;
        column.assign(&solution);
    }
    let spread = &held_out_targets - &target_mean;
    let missed = &spread - &(&held_out_inputs - &input_mean).dot(&map);
    let total = inner(spread.view(), spread.view());
    if total == 0.0 {
        return Err(Error::domain(
            "held-out targets",
            "numbers that are not all the mean",
            "no variance",
            "use targets that differ",
        ));
    }
    Ok(1.0 - inner(missed.view(), missed.view()) / total)
}

/// Refuses a matrix that is empty, of another shape, or not finite.
fn check(name: &str, matrix: ArrayView2<'_, f64>, wanted: (usize, usize)) -> Result<()> {
    if matrix.is_empty() || matrix.dim() != wanted {
        return Err(Error::shape(
            name,
            format!("{wanted:?} without a 0"),
            format!("{:?}", matrix.dim()),
            "pass matrices that belong together",
        ));
    }
    match matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((position, value)) => Err(Error::domain(
            name,
            "finite numbers",
            format!("{value} at {position:?}"),
            "find out where it comes from",
        )),
    }
}

/// `min_c ||A - c B||_F / ||A||_F`, `c` any real number: the sine of the angle between `A` and the line through `B`. 0
/// for a multiple, 1 for orthogonal matrices or `B = 0`; NaN for `A = 0`.
///
/// # Shapes
/// a and b of the same shape.
///
/// # Panics
/// If the shapes differ.
pub fn distance_to_multiple(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    let square = inner(b, b);
    let factor = match square > 0.0 {
        true => inner(a, b) / square,
        false => 0.0,
    };
    // Not by `1 - cos^2`, which has half of the digits where the distance is small.
    frobenius((&a - &(&b * factor)).view()) / frobenius(a)
}

/// How far a decoder's matrix is from the three things that it may be to an encoder's, each up to the best factor, see
/// [`distance_to_multiple`]: 0 if it is that, nearly 1 if it has nothing to do with it, since the cosine of unrelated
/// matrices (d, d) is about `1 / d`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InverseMisfit {
    /// From the inverse of the encoder's: distance of `W_dec W_enc`, in this order, from the identity.
    pub inverse: f64,
    /// From the transpose of the encoder's: distance of `W_dec` from `W_enc^T`.
    pub transpose: f64,
    /// From the encoder's own: distance of `W_dec` from `W_enc`. Where ISTA finds codes `z` with `W_enc z` near its
    /// input, this is what leads back.
    pub same: f64,
}

/// [`InverseMisfit`] of a decoder layer's map `y = W_dec z` and an encoder layer's dictionary.
///
/// # Shapes
/// decoder and encoder (d, d), both acting on columns.
///
/// # Errors
/// [`Error::Shape`] if they are not square matrices of one size; [`Error::Domain`] if a number is not finite.
pub fn inverse_misfit(
    decoder: ArrayView2<'_, f64>,
    encoder: ArrayView2<'_, f64>,
) -> Result<InverseMisfit> {
    single_threaded_blas();
    let d = decoder.nrows();
    check("decoder", decoder, (d, d))?;
    check("encoder", encoder, (d, d))?;
    let identity = Array2::<f64>::eye(d);
    Ok(InverseMisfit {
        inverse: distance_to_multiple(decoder.dot(&encoder).view(), identity.view()),
        transpose: distance_to_multiple(decoder, encoder.t()),
        same: distance_to_multiple(decoder, encoder),
    })
}

/// The principal angles between the spans of the columns of `a` and `b` (Björck and Golub 1973), in radians from 0 to
/// `pi / 2`, ascending. With orthonormal bases `P` of the wider and `Q` of the other, their cosines are the singular
/// values of `P^T Q`, their sines those of `Q - P P^T Q`: from both, small angles and right ones are exact to rounding.
///
/// # Shapes
/// a (d, p) and b (d, q) with independent columns; gives min(p, q) angles.
///
/// # Errors
/// [`Error::Shape`] if they have not equally many rows, or one is empty or wider than high; [`Error::Domain`] if a
/// number is not finite; [`Error::Lapack`] if a factorisation fails.
pub fn principal_angles(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Vec<f64>> {
    let (d, p, q) = (a.nrows(), a.ncols(), b.ncols());
    check("first basis", a, (d, p.min(d)))?;
    check("second basis", b, (d, q.min(d)))?;
    let (wide, narrow) = if p < q { (b, a) } else { (a, b) };
    let (wide, narrow) = (frame(wide)?, frame(narrow)?);
    let product = wide.t().dot(&narrow);
    let cosines = singular_values(&product)?;
    let sines = singular_values(&(&narrow - &wide.dot(&product)))?;
    // Both descend: the largest cosine belongs to the smallest sine.
    let pairs = cosines.iter().zip(sines.iter().rev());
    Ok(pairs.map(|(cosine, sine)| sine.atan2(*cosine)).collect())
}

/// How much of the subspaces of one layer's heads lies in those of another's: the mean over heads of the mean `cos^2`
/// of principal angles, see [`overlap`], between each head and its partner, under the one-to-one matching of heads for
/// which this is largest. 1 for the same subspaces in whatever order. Unrelated subspaces have `p / d` on average, and
/// more by the best matching: what is random has to be matched too.
///
/// # Shapes
/// bases_a and bases_b (K, d, p), the columns of a basis independent.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ, or are empty or wider than high; [`Error::Size`] for more than 16 heads;
/// [`Error::Lapack`] if a number is not finite.
pub fn matched_affinity(bases_a: ArrayView3<'_, f64>, bases_b: ArrayView3<'_, f64>) -> Result<f64> {
    let (heads, d, p) = bases_a.dim();
    if bases_a.is_empty() || p > d || bases_b.dim() != (heads, d, p) {
        return Err(Error::shape(
            "bases of two layers",
            "(K, d, p) both, without a 0, p <= d",
            format!("{:?} and {:?}", bases_a.dim(), bases_b.dim()),
            "compare layers of one width with equally many heads",
        ));
    }
    if heads > MOST_HEADS {
        return Err(Error::size(
            "heads to match",
            MOST_HEADS,
            heads,
            "match a part of the heads",
        ));
    }
    let mut affinities = Array2::<f64>::zeros((heads, heads));
    for (a, mut row) in bases_a.outer_iter().zip(affinities.rows_mut()) {
        for (b, affinity) in bases_b.outer_iter().zip(row.iter_mut()) {
            *affinity = overlap(a, b)?;
        }
    }
    Ok(best_matching(&affinities) / heads as f64)
}

/// The largest sum of one entry of every row, no two in a column. The first `k` rows take some set of `k` columns; the
/// best way to do so has its last row in one of them, and the rows before in the best way on the others (Held and Karp
/// 1962): `K 2^K` sums, where trying all matchings takes `K!`.
fn best_matching(affinities: &Array2<f64>) -> f64 {
    let count = affinities.nrows();
    let mut best = vec![0.0f64; 1usize << count];
    for set in 1..best.len() {
        let row = set.count_ones() as usize - 1;
        let mut largest = f64::NEG_INFINITY;
        for column in 0..count {
            let bit = 1usize << column;
            if set & bit != 0 {
                largest = largest.max(best[set ^ bit] + affinities[(row, column)]);
            }
        }
        best[set] = largest;
    }
    best[best.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{gaussian, orthogonal_bases, orthonormal};
    use ndarray::array;
    use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

    #[test]
    fn an_affine_map_is_found_and_noise_is_not() {
        let map = gaussian(1, "map", 4, 3);
        let tokens = |name: &str, count: usize| {
            let inputs = gaussian(1, name, count, 4);
            let targets = inputs.dot(&map) + &array![5.0, -7.0, 100.0];
            (inputs, targets)
        };
        let ((x, y), (u, v)) = (tokens("training", 200), tokens("held out", 100));
        let found = linear_agreement(x.view(), y.view(), u.view(), v.view()).unwrap();
        // The ridge leaves about the square of itself.
        assert!((found - 1.0).abs() < 1e-9, "{found}");
        // Nothing to learn: the guess is the mean, but for 4 of 200 directions of noise.
        let noise = [200, 100].map(|count| gaussian(2, &format!("noise {count}"), count, 3));
        let found = linear_agreement(x.view(), noise[0].view(), u.view(), noise[1].view());
        assert!(found.unwrap().abs() < 0.15);
    }

    #[test]
    fn agreement_is_that_of_a_line_fitted_by_hand() {
        // y = 2 x + 1 by the four points (-1, 1), (-1, -3), (1, 5), (1, 1): slope 2, intercept 1.
        let (x, y) = (
            array![[-1.0], [-1.0], [1.0], [1.0]],
            array![[1.0], [-3.0], [5.0], [1.0]],
        );
        // At 2 the line is at 5: 5 is hit, 7 missed by 2. From the mean of the targets, 1, they are 4 and 6 away.
        let (u, v) = (array![[2.0], [2.0]], array![[5.0], [7.0]]);
        let found = linear_agreement(x.view(), y.view(), u.view(), v.view()).unwrap();
        assert!((found - (1.0 - 4.0 / 52.0)).abs() < 1e-5, "{found}");
        // A coordinate that is dead, and one that is another's double, change nothing.
        let wider = |x: &Array2<f64>| {
            Array2::from_shape_fn((x.nrows(), 3), |(i, j)| x[(i, 0)] * [1.0, 0.0, 2.0][j])
        };
        let same = linear_agreement(wider(&x).view(), y.view(), wider(&u).view(), v.view());
        assert!((same.unwrap() - found).abs() < 1e-5);
    }

    #[test]
    fn agreement_refuses_what_does_not_fit_or_does_not_vary() {
        let x = gaussian(1, "x", 6, 2);
        let constant = Array2::<f64>::ones((6, 2));
        let of = |targets: &Array2<f64>, held_out: &Array2<f64>| {
            linear_agreement(x.view(), targets.view(), x.view(), held_out.view())
        };
        assert!(of(&x, &x).is_ok());
        assert!(of(&constant, &constant).is_err());
        assert!(of(&x, &gaussian(1, "y", 6, 3)).is_err());
        assert!(of(&x, &(&x * f64::NAN)).is_err());
    }

    #[test]
    fn the_distance_from_a_multiple_is_the_sine_of_the_angle() {
        let (a, b) = (
            array![[3.0, 0.0], [0.0, 4.0]],
            array![[2.0, 0.0], [0.0, 0.0]],
        );
        assert!((distance_to_multiple(a.view(), b.view()) - 0.8).abs() < 1e-14);
        assert_eq!(distance_to_multiple(a.view(), (&a * -0.5).view()), 0.0);
        assert_eq!(distance_to_multiple(a.view(), (&a * 0.0).view()), 1.0);
        assert!(distance_to_multiple((&a * 0.0).view(), a.view()).is_nan());
    }

    #[test]
    fn inverse_transpose_and_copy_are_told_apart() {
        // Its inverse is [[0, 1], [1/2, 0]]; the square is 2 I.
        let encoder = array![[0.0, 2.0], [1.0, 0.0]];
        let inverse = array![[0.0, 1.0], [0.5, 0.0]] * -3.0;
        let found = inverse_misfit(inverse.view(), encoder.view()).unwrap();
        assert!(found.inverse < 1e-14 && found.same < 1e-14);
        // <[[0, 2], [1, 0]], [[0, 1], [2, 0]]> = 4 of 5: the sine is 3/5.
        assert!((found.transpose - 0.6).abs() < 1e-14, "{found:?}");
        let found = inverse_misfit(encoder.t(), encoder.view()).unwrap();
        // W^T W = diag(1, 4): c = 5/2, and sqrt(2) 3/2 of sqrt(17) are left.
        let left = 1.5 * (2.0f64 / 17.0).sqrt();
        assert!(found.transpose < 1e-14 && (found.inverse - left).abs() < 1e-14);
        assert!((found.same - 0.6).abs() < 1e-14);
        let rotation = orthonormal(1, "rotation", 20, 20).unwrap();
        let found = inverse_misfit(rotation.t(), rotation.view()).unwrap();
        assert!(found.inverse < 1e-13 && found.transpose < 1e-13);
        assert!(found.same > 0.8);
        assert!(inverse_misfit(array![[1.0, 2.0]].view(), encoder.view()).is_err());
    }

    #[test]
    fn planes_that_share_a_line_have_one_angle_whatever_their_bases() {
        let plane = array![[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]];
        for angle in [1e-9, 0.3, 1.2, FRAC_PI_2] {
            let (sine, cosine) = f64::sin_cos(angle);
            // The shared line (1, 0, 0), and (0, cos, sin) with four times as much of it.
            let other = array![[4.0, -2.0], [cosine, 0.0], [sine, 0.0]];
            let found = principal_angles(plane.view(), other.view()).unwrap();
            assert_eq!(found.len(), 2);
            assert!(found[0].abs() < 1e-14, "{found:?}");
            assert!((found[1] - angle).abs() < 1e-14, "{angle}: {found:?}");
        }
    }

    #[test]
    fn a_line_has_one_angle_with_a_plane_from_either_side() {
        let plane = array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]];
        let line = array![[1.0], [0.0], [1.0]];
        for (a, b) in [(&plane, &line), (&line, &plane)] {
            let found = principal_angles(a.view(), b.view()).unwrap();
            assert_eq!(found.len(), 1);
            assert!((found[0] - FRAC_PI_4).abs() < 1e-14);
        }
        assert!(principal_angles(plane.view(), array![[1.0]].view()).is_err());
        assert!(principal_angles(plane.t(), plane.t()).is_err());
    }

    #[test]
    fn affinity_finds_the_same_heads_in_another_order_and_basis() {
        let bases = orthogonal_bases(3, "bases", 4, 3).unwrap();
        let mut other = bases.select(Axis(0), &[2, 0, 3, 1]);
        for (head, mut basis) in other.outer_iter_mut().enumerate() {
            let turned = basis.dot(&gaussian(3, &format!("turn {head}"), 3, 3));
            basis.assign(&turned);
        }
        let found = matched_affinity(bases.view(), other.view()).unwrap();
        assert!((found - 1.0).abs() < 1e-12, "{found}");
        // Every head shares one of its two directions with either head of the other layer.
        let planes = |columns: [usize; 4]| {
            let unit = Array2::<f64>::eye(4);
            let chosen = unit.select(Axis(1), &columns);
            ndarray::Array3::from_shape_fn((2, 4, 2), |(k, i, j)| chosen[(i, 2 * k + j)])
        };
        let found = matched_affinity(planes([0, 1, 2, 3]).view(), planes([1, 2, 3, 0]).view());
        assert!((found.unwrap() - 0.5).abs() < 1e-14);
        let many = ndarray::Array3::<f64>::ones((17, 2, 1));
        assert!(matched_affinity(many.view(), many.view()).is_err());
    }

    /// All matchings, one after the other.
    fn brute_force(affinities: &Array2<f64>, row: usize, free: &[usize]) -> f64 {
        if free.is_empty() {
            return 0.0;
        }
        let with = |&column: &usize| {
            let rest: Vec<usize> = free.iter().copied().filter(|&c| c != column).collect();
            affinities[(row, column)] + brute_force(affinities, row + 1, &rest)
        };
        free.iter().map(with).fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn the_best_matching_is_not_the_greedy_one_and_the_best_of_all() {
        assert_eq!(best_matching(&array![[0.9, 0.8], [0.7, 0.0]]), 1.5);
        assert_eq!(best_matching(&array![[0.25]]), 0.25);
        for draw in 0..20 {
            let affinities = gaussian(draw, "affinities", 6, 6);
            let found = best_matching(&affinities);
            let all = brute_force(&affinities, 0, &[0, 1, 2, 3, 4, 5]);
            assert!((found - all).abs() < 1e-13, "{found} {all}");
        }
    }
}
