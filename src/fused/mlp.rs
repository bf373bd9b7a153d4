//! What a transformer has in place of the sparsification block: `Z' = Y + GELU(X A^T + a) B^T + b`,
//! `X = LN(Y)`, with `GELU(h) = h Φ(h)` and `Φ` the normal distribution function.
//!
//! # Adjoint
//! With `G = dZ'` and `V = X A^T + a`: `db = sum_tokens G`, `dB = G^T GELU(V)`,
//! `dV = (G B) ∘ (Φ(V) + V φ(V))`, `da = sum_tokens dV`, `dA = dV^T X`, `dX = dV A`, and
//! `dY = G + LN'(dX)`.

use rayon::prelude::*;

use super::lanes::exponential;
use super::layer_norm;
use super::layer_norm::Weights as Norm;
use super::product::{shared_product, Matrix};
use crate::vectorised::vectorised;

/// Parameters of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `A`, (hidden, d).
    pub rise: &'a [f32],
    /// `a`, (hidden,).
    pub rise_bias: &'a [f32],
    /// `B`, (d, hidden).
    pub fall: &'a [f32],
    /// `b`, (d,).
    pub fall_bias: &'a [f32],
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// `dA`.
    pub rise: Vec<f32>,
    /// `da`.
    pub rise_bias: Vec<f32>,
    /// `dB`.
    pub fall: Vec<f32>,
    /// `db`.
    pub fall_bias: Vec<f32>,
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `X`, (rows, d).
    pub normalised: Vec<f32>,
    /// `V`, (rows, hidden).
    pub hidden: Vec<f32>,
    /// `GELU(V)`, (rows, hidden).
    pub active: Vec<f32>,
}

/// Numbers per task of an operation without sums.
const TASK: usize = 1 << 13;

/// `Z'` and what led to it.
///
/// # Shapes
/// y (rows, d).
pub fn forward(y: &[f32], weights: &Weights<'_>) -> (Vec<f32>, Saved) {
    let (d, width) = (weights.fall_bias.len(), weights.rise_bias.len());
    let rows = y.len() / d;
    let mut normalised = vec![0.0; y.len()];
    layer_norm::forward(y, weights.norm, &mut normalised);
    let mut hidden = weights.rise_bias.repeat(rows);
    let x = Matrix::new(&normalised, rows, d);
    let rise = Matrix::new(weights.rise, width, d);
    shared_product(&mut hidden, x, rise.t(), 1.0, true);
    let mut active = vec![0.0; hidden.len()];
    active
        .par_chunks_mut(TASK)
        .zip(hidden.par_chunks(TASK))
        .for_each(|(active, hidden)| gelu(active, hidden));
    let mut z = y.to_vec();
    z.par_chunks_mut(d)
        .with_min_len(64)
        .for_each(|row| super::lanes::add_to(row, weights.fall_bias));
    let h = Matrix::new(&active, rows, width);
    let fall = Matrix::new(weights.fall, d, width);
    shared_product(&mut z, h, fall.t(), 1.0, true);
    let saved = Saved {
        normalised,
        hidden,
        active,
    };
    (z, saved)
}

/// Turns `dz` into `dy` in place, and adds to `gradients`.
///
/// # Shapes
/// y and dz (rows, d).
pub fn backward(
    y: &[f32],
    weights: &Weights<'_>,
    saved: &Saved,
    dz: &mut [f32],
    gradients: &mut Gradients,
) {
    let (d, width) = (weights.fall_bias.len(), weights.rise_bias.len());
    let rows = y.len() / d;
    layer_norm::add_sum_over_tokens(&mut gradients.fall_bias, dz);
    let g = Matrix::new(dz, rows, d);
    let h = Matrix::new(&saved.active, rows, width);
    shared_product(&mut gradients.fall, g.t(), h, 1.0, true);
    let mut dhidden = vec![0.0; rows * width];
    let fall = Matrix::new(weights.fall, d, width);
    shared_product(&mut dhidden, g, fall, 1.0, false);
    dhidden
        .par_chunks_mut(TASK)
        .zip(saved.hidden.par_chunks(TASK))
        .for_each(|(dhidden, hidden)| gelu_adjoint(dhidden, hidden));
    layer_norm::add_sum_over_tokens(&mut gradients.rise_bias, &dhidden);
    let dv = Matrix::new(&dhidden, rows, width);
    let x = Matrix::new(&saved.normalised, rows, d);
    shared_product(&mut gradients.rise, dv.t(), x, 1.0, true);
    let mut dx = vec![0.0; y.len()];
    let rise = Matrix::new(weights.rise, width, d);
    shared_product(&mut dx, dv, rise, 1.0, false);
    layer_norm::backward(y, weights.norm, &dx, dz, &mut gradients.norm);
}

/// `Φ(x)` and `e^{-x²/2}`; the former with an error below 6e-7: half of the 1.5e-7 of Abramowitz and
/// Stegun's 7.1.26 for `erf`, and 8.5 units of rounding (2^-24), 5.4 of them from Horner's scheme at
/// `t = 1`, 1.5 from `t`, 1 from the exponential.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let bell = exponential(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let mut tail = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_73, 0.254_829_6] {
        tail = tail * t + coefficient;
    }
    let tail = 0.5 * tail * t * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

vectorised! {
    /// `active <- GELU(hidden)`.
    pub fn gelu(active: &mut [f32], hidden: &[f32]) {
        for (active, &h) in active.iter_mut().zip(hidden) {
            *active = h * normal(h).0;
        }
    }
}

vectorised! {
    /// `d <- d ∘ GELU'(hidden)`.
    pub fn gelu_adjoint(d: &mut [f32], hidden: &[f32]) {
        const FACTOR: f32 = 0.398_942_3;
        for (d, &h) in d.iter_mut().zip(hidden) {
            let (distribution, bell) = normal(h);
            *d *= distribution + h * bell * FACTOR;
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
