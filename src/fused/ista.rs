//! The sparsification block, `Z' = ReLU(X + η R D - η λ)`, `R = X - X D^T`, `X = LN(Y)`: the ISTA step
//! `x + η D^T (x - D x) - η λ` for tokens as rows, in two products instead of the official three.
//!
//! # Adjoint
//! With `G = dZ' ∘ 1[Z' > 0]`: `dR = η G D^T`, `dD = η R^T G - dR^T X`, and
//! `dX = G + dR - dR D`; then `dY = LN'(dX)`.

use super::layer_norm;
use super::product::{product, Matrix};
use super::{lanes, layer_norm::Weights as Norm};

/// Parameters and constants of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `D`, (d, d).
    pub dictionary: &'a [f32],
    /// `η`.
    pub step_size: f32,
    /// `η λ`.
    pub threshold: f32,
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// `dD`.
    pub dictionary: Vec<f32>,
}

impl Gradients {
    /// All zero.
    pub fn zeros(weights: &Weights<'_>) -> Self {
        Self {
            norm: layer_norm::Gradients::zeros(weights.norm.gain.len()),
            dictionary: vec![0.0; weights.dictionary.len()],
        }
    }
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `X`, (rows, d).
    pub normalised: Vec<f32>,
    /// `R`, (rows, d).
    pub residual: Vec<f32>,
}

/// `Z'` and what led to it.
///
/// # Shapes
/// y (rows, d).
pub fn forward(y: &[f32], weights: &Weights<'_>) -> (Vec<f32>, Saved) {
    let d = weights.norm.gain.len();
    let rows = y.len() / d;
    let mut normalised = vec![0.0; y.len()];
    layer_norm::forward(y, weights.norm, &mut normalised);
    let x = Matrix::new(&normalised, rows, d);
    let dictionary = Matrix::new(weights.dictionary, d, d);
    let mut residual = normalised.clone();
    product(&mut residual, d, x, dictionary.t(), -1.0, true);
    let mut z = normalised.clone();
    let r = Matrix::new(&residual, rows, d);
    product(&mut z, d, r, dictionary, weights.step_size, true);
    shifted_relu(&mut z, weights.threshold);
    let saved = Saved {
        normalised,
        residual,
    };
    (z, saved)
}

lanes::vectorised! {
    /// `z <- max(0, z - threshold)`; NaN stays NaN.
    pub fn shifted_relu(z: &mut [f32], threshold: f32) {
        for z in z.iter_mut() {
            let shifted = *z - threshold;
            *z = if shifted <= 0.0 { 0.0 } else { shifted };
        }
    }
}

lanes::vectorised! {
    /// `dz <- dz ∘ 1[z > 0]`.
    pub fn mask(dz: &mut [f32], z: &[f32]) {
        for (dz, z) in dz.iter_mut().zip(z) {
            *dz = if *z > 0.0 { *dz } else { 0.0 };
        }
    }
}

/// Turns `dz` into `dy` in place, and adds to `gradients`; `z` is the block's output.
///
/// # Shapes
/// y, z and dz (rows, d).
pub fn backward(
    y: &[f32],
    z: &[f32],
    weights: &Weights<'_>,
    saved: &Saved,
    dz: &mut [f32],
    gradients: &mut Gradients,
) {
    let d = weights.norm.gain.len();
    let rows = y.len() / d;
    mask(dz, z);
    let dictionary = Matrix::new(weights.dictionary, d, d);
    let mut dresidual = vec![0.0; y.len()];
    let g = Matrix::new(dz, rows, d);
    product(
        &mut dresidual,
        d,
        g,
        dictionary.t(),
        weights.step_size,
        false,
    );
    let r = Matrix::new(&saved.residual, rows, d);
    product(
        &mut gradients.dictionary,
        d,
        r.t(),
        g,
        weights.step_size,
        true,
    );
    let dr = Matrix::new(&dresidual, rows, d);
    let x = Matrix::new(&saved.normalised, rows, d);
    product(&mut gradients.dictionary, d, dr.t(), x, -1.0, true);
    lanes::add_to(dz, &dresidual);
    product(dz, d, dr, dictionary, -1.0, true);
    let dx = dz.to_vec();
    dz.fill(0.0);
    layer_norm::backward(y, weights.norm, &dx, dz, &mut gradients.norm);
}
