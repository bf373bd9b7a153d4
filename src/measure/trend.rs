//! Mean, deviation, rank correlations.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean and spread over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with `n - 1` under the fraction; 0 for a single value.
    pub deviation: f64,
    /// Number of values, `n`.
    pub count: usize,
}

impl Summary {
    /// Of a list of values; NaN for an empty one.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Self {
            mean,
            deviation: if count > 1 {
                (squares / (count - 1) as f64).sqrt()
            } else {
                0.0
            },
            count,
        }
    }

    /// Standard error of the mean.
    pub fn standard_error(&self) -> f64 {
        self.deviation / (self.count as f64).sqrt()
    }

    /// Half of the interval that holds the mean with probability 0.95, by Student's distribution; NaN for
    /// fewer than two values.
    pub fn interval(&self) -> f64 {
        student_quantile(0.975, self.count.saturating_sub(1)) * self.standard_error()
    }

    /// Standard deviation with `n` under the fraction, as the official sparsity measurement has it.
    pub fn population_deviation(&self) -> f64 {
        let count = self.count as f64;
        self.deviation * ((count - 1.0) / count).max(0.0).sqrt()
    }
}

/// The `probability` quantile of Student's distribution with `freedom` degrees of freedom; NaN for none.
pub fn student_quantile(probability: f64, freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, freedom as f64).map_or(f64::NAN, |t| t.inverse_cdf(probability))
}

/// The share of `items` for which `holds`; NaN for none.
pub fn fraction<T>(items: &[T], holds: impl Fn(&T) -> bool) -> f64 {
    items.iter().filter(|item| holds(item)).count() as f64 / items.len() as f64
}

/// Sum of squared residuals of the best `a + b x`, by least squares, with `a` and `b`.
pub fn fit_line(points: &[(f64, f64)]) -> Fit {
    let n = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let product: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = product / square;
    let residual = |p: &(f64, f64)| p.1 - y - slope * (p.0 - x);
    Fit {
        start: y - slope * x,
        growth: slope,
        squares: points.iter().map(|p| residual(p).powi(2)).sum(),
    }
}

/// The same for `a r^x` with `r` in `[1/2, 2]`, on the values themselves, not their logarithms.
pub fn fit_geometric(points: &[(f64, f64)]) -> Fit {
    let at = |ratio: f64| {
        let product: f64 = points.iter().map(|p| p.1 * ratio.powf(p.0)).sum();
        let square: f64 = points.iter().map(|p| ratio.powf(2.0 * p.0)).sum();
        let start = product / square;
        Fit {
            start,
            growth: ratio,
            squares: points
                .iter()
                .map(|p| (p.1 - start * ratio.powf(p.0)).powi(2))
                .sum(),
        }
    };
    // Golden section: the sum of squares has one minimum in r for values of one sign.
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let (mut low, mut high) = (0.5, 2.0);
    for _ in 0..80 {
        let width = golden * (high - low);
        if at(high - width).squares < at(low + width).squares {
            high = low + width;
        } else {
            low = high - width;
        }
    }
    at(0.5 * (low + high))
}

/// A curve of two parameters fitted to points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fit {
    /// Value at 0.
    pub start: f64,
    /// Slope of a line, ratio of a geometric curve.
    pub growth: f64,
    /// Sum of squared residuals.
    pub squares: f64,
}

/// Akaike's criterion of `worse` less that of `better`, for fits of equally many parameters to
/// `count` points of size `size`: above 10, the first explains the points essentially not at all.
pub fn akaike_difference(worse: Fit, better: Fit, count: usize, size: f64) -> f64 {
    // Residuals below the rounding of the values are no evidence.
    let floor = (f64::EPSILON * size).powi(2);
    count as f64 * ((worse.squares + floor) / (better.squares + floor)).ln()
}

/// The last value over the first; NaN if there are fewer than two.
pub fn last_over_first(values: &[f64]) -> f64 {
    match values {
        [first, .., last] => last / first,
        _ => f64::NAN,
    }
}

/// Spearman's rank correlation of `values` with their position; ties share their mean rank. 0 if
/// all values are equal.
pub fn spearman(values: &[f64]) -> f64 {
    let ranks: Vec<f64> = values
        .iter()
        .map(|v| {
            let below = values.iter().filter(|w| *w < v).count();
            let equal = values.iter().filter(|w| *w == v).count();
            below as f64 + (equal as f64 + 1.0) / 2.0
        })
        .collect();
    let centre = (values.len() as f64 + 1.0) / 2.0;
    let (mut product, mut rank_square, mut position_square) = (0.0, 0.0, 0.0);
    for (index, rank) in ranks.iter().enumerate() {
        let position = index as f64 + 1.0 - centre;
        product += position * (rank - centre);
        rank_square += (rank - centre) * (rank - centre);
        position_square += position * position;
    }
    if rank_square == 0.0 {
        return 0.0;
    }
    product / (rank_square * position_square).sqrt()
}

