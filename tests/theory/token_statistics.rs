//! C-THY-24 to C-THY-28, C-VAR-08, C-VAR-09: token statistics attention.

use ndarray::{Array1, Array2, Array3, Axis};
use ndarray_linalg::{Eigh, UPLO};
use proptest::prelude::*;
use whitebox::exact::mcr2::label_rate;
use whitebox::exact::tssa::{
    code_memberships, log_moment, log_moment_slope, memberships, second_moments, tssa, tssa_code,
    variational_gradient, variational_rate,
};

use crate::strategies::*;

/// A concave function of an eigenvalue.
type Concave = Box<dyn Fn(f64) -> f64>;

fn random_memberships(seed: u64, groups: usize, tokens: usize) -> Array2<f64> {
    let flat = uniform(seed, "membership", groups * tokens).to_vec();
    let mut weights = Array2::from_shape_vec((groups, tokens), flat).unwrap() + 0.05;
    for mut token in weights.axis_iter_mut(Axis(1)) {
        let sum = token.sum();
        token /= sum;
    }
    weights
}

proptest! {
    /// `sum f(ev_i(M)) <= sum f((Q^T M Q)_ii)` for concave f, with equality where Q diagonalises M.
    #[test]
    fn c_thy_24_diagonals_bound_concave_spectral_sums(seed in any::<u64>(), d in 1usize..9, n in 1usize..12, s in 0.01f64..100.0) {
        let z = gaussian(seed, "z", d, n);
        let m = z.dot(&z.t());
        let q = orthonormal(seed, "q", d, d);
        let (values, vectors) = m.eigh(UPLO::Lower).unwrap();
        let concave: [(&str, Concave); 3] = [
            ("log", Box::new(move |x: f64| log_moment(x.max(0.0), s))),
            ("root", Box::new(|x: f64| x.max(0.0).sqrt())),
            ("cut", Box::new(|x: f64| x.min(1.0))),
        ];
        for (name, f) in concave {
            let spectral: f64 = values.iter().map(|&v| f(v)).sum();
            let diagonal = |q: &Array2<f64>| -> f64 { q.t().dot(&m).dot(q).diag().iter().map(|&v| f(v)).sum() };
            let size = values.iter().fold(1.0f64, |a, v| a.max(v.abs()));
            // The root magnifies rounding of zero eigenvalues: sqrt(u size) each.
            let rounding = if name == "root" { 1e-7 * d as f64 * size.sqrt() } else { 1e-13 * d as f64 * size * s.max(1.0) };
            prop_assert!(spectral <= diagonal(&q) + rounding, "{name}");
            prop_assert!((spectral - diagonal(&vectors)).abs() <= rounding, "{name}");
        }
    }

    /// The stated gradient, with memberships held fixed, against central differences.
    #[test]
    fn c_thy_25_the_gradient_with_fixed_memberships(setting in ordinary_settings(), s in 0.1f64..10.0) {
        let Setting { z, bases, seed, .. } = &setting;
        let pi = random_memberships(*seed, setting.heads(), z.ncols());
        let direction = gaussian(*seed, "direction", z.nrows(), z.ncols());
        let value = |t: f64| variational_rate((z + &(&direction * t)).view(), bases.view(), pi.view(), s);
        let h = 1e-5;
        let found = (value(h) - value(-h)) / (2.0 * h);
        let exact = inner(&variational_gradient(z.view(), bases.view(), pi.view(), s), &direction);
        let reach = s * norm(direction.view()).powi(2).max(1.0);
        prop_assert!((found - exact).abs() <= 1e-8 * reach * (1.0 + norm(z.view())), "{found} {exact}");
    }

    /// If every group lies in its subspace, the label rate is at most the variational one.
    #[test]
    fn c_thy_26_the_variational_rate_bounds_the_label_rate(heads in HEADS, p in WIDTHS, per_head in 1usize..8, epsilon in 0.2f64..3.0, seed in any::<u64>()) {
        let bases = orthogonal_bases(seed, heads, p);
        let (d, n) = (heads * p, heads * per_head);
        let mut z = Array2::zeros((d, n));
        let mut labels = Array2::zeros((heads, n));
        for (k, basis) in bases.outer_iter().enumerate() {
            let columns = k * per_head..(k + 1) * per_head;
            let inside = gaussian(seed, &format!("group {k}"), p, per_head);
            z.slice_mut(ndarray::s![.., columns.clone()]).assign(&basis.dot(&inside));
            labels.slice_mut(ndarray::s![k, columns]).fill(1.0);
        }
        let s = d as f64 / (epsilon * epsilon);
        let exact = label_rate(z.view(), labels.view(), epsilon).unwrap();
        let bound = variational_rate(z.view(), bases.view(), labels.view(), s);
        prop_assert!(exact <= bound * (1.0 + 1e-11), "{exact} {bound}");
    }

    /// A step of tau along the gradient scales row i of a group by `1 - tau f'(m_i) / N`, which grows
    /// with the row's second moment: strong directions are kept.
    #[test]
    fn c_thy_28_strong_directions_are_kept(seed in any::<u64>(), p in 2usize..8, n in 4usize..20, s in 0.1f64..10.0) {
        let mut z = gaussian(seed, "z", p, n);
        for (index, mut row) in z.outer_iter_mut().enumerate() {
            row *= 2f64.powi(index as i32 - 3);
        }
        let bases: Array3<f64> = Array2::eye(p).insert_axis(Axis(0));
        let pi = Array2::ones((1, n));
        let tau = n as f64 / s;
        let stepped = &z - &(variational_gradient(z.view(), bases.view(), pi.view(), s) * tau);
        let moments = second_moments(z.view(), bases.index_axis(Axis(0), 0), pi.row(0));
        let mut pairs: Vec<(f64, f64)> = moments
            .iter()
            .enumerate()
            .map(|(i, &moment)| (moment, stepped[(i, 0)] / z[(i, 0)]))
            .collect();
        for (moment, gain) in &pairs {
            prop_assert!((gain - (1.0 - log_moment_slope(*moment, s) / s)).abs() <= 1e-12);
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        prop_assert!(pairs.windows(2).all(|w| w[0].1 <= w[1].1 + 1e-12));
        let rate = |z: &Array2<f64>| variational_rate(z.view(), bases.view(), pi.view(), s);
        prop_assert!(rate(&stepped) <= rate(&z));
    }

    /// With memberships held fixed and complete bases the objective is separable and its gradient
    /// `max f' / N`-Lipschitz: steps up to twice the inverse never raise it.
    #[test]
    fn c_var_09_the_step_never_raises_its_own_objective(setting in ordinary_settings(), s in 0.1f64..100.0, share in 0.01f64..1.0) {
        let Setting { z, bases, .. } = &setting;
        let pi = memberships(z.view(), bases.view(), 1.0);
        let tau = 2.0 * share * z.ncols() as f64 / s;
        let after = z + &tssa(z.view(), bases.view(), pi.view(), s, tau);
        let rate = |z: &Array2<f64>| variational_rate(z.view(), bases.view(), pi.view(), s);
        let before = rate(z);
        prop_assert!(rate(&after) <= before * (1.0 + 1e-12), "{before} {}", rate(&after));
    }

    /// The released code's heads with `U` in place of its output projection, its memberships replaced
    /// by the paper's and the precision put back, are the paper's operator with tau = N / s.
    #[test]
    fn c_var_08_the_code_is_the_papers_operator_once_three_deviations_are_undone(setting in ordinary_settings(), s in 0.1f64..100.0) {
        let Setting { z, bases, .. } = &setting;
        let pi = memberships(z.view(), bases.view(), 1.0);
        let paper = tssa(z.view(), bases.view(), pi.view(), s, z.ncols() as f64 / s);
        let code = tssa_code((z * s.sqrt()).view(), bases.view(), pi.view()) / s.sqrt();
        // The code adds 1e-8 to the sum of the memberships.
        let smallest = pi.sum_axis(Axis(1)).fold(f64::INFINITY, |a, &v| a.min(v));
        let tolerance = (1e-8 / smallest).min(1.0) + 1e-13;
        prop_assert!(norm((&code - &paper).view()) <= tolerance * norm(paper.view()));
    }

    /// Memberships are a softmax over subspaces for every token; the code's see a token only relative
    /// to the others: they do not change when a feature is scaled.
    #[test]
    fn c_var_08_the_codes_memberships_ignore_the_scale_of_features(setting in ordinary_settings(), factor in 0.01f64..100.0) {
        let Setting { z, bases, .. } = &setting;
        let temperatures = Array1::ones(setting.heads());
        let own = code_memberships(z.view(), bases.view(), temperatures.view());
        let scaled = code_memberships((z * factor).view(), bases.view(), temperatures.view());
        prop_assert!(norm((&own - &scaled).view()) <= 1e-12 * own.len() as f64);
        prop_assert!(own.sum_axis(Axis(0)).iter().all(|s| (s - 1.0).abs() < 1e-14));
    }
}

/// For strictly concave f, turning eigenvectors by an angle opens a gap quadratic in the angle.
#[test]
fn c_thy_24_the_gap_grows_with_the_square_of_the_angle() {
    let gap = |theta: f64| {
        let (sine, cosine) = theta.sin_cos();
        let m = |a: f64, b: f64| log_moment(a, 1.0) + log_moment(b, 1.0);
        let (x, y) = (4.0, 0.5);
        m(
            x * cosine * cosine + y * sine * sine,
            x * sine * sine + y * cosine * cosine,
        ) - m(x, y)
    };
    let slope = (gap(1e-2) / gap(1e-3)).log10();
    assert!((slope - 2.0).abs() < 0.01, "{slope}");
}

/// Where the basis misses the group's energy the bound fails: the condition is needed.
#[test]
fn c_thy_26_the_bound_fails_when_the_subspace_misses_the_tokens() {
    let z = Array2::from_elem((2, 3), 1.0);
    let missing = Array3::from_shape_vec((1, 2, 1), vec![1.0, -1.0]).unwrap() / 2f64.sqrt();
    let labels = Array2::ones((1, 3));
    let exact = label_rate(z.view(), labels.view(), 1.0).unwrap();
    assert!(exact > variational_rate(z.view(), missing.view(), labels.view(), 2.0));
}
