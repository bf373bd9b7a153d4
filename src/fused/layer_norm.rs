//! LayerNorm over the features of each token, `x = γ ∘ x̂ + β`, `x̂ = (z - m) s`, with `m` the mean
//! and `s = (variance + ε)^{-1/2}`.
//!
//! Adjoint, with `g = γ ∘ dx` and bars for means over features:
//! `dγ = sum_tokens dx ∘ x̂`, `dβ = sum_tokens dx`, `dz = s (g - ḡ - x̂ (g x̂)‾)`.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::lanes;
use super::rows::{self, blocks_mut, Sums, GROUP};
use crate::vectorised::vectorised;

/// Gain, bias and the constant under the root.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// `γ`, (features,).
    pub gain: &'a [f32],
    /// `β`, (features,).
    pub bias: &'a [f32],
    /// `ε`.
    pub epsilon: f32,
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// `dγ`.
    pub gain: Vec<f32>,
    /// `dβ`.
    pub bias: Vec<f32>,
}

/// Mean and inverse deviation of one token.
#[inline(always)]
fn moments(z: &[f32], epsilon: f32) -> (f32, f32) {
    let inverse = 1.0 / z.len() as f32;
    let mean = lanes::sum(z) * inverse;
    let variance = lanes::squared_distance(z, mean) * inverse;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

vectorised! {
    /// `x = γ ∘ (z - m) s + β` row by row: [`crate::exact::layer::layer_norm`] in f32.
    ///
    /// # Shapes
    /// z and x (rows, features).
    ///
    /// # Panics
    /// If there are no features.
    pub fn forward(z: &[f32], weights: Weights<'_>, x: &mut [f32]) {
        let features = weights.gain.len();
        for (x, z) in x.chunks_exact_mut(features).zip(z.chunks_exact(features)) {
            let (mean, s) = moments(z, weights.epsilon);
            let affine = weights.gain.iter().zip(weights.bias);
            for ((x, z), (gain, bias)) in x.iter_mut().zip(z).zip(affine) {
                *x = ((z - mean) * s).mul_add(*gain, *bias);
            }
        }
    }
}

vectorised! {
    /// The adjoint of [`forward`], of which `z` is the input: adds `dz` to `result` if `accumulate`, else overwrites
    /// it. `sums` receives `dγ` and `dβ` of each group of tokens.
    ///
    /// # Shapes
    /// z, dx and result (rows, features); sums (groups, 2 features), see [`GROUP`].
    ///
    /// # Panics
    /// If there are no features.
    pub fn backward(
        z: &[f32],
        weights: Weights<'_>,
        dx: &[f32],
        result: &mut [f32],
        accumulate: bool,
        sums: &mut [f32]
    ) {
        let features = weights.gain.len();
        let inverse = 1.0 / features as f32;
        sums.fill(0.0);
        let inputs = z.chunks_exact(features).zip(dx.chunks_exact(features));
        for (row, ((z, dx), dz)) in inputs.zip(result.chunks_exact_mut(features)).enumerate() {
            let group = row / GROUP * 2 * features;
            let (dgain, dbias) = sums[group..group + 2 * features].split_at_mut(features);
            let (mean, s) = moments(z, weights.epsilon);
            let mut of_g = [0.0f32; lanes::LANES];
            let mut of_gx = [0.0f32; lanes::LANES];
            let chunk = lanes::LANES;
            for start in (0..features).step_by(chunk) {
                let end = (start + chunk).min(features);
                let inputs = z[start..end].iter().zip(&dx[start..end]).zip(&weights.gain[start..end]);
                let outputs = dgain[start..end].iter_mut().zip(&mut dbias[start..end]);
                let lanes = of_g.iter_mut().zip(&mut of_gx);
                for ((((z, dx), gain), (dgain, dbias)), (sum, product)) in inputs.zip(outputs).zip(lanes) {
                    let x = (z - mean) * s;
                    let g = dx * gain;
                    *dgain = dx.mul_add(x, *dgain);
                    *dbias += dx;
                    *sum += g;
                    *product = g.mul_add(x, *product);
                }
            }
            let mean_g = lanes::total(of_g) * inverse;
            let mean_gx = lanes::total(of_gx) * inverse;
            let inputs = z.iter().zip(dx).zip(weights.gain);
            if accumulate {
                for (dz, ((z, dx), gain)) in dz.iter_mut().zip(inputs) {
                    let x = (z - mean) * s;
                    *dz = s.mul_add(x.mul_add(-mean_gx, dx * gain - mean_g), *dz);
                }
            } else {
                for (dz, ((z, dx), gain)) in dz.iter_mut().zip(inputs) {
                    let x = (z - mean) * s;
                    *dz = s * x.mul_add(-mean_gx, dx * gain - mean_g);
                }
            }
        }
    }
}

/// [`forward`] of all rows, shared out over the threads.
///
/// # Shapes
/// z and x (rows, features).
///
/// # Panics
/// If there are no features.
pub fn forward_all(z: &[f32], weights: Weights<'_>, x: &mut [f32]) {
    let features = weights.gain.len();
    let block = rows::block(z.len() / features) * features;
    let blocks = z.par_chunks(block).zip(x.par_chunks_mut(block));
    blocks.for_each(|(z, x)| forward(z, weights, x));
}

/// [`backward`] of all rows, shared out over the threads: gives `dz`, and adds to `gradients`.
///
/// # Shapes
/// z and dx (rows, features), as what is given.
///
/// # Panics
/// If there are no features.
pub fn backward_all(
    z: &[f32],
    weights: Weights<'_>,
    dx: &[f32],
    gradients: &mut Gradients,
) -> Buffer {
    let features = weights.gain.len();
    let count = z.len() / features;
    let block = rows::block(count);
    let mut sums = Sums::of(count, 2 * features);
    let mut dz = Buffer::unfilled(z.len());
    let parts = z
        .chunks(block * features)
        .zip(dx.chunks(block * features))
        .zip(blocks_mut(&mut dz, features, block))
        .zip(sums.blocks_mut(block));
    let parts: Vec<_> = parts.collect();
    let parts = parts.into_par_iter().with_max_len(1);
    parts.for_each(|(((z, dx), dz), sums)| backward(z, weights, dx, dz, false, sums));
    sums.add_to(&mut [&mut gradients.gain, &mut gradients.bias]);
    dz
}
