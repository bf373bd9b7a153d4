//! How good a step is as descent on `R^c`: its angle with the exact gradient, and what it does to
//! the rate.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::exact::linear::{cosine, inner};
use crate::exact::mssa::{attention_update, compression_coefficient};
use crate::exact::neumann::truncated_gradient;
use crate::exact::{subspace_rate, subspace_rate_gradient};

/// A direction in which a compression step may move the tokens `Z`. All are in the units of `Z`:
/// one step of length `kappa c` is `Z + kappa c direction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// `-grad R^c / c`: what the papers set out from.
    Exact,
    /// The first order of its Neumann series, `-(Z - c sum_k U_k W_k W_k^T W_k)` for complete bases.
    Truncated,
    /// `M - Z`, `M = sum_k U_k SSA(Z | U_k)`: the book's step `(1 - kappa c) Z + kappa c M`.
    Convex,
    /// `M`: the step `Z + M` of the official code.
    Added,
    /// `-M`: the same with the sign turned round (arXiv 2411.17182).
    Subtracted,
    /// `-Z`: mere shrinkage, the control.
    Shrinkage,
}

impl Direction {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Exact,
        Self::Truncated,
        Self::Convex,
        Self::Added,
        Self::Subtracted,
        Self::Shrinkage,
    ];

    /// The name in tables and charts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact gradient",
            Self::Truncated => "first order of the series",
            Self::Convex => "convex, M - Z",
            Self::Added => "official, +M",
            Self::Subtracted => "negative, -M",
            Self::Shrinkage => "shrinkage, -Z",
        }
    }
}

/// What a step along a direction is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Cosine with steepest descent.
    pub cosine: f64,
    /// Cosine with steepest descent, growing and shrinking of all tokens alike taken out of both.
    pub cosine_beyond_shrinkage: f64,
    /// `R^c` after the step over `R^c` before, less 1.
    pub relative_change: f64,
}

/// Tokens with the exact gradient of `R^c` there, and all directions.
#[derive(Debug, Clone)]
pub struct Descent<'a> {
    z: ArrayView2<'a, f64>,
    bases: ArrayView3<'a, f64>,
    epsilon: f64,
    exact: Array2<f64>,
    truncated: Array2<f64>,
    attention: Array2<f64>,
}

impl<'a> Descent<'a> {
    /// Prepares the directions at `z`, for `R^c` of precision `epsilon`; `scale` multiplies the scores of the softmax.
    ///
    /// # Shapes
    /// z (d, N), bases (K, d, p).
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for operands that are empty or do not fit; [`crate::Error::Domain`] for NaN, infinities
    /// or `epsilon <= 0`; [`crate::Error::Lapack`] if a factorisation fails.
    pub fn at(
        z: ArrayView2<'a, f64>,
        bases: ArrayView3<'a, f64>,
        epsilon: f64,
        scale: f64,
    ) -> Result<Self> {
        let c = compression_coefficient(bases.len_of(Axis(2)), z.ncols(), epsilon);
        Ok(Self {
            z,
            bases,
            epsilon,
            exact: subspace_rate_gradient(z, bases, epsilon)? / -c,
            truncated: truncated_gradient(z, bases, epsilon, 1) / -c,
            attention: attention_update(z, bases, scale),
        })
    }

    /// One direction, (d, N), in the units of `Z`.
    pub fn direction(&self, which: Direction) -> Array2<f64> {
        match which {
            Direction::Exact => self.exact.clone(),
            Direction::Truncated => self.truncated.clone(),
            Direction::Convex => &self.attention - &self.z,
            Direction::Added => self.attention.clone(),
            Direction::Subtracted => -&self.attention,
            Direction::Shrinkage => self.z.mapv(|v| -v),
        }
    }

    /// Cosine of a direction, (d, N), with steepest descent, `-grad R^c`; 0 for a zero direction.
    pub fn cosine(&self, direction: ArrayView2<'_, f64>) -> f64 {
        cosine(direction, self.exact.view())
    }

    /// Cosine of a direction, (d, N), with steepest descent after the component along `Z` is taken out of both: what is
    /// left of the agreement when growing and shrinking do not count.
    pub fn cosine_beyond_shrinkage(&self, direction: ArrayView2<'_, f64>) -> f64 {
        let (step, exact) = (
            without(direction, self.z),
            without(self.exact.view(), self.z),
        );
        cosine(step.view(), exact.view())
    }

