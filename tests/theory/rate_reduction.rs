//! C-THY-42: the sign of `R - R^c` for complete orthogonal bases, by number of tokens, rank and precision.
//!
//! With `a = d / (N eps^2)`, `c = a / K`, `W_k = U_k^T Z`, `r = rank Z`, `m = sum_k rank W_k >= r`:
//!
//! * `R > R^c` while `a sigma_max(Z)^2 <= x_K`, `ln(1 + x_K) = x_K / K`: as `ln(1 + x) / x` falls,
//!   `R >= a |Z|^2 / (2 K) = sum_k c |W_k|^2 / 2 >= R^c`.
//! * `R < R^c` once `(1 + c sigma^2)^m > (1 + a |Z|^2 / r)^r`, `sigma` the smallest singular value of any
//!   `W_k` that is not zero; if `m > r` that is so below some precision and stays so, and
//!   `R - R^c = -(m - r) ln(1 / eps) + O(1)`.
//! * For fewer tokens than dimensions in general position `m = K min(p, N) > N = r`. Bases along the left
//!   singular vectors of the tokens have `m = r` and `R >= R^c` at every precision.
//! * At full row rank `R - R^c` tends to `d/2 ln K - I`, `I = 1/2 (sum_k logdet W_k W_k^T - logdet Z Z^T)`.

use ndarray::{Array2, Array3};
use ndarray_linalg::SVD;
use proptest::prelude::*;
use whitebox::exact::rate_reduction;

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near_number};

fn delta(z: &Array2<f64>, bases: &Array3<f64>, epsilon: f64) -> (f64, f64) {
    let found = rate_reduction(z.view(), bases.view(), epsilon).unwrap();
    (
        found.delta,
        tolerance::rates(found.rate.value + found.subspace.total),
    )
}

/// `x > 0` with `ln(1 + x) = x / K`.
fn end_of_low_precision(heads: usize) -> f64 {
    let heads = heads as f64;
    (0..200).fold(heads * heads * 4.0, |x: f64, _| heads * x.ln_1p())
}

/// Several subspaces and any tokens that are not zero.
fn several_subspaces() -> impl Strategy<Value = Setting> {
    ordinary_settings().prop_filter("several subspaces", |setting| setting.heads() > 1)
}

/// Smallest singular value of a `W_k` in general position, squared.
fn weakest(setting: &Setting) -> f64 {
    (0..setting.heads())
        .flat_map(|k| {
            let w = project(&setting.bases, k, &setting.z);
            let gram = if w.nrows() <= w.ncols() {
                w.dot(&w.t())
            } else {
                w.t().dot(&w)
            };
            eigenvalues(&gram).to_vec()
        })
        .fold(f64::INFINITY, f64::min)
}

/// What `ln(1 + x)` may differ from `ln x` where a limit is approached: `1 / x`.
const REST: f64 = 1e-10;

fn log_determinant(matrix: &Array2<f64>) -> f64 {
    eigenvalues(matrix).iter().map(|v| v.ln()).sum()
}

