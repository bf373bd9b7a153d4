//! C-THY-29 to C-THY-33, C-THY-37, C-THY-38: what the rates do not see, and their bounds.

use ndarray::{concatenate, s, Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::mcr2::label_rate;
use whitebox::exact::{coding_rate, rate_reduction, subspace_rate};

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near, near_number};

fn rate(z: &Array2<f64>, epsilon: f64) -> f64 {
    coding_rate(z.view(), epsilon).unwrap().value
}

proptest! {
    /// `R(O Z) = R(Z)` and `R^c(O Z | O U) = R^c(Z | U)`.
    #[test]
    fn c_thy_29_rate_reduction_is_blind_to_rotations(setting in settings(), rotation in rotations()) {
        let Setting { z, bases, epsilon } = &setting;
        let d = z.nrows();
        let rotation = rotation.of(d);
        let turned = rotation.dot(z);
        let mut turned_bases = bases.clone();
        for (mut to, from) in turned_bases.outer_iter_mut().zip(bases.outer_iter()) {
            to.assign(&rotation.dot(&from));
        }
        let before = rate_reduction(z.view(), bases.view(), *epsilon).unwrap();
        let after = rate_reduction(turned.view(), turned_bases.view(), *epsilon).unwrap();
        let bound = |value| tolerance::moved_rates(z.view(), *epsilon, 8 * d, value);
        near_number("R", after.rate.value, before.rate.value, bound(before.rate.value))?;
        let (a, b) = (before.subspace.total, after.subspace.total);
        near_number("R^c", b, a, setting.heads() as f64 * bound(a))?;
    }

    /// Any orthogonal mixing of tokens leaves both rates as they are.
    #[test]
    fn c_thy_30_rate_reduction_is_blind_to_token_mixing(setting in settings(), mixing in rotations()) {
        let Setting { z, bases, epsilon } = &setting;
        let n = z.ncols();
        let mixed = z.dot(&mixing.of(n));
        let before = rate_reduction(z.view(), bases.view(), *epsilon).unwrap();
        let after = rate_reduction(mixed.view(), bases.view(), *epsilon).unwrap();
        let bound = |value| tolerance::moved_rates(z.view(), *epsilon, 8 * n, value);
        near_number("R", after.rate.value, before.rate.value, bound(before.rate.value))?;
        let (a, b) = (before.subspace.total, after.subspace.total);
        near_number("R^c", b, a, setting.heads() as f64 * bound(a))?;
    }

    /// `R` is concave in `M = Z Z^T`: the midpoint of two moments has at least the mean rate.
    #[test]
    fn c_thy_31_the_rate_is_concave_in_the_second_moment(setting in settings(), other in companions()) {
        let Setting { z, epsilon, .. } = &setting;
        let other = other.of(z.nrows(), z.ncols());
        // [Z, Z'] has moment M + M' and 2 N tokens, so its rate is that of the midpoint.
        let both = concatenate(Axis(1), &[z.view(), other.view()]).unwrap();
        let mean = 0.5 * (rate(z, *epsilon) + rate(&other, *epsilon));
        at_most("mean rate", mean, rate(&both, *epsilon), tolerance::rates(mean))?;
    }

    /// One direction, or all with the same energy: the least and the most that `R` can be for tokens of a size.
    #[test]
    fn c_thy_31_rank_one_and_isotropic_tokens_attain_the_bounds(
        turned in rotations(),
        [left, right] in [companions(), companions()],
        d in 1usize..7,
        extra in 0usize..7,
        epsilon in 0.1f64..3.0,
    ) {
        let n = d + extra;
        let a = d as f64 / n as f64 / (epsilon * epsilon);
        let frame = turned.frame(n, d).reversed_axes() * 2.0;
        let most = 0.5 * d as f64 * (4.0 * a).ln_1p();
        let bound = tolerance::moved_rates(frame.view(), epsilon, 8 * n, most);
        near_number("isotropic", rate(&frame, epsilon), most, bound)?;
        let line = left.of(d, 1).dot(&right.of(1, n));
        let least = 0.5 * (a * norm(line.view()).powi(2)).ln_1p();
        let bound = tolerance::moved_rates(line.view(), epsilon, 8 * n, least);
        near_number("rank one", rate(&line, epsilon), least, bound)?;
    }

    /// `logdet(I + a Z Z^T) <= sum_k logdet(I + a Z_k Z_k^T)` over a partition of the tokens.
    #[test]
    fn c_thy_32_rates_are_subadditive_over_tokens(setting in settings(), cut in 0.0f64..1.0) {
        let Setting { z, epsilon, .. } = &setting;
        let n = z.ncols();
        prop_assume!(n >= 2);
        let cut = 1 + (cut * (n - 1) as f64) as usize;
        prop_assume!(cut < n);
        // The coefficient d / (N eps^2) of the whole, for the parts too.
        let part = |range: std::ops::Range<usize>| {
            let tokens = z.slice(s![.., range]).to_owned();
            let scale = (tokens.ncols() as f64 / n as f64).sqrt();
            rate(&(tokens * scale), *epsilon)
        };
        let (whole, parts) = (rate(z, *epsilon), part(0..cut) + part(cut..n));
        at_most("whole", whole, parts, 2.0 * tolerance::moved_rates(z.view(), *epsilon, 2, parts))?;
    }

    /// Adding a token to more tokens gains less.
    #[test]
    fn c_thy_32_rates_are_submodular_in_the_tokens(setting in settings(), extra in companions()) {
        let Setting { z, epsilon, .. } = &setting;
        let (d, n) = z.dim();
        let extra = extra.of(d, 1);
        let few = z.slice(s![.., ..n.div_ceil(2)]);
        // One coefficient for all sets: 1 / eps^2 whatever their size.
        let total = |parts: &[ndarray::ArrayView2<'_, f64>]| {
            let z = concatenate(Axis(1), parts).unwrap();
            let scale = (z.ncols() as f64 / d as f64).sqrt();
            rate(&(z * scale), *epsilon)
        };
        let all = total(&[z.view(), extra.view()]);
        let gain_few = total(&[few, extra.view()]) - total(&[few]);
        let gain_many = all - total(&[z.view()]);
        let scaled = z * (n as f64 / d as f64).sqrt();
        at_most("later gain", gain_many, gain_few, 4.0 * tolerance::moved_rates(scaled.view(), *epsilon, 2, all))?;
    }

    /// Fischer: with complete orthogonal bases and equal coefficients the heads' rates sum to at
    /// least the whole, so `Delta R <= 0`; with the published ones it stays below `d / 2 ln K`.
    #[test]
    fn c_thy_33_rate_reduction_has_a_ceiling(setting in settings()) {
        let Setting { z, bases, epsilon } = &setting;
        let (d, heads) = (z.nrows(), setting.heads() as f64);
        let published = rate_reduction(z.view(), bases.view(), *epsilon).unwrap();
        let slack = heads * tolerance::moved_rates(z.view(), *epsilon, 4 * d, published.rate.value);
        at_most("Delta R", published.delta, 0.5 * d as f64 * heads.ln(), slack)?;
        // eps sqrt(p / d) in R^c gives both rates the coefficient d / (N eps^2).
        let equal = subspace_rate(z.view(), bases.view(), epsilon * (1.0 / heads).sqrt()).unwrap();
        at_most("R", published.rate.value, equal.total, slack)?;
    }

    /// Tokens that lie in their subspaces attain `sum_k sum_i 1/2 ln((1 + K c mu) / (1 + c mu))`, `mu` the energies of
    /// subspace `k`.
    #[test]
    fn c_thy_33_block_diagonal_tokens_attain_the_middle_bound(union in unions(2..5, 1..4, 1..7), epsilon in 0.2f64..2.0) {
        let (z, bases) = (union.tokens(0.0), union.bases());
        let (d, n) = z.dim();
        let heads = union.heads as f64;
        let c = union.p as f64 / n as f64 / (epsilon * epsilon);
        let middle: f64 = (0..union.heads)
            .flat_map(|k| {
                let w = project(&bases, k, &z);
                eigenvalues(&w.dot(&w.t())).to_vec()
            })
            .map(|mu| 0.5 * ((1.0 + heads * c * mu) / (1.0 + c * mu)).ln())
            .sum();
        let found = rate_reduction(z.view(), bases.view(), epsilon).unwrap();
        // An energy that is off by x moves its term by K c x / 2 at most.
        let energies = tolerance::sum(d + n, heads * c * norm(z.view()).powi(2));
        let bound = tolerance::moved_rates(z.view(), epsilon, 8 * d, found.rate.value) + energies;
        near_number("Delta R", found.delta, middle, bound)?;
    }

    /// `R^c(Z | Pi)` is concave in the memberships.
    #[test]
    fn c_thy_37_the_label_rate_is_concave_in_the_memberships(
        setting in settings(),
        groups in 1usize..4,
        [first, second] in [companions(), companions()],
    ) {
        let Setting { z, epsilon, .. } = &setting;
        let n = z.ncols();
        let (first, second) = (first.weights(groups, n, 0.01), second.weights(groups, n, 0.01));
        let value = |w: &Array2<f64>| label_rate(z.view(), w.view(), *epsilon).unwrap();
        let mean = 0.5 * (value(&first) + value(&second));
        let middle = value(&((&first + &second) * 0.5));
        at_most("mean rate", mean, middle, tolerance::moved_rates(z.view(), *epsilon, 8, mean))?;
    }

    /// ReduNet's `E z`, `E = alpha (I + alpha Z Z^T)^{-1}`, is alpha times the residual of the ridge
    /// regression of z on Z.
    #[test]
    fn c_thy_38_the_redunet_operator_is_a_ridge_residual(
        setting in ordinary_settings(),
        target in companions(),
        alpha in 0.1f64..10.0,
    ) {
        let z = &setting.z;
        let (d, n) = z.dim();
        let target = target.of(d, 1);
        let operator = inverse(&(Array2::eye(d) + z.dot(&z.t()) * alpha)) * alpha;
        // argmin alpha ||z - Z q||^2 + ||q||^2
        let normal = inverse(&(Array2::eye(n) + z.t().dot(z) * alpha));
        let coefficients = normal.dot(&z.t().dot(&target)) * alpha;
        let residual = (&target - &z.dot(&coefficients)) * alpha;
        let condition = 1.0 + alpha * norm(z.view()).powi(2);
        let bound = tolerance::inverse(condition, d + n, alpha * norm(target.view()));
        near("residual", &operator.dot(&target), &residual, bound)?;
    }
}

/// Two tokens: between `z` and `-z` the rate falls and rises again (not concave); along a ray it
/// grows like a logarithm (not convex).
#[test]
fn c_thy_31_the_rate_is_neither_convex_nor_concave_in_the_tokens() {
    let at = |x: f64| rate(&Array2::from_elem((1, 1), x), 1.0);
    assert!(at(0.0) < 0.5 * (at(-1.0) + at(1.0)));
    assert!(at(50.0) > 0.5 * (at(10.0) + at(90.0)));
}

/// One token that all subspaces share: it is coded once for R, and once a subspace for R^c.
#[test]
fn c_thy_33_rate_reduction_can_be_negative() {
    let (heads, p) = (4, 2);
    let d = heads * p;
    let bases = ndarray::Array3::from_shape_fn((heads, d, p), |(k, i, j)| {
        f64::from(u8::from(i == k * p + j))
    });
    let spread = Array2::from_elem((d, 1), 1.0);
    let found = rate_reduction(spread.view(), bases.view(), 1e-3).unwrap();
    assert!(found.delta < 0.0, "{}", found.delta);
}
