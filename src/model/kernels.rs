//! What a device runs by kernels of its own where it has some: an embedding, a stack's layers, a LayerNorm. On the CPU
//! in f32 those are the kernels of [`crate::fused`], each one operation on dfdx's tape, elsewhere the operations of
//! [`super::embedding`] and [`super::block`]. The only file that hooks a kernel into the tape.

use std::ops::Range;

use dfdx::prelude::*;

use super::block::{Layer, Place, Step};
use super::embedding::Embedding;
use super::kernel_weights::KernelWeights;
use super::norm::LayerNorm;
use super::ordered::{values, Direction, Norm};
use super::probe::{Probe, Site};
use super::tape::{add, swap, swap_norm};
use super::tensor::Tokens;
use super::Real;
use crate::error::Error;
use crate::fused::buffer::Buffer;
use crate::fused::{self, layer_norm, stack};

/// Which implementation of its layers a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// The device's own kernels where it has some, else [`Execution::Composed`].
    #[default]
    Fastest,
    /// dfdx operations, one after the other: the oracle for the kernels.
    Composed,
}

/// See [`Kernels::reader`].
pub type Reader<E> = Box<dyn FnOnce() -> Vec<E> + Send>;

fn copied<E: Real, D: Device<E>, S: Shape>(tensor: &Tensor<S, E, D>) -> Vec<E> {
    let mut values = vec![E::default(); tensor.shape().num_elements()];
    tensor.copy_into(&mut values);
    values
}

/// A dfdx device, and how it runs what networks are made of.
pub trait Kernels<E: Real>: Device<E> {
    /// Patches (b, n - 1, patch width), of which some may be masked (see [`Embedding::try_forward`]), to tokens
    /// (b, n, d). The patches are data: nobody needs to be able to ask for their gradient.
    ///
    /// # Errors
    /// The device's own.
    fn try_embed<T: Tape<E, Self>>(
        embedding: &Embedding<E, Self>,
        patches: Tokens<E, Self, T>,
        masked: &[bool],
    ) -> Result<Tokens<E, Self, T>, Self::Err> {
        embedding.try_forward(patches, masked)
    }

    /// LayerNorm of every token, (b, n, d) to the same.
    ///
    /// # Errors
    /// The device's own.
    fn try_normalise<T: Tape<E, Self>>(
        norm: &LayerNorm<E, Self>,
        z: Tokens<E, Self, T>,
    ) -> Result<Tokens<E, Self, T>, Self::Err> {
        norm.try_forward(z)
    }

    /// The layers of `range`, in order; `layers` are those of the whole stack, `weights` what was made of them.
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

impl Kernels<f64> for Cpu {}

#[cfg(feature = "cuda")]
impl Kernels<f32> for Cuda {}

impl Kernels<f32> for Cpu {
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
        patches: Tokens<f32, Self, T>,
        masked: &[bool],
    ) -> Result<Tokens<f32, Self, T>, CpuError> {
        let (b, _, _) = *patches.shape();
        let (n, d) = *embedding.position.shape();
        let (patches, mut tape) = patches.try_contiguous()?.split_tape();
        let input = values(&patches);
        let forward = embedding.ordered(Direction::Forward);
        let (z, saved) = fused::embedding::forward(&input, masked, &forward.weights());
        let result = patches
            .device()
            .try_tensor_from_vec(z.to_vec(), (b, n, d))?;
        if T::OWNS_TAPE {
            let (result, embedding) = (result.clone(), embedding.clone());
            let masked = masked.to_vec();
            tape.add_backward_op(move |gradients| {
                let derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                let mut found = exchange_embedding(gradients, &embedding, Default::default())?;
                let adjoint = embedding.ordered(Direction::Adjoint);
                let adjoint = adjoint.weights();
                fused::embedding::backward(
                    &input,
                    &masked,
                    &adjoint,
                    &saved,
                    &derivative,
                    &mut found,
                );
                exchange_embedding(gradients, &embedding, found)?;
                Ok(())
            });
        }
        Ok(result.put_tape(tape))
    }

