//! C-THY-12 to C-THY-15, C-SUP-04: compression as denoising.

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::attention_only::{attention_only_layer, signal_to_noise, Phi};
use whitebox::exact::mixture::{
    log_density, membership, nearest_projection, posterior_mean, wiener_filters,
};
use whitebox::exact::mssa::attention_update;
use whitebox::exact::subspace_rate_gradient;

use crate::strategies::*;

proptest! {
    /// Memberships against Bayes' rule with the densities of the single components, and the mean
    /// against Tweedie's formula with the density of the mixture.
    #[test]
    fn c_thy_12_the_posterior_is_a_softmax_of_projection_energies(
        heads in HEADS,
        p in WIDTHS,
        t in 0.1f64..3.0,
        seed in any::<u64>(),
    ) {
        let bases = orthogonal_bases(seed, heads, p);
        let d = heads * p;
        let x: Array1<f64> = gaussian(seed, "x", d, 1).remove_axis(Axis(1));
        let found = membership(x.view(), bases.view(), t);
        let logs: Vec<f64> = bases
            .outer_iter()
            .map(|basis| log_density(x.view(), basis.insert_axis(Axis(0)), t))
            .collect();
        let all = log_density(x.view(), bases.view(), t) + (heads as f64).ln();
        // Exponents of size up to |x|^2 / t^2 are rounded by u of their size.
        let size = 1.0 + x.dot(&x) / (t * t);
        for (found, log) in found.iter().zip(logs) {
            prop_assert!((found - (log - all).exp()).abs() <= 1e-14 * size);
        }
        let mean = posterior_mean(x.view(), bases.view(), t);
        let h = 1e-5;
        for i in 0..d {
            let moved = |sign: f64| {
                let mut x = x.clone();
                x[i] += sign * h;
                log_density(x.view(), bases.view(), t)
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * h);
            let tweedie = x[i] + t * t * slope;
            // The step: h^2 times third derivatives of at most a few |x|^3 / t^6. The rounding: that
            // of the terms of the log-density, over h.
            let terms = d as f64 * (2.0 + t.ln().abs()) + size;
            let rounding = t * t * 8.0 * f64::EPSILON * terms / h;
            let tolerance = h * h * 4.0 * size.powi(3) + rounding;
            prop_assert!((mean[i] - tweedie).abs() <= tolerance, "{} {tweedie}", mean[i]);
        }
    }

    /// Away from ties the denoiser is `1 / (1 + t^2)` times the nearest projection, up to the weight
    /// of the other subspaces, which vanishes like `exp(-gap / 2 t^2)`.
    #[test]
    fn c_thy_13_for_small_noise_the_denoiser_projects_on_the_nearest_subspace(
        heads in HEADS,
        p in WIDTHS,
        power in 1.0f64..3.0,
        seed in any::<u64>(),
    ) {
        let t = 10f64.powf(-power);
        let bases = orthogonal_bases(seed, heads, p);
        let x: Array1<f64> = gaussian(seed, "x", heads * p, 1).remove_axis(Axis(1));
        let mut energies: Vec<f64> = bases
            .outer_iter()
            .map(|basis| basis.t().dot(&x).mapv(|w| w * w).sum())
            .collect();
        energies.sort_by(f64::total_cmp);
        let gap = if heads > 1 { energies[heads - 1] - energies[heads - 2] } else { f64::INFINITY };
        prop_assume!(gap > 200.0 * t * t);
        let difference = posterior_mean(x.view(), bases.view(), t) - nearest_projection(x.view(), bases.view());
        let size = x.dot(&x).sqrt();
        prop_assert!(difference.dot(&difference).sqrt() <= 1.0001 * t * t * size);
    }

    /// With kappa = 1 / c the exact step scales every principal direction of every head by
    /// `ev / (ev + eps^2 / p)`, `ev = sigma^2 / N`: Wiener's filter for noise of variance eps^2 / p.
    #[test]
    fn c_thy_14_the_exact_step_is_wiener_shrinkage(setting in ordinary_settings()) {
        let Setting { z, bases, epsilon, .. } = &setting;
        let gradient = subspace_rate_gradient(z.view(), bases.view(), *epsilon).unwrap();
        let stepped = z - &(gradient / setting.c());
        let (n, p) = (z.ncols() as f64, setting.p() as f64);
        let filters = wiener_filters(z.view(), bases.view(), *epsilon).unwrap();
        for k in 0..setting.heads() {
            let w = project(bases, k, z);
            let covariance = w.dot(&w.t()) / n;
            let noise = Array2::<f64>::eye(setting.p()) * (epsilon * epsilon / p);
            let wiener = covariance.dot(&inverse(&(&covariance + &noise)));
            let found = project(bases, k, &stepped);
            let condition = 1.0 + setting.c() * norm(w.view()).powi(2);
            let error = norm((found - wiener.dot(&w)).view());
            prop_assert!(error <= 1e-13 * condition * norm(z.view()) * p);
            let filter = filters.index_axis(Axis(0), k);
            prop_assert!(norm((&filter - &wiener).view()) <= 1e-13 * condition * p);
        }
    }

    /// Encoder `Y = Z + h F(Z)`, decoder `Y - h F(Y)`: the round trip is off by `O(h^2)`.
    #[test]
    fn c_thy_15_the_decoder_step_reverses_the_encoder_step_to_second_order(setting in ordinary_settings()) {
        let field = |z: &Array2<f64>| -> [Array2<f64>; 2] {
            let gradient = subspace_rate_gradient(z.view(), setting.bases.view(), setting.epsilon);
            let scale = (setting.p() as f64).powf(-0.5);
            [
                gradient.unwrap() * (-1.0 / setting.c()),
                attention_update(z.view(), setting.bases.view(), scale),
            ]
        };
        for which in 0..2 {
            let error = |h: f64| {
                let encoded = &setting.z + &(&field(&setting.z)[which] * h);
                let decoded = &encoded - &(&field(&encoded)[which] * h);
                norm((decoded - &setting.z).view())
            };
            let (coarse, fine) = (error(2f64.powi(-14)), error(2f64.powi(-15)));
            // Halving h quarters the error, up to O(h) and the rounding of the tokens.
            let rounding = 1e-14 * norm(setting.z.view());
            prop_assert!(fine <= 0.26 * coarse + rounding, "{coarse} {fine}");
        }
    }
}

