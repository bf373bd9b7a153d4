//! LayerNorm and one CRATE layer with the parameters of the official code, tokens as columns: short,
//! slow, and the reference that the networks are compared with.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::ista::ista;
use super::mssa::ssa;

/// `LN(Z)`: every column to mean 0 and variance 1 (with 1e-5 under the root), times gain, plus bias.
///
/// # Shapes
/// z (d, N), gain and bias (d,).
///
/// # Example
/// Mean 2 and variance 1.
/// ```
/// use ndarray::array;
/// use whitebox::exact::layer::layer_norm;
///
/// let z = array![[1.0], [3.0]];
/// let (gain, bias) = (array![2.0, 2.0], array![0.0, 1.0]);
/// let normalised = layer_norm(z.view(), gain.view(), bias.view());
/// let unit = 1.0 / (1.0 + 1e-5f64).sqrt();
/// assert_eq!(normalised, array![[-2.0 * unit], [2.0 * unit + 1.0]]);
/// ```
pub fn layer_norm(
    z: ArrayView2<'_, f64>,
    gain: ArrayView1<'_, f64>,
    bias: ArrayView1<'_, f64>,
) -> Array2<f64> {
    let mut normalised = z.to_owned();
    for mut token in normalised.axis_iter_mut(Axis(1)) {
        let mean = token.sum() / token.len() as f64;
        token -= mean;
        let variance = token.dot(&token) / token.len() as f64;
        token /= (variance + 1e-5).sqrt();
        token *= &gain;
        token += &bias;
    }
    normalised
}

/// Parameters of one layer in the papers' orientation.
#[derive(Debug, Clone)]
pub struct LayerParameters {
    /// LayerNorm before MSSA: gain and bias, (d,).
    pub norm1: (Array1<f64>, Array1<f64>),
    /// `U_k`, (d, p) each.
    pub bases: Vec<Array2<f64>>,
    /// Output projection (d, K p) and its bias (d,); none for a single head of width d.
    pub output: Option<(Array2<f64>, Array1<f64>)>,
    /// LayerNorm before ISTA.
    pub norm2: (Array1<f64>, Array1<f64>),
    /// `D`, (d, d).
    pub dictionary: Array2<f64>,
    /// `eta`.
    pub step_size: f64,
    /// `lambda`.
    pub lambda: f64,
}

/// MSSA in the form of the official code: `O [SSA(Z | U_1); ...; SSA(Z | U_K)] + o 1^T`, scores
/// scaled by `p^{-1/2}`, a learned output projection in place of `U`.
///
/// # Shapes
/// z (d, N) to (d, N).
pub fn mssa_code(z: ArrayView2<'_, f64>, layer: &LayerParameters) -> Array2<f64> {
    let heads: Vec<Array2<f64>> = layer
        .bases
        .iter()
        .map(|basis| ssa(z, basis.view(), (basis.ncols() as f64).powf(-0.5)))
        .collect();
    let inner: usize = heads.iter().map(Array2::nrows).sum();
    let mut stacked = Array2::zeros((inner, z.ncols()));
    for (mut block, head) in stacked
        .axis_chunks_iter_mut(Axis(0), inner / heads.len())
        .zip(&heads)
    {
        block.assign(head);
    }
    match &layer.output {
        Some((weight, bias)) => weight.dot(&stacked) + bias.view().insert_axis(Axis(1)),
        None => stacked,
    }
}

// ANCHOR: crate_layer
/// `Z^{l+1/2} = Z + MSSA(LN1(Z))` and `Z^{l+1} = ISTA(LN2(Z^{l+1/2}))`.
///
/// # Shapes
/// z (d, N); both results (d, N).
pub fn crate_layer(z: ArrayView2<'_, f64>, layer: &LayerParameters) -> (Array2<f64>, Array2<f64>) {
    let (gain, bias) = &layer.norm1;
    let normalised = layer_norm(z, gain.view(), bias.view());
    let after_mssa = mssa_code(normalised.view(), layer) + z;
    let (gain, bias) = &layer.norm2;
    let normalised = layer_norm(after_mssa.view(), gain.view(), bias.view());
    let after_ista = ista(
        normalised.view(),
        layer.dictionary.view(),
        layer.step_size,
        layer.lambda,
    );
    (after_mssa, after_ista)
}
// ANCHOR_END: crate_layer

// ANCHOR: decoder_layer
/// A decoder layer of CRATE-MAE (ICLR 2024, arXiv 2404.02446; official `model/crate_ae`):
/// `Z^{l+1/2} = D LN1(Z)`, then `Z^{l+1} = Z^{l+1/2} - MSSA(LN2(Z^{l+1/2}))`: the encoder's two steps
/// undone in the opposite order, with parameters of its own and no threshold.
///
/// # Shapes
/// z (d, N); both results (d, N). The layer's step size and lambda are not used; `norm1` belongs
/// to the dictionary, `norm2` to MSSA.
pub fn decoder_layer(
    z: ArrayView2<'_, f64>,
    layer: &LayerParameters,
) -> (Array2<f64>, Array2<f64>) {
    let (gain, bias) = &layer.norm1;
    let normalised = layer_norm(z, gain.view(), bias.view());
    let read = layer.dictionary.dot(&normalised);
    let (gain, bias) = &layer.norm2;
    let normalised = layer_norm(read.view(), gain.view(), bias.view());
    let next = &read - &mssa_code(normalised.view(), layer);
    (read, next)
}
// ANCHOR_END: decoder_layer
