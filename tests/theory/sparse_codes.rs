//! C-THY-16 to C-THY-21, C-VAR-04: the sparsification block.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::coding_rate;
use whitebox::exact::ista::{
    ista, lasso_objective, lasso_solution, nonnegative_shrinkage, proximal_step,
};

use crate::strategies::*;

/// The official initialisation of a dictionary: uniform on +-sqrt(6 / d).
fn official_dictionary(seed: u64, d: usize) -> Array2<f64> {
    let flat = uniform(seed, "dictionary", d * d).to_vec();
    (Array2::from_shape_vec((d, d), flat).unwrap() * 2.0 - 1.0) * (6.0 / d as f64).sqrt()
}

proptest! {
    /// KKT conditions of `min_{x >= 0} t sum(x) + 1/2 ||x - v||^2`.
    #[test]
    fn c_thy_16_the_shifted_relu_is_the_proximal_map(seed in any::<u64>(), threshold in 0.0f64..3.0) {
        let v = gaussian(seed, "v", 6, 7) * 3.0;
        let x = nonnegative_shrinkage(v.view(), threshold);
        for (x, v) in x.iter().zip(&v) {
            let slope = threshold + x - v;
            prop_assert!(*x >= 0.0);
            // Two roundings of numbers of this size.
            let tolerance = f64::EPSILON * (v.abs() + threshold);
            let optimal = if *x > 0.0 {
                slope.abs() <= tolerance
            } else {
                slope >= -tolerance
            };
            prop_assert!(optimal, "x = {x}, v = {v}");
        }
    }

    /// From a feasible start, with 0 < eta <= 2 / L: the objective falls by at least
    /// `(1 / eta - L / 2) ||x1 - x0||^2`.
    #[test]
    fn c_thy_17_ista_never_raises_the_lasso_objective(
        seed in any::<u64>(),
        d in 1usize..16,
        fraction in 0.01f64..1.0,
        lambda in 0.0f64..1.0,
    ) {
        let dictionary = official_dictionary(seed, d);
        let lipschitz = spectral_norm(&dictionary).powi(2);
        let z = gaussian(seed, "z", d, 5);
        let x = gaussian(seed, "x", d, 5).mapv(|v| v.max(0.0));
        let eta = 2.0 * fraction / lipschitz;
        let next = proximal_step(x.view(), z.view(), dictionary.view(), eta, lambda);
        let objective = |x: &Array2<f64>| lasso_objective(x.view(), z.view(), dictionary.view(), lambda);
        let (before, after) = (objective(&x), objective(&next));
        let moved = norm((&next - &x).view()).powi(2);
        let promised = (1.0 / eta - lipschitz / 2.0) * moved;
        prop_assert!(after <= before - promised + 1e-12 * (before + promised.abs()), "{before} {after} {promised}");
    }

    /// Orthogonal D: `R(D Z) = R(Z)`. Any D: `|R(D Z) - R(Z)| <= rank(Z) max_i |ln s_i(D)|`.
    #[test]
    fn c_thy_20_incoherent_dictionaries_keep_the_rate(setting in settings()) {
        let Setting { z, epsilon, seed, .. } = &setting;
        let (d, n) = z.dim();
        let rate = |z: &Array2<f64>| coding_rate(z.view(), *epsilon).unwrap().value;
        let before = rate(z);
        let tolerance = rate_tolerance(z.view(), *epsilon, 16.0 * d as f64, before);
        let rotation = orthonormal(*seed, "D", d, d);
        prop_assert!((rate(&rotation.dot(z)) - before).abs() <= tolerance);
        let any = &rotation + &(gaussian(*seed, "off", d, d) * (0.2 / (d as f64).sqrt()));
        let gram = eigenvalues(&any.t().dot(&any));
        let worst = gram.iter().map(|s| 0.5 * s.max(1e-300).ln().abs()).fold(0.0, f64::max);
        let bound = d.min(n) as f64 * worst;
        prop_assert!((rate(&any.dot(z)) - before).abs() <= bound * (1.0 + 1e-9) + 4.0 * tolerance);
    }

    /// D orthogonal, eta = 1: `ISTA(z) = ReLU(D^T z - lambda)`, and decoding by D is off by
    /// `sum_i min(v_i, lambda)^2`, `v = D^T z`.
    #[test]
    fn c_thy_21_inversion_error_with_an_orthogonal_dictionary(seed in any::<u64>(), d in 1usize..12, lambda in 0.0f64..2.0) {
        let dictionary = orthonormal(seed, "D", d, d);
        let z = gaussian(seed, "z", d, 4);
        let v = dictionary.t().dot(&z);
        let code = ista(z.view(), dictionary.view(), 1.0, lambda);
        let size = norm(z.view()) + lambda;
        prop_assert!(norm((&code - &v.mapv(|v| (v - lambda).max(0.0))).view()) <= 1e-14 * size * d as f64);
        let error = norm((dictionary.dot(&code) - &z).view()).powi(2);
        let exact = v.mapv(|v| v.min(lambda).powi(2)).sum();
        prop_assert!((error - exact).abs() <= 1e-13 * size * size * d as f64);
    }

    /// The overcomplete block of CRATE-alpha is two proximal steps from zero.
    #[test]
    fn c_var_04_the_overcomplete_block_is_two_steps_from_zero(seed in any::<u64>(), d in 1usize..8, lambda in 0.0f64..0.5) {
        let (eta, atoms) = (0.1, 4 * d);
        let dictionary = gaussian(seed, "D", d, atoms);
        let z = gaussian(seed, "z", d, 3);
        let zero = Array2::zeros((atoms, 3));
        let first = proximal_step(zero.view(), z.view(), dictionary.view(), eta, lambda);
        let second = proximal_step(first.view(), z.view(), dictionary.view(), eta, lambda);
        // As the code writes it.
        let relu = |x: Array2<f64>| x.mapv(|v| (v - eta * lambda).max(0.0));
        let z1 = relu(dictionary.t().dot(&z) * eta);
        let z2 = relu(&z1 - &(dictionary.t().dot(&(dictionary.dot(&z1) - &z)) * eta));
        let size = norm(dictionary.view()).powi(2) * norm(z.view());
        prop_assert!(norm((first - z1).view()) <= 1e-14 * size);
        prop_assert!(norm((second - z2).view()) <= 1e-14 * size * (1.0 + norm(dictionary.view()).powi(2)));
    }
}

