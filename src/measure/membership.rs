//! Attention's weights against memberships: where their mass lies, and what a softmax over the other axis
//! would do.

use ndarray::{Array1, Array2, ArrayView1, ArrayView3};

use crate::data::subspaces::SubspaceTokens;
use crate::exact::mssa::attention_map;

/// Where the weights of attention lie, means over heads and tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Masses {
    /// Tokens of the head's subspace: mass on all of its tokens.
    pub own_subspace: f64,
    /// Mass on the token itself.
    pub itself: f64,
    /// Mass on the others of the subspace.
    pub others_of_own: f64,
    /// Tokens of other subspaces: entropy of their weights over `ln N`, 1 if they read all alike.
    pub foreign_entropy: f64,
}

impl Masses {
    /// Of the noisy tokens of a draw, with scores times `scale`.
    pub fn of(drawn: &SubspaceTokens, scale: f64) -> Self {
        let heads = drawn.bases.dim().0;
        let mut sums = Self::default();
        for (k, basis) in drawn.bases.outer_iter().enumerate() {
            let map = attention_map(drawn.noisy.view(), basis, scale);
            let members = drawn.members(k);
            for (j, column) in map.columns().into_iter().enumerate() {
                if members.contains(&j) {
                    let own: f64 = members.clone().map(|i| column[i]).sum();
                    let share = (members.len() * heads) as f64;
                    sums.own_subspace += own / share;
                    sums.itself += column[j] / share;
                    sums.others_of_own += (own - column[j]) / share;
                } else {
                    let entropy: f64 = column
                        .iter()
                        .map(|&a| if a > 0.0 { -a * a.ln() } else { 0.0 })
                        .sum();
                    let share = ((map.ncols() - members.len()) * heads) as f64;
                    sums.foreign_entropy += entropy / (map.ncols() as f64).ln() / share;
                }
            }
        }
        sums
    }
}

/// `sum_k softmax_k(scale ||U_k^T x||^2) U_k U_k^T x`: attention's weights, normalised over heads.
///
/// # Shapes
/// x (d,), bases (K, d, p); gives (d,).
///
/// # Panics
/// If `bases` has not as many rows as `x`.
pub fn head_softmax(x: ArrayView1<'_, f64>, bases: ArrayView3<'_, f64>, scale: f64) -> Array1<f64> {
    let projections: Vec<Array1<f64>> = bases.outer_iter().map(|basis| basis.t().dot(&x)).collect();
    let energies: Vec<f64> = projections.iter().map(|w| scale * w.dot(w)).collect();
    let largest = energies.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = energies.iter().map(|e| (e - largest).exp()).sum();
    let mut sum = Array1::zeros(x.len());
    for ((basis, w), e) in bases.outer_iter().zip(&projections).zip(&energies) {
        sum.scaled_add((e - largest).exp() / total, &basis.dot(w));
    }
    sum
}

/// The combination `a X + b M` nearest to the clean tokens: the most favourable step there is.
///
/// # Shapes
/// All (d, N); gives (d, N).
///
/// # Panics
/// If the shapes differ.
pub fn best_mix(x: &Array2<f64>, m: &Array2<f64>, clean: &Array2<f64>) -> Array2<f64> {
    let inner = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum();
    let (xx, xm, mm) = (inner(x, x), inner(x, m), inner(m, m));
    let (xc, mc) = (inner(x, clean), inner(m, clean));
    let determinant = xx * mm - xm * xm;
    // M along X (or zero): the best multiple of X is all there is.
    if determinant <= 1e-12 * xx * mm.max(f64::MIN_POSITIVE) {
        return x * (xc / xx);
    }
    let a = (mm * xc - xm * mc) / determinant;
    let b = (xx * mc - xm * xc) / determinant;
    x * a + m * b
}

/// Mean square of the entries of `found - clean`.
///
/// # Shapes
/// Both (d, N).
///
/// # Panics
/// If the shapes differ.
pub fn mean_square_error(found: &Array2<f64>, clean: &Array2<f64>) -> f64 {
    let difference = found - clean;
    (&difference * &difference).sum() / found.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{gaussian, UnionOfSubspaces};
    use crate::exact::linear::frobenius;

    #[test]
    fn without_scores_all_read_all_alike_and_with_large_ones_tokens_read_their_own() {
        let drawn = UnionOfSubspaces::new(2, 8, 40, 0.0).draw(1, 0).unwrap();
        let flat = Masses::of(&drawn, 0.0);
        assert!((flat.own_subspace - 0.5).abs() < 1e-12);
        assert!((flat.itself - 1.0 / 40.0).abs() < 1e-12);
        assert!((flat.foreign_entropy - 1.0).abs() < 1e-12);
        let sharp = Masses::of(&drawn, 100.0);
        // Most read themselves; some a longer token that points the same way.
        assert!(
            sharp.itself > 0.5 && (sharp.own_subspace - 1.0).abs() < 1e-9,
            "{sharp:?}"
        );
        let parts = sharp.itself + sharp.others_of_own;
        assert!((parts - sharp.own_subspace).abs() < 1e-12);
        // Without noise, other subspaces are seen by no head: their tokens still read all alike.
        assert!((sharp.foreign_entropy - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_softmax_over_heads_shares_a_token_out() {
        let drawn = UnionOfSubspaces::new(2, 4, 8, 0.0).draw(2, 0).unwrap();
        let token = drawn.clean.column(0);
        let half = head_softmax(token, drawn.bases.view(), 0.0);
        assert!(half
            .iter()
            .zip(token)
            .all(|(h, t)| (h - 0.5 * t).abs() < 1e-13));
        let all = head_softmax(token, drawn.bases.view(), 1e3);
        assert!(all.iter().zip(token).all(|(h, t)| (h - t).abs() < 1e-12));
    }

    #[test]
    fn the_best_mix_leaves_an_error_that_neither_part_can_take_off() {
        let [x, m, clean] = ["x", "m", "clean"].map(|name| gaussian(3, name, 4, 5));
        let left = best_mix(&x, &m, &clean) - &clean;
        assert!((&left * &x).sum().abs() < 1e-12 && (&left * &m).sum().abs() < 1e-12);
        // Where M is along X nothing but a multiple of X can be had.
        let along = best_mix(&x, &(&x * 2.0), &clean);
        let expected = &x * ((&x * &clean).sum() / (&x * &x).sum());
        assert!(frobenius((&along - &expected).view()) < 1e-12);
        assert!((mean_square_error(&(&clean + 2.0), &clean) - 4.0).abs() < 1e-12);
    }
}
