//! What a transformer has in place of the sparsification block: `Z' = Y + GELU(X A^T + a) B^T + b`,
//! `X = LN(Y)`, with `GELU(h) = h Φ(h)` and `Φ` the normal distribution function.
//!
//! # Adjoint
//! With `G = dZ'` and `V = X A^T + a`: `db = sum_tokens G`, `dB = G^T GELU(V)`,
//! `dV = (G B) ∘ (Φ(V) + V φ(V))`, `da = sum_tokens dV`, `dA = dV^T X`, `dX = dV A`, and
//! `dY = G + LN'(dX)`.

use super::buffer::Buffer;
use super::lanes::{add_bias, exponential};
use super::layer_norm::{self, Weights as Norm};
use super::product::gradient::Sum;
use super::product::{product, Matrix, MatrixMut, Panels};
use super::rows::sum_groups;
use super::rowwise::{Derivatives, Rows, Rowwise, Saved};
use crate::vectorised::vectorised;

/// Parameters of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `A^T`, (d, hidden); for the adjoint `A`.
    pub rise: &'a Panels<'static>,
    /// `a`, (hidden,).
    pub rise_bias: &'a [f32],
    /// `B^T`, (hidden, d); for the adjoint `B`.
    pub fall: &'a Panels<'static>,
    /// `b`, (d,).
    pub fall_bias: &'a [f32],
}

/// The parameters: `A` (hidden, d), `a`, `B` (d, hidden), `b`. Kept for the adjoint: `V` and `GELU(V)`; derived: `dV`.
impl Rowwise for Weights<'_> {
    fn width(&self) -> usize {
        self.fall_bias.len()
    }

    fn kept_widths(&self) -> [usize; 2] {
        [self.rise_bias.len(); 2]
    }

    fn derived_width(&self) -> usize {
        self.rise_bias.len()
    }

    fn bias_widths(&self) -> [usize; 2] {
        [self.fall_bias.len(), self.rise_bias.len()]
    }

    fn forward(&self, y: &[f32], x: &mut [f32], kept: [&mut [f32]; 2], z: &mut [f32]) {
        forward(y, self, x, kept, z);
    }

    fn backward(
        &self,
        rows: Rows<'_>,
        dz: &mut [f32],
        dy: &mut [f32],
        derived: &mut [f32],
        sums: [&mut [f32]; 3],
    ) {
        backward([rows.input, rows.kept[0]], self, dz, [dy, derived], sums);
    }

    fn sums<'a>(
        &self,
        saved: &'a Saved,
        derivatives: &'a Derivatives,
        gradients: &'a mut [Vec<f32>],
        _folded: &'a mut [f32],
        products: &mut Vec<Sum<'a>>,
    ) {
        let [rise, rise_bias, fall, fall_bias] = gradients else {
            panic!("a perceptron has four parameters");
        };
        let (d, width) = (self.width(), self.rise_bias.len());
        let rows = saved.normalised.len() / d;
        let [of_fall, of_rise] = &derivatives.biases;
        of_fall.add_to(&mut [fall_bias]);
        of_rise.add_to(&mut [rise_bias]);
        let g = Matrix::new(&derivatives.output, rows, d);
        let active = Matrix::new(&saved.kept[1], rows, width);
        products.push(Sum {
            gradient: fall,
            terms: vec![(g, Panels::in_place(active), 1.0)],
        });
        let dv = Matrix::new(&derivatives.derived, rows, width);
        let x = Matrix::new(&saved.normalised, rows, d);
        products.push(Sum {
            gradient: rise,
            terms: vec![(dv, Panels::in_place(x), 1.0)],
        });
    }
}

/// `Z'` of some rows, with what the backward pass reads: `X`, `V` in `hidden` and `GELU(V)` in `active`.
///
/// # Shapes
/// y, x and z (rows, d); hidden and active (rows, hidden).
pub fn forward(
    y: &[f32],
    weights: &Weights<'_>,
    x: &mut [f32],
    [hidden, active]: [&mut [f32]; 2],
    z: &mut [f32],
) {
    let (d, width) = (weights.fall_bias.len(), weights.rise_bias.len());
    let rows = y.len() / d;
    layer_norm::forward(y, weights.norm, x);
    for row in hidden.chunks_exact_mut(width) {
        row.copy_from_slice(weights.rise_bias);
    }
    let result = MatrixMut::new(hidden, rows, width);
    product(result, Matrix::new(x, rows, d), weights.rise, 1.0, true);
    gelu(active, hidden);
    add_bias(z, y, weights.fall_bias);
    let h = Matrix::new(active, rows, width);
    product(MatrixMut::new(z, rows, d), h, weights.fall, 1.0, true);
}

