//! C-THY-43: up to LayerNorm, `Z + M` is the convex step at `kappa c = 1/2`; what rescaling takes from a step is
//! its growth. The signs on drawn tokens are in `draws`.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::mssa::attention_update;
use whitebox::exact::neumann::truncated_gradient;
use whitebox::exact::scale_free::{scale_free_rate, tangential, unit_tokens};
use whitebox::exact::subspace_rate_gradient;

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, near, near_number};

proptest! {
    /// `Z + M` and the book's `(1 - kappa c) Z + kappa c M` at `kappa c = 1/2` are the same tokens once both
    /// are brought to one length, and have the same rate.
    #[test]
    fn c_thy_43_up_to_length_the_official_step_is_the_convex_step_at_one_half(
        setting in directed_settings(),
        scale in 0.1f64..10.0,
    ) {
        let Setting { z, bases, epsilon } = &setting;
        let m = attention_update(z.view(), bases.view(), scale);
        let kappa_c = 0.5;
        let convex = z * (1.0 - kappa_c) + &(&m * kappa_c);
        let official = z + &m;
        let shortest = official.axis_iter(Axis(1)).map(|t| t.dot(&t).sqrt()).fold(f64::INFINITY, f64::min);
        // Halving is exact; the sums round by u of their operands, which the division by a length magnifies.
        let rounding = tolerance::sum(1, (norm(z.view()) + norm(m.view())) / shortest);
        let (a, b) = (unit_tokens(official.view()), unit_tokens(convex.view()));
        near("tokens of length 1", &a, &b, rounding)?;
        let rate = |z: &Array2<f64>| scale_free_rate(z.view(), bases.view(), *epsilon).unwrap().total;
        // ||grad R^c||_F <= sqrt(c K p) / 2, d = K p.
        let slope = (setting.c() * z.nrows() as f64).sqrt();
        let found = rate(&official);
        near_number("rate", found, rate(&convex), tolerance::rates(found) + slope * rounding)?;
    }

    // ANCHOR: growth
    /// What rescaling takes from the slope along `V` is exactly the growth: at tokens of length 1,
    /// `d/dt R^c(unit(X + t V)) = <G, V> - sum_j <g_j, x_j> <x_j, v_j>`, `G = grad R^c(X)`.
    #[test]
    fn c_thy_43_rescaling_removes_exactly_the_growth_from_the_slope(
        setting in directed_settings(),
        direction in companions(),
    ) {
        let Setting { z, bases, epsilon } = &setting;
        let direction = direction.of(z.nrows(), z.ncols());
        let x = unit_tokens(z.view());
        let gradient = subspace_rate_gradient(x.view(), bases.view(), *epsilon).unwrap();
        let growth: f64 = (0..x.ncols())
            .map(|j| {
                let token = x.column(j);
                gradient.column(j).dot(&token) * token.dot(&direction.column(j))
            })
            .sum();
        let expected = inner(&gradient, &direction) - growth;
        let rate = |t: f64| {
            let moved = &x + &(&direction * t);
            scale_free_rate(moved.view(), bases.view(), *epsilon).unwrap().total
        };
        let h = 1e-5;
        let found = (rate(h) - rate(-h)) / (2.0 * h);
        // The third derivative along V is below 100 (1 + c)^2 |V|^3.
        let third = 100.0 * (1.0 + setting.c()).powi(2) * norm(direction.view()).max(1.0).powi(3);
        let bound = tolerance::difference(h, third, tolerance::scatter(rate(0.0)), h);
        near_number("slope", found, expected, bound)?;
    }

    /// The first-order term of the series, which the official step drops, is `c Z` for complete orthogonal
    /// bases: radial, so that it changes nothing once tokens are brought to one length.
    #[test]
    fn c_thy_43_the_dropped_first_order_term_is_radial(
        setting in directed_settings(),
        step in -0.5f64..0.5,
    ) {
        let Setting { z, bases, epsilon } = &setting;
        let c = setting.c();
        let dropped = truncated_gradient(z.view(), bases.view(), *epsilon, 0);
        let rounding = tolerance::sum(z.nrows(), norm(z.view()));
        near("dropped", &dropped, &(z * c), c * rounding)?;
        near("turning", &tangential(z.view(), dropped.view()), &(z * 0.0), c * rounding)?;
        let moved = z + &(&dropped * (step / c));
        // Tokens are at least 0.1 long, and keep at least half of that.
        let (a, b) = (unit_tokens(moved.view()), unit_tokens(z.view()));
        near("tokens of length 1", &a, &b, 20.0 * rounding)?;
    }
    // ANCHOR_END: growth
}

/// Where the bases leave directions out, the dropped term is `c` times the projection and turns tokens.
#[test]
fn c_thy_43_for_incomplete_bases_the_dropped_term_is_not_radial() {
    let bases = Array2::eye(2).slice(ndarray::s![.., ..1]).to_owned();
    let z = Array2::from_elem((2, 1), 1.0);
    let dropped = truncated_gradient(z.view(), bases.view().insert_axis(Axis(0)), 1.0, 0);
    let turning = tangential(z.view(), dropped.view());
    assert!(norm(turning.view()) > 0.5 * norm(dropped.view()));
}
