//! C-THY-34 to C-THY-36, C-THY-39: maxima of the rate reduction with labels, rates as counts.

use ndarray::{s, Array2, ArrayView2};
use proptest::prelude::*;
use whitebox::exact::coding_rate;
use whitebox::exact::mcr2::{
    label_rate, label_rate_gradient, largest_lambda, regularised_gradient,
    regularised_singular_values,
};

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, at_most, near_number};

/// `Delta R(Z | Pi) - lambda / 2 ||Z||^2`.
fn objective(z: ArrayView2<'_, f64>, labels: &Array2<f64>, epsilon: f64, lambda: f64) -> f64 {
    let reduction =
        coding_rate(z, epsilon).unwrap().value - label_rate(z, labels.view(), epsilon).unwrap();
    reduction - 0.5 * lambda * norm(z).powi(2)
}

/// Left and right singular vectors of groups of tokens.
#[derive(Debug)]
struct Frames {
    left: Rotation,
    right: [Rotation; 3],
}

fn frames() -> impl Strategy<Value = Frames> {
    (rotations(), [rotations(), rotations(), rotations()])
        .prop_map(|(left, right)| Frames { left, right })
}

impl Frames {
    /// Groups of the given sizes with orthogonal spans of the given ranks, every singular value of group
    /// `k` equal to `values[k]`; and their labels.
    fn balanced(
        &self,
        d: usize,
        sizes: &[usize],
        ranks: &[usize],
        values: &[f64],
    ) -> (Array2<f64>, Array2<f64>) {
        let total: usize = sizes.iter().sum();
        let frame = self.left.of(d);
        let mut z = Array2::zeros((d, total));
        let mut labels = Array2::zeros((sizes.len(), total));
        let (mut column, mut row) = (0, 0);
        for (k, ((&size, &rank), &value)) in sizes.iter().zip(ranks).zip(values).enumerate() {
            let left = frame.slice(s![.., row..row + rank]);
            let right = self.right[k].frame(size, rank);
            let block = left.dot(&right.t()) * value;
            z.slice_mut(s![.., column..column + size]).assign(&block);
            labels.slice_mut(s![k, column..column + size]).fill(1.0);
            column += size;
            row += rank;
        }
        (z, labels)
    }
}

