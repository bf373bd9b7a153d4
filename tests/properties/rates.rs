//! Identities and inequalities of coding rates. Two computed rates each carry an error of at most
//! 1e-12: the tolerance of a comparison is the sum, 2e-12.

use ndarray::{Array2, Array3};
use proptest::prelude::*;
use whitebox::exact::{
    coding_rate, coding_rate_gradient, rate_reduction, rate_reduction_gradient, subspace_rate,
};

/// Tokens (d, N) with rows and columns that may be zero, repeated, or graded over six decades.
fn tokens() -> impl Strategy<Value = Array2<f64>> {
    (1usize..12, 1usize..16).prop_flat_map(|(d, n)| {
        (
            proptest::collection::vec(-1.0f64..1.0, d * n),
            proptest::collection::vec(-3i32..4, d),
            0usize..3,
        )
            .prop_map(move |(values, powers, form)| {
                let mut z = Array2::from_shape_vec((d, n), values).unwrap();
                for (mut row, power) in z.outer_iter_mut().zip(powers) {
                    match form {
                        0 => {}
                        1 => row.mapv_inplace(|v| v * 10f64.powi(power)),
                        _ => {
                            let first = row[0];
                            row.fill(first);
                        }
                    }
                }
                z
            })
    })
}

fn epsilon() -> impl Strategy<Value = f64> {
    (-4.0f64..3.0).prop_map(|power| 10f64.powf(power))
}

fn bases(d: usize) -> Array3<f64> {
    Array3::from_shape_fn((2, d, 3), |(k, i, j)| {
        ((k * 3 * d + i * 3 + j) as f64 * 1.7).sin()
    })
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-12 * a.abs().max(b.abs()) + f64::MIN_POSITIVE
}

proptest! {
    #[test]
    fn c_thy_01_both_gram_sides_give_the_same_rate(z in tokens(), epsilon in epsilon()) {
        // The transpose has d and N exchanged in the coefficient d / (N eps^2): undo that in epsilon.
        let (d, n) = z.dim();
        let (d, n) = (d as f64, n as f64);
        let rate = coding_rate(z.view(), epsilon).unwrap().value;
        let other = coding_rate(z.t(), epsilon * (n / d)).unwrap().value;
        // epsilon n / d is itself rounded: rates change by at most d of its relative error.
        prop_assert!((rate - other).abs() <= 2e-12 * rate + 1e-15 * d.max(n));
    }

    #[test]
    fn rates_are_not_negative_and_fall_with_epsilon(z in tokens(), epsilon in epsilon()) {
        let fine = coding_rate(z.view(), epsilon).unwrap().value;
        let coarse = coding_rate(z.view(), 2.0 * epsilon).unwrap().value;
        prop_assert!(coarse >= 0.0);
        let zero = z.iter().all(|&v| v == 0.0);
        prop_assert_eq!(fine == 0.0, zero);
        prop_assert!(zero || fine > coarse);
    }

    #[test]
    fn c_thy_30_rates_do_not_see_the_order_of_tokens(z in tokens(), epsilon in epsilon()) {
        let mut reversed = z.clone();
        reversed.invert_axis(ndarray::Axis(1));
        let a = coding_rate(z.view(), epsilon).unwrap().value;
        let b = coding_rate(reversed.view(), epsilon).unwrap().value;
        prop_assert!(close(a, b), "{a} {b}");
        let bases = bases(z.nrows());
        let a = subspace_rate(z.view(), bases.view(), epsilon).unwrap().total;
        let b = subspace_rate(reversed.view(), bases.view(), epsilon).unwrap().total;
        prop_assert!(close(a, b), "{a} {b}");
    }

    #[test]
    fn c_thy_31_rates_lie_between_their_bounds(z in tokens(), epsilon in epsilon()) {
        let (d, n) = z.dim();
        let energy: f64 = z.iter().map(|v| v * v).sum();
        let a = d as f64 / n as f64 / (epsilon * epsilon);
        let rank = d.min(n) as f64;
        let rate = coding_rate(z.view(), epsilon).unwrap().value;
        prop_assert!(rate >= 0.5 * (a * energy).ln_1p() * (1.0 - 1e-12));
        prop_assert!(rate <= 0.5 * rank * (a * energy / rank).ln_1p() * (1.0 + 1e-12));
    }

    /// Central differences with a step of 1e-5 of the tokens' scale, against a step in a random
    /// direction: off by the third derivative, of relative size (step / epsilon)^2 at most, and by
    /// the rounding of the rates, 1e-12 / 1e-5.
    #[test]
    fn gradients_are_the_slopes_of_the_rates(
        d in 1usize..7,
        n in 1usize..9,
        frequency in 0.3f64..3.0,
        epsilon in 0.2f64..5.0,
    ) {
        let wave = |frequency: f64| Array2::from_shape_fn((d, n), |(i, j)| {
            (frequency * (i * n + j) as f64 + 0.3).sin()
        });
        let (z, direction) = (wave(frequency), wave(frequency + 1.1));
        let bases = bases(d);
        let h = 1e-5;
        let moved = |sign: f64| &z + &(&direction * (sign * h));
        let slope = |f: &dyn Fn(&Array2<f64>) -> f64| (f(&moved(1.0)) - f(&moved(-1.0))) / (2.0 * h);
        let along = |gradient: Array2<f64>| (&gradient * &direction).sum();
        let tolerance = 1e-6 * (d * n) as f64 / epsilon;

        let exact = along(coding_rate_gradient(z.view(), epsilon).unwrap());
        let found = slope(&|z| coding_rate(z.view(), epsilon).unwrap().value);
        prop_assert!((found - exact).abs() <= tolerance, "{found} {exact}");

        let exact = along(rate_reduction_gradient(z.view(), bases.view(), epsilon).unwrap());
        let found = slope(&|z| rate_reduction(z.view(), bases.view(), epsilon).unwrap().delta);
        prop_assert!((found - exact).abs() <= tolerance, "{found} {exact}");
    }
}
