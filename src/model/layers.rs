//! LayerNorm, linear map, MSSA and ISTA, and what a transformer has in their place, composed of dfdx
//! operations.
//!
//! Rows are tokens: a batch is (b, n, d). A weight keeps PyTorch's shape (out, in).

use dfdx::prelude::*;

use super::config::{Architecture, Config};
use super::probe::{Probe, Site};
use super::Real;

/// A batch of token matrices, shape (b, n, features).
pub type Tokens<E, D, T = NoneTape> = Tensor<(usize, usize, usize), E, D, T>;
/// A weight matrix, shape (out, in).
pub type Matrix<E, D> = Tensor<(usize, usize), E, D>;
/// A bias or gain.
pub type Vector<E, D> = Tensor<(usize,), E, D>;
/// A single number.
pub type Scalar<E, D> = Tensor<Rank0, E, D>;

/// Converts a constant of the papers to the number type of the network.
pub(super) fn constant<E: Real>(value: f64) -> E {
    // f64 to f32 or f64 always succeeds.
    <E as num_traits::NumCast>::from(value).unwrap_or_else(E::nan)
}

/// `LN(z) = (z - mean(z)) / sqrt(var(z) + epsilon) * gain + bias`, over the features of each token.
#[derive(Debug, Clone)]
pub struct LayerNorm<E: Dtype, D: Device<E>> {
    /// Shape (features,).
    pub gain: Vector<E, D>,
    /// Shape (features,).
    pub bias: Vector<E, D>,
    /// Additive constant under the root.
    pub epsilon: f64,
}

