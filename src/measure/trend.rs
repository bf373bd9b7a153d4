//! Mean, deviation, rank correlation.

use serde::{Deserialize, Serialize};

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

    /// Standard deviation with `n` under the fraction, as the official sparsity measurement has it.
    pub fn population_deviation(&self) -> f64 {
        let count = self.count as f64;
        self.deviation * ((count - 1.0) / count).max(0.0).sqrt()
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn summaries_know_both_deviations() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(summary.mean, 2.5);
        assert!((summary.deviation - (5.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((summary.population_deviation() - 1.25f64.sqrt()).abs() < 1e-15);
        assert_eq!(Summary::of(&[7.0]).deviation, 0.0);
    }
}
