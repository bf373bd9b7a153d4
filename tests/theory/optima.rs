//! C-THY-34 to C-THY-36, C-THY-39: maxima of the rate reduction with labels, rates as counts.

use ndarray::{s, Array2, ArrayView2};
use proptest::prelude::*;
use whitebox::exact::mcr2::{
    label_rate, label_rate_gradient, largest_lambda, regularised_singular_values,
};
use whitebox::exact::{coding_rate, coding_rate_gradient};

use crate::strategies::*;

/// `Delta R(Z | Pi) - lambda / 2 ||Z||^2` and its gradient.
fn objective(z: ArrayView2<'_, f64>, labels: &Array2<f64>, epsilon: f64, lambda: f64) -> f64 {
    let reduction =
        coding_rate(z, epsilon).unwrap().value - label_rate(z, labels.view(), epsilon).unwrap();
    reduction - 0.5 * lambda * norm(z).powi(2)
}

fn gradient(
    z: ArrayView2<'_, f64>,
    labels: &Array2<f64>,
    epsilon: f64,
    lambda: f64,
) -> Array2<f64> {
    coding_rate_gradient(z, epsilon).unwrap()
        - label_rate_gradient(z, labels.view(), epsilon).unwrap()
        - &(&z * lambda)
}

/// Groups of the given sizes with orthogonal spans of the given ranks, every singular value of group
/// `k` equal to `values[k]`.
fn balanced(
    seed: u64,
    d: usize,
    sizes: &[usize],
    ranks: &[usize],
    values: &[f64],
) -> (Array2<f64>, Array2<f64>) {
    let total: usize = sizes.iter().sum();
    let frame = orthonormal(seed, "frame", d, d);
    let mut z = Array2::zeros((d, total));
    let mut labels = Array2::zeros((sizes.len(), total));
    let (mut column, mut row) = (0, 0);
    for (k, ((&size, &rank), &value)) in sizes.iter().zip(ranks).zip(values).enumerate() {
        let left = frame.slice(s![.., row..row + rank]);
        let right = orthonormal(seed, &format!("right {k}"), size, rank);
        let block = left.dot(&right.t()) * value;
        z.slice_mut(s![.., column..column + size]).assign(&block);
        labels.slice_mut(s![k, column..column + size]).fill(1.0);
        column += size;
        row += rank;
    }
    (z, labels)
}

