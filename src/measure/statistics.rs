//! What values from several networks, draws or images tell of their mean, their share, their difference: limits by
//! Student's distribution, exactly from the binomial one, or by resampling.

use rand::Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF, StudentsT};

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

    /// Degrees of freedom of the standard error, `n - 1`.
    pub fn freedom(&self) -> usize {
        self.count.saturating_sub(1)
    }

    /// Half of the interval that holds the mean with probability 0.95, by Student's distribution; NaN for
    /// fewer than two values.
    pub fn interval(&self) -> f64 {
        student_quantile(0.975, self.freedom()) * self.standard_error()
    }

    /// The limits that the mean lies below, and above, with probability `tail` each, by Student's distribution
    /// with [`Self::freedom`] degrees of freedom: 0.05 for one-sided limits at 95 %, 0.025 for the usual
    /// interval. NaN for fewer than two values.
    pub fn limits(&self, tail: f64) -> [f64; 2] {
        let half = student_quantile(1.0 - tail, self.freedom()) * self.standard_error();
        [self.mean - half, self.mean + half]
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

/// Values of `first` less those of `second` under the same key, a seed for instance, in the order of `first`; none
/// unless each key of either stands once in both. What the key fixes drops out of such differences.
pub fn paired_differences<K: PartialEq>(
    first: &[(K, f64)],
    second: &[(K, f64)],
) -> Option<Vec<f64>> {
    if first.len() != second.len() {
        return None;
    }
    let only = |values: &[(K, f64)], key: &K| {
        let mut found = values.iter().filter(|(k, _)| k == key);
        found.next().filter(|_| found.next().is_none()).map(|v| v.1)
    };
    let pair = |(key, _): &(K, f64)| Some(only(first, key)? - only(second, key)?);
    first.iter().map(pair).collect()
}

/// Two one-sided tests of a mean difference with the limits `[low, high]` (Schuirmann 1987), of which each is passed
/// with probability `tail` at most: `[beyond, within]`. The difference is equivalent to 0 by every margin of at
/// least `within`, since both limits then lie inside, and shown to differ from 0 by more than `beyond`, which is 0
/// where the limits enclose it. NaN of NaN.
pub fn two_one_sided_tests([low, high]: [f64; 2]) -> [f64; 2] {
    if low.is_nan() || high.is_nan() {
        return [f64::NAN; 2];
    }
    let beyond = low.max(-high).max(0.0);
    [beyond, low.abs().max(high.abs())]
}

/// The exact limits of a probability of which `hits` of `count` draws were a case, each passed with probability
/// `tail` at most (Clopper and Pearson 1934): below the lower one so many hits would be that rare, above the upper
/// one so few. 0 and 1 where no draw says otherwise.
pub fn clopper_pearson(hits: usize, count: usize, tail: f64) -> [f64; 2] {
    let (hit, missed) = (hits as f64, count.saturating_sub(hits) as f64);
    // A shape of 0 is refused: there the limit is the end of the range.
    let limit = |a: f64, b: f64, probability: f64, end: f64| {
        Beta::new(a, b).map_or(end, |beta| beta.inverse_cdf(probability))
    };
    [
        limit(hit, missed + 1.0, tail, 0.0),
        limit(hit + 1.0, missed, 1.0 - tail, 1.0),
    ]
}

/// The limits that `statistic` stays within but for a share `tail` at either end, over `resamplings` samples of as
/// many `units` as there are, drawn with replacement (percentile bootstrap). What varies together belongs into one
/// unit. Samples without a finite value do not count; NaN if all are such.
pub fn bootstrap<U>(
    units: &[U],
    tail: f64,
    resamplings: usize,
    rng: &mut impl Rng,
    statistic: impl Fn(&[&U]) -> f64,
) -> [f64; 2] {
    let mut drawn: Vec<f64> = (0..resamplings)
        .map(|_| {
            let draw = |_| &units[rng.gen_range(0..units.len())];
            let sample: Vec<&U> = (0..units.len()).map(draw).collect();
            statistic(&sample)
        })
        .filter(|value| value.is_finite())
        .collect();
    drawn.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let index = (q * (drawn.len() as f64 - 1.0)).round() as usize;
        drawn.get(index).copied().unwrap_or(f64::NAN)
    };
    [quantile(tail), quantile(1.0 - tail)]
}

/// What two exchanges do, alone and together, from a number without either, with one or the other, and with both
/// (`cells[first][second]`): the mean effect of the first, that of the second, and the interaction, by how much more the first
/// brings with the second than without it.
pub fn two_by_two(cells: [[f64; 2]; 2]) -> [f64; 3] {
    let [[neither, second], [first, both]] = cells;
    [
        0.5 * ((first - neither) + (both - second)),
        0.5 * ((second - neither) + (both - first)),
        (both - second) - (first - neither),
    ]
}

/// The value with as many below as above; the mean of the two in the middle of an even number. NaN for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => 0.5 * (sorted[(count - 1) / 2] + sorted[count / 2]),
    }
}