proptest! {
    /// Any tokens, few or many, of any rank.
    #[test]
    fn c_thy_42_at_low_precision_it_is_positive(setting in several_subspaces(), share in 0.001f64..1.0) {
        let Setting { z, bases, .. } = &setting;
        let (d, n) = z.dim();
        let largest = spectral_norm(z).powi(2);
        let a = share * end_of_low_precision(bases.dim().0) / largest;
        let (delta, rounding) = delta(z, bases, (d as f64 / n as f64 / a).sqrt());
        at_most("nothing", 0.0, delta, rounding)?;
        // Away from the end it is positive by more than rounding.
        prop_assert!(share > 0.9 || delta > 0.0, "{delta}");
    }

    /// For any tokens there are complete orthogonal bases for which it is positive: those along their left
    /// singular vectors, at every precision.
    #[test]
    fn c_thy_42_along_the_tokens_own_directions_it_is_positive(
        setting in several_subspaces(),
        power in -4.0f64..2.0,
    ) {
        let z = &setting.z;
        let (heads, d, p) = setting.bases.dim();
        let (left, values, _) = z.svd(true, false).unwrap();
        let left = left.unwrap();
        let own = Array3::from_shape_fn((heads, d, p), |(k, i, j)| left[(i, k * p + j)]);
        let epsilon = 10f64.powf(power);
        let a = d as f64 / z.ncols() as f64 / (epsilon * epsilon);
        let expected: f64 = values
            .iter()
            .map(|v| 0.5 * ((a * v * v).ln_1p() - (a * v * v / heads as f64).ln_1p()))
            .sum();
        let (delta, rounding) = delta(z, &own, epsilon);
        // Bases that are off by u turn a direction of zero energy by u sigma_max; singular values are off by as much.
        let leak = a * tolerance::sum(d, values[0]).powi(2);
        let shift = d as f64 * a.sqrt() * tolerance::sum(d, values[0]).min(1.0);
        let bound = rounding + shift + d as f64 * d as f64 * leak.ln_1p();
        near_number("R - R^c", delta, expected, bound)?;
        prop_assert!(expected > 0.0, "{expected}");
    }

    // ANCHOR: few_tokens
    /// Fewer tokens than dimensions, in general position: below the precision at which
    /// `(1 + c sigma^2)^m > (1 + a |Z|^2 / r)^r` it is negative, however much below.
    #[test]
    fn c_thy_42_few_tokens_in_general_position_make_it_negative_below_a_precision(
        mut setting in general_position(true),
        beyond in 0.0f64..3.0,
    ) {
        let (d, n) = setting.z.dim();
        let (m, r) = ((setting.heads() * setting.p().min(n)) as f64, n as f64);
        let weakest = weakest(&setting);
        prop_assume!(weakest > 1e-6);
        let squares = norm(setting.z.view()).powi(2);
        let heads = setting.heads() as f64;
        let certain = |epsilon: f64| {
            let a = d as f64 / n as f64 / (epsilon * epsilon);
            let c = a / heads;
            m * (c * weakest).ln_1p() > r * (a * squares / r).ln_1p()
        };
        // Among the small ones: the bound needs up to sigma^(-2 r / (m - r)).
        let threshold = (0..600).map(|i| 2f64.powf(5.0 - 0.5 * f64::from(i))).find(|&e| certain(e));
        prop_assert!(threshold.is_some(), "no precision is certain");
        setting.epsilon = threshold.unwrap() * 10f64.powf(-beyond);
        prop_assume!(setting.epsilon > 1e-80);
        prop_assert!(certain(setting.epsilon), "at {}", setting.epsilon);
        let (delta, rounding) = delta(&setting.z, &setting.bases, setting.epsilon);
        at_most("R - R^c", delta, 0.0, rounding)?;
    }
    // ANCHOR_END: few_tokens

    /// Halving the precision takes `(m - r) ln 2` off, in the end.
    #[test]
    fn c_thy_42_few_tokens_in_general_position_make_it_fall_without_bound(setting in general_position(true)) {
        let (d, n) = setting.z.dim();
        let excess = setting.heads() * setting.p().min(n) - n;
        let weakest = weakest(&setting).min(eigenvalues(&setting.z.t().dot(&setting.z))[0]);
        prop_assume!(weakest > 1e-6);
        // Then every c sigma^2 is at least 1 / REST, and ln(1 + x) is ln x up to REST.
        let epsilon = (setting.p() as f64 / n as f64 * weakest * REST).sqrt();
        let (coarse, rounding) = delta(&setting.z, &setting.bases, epsilon);
        let (fine, _) = delta(&setting.z, &setting.bases, 0.5 * epsilon);
        let expected = -(excess as f64) * 2f64.ln();
        near_number("fall", fine - coarse, expected, 4.0 * rounding + 4.0 * REST * d as f64)?;
    }

    /// At full row rank it has a limit: `d/2 ln K` less what the heads share.
    #[test]
    fn c_thy_42_at_full_rank_it_tends_to_a_number(setting in general_position(false)) {
        let (d, n) = setting.z.dim();
        let weakest = weakest(&setting).min(eigenvalues(&setting.z.dot(&setting.z.t()))[0]);
        prop_assume!(weakest > 1e-6);
        let shared: f64 = (0..setting.heads())
            .map(|k| {
                let w = project(&setting.bases, k, &setting.z);
                0.5 * log_determinant(&w.dot(&w.t()))
            })
            .sum::<f64>() - 0.5 * log_determinant(&setting.z.dot(&setting.z.t()));
        let limit = 0.5 * d as f64 * (setting.heads() as f64).ln() - shared;
        let epsilon = (setting.p() as f64 / n as f64 * weakest * REST).sqrt();
        let (delta, rounding) = delta(&setting.z, &setting.bases, epsilon);
        // Eigenvalues are off by u sigma_max^2 each.
        let condition = spectral_norm(&setting.z).powi(2) / weakest;
        let bound = rounding + 2.0 * REST * d as f64 + tolerance::inverse(condition, d * d, 1.0);
        near_number("limit", delta, limit, bound)?;
        at_most("nothing", 0.0, shared, bound)?;
    }

    /// Up to p orthogonal tokens of one length whose energy all heads share alike: with
    /// `x = d |z|^2 / (N eps^2)` it is `N/2 (ln(1 + x) - K ln(1 + x / K^2))`.
    #[test]
    fn c_thy_42_tokens_that_all_heads_share_alike_have_it_in_closed_form(
        heads in 2usize..5,
        p in WIDTHS,
        share in 0.0f64..1.0,
        power in -2.0f64..4.0,
        turned in rotations(),
        frames in [rotations(), rotations(), rotations(), rotations()],
    ) {
        let (d, n) = (heads * p, 1 + (share * (p - 1) as f64) as usize);
        let bases = turned.bases(heads, p);
        let mut z = Array2::zeros((d, n));
        for (basis, frame) in bases.outer_iter().zip(&frames) {
            z += &basis.dot(&frame.frame(p, n));
        }
        z /= (heads as f64).sqrt();
        let x = 10f64.powf(power);
        let epsilon = (d as f64 / n as f64 / x).sqrt();
        let k = heads as f64;
        let expected = 0.5 * n as f64 * (x.ln_1p() - k * (x / (k * k)).ln_1p());
        let (delta, rounding) = delta(&z, &bases, epsilon);
        let bound = rounding + k * tolerance::moved_rates(z.view(), epsilon, 8 * d, 1.0);
        near_number("R - R^c", delta, expected, bound)?;
    }
}

/// Two heads: the closed form changes sign at `x = 8` exactly.
#[test]
fn c_thy_42_two_heads_change_the_sign_at_eight() {
    let of = |x: f64| x.ln_1p() - 2.0 * (x / 4.0).ln_1p();
    near_number("at 8", of(8.0), 0.0, tolerance::sum(1, 1.0)).unwrap();
    assert!(of(7.9) > 0.0 && of(8.1) < 0.0);
}
