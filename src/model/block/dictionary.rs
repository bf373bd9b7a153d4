//! Synthesis: the linear map of a decoder.

use dfdx::prelude::*;

use super::attention::Place;
use super::kernel::{give_matrix, take_matrix, Around, Copied, Kernel, Order};
use super::Form;
use crate::error::Result;
use crate::fused::product::Panels;
use crate::fused::{dictionary, stack};
use crate::model::linear::project;
use crate::model::names::{Part, StepNames};
use crate::model::ordered::{values, Norm};
use crate::model::parameters::{visit, Init, Visitor};
use crate::model::probe::Probe;
use crate::model::tensor::{Matrix, Tokens};
use crate::model::Real;

/// `x A^T`, without bias: what CRATE-MAE's decoder has in place of the transposed dictionary of the derivation (ICLR
/// 2024; official `model/crate_ae/crate_decoder.py`).
#[derive(Debug, Clone)]
pub struct Dictionary<E: Dtype, D: Device<E>> {
    /// `A`, shape (d, d).
    pub matrix: Matrix<E, D>,
}

/// Nothing fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan;

impl Plan {
    pub(super) fn parameters(&self, d: u128) -> u128 {
        d * d
    }

    /// One product.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        n * d * d
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Dictionary<E, D>, D::Err> {
        Ok(Dictionary {
            matrix: device.try_zeros_like(&(d, d))?,
        })
    }
}

impl<E: Real, D: Device<E>> Form<E, D> for Dictionary<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        _place: Place,
        _probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        project(x, &self.matrix)
    }

    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (d, fan_in) = *self.matrix.shape();
        let name = names.weight(Part::Dictionary);
        let first = Init::KaimingUniform { fan_in };
        visit(visitor, name, &[d, fan_in], first, &mut self.matrix)
    }
}

impl Dictionary<f32, Cpu> {
    /// Its kernel, which has no skip.
    pub(super) fn kernel(&self, skip: Option<f64>) -> Option<&dyn Kernel> {
        skip.is_none().then_some(self as &dyn Kernel)
    }
}

/// The parameters in order.
#[derive(Debug)]
struct Copy {
    norm: Norm,
    matrix: Panels<'static>,
}

impl Copied for Copy {
    fn block(&self) -> stack::Block<'_> {
        stack::Block::Rowwise(Box::new(dictionary::Weights {
            norm: self.norm.weights(),
            matrix: &self.matrix,
        }))
    }
}

impl Kernel for Dictionary<f32, Cpu> {
    fn copy(
        &self,
        around: Around<'_>,
        Order { direction, .. }: Order,
        _forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied> {
        let (d, _) = *self.matrix.shape();
        Box::new(Copy {
            norm: Norm::copy(around.norm),
            matrix: direction.panels(&values(&self.matrix), d),
        })
    }

    fn take(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> std::result::Result<stack::Gradients, CpuError> {
        take_matrix(gradients, &self.matrix)
    }

    fn give(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> std::result::Result<(), CpuError> {
        give_matrix(gradients, &self.matrix, held)
    }
}
