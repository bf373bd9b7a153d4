//! Embedding and layers of a network, by the fastest way the device has: on the CPU in f32 the kernels of
//! [`crate::fused`] as one operation each on dfdx's tape, elsewhere the operations of
//! [`super::embedding`] and [`super::layers`]. The only file that hooks a kernel into the tape.

use std::ops::Range;

use dfdx::prelude::*;

use super::embedding::Embedding;
use super::kernel_weights::{values, Direction, KernelWeights};
use super::layers::{Attention, FeedForward, Layer, LayerNorm, Mssa, Output, Tokens};
use super::probe::{Probe, Site};
use super::runs::Runs;
use super::{tied, Classifier, Real};
use crate::error::Error;
use crate::fused::buffer::Buffer;
use crate::fused::{self, attention, ista, layer_norm, mlp};

/// Which implementation of the layers a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// The device's own kernels where it has some, else [`Path::Composed`].
    #[default]
    Fastest,
    /// dfdx operations, one after the other: the oracle for the kernels.
    Composed,
}

/// See [`Backbone::reader`].
pub type Reader<E> = Box<dyn FnOnce() -> Vec<E> + Send>;

fn copied<E: Real, D: Device<E>, S: Shape>(tensor: &Tensor<S, E, D>) -> Vec<E> {
    let mut values = vec![E::default(); tensor.shape().num_elements()];
    tensor.copy_into(&mut values);
    values
}

/// A dfdx device that can run an embedding and a stack of layers.
pub trait Backbone<E: Real>: Device<E> + Runs<Classifier<E, Self>> {
    /// Patches (b, n - 1, patch width) to tokens (b, n, d). The patches are data: nobody needs to be
    /// able to ask for their gradient.
    ///
    /// # Errors
    /// The device's own.
    fn try_embed<T: Tape<E, Self>>(
        embedding: &Embedding<E, Self>,
        _weights: &KernelWeights,
        patches: Tokens<E, Self, T>,
    ) -> Result<Tokens<E, Self, T>, Self::Err> {
        embedding.try_forward(patches)
    }

    /// The layers of `range`, in order; `layers` are those of the whole network.
    ///
    /// # Shapes
    /// z (b, n, d) to the same.
    ///
    /// # Errors
    /// The device's own.
    fn try_layers<T: Tape<E, Self>>(
        layers: &[Layer<E, Self>],
        range: Range<usize>,
        _weights: &KernelWeights,
        z: Tokens<E, Self, T>,
        probe: &mut impl Probe<E>,
    ) -> Result<Tokens<E, Self, T>, Self::Err> {
        composed_layers(layers, range, z, probe)
    }

    /// The tokens `z` themselves, with `derivative` (b, n, d) added to what the rest of the computation finds
    /// for them: a term of the objective whose derivative by `z` is known in closed form.
    ///
    /// # Errors
    /// [`Error::Unsupported`], where the device cannot.
    fn add_derivative<T: Tape<E, Self>>(
        _z: Tokens<E, Self, T>,
        _derivative: Vec<E>,
    ) -> crate::Result<Tokens<E, Self, T>> {
        Err(Error::unsupported(
            "a penalty on the tokens",
            "on this device",
            "train on the CPU (`device`), or without penalty",
        ))
    }

    /// Moves the gradient of a tensor out, row-major.
    ///
    /// # Errors
    /// The device's own.
    fn take_gradient<S: Shape>(
        gradients: &mut Gradients<E, Self>,
        tensor: &Tensor<S, E, Self>,
    ) -> Result<Vec<E>, Self::Err> {
        gradients.get_or_alloc_mut(tensor)?;
        Ok(gradients.get(tensor).as_vec())
    }

    /// What copies a tensor's numbers out, row-major, on any thread. A device that belongs to one thread copies them at
    /// once.
    fn reader<S: Shape>(tensor: &Tensor<S, E, Self>) -> Reader<E> {
        let values = copied(tensor);
        Box::new(move || values)
    }

