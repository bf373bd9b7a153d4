//! Where ascent on the rate reduction with labels ends, and how far that is from what the theorems say of
//! the maxima (book, theorems 3.7 and 3.8): groups in orthogonal subspaces, with equal singular values.

use ndarray::{concatenate, s, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exact::ascent::ascend;
use crate::exact::low_rank::{nearest_of_rank, singular_values};
use crate::exact::mcr2::{equal_labels, regularised_gradient};
use crate::exact::scale_free::unit_tokens;

/// A singular value counts as zero below this share of the largest.
const NOTHING: f64 = 1e-3;

/// `count` classes of `each` tokens, side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// How many.
    pub count: usize,
    /// Tokens of each.
    pub each: usize,
}

impl Groups {
    /// N, the tokens of all classes.
    pub fn tokens(self) -> usize {
        self.count * self.each
    }

    fn block(self, z: &Array2<f64>, k: usize) -> Array2<f64> {
        z.slice(s![.., k * self.each..(k + 1) * self.each])
            .to_owned()
    }

    /// The largest `|z_i^T z_j|` of tokens of different classes.
    fn across(self, z: &Array2<f64>) -> f64 {
        let gram = z.t().dot(z);
        let pairs = gram.indexed_iter();
        let pairs = pairs.filter(|((i, j), _)| i / self.each != j / self.each);
        pairs.map(|(_, v)| v.abs()).fold(0.0, f64::max)
    }
}

/// Where one ascent ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Maximum {
    /// Largest |cosine| of tokens of different classes at the start.
    pub start_cosine: f64,
    /// Largest |cosine| of tokens of different classes at the end.
    pub cosine: f64,
    /// Of the leading singular values of a class (all but the last), largest over classes: (largest -
    /// smallest) / largest.
    pub spread: f64,
    /// Of every class.
    pub ranks: Vec<usize>,
    /// Largest distance of a nonzero singular value from the closed form; none without regulariser.
    pub distance: Option<f64>,
    /// Largest entry of `Z_k^T Z_l`, k != l.
    pub cross_product: f64,
}

impl Maximum {
    /// Describes the way from `start` to `z`; `closed_form` is the value that all nonzero singular
    /// values of a class should have.
    ///
    /// # Shapes
    /// start and z (d, N), classes side by side.
    ///
    /// # Errors
    /// [`Error::Lapack`] if the numbers are not finite.
    pub fn of(
        start: &Array2<f64>,
        z: &Array2<f64>,
        groups: Groups,
        closed_form: Option<f64>,
    ) -> Result<Self> {
        let (mut spread, mut distance) = (0.0f64, 0.0f64);
        let mut ranks = Vec::new();
        for k in 0..groups.count {
            let values = singular_values(&groups.block(z, k))?;
            let rank = values.iter().filter(|&&v| v > NOTHING * values[0]).count();
            if rank > 1 {
                spread = spread.max((values[0] - values[rank - 2]) / values[0]);
            }
            if let Some(exact) = closed_form {
                let off = values.iter().take(rank).map(|v| (v - exact).abs());
                distance = distance.max(off.fold(0.0, f64::max));
            }
            ranks.push(rank);
        }
        Ok(Self {
            start_cosine: groups.across(&unit_tokens(start.view())),
            cosine: groups.across(&unit_tokens(z.view())),
            spread,
            ranks,
            distance: closed_form.map(|_| distance),
            cross_product: groups.across(z),
        })
    }
}

/// The inverse of the Lipschitz constant `d / (N eps^2)` of a rate's gradient.
fn first_step(d: usize, groups: Groups, epsilon: f64) -> f64 {
    groups.tokens() as f64 * epsilon.powi(2) / d as f64
}

/// `||Z_k||_F^2 = N_k` and `rank Z_k <= rank` for every class: the nearest of that rank, scaled.
///
/// # Shapes
/// z (d, N), classes side by side; gives (d, N).
///
/// # Errors
/// [`Error::Lapack`] if the numbers are not finite.
pub fn project(z: &Array2<f64>, groups: Groups, rank: usize) -> Result<Array2<f64>> {
    let blocks = (0..groups.count)
        .map(|k| {
            let low = nearest_of_rank(&groups.block(z, k), rank)?;
            let length = (&low * &low).sum().sqrt();
            Ok(low * ((groups.each as f64).sqrt() / length))
        })
        .collect::<Result<Vec<_>>>()?;
    let views: Vec<ArrayView2<'_, f64>> = blocks.iter().map(|b| b.view()).collect();
    concatenate(Axis(1), &views).map_err(|e| Error::misfit("groups side by side", views.len(), &e))
}

/// Ascent on `Delta R(Z | Pi)` from `start` under `||Z_k||_F^2 = N_k`, `rank Z_k <= rank` (book (3.4.15), theorem 3.7).
///
/// # Shapes
/// start (d, N), classes side by side.
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn constrained_maximum(
    start: &Array2<f64>,
    groups: Groups,
    rank: usize,
    epsilon: f64,
    iterations: usize,
) -> Result<Maximum> {
    let labels = equal_labels(groups.count, groups.each);
    let start = project(start, groups, rank)?;
    let z = ascend(
        start.clone(),
        iterations,
        first_step(start.nrows(), groups, epsilon),
        |z| regularised_gradient(z.view(), labels.view(), epsilon, 0.0),
        |z| project(&z, groups, rank),
    )?;
    Maximum::of(&start, &z, groups, None)
}

