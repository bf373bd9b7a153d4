//! C-THY-24 to C-THY-28, C-VAR-08, C-VAR-09: token statistics attention.

use ndarray::{Array1, Array2, Array3, Axis};
use ndarray_linalg::{Eigh, UPLO};
use proptest::prelude::*;
use whitebox::exact::mcr2::{equal_labels, label_rate};
use whitebox::exact::tssa::{
    code_memberships, log_moment, log_moment_slope, memberships, second_moments, tssa, tssa_code,
    variational_gradient, variational_rate,
};

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near, near_number, near_numbers};

/// A concave function of an eigenvalue.
type Concave = Box<dyn Fn(f64) -> f64>;

/// By how much features `U^T Z`, brought to length 1, enlarge the rounding of the sums that they are, all together:
/// the sums may cancel, and a length below the code's floor of 1e-12, reached once tokens shrink to `factor` of
/// theirs, is not divided out.
fn amplification(z: &Array2<f64>, bases: &Array3<f64>, factor: f64) -> f64 {
    let sizes = z.mapv(f64::abs);
    let mut total = 1.0;
    for basis in bases.outer_iter() {
        for direction in basis.columns() {
            let feature = direction.dot(z);
            let terms = direction.mapv(f64::abs).dot(&sizes);
            let (length, terms) = (feature.dot(&feature).sqrt(), terms.dot(&terms).sqrt());
            total += match (length, terms) {
                (_, 0.0) => 0.0,
                (length, _) if length * factor < 1e-11 => f64::INFINITY,
                (length, terms) => terms / length,
            };
        }
    }
    total
}