impl<E: Real, D: Device<E>> LayerNorm<E, D> {
    pub(super) fn identity(device: &D, features: usize, epsilon: f64) -> Result<Self, D::Err> {
        Ok(Self {
            gain: device.try_ones_like(&(features,))?,
            bias: device.try_zeros_like(&(features,))?,
            epsilon,
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
        x.try_normalize::<Axis<2>>(self.epsilon)?
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
/// `out = U` up to a factor; the code learns it freely. [`Output`] has both.
#[derive(Debug, Clone)]
pub struct Mssa<E: Dtype, D: Device<E>> {
    /// `[U_1, ..., U_K]^T`, shape (k p, d). Official name `qkv.weight`.
    pub subspace_bases: Matrix<E, D>,
    /// What takes the heads back to a token.
    pub output: Output<E, D>,
    /// Heads, `K`.
    pub heads: usize,
}

/// What takes the heads of MSSA, side by side, back to a token.
#[derive(Debug, Clone)]
pub enum Output<E: Dtype, D: Device<E>> {
    /// Nothing: for a single head as wide as the token.
    Identity,
    /// A linear map of its own, as in the official code. Official name `to_out.0`.
    Free(Linear<E, D>),
    /// `s [U_1, ..., U_K]`, without bias, as in the derivation: only the scale `s` is learned beside the bases.
    /// With `M = sum_k U_k SSA(Z | U_k)`, the block adds `s M`.
    Tied(Scalar<E, D>),
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
        let read = attend(w.retaped::<T>(), keys, w, layer, probe)?;
        match &self.output {
            Output::Identity => Ok(read),
            Output::Free(output) => output.try_forward(read),
            Output::Tied(scale) => {
                let (_, d) = *self.subspace_bases.shape();
                read.try_reshape_like(&(b * n, inner))?
                    .try_matmul(self.subspace_bases.retaped::<T>())?
                    .try_reshape_like(&(b, n, d))?
                    .try_mul(
                        scale
                            .clone()
                            .try_broadcast_like::<_, Axes3<0, 1, 2>>(&(b, n, d))?,
                    )
            }
        }
    }
}

/// Queries, keys or values of every head, shape (b, k, n, p); keys transposed, (b, k, p, n).
type Heads<E, D, T> = Tensor<(usize, usize, usize, usize), E, D, T>;

/// `softmax(Q K^T / sqrt(p)) V` of every head, side by side, shape (b, n, k p).
fn attend<E: Real, D: Device<E>, T: Tape<E, D>>(
    queries: Heads<E, D, T>,
    keys: Heads<E, D, T>,
    values: Heads<E, D, T>,
    layer: usize,
    probe: &mut impl Probe<E>,
) -> Result<Tokens<E, D, T>, D::Err> {
    let (b, heads, n, p) = *queries.shape();
    let attention = queries
        .try_matmul(keys)?
        .try_mul(constant::<E>((p as f64).powf(-0.5)))?
        .try_softmax::<Axis<3>>()?;
    if probe.wants(Site::Attention, layer) {
        let shape = [b, heads, n, n];
        probe.observe(Site::Attention, layer, &shape, attention.as_vec());
    }
    attention
        .try_matmul(values)?
        .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?
        .try_reshape_like(&(b, n, heads * p))
}

/// Multi-head self-attention of a transformer:
///
/// `MHSA(Z) = concat_k( softmax(Q_k K_k^T / sqrt(p)) V_k ) out^T + bias`, with a projection for each of
/// queries, keys and values.
#[derive(Debug, Clone)]
pub struct Mhsa<E: Dtype, D: Device<E>> {
    /// `[Q, K, V]^T`, shape (3 k p, d), one below the other.
    pub projection: Matrix<E, D>,
    /// Shape (3 k p,), in a ViT.
    pub projection_bias: Option<Vector<E, D>>,
    /// Output projection; none for a single head as wide as the token.
    pub output: Option<Linear<E, D>>,
    /// Heads, `K`.
    pub heads: usize,
}

impl<E: Real, D: Device<E>> Mhsa<E, D> {
    /// # Shapes
    /// z (b, n, d), already normalised, to (b, n, d).
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        z: Tokens<E, D, T>,
        layer: usize,
        probe: &mut impl Probe<E>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        let (b, n, _) = *z.shape();
        let (rows, _) = *self.projection.shape();
        let inner = rows / 3;
        let mut all = project(z, &self.projection)?;
        if let Some(bias) = &self.projection_bias {
            all = all.try_add(across_tokens(bias, &(b, n, rows))?)?;
        }
        let shape = (b, n, self.heads, inner / self.heads);
        let keys = all
            .retaped::<T>()
            .try_slice((0..b, 0..n, inner..2 * inner))?
            .try_reshape_like(&shape)?
            .try_permute::<_, Axes4<0, 2, 3, 1>>()?;
        let values = all
            .retaped::<T>()
            .try_slice((0..b, 0..n, 2 * inner..rows))?
            .try_reshape_like(&(b, n, inner))?;
        observe(probe, Site::Projection, layer, &values);
        let values = values
            .try_reshape_like(&shape)?
            .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
        let queries = all
            .try_slice((0..b, 0..n, 0..inner))?
            .try_reshape_like(&shape)?
            .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
        let read = attend(queries, keys, values, layer, probe)?;
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

/// A transformer's perceptron, `GELU(x A^T + a) B^T + b` with `GELU(h) = h Φ(h)`.
#[derive(Debug, Clone)]
pub struct Mlp<E: Dtype, D: Device<E>> {
    /// Up to the hidden width.
    pub rise: Linear<E, D>,
    /// And down again.
    pub fall: Linear<E, D>,
}

impl<E: Real, D: Device<E>> Mlp<E, D> {
    /// # Shapes
    /// x (b, n, d), already normalised, to (b, n, d).
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
    ) -> Result<Tokens<E, D, T>, D::Err> {
        self.fall.try_forward(gelu(self.rise.try_forward(x)?)?)
    }
}

/// `h Φ(h)`. The derivative that dfdx 0.13 has for it, `Φ(h) + h e^{-h²/2} / sqrt(π)`, is wrong: the
/// density has `sqrt(2 π)`. So a term is added that is zero and whose derivative is what is missing:
/// `c e^{-h²/2}` less its own value, `c = (1 - 1/sqrt(2)) / sqrt(π)`.
fn gelu<E: Real, D: Device<E>, T: Tape<E, D>>(
    h: Tokens<E, D, T>,
) -> Result<Tokens<E, D, T>, D::Err> {
    let c = (1.0 - std::f64::consts::FRAC_1_SQRT_2) / std::f64::consts::PI.sqrt();
    let bell = h
        .retaped::<T>()
        .try_square()?
        .try_mul(constant::<E>(-0.5))?
        .try_exp()?
        .try_mul(constant::<E>(c))?;
    let value = h
        .device()
        .try_tensor_from_vec(bell.as_vec(), *bell.shape())?;
    h.try_accurate_gelu()?.try_add(bell.try_sub(value)?)
}

/// The first block of a layer.
#[derive(Debug, Clone)]
pub enum Attention<E: Dtype, D: Device<E>> {
    /// Compression.
    Mssa(Mssa<E, D>),
    /// A transformer's.
    Mhsa(Mhsa<E, D>),
}

impl<E: Real, D: Device<E>> Attention<E, D> {
    /// Heads, `K`.
    pub fn heads(&self) -> usize {
        match self {
            Self::Mssa(mssa) => mssa.heads,
            Self::Mhsa(mhsa) => mhsa.heads,
        }
    }
}

/// The second block of a layer.
#[derive(Debug, Clone)]
pub enum FeedForward<E: Dtype, D: Device<E>> {
    /// Sparsification.
    Ista(Ista<E, D>),
    /// A transformer's.
    Mlp(Mlp<E, D>),
}

/// One layer: `Y = Z + MSSA(LN1(Z))`, `Z' = ISTA(LN2(Y))`. There is no skip around ISTA; with a
/// perceptron in its place, `Z' = Y + MLP(LN2(Y))`.
#[derive(Debug, Clone)]
pub struct Layer<E: Dtype, D: Device<E>> {
    /// LayerNorm before the first block.
    pub norm1: LayerNorm<E, D>,
    /// MSSA or MHSA.
    pub attention: Attention<E, D>,
    /// LayerNorm before the second block.
    pub norm2: LayerNorm<E, D>,
    /// ISTA or a perceptron.
    pub feed_forward: FeedForward<E, D>,
}

impl<E: Real, D: Device<E>> Layer<E, D> {
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
        observe(probe, Site::NORMALISED_INPUT, layer, &normalised);
        let step = match &self.attention {
            Attention::Mssa(mssa) => mssa.try_forward(normalised, layer, probe)?,
            Attention::Mhsa(mhsa) => mhsa.try_forward(normalised, layer, probe)?,
        };
        let y = step.try_add(z)?;
        observe(probe, Site::AFTER_MSSA, layer, &y);
        let output = match &self.feed_forward {
            FeedForward::Ista(ista) => {
                let normalised = self.norm2.try_forward(y)?;
                observe(probe, Site::NORMALISED_AFTER_MSSA, layer, &normalised);
                ista.try_forward(normalised)?
            }
            FeedForward::Mlp(mlp) => {
                let normalised = self.norm2.try_forward(y.retaped::<T>())?;
                observe(probe, Site::NORMALISED_AFTER_MSSA, layer, &normalised);
                mlp.try_forward(normalised)?.try_add(y)?
            }
        };
        observe(probe, Site::AFTER_ISTA, layer, &output);
        Ok(output)
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
/// values come from [`super::Classifier::new`] or a checkpoint.
pub(super) fn blank_layer<E: Real, D: Device<E>>(
    device: &D,
    config: &Config,
) -> Result<Layer<E, D>, D::Err> {
    let (d, heads, kind) = (config.d, config.heads, config.architecture);
    let norm = || LayerNorm::identity(device, d, config.layer_norm_epsilon());
    let projection = device.try_zeros_like(&(config.projection_rows(), d))?;
    let output = if config.has_output_projection() {
        Some(blank_linear(device, config.inner(), d)?)
    } else {
        None
    };
    let attention = if kind.has_mhsa() {
        Attention::Mhsa(Mhsa {
            projection,
            projection_bias: match kind {
                Architecture::Vit => Some(device.try_zeros_like(&(config.projection_rows(),))?),
                _ => None,
            },
            output,
            heads,
        })
    } else {
        Attention::Mssa(Mssa {
            subspace_bases: projection,
            output: match output {
                _ if kind.has_tied_output() => Output::Tied(device.try_zeros()?),
                Some(output) => Output::Free(output),
                None => Output::Identity,
            },
            heads,
        })
    };
    let feed_forward = if kind.has_mlp() {
        FeedForward::Mlp(Mlp {
            rise: blank_linear(device, d, config.hidden())?,
            fall: blank_linear(device, config.hidden(), d)?,
        })
    } else {
        FeedForward::Ista(Ista {
            dictionary: device.try_zeros_like(&(d, d))?,
            step_size: config.step_size,
            lambda: config.lambda,
        })
    };
    Ok(Layer {
        norm1: norm()?,
        attention,
        norm2: norm()?,
        feed_forward,
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
