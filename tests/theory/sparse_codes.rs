//! C-THY-16, C-THY-17, C-THY-20, C-THY-21, C-VAR-04: the sparsification block.

use ndarray::Array2;
use proptest::prelude::*;
use whitebox::exact::coding_rate;
use whitebox::exact::ista::{
    ista, lasso_objective, nonnegative_shrinkage, overcomplete, proximal_step,
};

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near, near_number};

proptest! {
    /// KKT conditions of `min_{x >= 0} t sum(x) + 1/2 ||x - v||^2`.
    #[test]
    fn c_thy_16_the_shifted_relu_is_the_proximal_map(v in matrices(1..7, 1..8), threshold in 0.0f64..3.0) {
        let v = v * 3.0;
        let x = nonnegative_shrinkage(v.view(), threshold);
        for ((place, x), v) in x.indexed_iter().zip(&v) {
            let slope = threshold + x - v;
            prop_assert!(*x >= 0.0, "{x} at {place:?}");
            let slack = tolerance::sum(1, v.abs() + threshold);
            at_most(&format!("minus the slope at {place:?}"), -slope, 0.0, slack)?;
            if *x > 0.0 {
                at_most(&format!("slope at {place:?}"), slope, 0.0, slack)?;
            }
        }
    }

    /// From a feasible start, with 0 < eta <= 2 / L: the objective falls by at least
    /// `(1 / eta - L / 2) ||x1 - x0||^2`.
    #[test]
    fn c_thy_17_ista_never_raises_the_lasso_objective(
        z in matrices(1..16, 1..6),
        [start, dictionary] in [companions(), companions()],
        fraction in 0.01f64..1.0,
        lambda in 0.0f64..1.0,
    ) {
        let (d, n) = z.dim();
        let dictionary = dictionary.of(d, d) * (2.0 / (d as f64).sqrt());
        let lipschitz = spectral_norm(&dictionary).powi(2);
        prop_assume!(lipschitz > 0.0);
        let x = start.of(d, n).mapv(|v| v.max(0.0));
        let eta = 2.0 * fraction / lipschitz;
        let next = proximal_step(x.view(), z.view(), dictionary.view(), eta, lambda);
        let objective = |x: &Array2<f64>| lasso_objective(x.view(), z.view(), dictionary.view(), lambda);
        let (before, after) = (objective(&x), objective(&next));
        let moved = norm((&next - &x).view()).powi(2);
        let promised = (1.0 / eta - lipschitz / 2.0) * moved;
        let slack = tolerance::sum(d + n, before + lipschitz * moved + promised);
        at_most("objective", after, before - promised, slack)?;
    }

    /// Orthogonal D: `R(D Z) = R(Z)`. Any D: `|R(D Z) - R(Z)| <= rank(Z) max_i |ln s_i(D)|`.
    #[test]
    fn c_thy_20_incoherent_dictionaries_keep_the_rate(setting in settings(), turned in rotations(), off in companions()) {
        let Setting { z, epsilon, .. } = &setting;
        let (d, n) = z.dim();
        let rate = |z: &Array2<f64>| coding_rate(z.view(), *epsilon).unwrap().value;
        let before = rate(z);
        let bound = tolerance::moved_rates(z.view(), *epsilon, 16 * d, before);
        let rotation = turned.of(d);
        near_number("rotation", rate(&rotation.dot(z)), before, bound)?;
        let any = &rotation + &(off.of(d, d) * (0.2 / (d as f64).sqrt()));
        let gram = eigenvalues(&any.t().dot(&any));
        // A singular value that is lost in rounding bounds nothing.
        prop_assume!(gram.iter().all(|&s| s > 1e-6));
        let worst = gram.iter().map(|s| 0.5 * s.ln().abs()).fold(0.0, f64::max);
        let most = d.min(n) as f64 * worst;
        let slack = 4.0 * bound + tolerance::inverse(1e6, d, d as f64);
        at_most("change", (rate(&any.dot(z)) - before).abs(), most, slack)?;
    }

    /// D orthogonal, eta = 1: `ISTA(z) = ReLU(D^T z - lambda)`, and decoding by D is off by
    /// `sum_i min(v_i, lambda)^2`, `v = D^T z`.
    #[test]
    fn c_thy_21_inversion_error_with_an_orthogonal_dictionary(z in matrices(1..12, 1..5), turned in rotations(), lambda in 0.0f64..2.0) {
        let d = z.nrows();
        let dictionary = turned.of(d);
        let v = dictionary.t().dot(&z);
        let code = ista(z.view(), dictionary.view(), 1.0, lambda);
        let size = norm(z.view()) + lambda;
        near("code", &code, &v.mapv(|v| (v - lambda).max(0.0)), tolerance::sum(10 * d, size))?;
        let error = norm((dictionary.dot(&code) - &z).view()).powi(2);
        let exact = v.mapv(|v| v.min(lambda).powi(2)).sum();
        near_number("error", error, exact, tolerance::sum(10 * d, size * size))?;
    }

    /// The overcomplete block of CRATE-alpha is two proximal steps from zero.
    #[test]
    fn c_var_04_the_overcomplete_block_is_two_steps_from_zero(z in matrices(1..6, 1..4), dictionary in companions(), lambda in 0.0f64..0.5) {
        let (d, n) = z.dim();
        let (eta, atoms) = (0.1, 4 * d);
        let dictionary = dictionary.of(d, atoms);
        let zero = Array2::zeros((atoms, n));
        let first = proximal_step(zero.view(), z.view(), dictionary.view(), eta, lambda);
        let second = proximal_step(first.view(), z.view(), dictionary.view(), eta, lambda);
        // As the code writes it.
        let relu = |x: Array2<f64>| x.mapv(|v| (v - eta * lambda).max(0.0));
        let z1 = relu(dictionary.t().dot(&z) * eta);
        let z2 = relu(&z1 - &(dictionary.t().dot(&(dictionary.dot(&z1) - &z)) * eta));
        let strength = norm(dictionary.view()).powi(2);
        let size = (strength + 1.0) * norm(z.view());
        near("first step", &first, &z1, tolerance::sum(1, size))?;
        near("second step", &second, &z2, tolerance::sum(1, size * (1.0 + strength)))?;
        // Read with another dictionary.
        let other = dictionary.mapv(|v| 1.0 - v);
        let block = overcomplete(z.view(), dictionary.view(), other.view(), eta, lambda);
        let bound = tolerance::sum(atoms, norm(other.view()) * size * (1.0 + strength));
        near("block", &block, &other.dot(&z2), bound)?;
    }
}
