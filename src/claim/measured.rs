//! A measured number with what is known of its uncertainty.

use serde::{Deserialize, Serialize};

use crate::measure::statistics::{clopper_pearson, two_one_sided_tests, Summary};

/// Probability on either side of an interval: both ends together are one-sided limits at 95 %, so that a
/// criterion is a one-sided test at 5 %, and a pair of criteria around a margin are two one-sided tests.
pub const TAIL: f64 = 0.05;

/// Values that a measurement keeps one by one, at most.
const KEPT: usize = 16;

/// What was repeated to learn how much a number varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nothing: the number follows from its definition, or is the count of a fixed set.
    Exact,
    /// Networks, trained from different seeds.
    Network,
    /// Draws of random tokens.
    Draw,
    /// Images, of one network: says nothing about other networks.
    Image,
}

impl Unit {
    /// For people, in the plural.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Network => "networks",
            Self::Draw => "draws",
            Self::Image => "images",
        }
    }
}

/// A number, its interval, and what they rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The number; a mean or a share where there are several.
    pub value: f64,
    /// From the lower to the upper one-sided 95 % limit; none of an exact number and of a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// What was repeated.
    pub unit: Unit,
    /// How often.
    pub count: usize,
    /// One by one, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<f64>,
}

impl Measured {
    /// A number without uncertainty.
    pub fn exact(value: f64) -> Self {
        Self {
            value,
            interval: None,
            unit: Unit::Exact,
            count: 1,
            values: Vec::new(),
        }
    }

    /// The mean of `values`, with Student's limits for as many degrees of freedom as there are.
    pub fn mean(unit: Unit, values: &[f64]) -> Self {
        let few = values.len() <= KEPT;
        Self {
            values: if few { values.to_vec() } else { Vec::new() },
            ..Self::summary(unit, &Summary::of(values))
        }
    }

    /// The mean of values of which the summary is left, with Student's limits.
    pub fn summary(unit: Unit, summary: &Summary) -> Self {
        Self {
            value: summary.mean,
            interval: (summary.freedom() > 0).then(|| summary.limits(TAIL)),
            unit,
            count: summary.count,
            values: Vec::new(),
        }
    }

    /// The share of `count` that `hits` are, with Clopper and Pearson's limits.
    pub fn share(unit: Unit, hits: usize, count: usize) -> Self {
        let interval = clopper_pearson(hits, count, TAIL);
        Self {
            value: hits as f64 / count as f64,
            interval: (count > 0).then_some(interval),
            unit,
            count,
            values: Vec::new(),
        }
    }

    /// [`Self::share`] of the items for which `holds`.
    pub fn share_of<T>(unit: Unit, items: &[T], holds: impl Fn(&T) -> bool) -> Self {
        let hits = items.iter().filter(|item| holds(item)).count();
        Self::share(unit, hits, items.len())
    }

    /// The mean of the shares of several cells that take the same `count` items, or as many like them. All cells
    /// together say no more about other items than `count` of them do: the limits are those of one cell, of the
    /// whole numbers of items below and above the mean.
    pub fn mean_share(unit: Unit, shares: &[f64], count: usize) -> Self {
        let value = shares.iter().sum::<f64>() / shares.len() as f64;
        // A share that is a whole number of items is one up to its rounding.
        let hits = value * count as f64;
        let limits = |hits: f64| clopper_pearson(hits as usize, count, TAIL);
        let interval = [
            limits((hits + 1e-9).floor())[0],
            limits((hits - 1e-9).ceil())[1],
        ];
        Self {
            value,
            interval: (count > 0 && value.is_finite()).then_some(interval),
            unit,
            count,
            values: Vec::new(),
        }
    }

    /// A number with limits found otherwise, by resampling for instance.
    pub fn within(value: f64, interval: [f64; 2], unit: Unit, count: usize) -> Self {
        Self {
            value,
            interval: Some(interval),
            unit,
            count,
            values: Vec::new(),
        }
    }

