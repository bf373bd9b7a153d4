//! The trend of a curve: its rank correlation with depth, its fall from end to end, the line or geometric curve that
//! fits it. Descriptions, without a null hypothesis: what is sure of them, [`super::statistics`] tells.

use serde::Serialize;

/// The best `a + b x` through points `(x, y)`, by least squares, with the sum of its squared residuals; NaN for fewer
/// than two different `x`.
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

/// The best `a r^x` with `r` in `[1/2, 2]` through points `(x, y)`, by least squares on the values themselves, not
/// their logarithms, with the sum of its squared residuals.
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

/// How a curve goes down to its least value and up again: the fall from its first value and the rise to its
/// last, over its range. `[0, 1]` for one that only rises, `[1, 0]` for one that only falls; none for fewer than
/// two values or if all are equal.
pub fn fall_and_rise(values: &[f64]) -> Option<[f64; 2]> {
    let [first, .., last] = values else {
        return None;
    };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = most - least;
    (range > 0.0).then(|| [(first - least) / range, (last - least) / range])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_and_rises_by_parts_of_its_range() {
        assert_eq!(fall_and_rise(&[4.0, 0.0, 1.0]), Some([1.0, 0.25]));
        assert_eq!(fall_and_rise(&[1.0, 2.0, 3.0]), Some([0.0, 1.0]));
        assert_eq!(fall_and_rise(&[3.0, 1.0]), Some([1.0, 0.0]));
        assert_eq!(fall_and_rise(&[2.0, 2.0]), None);
        assert_eq!(fall_and_rise(&[2.0]), None);
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
}
