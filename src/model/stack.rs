//! Layers in a row, run by the fastest way the device has.

use std::ops::Range;

use dfdx::prelude::*;

use super::block::{Layer, StepPlan};
use super::kernel_weights::KernelWeights;
use super::kernels::{composed_layers, Execution, Kernels};
use super::names::StepNames;
use super::parameters::Visitor;
use super::probe::Probe;
use super::tensor::Tokens;
use super::Real;
use crate::error::Result;

/// Layers of one width, in order.
#[derive(Debug, Clone)]
pub struct Stack<E: Dtype, D: Device<E>> {
    layers: Vec<Layer<E, D>>,
    weights: KernelWeights,
}

impl<E: Real, D: Kernels<E>> Stack<E, D> {
    /// `depth` layers of the same steps, to be filled.
    pub(super) fn blank(
        device: &D,
        d: usize,
        depth: usize,
        plan: &[StepPlan],
    ) -> std::result::Result<Self, D::Err> {
        let layers = (0..depth).map(|_| Layer::blank(device, d, plan));
        Ok(Self {
            layers: layers.collect::<std::result::Result<_, _>>()?,
            weights: KernelWeights::default(),
        })
    }

    /// In order.
    pub fn layers(&self) -> &[Layer<E, D>] {
        &self.layers
    }

    /// Takes every parameter in turn; `names` are those of a layer's step.
    ///
    /// # Errors
    /// The visitor's own.
    pub(super) fn visit(
        &mut self,
        names: impl Fn(usize, usize) -> StepNames,
        visitor: &mut impl Visitor<E, D>,
    ) -> Result<()> {
        // A visitor may change what it visits.
        self.weights = KernelWeights::default();
        let mut layers = self.layers.iter_mut().enumerate();
        layers.try_for_each(|(layer, own)| own.visit(|step| names(layer, step), visitor))
    }

    /// The layers of `range`, in order.
    ///
    /// # Shapes
    /// z (b, n, d) to the same.
    ///
    /// # Errors
    /// The device's own.
    pub(super) fn try_forward<T: Tape<E, D>>(
        &self,
        range: Range<usize>,
        execution: Execution,
        z: Tokens<E, D, T>,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        if range.is_empty() {
            return Ok(z);
        }
        match execution {
            Execution::Fastest => D::try_layers(&self.layers, range, &self.weights, z, probe),
            Execution::Composed => composed_layers(&self.layers, range, z, probe),
        }
    }
}