proptest! {
    /// The gradient of the label rate, any memberships, against central differences.
    #[test]
    fn c_thy_34_the_gradient_of_the_label_rate(seed in any::<u64>(), d in 1usize..6, n in 2usize..12, groups in 1usize..4, epsilon in 0.3f64..2.0) {
        let z = gaussian(seed, "z", d, n);
        let flat = uniform(seed, "pi", groups * n).to_vec();
        let pi = Array2::from_shape_vec((groups, n), flat).unwrap() + 0.01;
        let direction = gaussian(seed, "direction", d, n);
        let value = |t: f64| label_rate((&z + &(&direction * t)).view(), pi.view(), epsilon).unwrap();
        let h = 1e-5;
        let found = (value(h) - value(-h)) / (2.0 * h);
        let exact = inner(&label_rate_gradient(z.view(), pi.view(), epsilon).unwrap(), &direction);
        // h^2 times a third derivative of a few a^{3/2} |direction|^3, and the rounding over h.
        let a = d as f64 / (epsilon * epsilon) * groups as f64;
        let tolerance = 10.0 * h * h * (a.sqrt() * norm(direction.view())).powi(3) + 1e-10 * (1.0 + value(0.0));
        prop_assert!((found - exact).abs() <= tolerance, "{found} {exact} {tolerance}");
    }

    /// Groups that share no direction have no cross term: there the two rates decouple, and turning
    /// one group inside the complement of the others changes nothing.
    #[test]
    fn c_thy_34_orthogonal_groups_beat_turned_ones(seed in any::<u64>(), size in 4usize..10, angle in 0.05f64..1.5) {
        let (z, labels) = balanced(seed, 4, &[size, size], &[2, 2], &[1.0, 1.0]);
        let reduction = |z: &Array2<f64>| objective(z.view(), &labels, 0.5, 0.0);
        // Turn the second group's first direction towards the first group's.
        let frame = orthonormal(seed, "frame", 4, 4);
        let (a, b) = (frame.column(0), frame.column(2));
        let mut turned = z.clone();
        for mut token in turned.slice_mut(s![.., size..]).columns_mut() {
            let along = token.dot(&b);
            token.scaled_add(along * (angle.cos() - 1.0), &b);
            token.scaled_add(along * angle.sin(), &a);
        }
        prop_assert!(reduction(&z) > reduction(&turned));
    }

    /// The closed form is a critical point: sizes unequal, ranks that fill the space or not.
    #[test]
    fn c_thy_35_the_closed_form_is_a_critical_point(
        seed in any::<u64>(),
        sizes in proptest::collection::vec(4usize..12, 2..4),
        epsilon in 0.2f64..1.0,
        share in 0.05f64..0.95,
        smaller in any::<bool>(),
    ) {
        let d = 9;
        let ranks: Vec<usize> = sizes.iter().enumerate().map(|(k, _)| 1 + (seed as usize + k) % 3).collect();
        let total: usize = sizes.iter().sum();
        let largest = sizes.iter().copied().max().unwrap();
        let lambda = share * largest_lambda(d, total, largest, epsilon);
        let values: Vec<f64> = sizes
            .iter()
            .map(|&size| {
                let (large, small) = regularised_singular_values(d, total, size, epsilon, lambda).unwrap();
                if smaller { small } else { large }
            })
            .collect();
        let (z, labels) = balanced(seed, d, &sizes, &ranks, &values);
        let left = norm(gradient(z.view(), &labels, epsilon, lambda).view());
        // Three terms that cancel, each at most a |Z|, with a few roundings each.
        let a = d as f64 / (total as f64 * epsilon * epsilon);
        prop_assert!(left <= 1e-12 * (a + lambda) * norm(z.view()) * d as f64, "{left}");
    }

    /// Along one group's scale the larger root is a maximum and the smaller one a minimum: the
    /// critical point of the smaller root is a strict saddle.
    #[test]
    fn c_thy_35_the_smaller_root_is_a_saddle(seed in any::<u64>(), size in 4usize..12, share in 0.05f64..0.9) {
        let (d, epsilon) = (6, 0.5);
        let sizes = [size, 6];
        let total = size + 6;
        let lambda = share * largest_lambda(d, total, size.max(6), epsilon);
        let roots = sizes.map(|n| regularised_singular_values(d, total, n, epsilon, lambda).unwrap());
        let along = |first: f64| {
            let (z, labels) = balanced(seed, d, &sizes, &[3, 3], &[first, roots[1].0]);
            objective(z.view(), &labels, epsilon, lambda)
        };
        let (large, small) = roots[0];
        let step = 0.05 * (large - small);
        prop_assert!(along(large) > along(large + step) && along(large) > along(large - step));
        prop_assert!(along(small) < along(small + step) && along(small) < along(small - step.min(0.5 * small)));
    }

    /// The rate exceeds the Gaussian rate-distortion function (reverse water-filling at eps^2 / d) by
    /// between 0 and half a bit per direction, and by nothing in the limit of small eps.
    #[test]
    fn c_thy_36_the_rate_is_half_a_bit_per_direction_above_rate_distortion(seed in any::<u64>(), d in 1usize..6, n in 1usize..12, power in -4.0f64..1.0) {
        let epsilon = 10f64.powf(power);
        let z = gaussian(seed, "z", d, n);
        let gram = if d <= n { z.dot(&z.t()) } else { z.t().dot(&z) };
        let ratios: Vec<f64> = eigenvalues(&gram)
            .iter()
            .map(|v| v.max(0.0) * d as f64 / (n as f64 * epsilon * epsilon))
            .collect();
        let water: f64 = ratios.iter().map(|x| 0.5 * x.max(1.0).ln()).sum();
        let rate = coding_rate(z.view(), epsilon).unwrap().value;
        let gap = rate - water;
        // Eigenvalues are found to 1e-14 of the largest.
        let largest = ratios.iter().copied().fold(0.0, f64::max);
        let rounding: f64 = ratios.iter().map(|x| 1e-14 * largest / x.max(1.0)).sum::<f64>() + 1e-12 * (1.0 + rate);
        let rank = ratios.len() as f64;
        prop_assert!(gap >= -rounding && gap <= 0.5 * rank * 2f64.ln() + rounding, "{gap}");
        // ln(1 + x) - ln x <= 1 / x.
        let bound: f64 = ratios.iter().map(|x| if *x > 1.0 { 0.5 / x } else { 0.5 * 2f64.ln() }).sum();
        prop_assert!(gap <= bound + rounding);
    }

    /// For one Gaussian, `E[x_s | x_t] = (S + s^2) (S + t^2)^{-1} x_t`: every principal direction loses
    /// entropy, and most where the signal is weakest.
    #[test]
    fn c_thy_39_denoising_a_gaussian_lowers_its_entropy(seed in any::<u64>(), d in 1usize..6, t in 0.1f64..3.0, share in 0.0f64..0.999) {
        let z = gaussian(seed, "z", d, d + 2);
        let covariance = z.dot(&z.t());
        let s = share * t;
        let shifted = |v: f64| &covariance + &(Array2::<f64>::eye(d) * (v * v));
        let gain = shifted(s).dot(&inverse(&shifted(t)));
        let after = gain.dot(&shifted(t)).dot(&gain.t());
        // Half logdet is the entropy up to a constant of d.
        let entropy = |m: &Array2<f64>| -> f64 { 0.5 * eigenvalues(m).iter().map(|v| v.ln()).sum::<f64>() };
        let symmetric = (&after + &after.t()) * 0.5;
        let fall = entropy(&shifted(t)) - entropy(&symmetric);
        let expected: f64 = eigenvalues(&covariance)
            .iter()
            .map(|v| ((v.max(0.0) + t * t) / (v.max(0.0) + s * s)).ln())
            .sum();
        let condition = eigenvalues(&shifted(t)).fold(0.0f64, |a, &v| a.max(v)) / (s * s).max(1e-3 * t * t);
        prop_assume!(condition < 1e8);
        prop_assert!(fall > 0.0);
        prop_assert!((fall - expected).abs() <= 1e-13 * condition.powi(2) + 1e-10, "{fall} {expected}");
    }
}
