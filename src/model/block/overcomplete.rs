//! Sparsification with more atoms than features: two ISTA steps from zero, and a dictionary to come back by.

use dfdx::prelude::*;

use super::attention::Place;
use super::kernel::{Around, Copied, Kernel, Order};
use super::Form;
use crate::error::Result;
use crate::fused::product::{Matrix as Numbers, Panels};
use crate::fused::{overcomplete, rowwise, stack};
use crate::model::linear::project;
use crate::model::names::{Part, StepNames};
use crate::model::ordered::{values, Direction, Norm};
use crate::model::parameters::{visit, Init, Visitor};
use crate::model::probe::Probe;
use crate::model::tape::swap;
use crate::model::tensor::{constant, Matrix, Tokens};
use crate::model::Real;

/// CRATE-alpha's overcomplete block (arXiv 2405.20299; official `models/crate.py` and
/// `torch_inference/model/crate_alpha.py`):
///
/// `a1 = ReLU(eta D^T x - eta lambda)`, `a2 = ReLU(a1 - eta D^T (D a1 - x) - eta lambda)`, and the block makes `D1 a2`:
/// two ISTA steps from zero towards the non-negative sparse code of `x` in `D`, read with `D1`. Coupled, `D1` is `D`. The
/// official network has two dictionaries, `h = 4 d`, and a skip around the block, which is the step's.
///
/// Of a [`Form::sparsifier`] it has none: that is one step from `x` in a (d, d) dictionary, whose code is what leaves
/// the block. Here the code `a2` stays inside.
#[derive(Debug, Clone)]
pub struct Overcomplete<E: Dtype, D: Device<E>> {
    /// `D`, shape (d, h).
    pub dictionary: Matrix<E, D>,
    /// `D1`, shape (d, h), of a decoupled block.
    pub output: Option<Matrix<E, D>>,
    /// What fixes the block beside them.
    pub plan: Plan,
}

/// What fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// `h`, the number of atoms.
    pub hidden: usize,
    /// `eta`.
    pub step_size: f64,
    /// `lambda`.
    pub lambda: f64,
    /// Whether codes are read with a dictionary of their own.
    pub decoupled: bool,
}

impl Plan {
    pub(super) fn parameters(&self, d: u128) -> u128 {
        let dictionaries = if self.decoupled { 2 } else { 1 };
        dictionaries * d * self.hidden as u128
    }

    /// `D^T y`, `D` of the first code, `D^T` of what is left, and the synthesis.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        4 * n * d * self.hidden as u128
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Overcomplete<E, D>, D::Err> {
        let dictionary = || device.try_zeros_like(&(d, self.hidden));
        Ok(Overcomplete {
            dictionary: dictionary()?,
            output: self.decoupled.then(dictionary).transpose()?,
            plan: *self,
        })
    }
}

impl<E: Real, D: Device<E>> Form<E, D> for Overcomplete<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        _place: Place,
        _probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (b, n, d) = *x.shape();
        let step_size = constant::<E>(self.plan.step_size);
        let threshold = constant::<E>(self.plan.step_size * self.plan.lambda);
        let x = x.try_reshape_like(&(b * n, d))?;
        // Rows are tokens, so D^T x is x D, and D a is a D^T.
        let first = x
            .retaped::<T>()
            .try_matmul(self.dictionary.retaped::<T>())?
            .try_mul(step_size)?
            .try_sub(threshold)?
            .try_relu()?;
        let transposed = self
            .dictionary
            .retaped::<T>()
            .try_permute::<(usize, usize), Axes2<1, 0>>()?;
        let residual = x.try_sub(first.retaped::<T>().try_matmul(transposed)?)?;
        let second = residual
            .try_matmul(self.dictionary.retaped::<T>())?
            .try_mul(step_size)?
            .try_add(first)?
            .try_sub(threshold)?
            .try_relu()?
            .try_reshape_like(&(b, n, self.plan.hidden))?;
        project(second, self.output.as_ref().unwrap_or(&self.dictionary))
    }

    /// First values as `models/crate.py` draws them, the code that trains: flax counts `d` inputs in a (d, h) tensor.
    /// PyTorch counts `h`, so that for `h = 4 d` the entries of `torch_inference` begin half as large.
    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (d, hidden) = *self.dictionary.shape();
        let (shape, first) = ([d, hidden], Init::KaimingUniform { fan_in: d });
        let name = names.of(Part::OvercompleteDictionary);
        visit(visitor, name, &shape, first, &mut self.dictionary)?;
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        visit(visitor, names.of(Part::CodeOutput), &shape, first, output)
    }
}

