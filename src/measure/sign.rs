//! Which sign of the step `Z + M` compresses, on tokens as they are and on tokens of one length, at once and
//! layer after layer.

use ndarray::{Array2, ArrayView2, ArrayView3};

use super::descent::{Descent, Direction};
use crate::error::Result;
use crate::exact::linear::frobenius;
use crate::exact::mssa::attention_update;
use crate::exact::scale_free::unit_tokens;
use crate::exact::subspace_rate;

/// Whether `R^c` falls, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Falls {
    /// After `Z + M`.
    pub added: bool,
    /// After `Z - M`.
    pub subtracted: bool,
    /// After `(Z + M) / 2`, the book's convex step at `kappa c = 1/2`.
    pub convex: bool,
    /// After `Z + M`, tokens brought to length 1.
    pub added_unit_tokens: bool,
    /// After `Z - M`, tokens brought to length 1.
    pub subtracted_unit_tokens: bool,
    /// From `Z` scaled to the norm of `Z + M` to `Z + M`.
    pub added_against_scaling: bool,
}

impl Falls {
    /// At tokens of length 1, for `R^c` of precision `epsilon`; `scale` multiplies the scores of the softmax.
    ///
    /// # Shapes
    /// z (d, N), bases (K, d, p).
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for operands that are empty or do not fit; [`crate::Error::Domain`] for NaN, infinities
    /// or `epsilon <= 0`; [`crate::Error::Lapack`] if a factorisation fails.
    pub fn at(
        z: &Array2<f64>,
        bases: ArrayView3<'_, f64>,
        epsilon: f64,
        scale: f64,
    ) -> Result<Self> {
        let descent = Descent::at(z.view(), bases, epsilon, scale)?;
        let m = descent.direction(Direction::Added);
        let (added, subtracted) = (z + &m, z - &m);
        let convex = (z + &m) * 0.5;
        let ratio = frobenius(added.view()) / frobenius(z.view());
        let before = descent.rate()?;
        let falls = |z: ArrayView2<'_, f64>| Ok(descent.rate_of(z)? < before);
        Ok(Self {
            added: falls(added.view())?,
            subtracted: falls(subtracted.view())?,
            convex: falls(convex.view())?,
            added_unit_tokens: falls(unit_tokens(added.view()).view())?,
            subtracted_unit_tokens: falls(unit_tokens(subtracted.view()).view())?,
            added_against_scaling: descent.rate_of(added.view())?
                < descent.rate_of((z * ratio).view())?,
        })
    }
}

/// `R^c`, nats, before the first and after every one of `layers` tied steps `Z + sign M(Z)` without LayerNorm; `scale`
/// multiplies the scores of the softmax.
///
/// # Shapes
/// start (d, N), bases (K, d, p); gives `layers + 1` rates.
///
/// # Errors
/// [`crate::Error::Shape`] for operands that are empty or do not fit; [`crate::Error::Domain`] for NaN, infinities or
/// `epsilon <= 0`; [`crate::Error::Lapack`] if a factorisation fails.
pub fn along_a_stack(
    start: &Array2<f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
    scale: f64,
    sign: f64,
    layers: usize,
) -> Result<Vec<f64>> {
    let mut z = start.clone();
    let mut rates = Vec::with_capacity(layers + 1);
    for layer in 0..=layers {
        rates.push(subspace_rate(z.view(), bases, epsilon)?.total);
        if layer < layers {
            let m = attention_update(z.view(), bases, scale);
            z = z + m * sign;
        }
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, Axis};

    /// One token in one dimension: `M = Z`, so that `Z + M = 2 Z` and `Z - M = 0`.
    fn one() -> (Array2<f64>, Array3<f64>) {
        (Array2::ones((1, 1)), Array2::eye(1).insert_axis(Axis(0)))
    }

    #[test]
    fn one_token_grows_and_vanishes_and_its_direction_stays() {
        let (z, bases) = one();
        let falls = Falls::at(&z, bases.view(), 1.0, 1.0).unwrap();
        assert!(!falls.added && falls.subtracted);
        // (Z + M) / 2 = Z; brought to length 1, 2 Z is Z; Z scaled to the norm of 2 Z is 2 Z.
        assert!(!falls.convex && !falls.added_unit_tokens && !falls.added_against_scaling);
        // No direction is left: a token of zero stays zero.
        assert!(falls.subtracted_unit_tokens);
    }

    #[test]
    fn a_stack_doubles_one_token_at_every_layer() {
        let (z, bases) = one();
        let rates = along_a_stack(&z, bases.view(), 1.0, 1.0, 1.0, 3).unwrap();
        for (layer, rate) in rates.iter().enumerate() {
            let expected = 0.5 * 4f64.powi(layer as i32).ln_1p();
            assert!((rate - expected).abs() < 1e-12 * expected);
        }
        let turned = along_a_stack(&z, bases.view(), 1.0, 1.0, -1.0, 1).unwrap();
        assert_eq!(turned[1], 0.0);
    }
}
