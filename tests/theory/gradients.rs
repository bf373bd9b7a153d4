//! C-THY-02 to C-THY-09: gradients of the rates, their Neumann series, and what steps along them do.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::neumann::{radius, scaled_energies, truncated_gradient};
use whitebox::exact::{coding_rate, coding_rate_gradient, subspace_rate, subspace_rate_gradient};

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near, near_number, near_numbers};

fn subspace(setting: &Setting, z: &Array2<f64>) -> f64 {
    let rate = subspace_rate(z.view(), setting.bases.view(), setting.epsilon);
    rate.unwrap().total
}

proptest! {
    /// Push-through: `a (I + a Z Z^T)^{-1} Z = a Z (I + a Z^T Z)^{-1}`, each side by an explicit inverse.
    #[test]
    fn c_thy_02_both_forms_of_the_gradient_of_r_agree(setting in ordinary_settings()) {
        let Setting { z, epsilon, .. } = &setting;
        let (d, n) = z.dim();
        let a = d as f64 / n as f64 / (epsilon * epsilon);
        let left = inverse(&(Array2::eye(d) + z.dot(&z.t()) * a)).dot(z) * a;
        let right = z.dot(&inverse(&(Array2::eye(n) + z.t().dot(z) * a))) * a;
        let found = coding_rate_gradient(z.view(), *epsilon).unwrap();
        let condition = 1.0 + a * norm(z.view()).powi(2);
        let bound = tolerance::inverse(condition, d + n, a * norm(z.view()));
        near("inverse on the left", &found, &left, bound)?;
        near("inverse on the right", &found, &right, bound)?;
    }

    /// The same for `R^c`, with bases that are neither orthonormal nor mutually orthogonal.
    #[test]
    fn c_thy_03_the_gradient_of_rc_holds_for_any_bases(setting in ordinary_settings(), bases in any_bases()) {
        let Setting { z, epsilon, .. } = &setting;
        let (d, n) = z.dim();
        let (heads, p, bases) = (bases.heads(), bases.p(), bases.of(d));
        let c = p as f64 / n as f64 / (epsilon * epsilon);
        let mut exact = Array2::zeros((d, n));
        let mut condition = 1.0f64;
        for k in 0..heads {
            let w = project(&bases, k, z);
            let basis = bases.index_axis(Axis(0), k);
            let solved = w.dot(&inverse(&(Array2::eye(n) + w.t().dot(&w) * c)));
            exact.scaled_add(c, &basis.dot(&solved));
            condition += c * norm(w.view()).powi(2);
        }
        let found = subspace_rate_gradient(z.view(), bases.view(), *epsilon).unwrap();
        // Entries of a basis are below 3 but for one in a hundred.
        let size = c * norm(z.view()) * (heads * d * p) as f64 * 9.0;
        near("gradient", &found, &exact, tolerance::inverse(condition, n, size))?;
    }

    /// The book's exercise gives half the gradient and half the curvature of logdet(I + alpha Z Z^T).
    #[test]
    fn c_thy_04_the_book_exercise_is_too_small_by_two(z in matrices(1..6, 1..6), direction in companions()) {
        let (d, n) = z.dim();
        // alpha = d / (N eps^2) = 1 at this precision, and the function is 2 R.
        let epsilon = (d as f64 / n as f64).sqrt();
        let direction = direction.of(d, n);
        let value = |t: f64| 2.0 * coding_rate((&z + &(&direction * t)).view(), epsilon).unwrap().value;
        let x = inverse(&(Array2::eye(d) + z.dot(&z.t())));
        let slope = 2.0 * inner(&x.dot(&z), &direction);
        let cross = z.dot(&direction.t()) + direction.dot(&z.t());
        let xs = x.dot(&cross);
        let curvature = 2.0 * x.dot(&direction).dot(&direction.t()).diag().sum() - xs.dot(&xs).diag().sum();
        let h = 1e-4;
        let found = (value(h) - value(-h)) / (2.0 * h);
        // Third and fourth derivative along the direction are below 10 and 100 times the direction's powers.
        let (reach, noise) = (norm(direction.view()).max(1.0), tolerance::scatter(value(0.0)));
        near_number("slope", found, slope, tolerance::difference(h, 10.0 * reach.powi(3), noise, h))?;
        let found = (value(h) - 2.0 * value(0.0) + value(-h)) / (h * h);
        let bound = tolerance::difference(h, 100.0 * reach.powi(4), noise, h * h);
        near_number("curvature", found, curvature, bound)?;
    }

    // ANCHOR: neumann
    /// `||(I + A)^{-1} - (I - A)||_2 = rho^2 / (1 + rho)` exactly.
    #[test]
    fn c_thy_05_neumann_error_of_first_order(setting in ordinary_settings(), rho in 0.01f64..20.0) {
        let setting = setting.with_radius(rho);
        let (c, n) = (setting.c(), setting.z.ncols());
        let found = (0..setting.heads())
            .map(|k| {
                let w = project(&setting.bases, k, &setting.z);
                let a = w.t().dot(&w) * c;
                let difference = inverse(&(Array2::<f64>::eye(n) + &a)) - (Array2::<f64>::eye(n) - &a);
                spectral_norm(&difference)
            })
            .fold(0.0, f64::max);
        let exact = rho * rho / (1.0 + rho);
        near_number("error", found, exact, tolerance::spectrum(n, 1.0 + rho))?;
    }
    // ANCHOR_END: neumann

    /// Inside the radius every order brings the series nearer: per direction the error is
    /// `s^{m+1} / (1 + s)`, so with orthogonal heads the relative error is at most `rho^{m+1}`.
    #[test]
    fn c_thy_05_the_series_converges_inside_its_radius(
        setting in ordinary_settings(),
        rho in 0.01f64..0.9,
        order in 0usize..8,
    ) {
        let setting = setting.with_radius(rho);
        let (z, terms) = (setting.z.view(), setting.z.nrows() + setting.z.ncols());
        let exact = subspace_rate_gradient(z, setting.bases.view(), setting.epsilon).unwrap();
        let cut = truncated_gradient(z, setting.bases.view(), setting.epsilon, order);
        let (error, size) = (norm((&cut - &exact).view()), norm(exact.view()));
        at_most("error", error, rho.powi(order as i32 + 1) * size, tolerance::spectrum(terms, size))?;
        // Truncated (1 - s) against 1 / (1 + s): ratios between 1 - rho^2 and 1 give this cosine.
        if order == 1 {
            let cosine = inner(&cut, &exact) / (norm(cut.view()) * size);
            let least = 2.0 * (1.0 - rho * rho).sqrt() / (2.0 - rho * rho);
            at_most("least cosine", least, cosine, tolerance::spectrum(terms, 1.0))?;
        }
    }

    /// Outside, the leading direction has the wrong sign, and higher orders only make it worse.
    #[test]
    fn c_thy_05_outside_the_radius_the_leading_direction_points_uphill(
        setting in ordinary_settings(),
        rho in 1.05f64..50.0,
    ) {
        let setting = setting.with_radius(rho);
        let z = setting.z.view();
        let exact = subspace_rate_gradient(z, setting.bases.view(), setting.epsilon).unwrap();
        let cut = |order| truncated_gradient(z, setting.bases.view(), setting.epsilon, order);
        let head = (0..setting.heads())
            .max_by(|&a, &b| {
                let top = |k| spectral_norm(&project(&setting.bases, k, &setting.z));
                top(a).total_cmp(&top(b))
            })
            .unwrap();
        let w = project(&setting.bases, head, &setting.z);
        let gram = w.dot(&w.t());
        let (_, vectors) = ndarray_linalg::Eigh::eigh(&gram, ndarray_linalg::UPLO::Lower).unwrap();
        let leading = setting.bases.index_axis(Axis(0), head).dot(&vectors.column(vectors.ncols() - 1));
        let along = |g: &Array2<f64>| leading.dot(g);
        let (truth, first) = (along(&exact), along(&cut(1)));
        prop_assert!(truth.dot(&first) < 0.0, "{truth} and {first}");
        let distance = |order| {
            let difference = along(&cut(order)) - &truth;
            difference.dot(&difference).sqrt()
        };
        prop_assert!(distance(3) > distance(1), "{} {}", distance(3), distance(1));
        prop_assert!(distance(2) > distance(0), "{} {}", distance(2), distance(0));
    }

    /// Projected tokens of length 1, at least as many as the width: `c W W^T` has mean eigenvalue
    /// `1 / eps^2`, so at the official precision 0.1 the radius is at least 100.
    #[test]
    fn c_thy_06_unit_tokens_lie_outside_the_radius(z in companions(), p in WIDTHS, extra in 0usize..18, epsilon in 0.05f64..0.99) {
        let z = z.unit_tokens(p, p + extra);
        let bases = Array2::eye(p).insert_axis(Axis(0));
        let energies = &scaled_energies(z.view(), bases.view(), epsilon).unwrap()[0];
        let mean = energies.iter().sum::<f64>() / p as f64;
        let exact = 1.0 / (epsilon * epsilon);
        let bound = tolerance::spectrum(p, exact);
        near_number("mean energy", mean, exact, bound)?;
        at_most("radius", exact, radius(z.view(), bases.view(), epsilon).unwrap(), bound)?;
    }

    /// With orthogonal bases the gradient is c-Lipschitz: steps up to 2 / c never raise `R^c`.
    #[test]
    fn c_thy_07_exact_steps_never_raise_rc(setting in settings(), fraction in 0.001f64..1.0) {
        let z = &setting.z;
        let gradient = subspace_rate_gradient(z.view(), setting.bases.view(), setting.epsilon).unwrap();
        let before = subspace(&setting, z);
        let after = subspace(&setting, &(z - &(gradient * (2.0 * fraction / setting.c()))));
        at_most("rate", after, before, tolerance::moved_rates(z.view(), setting.epsilon, 8, before))?;
    }

    /// For any bases the constant is `c ||sum_k U_k U_k^T||_2`.
    #[test]
    fn c_thy_07_the_corrected_constant_serves_any_bases(
        setting in ordinary_settings(),
        bases in any_bases(),
        fraction in 0.001f64..1.0,
    ) {
        let Setting { z, epsilon, .. } = &setting;
        let (d, n) = z.dim();
        let (p, bases) = (bases.p(), bases.of(d));
        let mut sum = Array2::zeros((d, d));
        for basis in bases.outer_iter() {
            sum += &basis.dot(&basis.t());
        }
        let c = p as f64 / n as f64 / (epsilon * epsilon) * spectral_norm(&sum);
        let rate = |z: &Array2<f64>| subspace_rate(z.view(), bases.view(), *epsilon).unwrap().total;
        let gradient = subspace_rate_gradient(z.view(), bases.view(), *epsilon).unwrap();
        let before = rate(z);
        let after = rate(&(z - &(gradient * (2.0 * fraction / c))));
        let heads = (0..bases.dim().0).map(|k| project(&bases, k, z));
        let slack = heads.map(|w| tolerance::moved_rates(w.view(), *epsilon, 8 * d, before)).sum();
        at_most("rate", after, before, slack)?;
    }

    /// `sigma -> sigma (1 - kappa c (1 - c sigma^2))` for every singular value of every head.
    #[test]
    fn c_thy_08_the_linear_step_moves_singular_values_as_stated(
        setting in ordinary_settings(),
        rho in 0.01f64..9.0,
        step in 0.01f64..1.9,
    ) {
        let setting = setting.with_radius(rho);
        let (c, z) = (setting.c(), &setting.z);
        let cut = truncated_gradient(z.view(), setting.bases.view(), setting.epsilon, 1);
        let moved = z - &(cut * (step / c));
        for k in 0..setting.heads() {
            let before = project(&setting.bases, k, z);
            let after = project(&setting.bases, k, &moved);
            let mut expected: Vec<f64> = eigenvalues(&(before.dot(&before.t()) * c))
                .iter()
                .map(|s| s.max(0.0) * (1.0 - step * (1.0 - s)).powi(2))
                .collect();
            expected.sort_by(f64::total_cmp);
            let found = eigenvalues(&(after.dot(&after.t()) * c));
            let size = expected.last().copied().unwrap_or(0.0).max(rho);
            near_numbers("energies", &found, expected, tolerance::spectrum(z.nrows() + z.ncols(), size))?;
        }
    }

    #[test]
    fn c_thy_08_the_linear_step_compresses_inside_the_radius(setting in ordinary_settings(), rho in 0.01f64..0.99) {
        let setting = setting.with_radius(rho);
        let cut = truncated_gradient(setting.z.view(), setting.bases.view(), setting.epsilon, 1);
        let moved = &setting.z - &(cut * (0.5 / setting.c()));
        let (after, before) = (subspace(&setting, &moved), subspace(&setting, &setting.z));
        prop_assert!(after < before, "{after} {before}");
    }

    /// One head as wide as the space, every direction with `c sigma^2 > 1`.
    #[test]
    fn c_thy_08_the_linear_step_expands_outside_the_radius(turned in rotations(), p in WIDTHS, epsilon in 0.1f64..0.9) {
        let z = turned.frame(2 * p, p).reversed_axes() * (2.0f64).sqrt();
        let bases = Array2::eye(p).insert_axis(Axis(0));
        let c = p as f64 / (2 * p) as f64 / (epsilon * epsilon);
        let energies = &scaled_energies(z.view(), bases.view(), epsilon).unwrap()[0];
        prop_assert!(energies.iter().all(|&s| s > 1.0), "{energies:?}");
        let moved = &z - &(truncated_gradient(z.view(), bases.view(), epsilon, 1) * (0.5 / c));
        let rate = |z: &Array2<f64>| subspace_rate(z.view(), bases.view(), epsilon).unwrap().total;
        prop_assert!(rate(&moved) > rate(&z), "{} {}", rate(&moved), rate(&z));
    }

    /// `sigma -> sigma (1 + kappa c^2 sigma^2)`: dropping the first-order term turns descent into
    /// ascent, whatever the tokens; the opposite sign descends while `kappa c^2 sigma^2 < 2`.
    #[test]
    fn c_thy_09_the_skip_only_linear_step_always_expands(
        setting in ordinary_settings(),
        rho in 0.01f64..9.0,
        step in 0.05f64..1.0,
    ) {
        let setting = setting.with_radius(rho);
        let (c, z) = (setting.c(), &setting.z);
        let cubic = {
            let first = truncated_gradient(z.view(), setting.bases.view(), setting.epsilon, 0);
            first - truncated_gradient(z.view(), setting.bases.view(), setting.epsilon, 1)
        };
        // cubic = c^2 sum_k U_k W_k W_k^T W_k; with kappa = step / c the factor is 1 + step s.
        let before = subspace(&setting, z);
        let added = subspace(&setting, &(z + &(&cubic * (step / c))));
        prop_assert!(added > before, "{added} {before}");
        if step * rho < 1.99 {
            let taken = subspace(&setting, &(z - &(&cubic * (step / c))));
            prop_assert!(taken < before, "{taken} {before}");
        }
    }
}

#[test]
fn c_thy_07_twice_the_limit_can_raise_rc() {
    let bases = Array2::eye(1).insert_axis(Axis(0));
    let z = Array2::from_elem((1, 1), 1e-3);
    let rate = |z: &Array2<f64>| subspace_rate(z.view(), bases.view(), 1.0).unwrap().total;
    let gradient = subspace_rate_gradient(z.view(), bases.view(), 1.0).unwrap();
    assert!(rate(&(&z - &(gradient * 4.0))) > rate(&z));
}

#[test]
fn c_thy_07_the_orthogonal_constant_fails_for_coherent_bases() {
    // Four times the same subspace: the true constant is four times as large.
    let bases = ndarray::Array3::from_elem((4, 1, 1), 1.0);
    let z = Array2::from_elem((1, 1), 1e-3);
    let rate = |z: &Array2<f64>| subspace_rate(z.view(), bases.view(), 1.0).unwrap().total;
    let gradient = subspace_rate_gradient(z.view(), bases.view(), 1.0).unwrap();
    assert!(rate(&(&z - &(&gradient * 2.0))) > rate(&z));
    assert!(rate(&(&z - &(gradient * 0.5))) <= rate(&z));
}