    /// Whether several pieces of work can run on the device at once, each on a thread of its own.
    fn is_shared() -> bool {
        false
    }
}

/// The layers of `range`, in order, by dfdx operations.
///
/// # Errors
/// The device's own.
pub fn composed_layers<E: Real, D: Device<E>, T: Tape<E, D>>(
    layers: &[Layer<E, D>],
    mut range: Range<usize>,
    z: Tokens<E, D, T>,
    probe: &mut impl Probe<E>,
) -> Result<Tokens<E, D, T>, D::Err> {
    range.try_fold(z, |z, index| layers[index].try_forward(z, index, probe))
}

impl Backbone<f64> for Cpu {}

#[cfg(feature = "cuda")]
impl Backbone<f32> for Cuda {}

impl Backbone<f32> for Cpu {
    fn is_shared() -> bool {
        true
    }

    fn take_gradient<S: Shape>(
        gradients: &mut Gradients<f32, Self>,
        tensor: &Tensor<S, f32, Self>,
    ) -> Result<Vec<f32>, CpuError> {
        // Without a copy.
        Ok(std::mem::take(&mut **gradients.get_or_alloc_mut(tensor)?))
    }

    fn reader<S: Shape>(tensor: &Tensor<S, f32, Self>) -> Reader<f32> {
        // Shares the numbers.
        let tensor = tensor.clone();
        Box::new(move || copied(&tensor))
    }

    fn add_derivative<T: Tape<f32, Self>>(
        z: Tokens<f32, Self, T>,
        derivative: Vec<f32>,
    ) -> crate::Result<Tokens<f32, Self, T>> {
        let (z, mut tape) = z.try_contiguous().map_err(Error::device)?.split_tape();
        let result = z
            .device()
            .try_tensor_from_vec(values(&z).to_vec(), *z.shape());
        let result = result.map_err(Error::device)?;
        if T::OWNS_TAPE {
            let result = result.clone();
            tape.add_backward_op(move |gradients| {
                let rest = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                add(gradients, &z, &rest)?;
                add(gradients, &z, &derivative)
            });
        }
        Ok(result.put_tape(tape))
    }

    fn try_embed<T: Tape<f32, Self>>(
        embedding: &Embedding<f32, Self>,
        weights: &KernelWeights,
        patches: Tokens<f32, Self, T>,
    ) -> Result<Tokens<f32, Self, T>, CpuError> {
        let (b, _, _) = *patches.shape();
        let (n, d) = *embedding.position.shape();
        let (patches, mut tape) = patches.try_contiguous()?.split_tape();
        let input = values(&patches);
        let forward = weights.embedding(embedding, Direction::Forward);
        let (z, saved) = fused::embedding::forward(&input, &forward.weights());
        let result = patches
            .device()
            .try_tensor_from_vec(z.to_vec(), (b, n, d))?;
        if T::OWNS_TAPE {
            let (result, embedding) = (result.clone(), embedding.clone());
            let weights = weights.clone();
            tape.add_backward_op(move |gradients| {
                let derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                let mut found = exchange_embedding(gradients, &embedding, Default::default())?;
                let adjoint = weights.embedding(&embedding, Direction::Adjoint);
                let adjoint = adjoint.weights();
                fused::embedding::backward(&input, &adjoint, &saved, &derivative, &mut found);
                exchange_embedding(gradients, &embedding, found)?;
                Ok(())
            });
        }
        Ok(result.put_tape(tape))
    }

