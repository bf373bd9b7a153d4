//! C-THY-10, -11, -22, C-SUP-01, -03, -05: what attention does to drawn tokens. The sweeps are in
//! `exp_gradient` and `exp_denoise`; here are the cases that decide them.

use ndarray::{s, Array2};
use proptest::prelude::*;
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::attention_only::{attention_only_layer, signal_to_noise, Phi};
use whitebox::exact::mixture::membership;
use whitebox::exact::mssa::{attention_map, attention_update};
use whitebox::exact::neumann::radius;
use whitebox::exact::scale_free::unit_tokens;
use whitebox::exact::{subspace_rate, subspace_rate_gradient};

use crate::strategies::*;

/// The official step expands unit tokens in every draw; scaled to their old norm it compresses them.
#[test]
fn c_thy_10_the_official_step_expands_drawn_tokens() {
    let model = UnionOfSubspaces::new(4, 16, 128, 0.3);
    for draw in 0..20 {
        let drawn = model.draw(1, draw).unwrap();
        let z = unit_tokens(drawn.noisy.view());
        let m = attention_update(z.view(), drawn.bases.view(), 0.25);
        let rate = |z: &Array2<f64>| {
            let found = subspace_rate(z.view(), drawn.bases.view(), 0.5);
            found.unwrap().total
        };
        let before = rate(&z);
        assert!(rate(&(&z + &m)) > before);
        assert!(rate(&(&z - &m)) < before);
        assert!(rate(&unit_tokens((&z + &m).view())) < before);
    }
}

/// With scores as the papers write them a token of the subspace reads itself and nothing else; with
/// the network's scale it reads its own subspace without being alone.
#[test]
fn c_thy_11_unscaled_attention_reads_itself() {
    let drawn = UnionOfSubspaces::new(4, 32, 256, 0.1).draw(2, 0).unwrap();
    let members = drawn.members(0);
    let basis = drawn.bases.index_axis(ndarray::Axis(0), 0);
    let masses = |scale: f64| {
        let map = attention_map(drawn.noisy.view(), basis, scale);
        let count = members.len() as f64;
        let itself: f64 = members.clone().map(|j| map[(j, j)]).sum::<f64>() / count;
        let own = map.slice(s![members.clone(), members.clone()]).sum() / count;
        (itself, own)
    };
    let (itself, own) = masses(1.0);
    assert!(itself > 0.99 && own > 0.99, "{itself} {own}");
    let (itself, own) = masses(32f64.powf(-0.5));
    assert!(itself < 0.95 && own > itself + 0.01, "{itself} {own}");
}

