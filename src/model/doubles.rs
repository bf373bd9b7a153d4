//! Weights of a network in f64.

use dfdx::prelude::{Device, HasShape};
use ndarray::Array2;

use super::tensor::{Matrix, Scalar};
use super::Real;
use crate::error::{Error, Result};

/// A weight (out, in) in doubles.
///
/// # Errors
/// [`Error::Shape`] if its memory cannot be read as one matrix.
pub fn widened<E: Real, D: Device<E>>(weight: &Matrix<E, D>) -> Result<Array2<f64>> {
    let values = weight.as_vec().into_iter().map(wide).collect();
    Array2::from_shape_vec(*weight.shape(), values)
        .map_err(|e| Error::misfit("a weight", weight.shape(), &e))
}

pub(super) fn number<E: Real, D: Device<E>>(scalar: &Scalar<E, D>) -> f64 {
    scalar.as_vec().into_iter().map(wide).sum()
}

/// f32 and f64 are numbers of f64.
fn wide<E: Real>(value: E) -> f64 {
    value.to_f64().unwrap_or(f64::NAN)
}