    fn try_normalise<T: Tape<f32, Self>>(
        norm: &LayerNorm<f32, Self>,
        z: Tokens<f32, Self, T>,
    ) -> Result<Tokens<f32, Self, T>, CpuError> {
        let shape = *z.shape();
        let (z, mut tape) = z.try_contiguous()?.split_tape();
        let (input, weights) = (values(&z), Norm::copy(norm));
        let mut made = vec![0.0; input.len()];
        layer_norm::forward_all(&input, weights.weights(), &mut made);
        let result = z.device().try_tensor_from_vec(made, shape)?;
        if T::OWNS_TAPE {
            let (result, norm) = (result.clone(), norm.clone());
            tape.add_backward_op(move |gradients| {
                let derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                let mut found = layer_norm::Gradients::default();
                swap_norm(gradients, &norm, &mut found)?;
                let dz =
                    layer_norm::backward_all(&input, weights.weights(), &derivative, &mut found);
                swap_norm(gradients, &norm, &mut found)?;
                add(gradients, &z, &dz)
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
        let Some(forward) = weights.layers(layers, Direction::Forward, fold) else {
            return composed_layers(layers, range, z, probe);
        };
        let (z, mut tape) = z.try_contiguous()?.split_tape();
        let device = z.device().clone();
        // Layer and step of every block.
        let places: Vec<Place> = range
            .clone()
            .flat_map(|layer| {
                let steps = 0..layers[layer].steps.len();
                steps.map(move |step| Place { layer, step })
            })
            .collect();
        let input = values(&z);
        let forward: Vec<_> = forward[range.clone()]
            .iter()
            .flatten()
            .map(|b| b.block())
            .collect();
        let maps: Vec<bool> = places
            .iter()
            .map(|place| probe.wants(Site::Attention(place.step), place.layer))
            .collect();
        let saved = stack::forward(
            &input,
            tokens,
            &forward,
            T::OWNS_TAPE,
            |index| maps[index],
            |index, input, made| show(probe, places[index], shape, input, made),
        );
        let output = saved.last().map_or(&*input, |last| &last.output);
        let result = device.try_tensor_from_vec(output.to_vec(), shape)?;
        if T::OWNS_TAPE {
            let (result, layers, weights) = (result.clone(), layers.to_vec(), weights.clone());
            tape.add_backward_op(move |gradients| {
                let derivative = std::mem::take(&mut **gradients.get_or_alloc_mut(&result)?);
                let steps = layers[range.clone()].iter().flat_map(|layer| &layer.steps);
                let kernels: Vec<_> = steps.filter_map(Step::kernel).collect();
                let adjoint = weights.layers(&layers, Direction::Adjoint, fold);
                let adjoint = adjoint.iter().flat_map(|layers| &layers[range.clone()]);
                let adjoint: Vec<_> = adjoint.flatten().map(|b| b.block()).collect();
                let mut found = Vec::new();
                for (kernel, around) in &kernels {
                    let mut held = kernel.take(*around, gradients)?;
                    swap_norm(gradients, around.norm, held.norm_mut())?;
                    found.push(held);
                }
                let derivative = Buffer::copy_of(&derivative);
                let derivative =
                    stack::backward(&input, tokens, &adjoint, &saved, derivative, &mut found);
                for ((kernel, around), mut found) in kernels.iter().zip(found) {
                    swap_norm(gradients, around.norm, found.norm_mut())?;
                    kernel.give(*around, gradients, found)?;
                }
                add(gradients, &z, &derivative)
            });
        }
        Ok(result.put_tape(tape))
    }
}

/// Hands the probe what it wants of a step.
fn show(
    probe: &mut impl Probe<f32>,
    Place { layer, step }: Place,
    (b, n, d): (usize, usize, usize),
    input: &[f32],
    made: &stack::Saved,
) {
    let first = (step == 0).then_some((Site::LayerInput, input));
    for (site, values) in first.into_iter().chain([
        (Site::Normalised(step), made.normalised()),
        (Site::After(step), &*made.output),
    ]) {
        if probe.wants(site, layer) {
            probe.observe(site, layer, &[b, n, d], values.to_vec());
        }
    }
    let Some(attention) = made.attention() else {
        return;
    };
    // Of separate queries, keys and values, side by side in this order, the values are the last and the keys before them.
    let inner = attention.read.len() / (b * n);
    let columns = attention.projection.len() / (b * n);
    let sites = [
        (Site::Projection(step), columns - inner),
        (Site::Keys(step), columns.saturating_sub(2 * inner)),
    ];
    for (site, first) in sites {
        if probe.wants(site, layer) {
            let rows = attention.projection.chunks_exact(columns);
            let own = rows.flat_map(|row| &row[first..first + inner]).copied();
            probe.observe(site, layer, &[b, n, inner], own.collect());
        }
    }
    if let Some(maps) = &attention.maps {
        let heads = maps.len() / (b * n * n);
        probe.observe(
            Site::Attention(step),
            layer,
            &[b, heads, n, n],
            maps.to_vec(),
        );
    }
}

/// Puts `held` in place of dfdx's gradients of the embedding, and returns those: the kernels add to them without a copy.
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
    if let Some(token) = &embedding.mask_token {
        swap(gradients, token, &mut held.mask_token)?;
    }
    if embedding.learns_position {
        swap(gradients, &embedding.position, &mut held.position)?;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Mask;
    use crate::model::block::{dictionary, ista, mhsa, mlp, mssa, overcomplete, Plan, StepPlan};
    use crate::model::names::{Dialect, StepNames};
    use crate::model::parameters::{Initialise, Parameter, Visitor};
    use crate::model::probe::NoProbe;

    const D: usize = 12;

    fn mssa(output: mssa::OutputKind, skip: f64) -> StepPlan {
        masked(output, skip, Mask::None)
    }

    fn masked(output: mssa::OutputKind, skip: f64, mask: Mask) -> StepPlan {
        let (heads, head_width) = (3, 5);
        let block = Plan::Mssa(mssa::Plan {
            heads,
            head_width,
            output,
            mask,
        });
        step(block, Some(skip))
    }

    fn step(block: Plan, skip: Option<f64>) -> StepPlan {
        StepPlan {
            epsilon: 1e-5,
            block,
            skip,
        }
    }

    fn ista() -> StepPlan {
        let block = Plan::Ista(ista::Plan {
            step_size: 0.1,
            lambda: 0.1,
            orthogonal: false,
        });
        step(block, None)
    }

    fn overcomplete(hidden: usize, decoupled: bool, skip: Option<f64>) -> StepPlan {
        let block = Plan::Overcomplete(overcomplete::Plan {
            hidden,
            step_size: 0.1,
            lambda: 0.1,
            decoupled,
        });
        step(block, skip)
    }

    fn mlp() -> StepPlan {
        step(Plan::Mlp(mlp::Plan { hidden: 20 }), Some(1.0))
    }

    fn mhsa(mask: Mask) -> StepPlan {
        let block = Plan::Mhsa(mhsa::Plan {
            heads: 2,
            head_width: 4,
            projection_bias: true,
            output: true,
            mask,
        });
        step(block, Some(1.0))
    }

    fn layers(plan: &[StepPlan], count: usize) -> Vec<Layer<f32, Cpu>> {
        let layer = |layer| {
            let mut own = Layer::blank(&Cpu::default(), D, plan).unwrap();
            let names = |step| StepNames::of_step(Dialect::Crate, layer, step);
            own.visit(names, &mut Initialise { seed: 3 }).unwrap();
            own
        };
        (0..count).map(layer).collect()
    }

    /// The gradient of every parameter, with its name.
    struct Found<'a> {
        gradients: &'a Gradients<f32, Cpu>,
        found: Vec<(String, Vec<f32>)>,
    }

    impl Visitor<f32, Cpu> for Found<'_> {
        fn visit<S: Shape>(
            &mut self,
            parameter: &Parameter,
            tensor: &mut Tensor<S, f32, Cpu>,
        ) -> crate::Result<()> {
            let gradient = self.gradients.get(tensor).as_vec();
            self.found.push((parameter.name.clone(), gradient));
            Ok(())
        }
    }

    /// Output, and the derivatives of its product with fixed numbers by input and parameters.
    fn run(layers: &[Layer<f32, Cpu>], composed: bool, tokens: usize) -> Vec<(String, Vec<f32>)> {
        let device = Cpu::default();
        let shape = (2, tokens, D);
        let wave = |rate: f32| -> Vec<f32> {
            let count = 2 * tokens * D;
            (0..count).map(|i| (rate * i as f32).sin()).collect()
        };
        let z = device.tensor_from_vec(wave(0.7), shape);
        let range = 0..layers.len();
        let weights = KernelWeights::default();
        let traced = z.leaky_trace();
        let output = match composed {
            true => composed_layers(layers, range, traced, &mut NoProbe),
            false => Cpu::try_layers(layers, range, &weights, traced, &mut NoProbe),
        }
        .unwrap();
        let values = output.as_vec();
        let loss = (output * device.tensor_from_vec(wave(0.3), shape)).sum();
        let gradients = loss.backward();
        let mut visitor = Found {
            gradients: &gradients,
            found: vec![
                ("output".into(), values),
                ("input".into(), gradients.get(&z).as_vec()),
            ],
        };
        for (layer, own) in layers.to_vec().iter_mut().enumerate() {
            let names = |step| StepNames::of_step(Dialect::Crate, layer, step);
            own.visit(names, &mut visitor).unwrap();
        }
        visitor.found
    }

    /// Relative to the largest entry: some thousand roundings lie between a parameter and the output.
    const TOLERANCE: f32 = 1024.0 * f32::EPSILON;

    #[test]
    fn any_sequence_of_steps_runs_by_kernels_as_it_does_composed() {
        use mssa::OutputKind::{Free, Tied};
        for (name, plan, count) in [
            ("CRATE", vec![mssa(Free, 1.0), ista()], 2),
            ("a transformer", vec![mhsa(Mask::None), mlp()], 2),
            ("attention alone", vec![mssa(Free, 0.3)], 3),
            ("a decoder", vec![ista(), mssa(Free, -1.0)], 2),
            ("a tied decoder", vec![ista(), mssa(Tied, -1.0)], 2),
            (
                "CRATE-MAE's decoder",
                vec![
                    step(Plan::Dictionary(dictionary::Plan), None),
                    mssa(Free, -1.0),
                ],
                3,
            ),
            (
                "causal CRATE",
                vec![masked(Free, 1.0, Mask::Causal), ista()],
                2,
            ),
            ("GPT", vec![mhsa(Mask::Causal), mlp()], 2),
            (
                "CRATE-alpha",
                vec![mssa(Free, 1.0), overcomplete(4 * D, true, Some(1.0))],
                2,
            ),
            (
                "CRATE-alpha without skip",
                vec![mssa(Free, 1.0), overcomplete(20, true, None)],
                2,
            ),
            (
                "CRATE-alpha, coupled",
                vec![mssa(Free, 1.0), overcomplete(4 * D, false, None)],
                2,
            ),
            (
                "overcomplete blocks alone",
                vec![
                    overcomplete(20, false, Some(1.0)),
                    overcomplete(20, true, Some(-0.5)),
                ],
                2,
            ),
            ("no attention", vec![ista(), mlp()], 2),
            (
                "all in one",
                vec![
                    mlp(),
                    ista(),
                    mhsa(Mask::None),
                    mssa(Tied, 0.5),
                    mlp(),
                    mlp(),
                ],
                1,
            ),
        ] {
            let layers = layers(&plan, count);
            // Few tokens: the residual's form of ISTA; many: the folded one.
            for tokens in [3, 70] {
                let (ours, oracle) = (run(&layers, false, tokens), run(&layers, true, tokens));
                assert_eq!(ours.len(), oracle.len());
                for ((of, a), (_, b)) in ours.iter().zip(&oracle) {
                    let largest = b.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
                    assert!(b.iter().any(|v| *v != 0.0), "{name}: {of} is zero");
                    for (a, b) in a.iter().zip(b) {
                        let error = (a - b).abs() / largest;
                        assert!(error <= TOLERANCE, "{name}, {tokens} tokens: {of} {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn under_a_causal_mask_what_comes_later_changes_nothing() {
        use mssa::OutputKind::Free;
        let causal = |plan: &[StepPlan]| {
            let layers = layers(plan, 2);
            let device = Cpu::default();
            let weights = KernelWeights::default();
            let after = |last: f32| {
                let count = 70 * D;
                let mut values: Vec<f32> = (0..count).map(|i| (0.7 * i as f32).sin()).collect();
                values[count - D] = last;
                let z = device.tensor_from_vec(values, (1, 70, D));
                let made = Cpu::try_layers(&layers, 0..2, &weights, z, &mut NoProbe);
                made.unwrap().as_vec()[..69 * D].to_vec()
            };
            after(0.0) == after(5.0)
        };
        assert!(causal(&[masked(Free, 1.0, Mask::Causal), ista()]));
        assert!(causal(&[mhsa(Mask::Causal), mlp()]));
        assert!(!causal(&[masked(Free, 1.0, Mask::None), ista()]));
        assert!(!causal(&[mhsa(Mask::None), mlp()]));
    }

    #[test]
    fn a_step_that_has_no_kernel_runs_composed() {
        let skipped = StepPlan {
            skip: Some(1.0),
            ..ista()
        };
        let layers = layers(&[mssa(mssa::OutputKind::Free, 1.0), skipped], 2);
        assert!(layers[0].steps[1].kernel().is_none());
        assert_eq!(run(&layers, false, 3), run(&layers, true, 3));
    }
}
