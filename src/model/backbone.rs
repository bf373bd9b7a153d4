//! Embedding and layers of a network, by the fastest way the device has: on the CPU in f32 the kernels of
//! [`crate::fused`] as one operation each on dfdx's tape, elsewhere the operations of
//! [`super::embedding`] and [`super::layers`]. The only file that hooks a kernel into the tape.

use std::sync::{Arc, OnceLock};

use dfdx::prelude::*;
use rayon::prelude::*;

use super::embedding::Embedding;
use super::layers::{CrateLayer, LayerNorm, Tokens};
use super::probe::{Probe, Site};
use super::Real;
use crate::fused::{self, ista, layer_norm, mssa};

/// Which implementation of the layers a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// The device's own kernels where it has some, else [`Path::Composed`].
    #[default]
    Fastest,
    /// dfdx operations, one after the other: the oracle for the kernels.
    Composed,
}

/// A dfdx device that can run an embedding and a stack of CRATE layers.
pub trait Backbone<E: Real>: Device<E> {
    /// Patches (b, n - 1, patch width) to tokens (b, n, d). The patches are data: nobody needs to be
    /// able to ask for their gradient.
    ///
    /// # Errors
    /// The device's own.
    fn try_embed<T: Tape<E, Self>>(
        embedding: &Embedding<E, Self>,
        patches: Tokens<E, Self, T>,
    ) -> Result<Tokens<E, Self, T>, Self::Err> {
        embedding.try_forward(patches)
    }

    /// All layers in order.
    ///
    /// # Shapes
    /// z (b, n, d) to the same.
    ///
    /// # Errors
    /// The device's own.
    fn try_layers<T: Tape<E, Self>>(
        layers: &[CrateLayer<E, Self>],
        _weights: &KernelWeights,
        z: Tokens<E, Self, T>,
        probe: &mut impl Probe<E>,
    ) -> Result<Tokens<E, Self, T>, Self::Err> {
        composed_layers(layers, z, probe)
    }
}

/// All layers in order, by dfdx operations.
///
/// # Errors
/// The device's own.
pub fn composed_layers<E: Real, D: Device<E>, T: Tape<E, D>>(
    layers: &[CrateLayer<E, D>],
    z: Tokens<E, D, T>,
    probe: &mut impl Probe<E>,
) -> Result<Tokens<E, D, T>, D::Err> {
    layers
        .iter()
        .enumerate()
        .try_fold(z, |z, (index, layer)| layer.try_forward(z, index, probe))
}

impl Backbone<f64> for Cpu {}

impl Backbone<f32> for Cpu {
    fn try_embed<T: Tape<f32, Self>>(
        embedding: &Embedding<f32, Self>,
        patches: Tokens<f32, Self, T>,
    ) -> Result<Tokens<f32, Self, T>, CpuError> {
        let (b, _, _) = *patches.shape();
        let (n, d) = *embedding.position.shape();
        let (patches, mut tape) = patches.try_contiguous()?.split_tape();
        let input = values(&patches);
        let buffers = EmbeddingBuffers::copy(embedding);
        let (z, saved) = fused::embedding::forward(&input, &buffers.weights());
        let result = patches.device().try_tensor_from_vec(z, (b, n, d))?;
        if T::OWNS_TAPE {
            let (result, embedding) = (result.clone(), embedding.clone());
            tape.add_backward_op(move |gradients| {
                let derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                let mut found = exchange_embedding(gradients, &embedding, Default::default())?;
                let weights = buffers.weights();
                fused::embedding::backward(&input, &weights, &saved, &derivative, &mut found);
                exchange_embedding(gradients, &embedding, found)?;
                Ok(())
            });
        }
        Ok(result.put_tape(tape))
    }

