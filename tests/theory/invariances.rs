//! C-THY-29 to C-THY-33, C-THY-37, C-THY-38: what the rates do not see, and their bounds.

use ndarray::{concatenate, s, Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::mcr2::label_rate;
use whitebox::exact::{coding_rate, rate_reduction, subspace_rate};

use crate::strategies::*;

fn rate(z: &Array2<f64>, epsilon: f64) -> f64 {
    coding_rate(z.view(), epsilon).unwrap().value
}

proptest! {
    /// `R(O Z) = R(Z)` and `R^c(O Z | O U) = R^c(Z | U)`.
    #[test]
    fn c_thy_29_rate_reduction_is_blind_to_rotations(setting in settings()) {
        let Setting { z, bases, epsilon, seed } = &setting;
        let d = z.nrows();
        let rotation = orthonormal(*seed, "rotation", d, d);
        let turned = rotation.dot(z);
        let mut turned_bases = bases.clone();
        for (mut to, from) in turned_bases.outer_iter_mut().zip(bases.outer_iter()) {
            to.assign(&rotation.dot(&from));
        }
        let before = rate_reduction(z.view(), bases.view(), *epsilon).unwrap();
        let after = rate_reduction(turned.view(), turned_bases.view(), *epsilon).unwrap();
        let tolerance = |value| rate_tolerance(z.view(), *epsilon, 8.0 * d as f64, value);
        prop_assert!((before.rate.value - after.rate.value).abs() <= tolerance(before.rate.value));
        let (a, b) = (before.subspace.total, after.subspace.total);
        prop_assert!((a - b).abs() <= setting.heads() as f64 * tolerance(a));
    }

    /// Any orthogonal mixing of tokens leaves both rates as they are.
    #[test]
    fn c_thy_30_rate_reduction_is_blind_to_token_mixing(setting in settings()) {
        let Setting { z, bases, epsilon, seed } = &setting;
        let n = z.ncols();
        let mixed = z.dot(&orthonormal(*seed, "mixing", n, n));
        let before = rate_reduction(z.view(), bases.view(), *epsilon).unwrap();
        let after = rate_reduction(mixed.view(), bases.view(), *epsilon).unwrap();
        let tolerance = |value| rate_tolerance(z.view(), *epsilon, 8.0 * n as f64, value);
        prop_assert!((before.rate.value - after.rate.value).abs() <= tolerance(before.rate.value));
        let (a, b) = (before.subspace.total, after.subspace.total);
        prop_assert!((a - b).abs() <= setting.heads() as f64 * tolerance(a));
    }

    /// `R` is concave in `M = Z Z^T`: the midpoint of two moments has at least the mean rate.
    #[test]
    fn c_thy_31_the_rate_is_concave_in_the_second_moment(setting in settings()) {
        let Setting { z, epsilon, seed, .. } = &setting;
        let other = gaussian(*seed, "other", z.nrows(), z.ncols());
        // [Z, Z'] has moment M + M' and 2 N tokens, so its rate is that of the midpoint.
        let both = concatenate(Axis(1), &[z.view(), other.view()]).unwrap();
        let middle = rate(&both, *epsilon);
        let mean = 0.5 * (rate(z, *epsilon) + rate(&other, *epsilon));
        prop_assert!(middle >= mean * (1.0 - 2e-12));
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
        prop_assert!(whole <= parts * (1.0 + 2e-12) + rate_tolerance(z.view(), *epsilon, 2.0, parts));
    }

    /// Adding a token to more tokens gains less.
    #[test]
    fn c_thy_32_rates_are_submodular_in_the_tokens(setting in settings()) {
        let Setting { z, epsilon, seed, .. } = &setting;
        let (d, n) = z.dim();
        let extra = gaussian(*seed, "extra", d, 1);
        let few = z.slice(s![.., ..n.div_ceil(2)]);
        // One coefficient for all sets: 1 / eps^2 whatever their size.
        let total = |parts: &[ndarray::ArrayView2<'_, f64>]| {
            let z = concatenate(Axis(1), parts).unwrap();
            let scale = (z.ncols() as f64 / d as f64).sqrt();
            rate(&(z * scale), *epsilon)
        };
        let gain_few = total(&[few, extra.view()]) - total(&[few]);
        let gain_many = total(&[z.view(), extra.view()]) - total(&[z.view()]);
        let tolerance = 4.0 * rate_tolerance((z * (n as f64 / d as f64).sqrt()).view(), *epsilon, 2.0, total(&[z.view(), extra.view()]));
        prop_assert!(gain_many <= gain_few + tolerance);
    }

    /// Fischer: with complete orthogonal bases and equal coefficients the heads' rates sum to at
    /// least the whole, so `Delta R <= 0`; with the published ones it stays below `d / 2 ln K`.
    #[test]
    fn c_thy_33_rate_reduction_has_a_ceiling(setting in settings()) {
        let Setting { z, bases, epsilon, .. } = &setting;
        let (d, heads) = (z.nrows() as f64, setting.heads() as f64);
        let published = rate_reduction(z.view(), bases.view(), *epsilon).unwrap();
        let tolerance = heads * rate_tolerance(z.view(), *epsilon, 4.0 * d, published.rate.value);
        prop_assert!(published.delta <= 0.5 * d * heads.ln() + tolerance);
        // eps sqrt(p / d) in R^c gives both rates the coefficient d / (N eps^2).
        let equal = subspace_rate(z.view(), bases.view(), epsilon * (1.0 / heads).sqrt()).unwrap();
        prop_assert!(published.rate.value <= equal.total + tolerance);
    }

    /// `R^c(Z | Pi)` is concave in the memberships.
    #[test]
    fn c_thy_37_the_label_rate_is_concave_in_the_memberships(setting in settings(), groups in 1usize..4) {
        let Setting { z, epsilon, seed, .. } = &setting;
        let n = z.ncols();
        let weights = |name: &str| {
            let flat = uniform(*seed, name, groups * n).to_vec();
            let mut weights = Array2::from_shape_vec((groups, n), flat).unwrap() + 0.01;
            for mut token in weights.axis_iter_mut(Axis(1)) {
                let sum = token.sum();
                token /= sum;
            }
            weights
        };
        let (first, second) = (weights("first"), weights("second"));
        let value = |w: &Array2<f64>| label_rate(z.view(), w.view(), *epsilon).unwrap();
        let mean = 0.5 * (value(&first) + value(&second));
        let middle = value(&((&first + &second) * 0.5));
        prop_assert!(middle >= mean - rate_tolerance(z.view(), *epsilon, 8.0, mean));
    }

    /// ReduNet's `E z`, `E = alpha (I + alpha Z Z^T)^{-1}`, is alpha times the residual of the ridge
    /// regression of z on Z.
    #[test]
    fn c_thy_38_the_redunet_operator_is_a_ridge_residual(setting in ordinary_settings(), alpha in 0.1f64..10.0) {
        let z = &setting.z;
        let (d, n) = z.dim();
        let target = gaussian(setting.seed, "target", d, 1);
        let operator = inverse(&(Array2::eye(d) + z.dot(&z.t()) * alpha)) * alpha;
        // argmin alpha ||z - Z q||^2 + ||q||^2
        let normal = inverse(&(Array2::eye(n) + z.t().dot(z) * alpha));
        let coefficients = normal.dot(&z.t().dot(&target)) * alpha;
        let residual = (&target - &z.dot(&coefficients)) * alpha;
        let condition = 1.0 + alpha * norm(z.view()).powi(2);
        let error = norm((operator.dot(&target) - residual).view());
        prop_assert!(error <= 1e-14 * condition * alpha * norm(target.view()) * (d + n) as f64);
    }
}

/// A union of subspaces and a dense cloud with equal rate reduction; the labelled rate tells them
/// apart.
#[test]
fn c_thy_30_equal_rates_with_and_without_membership() {
    let (heads, p, per_head) = (4, 8, 25);
    let (d, n) = (heads * p, heads * per_head);
    let bases = orthogonal_bases(1, heads, p);
    let mut z = Array2::zeros((d, n));
    let mut labels = Array2::zeros((heads, n));
    for k in 0..heads {
        let range = s![.., k * per_head..(k + 1) * per_head];
        let inside = gaussian(1, &format!("head {k}"), p, per_head);
        z.slice_mut(range)
            .assign(&bases.index_axis(Axis(0), k).dot(&inside));
        labels
            .slice_mut(s![k, k * per_head..(k + 1) * per_head])
            .fill(1.0);
    }
    let mixed = z.dot(&orthonormal(1, "mixing", n, n));
    let purity = |z: &Array2<f64>| {
        let energy = |k: usize| project(&bases, k, z).mapv(|w| w * w).sum_axis(Axis(0));
        let energies: Vec<_> = (0..heads).map(energy).collect();
        let share = (0..n).map(|token| {
            let all: Vec<f64> = energies.iter().map(|e| e[token]).collect();
            all.iter().copied().fold(0.0, f64::max) / all.iter().sum::<f64>()
        });
        share.sum::<f64>() / n as f64
    };
    let reduction = |z: &Array2<f64>| rate_reduction(z.view(), bases.view(), 0.5).unwrap().delta;
    assert!((reduction(&z) - reduction(&mixed)).abs() < 1e-10 * reduction(&z));
    assert!(purity(&z) > 1.0 - 1e-12 && purity(&mixed) < 0.6);
    let labelled = |z: &Array2<f64>| label_rate(z.view(), labels.view(), 0.5).unwrap();
    assert!(labelled(&mixed) > 1.2 * labelled(&z));
}

/// Two tokens: between `z` and `-z` the rate falls and rises again (not concave); along a ray it
/// grows like a logarithm (not convex).
#[test]
fn c_thy_31_the_rate_is_neither_convex_nor_concave_in_the_tokens() {
    let at = |x: f64| rate(&Array2::from_elem((1, 1), x), 1.0);
    assert!(at(0.0) < 0.5 * (at(-1.0) + at(1.0)));
    assert!(at(50.0) > 0.5 * (at(10.0) + at(90.0)));
}

#[test]
fn c_thy_31_rank_one_and_isotropic_tokens_attain_the_bounds() {
    let (d, n, epsilon) = (4usize, 8usize, 0.3);
    let a = d as f64 / n as f64 / (epsilon * epsilon);
    let frame = orthonormal(3, "frame", n, d).reversed_axes() * 2.0;
    let energy = norm(frame.view()).powi(2);
    let upper = 0.5 * d as f64 * (a * energy / d as f64).ln_1p();
    assert!((rate(&frame, epsilon) - upper).abs() < 1e-12 * upper);
    let line = gaussian(3, "u", d, 1).dot(&gaussian(3, "v", 1, n));
    let lower = 0.5 * (a * norm(line.view()).powi(2)).ln_1p();
    assert!((rate(&line, epsilon) - lower).abs() < 1e-12 * lower);
}

#[test]
fn c_thy_33_rate_reduction_can_be_negative_and_block_diagonal_tokens_attain_the_middle_bound() {
    let (heads, p) = (4, 2);
    let bases = orthogonal_bases(2, heads, p);
    let spread = gaussian(2, "spread", heads * p, 1);
    let delta = |z: &Array2<f64>, epsilon| {
        rate_reduction(z.view(), bases.view(), epsilon)
            .unwrap()
            .delta
    };
    assert!(delta(&spread, 1e-3) < 0.0);
    let (n, epsilon) = (24usize, 0.4);
    let mut z = Array2::zeros((heads * p, n));
    for k in 0..heads {
        let inside = gaussian(2, &format!("{k}"), p, n / heads);
        z.slice_mut(s![.., k * 6..(k + 1) * 6])
            .assign(&bases.index_axis(Axis(0), k).dot(&inside));
    }
    let c = p as f64 / n as f64 / (epsilon * epsilon);
    let middle: f64 = (0..heads)
        .flat_map(|k| {
            let w = project(&bases, k, &z);
            eigenvalues(&w.dot(&w.t())).to_vec()
        })
        .map(|mu| 0.5 * ((1.0 + heads as f64 * c * mu) / (1.0 + c * mu)).ln())
        .sum();
    assert!((delta(&z, epsilon) - middle).abs() < 1e-11 * middle);
}
