//! What can be trained: parameters with names on a device, whatever they are the parameters of.

use dfdx::prelude::Device;

use super::parameters::{Collect, Restore, Values, Visitor};
use super::runtime::Runtime;
use super::{Classifier, Real};
use crate::error::Result;

/// Parameters with names, in a fixed order, and what else a training has to keep beside them.
pub trait Network<E: Real, D: Device<E>>: Clone {
    /// The device that holds the parameters.
    fn device(&self) -> &D;

    /// Takes every parameter in turn: those that an optimiser moves, a checkpoint holds and an average follows.
    ///
    /// # Errors
    /// The visitor's own.
    fn visit_parameters(&mut self, visitor: &mut impl Visitor<E, D>) -> Result<()>;

    /// All parameters, in the order of [`Network::visit_parameters`].
    fn parameters(&self) -> Vec<Values<E>> {
        let mut collect = Collect(Vec::new());
        // Tensors are shared, so the clone is cheap, and collecting cannot fail.
        let _ = self.clone().visit_parameters(&mut collect);
        collect.0
    }

    /// Overwrites all parameters.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if `values` come from a network of other sizes.
    fn set_parameters(&mut self, values: &[Values<E>]) -> Result<()> {
        self.visit_parameters(&mut Restore(values.iter()))
    }

    /// Numbers beside the parameters that change in the course of a training, by name: a teacher that follows the
    /// parameters, the centre of its outputs. No optimiser moves them; an interrupted training takes them up again.
    fn buffers(&self) -> Vec<(String, Vec<E>)> {
        Vec::new()
    }

    /// Overwrites what [`Network::buffers`] gives: as many numbers each, in the same order.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if memory runs out.
    fn set_buffers(&mut self, _buffers: Vec<Vec<E>>) -> Result<()> {
        Ok(())
    }
}

impl<E: Real, D: Runtime<E>> Network<E, D> for Classifier<E, D> {
    fn device(&self) -> &D {
        self.device()
    }

    fn visit_parameters(&mut self, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        self.visit_parameters(visitor)
    }
}