/// The share of `items` for which `holds`; NaN for none.
pub fn fraction<T>(items: &[T], holds: impl Fn(&T) -> bool) -> f64 {
    items.iter().filter(|item| holds(item)).count() as f64 / items.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

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
    fn summaries_know_both_deviations() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(summary.mean, 2.5);
        assert!((summary.deviation - (5.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((summary.population_deviation() - 1.25f64.sqrt()).abs() < 1e-15);
        assert_eq!(Summary::of(&[7.0]).deviation, 0.0);
    }

    /// Student's own data (1908): hours of sleep gained by two drugs. Printed in the help of R's `t.test`, paired:
    /// mean -1.58, t = -4.0621 with 9 degrees of freedom, 95 % from -2.4598858 to -0.7001142.
    #[test]
    fn paired_differences_of_students_sleep_have_the_printed_interval() {
        let first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let keyed = |values: [f64; 10]| (0..10).zip(values).collect::<Vec<_>>();
        let (first, mut second) = (keyed(first), keyed(second));
        second.reverse();
        let differences = paired_differences(&first, &second).unwrap();
        let summary = Summary::of(&differences);
        let t = summary.mean / summary.standard_error();
        assert!((summary.mean + 1.58).abs() < 1e-12 && summary.freedom() == 9);
        assert!((t + 4.0621).abs() < 5e-5, "{t}");
        let [low, high] = summary.limits(0.025);
        assert!((low + 2.459_885_8).abs() < 1e-6, "{low}");
        assert!((high + 0.700_114_2).abs() < 1e-6, "{high}");
        assert!((summary.interval() - 0.5 * (high - low)).abs() < 1e-12);
        // What has no partner, or two, makes no difference.
        assert_eq!(paired_differences(&first[1..], &second), None);
        second[0] = (3, 1.0);
        assert_eq!(paired_differences(&first, &second), None);
        assert!(Summary::of(&[1.0]).limits(0.05)[0].is_nan());
    }

    #[test]
    fn equivalence_is_shown_exactly_where_both_one_sided_tests_pass() {
        // Table 26.10: 2.920 for two degrees of freedom, one-sided 5 %.
        let summary = Summary::of(&[0.1, 0.2, 0.6]);
        let limits = summary.limits(0.05);
        let [beyond, within] = two_one_sided_tests(limits);
        assert_eq!(beyond, 0.0);
        assert!((within - (summary.mean + 2.920 * summary.standard_error())).abs() < 1e-4);
        let freedom = summary.freedom();
        for (margin, passes) in [(within - 1e-9, false), (within + 1e-9, true)] {
            let t = |distance: f64| distance / summary.standard_error();
            let critical = student_quantile(0.95, freedom);
            let both = t(summary.mean + margin) > critical && t(margin - summary.mean) > critical;
            assert_eq!(both, passes);
        }
        assert_eq!(two_one_sided_tests([-3.0, -1.0]), [1.0, 3.0]);
        assert_eq!(two_one_sided_tests([2.0, 3.0]), [2.0, 3.0]);
        assert_eq!(two_one_sided_tests([-2.0, 1.0]), [0.0, 2.0]);
        assert!(two_one_sided_tests(Summary::of(&[1.0]).limits(0.05))[1].is_nan());
    }

    #[test]
    fn exact_limits_of_a_share_are_those_of_the_printed_tables() {
        // 95 %, as in the tables of Pearson and Hartley (Biometrika Tables for Statisticians I, 41).
        for (hits, count, low, high) in [
            (0, 10, 0.0, 0.3085),
            (1, 10, 0.0025, 0.4450),
            (5, 10, 0.1871, 0.8129),
            (8, 10, 0.4439, 0.9748),
            (10, 10, 0.6915, 1.0),
            (4, 20, 0.0573, 0.4366),
        ] {
            let found = clopper_pearson(hits, count, 0.025);
            assert!(
                (found[0] - low).abs() < 6e-5,
                "{hits} of {count}: {found:?}"
            );
            assert!(
                (found[1] - high).abs() < 6e-5,
                "{hits} of {count}: {found:?}"
            );
        }
        // One-sided, none of n: (1 - x)^n = tail.
        let [low, high] = clopper_pearson(0, 20, 0.05);
        assert!(low == 0.0 && (high - (1.0 - 0.05f64.powf(0.05))).abs() < 1e-9);
        assert_eq!(clopper_pearson(0, 0, 0.05), [0.0, 1.0]);
    }

    #[test]
    fn resampling_gives_the_limits_of_a_mean_and_keeps_units_whole() {
        let units: Vec<f64> = (0..100).map(f64::from).collect();
        let mean = |sample: &[&f64]| sample.iter().copied().sum::<f64>() / sample.len() as f64;
        let draw = |seed| bootstrap(&units, 0.025, 4000, &mut seed::stream(seed, "test"), mean);
        // The normal limits of a mean of 100 with the deviation of the numbers below 100, 28.866.
        let [low, high] = draw(1);
        assert!((low - (49.5 - 1.96 * 2.8866)).abs() < 0.4, "{low}");
        assert!((high - (49.5 + 1.96 * 2.8866)).abs() < 0.4, "{high}");
        assert_eq!(draw(1), [low, high]);
        // A single unit leaves nothing to vary, and a statistic without values no limits.
        let one = bootstrap(&[3.0], 0.05, 10, &mut seed::stream(0, "test"), mean);
        assert_eq!(one, [3.0, 3.0]);
        let none = bootstrap(&units, 0.05, 10, &mut seed::stream(0, "test"), |_| f64::NAN);
        assert!(none[0].is_nan() && none[1].is_nan());
    }

    #[test]
    fn effects_of_two_exchanges_are_told_apart() {
        // The first brings 2, the second 5, both together 1 more than that.
        assert_eq!(two_by_two([[10.0, 15.0], [12.0, 18.0]]), [2.5, 5.5, 1.0]);
        assert_eq!(two_by_two([[1.0, 1.0], [1.0, 1.0]]), [0.0; 3]);
    }

    #[test]
    fn the_median_has_as_many_below_as_above() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