impl Overcomplete<f32, Cpu> {
    /// Its kernel, beside any skip or none.
    pub(super) fn kernel(&self, _skip: Option<f64>) -> Option<&dyn Kernel> {
        Some(self)
    }
}

/// The parameters in order.
#[derive(Debug)]
struct Copy {
    norm: Norm,
    /// `D` and `D^T`.
    dictionary: [Panels<'static>; 2],
    /// Of a decoupled block.
    output: Option<Panels<'static>>,
    direction: Direction,
    plan: Plan,
    skip: Option<f64>,
}

impl Copied for Copy {
    fn block(&self) -> stack::Block<'_> {
        let [dictionary, transposed] = &self.dictionary;
        let coupled = match self.direction {
            Direction::Forward => transposed,
            Direction::Adjoint => dictionary,
        };
        stack::Block::Rowwise(Box::new(overcomplete::Weights {
            norm: self.norm.weights(),
            dictionary: [dictionary, transposed],
            output: self.output.as_ref().unwrap_or(coupled),
            step_size: self.plan.step_size as f32,
            threshold: (self.plan.step_size * self.plan.lambda) as f32,
            skip: self.skip.map(|weight| weight as f32),
        }))
    }
}

impl Kernel for Overcomplete<f32, Cpu> {
    fn copy(
        &self,
        around: Around<'_>,
        Order { direction, .. }: Order,
        _forward: Option<&dyn Copied>,
    ) -> Box<dyn Copied> {
        let (d, hidden) = *self.dictionary.shape();
        let dictionary = values(&self.dictionary);
        let matrix = Numbers::new(&dictionary, d, hidden);
        let output = self.output.as_ref();
        Box::new(Copy {
            norm: Norm::copy(around.norm),
            dictionary: [matrix, matrix.t()].map(Panels::of),
            output: output.map(|output| direction.panels(&values(output), d)),
            direction,
            plan: self.plan,
            skip: around.skip,
        })
    }

    fn take(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
    ) -> std::result::Result<stack::Gradients, CpuError> {
        let mut weights = Vec::new();
        for tensor in std::iter::once(&self.dictionary).chain(&self.output) {
            let mut held = Vec::new();
            swap(gradients, tensor, &mut held)?;
            weights.push(held);
        }
        Ok(stack::Gradients::Rowwise(rowwise::Gradients {
            weights,
            ..Default::default()
        }))
    }