proptest! {
    /// Wherever every map is tau times the identity on its own tokens and zero elsewhere, the layer
    /// multiplies every ratio of signal to noise by `1 + eta tau`.
    #[test]
    fn c_thy_22_on_the_event_of_the_theorem_every_ratio_grows_as_stated(
        seed in any::<u64>(),
        heads in 2usize..4,
        each in 4usize..10,
        noise in 0.001f64..0.1,
        eta in 0.01f64..1.0,
        tau in 0.51f64..0.9,
    ) {
        let p = 48;
        let drawn = UnionOfSubspaces::new(heads, p, heads * each, noise).draw(seed, 0).unwrap();
        let z = &drawn.noisy;
        let phi = Phi::Thresholded { tau };
        for (k, basis) in drawn.bases.outer_iter().enumerate() {
            let map = phi.map(z.view(), basis);
            let own = drawn.members(k);
            let on_event = map.indexed_iter().all(|((i, j), &a)| {
                a == if i == j && own.contains(&j) { tau } else { 0.0 }
            });
            prop_assume!(on_event);
        }
        let next = attention_only_layer(z.view(), drawn.bases.view(), eta, phi);
        for (k, basis) in drawn.bases.outer_iter().enumerate() {
            let block = s![.., drawn.members(k)];
            let growth = signal_to_noise(next.slice(block), basis) / signal_to_noise(z.slice(block), basis);
            // The noise is found as a difference of the tokens' size.
            let rounding = 1e-14 * (heads * p) as f64 / noise;
            prop_assert!((growth / (1.0 + eta * tau) - 1.0).abs() <= rounding, "{growth}");
        }
    }

    /// Inside the radius of the series the convex form descends: shrinkage outweighs attention there.
    #[test]
    fn c_sup_01_the_convex_form_descends_inside_the_radius(seed in any::<u64>(), heads in 2usize..5, p in 2usize..7, rho in 0.01f64..1.0) {
        let drawn = UnionOfSubspaces::new(heads, p, 8 * heads, 0.3).draw(seed, 0).unwrap();
        let mut z = drawn.noisy;
        z *= (rho / radius(z.view(), drawn.bases.view(), 0.5).unwrap()).sqrt();
        let step = attention_update(z.view(), drawn.bases.view(), (p as f64).powf(-0.5)) - &z;
        let gradient = subspace_rate_gradient(z.view(), drawn.bases.view(), 0.5).unwrap();
        prop_assert!(inner(&gradient, &step) < 0.0);
    }

    /// A posterior shares one token out among the subspaces; attention shares one subspace out among
    /// the tokens: its masses for a token sum to K, not to 1.
    #[test]
    fn c_sup_05_the_two_softmaxes_normalise_over_different_axes(setting in ordinary_settings(), t in 0.1f64..2.0) {
        let Setting { z, bases, .. } = &setting;
        for (j, token) in z.columns().into_iter().enumerate() {
            let posterior = membership(token, bases.view(), t);
            prop_assert!((posterior.sum() - 1.0).abs() < 1e-13);
            let read: f64 = bases
                .outer_iter()
                .map(|basis| attention_map(z.view(), basis, 1.0).column(j).sum())
                .sum();
            prop_assert!((read - setting.heads() as f64).abs() < 1e-12);
        }
    }
}

/// Far outside, with the papers' unscaled scores, it can point uphill.
#[test]
fn c_sup_01_far_outside_the_radius_the_convex_form_can_ascend() {
    let model = UnionOfSubspaces::new(4, 8, 64, 0.3);
    let ascends = (0..50).filter(|&draw| {
        let drawn = model.draw(0, draw).unwrap();
        let mut z = drawn.noisy;
        z *= (100.0 / radius(z.view(), drawn.bases.view(), 0.5).unwrap()).sqrt();
        let step = attention_update(z.view(), drawn.bases.view(), 1.0) - &z;
        let gradient = subspace_rate_gradient(z.view(), drawn.bases.view(), 0.5).unwrap();
        inner(&gradient, &step) > 0.0
    });
    assert!(ascends.count() >= 5);
}

/// Adding attention raises both the ratio of signal to noise and the rate; subtracting it lowers
/// both: compression and denoising pull in opposite directions.
#[test]
fn c_sup_03_compression_and_denoising_have_opposite_signs() {
    let model = UnionOfSubspaces::new(4, 16, 400, 0.3);
    for draw in 0..20 {
        let drawn = model.draw(3, draw).unwrap();
        let z = &drawn.noisy;
        let m = attention_update(z.view(), drawn.bases.view(), 1.0);
        let ratio = |z: &Array2<f64>| {
            let blocks = drawn.bases.outer_iter().enumerate();
            let ratios = blocks.map(|(k, b)| signal_to_noise(z.slice(s![.., drawn.members(k)]), b));
            ratios.sum::<f64>()
        };
        let rate = |z: &Array2<f64>| {
            let found = subspace_rate(z.view(), drawn.bases.view(), 0.5);
            found.unwrap().total
        };
        let (added, subtracted) = (z + &m, z - &m);
        assert!(ratio(&added) > ratio(z) && rate(&added) > rate(z));
        assert!(ratio(&subtracted) < ratio(z) && rate(&subtracted) < rate(z));
    }
}
