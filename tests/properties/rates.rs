//! Identities and inequalities of coding rates.

use ndarray::Array2;
use proptest::prelude::*;
use whitebox::exact::{
    coding_rate, coding_rate_gradient, rate_reduction, rate_reduction_gradient, subspace_rate,
};

use crate::strategies::*;
use crate::tolerance::{self, at_most, near_number};

fn precision() -> impl Strategy<Value = f64> {
    (-4.0f64..3.0).prop_map(|power| 10f64.powf(power))
}

proptest! {
    #[test]
    fn c_thy_01_both_gram_sides_give_the_same_rate(z in any_tokens(), epsilon in precision()) {
        // The transpose has d and N exchanged in the coefficient d / (N eps^2): undo that in epsilon.
        let (d, n) = z.dim();
        let rate = coding_rate(z.view(), epsilon).unwrap().value;
        let other = coding_rate(z.t(), epsilon * (n as f64 / d as f64)).unwrap().value;
        // epsilon n / d is itself rounded: rates change by at most d of its relative error.
        near_number("R of the transpose", other, rate, tolerance::rates(rate) + tolerance::sum(d.max(n), 1.0))?;
    }

    #[test]
    fn rates_are_not_negative_and_fall_with_epsilon(z in any_tokens(), epsilon in precision()) {
        let fine = coding_rate(z.view(), epsilon).unwrap().value;
        let coarse = coding_rate(z.view(), 2.0 * epsilon).unwrap().value;
        prop_assert!(coarse >= 0.0, "{coarse}");
        let zero = z.iter().all(|&v| v == 0.0);
        prop_assert_eq!(fine == 0.0, zero);
        prop_assert!(zero || fine > coarse, "{fine} {coarse}");
    }

    #[test]
    fn c_thy_30_rates_do_not_see_the_order_of_tokens(z in any_tokens(), bases in any_bases(), epsilon in precision()) {
        let mut reversed = z.clone();
        reversed.invert_axis(ndarray::Axis(1));
        let a = coding_rate(z.view(), epsilon).unwrap().value;
        let b = coding_rate(reversed.view(), epsilon).unwrap().value;
        near_number("R", b, a, tolerance::rates(a))?;
        let bases = bases.of(z.nrows());
        let a = subspace_rate(z.view(), bases.view(), epsilon).unwrap().total;
        let b = subspace_rate(reversed.view(), bases.view(), epsilon).unwrap().total;
        near_number("R^c", b, a, tolerance::rates(a))?;
    }

    #[test]
    fn c_thy_31_rates_lie_between_their_bounds(z in any_tokens(), epsilon in precision()) {
        let (d, n) = z.dim();
        let energy: f64 = z.iter().map(|v| v * v).sum();
        let a = d as f64 / n as f64 / (epsilon * epsilon);
        let rank = d.min(n) as f64;
        let rate = coding_rate(z.view(), epsilon).unwrap().value;
        at_most("least", 0.5 * (a * energy).ln_1p(), rate, tolerance::rates(rate))?;
        at_most("rate", rate, 0.5 * rank * (a * energy / rank).ln_1p(), tolerance::rates(rate))?;
    }

    /// Central differences in any direction; the third derivative of a head is a few `(a^{1/2} |direction|)^3`.
    #[test]
    fn gradients_are_the_slopes_of_the_rates(
        z in matrices(1..7, 1..9),
        direction in companions(),
        bases in any_bases(),
        epsilon in 0.2f64..5.0,
    ) {
        let (d, n) = z.dim();
        let direction = direction.of(d, n);
        let (p, bases) = (bases.p(), bases.of(d));
        let h = 1e-5;
        let moved = |sign: f64| &z + &(&direction * (sign * h));
        let slope = |f: &dyn Fn(&Array2<f64>) -> f64| (f(&moved(1.0)) - f(&moved(-1.0))) / (2.0 * h);
        let along = |gradient: Array2<f64>| (&gradient * &direction).sum();
        let reach = |width: usize, direction: &Array2<f64>| {
            let a = width as f64 / n as f64 / (epsilon * epsilon);
            (a.sqrt() * tolerance::norm(direction.view())).powi(3)
        };
        let heads = bases.outer_iter().map(|basis| reach(p, &basis.t().dot(&direction)));
        let (one, all) = (reach(d, &direction), heads.sum::<f64>());

        let rate = |z: &Array2<f64>| coding_rate(z.view(), epsilon).unwrap().value;
        let exact = along(coding_rate_gradient(z.view(), epsilon).unwrap());
        let bound = tolerance::difference(h, 10.0 * one, tolerance::scatter(rate(&z)), h);
        near_number("slope of R", slope(&rate), exact, bound)?;

        let reduction = |z: &Array2<f64>| rate_reduction(z.view(), bases.view(), epsilon).unwrap();
        let exact = along(rate_reduction_gradient(z.view(), bases.view(), epsilon).unwrap());
        let found = slope(&|z| reduction(z).delta);
        let size = reduction(&z).rate.value + reduction(&z).subspace.total;
        let bound = tolerance::difference(h, 10.0 * (one + all), tolerance::scatter(size), h);
        near_number("slope of Delta R", found, exact, bound)?;
    }
}
