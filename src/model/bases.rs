//! The operators of a layer in f64, as the papers write them.

use dfdx::prelude::{Device, HasShape};
use ndarray::{s, Array2, Array3};

use super::layers::{Attention, Matrix};
use crate::error::{Error, Result};
use crate::exact::coding_rate::bases_from_projection;

/// A weight (out, in) in doubles.
///
/// # Errors
/// [`Error::Shape`] if its memory cannot be read as one matrix.
pub fn widened<D: Device<f32>>(weight: &Matrix<f32, D>) -> Result<Array2<f64>> {
    let values = weight.as_vec().into_iter().map(f64::from).collect();
    Array2::from_shape_vec(*weight.shape(), values)
        .map_err(|e| Error::misfit("a weight", weight.shape(), &e))
}

impl<D: Device<f32>> Attention<f32, D> {
    /// `U_1, ..., U_K`, (K, d, p); of MHSA, the projections of the values.
    ///
    /// # Errors
    /// As [`widened`].
    pub fn bases(&self) -> Result<Array3<f64>> {
        let projection = match self {
            Self::Mssa(mssa) => widened(&mssa.subspace_bases)?,
            Self::Mhsa(mhsa) => {
                let all = widened(&mhsa.projection)?;
                let first = all.nrows() / 3 * 2;
                all.slice_move(s![first.., ..])
            }
        };
        bases_from_projection(projection.view(), self.heads())
    }

    /// `W_1, ..., W_K`, (K, d, p): the output projection adds `sum_k W_k` times what head `k` made. The papers
    /// write `U_k` in its place. None for a layer without one.
    ///
    /// # Errors
    /// As [`widened`].
    pub fn output_blocks(&self) -> Result<Option<Array3<f64>>> {
        let output = match self {
            Self::Mssa(mssa) => &mssa.output,
            Self::Mhsa(mhsa) => &mhsa.output,
        };
        let blocks = output.as_ref().map(|linear| {
            let weight = widened(&linear.weight)?;
            bases_from_projection(weight.t(), self.heads())
        });
        blocks.transpose()
    }
}
