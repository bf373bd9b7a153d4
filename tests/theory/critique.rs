//! C-SUP-02: when attention cannot expand.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::coding_rate;
use whitebox::exact::mssa::doubly_stochastic;

use crate::strategies::*;
use crate::tolerance::{self, at_most, near_numbers};

proptest! {
    /// `R(Z M) <= R(Z)` wherever `M M^T <= I`: for doubly stochastic M, and its convex mixtures with I.
    #[test]
    fn c_sup_02_doubly_stochastic_attention_never_raises_the_rate(
        setting in ordinary_settings(),
        scores in companions(),
        share in 0.0f64..1.0,
    ) {
        let Setting { z, epsilon, .. } = &setting;
        let n = z.ncols();
        let positive = scores.of(n, n).mapv(|v| v.abs().min(1.0) + 0.2);
        let map = doubly_stochastic(positive, 2000);
        let (sums, ones) = (map.sum_axis(Axis(1)), vec![1.0; n]);
        near_numbers("sums of rows", &sums, ones, tolerance::sum(n, 1.0))?;
        let mixed = Array2::eye(n) * (1.0 - share) + map * share;
        let rate = |z: &Array2<f64>| coding_rate(z.view(), *epsilon).unwrap().value;
        let before = rate(z);
        let slack = tolerance::moved_rates(z.view(), *epsilon, 8 * n, before);
        at_most("rate", rate(&z.dot(&mixed)), before, slack)?;
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
