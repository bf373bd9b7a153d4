//! The parameters of layers in the order in which the kernels read them: copied out of dfdx's tensors once for all
//! passes between two changes, one copy for passes forward and one for the adjoint.

use std::sync::{Arc, OnceLock};

use dfdx::prelude::*;
use rayon::prelude::*;

use super::block::kernel::{Copied, Order};
use super::block::{Layer, Step};
use super::ordered::Direction;

/// What was made so far. Whoever changes a parameter has to start from [`KernelWeights::default`] again.
#[derive(Debug, Clone, Default)]
pub struct KernelWeights(Arc<Cells>);

/// Forward and for the adjoint, with the residual's form of ISTA; then folded. None if a block has no kernel.
type Cells = [[OnceLock<Option<Arc<Vec<LayerWeights>>>>; 2]; 2];

/// The blocks of a layer, in order.
type LayerWeights = Vec<Box<dyn Copied>>;

/// What the cell holds, or what `make` makes. That may share itself out, and a thread that waits for a cell while it
/// could take up work that wants the same cell would wait for itself: hence outside, where there are other threads.
pub(super) fn get<T: Clone>(cell: &OnceLock<T>, make: impl FnOnce() -> T) -> T {
    if let Some(made) = cell.get() {
        return made.clone();
    }
    if rayon::current_num_threads() == 1 {
        return cell.get_or_init(make).clone();
    }
    let made = make();
    cell.get_or_init(|| made).clone()
}

impl KernelWeights {
    /// Those of `layers`, all of a stack; `fold`: with the folded form of ISTA. None if a block has no kernel.
    pub(super) fn layers(
        &self,
        layers: &[Layer<f32, Cpu>],
        direction: Direction,
        fold: bool,
    ) -> Option<Arc<Vec<LayerWeights>>> {
        let cells = &self.0[usize::from(fold)];
        let order = Order { direction, fold };
        get(&cells[direction as usize], || {
            let mut steps = layers.iter().flat_map(|layer| &layer.steps);
            if !steps.all(|step| step.kernel().is_some()) {
                return None;
            }
            let forward = cells[Direction::Forward as usize].get();
            let forward = forward.and_then(Option::as_ref);
            let one = |(index, layer): (usize, &Layer<f32, Cpu>)| -> LayerWeights {
                let forward: Option<&LayerWeights> = forward.map(|layers| &layers[index]);
                let copy = |(step, own): (usize, &Step<f32, Cpu>)| {
                    let forward = forward.map(|blocks| &*blocks[step]);
                    let (kernel, around) = own.kernel()?;
                    Some(kernel.copy(around, order, forward))
                };
                layer.steps.iter().enumerate().filter_map(copy).collect()
            };
            let layers = layers.par_iter().enumerate().with_max_len(1);
            Some(Arc::new(layers.map(one).collect()))
        })
    }
}