    fn try_layers<T: Tape<f32, Self>>(
        layers: &[Layer<f32, Self>],
        range: Range<usize>,
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
        let forward = weights.layers(layers, Direction::Forward, fold);
        let forward: Vec<_> = forward[range.clone()].iter().map(|l| l.weights()).collect();
        let input = values(&z);
        let maps: Vec<bool> = range
            .clone()
            .map(|layer| probe.wants(Site::Attention, layer))
            .collect();
        let maps = |index: usize| maps[index];
        let saved = fused::layers::forward(
            &input,
            tokens,
            &forward,
            T::OWNS_TAPE,
            maps,
            |index, input, made| {
                show(
                    probe,
                    range.start + index,
                    shape,
                    forward[index].attention.heads,
                    input,
                    made,
                );
            },
        );
        let output = saved.last().map_or(&*input, |last| &last.output);
        let result = device.try_tensor_from_vec(output.to_vec(), shape)?;
        if T::OWNS_TAPE {
            let (result, layers, weights) = (result.clone(), layers.to_vec(), weights.clone());
            tape.add_backward_op(move |gradients| {
                let derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                let adjoint = weights.layers(&layers, Direction::Adjoint, fold);
                let adjoint: Vec<_> = adjoint[range.clone()].iter().map(|l| l.adjoint()).collect();
                let layers = &layers[range];
                let mut found = Vec::new();
                for layer in layers {
                    found.push(exchange(gradients, layer, empty(layer))?);
                }
                let derivative = Buffer::copy_of(&derivative);
                let derivative = fused::layers::backward(
                    &input, tokens, &adjoint, &saved, derivative, &mut found,
                );
                for (layer, found) in layers.iter().zip(found) {
                    let own = exchange(gradients, layer, found)?;
                    add_tied(gradients, layer, &own)?;
                }
                add(gradients, &z, &derivative)
            });
        }
        Ok(result.put_tape(tape))
    }
}

/// Hands the probe what it wants of a layer.
fn show(
    probe: &mut impl Probe<f32>,
    layer: usize,
    (b, n, d): (usize, usize, usize),
    heads: usize,
    input: &[f32],
    made: &fused::layers::Saved,
) {
    for (site, values) in [
        (Site::LayerInput, input),
        (Site::NormalisedInput, &made.attention.normalised),
        (Site::AfterMssa, &made.after_attention),
        (Site::NormalisedAfterMssa, made.normalised_after_attention()),
        (Site::AfterIsta, &made.output),
    ] {
        if probe.wants(site, layer) {
            probe.observe(site, layer, &[b, n, d], values.to_vec());
        }
    }
    if probe.wants(Site::Projection, layer) {
        // Of separate queries, keys and values, the values.
        let inner = made.attention.read.len() / (b * n);
        let columns = made.attention.projection.len() / (b * n);
        let rows = made.attention.projection.chunks_exact(columns);
        let values = rows.flat_map(|row| &row[columns - inner..]).copied();
        probe.observe(Site::Projection, layer, &[b, n, inner], values.collect());
    }
    if let Some(maps) = &made.attention.maps {
        probe.observe(Site::Attention, layer, &[b, heads, n, n], maps.to_vec());
    }
}

/// Puts `held` in place of dfdx's gradients of a layer, and returns those: the kernels add to them
/// without a copy. What is no parameter, a tied output, stays held.
fn exchange(
    gradients: &mut Gradients<f32, Cpu>,
    layer: &Layer<f32, Cpu>,
    mut held: fused::layers::Gradients,
) -> Result<fused::layers::Gradients, CpuError> {
    let attention = &mut held.attention;
    swap_norm(gradients, &layer.norm1, &mut attention.norm)?;
    let output = match &layer.attention {
        Attention::Mssa(mssa) => {
            let held = &mut attention.projection;
            swap(gradients, &mssa.subspace_bases, held)?;
            match &mssa.output {
                Output::Free(output) => Some(output),
                Output::Identity | Output::Tied(_) => None,
            }
        }
        Attention::Mhsa(mhsa) => {
            swap(gradients, &mhsa.projection, &mut attention.projection)?;
            if let Some(bias) = &mhsa.projection_bias {
                let held = attention.projection_bias.get_or_insert_default();
                swap(gradients, bias, held)?;
            }
            mhsa.output.as_ref()
        }
    };
    if let Some(output) = output {
        let (weight, bias) = attention.output.get_or_insert_default();
        swap(gradients, &output.weight, weight)?;
        swap(gradients, &output.bias, bias)?;
    }
    match (&layer.feed_forward, &mut held.feed_forward) {
        (FeedForward::Ista(ista), fused::layers::FeedForward::Ista(held)) => {
            swap_norm(gradients, &layer.norm2, &mut held.norm)?;
            swap(gradients, &ista.dictionary, &mut held.dictionary)?;
        }
        (FeedForward::Mlp(mlp), fused::layers::FeedForward::Mlp(held)) => {
            swap_norm(gradients, &layer.norm2, &mut held.norm)?;
            swap(gradients, &mlp.rise.weight, &mut held.rise)?;
            swap(gradients, &mlp.rise.bias, &mut held.rise_bias)?;
            swap(gradients, &mlp.fall.weight, &mut held.fall)?;
            swap(gradients, &mlp.fall.bias, &mut held.fall_bias)?;
        }
        _ => unreachable!("`empty` makes what fits the layer"),
    }
    Ok(held)
}

