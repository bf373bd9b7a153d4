//! Entropy of a density from points drawn from it, by the distances to their neighbours (Kozachenko and
//! Leonenko 1987).

use ndarray::{Array2, ArrayView1, Axis};
use statrs::function::gamma::{digamma, ln_gamma};

/// `d / N sum_i ln r_i`, `r_i` the distance of point `i` to its `neighbours`-th nearest: what of [`entropy`]
/// depends on the points. For as many points of the same dimension, a difference of two is one of entropies.
///
/// # Shapes
/// points (d, N), `1 <= neighbours < N`. Minus infinity if that many points coincide.
///
/// # Panics
/// If `neighbours` is 0 or not less than N.
pub fn neighbour_term(points: &Array2<f64>, neighbours: usize) -> f64 {
    let (d, n) = points.dim();
    let squared = |a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>| {
        let pairs = a.iter().zip(b);
        pairs.map(|(x, y)| (x - y) * (x - y)).sum::<f64>()
    };
    let points: Vec<ArrayView1<'_, f64>> = points.axis_iter(Axis(1)).collect();
    let total: f64 = (0..n)
        .map(|i| {
            let others = (0..n).filter(|&j| j != i);
            let mut squares: Vec<f64> = others.map(|j| squared(points[i], points[j])).collect();
            let (_, square, _) = squares.select_nth_unstable_by(neighbours - 1, f64::total_cmp);
            square.ln()
        })
        .sum();
    total / n as f64 * (0.5 * d as f64)
}

/// Differential entropy in nats, `psi(N) - psi(k) + ln V_d + d / N sum_i ln r_i`, `V_d` the volume of the unit ball
/// and `k` the number of `neighbours`. Its bias vanishes with the number of points, its deviation is about
/// `sqrt((psi'(k) + var(ln density)) / N)`.
///
/// # Shapes
/// points (d, N), `1 <= neighbours < N`. Minus infinity if that many points coincide.
///
/// # Panics
/// If `neighbours` is 0 or not less than N.
pub fn entropy(points: &Array2<f64>, neighbours: usize) -> f64 {
    let (d, n) = points.dim();
    let half = 0.5 * d as f64;
    let ball = half * std::f64::consts::PI.ln() - ln_gamma(half + 1.0);
    digamma(n as f64) - digamma(neighbours as f64) + ball + neighbour_term(points, neighbours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use ndarray::array;
    use std::f64::consts::PI;

    /// `d / 2 ln(2 pi e) + ln |det A|` for `A g`, `g ~ N(0, I)`.
    #[test]
    fn a_gaussian_has_the_entropy_of_its_closed_form() {
        let n = 4000;
        for (map, log_determinant) in [
            (array![[1.0]], 0.0),
            (array![[0.01]], 0.01f64.ln()),
            (array![[1.0, 0.0], [0.0, 1.0]], 0.0),
            (array![[3.0, 1.0], [0.0, 0.5]], 1.5f64.ln()),
            (
                array![[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.5]],
                0.0,
            ),
        ] {
            let d = map.nrows();
            let exact = 0.5 * d as f64 * (2.0 * PI * 1f64.exp()).ln() + log_determinant;
            for neighbours in [1, 3, 8] {
                let points = map.dot(&gaussian(11, "points", d, n));
                let found = entropy(&points, neighbours);
                // psi'(1) = 1.64 is the largest, the log-density of a Gaussian has variance d / 2: four deviations.
                let deviation = ((1.65 + 0.5 * d as f64) / n as f64).sqrt();
                assert!(
                    (found - exact).abs() < 4.0 * deviation,
                    "{d}, {neighbours}: {found} {exact}"
                );
            }
        }
    }

    #[test]
    fn distances_are_found_by_hand() {
        // On a line at 0, 1, 3, 7: nearest at 1, 1, 2, 4; second at 3, 2, 3, 6.
        let points = array![[0.0, 1.0, 3.0, 7.0]];
        assert!((neighbour_term(&points, 1) - 8f64.ln() / 4.0).abs() < 1e-15);
        assert!((neighbour_term(&points, 2) - 108f64.ln() / 4.0).abs() < 1e-15);
        // In the plane every logarithm counts twice.
        let points = array![[0.0, 1.0, 3.0, 7.0], [0.0, 0.0, 0.0, 0.0]];
        assert!((neighbour_term(&points, 1) - 8f64.ln() / 2.0).abs() < 1e-15);
    }

    #[test]
    fn stretching_adds_the_logarithm_of_the_determinant() {
        let points = gaussian(5, "points", 2, 300);
        let change = entropy(&(&points * 8.0), 3) - entropy(&points, 3);
        assert!((change - 64f64.ln()).abs() < 1e-12, "{change}");
    }
}