    /// Its size, whatever its sign. At most a margin, it is equivalent to 0 by two one-sided tests: both limits of
    /// the number lie inside the margin. At least one, it differs from 0 by more.
    pub fn size(&self) -> Self {
        Self {
            value: self.value.abs(),
            interval: self.interval.map(two_one_sided_tests),
            values: self.values.iter().map(|value| value.abs()).collect(),
            ..*self
        }
    }

    /// Whether it says anything: neither it nor its limits are NaN or infinite.
    pub fn is_number(&self) -> bool {
        let limits = self.interval.iter().flatten();
        self.value.is_finite() && limits.copied().all(f64::is_finite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_students_limits_and_a_single_value_none() {
        // Three values, two degrees of freedom: 2.920 standard errors.
        let mean = Measured::mean(Unit::Network, &[1.0, 2.0, 3.0]);
        let half = 2.919_985_58 / 3f64.sqrt();
        let [low, high] = mean.interval.unwrap();
        assert!((low - (2.0 - half)).abs() < 1e-6 && (high - (2.0 + half)).abs() < 1e-6);
        assert_eq!(mean.values, [1.0, 2.0, 3.0]);
        assert!(Measured::mean(Unit::Network, &[1.0]).interval.is_none());
        assert!(!Measured::mean(Unit::Network, &[]).is_number());
        assert!(!Measured::exact(f64::NAN).is_number());
    }

    #[test]
    fn the_size_of_a_difference_is_within_a_margin_if_both_limits_are() {
        let difference = Measured::mean(Unit::Network, &[-1.0, 0.5, -0.7]);
        let [low, high] = difference.interval.unwrap();
        assert!(low < -1.5 && high > 0.0);
        let size = difference.size();
        assert_eq!(size.interval, Some([0.0, -low]));
        assert_eq!((size.value, size.count), (-difference.value, 3));
        assert_eq!(size.values, [1.0, 0.5, 0.7]);
        assert_eq!(Measured::exact(-2.0).size(), Measured::exact(2.0));
    }

    #[test]
    fn a_share_has_clopper_and_pearsons_limits() {
        // None of n: the upper limit solves (1 - x)^n = 0.05.
        let none = Measured::share(Unit::Draw, 0, 20);
        let [low, high] = none.interval.unwrap();
        assert!(low == 0.0 && (high - (1.0 - 0.05f64.powf(1.0 / 20.0))).abs() < 1e-9);
        let all = Measured::share(Unit::Draw, 20, 20).interval.unwrap();
        assert!(all[1] == 1.0 && (all[0] - 0.05f64.powf(1.0 / 20.0)).abs() < 1e-9);
        // 7 of 20: the lower limit x solves P(at least 7 of 20 | x) = 0.05.
        let [low, high] = Measured::share(Unit::Draw, 7, 20).interval.unwrap();
        let tail = |x: f64, from: u64| {
            (from..=20)
                .map(|k| {
                    let choose: f64 = (0..k).map(|i| (20 - i) as f64 / (i + 1) as f64).product();
                    choose * x.powi(k as i32) * (1.0 - x).powi(20 - k as i32)
                })
                .sum::<f64>()
        };
        assert!((tail(low, 7) - 0.05).abs() < 1e-6, "{low}");
        assert!((1.0 - tail(high, 8) - 0.05).abs() < 1e-6, "{high}");
    }

    #[test]
    fn shares_of_cells_that_take_the_same_items_are_as_uncertain_as_one() {
        let cells = Measured::mean_share(Unit::Draw, &[0.3, 0.4, 0.35], 20);
        assert!((cells.value - 0.35).abs() < 1e-15);
        assert_eq!(cells.interval, Measured::share(Unit::Draw, 7, 20).interval);
        let between = Measured::mean_share(Unit::Draw, &[0.3, 0.35], 20)
            .interval
            .unwrap();
        let [six, seven] =
            [6, 7].map(|hits| Measured::share(Unit::Draw, hits, 20).interval.unwrap());
        assert_eq!(between, [six[0], seven[1]]);
        assert!(!Measured::mean_share(Unit::Draw, &[], 20).is_number());
    }
}
