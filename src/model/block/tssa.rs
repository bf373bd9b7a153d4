//! Compression by second moments: token statistics self-attention.

use dfdx::prelude::*;
use ndarray::Array3;

use super::attention::{output_blocks, Place};
use super::kernel::Kernel;
use super::Form;
use crate::error::Result;
use crate::exact::coding_rate::bases_from_projection;
use crate::model::doubles::widened;
use crate::model::linear::{project, Linear};
use crate::model::names::{visit_linear, Part, StepNames};
use crate::model::parameters::{visit, Init, Visitor};
use crate::model::probe::{Probe, Site};
use crate::model::tensor::{constant, observe, Matrix, Tokens, Vector};
use crate::model::Real;

/// Token statistics self-attention in the form of ToST's code (arXiv 2412.17810; `tost_vision/tost.py`), whose cost is
/// linear in the tokens:
///
/// `H_k = -(W_k diag(1 / (1 + m_k))) ∘ pi_k`, `W_k = Z U_k`, `m_k` the mean of `W_k^{o2}` over the tokens by the weights
/// `pi_k`, and `pi = softmax_k(temp_k ||w||^2)` over the heads, `w` the features scaled to length 1 over the tokens; then
/// `concat_k(H_k) out^T + bias`. [`crate::exact::tssa`] has what it is derived to be.
///
/// There is no kernel: a network with this block runs composed.
#[derive(Debug, Clone)]
pub struct Tssa<E: Dtype, D: Device<E>> {
    /// `[U_1, ..., U_K]^T`, shape (k p, d).
    pub subspace_bases: Matrix<E, D>,
    /// `temp`, shape (k,).
    pub temperatures: Vector<E, D>,
    /// Back to a token.
    pub output: Linear<E, D>,
}

/// What fixes the block apart from its parameters and the width of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// `K`.
    pub heads: usize,
    /// `p`.
    pub head_width: usize,
}

impl Plan {
    fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    pub(super) fn parameters(&self, d: u128) -> u128 {
        let inner = self.inner() as u128;
        2 * inner * d + d + self.heads as u128
    }

    /// Projection and the way back; what is between them is linear in numbers and not counted.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        2 * n * self.inner() as u128 * d
    }

    pub(super) fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Tssa<E, D>, D::Err> {
        Ok(Tssa {
            subspace_bases: device.try_zeros_like(&(self.inner(), d))?,
            temperatures: device.try_zeros_like(&(self.heads,))?,
            output: Linear::blank(device, self.inner(), d)?,
        })
    }
}

/// Smallest square of a feature's length over the tokens that it is divided by, and what is added to a sum of weights, in
/// ToST's code.
const SMALLEST_SQUARE: f64 = 1e-24;
const BESIDE_WEIGHTS: f64 = 1e-8;

impl<E: Real, D: Device<E>> Form<E, D> for Tssa<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        place: Place,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (b, n, _) = *x.shape();
        let (heads,) = *self.temperatures.shape();
        let (inner, _) = *self.subspace_bases.shape();
        let p = inner / heads;
        let projected = project(x, &self.subspace_bases)?;
        observe(probe, Site::Projection(place.step), place.layer, &projected);
        let w = projected
            .try_reshape_like(&(b, n, heads, p))?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?;
        let (all, shares) = ((b, heads, n, p), (b, heads, n));
        let squares = w.retaped::<T>().try_square()?;
        let lengths = squares
            .retaped::<T>()
            .try_sum::<(usize, usize, usize), Axis<2>>()?
            .try_clamp(SMALLEST_SQUARE, f64::from(f32::MAX))?;
        let temperatures = self.temperatures.clone();
        let memberships = squares
            .retaped::<T>()
            .try_div(lengths.try_broadcast_like::<_, Axis<2>>(&all)?)?
            .try_sum::<(usize, usize, usize), Axis<3>>()?
            .try_mul(temperatures.try_broadcast_like::<_, Axes2<0, 2>>(&shares)?)?
            .try_softmax::<Axis<1>>()?;
        let total = memberships
            .retaped::<T>()
            .try_sum::<(usize, usize), Axis<2>>()?
            .try_add(constant::<E>(BESIDE_WEIGHTS))?;
        let weights = memberships
            .retaped::<T>()
            .try_div(total.try_broadcast_like::<_, Axis<2>>(&shares)?)?;
        let kept = squares
            .try_mul(weights.try_broadcast_like::<_, Axis<3>>(&all)?)?
            .try_sum::<(usize, usize, usize), Axis<2>>()?
            .try_add(constant::<E>(1.0))?
            .try_recip()?;
        let read = w
            .try_mul(memberships.try_broadcast_like::<_, Axis<3>>(&all)?)?
            .try_mul(kept.try_broadcast_like::<_, Axis<2>>(&all)?)?
            .try_negate()?
            .try_permute::<(usize, usize, usize, usize), Axes4<0, 2, 1, 3>>()?
            .try_reshape_like(&(b, n, inner))?;
        self.output.try_forward(read)
    }

    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (rows, fan_in) = *self.subspace_bases.shape();
        let (heads,) = *self.temperatures.shape();
        let [weight, _] = names.linear(fan_in, rows);
        let name = names.weight(Part::Projection);
        let bases = &mut self.subspace_bases;
        visit(visitor, name, &[rows, fan_in], weight, bases)?;
        let name = names.of(Part::Temperatures);
        let temperatures = &mut self.temperatures;
        visit(visitor, name, &[heads, 1], Init::One, temperatures)?;
        visit_linear(visitor, names, Part::Output, &mut self.output)
    }

    fn heads(&self) -> Option<usize> {
        let (heads,) = *self.temperatures.shape();
        Some(heads)
    }

    fn bases(&self) -> Result<Option<Array3<f64>>> {
        let (heads,) = *self.temperatures.shape();
        let projection = widened(&self.subspace_bases)?;
        bases_from_projection(projection.view(), heads).map(Some)
    }

    fn output_blocks(&self) -> Result<Option<Array3<f64>>> {
        let (heads,) = *self.temperatures.shape();
        output_blocks(&self.output, heads).map(Some)
    }
}

