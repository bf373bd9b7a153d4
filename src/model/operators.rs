//! The operators of a layer in f64, as the papers write them.

use dfdx::prelude::Device;
use ndarray::Array3;

use super::block::Layer;
use super::sparsifier::Sparsifier;
use crate::error::{Error, Result};
use crate::exact::coding_rate::prepare_bases;
use crate::exact::frame::frame;
use crate::exact::log_determinant::Prepared;

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
