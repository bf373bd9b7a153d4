//! Orthogonal bases, and ways to spoil them.

use ndarray::Array3;

use super::matrices::{gaussian, orthonormal};
use crate::error::Result;

/// What becomes of the orthogonal bases (K, d, p) of a draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bases {
    /// Nothing.
    Orthogonal,
    /// A part that all heads share is added, as trained bases have it: they are no longer orthonormal, and
    /// overlap.
    Coherent,
    /// Every pair of neighbouring directions of every basis is turned by an angle, in radians: the spans stay.
    Turned(f64),
    /// Every basis is turned within its span by one random rotation.
    TurnedAtRandom,
}

impl Bases {
    /// The bases that `orthogonal` become in draw number `draw` of the seed.
    ///
    /// # Shapes
    /// (K, d, p), as they come.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if a rotation cannot be drawn.
    pub fn of(self, orthogonal: Array3<f64>, seed: u64, draw: usize) -> Result<Array3<f64>> {
        let (_, d, p) = orthogonal.dim();
        let mut bases = orthogonal;
        match self {
            Self::Orthogonal => {}
            Self::Coherent => {
                let shared = gaussian(seed, &format!("shared {draw}"), d, p) / (d as f64).sqrt();
                for mut basis in bases.outer_iter_mut() {
                    basis += &shared;
                }
            }
            Self::Turned(angle) => turn(&mut bases, angle),
            Self::TurnedAtRandom => {
                let rotation = orthonormal(seed, &format!("turn {draw}"), p, p)?;
                for mut basis in bases.outer_iter_mut() {
                    let turned = basis.dot(&rotation);
                    basis.assign(&turned);
                }
            }
        }
        Ok(bases)
    }
}

/// Every pair of neighbouring directions turned by `angle`.
fn turn(bases: &mut Array3<f64>, angle: f64) {
    let (sine, cosine) = angle.sin_cos();
    for mut basis in bases.outer_iter_mut() {
        for first in (0..basis.ncols().saturating_sub(1)).step_by(2) {
            let (a, b) = (basis.column(first), basis.column(first + 1));
            let turned = (&a * cosine + &b * sine, &b * cosine - &a * sine);
            basis.column_mut(first).assign(&turned.0);
            basis.column_mut(first + 1).assign(&turned.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::orthogonal_bases;
    use ndarray::{Array2, Axis};

    fn projection(bases: &Array3<f64>, k: usize) -> Array2<f64> {
        let basis = bases.index_axis(Axis(0), k);
        basis.dot(&basis.t())
    }

    #[test]
    fn turning_keeps_the_spans_and_coherence_does_not() {
        let orthogonal = orthogonal_bases(2, "bases", 2, 3).unwrap();
        let largest = |bases: &Array3<f64>| {
            let off = projection(bases, 1) - projection(&orthogonal, 1);
            off.iter().fold(0.0f64, |m, v| m.max(v.abs()))
        };
        let of = |bases: Bases| bases.of(orthogonal.clone(), 2, 0).unwrap();
        assert_eq!(of(Bases::Orthogonal), orthogonal);
        for turned in [Bases::Turned(0.4), Bases::TurnedAtRandom] {
            let bases = of(turned);
            assert!(largest(&bases) < 1e-14);
            assert_ne!(bases, orthogonal);
        }
        let pair = of(Bases::Turned(0.4));
        let cosine = pair
            .index_axis(Axis(0), 0)
            .column(0)
            .dot(&orthogonal.index_axis(Axis(0), 0).column(0));
        assert!((cosine - 0.4f64.cos()).abs() < 1e-14);
        assert!(largest(&of(Bases::Coherent)) > 0.1);
    }
}
