//! C-THY-12 to C-THY-15: compression as denoising.

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::mixture::{
    log_density, membership, nearest_projection, posterior_mean, wiener_filters,
};
use whitebox::exact::mssa::attention_update;
use whitebox::exact::subspace_rate_gradient;

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near, near_number, near_numbers};

proptest! {
    /// Memberships against Bayes' rule with the densities of the single components, and the mean
    /// against Tweedie's formula with the density of the mixture.
    #[test]
    fn c_thy_12_the_posterior_is_a_softmax_of_projection_energies(
        heads in HEADS,
        p in WIDTHS,
        t in 0.1f64..3.0,
        turned in rotations(),
        x in companions(),
    ) {
        let (bases, d) = (turned.bases(heads, p), heads * p);
        let x: Array1<f64> = x.vector(d);
        let found = membership(x.view(), bases.view(), t);
        let logs = bases
            .outer_iter()
            .map(|basis| log_density(x.view(), basis.insert_axis(Axis(0)), t));
        let all = log_density(x.view(), bases.view(), t) + (heads as f64).ln();
        // Exponents of size up to |x|^2 / t^2 are rounded by u of their size.
        let size = 1.0 + x.dot(&x) / (t * t);
        near_numbers("memberships", &found, logs.map(|log| (log - all).exp()), tolerance::sum(1, size))?;
        let mean = posterior_mean(x.view(), bases.view(), t);
        let h = 1e-5;
        for i in 0..d {
            let moved = |sign: f64| {
                let mut x = x.clone();
                x[i] += sign * h;
                log_density(x.view(), bases.view(), t)
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * h);
            // Third derivatives are at most a few |x|^3 / t^6. The rounding is that of the terms of the
            // log-density.
            let terms = d as f64 * (2.0 + t.ln().abs()) + size;
            let rounding = t * t * tolerance::sum(1, terms);
            let bound = tolerance::difference(h, 4.0 * size.powi(3), rounding, h);
            near_number(&format!("mean at {i}"), mean[i], x[i] + t * t * slope, bound)?;
        }
    }

    /// Away from ties the denoiser is `1 / (1 + t^2)` times the nearest projection, up to the weight
    /// of the other subspaces, which vanishes like `exp(-gap / 2 t^2)`.
    #[test]
    fn c_thy_13_for_small_noise_the_denoiser_projects_on_the_nearest_subspace(
        heads in HEADS,
        p in WIDTHS,
        power in 1.0f64..3.0,
        turned in rotations(),
        x in companions(),
    ) {
        let t = 10f64.powf(-power);
        let (bases, d) = (turned.bases(heads, p), heads * p);
        let x: Array1<f64> = x.vector(d);
        let mut energies: Vec<f64> = bases
            .outer_iter()
            .map(|basis| basis.t().dot(&x).mapv(|w| w * w).sum())
            .collect();
        energies.sort_by(f64::total_cmp);
        let gap = if heads > 1 { energies[heads - 1] - energies[heads - 2] } else { f64::INFINITY };
        prop_assume!(gap > 200.0 * t * t);
        let difference = posterior_mean(x.view(), bases.view(), t) - nearest_projection(x.view(), bases.view());
        let (distance, size) = (difference.dot(&difference).sqrt(), x.dot(&x).sqrt());
        at_most("distance", distance, t * t * size, tolerance::sum(d, size))?;
    }

    /// With kappa = 1 / c the exact step scales every principal direction of every head by
    /// `ev / (ev + eps^2 / p)`, `ev = sigma^2 / N`: Wiener's filter for noise of variance eps^2 / p.
    #[test]
    fn c_thy_14_the_exact_step_is_wiener_shrinkage(setting in ordinary_settings()) {
        let Setting { z, bases, epsilon } = &setting;
        let gradient = subspace_rate_gradient(z.view(), bases.view(), *epsilon).unwrap();
        let stepped = z - &(gradient / setting.c());
        let (n, p) = (z.ncols(), setting.p());
        let filters = wiener_filters(z.view(), bases.view(), *epsilon).unwrap();
        for k in 0..setting.heads() {
            let w = project(bases, k, z);
            let covariance = w.dot(&w.t()) / n as f64;
            let noise = Array2::<f64>::eye(p) * (epsilon * epsilon / p as f64);
            let wiener = covariance.dot(&inverse(&(&covariance + &noise)));
            let condition = 1.0 + setting.c() * norm(w.view()).powi(2);
            let bound = |size| tolerance::inverse(condition, 5 * (p + n), size);
            near("tokens", &project(bases, k, &stepped), &wiener.dot(&w), bound(norm(z.view())))?;
            near("filter", &filters.index_axis(Axis(0), k).to_owned(), &wiener, bound(1.0))?;
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
            at_most("error", fine, 0.26 * coarse, tolerance::sum(1, norm(setting.z.view())))?;
        }
    }
}
