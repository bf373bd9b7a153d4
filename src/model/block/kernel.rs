//! What a block says of its kernel: its parameters in the kernel's order, and its gradients in dfdx's.

use dfdx::prelude::*;

use crate::fused::buffer::Buffer;
use crate::fused::{rowwise, stack};
use crate::model::norm::LayerNorm;
use crate::model::ordered::Direction;
use crate::model::tape::swap;
use crate::model::tensor::Matrix;

/// What stands around a block in a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Around<'a> {
    /// The LayerNorm before it.
    pub(in crate::model) norm: &'a LayerNorm<f32, Cpu>,
    /// What weighs the block beside the skip around it, if there is one.
    pub(in crate::model) skip: Option<f64>,
}

impl Around<'_> {
    /// The weight, where a kernel adds the input itself.
    pub(super) fn weight(&self) -> f32 {
        self.skip.unwrap_or(1.0) as f32
    }
}

/// For what the parameters are copied.
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Order {
    /// A pass forward, or its adjoint.
    pub(in crate::model) direction: Direction,
    /// Whether there are tokens enough for the folded form of ISTA to pay.
    pub(in crate::model) fold: bool,
}

/// A block that has a kernel for the CPU.
pub(in crate::model) trait Kernel: Sync {
    /// The parameters in order. `forward` is what was copied for passes forward, if it was.
    fn copy(
        &self,
        around: Around<'_>,
        order: Order,
        forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied>;

    /// Takes dfdx's gradients of the parameters, for the kernel to add to; that of the LayerNorm is left alone.
    ///
    /// # Errors
    /// The device's own.
    fn take(
        &self,
        around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> Result<stack::Gradients, CpuError>;

    /// Gives them back.
    ///
    /// # Errors
    /// The device's own.
    fn give(
        &self,
        around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> Result<(), CpuError>;
}

/// [`Kernel::take`] of a block that has one matrix.
pub(super) fn take_matrix(
    gradients: &mut Gradients<f32, Cpu>,
    matrix: &Matrix<f32, Cpu>,
) -> Result<stack::Gradients, CpuError> {
    let mut held = Vec::new();
    swap(gradients, matrix, &mut held)?;
    Ok(stack::Gradients::Rowwise(rowwise::Gradients {
        weights: vec![held],
        ..Default::default()
    }))
}

/// [`Kernel::give`] of a block that has one matrix.
pub(super) fn give_matrix(
    gradients: &mut Gradients<f32, Cpu>,
    matrix: &Matrix<f32, Cpu>,
    held: stack::Gradients,
) -> Result<(), CpuError> {
    let mut held = held.weights();
    let [held] = held.as_mut_slice() else {
        unreachable!("`take_matrix` gives one");
    };
    swap(gradients, matrix, held)
}

/// A block's parameters in the kernel's order.
pub(in crate::model) trait Copied: std::fmt::Debug + Send + Sync {
    /// As the kernel reads them.
    fn block(&self) -> stack::Block<'_>;

    /// `B = I + eta (D - D^T D)` of an ISTA block in the folded form, for the adjoint not to make it again.
    fn folded(&self) -> Option<&Buffer> {
        None
    }
}