    /// What a step of length `kappa c = step` along each of [`Direction::ALL`] is worth.
    ///
    /// # Errors
    /// [`crate::Error::Domain`] if a step leads beyond what doubles hold; [`crate::Error::Lapack`] if a factorisation
    /// fails.
    pub fn effects(&self, step: f64) -> Result<[Effect; Direction::ALL.len()]> {
        let before = self.rate()?;
        let mut effects = Vec::with_capacity(Direction::ALL.len());
        for which in Direction::ALL {
            let direction = self.direction(which);
            effects.push(Effect {
                cosine: self.cosine(direction.view()),
                cosine_beyond_shrinkage: self.cosine_beyond_shrinkage(direction.view()),
                relative_change: self.rate_after(direction.view(), step)? / before - 1.0,
            });
        }
        Ok(std::array::from_fn(|index| effects[index]))
    }

    /// `R^c` at the tokens, nats.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if a factorisation fails.
    pub fn rate(&self) -> Result<f64> {
        self.rate_of(self.z)
    }

    /// `R^c` in nats after a step of length `kappa c = step` along a direction, (d, N).
    ///
    /// # Errors
    /// [`crate::Error::Domain`] if it leads beyond what doubles hold; [`crate::Error::Lapack`] if a factorisation
    /// fails.
    ///
    /// # Panics
    /// If the direction has another shape.
    pub fn rate_after(&self, direction: ArrayView2<'_, f64>, step: f64) -> Result<f64> {
        self.rate_of((&self.z + &(&direction * step)).view())
    }

    /// `R^c` in nats of other tokens, (d, n), for the same bases and precision.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for operands that are empty or do not fit; [`crate::Error::Domain`] for NaN, infinities
    /// or `epsilon <= 0`; [`crate::Error::Lapack`] if a factorisation fails.
    pub fn rate_of(&self, z: ArrayView2<'_, f64>) -> Result<f64> {
        Ok(subspace_rate(z, self.bases, self.epsilon)?.total)
    }
}

/// `V - <V, Z> / <Z, Z> Z`: a direction without its part along `z`, what is left of it when growing and shrinking all
/// tokens alike does not count. NaN if `z` is zero.
///
/// # Shapes
/// direction and z (d, N); gives (d, N).
///
/// # Panics
/// If the shapes differ.
pub fn without(direction: ArrayView2<'_, f64>, z: ArrayView2<'_, f64>) -> Array2<f64> {
    let along = inner(direction, z) / inner(z, z);
    &direction - &(&z * along)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{gaussian, orthogonal_bases};

    #[test]
    fn cosines_are_slopes_of_the_rate() {
        let bases = orthogonal_bases(1, "bases", 3, 4).unwrap();
        let z = gaussian(1, "z", 12, 20);
        let descent = Descent::at(z.view(), bases.view(), 0.7, 0.5).unwrap();
        let c = compression_coefficient(4, 20, 0.7);
        let exact = descent.direction(Direction::Exact);
        for which in Direction::ALL {
            let direction = descent.direction(which);
            let h = 1e-6;
            let after = |h| descent.rate_after(direction.view(), h).unwrap();
            let slope = (after(h) - after(-h)) / (2.0 * h);
            let lengths = inner(direction.view(), direction.view()).sqrt()
                * inner(exact.view(), exact.view()).sqrt();
            let expected = -c * descent.cosine(direction.view()) * lengths;
            assert!(
                (slope - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                "{which:?}"
            );
        }
    }

    #[test]
    fn shrinkage_has_nothing_beyond_itself() {
        let bases = orthogonal_bases(2, "bases", 2, 3).unwrap();
        let z = gaussian(2, "z", 6, 9);
        let descent = Descent::at(z.view(), bases.view(), 1.0, 1.0).unwrap();
        let exact = descent.direction(Direction::Exact);
        assert!((descent.cosine_beyond_shrinkage(exact.view()) - 1.0).abs() < 1e-12);
        let tilted = &exact + &(&z * 3.0);
        assert!((descent.cosine_beyond_shrinkage(tilted.view()) - 1.0).abs() < 1e-12);
        assert!(descent.cosine(tilted.view()) < 0.9);
    }
    #[test]
    fn every_direction_has_its_effect() {
        let bases = orthogonal_bases(3, "bases", 2, 3).unwrap();
        let z = gaussian(3, "z", 6, 9);
        let descent = Descent::at(z.view(), bases.view(), 0.6, 1.0).unwrap();
        let effects = descent.effects(0.01).unwrap();
        let of = |which: Direction| effects[which as usize];
        assert!((of(Direction::Exact).cosine - 1.0).abs() < 1e-12);
        assert!(of(Direction::Exact).relative_change < 0.0);
        assert!(of(Direction::Shrinkage).cosine_beyond_shrinkage.abs() < 1e-12);
        let (added, subtracted) = (of(Direction::Added), of(Direction::Subtracted));
        assert!((added.cosine + subtracted.cosine).abs() < 1e-14);
        assert!(added.relative_change > 0.0 && subtracted.relative_change < 0.0);
    }
}
