//! Sparsification: one ISTA step.

use dfdx::prelude::*;

use super::attention::Place;
use super::kernel::{give_matrix, take_matrix, Around, Copied, Kernel, Order};
use super::Form;
use crate::error::Result;
use crate::fused::buffer::Buffer;
use crate::fused::product::{Matrix as Numbers, Panels};
use crate::fused::{ista, stack};
use crate::model::doubles::widened;
use crate::model::names::{Part, StepNames};
use crate::model::ordered::{values, Direction, Norm};
use crate::model::parameters::{visit, Init, Visitor};
use crate::model::probe::Probe;
use crate::model::sparsifier::Sparsifier;
use crate::model::tensor::{constant, Matrix, Tokens};
use crate::model::Real;

/// One ISTA step from `x` towards the non-negative sparse code of `x` in the dictionary `D`:
///
/// `ISTA(x) = ReLU(x - eta D^T (D x - x) - eta lambda)` (NeurIPS 2023, eq. 17; official
/// `FeedForward`), with `D` the weight.
#[derive(Debug, Clone)]
pub struct Ista<E: Dtype, D: Device<E>> {
    /// The dictionary `D`, shape (d, d).
    pub dictionary: Matrix<E, D>,
    /// What fixes the block beside it.
    pub plan: Plan,
}

/// What fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// `eta`.
    pub step_size: f64,
    /// `lambda`.
    pub lambda: f64,
    /// Whether the dictionary is kept orthogonal.
    pub orthogonal: bool,
}

impl Plan {
    pub(super) fn parameters(&self, d: u128) -> u128 {
        d * d
    }

    /// As the official code writes it, `D^T x - D^T (D x)`: three products.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        3 * n * d * d
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Ista<E, D>, D::Err> {
        Ok(Ista {
            dictionary: device.try_zeros_like(&(d, d))?,
            plan: *self,
        })
    }
}

impl<E: Real, D: Device<E>> Form<E, D> for Ista<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        _place: Place,
        _probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (b, n, d) = *x.shape();
        let x = x.try_reshape_like(&(b * n, d))?;
        // Rows are tokens, so D x is x D^T, and D^T r is r D.
        let transposed = self
            .dictionary
            .retaped::<T>()
            .try_permute::<(usize, usize), Axes2<1, 0>>()?;
        let residual = x
            .retaped::<T>()
            .try_sub(x.retaped::<T>().try_matmul(transposed)?)?;
        let (x, tape) = x.split_tape();
        residual
            .try_matmul(self.dictionary.retaped::<T>())?
            .try_mul(constant::<E>(self.plan.step_size))?
            .try_add(x.put_tape(tape))?
            .try_sub(constant::<E>(self.plan.step_size * self.plan.lambda))?
            .try_relu()?
            .try_reshape_like(&(b, n, d))
    }

    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (d, fan_in) = *self.dictionary.shape();
        let init = match self.plan.orthogonal {
            true => Init::Orthogonal { fan_in },
            false => Init::KaimingUniform { fan_in },
        };
        let name = names.weight(Part::Dictionary);
        visit(visitor, name, &[d, fan_in], init, &mut self.dictionary)
    }

    fn sparsifier(&self) -> Result<Option<Sparsifier>> {
        let dictionary = widened(&self.dictionary)?;
        Sparsifier::new(dictionary, self.plan.step_size, self.plan.lambda).map(Some)
    }
}

impl Ista<f32, Cpu> {
    /// Its kernel, which has no skip.
    pub(super) fn kernel(&self, skip: Option<f64>) -> Option<&dyn Kernel> {
        skip.is_none().then_some(self as &dyn Kernel)
    }
}

/// The parameters in order.
#[derive(Debug)]
struct Copy {
    norm: Norm,
    form: CopiedForm,
    /// `D`, where the adjoint of the folded form reads it; else empty.
    dictionary: Buffer,
    plan: Plan,
}

#[derive(Debug)]
enum CopiedForm {
    /// In order, and as it is, for the adjoint.
    Folded(Panels<'static>, Buffer),
    Residual([Panels<'static>; 2]),
}

impl Copied for Copy {
    fn block(&self) -> stack::Block<'_> {
        stack::Block::Rowwise(Box::new(ista::Weights {
            norm: self.norm.weights(),
            form: match &self.form {
                CopiedForm::Folded(folded, _) => ista::Form::Folded(folded),
                CopiedForm::Residual([transposed, dictionary]) => {
                    ista::Form::Residual([transposed, dictionary])
                }
            },
            dictionary: &self.dictionary,
            step_size: self.plan.step_size as f32,
            threshold: (self.plan.step_size * self.plan.lambda) as f32,
        }))
    }

    fn folded(&self) -> Option<&Buffer> {
        match &self.form {
            CopiedForm::Folded(_, folded) => Some(folded),
            CopiedForm::Residual(_) => None,
        }
    }
}

impl Kernel for Ista<f32, Cpu> {
    fn copy(
        &self,
        around: Around<'_>,
        Order { direction, fold }: Order,
        forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied> {
        let (d, _) = *self.dictionary.shape();
        let dictionary = values(&self.dictionary);
        let form = if fold {
            let folded = match forward.and_then(Copied::folded) {
                Some(folded) => folded.clone(),
                None => ista::fold(&dictionary, d, self.plan.step_size as f32),
            };
            let matrix = Numbers::new(&folded, d, d);
            let panels = Panels::of(match direction {
                Direction::Forward => matrix,
                Direction::Adjoint => matrix.t(),
            });
            CopiedForm::Folded(panels, folded)
        } else {
            let matrix = Numbers::new(&dictionary, d, d);
            CopiedForm::Residual([Panels::of(matrix.t()), Panels::of(matrix)])
        };
        let read = fold && direction == Direction::Adjoint;
        Box::new(Copy {
            norm: Norm::copy(around.norm),
            form,
            dictionary: if read { dictionary } else { Buffer::default() },
            plan: self.plan,
        })
    }

    fn take(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> std::result::Result<stack::Gradients, CpuError> {
        take_matrix(gradients, &self.dictionary)
    }

    fn give(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> std::result::Result<(), CpuError> {
        give_matrix(gradients, &self.dictionary, held)
    }
}
