//! LayerNorm, linear map, MSSA and ISTA, composed of dfdx operations.
//!
//! Rows are tokens: a batch is (b, n, d). A weight keeps PyTorch's shape (out, in).

use dfdx::prelude::*;

use super::config::{CrateConfig, LAYER_NORM_EPSILON};
use super::probe::{Probe, Site};
use super::Real;

/// A batch of token matrices, shape (b, n, features).
pub type Tokens<E, D, T = NoneTape> = Tensor<(usize, usize, usize), E, D, T>;
/// A weight matrix, shape (out, in).
pub type Matrix<E, D> = Tensor<(usize, usize), E, D>;
/// A bias or gain.
pub type Vector<E, D> = Tensor<(usize,), E, D>;

/// Converts a constant of the papers to the number type of the network.
pub(super) fn constant<E: Real>(value: f64) -> E {
    // f64 to f32 or f64 always succeeds.
    <E as num_traits::NumCast>::from(value).unwrap_or_else(E::nan)
}

/// `LN(z) = (z - mean(z)) / sqrt(var(z) + 1e-5) * gain + bias`, over the features of each token.
#[derive(Debug, Clone)]
pub struct LayerNorm<E: Dtype, D: Device<E>> {
    /// Shape (features,).
    pub gain: Vector<E, D>,
    /// Shape (features,).
    pub bias: Vector<E, D>,
}

impl<E: Real, D: Device<E>> LayerNorm<E, D> {
    pub(super) fn identity(device: &D, features: usize) -> Result<Self, D::Err> {
        Ok(Self {
            gain: device.try_ones_like(&(features,))?,
            bias: device.try_zeros_like(&(features,))?,
        })
    }

    /// # Shapes
    /// (b, n, features) to the same.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let shape = *x.shape();
        let gain = across_tokens(&self.gain, &shape)?;
        let bias = across_tokens(&self.bias, &shape)?;
        x.try_normalize::<Axis<2>>(LAYER_NORM_EPSILON)?
            .try_mul(gain)?
            .try_add(bias)
    }
}

/// `x W^T + bias`.
#[derive(Debug, Clone)]
pub struct Linear<E: Dtype, D: Device<E>> {
    /// Shape (out, in).
    pub weight: Matrix<E, D>,
    /// Shape (out,).
    pub bias: Vector<E, D>,
}

impl<E: Real, D: Device<E>> Linear<E, D> {
    /// # Shapes
    /// (b, n, in) to (b, n, out).
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let y = project(x, &self.weight)?;
        let shape = *y.shape();
        y.try_add(across_tokens(&self.bias, &shape)?)
    }
}

/// `x W^T` for every token, as one product over all tokens of the batch.
///
/// # Shapes
/// x (b, n, in), weight (out, in); gives (b, n, out).
pub(super) fn project<E: Real, D: Device<E>, T: Tape<E, D>>(
    x: Tokens<E, D, T>,
    weight: &Matrix<E, D>,
) -> Result<Tokens<E, D, T>, D::Err> {
    let (b, n, inner) = *x.shape();
    let (out, _) = *weight.shape();
    x.try_reshape_like(&(b * n, inner))?
        .try_matmul(
            weight
                .retaped::<T>()
                .try_permute::<(usize, usize), Axes2<1, 0>>()?,
        )?
        .try_reshape_like(&(b, n, out))
}

/// Multi-head subspace self-attention in the form of the official code:
///
/// `MSSA(Z) = concat_k( softmax(W_k W_k^T / sqrt(p)) W_k ) out^T + bias`, `W_k = Z U_k`,
///
/// one projection for queries, keys and values. The paper's form (NeurIPS 2023, eq. 12) has
/// `out = U` up to a factor; the code learns it freely.
#[derive(Debug, Clone)]
pub struct Mssa<E: Dtype, D: Device<E>> {
    /// `[U_1, ..., U_K]^T`, shape (k p, d). Official name `qkv.weight`.
    pub subspace_bases: Matrix<E, D>,
    /// Output projection; none for a single head as wide as the token. Official name `to_out.0`.
    pub output: Option<Linear<E, D>>,
    /// Heads, `K`.
    pub heads: usize,
}

impl<E: Real, D: Device<E>> Mssa<E, D> {
    /// # Shapes
    /// z (b, n, d), already normalised, to (b, n, d).
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        z: Tokens<E, D, T>,
        layer: usize,
        probe: &mut impl Probe<E>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let (b, n, _) = *z.shape();
        let (inner, _) = *self.subspace_bases.shape();
        let p = inner / self.heads;
        let projected = project(z, &self.subspace_bases)?;
        observe(probe, Site::Projection, layer, &projected);
        let w = projected
            .try_reshape_like(&(b, n, self.heads, p))?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?;
        // A permuted tensor keeps its id, and dfdx cannot run the backward pass of a product of
        // a tensor with itself: adding zero gives the keys an identity of their own.
        let keys = w
            .retaped::<T>()
            .try_add(constant::<E>(0.0))?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 1, 3, 2>>()?;
        let attention = w
            .retaped::<T>()
            .try_matmul(keys)?
            .try_mul(constant::<E>((p as f64).powf(-0.5)))?
            .try_softmax::<Axis<3>>()?;
        if probe.wants(Site::Attention, layer) {
            probe.observe(
                Site::Attention,
                layer,
                &[b, self.heads, n, n],
                attention.as_vec(),
            );
        }
        let (w, tape) = w.split_tape();
        let read = attention
            .try_matmul(w.put_tape(tape))?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?
            .try_reshape_like(&(b, n, inner))?;
        match &self.output {
            Some(output) => output.try_forward(read),
            None => Ok(read),
        }
    }
}

