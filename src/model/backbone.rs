//! The layers of a network, by the fastest way the device has: on the CPU in f32 the kernels of
//! [`crate::fused`] as one operation on dfdx's tape, elsewhere the operations of
//! [`super::layers`]. The only file that hooks a kernel into the tape.

use dfdx::prelude::*;

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

/// A dfdx device that can run a stack of CRATE layers.
pub trait Backbone<E: Real>: Device<E> {
    /// All layers in order.
    ///
    /// # Shapes
    /// z (b, n, d) to the same.
    ///
    /// # Errors
    /// The device's own.
    fn try_layers<T: Tape<E, Self>>(
        layers: &[CrateLayer<E, Self>],
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
    fn try_layers<T: Tape<f32, Self>>(
        layers: &[CrateLayer<f32, Self>],
        z: Tokens<f32, Self, T>,
        probe: &mut impl Probe<f32>,
    ) -> Result<Tokens<f32, Self, T>, CpuError> {
        let shape = *z.shape();
        let (_, tokens, _) = shape;
        let (z, mut tape) = z.try_contiguous()?.split_tape();
        let device = z.device().clone();
        let mut inputs = vec![values(&z)];
        let mut saved = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let buffers = Buffers::copy(layer);
            let input = &inputs[inputs.len() - 1];
            let mut maps = probe.wants(Site::Attention, index).then(Vec::new);
            let (output, made) =
                fused::layer::forward(input, tokens, &buffers.weights(), maps.as_mut());
            show(
                probe,
                index,
                shape,
                layer.mssa.heads,
                input,
                &made,
                &output,
                maps,
            );
            if T::OWNS_TAPE {
                inputs.push(output);
                saved.push((buffers, made));
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
                for (index, (buffers, made)) in saved.iter().enumerate().rev() {
                    let weights = buffers.weights();
                    let found = fused::layer::backward(
                        &inputs[index],
                        &inputs[index + 1],
                        tokens,
                        &weights,
                        made,
                        &mut derivative,
                    );
                    collect(gradients, &layers[index], &found)?;
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

/// A layer's parameters as the kernels read them.
struct Buffers {
    norms: [[Vec<f32>; 2]; 2],
    bases: Vec<f32>,
    output: Option<(Vec<f32>, Vec<f32>)>,
    heads: usize,
    dictionary: Vec<f32>,
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
            step_size: layer.ista.step_size,
            lambda: layer.ista.lambda,
        }
    }

    fn weights(&self) -> fused::layer::Weights<'_> {
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
                step_size: self.step_size as f32,
                threshold: (self.step_size * self.lambda) as f32,
            },
        }
    }
}

/// Hands the probe what it wants of a layer.
#[allow(clippy::too_many_arguments)]
fn show(
    probe: &mut impl Probe<f32>,
    layer: usize,
    (b, n, d): (usize, usize, usize),
    heads: usize,
    input: &[f32],
    made: &fused::layer::Saved,
    output: &[f32],
    maps: Option<Vec<f32>>,
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
    if let Some(maps) = maps {
        probe.observe(Site::Attention, layer, &[b, heads, n, n], maps);
    }
}

/// Adds a layer's derivatives to dfdx's gradients.
fn collect(
    gradients: &mut Gradients<f32, Cpu>,
    layer: &CrateLayer<f32, Cpu>,
    found: &fused::layer::Gradients,
) -> Result<(), CpuError> {
    let (mssa, ista) = (&found.mssa, &found.ista);
    add(gradients, &layer.norm1.gain, &mssa.norm.gain)?;
    add(gradients, &layer.norm1.bias, &mssa.norm.bias)?;
    add(gradients, &layer.mssa.subspace_bases, &mssa.bases)?;
    if let (Some(output), Some((weight, bias))) = (&layer.mssa.output, &mssa.output) {
        add(gradients, &output.weight, weight)?;
        add(gradients, &output.bias, bias)?;
    }
    add(gradients, &layer.norm2.gain, &ista.norm.gain)?;
    add(gradients, &layer.norm2.bias, &ista.norm.bias)?;
    add(gradients, &layer.ista.dictionary, &ista.dictionary)
}

fn add<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    tensor: &Tensor<S, f32, Cpu>,
    derivative: &[f32],
) -> Result<(), CpuError> {
    fused::lanes::add_to(gradients.get_or_alloc_mut(tensor)?, derivative);
    Ok(())
}
