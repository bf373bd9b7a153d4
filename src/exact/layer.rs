//! LayerNorm and one CRATE layer with the parameters of the official code (`model/crate.py`), tokens as columns:
//! short, slow, and the reference that the networks are compared with. Everything is in the units that LayerNorm gives.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::ista::ista;
use super::mssa::ssa;

/// `LN(Z)`: every column to mean 0 and variance 1 (with 1e-5 under the root), times gain, plus bias (Ba, Kiros and
/// Hinton 2016; the constant is PyTorch's).
///
/// # Shapes
/// z (d, N), gain and bias (d,); gives (d, N).
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
///
/// # Panics
/// If gain or bias is not as long as a token.
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
    /// LayerNorm before ISTA: gain and bias, (d,).
    pub norm2: (Array1<f64>, Array1<f64>),
    /// `D`, (d, d).
    pub dictionary: Array2<f64>,
    /// `eta`, the length of the ISTA step.
    pub step_size: f64,
    /// `lambda`, the weight of the 1-norm.
    pub lambda: f64,
}

/// MSSA in the form of the official code: `O [SSA(Z | U_1); ...; SSA(Z | U_K)] + o 1^T`, scores
/// scaled by `p^{-1/2}`, a learned output projection in place of `U` and of the factor `c` of book (4.2.13).
///
/// # Shapes
/// z (d, N); gives (d, N).
///
/// # Example
/// Heads on the axes, tokens of length `sqrt(ln 3)`: in its own head a token reads itself with weight 3/4, in the
/// other, where its scores are 0, all with 1/2. `O = I`, and `o` raises the second feature by 1.
/// ```
/// use ndarray::{array, Array2};
/// use whitebox::exact::layer::{mssa_code, LayerParameters};
///
/// let length = 3f64.ln().sqrt();
/// let unused = (array![1.0, 1.0], array![0.0, 0.0]);
/// let layer = LayerParameters {
///     norm1: unused.clone(),
///     bases: vec![array![[1.0], [0.0]], array![[0.0], [1.0]]],
///     output: Some((Array2::eye(2), array![0.0, 1.0])),
///     norm2: unused,
///     dictionary: Array2::eye(2),
///     step_size: 0.1,
///     lambda: 0.1,
/// };
/// let read = mssa_code((Array2::eye(2) * length).view(), &layer);
/// let exact = array![[3.0 / 4.0, 1.0 / 2.0], [1.0 / 2.0, 3.0 / 4.0]] * length + array![[0.0], [1.0]];
/// assert!((read - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If the layer has no heads, or its parameters do not fit each other and the tokens.
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
/// `Z^{l+1/2} = Z + MSSA(LN1(Z))` and `Z^{l+1} = ISTA(LN2(Z^{l+1/2}))` (official `model/crate.py`; NeurIPS 2023,
/// section 2.5).
///
/// # Shapes
/// z (d, N); both results (d, N).
///
/// # Example
/// Tokens (1, -1) and (-1, 1), which LayerNorm leaves as they are but for its 1e-5. One head along the first axis,
/// scaled so that the scores differ by ln 3: a token reads itself with 3/4 and the other with 1/4, which is half of
/// itself, and the output undoes the scale. The second LayerNorm takes (3/2, -1) to (1, -1), and ISTA with `D = I` a
/// half off that.
/// ```
/// use ndarray::{array, Array2};
/// use whitebox::exact::layer::{crate_layer, LayerParameters};
///
/// let scale = (3f64.ln() / 2.0).sqrt();
/// let norm = (array![1.0, 1.0], array![0.0, 0.0]);
/// let layer = LayerParameters {
///     norm1: norm.clone(),
///     bases: vec![array![[scale], [0.0]]],
///     output: Some((array![[1.0 / scale], [0.0]], array![0.0, 0.0])),
///     norm2: norm,
///     dictionary: Array2::eye(2),
///     step_size: 1.0,
///     lambda: 0.5,
/// };
/// let z = array![[1.0, -1.0], [-1.0, 1.0]];
/// let (after_mssa, after_ista) = crate_layer(z.view(), &layer);
/// let exact = array![[3.0 / 2.0, -3.0 / 2.0], [-1.0, 1.0]];
/// assert!((after_mssa - exact).iter().all(|v| v.abs() < 2e-5));
/// let exact = array![[1.0 / 2.0, 0.0], [0.0, 1.0 / 2.0]];
/// assert!((after_ista - exact).iter().all(|v| v.abs() < 2e-5));
/// ```
///
/// # Panics
/// If the layer has no heads, or its parameters do not fit each other and the tokens.
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
///
/// # Example
/// Tokens (1, -1) and (-1, 1), which LayerNorm leaves as they are but for its 1e-5; `D = 2 I` doubles them, and half of
/// what the second LayerNorm makes of the first feature is taken away: the head of [`crate_layer`]'s example.
/// ```
/// use ndarray::{array, Array2};
/// use whitebox::exact::layer::{decoder_layer, LayerParameters};
///
/// let scale = (3f64.ln() / 2.0).sqrt();
/// let norm = (array![1.0, 1.0], array![0.0, 0.0]);
/// let layer = LayerParameters {
///     norm1: norm.clone(),
///     bases: vec![array![[scale], [0.0]]],
///     output: Some((array![[1.0 / scale], [0.0]], array![0.0, 0.0])),
///     norm2: norm,
///     dictionary: Array2::eye(2) * 2.0,
///     step_size: 0.0,
///     lambda: 0.0,
/// };
/// let z = array![[1.0, -1.0], [-1.0, 1.0]];
/// let (read, next) = decoder_layer(z.view(), &layer);
/// assert!((read - &z * 2.0).iter().all(|v| v.abs() < 2e-5));
/// let exact = array![[3.0 / 2.0, -3.0 / 2.0], [-2.0, 2.0]];
/// assert!((next - exact).iter().all(|v| v.abs() < 2e-5));
/// ```
///
/// # Panics
/// If the layer has no heads, or its parameters do not fit each other and the tokens.
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