/// Adds what the kernels found for a tied output to the gradients of the bases and the scale it is made of.
fn add_tied(
    gradients: &mut Gradients<f32, Cpu>,
    layer: &Layer<f32, Cpu>,
    held: &fused::layers::Gradients,
) -> Result<(), CpuError> {
    let (Attention::Mssa(mssa), Some((found, _))) = (&layer.attention, &held.attention.output)
    else {
        return Ok(());
    };
    if let Output::Tied(scale) = &mssa.output {
        let (_, d) = *mssa.subspace_bases.shape();
        let bases = values(&mssa.subspace_bases);
        let (by_bases, by_scale) = tied::adjoint(found, &bases, scale.array(), d);
        add(gradients, &mssa.subspace_bases, &by_bases)?;
        add(gradients, scale, &[by_scale])?;
    }
    Ok(())
}

/// Gradients without numbers, to be exchanged for dfdx's; of a tied output, for which dfdx has none, zeros.
fn empty(layer: &Layer<f32, Cpu>) -> fused::layers::Gradients {
    let output = match &layer.attention {
        Attention::Mssa(Mssa {
            output: Output::Tied(_),
            subspace_bases,
            ..
        }) => {
            let (inner, d) = *subspace_bases.shape();
            Some((vec![0.0; inner * d], vec![0.0; d]))
        }
        _ => None,
    };
    fused::layers::Gradients {
        attention: attention::Gradients {
            output,
            ..attention::Gradients::default()
        },
        feed_forward: match layer.feed_forward {
            FeedForward::Ista(_) => fused::layers::FeedForward::Ista(ista::Gradients::default()),
            FeedForward::Mlp(_) => fused::layers::FeedForward::Mlp(mlp::Gradients::default()),
        },
    }
}

/// The same for the embedding.
fn exchange_embedding(
    gradients: &mut Gradients<f32, Cpu>,
    embedding: &Embedding<f32, Cpu>,
    mut held: fused::embedding::Gradients,
) -> Result<fused::embedding::Gradients, CpuError> {
    if let Some(norm) = &embedding.patch_norm {
        swap_norm(gradients, norm, &mut held.patch_norm)?;
    }
    swap(gradients, &embedding.linear.weight, &mut held.weight)?;
    swap(gradients, &embedding.linear.bias, &mut held.bias)?;
    if let Some(norm) = &embedding.norm {
        swap_norm(gradients, norm, &mut held.norm)?;
    }
    swap(gradients, &embedding.class_token, &mut held.class_token)?;
    swap(gradients, &embedding.position, &mut held.position)?;
    Ok(held)
}

fn swap_norm(
    gradients: &mut Gradients<f32, Cpu>,
    norm: &LayerNorm<f32, Cpu>,
    held: &mut layer_norm::Gradients,
) -> Result<(), CpuError> {
    swap(gradients, &norm.gain, &mut held.gain)?;
    swap(gradients, &norm.bias, &mut held.bias)
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
