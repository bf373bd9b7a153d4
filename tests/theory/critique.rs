//! C-CRIT-01, C-SUP-02: which sign compresses, and when attention cannot expand.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::mssa::{attention_update, doubly_stochastic};
use whitebox::exact::{coding_rate, subspace_rate};

use crate::strategies::*;

proptest! {
    /// `R(Z M) <= R(Z)` wherever `M M^T <= I`: for doubly stochastic M, and its convex mixtures with I.
    #[test]
    fn c_sup_02_doubly_stochastic_attention_never_raises_the_rate(setting in ordinary_settings(), share in 0.0f64..1.0) {
        let Setting { z, epsilon, seed, .. } = &setting;
        let n = z.ncols();
        let flat = uniform(*seed, "scores", n * n).mapv(|v| v + 0.2).to_vec();
        let map = doubly_stochastic(Array2::from_shape_vec((n, n), flat).unwrap(), 2000);
        prop_assert!(map.sum_axis(Axis(1)).iter().all(|s| (s - 1.0).abs() < 1e-12));
        let mixed = Array2::eye(n) * (1.0 - share) + map * share;
        let rate = |z: &Array2<f64>| coding_rate(z.view(), *epsilon).unwrap().value;
        let before = rate(z);
        let tolerance = rate_tolerance(z.view(), *epsilon, 8.0 * n as f64, before);
        prop_assert!(rate(&z.dot(&mixed)) <= before + tolerance);
    }
}

/// Columns that sum to one promise nothing: many small tokens that all copy one large token.
#[test]
fn c_sup_02_singly_stochastic_attention_can_raise_the_rate() {
    let n = 20;
    let mut z = Array2::from_elem((1, n), 1e-3);
    z[(0, 0)] = 1.0;
    let mut map = Array2::zeros((n, n));
    map.row_mut(0).fill(1.0);
    let rate = |z: &Array2<f64>| coding_rate(z.view(), 1.0).unwrap().value;
    assert!(rate(&z.dot(&map)) > 2.0 * rate(&z));
}

/// Twelve tied attention layers `Z + M(Z)`, orthogonal bases, no normalisation: `R^c` rises at every
/// layer in at least 95 % of draws; with the sign flipped the first layer lowers it in as many.
#[test]
fn c_crit_01_a_stack_of_skip_layers_ascends_on_rc() {
    let (heads, p, n, epsilon) = (4, 8, 48, 0.5);
    let scale = (p as f64).powf(-0.5);
    let (mut ascends, mut descends) = (0, 0);
    for seed in 0..40 {
        let bases = orthogonal_bases(seed, heads, p);
        let rate = |z: &Array2<f64>| {
            subspace_rate(z.view(), bases.view(), epsilon)
                .unwrap()
                .total
        };
        let start = gaussian(seed, "z", heads * p, n);
        let mut z = start.clone();
        let mut rates = vec![rate(&z)];
        for _ in 0..12 {
            z = &z + &attention_update(z.view(), bases.view(), scale);
            rates.push(rate(&z));
        }
        ascends += usize::from(rates.windows(2).all(|w| w[1] > w[0]));
        let against = &start - &attention_update(start.view(), bases.view(), scale);
        descends += usize::from(rate(&against) < rates[0]);
    }
    assert!(ascends >= 38, "{ascends} of 40");
    assert!(descends >= 38, "{descends} of 40");
}
