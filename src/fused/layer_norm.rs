//! LayerNorm over the features of each token, `x = γ ∘ x̂ + β`, `x̂ = (z - m) s`, with `m` the mean
//! and `s = (variance + ε)^{-1/2}`.
//!
//! Adjoint, with `g = γ ∘ dx` and bars for means over features:
//! `dγ = sum_tokens dx ∘ x̂`, `dβ = sum_tokens dx`, `dz = s (g - ḡ - x̂ (g x̂)‾)`.

use rayon::prelude::*;

use super::lanes;
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

impl Gradients {
    /// All zero.
    pub fn zeros(features: usize) -> Self {
        Self {
            gain: vec![0.0; features],
            bias: vec![0.0; features],
        }
    }
}

/// Mean and inverse deviation of one token.
fn moments(z: &[f32], epsilon: f32) -> (f32, f32) {
    let inverse = 1.0 / z.len() as f32;
    let mean = lanes::sum(z) * inverse;
    let variance = lanes::squared_distance(z, mean) * inverse;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

vectorised! {
    /// `x <- γ ∘ (z - mean) s + β` for one token.
    pub fn scale_and_shift(x: &mut [f32], z: &[f32], weights: Weights<'_>, mean: f32, s: f32) {
        let affine = weights.gain.iter().zip(weights.bias);
        for ((x, z), (gain, bias)) in x.iter_mut().zip(z).zip(affine) {
            *x = (z - mean) * s * gain + bias;
        }
    }
}

/// Tokens per task: sums over tokens are made task by task, so this is part of a result.
const TASK: usize = 64;

/// # Shapes
/// z and x (rows, features).
pub fn forward(z: &[f32], weights: Weights<'_>, x: &mut [f32]) {
    let features = weights.gain.len();
    let tasks = x
        .par_chunks_mut(TASK * features)
        .zip(z.par_chunks(TASK * features));
    tasks.for_each(|(x, z)| {
        for (x, z) in x.chunks_exact_mut(features).zip(z.chunks_exact(features)) {
            let (mean, s) = moments(z, weights.epsilon);
            scale_and_shift(x, z, weights, mean, s);
        }
    });
}

/// Adds the adjoint to `dz` and to `gradients`; `z` is the input of [`forward`].
///
/// # Shapes
/// z, dx and dz (rows, features).
pub fn backward(
    z: &[f32],
    weights: Weights<'_>,
    dx: &[f32],
    dz: &mut [f32],
    gradients: &mut Gradients,
) {
    let features = weights.gain.len();
    let task = TASK * features;
    let tasks = dz
        .par_chunks_mut(task)
        .zip(z.par_chunks(task))
        .zip(dx.par_chunks(task));
    let parts: Vec<Gradients> = tasks
        .map(|((dz, z), dx)| {
            let mut part = Gradients::zeros(features);
            let mut normalised = vec![0.0; features];
            let mut g = vec![0.0; features];
            let rows = z.chunks_exact(features).zip(dx.chunks_exact(features));
            for ((z, dx), dz) in rows.zip(dz.chunks_exact_mut(features)) {
                let (mean, s) = moments(z, weights.epsilon);
                let token = Token { z, dx, mean, s };
                token_weights(token, weights.gain, &mut normalised, &mut g, &mut part);
                let inverse = 1.0 / features as f32;
                let mean_g = lanes::sum(&g) * inverse;
                let mean_gx = lanes::dot(&g, &normalised) * inverse;
                token_input(dz, &g, &normalised, s, mean_g, mean_gx);
            }
            part
        })
        .collect();
    for part in parts {
        lanes::add_to(&mut gradients.gain, &part.gain);
        lanes::add_to(&mut gradients.bias, &part.bias);
    }
}

/// Adds the sum over tokens of `g` (rows, features) to `bias`.
pub fn add_sum_over_tokens(bias: &mut [f32], g: &[f32]) {
    let features = bias.len();
    let parts: Vec<Vec<f32>> = g
        .par_chunks(TASK * features)
        .map(|task| {
            let mut sum = vec![0.0; features];
            for row in task.chunks_exact(features) {
                lanes::add_to(&mut sum, row);
            }
            sum
        })
        .collect();
    for part in parts {
        lanes::add_to(bias, &part);
    }
}

/// One token's input, derivative by its output, mean and inverse deviation.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    z: &'a [f32],
    dx: &'a [f32],
    mean: f32,
    s: f32,
}

vectorised! {
    /// `x̂`, `g = γ ∘ dx`, and the weights' derivatives, for one token.
    pub fn token_weights(
        token: Token<'_>,
        gain: &[f32],
        normalised: &mut [f32],
        g: &mut [f32],
        gradients: &mut Gradients
    ) {
        let inputs = token.z.iter().zip(token.dx).zip(gain);
        let outputs = normalised.iter_mut().zip(g.iter_mut());
        let sums = gradients.gain.iter_mut().zip(gradients.bias.iter_mut());
        for ((((z, dx), gain), (x, g)), (dgain, dbias)) in inputs.zip(outputs).zip(sums) {
            *x = (z - token.mean) * token.s;
            *g = dx * gain;
            *dgain += dx * *x;
            *dbias += dx;
        }
    }
}

vectorised! {
    /// `dz += s (g - ḡ - x̂ (g x̂)‾)` for one token.
    pub fn token_input(
        dz: &mut [f32],
        g: &[f32],
        normalised: &[f32],
        s: f32,
        mean_g: f32,
        mean_gx: f32
    ) {
        for ((dz, g), x) in dz.iter_mut().zip(g).zip(normalised) {
            *dz += s * (g - mean_g - x * mean_gx);
        }
    }
}