    fn try_layers<T: Tape<f32, Self>>(
        layers: &[CrateLayer<f32, Self>],
        weights: &KernelWeights,
        z: Tokens<f32, Self, T>,
        probe: &mut impl Probe<f32>,
    ) -> Result<Tokens<f32, Self, T>, CpuError> {
        let shape = *z.shape();
        let (b, tokens, d) = shape;
        // Without a tape the weights stay, and folding them is paid once for all batches.
        let fold = !T::OWNS_TAPE || b * tokens >= d;
        let (z, mut tape) = z.try_contiguous()?.split_tape();
        let device = z.device().clone();
        let weights = weights.of(layers);
        let mut inputs = vec![values(&z)];
        let mut saved = Vec::new();
        for (index, (layer, buffers)) in layers.iter().zip(weights.iter()).enumerate() {
            let input = &inputs[inputs.len() - 1];
            let keep = if probe.wants(Site::Attention, index) {
                mssa::Keep::All
            } else if T::OWNS_TAPE {
                mssa::Keep::Cheap
            } else {
                mssa::Keep::Nothing
            };
            let (output, made) = fused::layer::forward(input, tokens, &buffers.weights(fold), keep);
            show(probe, index, shape, layer.mssa.heads, input, &made, &output);
            if T::OWNS_TAPE {
                inputs.push(output);
                saved.push(made);
            } else {
                inputs = vec![output];
            }
        }
        let output = inputs[inputs.len() - 1].clone();
        let result = device.try_tensor_from_vec(output, shape)?;
        if T::OWNS_TAPE {
            let (result, layers) = (result.clone(), layers.to_vec());
            tape.add_backward_op(move |gradients| {
                let mut derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                for (index, (made, layer)) in saved.iter().zip(&layers).enumerate().rev() {
                    let mut found = exchange(gradients, layer, fused::layer::Gradients::default())?;
                    fused::layer::backward(
                        &inputs[index],
                        &inputs[index + 1],
                        tokens,
                        &weights[index].weights(fold),
                        made,
                        &mut derivative,
                        &mut found,
                    );
                    exchange(gradients, layer, found)?;
                }
                add(gradients, &z, &derivative)
            });
        }
        Ok(result.put_tape(tape))
    }
}

/// The numbers of a contiguous tensor.
fn values<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Vec<f32> {
    let mut values = vec![0.0; tensor.shape().num_elements()];
    tensor.copy_into(&mut values);
    values
}

/// The layers' parameters as the kernels read them, copied out of dfdx's tensors once. Whoever
/// changes a parameter has to start from [`KernelWeights::default`] again.
#[derive(Debug, Clone, Default)]
pub struct KernelWeights(Arc<OnceLock<Arc<Vec<Buffers>>>>);

impl KernelWeights {
    fn of(&self, layers: &[CrateLayer<f32, Cpu>]) -> Arc<Vec<Buffers>> {
        if let Some(weights) = self.0.get() {
            return weights.clone();
        }
        // Outside the cell: see `Buffers::folded`.
        let weights = Arc::new(layers.par_iter().map(Buffers::copy).collect());
        self.0.get_or_init(|| weights).clone()
    }
}

/// A layer's parameters.
#[derive(Debug)]
struct Buffers {
    norms: [[Vec<f32>; 2]; 2],
    bases: Vec<f32>,
    output: Option<(Vec<f32>, Vec<f32>)>,
    heads: usize,
    dictionary: Vec<f32>,
    folded: OnceLock<Vec<f32>>,
    step_size: f64,
    lambda: f64,
}

impl Buffers {
    fn copy(layer: &CrateLayer<f32, Cpu>) -> Self {
        let norm = |n: &LayerNorm<f32, Cpu>| [values(&n.gain), values(&n.bias)];
        let output = layer.mssa.output.as_ref();
        Self {
            norms: [norm(&layer.norm1), norm(&layer.norm2)],
            bases: values(&layer.mssa.subspace_bases),
            output: output.map(|o| (values(&o.weight), values(&o.bias))),
            heads: layer.mssa.heads,
            dictionary: values(&layer.ista.dictionary),
            folded: OnceLock::new(),
            step_size: layer.ista.step_size,
            lambda: layer.ista.lambda,
        }
    }

    /// `B` of the folded ISTA step. Made outside the cell: the product shares itself out, and a thread
    /// that waits for it may take up work that wants the same cell.
    fn folded(&self) -> &[f32] {
        if let Some(folded) = self.folded.get() {
            return folded;
        }
        let d = self.norms[1][0].len();
        let folded = ista::fold(&self.dictionary, d, self.step_size as f32);
        self.folded.get_or_init(|| folded)
    }

    fn weights(&self, fold: bool) -> fused::layer::Weights<'_> {
        let norm = |index: usize| layer_norm::Weights {
            gain: &self.norms[index][0],
            bias: &self.norms[index][1],
        };
        let output = self.output.as_ref();
        fused::layer::Weights {
            mssa: mssa::Weights {
                norm: norm(0),
                bases: &self.bases,
                output: output.map(|(weight, bias)| (weight.as_slice(), bias.as_slice())),
                heads: self.heads,
            },
            ista: ista::Weights {
                norm: norm(1),
                dictionary: &self.dictionary,
                folded: fold.then(|| self.folded()),
                step_size: self.step_size as f32,
                threshold: (self.step_size * self.lambda) as f32,
            },
        }
    }
}

/// The embedding's parameters as the kernels read them.
struct EmbeddingBuffers {
    norms: [[Vec<f32>; 2]; 2],
    weight: Vec<f32>,
    bias: Vec<f32>,
    class_token: Vec<f32>,
    position: Vec<f32>,
}

