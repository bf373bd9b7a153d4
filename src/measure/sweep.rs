//! Drawn tokens with one setting moved and the others left: what every direction is worth there.

use serde::{Deserialize, Serialize};

use super::descent::{Descent, Direction, Effect};
use crate::data::subspaces::UnionOfSubspaces;
use crate::error::Result;
use crate::exact::neumann::radius;
use crate::parallel;

/// Tokens of a union of subspaces, and how they are measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Subspaces, K.
    pub heads: usize,
    /// Width of each, p.
    pub p: usize,
    /// Tokens, N.
    pub tokens: usize,
    /// Deviation of a token's coefficients in the other subspaces.
    pub noise: f64,
    /// Precision of the rate.
    pub epsilon: f64,
    /// Factor on the scores of the softmax.
    pub softmax_scale: f64,
}

impl Point {
    /// What is drawn there.
    pub fn model(&self) -> UnionOfSubspaces {
        UnionOfSubspaces::new(self.heads, self.p, self.tokens, self.noise)
    }
}

/// What is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// The radius `rho` of the Neumann series, by the scale of the tokens.
    Radius,
    /// The precision.
    Epsilon,
    /// The noise.
    Noise,
    /// The scale of the softmax.
    Scale,
    /// The number of heads, with 32 tokens for each.
    Heads,
    /// The length of the step, `kappa c`.
    Step,
}

/// Length of the step, `kappa c`, wherever it is not moved.
pub const STEP: f64 = 0.1;

/// Where a value of a setting leads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    point: Point,
    /// Tokens are scaled to this radius of the series.
    radius: Option<f64>,
    step: f64,
}

fn powers_of_two(range: std::ops::RangeInclusive<i32>) -> Vec<f64> {
    range.map(|power| 2f64.powi(power)).collect()
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Radius,
        Self::Epsilon,
        Self::Noise,
        Self::Scale,
        Self::Heads,
        Self::Step,
    ];

    /// The values it takes, ascending.
    pub fn values(self) -> Vec<f64> {
        match self {
            Self::Radius => powers_of_two(-8..=8),
            Self::Epsilon => powers_of_two(-5..=5),
            Self::Noise => vec![0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            Self::Scale => powers_of_two(-8..=5),
            Self::Heads => vec![1.0, 2.0, 4.0, 8.0, 16.0],
            Self::Step => powers_of_two(-7..=2),
        }
    }

    fn place(self, middle: &Point, value: f64) -> Place {
        let mut place = Place {
            point: *middle,
            radius: None,
            step: STEP,
        };
        match self {
            Self::Radius => place.radius = Some(value),
            Self::Epsilon => place.point.epsilon = value,
            Self::Noise => place.point.noise = value,
            Self::Scale => place.point.softmax_scale = value,
            Self::Heads => {
                place.point.heads = value as usize;
                place.point.tokens = 32 * place.point.heads;
            }
            Self::Step => place.step = value,
        }
        place
    }

    /// What every direction of [`Direction::ALL`] is worth in each draw, with this setting at `value` and the
    /// others as in `middle`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the point has nothing to draw; [`crate::Error::Domain`] for `epsilon <= 0` or a step
    /// beyond what doubles hold; [`crate::Error::Lapack`] if a factorisation fails; [`crate::Error::Thread`] if no
    /// thread can start.
    pub fn effects(
        self,
        value: f64,
        middle: &Point,
        draws: usize,
        seed: u64,
        threads: usize,
    ) -> Result<Vec<[Effect; Direction::ALL.len()]>> {
        let place = self.place(middle, value);
        let point = place.point;
        parallel::map(draws, threads, |draw| {
            let mut drawn = point.model().draw(seed, draw)?;
            if let Some(wanted) = place.radius {
                let found = radius(drawn.noisy.view(), drawn.bases.view(), point.epsilon)?;
                drawn.noisy *= (wanted / found).sqrt();
            }
            let (z, bases) = (drawn.noisy.view(), drawn.bases.view());
            Descent::at(z, bases, point.epsilon, point.softmax_scale)?.effects(place.step)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: Point = Point {
        heads: 2,
        p: 3,
        tokens: 12,
        noise: 0.3,
        epsilon: 0.5,
        softmax_scale: 0.5,
    };

    #[test]
    fn a_setting_moves_alone() {
        for setting in Setting::ALL {
            let values = setting.values();
            assert!(values.windows(2).all(|w| w[0] < w[1]));
            let place = setting.place(&MIDDLE, values[0]);
            let moved = [
                place.radius.is_some(),
                place.point.epsilon != MIDDLE.epsilon,
                place.point.noise != MIDDLE.noise,
                place.point.softmax_scale != MIDDLE.softmax_scale,
                place.point.heads != MIDDLE.heads,
                place.step != STEP,
            ];
            let own = Setting::ALL.iter().position(|&s| s == setting);
            let found: Vec<usize> = (0..6).filter(|&i| moved[i]).collect();
            assert_eq!(found, [own.unwrap()], "{setting:?}");
        }
    }

    #[test]
    fn the_first_order_is_the_gradient_at_a_small_radius_and_is_not_at_a_large_one() {
        let truncated = |rho: f64| {
            let draws = Setting::Radius.effects(rho, &MIDDLE, 4, 0, 2).unwrap();
            let cosines = draws
                .iter()
                .map(|d| d[Direction::Truncated as usize].cosine);
            cosines.fold(f64::INFINITY, f64::min)
        };
        assert!(truncated(1e-3) > 0.999 && truncated(64.0) < 0.5);
    }
}