/// `dY` of some rows from `dZ'`, and `dhidden`, which is `dV`. `sums` receives those of the
/// LayerNorm, see [`layer_norm::backward`]; `fall_sums` and `rise_sums` those of the biases.
///
/// # Shapes
/// y, dz and dy (rows, d); hidden and dhidden (rows, hidden); sums (groups, 2 d), fall_sums (groups, d), rise_sums
/// (groups, hidden).
///
/// # Panics
/// If a slice is shorter, or the weights do not fit each other.
pub fn backward(
    [y, hidden]: [&[f32]; 2],
    adjoint: &Weights<'_>,
    dz: &[f32],
    [dy, dhidden]: [&mut [f32]; 2],
    [sums, fall_sums, rise_sums]: [&mut [f32]; 3],
) {
    let (d, width) = (adjoint.fall_bias.len(), adjoint.rise_bias.len());
    let rows = y.len() / d;
    sum_groups(dz, d, fall_sums);
    let g = Matrix::new(dz, rows, d);
    let result = MatrixMut::new(dhidden, rows, width);
    product(result, g, adjoint.fall, 1.0, false);
    gelu_adjoint(dhidden, hidden);
    sum_groups(dhidden, width, rise_sums);
    let mut dx = Buffer::unfilled(y.len());
    let dv = Matrix::new(dhidden, rows, width);
    product(
        MatrixMut::new(&mut dx, rows, d),
        dv,
        adjoint.rise,
        1.0,
        false,
    );
    dy.copy_from_slice(dz);
    layer_norm::backward(y, adjoint.norm, &dx, dy, true, sums);
}

/// `Φ(x)` and `e^{-x²/2}`; the former with an error below 6e-7: half of the 1.5e-7 of Abramowitz and
/// Stegun's 7.1.26 for `erf`, and 8.5 units of rounding (2^-24), 5.4 of them from Horner's scheme at
/// `t = 1`, 1.5 from `t`, 1 from the exponential.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let bell = exponential(-0.5 * x * x);
    let t = 1.0
        / x.abs()
            .mul_add(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2, 1.0);
    let mut tail: f32 = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_73, 0.254_829_6] {
        tail = tail.mul_add(t, coefficient);
    }
    let tail = 0.5 * tail * t * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

vectorised! {
    /// `active <- GELU(hidden) = hidden Φ(hidden)`, both of one length.
    pub fn gelu(active: &mut [f32], hidden: &[f32]) {
        for (active, &h) in active.iter_mut().zip(hidden) {
            *active = h * normal(h).0;
        }
    }
}

vectorised! {
    /// `d <- d ∘ GELU'(hidden)`, both of one length.
    pub fn gelu_adjoint(d: &mut [f32], hidden: &[f32]) {
        const FACTOR: f32 = 0.398_942_3;
        for (d, &h) in d.iter_mut().zip(hidden) {
            let (distribution, bell) = normal(h);
            *d *= (h * bell).mul_add(FACTOR, distribution);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Φ` by the series of `erf` where it cancels little, and 0 or 1 where that is right to 1e-8.
    fn exact(x: f64) -> f64 {
        let u = x / std::f64::consts::SQRT_2;
        if u.abs() > 4.0 {
            return if x < 0.0 { 0.0 } else { 1.0 };
        }
        let (mut term, mut sum) = (u, u);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -u * u / n;
            sum += term / (2.0 * n + 1.0);
        }
        0.5 + sum / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn the_normal_distribution_is_accurate_to_single_precision() {
        for index in -9000..9000 {
            let x = index as f32 * 1e-3;
            let error = (f64::from(normal(x).0) - exact(f64::from(x))).abs();
            assert!(error < 6e-7, "Φ({x}): error {error}");
        }
        assert!(normal(f32::NAN).0.is_nan());
    }

    #[test]
    fn the_adjoint_of_gelu_is_its_derivative() {
        for index in -40..40 {
            let x = f64::from(index) * 0.1;
            let gelu = |x: f64| x * exact(x);
            let expected = (gelu(x + 1e-4) - gelu(x - 1e-4)) / 2e-4;
            let mut found = [1.0f32];
            gelu_adjoint(&mut found, &[x as f32]);
            assert!((f64::from(found[0]) - expected).abs() < 1e-6, "{x}");
        }
    }
}