/// Ascent on `Delta R(Z | Pi) - lambda / 2 ||Z||_F^2` from `start`, its singular values compared with `closed_form`
/// (book (3.4.16), theorem 3.8).
///
/// # Shapes
/// start (d, N), classes side by side.
///
/// # Errors
/// [`Error::Shape`] for operands that are empty or do not fit; [`Error::Domain`] for NaN, infinities or `epsilon <= 0`;
/// [`Error::Lapack`] if a factorisation fails.
pub fn regularised_maximum(
    start: &Array2<f64>,
    groups: Groups,
    epsilon: f64,
    lambda: f64,
    iterations: usize,
    closed_form: Option<f64>,
) -> Result<Maximum> {
    let labels = equal_labels(groups.count, groups.each);
    let z = ascend(
        start.clone(),
        iterations,
        first_step(start.nrows(), groups, epsilon),
        |z| regularised_gradient(z.view(), labels.view(), epsilon, lambda),
        Ok,
    )?;
    Maximum::of(start, &z, groups, closed_form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use crate::exact::mcr2::{largest_lambda, regularised_singular_values};
    use ndarray::array;

    const PAIR: Groups = Groups { count: 2, each: 2 };

    #[test]
    fn a_maximum_is_described_by_hand() {
        let start = array![
            [1.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 1.0, 2.0],
            [0.0, 0.0, 0.0, 0.0]
        ];
        // Singular values 4 and 2 (with one more zero line), then 3 alone.
        let end = array![
            [4.0, 0.0, 0.0, 0.0],
            [0.0, 2.0, 0.5, 0.0],
            [0.0, 0.0, 3.0, 0.0]
        ];
        let found = Maximum::of(&start, &end, PAIR, Some(3.5)).unwrap();
        assert_eq!(found.start_cosine, 1.0);
        assert!((found.cosine - 0.5 / 9.25f64.sqrt()).abs() < 1e-15);
        assert_eq!(found.cross_product, 1.0);
        // All but the last of two is one: nothing to compare.
        assert_eq!(found.spread, 0.0);
        assert_eq!(found.ranks, [2, 1]);
        assert!((found.distance.unwrap() - 1.5).abs() < 1e-14);
        assert_eq!(
            Maximum::of(&start, &end, PAIR, None).unwrap().distance,
            None
        );
    }

    #[test]
    fn the_spread_leaves_out_the_last_singular_value() {
        let groups = Groups { count: 1, each: 3 };
        let z = Array2::from_diag(&array![4.0, 3.0, 1.0]);
        let found = Maximum::of(&z, &z, groups, None).unwrap();
        assert!((found.spread - 0.25).abs() < 1e-15);
    }

    #[test]
    fn a_projection_has_the_size_and_rank_asked_for_and_leaves_what_has_them() {
        let z = gaussian(1, "z", 4, 6);
        let groups = Groups { count: 2, each: 3 };
        let once = project(&z, groups, 2).unwrap();
        for k in 0..2 {
            let values = singular_values(&groups.block(&once, k)).unwrap();
            assert!(((&values * &values).sum() - 3.0).abs() < 1e-13);
            assert!(values[2] < 1e-14 * values[0]);
        }
        let twice = project(&once, groups, 2).unwrap();
        assert!((&twice - &once).iter().all(|v| v.abs() < 1e-14));
    }

    /// Two classes of one direction each in a plane: largest where the two are orthogonal, any start.
    #[test]
    fn two_lines_in_a_plane_are_turned_until_they_are_orthogonal() {
        for start in 0..4 {
            let z = gaussian(start, "z", 2, 4);
            let found = constrained_maximum(&z, PAIR, 1, 0.5, 2000).unwrap();
            assert!(found.cosine < 1e-6, "{found:?}");
            assert_eq!(found.ranks, [1, 1]);
        }
    }

    #[test]
    fn ascent_with_a_regulariser_ends_at_the_closed_form() {
        let (d, epsilon) = (4, 0.5);
        let groups = Groups { count: 2, each: 5 };
        let lambda = 0.5 * largest_lambda(d, 10, 5, epsilon);
        let exact = regularised_singular_values(d, 10, 5, epsilon, lambda)
            .unwrap()
            .0;
        // Tokens that are too small are drawn to zero, the other maximum.
        let z = gaussian(7, "z", d, 10) * 3.0;
        let found = regularised_maximum(&z, groups, epsilon, lambda, 2000, Some(exact)).unwrap();
        assert!(
            found.distance.unwrap() < 1e-6 && found.cross_product < 1e-6,
            "{found:?}"
        );
        assert_eq!(found.ranks.iter().sum::<usize>(), d);
    }
}
