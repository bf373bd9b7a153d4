//! C-THY-22, C-SUP-01, C-SUP-04, C-SUP-05: what attention does. The sweeps are in `exp_gradient` and `exp_denoise`.

use ndarray::s;
use proptest::prelude::*;
use whitebox::exact::attention_only::{attention_only_layer, signal_to_noise, Phi};
use whitebox::exact::mixture::membership;
use whitebox::exact::mssa::{attention_map, attention_update};
use whitebox::exact::neumann::radius;
use whitebox::exact::subspace_rate_gradient;

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, near_number};

proptest! {
    /// Wherever every map is tau times the identity on its own tokens and zero elsewhere, the layer
    /// multiplies every ratio of signal to noise by `1 + eta tau`.
    #[test]
    fn c_thy_22_on_the_event_of_the_theorem_every_ratio_grows_as_stated(
        union in unions(2..4, 48..49, 4..10),
        noise in 0.001f64..0.1,
        eta in 0.01f64..1.0,
        tau in 0.51f64..0.9,
    ) {
        let (z, bases) = (union.tokens(noise), union.bases());
        let phi = Phi::Thresholded { tau };
        for (k, basis) in bases.outer_iter().enumerate() {
            let map = phi.map(z.view(), basis);
            let own = union.members(k);
            let on_event = map.indexed_iter().all(|((i, j), &a)| {
                a == if i == j && own.contains(&j) { tau } else { 0.0 }
            });
            prop_assume!(on_event);
        }
        let next = attention_only_layer(z.view(), bases.view(), eta, phi);
        for (k, basis) in bases.outer_iter().enumerate() {
            let block = s![.., union.members(k)];
            let growth = signal_to_noise(next.slice(block), basis) / signal_to_noise(z.slice(block), basis);
            // The noise is found as a difference of the tokens' size.
            let bound = tolerance::sum(z.nrows(), 1.0 / noise);
            near_number("growth", growth / (1.0 + eta * tau), 1.0, bound)?;
        }
    }

    /// A threshold of a half or more leaves every token at most one other to read, since weights sum to 1; it
    /// is the token itself where no score comes near its own.
    #[test]
    fn c_sup_04_a_threshold_above_a_half_leaves_one_token_to_read(
        setting in ordinary_settings(),
        tau in 0.5f64..0.95,
        length in 0.1f64..10.0,
    ) {
        let n = setting.z.ncols();
        let z = &setting.z * length;
        for basis in setting.bases.outer_iter() {
            let w = basis.t().dot(&z);
            let scores = w.t().dot(&w);
            let map = Phi::Thresholded { tau }.map(z.view(), basis);
            for (j, column) in map.columns().into_iter().enumerate() {
                let read: Vec<usize> = (0..n).filter(|&i| column[i] != 0.0).collect();
                prop_assert!(read.len() <= 1, "token {j} reads {read:?}");
                // Weight of the own score: 1 / (1 + sum_i exp(s_i - s_j)).
                let others = (0..n).filter(|&i| i != j).map(|i| scores[(i, j)]);
                let gap = scores[(j, j)] - others.fold(f64::NEG_INFINITY, f64::max);
                if gap > (n as f64 * tau / (1.0 - tau)).ln() {
                    prop_assert_eq!(&read, &vec![j]);
                }
            }
        }
    }

    /// Inside the radius of the series the convex form descends: shrinkage outweighs attention there.
    #[test]
    fn c_sup_01_the_convex_form_descends_inside_the_radius(union in unions(2..5, 2..7, 8..9), rho in 0.01f64..1.0) {
        let (mut z, bases) = (union.tokens(0.3), union.bases());
        z *= (rho / radius(z.view(), bases.view(), 0.5).unwrap()).sqrt();
        let step = attention_update(z.view(), bases.view(), (union.p as f64).powf(-0.5)) - &z;
        let gradient = subspace_rate_gradient(z.view(), bases.view(), 0.5).unwrap();
        let slope = inner(&gradient, &step);
        prop_assert!(slope < 0.0, "{slope}");
    }

    /// A posterior shares one token out among the subspaces; attention shares one subspace out among
    /// the tokens: its masses for a token sum to K, not to 1.
    #[test]
    fn c_sup_05_the_two_softmaxes_normalise_over_different_axes(setting in ordinary_settings(), t in 0.1f64..2.0) {
        let Setting { z, bases, .. } = &setting;
        let (heads, n) = (setting.heads(), z.ncols());
        for (j, token) in z.columns().into_iter().enumerate() {
            let posterior = membership(token, bases.view(), t);
            near_number("posterior", posterior.sum(), 1.0, tolerance::sum(heads, 1.0))?;
            let read: f64 = bases
                .outer_iter()
                .map(|basis| attention_map(z.view(), basis, 1.0).column(j).sum())
                .sum();
            near_number("attention", read, heads as f64, tolerance::sum(heads * n, 1.0))?;
        }
    }
}