#[test]
fn c_thy_17_beyond_the_limit_the_objective_can_rise() {
    let rises = (0..200)
        .filter(|&seed| {
            let dictionary = official_dictionary(seed, 8);
            let lipschitz = spectral_norm(&dictionary).powi(2);
            let z = gaussian(seed, "z", 8, 1);
            let x = gaussian(seed, "x", 8, 1).mapv(|v| v.max(0.0));
            let next = proximal_step(x.view(), z.view(), dictionary.view(), 4.0 / lipschitz, 0.1);
            let objective =
                |x: &Array2<f64>| lasso_objective(x.view(), z.view(), dictionary.view(), 0.1);
            objective(&next) > objective(&x)
        })
        .count();
    assert!(rises > 10, "{rises} of 200");
}

/// The official step 0.1 lies inside 1 / L at the official initialisation: L is about 8 at every width.
#[test]
fn c_thy_17_the_official_step_is_safe_at_the_official_initialisation() {
    for (d, seed) in [(64, 0), (128, 1), (256, 2)] {
        let lipschitz = spectral_norm(&official_dictionary(seed, d)).powi(2);
        assert!((6.5..9.5).contains(&lipschitz), "{d}: {lipschitz}");
        assert!(0.1 * lipschitz <= 1.0);
    }
}

/// Tokens after a LayerNorm: the step starts from an infeasible point, and one step leaves a code
/// worse than no code at all; the solution is far better than both.
#[test]
fn c_thy_18_one_step_from_the_warm_start_is_worse_than_the_zero_code() {
    let (d, n, lambda) = (128, 32, 0.1);
    let dictionary = official_dictionary(1, d);
    let mut z = gaussian(1, "z", d, n);
    for mut token in z.axis_iter_mut(Axis(1)) {
        let mean = token.sum() / d as f64;
        token -= mean;
        let deviation = (token.dot(&token) / d as f64).sqrt();
        token /= deviation;
    }
    let objective =
        |x: &Array2<f64>| lasso_objective(x.view(), z.view(), dictionary.view(), lambda);
    let one = ista(z.view(), dictionary.view(), 0.1, lambda);
    let zero = Array2::zeros(z.dim());
    let lipschitz = spectral_norm(&dictionary).powi(2) * 1.0001;
    let best = lasso_solution(z.view(), dictionary.view(), lambda, lipschitz, 300);
    assert!(objective(&one) > objective(&zero));
    assert!(objective(&best) < 0.9 * objective(&zero));
    let further = lasso_solution(z.view(), dictionary.view(), lambda, lipschitz, 600);
    assert!((objective(&best) - objective(&further)).abs() < 1e-3 * objective(&further));
}

/// The book's beta = 1: far outside 2 / L at the official initialisation, fine for orthogonal D.
#[test]
fn c_thy_19_a_step_of_one_diverges_at_the_official_initialisation() {
    let d = 64;
    for seed in 0..20 {
        let z = gaussian(seed, "z", d, 4);
        let start = z.mapv(|v| v.max(0.0));
        for (dictionary, grows) in [
            (official_dictionary(seed, d), true),
            (orthonormal(seed, "D", d, d), false),
        ] {
            let objective =
                |x: &Array2<f64>| lasso_objective(x.view(), z.view(), dictionary.view(), 0.1);
            let mut x = start.clone();
            let mut values = vec![objective(&x)];
            for _ in 0..10 {
                x = proximal_step(x.view(), z.view(), dictionary.view(), 1.0, 0.1);
                values.push(objective(&x));
            }
            if grows {
                assert!(values[1] > values[0] && values[10] > 1e3 * values[0]);
            } else {
                assert!(values.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-12)));
            }
        }
    }
}