impl Tssa<f32, Cpu> {
    /// None.
    pub(super) fn kernel(&self, _skip: Option<f64>) -> Option<&dyn Kernel> {
        None
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::exact::tssa::{code_memberships, tssa_code};
    use crate::model::names::Dialect;
    use crate::model::parameters::Initialise;
    use crate::model::probe::NoProbe;

    /// Puts numbers in the place of a parameter.
    type Change<'a> = &'a dyn Fn(&mut Tssa<f64, Cpu>, &[f64]);

    const PLACE: Place = Place { layer: 0, step: 0 };

    fn block() -> Tssa<f64, Cpu> {
        let plan = Plan {
            heads: 3,
            head_width: 2,
        };
        let mut block = plan.blank(&Cpu::default(), 5).unwrap();
        let names = StepNames::of_step(Dialect::Crate, 0, 0);
        block.visit(&names, &mut Initialise { seed: 4 }).unwrap();
        block.temperatures.copy_from(&[0.5, 1.0, 2.0]);
        block
    }

    fn tokens() -> Tokens<f64, Cpu> {
        let values = (0..2 * 4 * 5).map(|i| (0.9 * f64::from(i)).sin()).collect();
        Cpu::default().tensor_from_vec(values, (2, 4, 5))
    }

    #[test]
    fn with_the_bases_for_an_output_it_is_the_operator_of_the_code() {
        let mut block = block();
        let bases = block.bases().unwrap().unwrap();
        let stacked = widened(&block.subspace_bases).unwrap();
        let transposed: Vec<f64> = stacked.t().iter().copied().collect();
        block.output.weight.copy_from(&transposed);
        block.output.bias.copy_from(&[0.0; 5]);
        let made = block.try_forward(tokens(), PLACE, &mut NoProbe).unwrap();
        let temperatures = Array1::from_vec(block.temperatures.as_vec());
        let (made, given) = (made.as_vec(), tokens().as_vec());
        for (made, given) in made.chunks(20).zip(given.chunks(20)) {
            let z = Array2::from_shape_vec((4, 5), given.to_vec()).unwrap();
            let memberships = code_memberships(z.t(), bases.view(), temperatures.view());
            let exact = tssa_code(z.t(), bases.view(), memberships.view());
            for (a, b) in made.iter().zip(exact.t().iter()) {
                assert!((a - b).abs() < 1e-13, "{a} is not {b}");
            }
        }
    }

    /// By central differences of step `h`: their error is of order `h^2`, and rounding adds `1e-16 / h`.
    #[test]
    fn its_gradient_is_that_of_finite_differences() {
        let h = 1e-5;
        let value = |block: &Tssa<f64, Cpu>| {
            let made = block.try_forward(tokens(), PLACE, &mut NoProbe).unwrap();
            let weighed = made.as_vec().into_iter().enumerate();
            weighed
                .map(|(i, v)| v * (0.3 * i as f64).cos())
                .sum::<f64>()
        };
        let block = block();
        let weights = (0..40).map(|i| (0.3 * f64::from(i)).cos()).collect();
        let weights = Cpu::default().tensor_from_vec(weights, (2, 4, 5));
        let made = block.try_forward(tokens().leaky_trace(), PLACE, &mut NoProbe);
        let gradients = (made.unwrap() * weights).sum().backward();
        let check = |found: Vec<f64>, change: Change<'_>, now: Vec<f64>| {
            for index in 0..now.len() {
                let moved = |by: f64| {
                    let (mut other, mut values) = (block.clone(), now.clone());
                    values[index] += by;
                    change(&mut other, &values);
                    value(&other)
                };
                let expected = (moved(h) - moved(-h)) / (2.0 * h);
                assert!((found[index] - expected).abs() < 1e-8, "{index}");
            }
        };
        let bases = &block.subspace_bases;
        check(
            gradients.get(bases).as_vec(),
            &|block, values| block.subspace_bases.copy_from(values),
            bases.as_vec(),
        );
        check(
            gradients.get(&block.temperatures).as_vec(),
            &|block, values| block.temperatures.copy_from(values),
            block.temperatures.as_vec(),
        );
    }
}
