//! The operators of a layer in f64, as the papers write them.

use dfdx::prelude::{Device, HasShape};
use ndarray::{s, Array2, Array3};

use super::layers::{Attention, FeedForward, Layer, Matrix, Mssa, Output, Scalar};
use crate::error::{Error, Result};
use crate::exact::coding_rate::{bases_from_projection, prepare_bases};
use crate::exact::frame::frame;
use crate::exact::log_determinant::Prepared;
use crate::exact::neumann::largest_eigenvalue;

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

impl LayerOperators {
    /// Copies them out of a layer.
    ///
    /// # Errors
    /// [`Error::Domain`] if a weight is not finite.
    pub fn of<D: Device<f32>>(layer: &Layer<f32, D>) -> Result<Self> {
        let bases = layer.attention.bases()?;
        let sparsifier = match &layer.feed_forward {
            FeedForward::Ista(ista) => {
                let dictionary = widened(&ista.dictionary)?;
                Some(Sparsifier {
                    lipschitz: largest_eigenvalue(dictionary.t().dot(&dictionary))?,
                    dictionary,
                    step_size: ista.step_size,
                    lambda: ista.lambda,
                })
            }
            FeedForward::Mlp(_) => None,
        };
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