proptest! {
    /// The gradient of the label rate, any memberships, against central differences.
    #[test]
    fn c_thy_34_the_gradient_of_the_label_rate(
        z in matrices(1..6, 2..12),
        [weights, direction] in [companions(), companions()],
        groups in 1usize..4,
        epsilon in 0.3f64..2.0,
    ) {
        let (d, n) = z.dim();
        let pi = weights.of(groups, n).mapv(|v| v.abs() + 0.01);
        let direction = direction.of(d, n);
        let value = |t: f64| label_rate((&z + &(&direction * t)).view(), pi.view(), epsilon).unwrap();
        let h = 1e-5;
        let found = (value(h) - value(-h)) / (2.0 * h);
        let exact = inner(&label_rate_gradient(z.view(), pi.view(), epsilon).unwrap(), &direction);
        // The third derivative is a few a^{3/2} |direction|^3; memberships count as often as they are.
        let a = d as f64 / (epsilon * epsilon) * groups as f64;
        let third = 10.0 * (a.sqrt() * norm(direction.view())).powi(3) * (1.0 + pi.sum() / n as f64);
        near_number("slope", found, exact, tolerance::difference(h, third, tolerance::scatter(value(0.0)), h))?;
    }

    /// Groups that share no direction have no cross term: there the two rates decouple, and turning
    /// one group inside the complement of the others changes nothing.
    #[test]
    fn c_thy_34_orthogonal_groups_beat_turned_ones(frames in frames(), size in 4usize..10, angle in 0.05f64..1.5) {
        let (z, labels) = frames.balanced(4, &[size, size], &[2, 2], &[1.0, 1.0]);
        let reduction = |z: &Array2<f64>| objective(z.view(), &labels, 0.5, 0.0);
        // Turn the second group's first direction towards the first group's.
        let frame = frames.left.of(4);
        let (a, b) = (frame.column(0), frame.column(2));
        let mut turned = z.clone();
        for mut token in turned.slice_mut(s![.., size..]).columns_mut() {
            let along = token.dot(&b);
            token.scaled_add(along * (angle.cos() - 1.0), &b);
            token.scaled_add(along * angle.sin(), &a);
        }
        let (straight, turned) = (reduction(&z), reduction(&turned));
        prop_assert!(straight > turned, "{straight} {turned}");
    }

    /// The closed form is a critical point: sizes unequal, ranks that fill the space or not.
    #[test]
    fn c_thy_35_the_closed_form_is_a_critical_point(
        frames in frames(),
        sizes in proptest::collection::vec(4usize..12, 2..4),
        first in 0usize..3,
        epsilon in 0.2f64..1.0,
        share in 0.05f64..0.95,
        smaller in any::<bool>(),
    ) {
        let d = 9;
        let ranks: Vec<usize> = (0..sizes.len()).map(|k| 1 + (first + k) % 3).collect();
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
        let (z, labels) = frames.balanced(d, &sizes, &ranks, &values);
        let left = regularised_gradient(z.view(), labels.view(), epsilon, lambda).unwrap();
        // Three terms that cancel, each at most a |Z|, with a few roundings each.
        let a = d as f64 / (total as f64 * epsilon * epsilon);
        let bound = tolerance::spectrum(d, (a + lambda) * norm(z.view()));
        at_most("gradient", norm(left.view()), 0.0, bound)?;
    }

    /// Along one group's scale the larger root is a maximum and the smaller one a minimum: the
    /// critical point of the smaller root is a strict saddle.
    #[test]
    fn c_thy_35_the_smaller_root_is_a_saddle(frames in frames(), size in 4usize..12, share in 0.05f64..0.9) {
        let (d, epsilon) = (6, 0.5);
        let sizes = [size, 6];
        let total = size + 6;
        let lambda = share * largest_lambda(d, total, size.max(6), epsilon);
        let roots = sizes.map(|n| regularised_singular_values(d, total, n, epsilon, lambda).unwrap());
        let along = |first: f64| {
            let (z, labels) = frames.balanced(d, &sizes, &[3, 3], &[first, roots[1].0]);
            objective(z.view(), &labels, epsilon, lambda)
        };
        let (large, small) = roots[0];
        let step = 0.05 * (large - small);
        let top = [along(large - step), along(large), along(large + step)];
        prop_assert!(top[1] > top[0] && top[1] > top[2], "{top:?}");
        let low = [along(small - step.min(0.5 * small)), along(small), along(small + step)];
        prop_assert!(low[1] < low[0] && low[1] < low[2], "{low:?}");
    }

    /// The rate exceeds the Gaussian rate-distortion function (reverse water-filling at eps^2 / d) by
    /// between 0 and half a bit per direction, and by nothing in the limit of small eps.
    #[test]
    fn c_thy_36_the_rate_is_half_a_bit_per_direction_above_rate_distortion(z in matrices(1..6, 1..12), power in -4.0f64..1.0) {
        let (d, n) = z.dim();
        let epsilon = 10f64.powf(power);
        let gram = if d <= n { z.dot(&z.t()) } else { z.t().dot(&z) };
        let ratios: Vec<f64> = eigenvalues(&gram)
            .iter()
            .map(|v| v.max(0.0) * d as f64 / (n as f64 * epsilon * epsilon))
            .collect();
        let water: f64 = ratios.iter().map(|x| 0.5 * x.max(1.0).ln()).sum();
        let rate = coding_rate(z.view(), epsilon).unwrap().value;
        let gap = rate - water;
        // An eigenvalue is off by a share of the largest, a small one's logarithm by more.
        let largest = ratios.iter().copied().fold(0.0, f64::max);
        let off = ratios.iter().map(|x| tolerance::sum(1, largest / x.max(1.0)));
        let slack = off.sum::<f64>() + tolerance::rates(1.0 + rate);
        at_most("nothing", 0.0, gap, slack)?;
        at_most("gap", gap, 0.5 * ratios.len() as f64 * 2f64.ln(), slack)?;
        // ln(1 + x) - ln x <= 1 / x.
        let limit: f64 = ratios.iter().map(|x| if *x > 1.0 { 0.5 / x } else { 0.5 * 2f64.ln() }).sum();
        at_most("gap", gap, limit, slack)?;
    }

    /// For one Gaussian, `E[x_s | x_t] = (S + s^2) (S + t^2)^{-1} x_t`: every principal direction loses
    /// entropy, and most where the signal is weakest.
    #[test]
    fn c_thy_39_denoising_a_gaussian_lowers_its_entropy(z in matrices(1..6, 1..8), t in 0.1f64..3.0, share in 0.0f64..0.999) {
        let d = z.nrows();
        let covariance = z.dot(&z.t());
        let s = share * t;
        let shifted = |v: f64| &covariance + &(Array2::<f64>::eye(d) * (v * v));
        let gain = shifted(s).dot(&inverse(&shifted(t)));
        let after = gain.dot(&shifted(t)).dot(&gain.t());
        // `after` has the least eigenvalue plus s^2 for its own least, found to a share of the largest.
        let energies = eigenvalues(&covariance);
        let largest = energies.fold(0.0f64, |a, &v| a.max(v)) + t * t;
        let condition = largest / (energies.fold(f64::INFINITY, |a, &v| a.min(v)).max(0.0) + s * s);
        prop_assume!(condition < 1e6);
        // Half logdet is the entropy up to a constant of d.
        let entropy = |m: &Array2<f64>| -> f64 { 0.5 * eigenvalues(m).iter().map(|v| v.ln()).sum::<f64>() };
        let symmetric = (&after + &after.t()) * 0.5;
        let fall = entropy(&shifted(t)) - entropy(&symmetric);
        let exact: f64 = energies
            .iter()
            .map(|v| ((v.max(0.0) + t * t) / (v.max(0.0) + s * s)).ln())
            .sum();
        prop_assert!(fall > 0.0, "{fall}");
        near_number("fall", fall, exact, tolerance::inverse(condition * condition, 10 * d, 1.0))?;
    }
}
