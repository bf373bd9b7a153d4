//! A transformer's perceptron.

use dfdx::prelude::*;

use super::attention::{give_linear, take_linear, Place};
use super::kernel::{Around, Copied, Kernel, Order};
use super::Form;
use crate::error::Result;
use crate::fused::{mlp, rowwise, stack};
use crate::model::linear::Linear;
use crate::model::names::{visit_linear, Part, StepNames};
use crate::model::ordered::{Affine, Norm};
use crate::model::parameters::Visitor;
use crate::model::probe::Probe;
use crate::model::tensor::{constant, Tokens};
use crate::model::Real;

/// A transformer's perceptron, `GELU(x A^T + a) B^T + b` with `GELU(h) = h Φ(h)`.
#[derive(Debug, Clone)]
pub struct Mlp<E: Dtype, D: Device<E>> {
    /// `A` and `a`, up to the hidden width.
    pub rise: Linear<E, D>,
    /// `B` and `b`, and down again.
    pub fall: Linear<E, D>,
}

/// What fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Hidden width.
    pub hidden: usize,
}

impl Plan {
    pub(super) fn parameters(&self, d: u128) -> u128 {
        let hidden = self.hidden as u128;
        2 * d * hidden + hidden + d
    }

    /// Up and down.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        2 * n * d * self.hidden as u128
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Mlp<E, D>, D::Err> {
        Ok(Mlp {
            rise: Linear::blank(device, d, self.hidden)?,
            fall: Linear::blank(device, self.hidden, d)?,
        })
    }
}

impl<E: Real, D: Device<E>> Form<E, D> for Mlp<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        _place: Place,
        _probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        self.fall.try_forward(gelu(self.rise.try_forward(x)?)?)
    }

    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        visit_linear(visitor, names, Part::Rise, &mut self.rise)?;
        visit_linear(visitor, names, Part::Fall, &mut self.fall)
    }
}

/// `h Φ(h)`. The derivative that dfdx 0.13 has for it, `Φ(h) + h e^{-h²/2} / sqrt(π)`, is wrong: the
/// density has `sqrt(2 π)`. So a term is added that is zero and whose derivative is what is missing:
/// `c e^{-h²/2}` less its own value, `c = (1 - 1/sqrt(2)) / sqrt(π)`.
fn gelu<E: Real, D: Device<E>, T: Tape<E, D>>(
    h: Tokens<E, D, T>,
) -> std::result::Result<Tokens<E, D, T>, D::Err> {
    let c = (1.0 - std::f64::consts::FRAC_1_SQRT_2) / std::f64::consts::PI.sqrt();
    let bell = h
        .retaped::<T>()
        .try_square()?
        .try_mul(constant::<E>(-0.5))?
        .try_exp()?
        .try_mul(constant::<E>(c))?;
    let value = h
        .device()
        .try_tensor_from_vec(bell.as_vec(), *bell.shape())?;
    h.try_accurate_gelu()?.try_add(bell.try_sub(value)?)
}

impl Mlp<f32, Cpu> {
    /// Its kernel, which adds the block's input itself.
    pub(super) fn kernel(&self, skip: Option<f64>) -> Option<&dyn Kernel> {
        (skip? == 1.0).then_some(self as &dyn Kernel)
    }
}

/// The parameters in order.
#[derive(Debug)]
struct Copy {
    norm: Norm,
    rise: Affine,
    fall: Affine,
}

impl Copied for Copy {
    fn block(&self) -> stack::Block<'_> {
        stack::Block::Rowwise(Box::new(mlp::Weights {
            norm: self.norm.weights(),
            rise: &self.rise.matrix,
            rise_bias: &self.rise.bias,
            fall: &self.fall.matrix,
            fall_bias: &self.fall.bias,
        }))
    }
}

impl Kernel for Mlp<f32, Cpu> {
    fn copy(
        &self,
        around: Around<'_>,
        Order { direction, .. }: Order,
        _forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied> {
        Box::new(Copy {
            norm: Norm::copy(around.norm),
            rise: Affine::copy(&self.rise, direction),
            fall: Affine::copy(&self.fall, direction),
        })
    }

    fn take(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> std::result::Result<stack::Gradients, CpuError> {
        let (rise, rise_bias) = take_linear(gradients, &self.rise)?;
        let (fall, fall_bias) = take_linear(gradients, &self.fall)?;
        Ok(stack::Gradients::Rowwise(rowwise::Gradients {
            weights: vec![rise, rise_bias, fall, fall_bias],
            ..Default::default()
        }))
    }

    fn give(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> std::result::Result<(), CpuError> {
        let Ok([rise, rise_bias, fall, fall_bias]) = <[_; 4]>::try_from(held.weights()) else {
            unreachable!("`take` gives four");
        };
        give_linear(gradients, &self.rise, &mut (rise, rise_bias))?;
        give_linear(gradients, &self.fall, &mut (fall, fall_bias))
    }
}