/// On the event of the theorem every map is tau times the identity on its own class and zero
/// elsewhere: no token reads another, and the layer is a gain per token.
#[test]
fn c_sup_04_under_the_theorem_attention_is_diagonal() {
    let (heads, p, per_head, delta, eta, tau) = (4, 64, 32, 0.05, 0.5, 0.6);
    let phi = Phi::Thresholded { tau };
    let model = UnionOfSubspaces::new(heads, p, heads * per_head, delta);
    let drawn = model.draw(5, 0).unwrap();
    let (z, bases) = (drawn.noisy, drawn.bases);
    for (k, basis) in bases.outer_iter().enumerate() {
        let map = phi.map(z.view(), basis);
        for ((i, j), &value) in map.indexed_iter() {
            let own = i == j && j / per_head == k;
            assert_eq!(value, if own { tau } else { 0.0 }, "head {k} at ({i}, {j})");
        }
    }
    let next = attention_only_layer(z.view(), bases.view(), eta, phi);
    for (k, basis) in bases.outer_iter().enumerate() {
        let block = ndarray::s![.., k * per_head..(k + 1) * per_head];
        let before = signal_to_noise(z.slice(block), basis);
        let after = signal_to_noise(next.slice(block), basis);
        assert!((after / before / (1.0 + eta * tau) - 1.0).abs() < 1e-12);
    }
}