/// One ISTA step from `x` towards the non-negative sparse code of `x` in the dictionary `D`:
///
/// `ISTA(x) = ReLU(x - eta D^T (D x - x) - eta lambda)` (NeurIPS 2023, eq. 17; official
/// `FeedForward`), with `D` the weight.
#[derive(Debug, Clone)]
pub struct Ista<E: Dtype, D: Device<E>> {
    /// The dictionary `D`, shape (d, d).
    pub dictionary: Matrix<E, D>,
    /// `eta`.
    pub step_size: f64,
    /// `lambda`.
    pub lambda: f64,
}

impl<E: Real, D: Device<E>> Ista<E, D> {
    /// # Shapes
    /// x (b, n, d), already normalised, to (b, n, d).
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let (b, n, d) = *x.shape();
        let x = x.try_reshape_like(&(b * n, d))?;
        // Rows are tokens, so D x is x D^T, and D^T r is r D.
        let transposed = self
            .dictionary
            .retaped::<T>()
            .try_permute::<(usize, usize), Axes2<1, 0>>()?;
        let residual = x
            .retaped::<T>()
            .try_sub(x.retaped::<T>().try_matmul(transposed)?)?;
        let (x, tape) = x.split_tape();
        residual
            .try_matmul(self.dictionary.retaped::<T>())?
            .try_mul(constant::<E>(self.step_size))?
            .try_add(x.put_tape(tape))?
            .try_sub(constant::<E>(self.step_size * self.lambda))?
            .try_relu()?
            .try_reshape_like(&(b, n, d))
    }
}

/// One CRATE layer: `Y = Z + MSSA(LN1(Z))`, `Z' = ISTA(LN2(Y))`. No skip around ISTA.
#[derive(Debug, Clone)]
pub struct CrateLayer<E: Dtype, D: Device<E>> {
    /// LayerNorm before MSSA.
    pub norm1: LayerNorm<E, D>,
    /// The compression block.
    pub mssa: Mssa<E, D>,
    /// LayerNorm before ISTA.
    pub norm2: LayerNorm<E, D>,
    /// The sparsification block.
    pub ista: Ista<E, D>,
}

impl<E: Real, D: Device<E>> CrateLayer<E, D> {
    /// # Shapes
    /// (b, n, d) to the same.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        z: Tokens<E, D, T>,
        layer: usize,
        probe: &mut impl Probe<E>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        observe(probe, Site::LayerInput, layer, &z);
        let normalised = self.norm1.try_forward(z.retaped::<T>())?;
        observe(probe, Site::NormalisedInput, layer, &normalised);
        let after_mssa = self
            .mssa
            .try_forward(normalised, layer, probe)?
            .try_add(z)?;
        observe(probe, Site::AfterMssa, layer, &after_mssa);
        let normalised = self.norm2.try_forward(after_mssa)?;
        observe(probe, Site::NormalisedAfterMssa, layer, &normalised);
        let after_ista = self.ista.try_forward(normalised)?;
        observe(probe, Site::AfterIsta, layer, &after_ista);
        Ok(after_ista)
    }
}

fn observe<E: Real, D: Device<E>, T>(
    probe: &mut impl Probe<E>,
    site: Site,
    layer: usize,
    tokens: &Tokens<E, D, T>,
) {
    if probe.wants(site, layer) {
        let (b, n, features) = *tokens.shape();
        probe.observe(site, layer, &[b, n, features], tokens.as_vec());
    }
}

/// An identity LayerNorm, a zero linear map and a zero dictionary for a layer of `config`;
/// values come from [`super::CrateClassifier::new`] or a checkpoint.
pub(super) fn blank_layer<E: Real, D: Device<E>>(
    device: &D,
    config: &CrateConfig,
) -> Result<CrateLayer<E, D>, D::Err> {
    let (d, inner) = (config.d, config.inner());
    Ok(CrateLayer {
        norm1: LayerNorm::identity(device, d)?,
        mssa: Mssa {
            subspace_bases: device.try_zeros_like(&(inner, d))?,
            output: if config.has_output_projection() {
                Some(blank_linear(device, inner, d)?)
            } else {
                None
            },
            heads: config.heads,
        },
        norm2: LayerNorm::identity(device, d)?,
        ista: Ista {
            dictionary: device.try_zeros_like(&(d, d))?,
            step_size: config.step_size,
            lambda: config.lambda,
        },
    })
}

pub(super) fn blank_linear<E: Real, D: Device<E>>(
    device: &D,
    inputs: usize,
    outputs: usize,
) -> Result<Linear<E, D>, D::Err> {
    Ok(Linear {
        weight: device.try_zeros_like(&(outputs, inputs))?,
        bias: device.try_zeros_like(&(outputs,))?,
    })
}

/// The same vector for every token of a batch of shape (b, n, features).
fn across_tokens<E: Real, D: Device<E>>(
    vector: &Vector<E, D>,
    shape: &(usize, usize, usize),
) -> Result<Tokens<E, D>, D::Err> {
    vector.clone().try_broadcast_like::<_, Axes2<0, 1>>(shape)
}