proptest! {
    /// `sum f(ev_i(M)) <= sum f((Q^T M Q)_ii)` for concave f, with equality where Q diagonalises M.
    #[test]
    fn c_thy_24_diagonals_bound_concave_spectral_sums(z in matrices(1..9, 1..12), turned in rotations(), s in 0.01f64..100.0) {
        let d = z.nrows();
        let m = z.dot(&z.t());
        let q = turned.of(d);
        let (values, vectors) = m.eigh(UPLO::Lower).unwrap();
        let size = values.iter().fold(1.0f64, |a, v| a.max(v.abs()));
        let rounding = tolerance::spectrum(d, size);
        // The slopes of logarithm and cut are s and 1; the root makes rounding of a zero its own root.
        let concave: [(&str, Concave, f64); 3] = [
            ("log", Box::new(move |x: f64| log_moment(x.max(0.0), s)), rounding * s.max(1.0)),
            ("root", Box::new(|x: f64| x.max(0.0).sqrt()), d as f64 * rounding.sqrt()),
            ("cut", Box::new(|x: f64| x.min(1.0)), rounding),
        ];
        for (name, f, slack) in concave {
            let spectral: f64 = values.iter().map(|&v| f(v)).sum();
            let diagonal = |q: &Array2<f64>| -> f64 { q.t().dot(&m).dot(q).diag().iter().map(|&v| f(v)).sum() };
            at_most(name, spectral, diagonal(&q), slack)?;
            near_number(name, diagonal(&vectors), spectral, slack)?;
        }
    }

    /// The stated gradient, with memberships held fixed, against central differences.
    #[test]
    fn c_thy_25_the_gradient_with_fixed_memberships(
        setting in ordinary_settings(),
        [weights, direction] in [companions(), companions()],
        s in 0.1f64..10.0,
    ) {
        let Setting { z, bases, .. } = &setting;
        let pi = weights.weights(setting.heads(), z.ncols(), 0.05);
        let direction = direction.of(z.nrows(), z.ncols());
        let value = |t: f64| variational_rate((z + &(&direction * t)).view(), bases.view(), pi.view(), s);
        let h = 1e-5;
        let found = (value(h) - value(-h)) / (2.0 * h);
        let exact = inner(&variational_gradient(z.view(), bases.view(), pi.view(), s), &direction);
        // ln(1 + s x^2) has a third derivative of at most 2 s^{3/2}.
        let third = 2.0 * (s.sqrt() * norm(direction.view())).powi(3);
        near_number("slope", found, exact, tolerance::difference(h, third, tolerance::scatter(value(0.0)), h))?;
    }

    /// If every group lies in its subspace, the label rate is at most the variational one.
    #[test]
    fn c_thy_26_the_variational_rate_bounds_the_label_rate(union in unions(HEADS, WIDTHS, 1..8), epsilon in 0.2f64..3.0) {
        let (z, bases) = (union.tokens(0.0), union.bases());
        let labels = equal_labels(union.heads, union.each);
        let s = z.nrows() as f64 / (epsilon * epsilon);
        let exact = label_rate(z.view(), labels.view(), epsilon).unwrap();
        let bound = variational_rate(z.view(), bases.view(), labels.view(), s);
        at_most("label rate", exact, bound, tolerance::spectrum(z.nrows(), bound))?;
    }

    /// A step of tau along the gradient scales row i of a group by `1 - tau f'(m_i) / N`, which grows
    /// with the row's second moment: strong directions are kept.
    #[test]
    fn c_thy_28_strong_directions_are_kept(z in matrices(2..8, 1..20), s in 0.1f64..10.0) {
        let (p, n) = z.dim();
        let mut z = z;
        for (index, mut row) in z.outer_iter_mut().enumerate() {
            row *= 2f64.powi(index as i32 - 3);
        }
        let bases: Array3<f64> = Array2::eye(p).insert_axis(Axis(0));
        let pi = Array2::ones((1, n));
        let tau = n as f64 / s;
        let stepped = &z - &(variational_gradient(z.view(), bases.view(), pi.view(), s) * tau);
        let moments = second_moments(z.view(), bases.index_axis(Axis(0), 0), pi.row(0));
        let gains = moments.mapv(|moment| 1.0 - log_moment_slope(moment, s) / s);
        let scaled = &z * &gains.clone().insert_axis(Axis(1));
        near("stepped", &stepped, &scaled, tolerance::sum(n, norm(z.view())))?;
        let mut pairs: Vec<(f64, f64)> = moments.into_iter().zip(gains).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        prop_assert!(pairs.windows(2).all(|w| w[0].1 <= w[1].1), "{pairs:?}");
        let rate = |z: &Array2<f64>| variational_rate(z.view(), bases.view(), pi.view(), s);
        at_most("rate", rate(&stepped), rate(&z), 0.0)?;
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
        at_most("rate", rate(&after), before, tolerance::spectrum(z.nrows(), before))?;
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
        let share = (1e-8 / smallest).min(1.0) + tolerance::sum(z.nrows() + z.ncols(), 1.0);
        near("step", &code, &paper, share * norm(paper.view()))?;
    }

    /// Memberships are a softmax over subspaces for every token; the code's see a token only relative
    /// to the others: they do not change when a feature is scaled.
    #[test]
    fn c_var_08_the_codes_memberships_ignore_the_scale_of_features(setting in ordinary_settings(), factor in 0.01f64..100.0) {
        let Setting { z, bases, .. } = &setting;
        let (heads, n) = (setting.heads(), z.ncols());
        let temperatures = Array1::ones(heads);
        let own = code_memberships(z.view(), bases.view(), temperatures.view());
        let scaled = code_memberships((z * factor).view(), bases.view(), temperatures.view());
        let rounding = tolerance::sum(z.nrows() * own.len(), amplification(z, bases, factor.min(1.0)));
        near("memberships", &scaled, &own, rounding.min(1.0))?;
        near_numbers("sums", &own.sum_axis(Axis(0)), vec![1.0; n], tolerance::sum(heads, 1.0))?;
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
    // The next term is of relative size theta^2.
    near_number("slope", slope, 2.0, 0.01).unwrap();
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
