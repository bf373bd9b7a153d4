//! A network's parameters in the order in which the kernels read them: copied out of dfdx's tensors once for
//! all passes between two changes, one copy for passes forward and one for the adjoint.

use std::sync::{Arc, OnceLock};

use dfdx::prelude::*;
use rayon::prelude::*;

use super::block::kernel::{Copied, Order};
use super::block::{Layer, Step};
use super::embedding::Embedding;
use super::norm::LayerNorm;
use super::ordered::{values, Affine, Direction, Norm};
use crate::fused::buffer::Buffer;
use crate::fused::embedding;

/// What was made so far. Whoever changes a parameter has to start from [`KernelWeights::default`] again.
#[derive(Debug, Clone, Default)]
pub struct KernelWeights(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    /// Forward, then for the adjoint.
    embedding: [Cell<EmbeddingWeights>; 2],
    /// Forward and for the adjoint, with the residual's form of ISTA; then folded.
    layers: [[Cell<Vec<LayerWeights>>; 2]; 2],
}

/// The blocks of a layer, in order.
type LayerWeights = Vec<Box<dyn Copied>>;

type Cell<T> = OnceLock<Arc<T>>;

/// What the cell holds, or what `make` makes. That may share itself out, and a thread that waits for a cell while it
/// could take up work that wants the same cell would wait for itself: hence outside, where there are other threads.
fn get<T>(cell: &Cell<T>, make: impl FnOnce() -> T) -> Arc<T> {
    if let Some(made) = cell.get() {
        return made.clone();
    }
    if rayon::current_num_threads() == 1 {
        return cell.get_or_init(|| Arc::new(make())).clone();
    }
    let made = Arc::new(make());
    cell.get_or_init(|| made).clone()
}

impl KernelWeights {
    pub(super) fn embedding(
        &self,
        embedding: &Embedding<f32, Cpu>,
        direction: Direction,
    ) -> Arc<EmbeddingWeights> {
        let cell = &self.0.embedding[direction as usize];
        get(cell, || EmbeddingWeights::copy(embedding, direction))
    }

    /// Those of `layers`, the whole network's; `fold`: with the folded form of ISTA. None if a block has no kernel.
    pub(super) fn layers(
        &self,
        layers: &[Layer<f32, Cpu>],
        direction: Direction,
        fold: bool,
    ) -> Option<Arc<Vec<LayerWeights>>> {
        let mut steps = layers.iter().flat_map(|layer| &layer.steps);
        if !steps.all(|step| step.kernel().is_some()) {
            return None;
        }
        let cells = &self.0.layers[usize::from(fold)];
        let order = Order { direction, fold };
        Some(get(&cells[direction as usize], || {
            let forward = cells[Direction::Forward as usize].get();
            let one = |(index, layer): (usize, &Layer<f32, Cpu>)| -> LayerWeights {
                let forward: Option<&LayerWeights> = forward.map(|layers| &layers[index]);
                let copy = |(step, own): (usize, &Step<f32, Cpu>)| {
                    let forward = forward.map(|blocks| &*blocks[step]);
                    let (kernel, around) = own.kernel()?;
                    Some(kernel.copy(around, order, forward))
                };
                layer.steps.iter().enumerate().filter_map(copy).collect()
            };
            layers
                .par_iter()
                .enumerate()
                .with_max_len(1)
                .map(one)
                .collect()
        }))
    }
}

/// The embedding's parameters.
#[derive(Debug)]
pub(super) struct EmbeddingWeights {
    norms: [Option<Norm>; 2],
    linear: Affine,
    class_token: Buffer,
    position: Buffer,
}

impl EmbeddingWeights {
    fn copy(embedding: &Embedding<f32, Cpu>, direction: Direction) -> Self {
        let norm = |n: &Option<LayerNorm<f32, Cpu>>| n.as_ref().map(Norm::copy);
        Self {
            norms: [norm(&embedding.patch_norm), norm(&embedding.norm)],
            linear: Affine::copy(&embedding.linear, direction),
            class_token: values(&embedding.class_token),
            position: values(&embedding.position),
        }
    }

    pub(super) fn weights(&self) -> embedding::Weights<'_> {
        let norm = |index: usize| self.norms[index].as_ref().map(Norm::weights);
        embedding::Weights {
            patch_norm: norm(0),
            weight: &self.linear.matrix,
            bias: &self.linear.bias,
            norm: norm(1),
            class_token: &self.class_token,
            position: &self.position,
        }
    }
}