impl EmbeddingBuffers {
    fn copy(embedding: &Embedding<f32, Cpu>) -> Self {
        let norm = |n: &LayerNorm<f32, Cpu>| [values(&n.gain), values(&n.bias)];
        Self {
            norms: [norm(&embedding.patch_norm), norm(&embedding.norm)],
            weight: values(&embedding.linear.weight),
            bias: values(&embedding.linear.bias),
            class_token: values(&embedding.class_token),
            position: values(&embedding.position),
        }
    }

    fn weights(&self) -> fused::embedding::Weights<'_> {
        let norm = |index: usize| layer_norm::Weights {
            gain: &self.norms[index][0],
            bias: &self.norms[index][1],
        };
        fused::embedding::Weights {
            patch_norm: norm(0),
            weight: &self.weight,
            bias: &self.bias,
            norm: norm(1),
            class_token: &self.class_token,
            position: &self.position,
        }
    }
}

/// Hands the probe what it wants of a layer.
fn show(
    probe: &mut impl Probe<f32>,
    layer: usize,
    (b, n, d): (usize, usize, usize),
    heads: usize,
    input: &[f32],
    made: &fused::layer::Saved,
    output: &[f32],
) {
    let inner = made.mssa.projection.len() / (b * n);
    for (site, values, features) in [
        (Site::LayerInput, input, d),
        (Site::NormalisedInput, &made.mssa.normalised, d),
        (Site::Projection, &made.mssa.projection, inner),
        (Site::AfterMssa, &made.after_mssa, d),
        (Site::NormalisedAfterMssa, &made.ista.normalised, d),
        (Site::AfterIsta, output, d),
    ] {
        if probe.wants(site, layer) {
            probe.observe(site, layer, &[b, n, features], values.to_vec());
        }
    }
    if probe.wants(Site::Attention, layer) {
        let maps = made.mssa.maps.clone();
        probe.observe(Site::Attention, layer, &[b, heads, n, n], maps);
    }
}

/// Puts `held` in place of dfdx's gradients of a layer, and returns those: the kernels add to them
/// without a copy.
fn exchange(
    gradients: &mut Gradients<f32, Cpu>,
    layer: &CrateLayer<f32, Cpu>,
    mut held: fused::layer::Gradients,
) -> Result<fused::layer::Gradients, CpuError> {
    let (mssa, ista) = (&mut held.mssa, &mut held.ista);
    swap(gradients, &layer.norm1.gain, &mut mssa.norm.gain)?;
    swap(gradients, &layer.norm1.bias, &mut mssa.norm.bias)?;
    swap(gradients, &layer.mssa.subspace_bases, &mut mssa.bases)?;
    if let Some(output) = &layer.mssa.output {
        let (weight, bias) = mssa.output.get_or_insert_default();
        swap(gradients, &output.weight, weight)?;
        swap(gradients, &output.bias, bias)?;
    }
    swap(gradients, &layer.norm2.gain, &mut ista.norm.gain)?;
    swap(gradients, &layer.norm2.bias, &mut ista.norm.bias)?;
    swap(gradients, &layer.ista.dictionary, &mut ista.dictionary)?;
    Ok(held)
}

/// The same for the embedding.
fn exchange_embedding(
    gradients: &mut Gradients<f32, Cpu>,
    embedding: &Embedding<f32, Cpu>,
    mut held: fused::embedding::Gradients,
) -> Result<fused::embedding::Gradients, CpuError> {
    let Embedding {
        patch_norm, norm, ..
    } = embedding;
    swap(gradients, &patch_norm.gain, &mut held.patch_norm.gain)?;
    swap(gradients, &patch_norm.bias, &mut held.patch_norm.bias)?;
    swap(gradients, &embedding.linear.weight, &mut held.weight)?;
    swap(gradients, &embedding.linear.bias, &mut held.bias)?;
    swap(gradients, &norm.gain, &mut held.norm.gain)?;
    swap(gradients, &norm.bias, &mut held.norm.bias)?;
    swap(gradients, &embedding.class_token, &mut held.class_token)?;
    swap(gradients, &embedding.position, &mut held.position)?;
    Ok(held)
}

fn swap<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
    held: &mut Vec<f32>,
) -> Result<(), CpuError> {
    std::mem::swap(&mut **gradients.get_or_alloc_mut(tensor)?, held);
    Ok(())
}

fn add<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
    derivative: &[f32],
) -> Result<(), CpuError> {
    fused::lanes::add_to(gradients.get_or_alloc_mut(tensor)?, derivative);
    Ok(())
}
