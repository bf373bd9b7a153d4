//! The operators of a layer in f64, as the papers write them.

use dfdx::prelude::{Device, HasShape};
use ndarray::{s, Array2, Array3};

use super::layers::{Attention, Matrix, Mssa, Output, Scalar};
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

fn number<D: Device<f32>>(scalar: &Scalar<f32, D>) -> f64 {
    scalar.as_vec().into_iter().map(f64::from).sum()
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
            Self::Mssa(mssa) => match &mssa.output {
                Output::Identity => None,
                Output::Free(linear) => Some(linear),
                Output::Tied(scale) => return Ok(Some(self.bases()? * number(scale))),
            },
            Self::Mhsa(mhsa) => mhsa.output.as_ref(),
        };
        let blocks = output.map(|linear| {
            let weight = widened(&linear.weight)?;
            bases_from_projection(weight.t(), self.heads())
        });
        blocks.transpose()
    }

    /// The learned scale `s` of a tied output.
    pub fn tied_scale(&self) -> Option<f64> {
        match self {
            Self::Mssa(Mssa {
                output: Output::Tied(scale),
                ..
            }) => Some(number(scale)),
            _ => None,
        }
    }
}