    fn give(
        &self,
        _around: Around<'_>,
        gradients: &mut Gradients<f32, Cpu>,
        held: stack::Gradients,
    ) -> std::result::Result<(), CpuError> {
        let tensors = std::iter::once(&self.dictionary).chain(&self.output);
        for (tensor, mut held) in tensors.zip(held.weights()) {
            swap(gradients, tensor, &mut held)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::exact::ista;
    use crate::model::doubles::widened;
    use crate::model::names::Dialect;
    use crate::model::parameters::{Collect, Initialise};
    use crate::model::probe::NoProbe;

    const PLACE: Place = Place { layer: 0, step: 0 };
    const D: usize = 5;
    const COUPLED: Plan = Plan {
        hidden: 12,
        step_size: 0.1,
        lambda: 0.1,
        decoupled: false,
    };
    const DECOUPLED: Plan = Plan {
        decoupled: true,
        ..COUPLED
    };

    fn names() -> StepNames {
        StepNames::of_step(Dialect::Crate, 2, 1)
    }

    fn block(plan: Plan) -> Overcomplete<f64, Cpu> {
        let mut block = plan.blank(&Cpu::default(), D).unwrap();
        block.visit(&names(), &mut Initialise { seed: 4 }).unwrap();
        block
    }

    fn tokens() -> Tokens<f64, Cpu> {
        let values = (0..2 * 4 * D).map(|i| (0.9 * i as f64).sin()).collect();
        Cpu::default().tensor_from_vec(values, (2, 4, D))
    }

    #[test]
    fn its_parameters_have_the_official_names_and_shapes() {
        for (plan, wanted) in [(COUPLED, vec![".D"]), (DECOUPLED, vec![".D", ".D1"])] {
            let mut found = Collect::default();
            block(plan).visit(&names(), &mut found).unwrap();
            assert_eq!(plan.parameters(5), 60 * wanted.len() as u128);
            assert_eq!(found.0.len(), wanted.len());
            for (found, name) in found.0.iter().zip(wanted) {
                let parameter = &found.parameter;
                assert_eq!(parameter.name, format!("transformer.layers.2.1.fn{name}"));
                assert_eq!(parameter.shape, [D, 12]);
                let largest = found.values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let most = (6.0 / D as f64).sqrt();
                assert!((0.8 * most..=most).contains(&largest), "{largest}");
            }
        }
    }

    #[test]
    fn it_is_two_exact_steps_from_zero() {
        for plan in [COUPLED, DECOUPLED] {
            let block = block(plan);
            let dictionary = widened(&block.dictionary).unwrap();
            let output = block.output.as_ref().unwrap_or(&block.dictionary);
            let output = widened(output).unwrap();
            let made = block.try_forward(tokens(), PLACE, &mut NoProbe).unwrap();
            let (made, given) = (made.as_vec(), tokens().as_vec());
            for (made, given) in made.chunks(4 * D).zip(given.chunks(4 * D)) {
                let z = Array2::from_shape_vec((4, D), given.to_vec()).unwrap();
                let exact = ista::overcomplete(
                    z.t(),
                    dictionary.view(),
                    output.view(),
                    plan.step_size,
                    plan.lambda,
                );
                assert!(exact.iter().any(|v| v.abs() > 1e-2));
                for (a, b) in made.iter().zip(exact.t().iter()) {
                    assert!((a - b).abs() < 1e-13, "{a} is not {b}");
                }
            }
        }
    }

    /// By central differences of step `h`: their error is of order `h^2`, and rounding adds `1e-16 / h`. No code is so
    /// near its threshold that the step takes it across.
    #[test]
    fn its_gradient_is_that_of_finite_differences() {
        let h = 1e-5;
        let weight = |i: usize| (0.3 * i as f64).cos();
        for plan in [COUPLED, DECOUPLED] {
            let value = |block: &Overcomplete<f64, Cpu>, x: Tokens<f64, Cpu>| {
                let made = block.try_forward(x, PLACE, &mut NoProbe).unwrap();
                let made = made.as_vec().into_iter().enumerate();
                made.map(|(i, v)| v * weight(i)).sum::<f64>()
            };
            let (block, x) = (block(plan), tokens());
            let weights = (0..2 * 4 * D).map(weight).collect();
            let weights = Cpu::default().tensor_from_vec(weights, (2, 4, D));
            let made = block.try_forward(x.leaky_trace(), PLACE, &mut NoProbe);
            let gradients = (made.unwrap() * weights).sum().backward();
            let check = |found: Vec<f64>, moved: &dyn Fn(usize, f64) -> f64| {
                for (index, found) in found.into_iter().enumerate() {
                    let expected = (moved(index, h) - moved(index, -h)) / (2.0 * h);
                    assert!((found - expected).abs() < 1e-8, "{index}");
                }
            };
            let shifted = |values: Vec<f64>, index: usize, by: f64| {
                let mut values = values;
                values[index] += by;
                values
            };
            check(gradients.get(&x).as_vec(), &|index, by| {
                let mut other = x.clone();
                other.copy_from(&shifted(x.as_vec(), index, by));
                value(&block, other)
            });
            check(gradients.get(&block.dictionary).as_vec(), &|index, by| {
                let mut other = block.clone();
                let values = shifted(block.dictionary.as_vec(), index, by);
                other.dictionary.copy_from(&values);
                value(&other, x.clone())
            });
            let Some(output) = &block.output else {
                continue;
            };
            check(gradients.get(output).as_vec(), &|index, by| {
                let mut other = block.clone();
                let values = shifted(output.as_vec(), index, by);
                other.output.as_mut().unwrap().copy_from(&values);
                value(&other, x.clone())
            });
        }
    }
}
