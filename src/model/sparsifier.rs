//! The dictionary of an ISTA block in f64, and how far its step may go.

use ndarray::Array2;

use crate::error::Result;
use crate::exact::neumann::largest_eigenvalue;

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
    /// [`crate::Error::Domain`] if it is not finite.
    pub fn new(dictionary: Array2<f64>, step_size: f64, lambda: f64) -> Result<Self> {
        Ok(Self {
            lipschitz: largest_eigenvalue(dictionary.t().dot(&dictionary))?,
            dictionary,
            step_size,
            lambda,
        })
    }
}
