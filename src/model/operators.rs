//! The operators of a layer in f64, as the papers write them.

use dfdx::prelude::{Device, HasShape};
use ndarray::{Array2, Array3};

use super::block::Layer;
use super::tensor::{Matrix, Scalar};
use super::Real;
use crate::error::{Error, Result};
use crate::exact::coding_rate::prepare_bases;
use crate::exact::frame::frame;
use crate::exact::log_determinant::Prepared;
use crate::exact::neumann::largest_eigenvalue;

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

/// Bases and dictionary of one layer, ready to be measured with.
#[derive(Debug, Clone)]
pub struct LayerOperators {
    /// `U^l`, (K, d, p); of a layer with MHSA, the projections of the values.
    pub bases: Array3<f64>,
    /// The same, prepared for rates.
    pub prepared: Vec<Prepared>,
    /// `Q_1, ..., Q_K`, (K, d, p): orthonormal bases of the same subspaces.
    pub frames: Array3<f64>,
    /// The same, prepared for rates.
    pub orthonormal: Vec<Prepared>,
    sparsifier: Option<Sparsifier>,
}

/// What a layer's ISTA block works with.
#[derive(Debug, Clone)]
pub struct Sparsifier {
    /// `D^l`, (d, d).
    pub dictionary: Array2<f64>,
    /// `eta`.
    pub step_size: f64,
    /// `lambda`.
    pub lambda: f64,
    /// `L = ||D||_2^2`, the constant of the descent lemma.
    pub lipschitz: f64,
}

impl Sparsifier {
    /// Finds `L` for a dictionary (d, d).
    ///
    /// # Errors
    /// [`Error::Domain`] if it is not finite.
    pub fn new(dictionary: Array2<f64>, step_size: f64, lambda: f64) -> Result<Self> {
        Ok(Self {
            lipschitz: largest_eigenvalue(dictionary.t().dot(&dictionary))?,
            dictionary,
            step_size,
            lambda,
        })
    }
}

impl LayerOperators {
    /// Copies them out of a layer.
    ///
    /// # Errors
    /// [`Error::Domain`] if a weight is not finite.
    pub fn of<D: Device<f32>>(layer: &Layer<f32, D>) -> Result<Self> {
        let bases = layer.bases()?;
        let sparsifier = layer.sparsifier()?;
        let prepared = prepare_bases(bases.view())?;
        let each = bases.outer_iter().map(frame).collect::<Result<Vec<_>>>()?;
        let frames = Array3::from_shape_fn(bases.dim(), |(k, i, j)| each[k][(i, j)]);
        let orthonormal = each.into_iter().map(|frame| Prepared::of("bases", frame));
        Ok(Self {
            prepared,
            orthonormal: orthonormal.collect::<Result<_>>()?,
            frames,
            bases,
            sparsifier,
        })
    }

    /// Of the ISTA block.
    ///
    /// # Errors
    /// [`Error::Argument`] if the layer has a perceptron in its place.
    pub fn sparsifier(&self) -> Result<&Sparsifier> {
        self.sparsifier.as_ref().ok_or_else(|| {
            Error::argument(
                "`checkpoint`",
                "a network with ISTA blocks, which have a dictionary",
                "one with perceptrons",
                "choose a CRATE",
            )
        })
    }
}