/// Kendall's tau-b of pairs: how much more often than not the two of a pair order alike. Ties count for
/// neither; NaN if all values of one kind are equal.
pub fn kendall(pairs: &[(f64, f64)]) -> f64 {
    let (mut agree, mut first, mut second) = (0.0, 0.0, 0.0);
    let sign = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
    for (index, p) in pairs.iter().enumerate() {
        for q in &pairs[..index] {
            let (x, y) = (sign(p.0, q.0), sign(p.1, q.1));
            agree += x * y;
            first += x * x;
            second += y * y;
        }
    }
    agree / f64::sqrt(first * second)
}

/// Kendall's partial tau of two orders, given a third, from their three taus (Kendall 1942).
pub fn partial_kendall(both: f64, first_third: f64, second_third: f64) -> f64 {
    let rest = |tau: f64| 1.0 - tau * tau;
    (both - first_third * second_third) / (rest(first_third) * rest(second_third)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_printed_tables_at_any_number_of_degrees() {
        // Abramowitz and Stegun, table 26.10.
        for (probability, freedom, printed) in [
            (0.975, 1, 12.706),
            (0.975, 2, 4.303),
            (0.975, 12, 2.179),
            (0.975, 13, 2.160),
            (0.975, 30, 2.042),
            (0.975, 120, 1.980),
            (0.95, 2, 2.920),
            (0.95, 4, 2.132),
            (0.95, 9, 1.833),
        ] {
            let found = student_quantile(probability, freedom);
            assert!((found - printed).abs() < 6e-4, "{freedom}: {found}");
        }
        assert!(student_quantile(0.975, 0).is_nan());
        let fourteen: Vec<f64> = (0..14).map(f64::from).collect();
        let summary = Summary::of(&fourteen);
        let half = summary.interval() / summary.standard_error();
        assert!((half - 2.1604).abs() < 1e-4, "{half}");
        assert!(Summary::of(&[1.0]).interval().is_nan());
    }

    #[test]
    fn rank_correlation_sees_order_only() {
        assert_eq!(spearman(&[1.0, 10.0, 11.0]), 1.0);
        assert_eq!(spearman(&[3.0, 2.0, -9.0, -10.0]), -1.0);
        assert_eq!(spearman(&[5.0, 5.0]), 0.0);
        // The published curve, read off the figure: C-LAY-01.
        let published = [
            1103., 1028., 1095., 1064., 920., 936., 1002., 946., 869., 854., 795., 728.,
        ];
        assert!((spearman(&published) + 0.92).abs() < 5e-3);
    }

    #[test]
    fn kendall_counts_pairs_and_leaves_out_ties() {
        let line = [(1.0, 2.0), (2.0, 5.0), (3.0, 9.0)];
        assert_eq!(kendall(&line), 1.0);
        assert_eq!(kendall(&line.map(|(x, y)| (-x, y))), -1.0);
        // Five pairs agree and one does not.
        let four = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0)];
        assert!((kendall(&four) - 4.0 / 6.0).abs() < 1e-15);
        // Two of three pairs say something: tau-b = 2 / sqrt(2 * 3).
        let tied = [(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)];
        assert!((kendall(&tied) - 2.0 / 6.0_f64.sqrt()).abs() < 1e-15);
        assert!(kendall(&[(1.0, 1.0), (1.0, 2.0)]).is_nan());
        // What the third order explains wholly is taken out wholly.
        assert!(partial_kendall(0.25, 0.5, 0.5).abs() < 1e-15);
        assert_eq!(partial_kendall(0.3, 0.0, 0.0), 0.3);
    }

    #[test]
    fn a_geometric_curve_is_told_from_a_line() {
        let geometric: Vec<(f64, f64)> =
            (0..12).map(|l| (l as f64, 1.5 * 1.06f64.powi(l))).collect();
        let fit = fit_geometric(&geometric);
        assert!((fit.growth - 1.06).abs() < 1e-9 && (fit.start - 1.5).abs() < 1e-8);
        assert!(akaike_difference(fit_line(&geometric), fit, 12, 3.0) > 10.0);
        let line: Vec<(f64, f64)> = (0..12).map(|l| (l as f64, 1.5 + 0.09 * l as f64)).collect();
        let fit = fit_line(&line);
        assert!((fit.growth - 0.09).abs() < 1e-14 && (fit.start - 1.5).abs() < 1e-14);
        assert!(akaike_difference(fit_geometric(&line), fit, 12, 3.0) > 10.0);
    }

    #[test]
    fn summaries_know_both_deviations() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(summary.mean, 2.5);
        assert!((summary.deviation - (5.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((summary.population_deviation() - 1.25f64.sqrt()).abs() < 1e-15);
        assert_eq!(Summary::of(&[7.0]).deviation, 0.0);
    }
}
