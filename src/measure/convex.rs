//! The convex form of a step, `M - Z`, against shrinking alone and against a map that knows no token.

use ndarray::{Array2, ArrayView2, ArrayView3};

use super::descent::{Descent, Direction};
use crate::error::Result;
use crate::exact::mssa::reconstruction;

/// Cosines with steepest descent on `R^c`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convex {
    /// Of `M - Z`.
    pub cosine: f64,
    /// Of `-Z`.
    pub cosine_of_shrinkage: f64,
    /// Of `M - Z`, its part along `Z` and the gradient's taken out.
    pub beyond_shrinkage: f64,
    /// Of `sum_k U_k U_k^T Z A - Z` for a given map `A`, its part along `Z` and the gradient's taken out.
    pub beyond_shrinkage_with_map: f64,
}

impl Convex {
    /// At `z`, for `R^c` of precision `epsilon`; `scale` multiplies the scores of the softmax.
    ///
    /// # Shapes
    /// z (d, N), bases (K, d, p), map (N, N): column `j` is what token `j` reads.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for operands that are empty or do not fit; [`crate::Error::Domain`] for NaN, infinities
    /// or `epsilon <= 0`; [`crate::Error::Lapack`] if a factorisation fails.
    ///
    /// # Panics
    /// If `map` does not fit.
    pub fn at(
        z: ArrayView2<'_, f64>,
        bases: ArrayView3<'_, f64>,
        epsilon: f64,
        scale: f64,
        map: &Array2<f64>,
    ) -> Result<Self> {
        let descent = Descent::at(z, bases, epsilon, scale)?;
        let convex = descent.direction(Direction::Convex);
        let shrinkage = descent.direction(Direction::Shrinkage);
        let control = reconstruction(z.dot(map).view(), bases) - z;
        Ok(Self {
            cosine: descent.cosine(convex.view()),
            cosine_of_shrinkage: descent.cosine(shrinkage.view()),
            beyond_shrinkage: descent.cosine_beyond_shrinkage(convex.view()),
            beyond_shrinkage_with_map: descent.cosine_beyond_shrinkage(control.view()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{gaussian, orthogonal_bases};
    use crate::exact::mssa::attention_map;
    use ndarray::Axis;

    #[test]
    fn attentions_own_map_as_the_control_gives_attentions_own_numbers() {
        let bases = orthogonal_bases(1, "bases", 1, 5).unwrap();
        let z = gaussian(1, "z", 5, 8);
        let own = attention_map(z.view(), bases.index_axis(Axis(0), 0), 0.7);
        let found = Convex::at(z.view(), bases.view(), 0.5, 0.7, &own).unwrap();
        assert!((found.beyond_shrinkage - found.beyond_shrinkage_with_map).abs() < 1e-12);
        assert!((found.cosine_of_shrinkage - found.cosine).abs() > 1e-3);
    }
}
