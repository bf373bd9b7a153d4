//! The sparsification block, `Z' = ReLU(X + η R D - η λ)`, `R = X - X D^T`, `X = LN(Y)`: the ISTA step
//! `x + η D^T (x - D x) - η λ` for tokens as rows, in two products instead of the official three.
//!
//! # Adjoint
//! With `G = dZ' ∘ 1[Z' > 0]`: `dR = η G D^T`, `dD = η R^T G - dR^T X`, and
//! `dX = G + dR - dR D`; then `dY = LN'(dX)`.

use rayon::prelude::*;

use super::layer_norm;
use super::product::{shared_product, Matrix};
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
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// `dD`.
    pub dictionary: Vec<f32>,
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
    shared_product(&mut residual, x, dictionary.t(), -1.0, true);
    let mut z = normalised.clone();
    let r = Matrix::new(&residual, rows, d);
    shared_product(&mut z, r, dictionary, weights.step_size, true);
    z.par_chunks_mut(TASK)
        .for_each(|z| shifted_relu(z, weights.threshold));
    let saved = Saved {
        normalised,
        residual,
    };
    (z, saved)
}

/// Numbers per task of an operation without sums.
const TASK: usize = 1 << 14;

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
    dz.par_chunks_mut(TASK)
        .zip(z.par_chunks(TASK))
        .for_each(|(dz, z)| mask(dz, z));
    let dictionary = Matrix::new(weights.dictionary, d, d);
    let mut dresidual = vec![0.0; y.len()];
    let (eta, g) = (weights.step_size, Matrix::new(dz, rows, d));
    shared_product(&mut dresidual, g, dictionary.t(), eta, false);
    let r = Matrix::new(&saved.residual, rows, d);
    shared_product(&mut gradients.dictionary, r.t(), g, eta, true);
    let dr = Matrix::new(&dresidual, rows, d);
    let x = Matrix::new(&saved.normalised, rows, d);
    shared_product(&mut gradients.dictionary, dr.t(), x, -1.0, true);
    // dX = G + dR - dR D, in place of G.
    dz.par_chunks_mut(TASK)
        .zip(dresidual.par_chunks(TASK))
        .for_each(|(dz, dr)| lanes::add_to(dz, dr));
    shared_product(dz, dr, dictionary, -1.0, true);
    let mut dy = vec![0.0; y.len()];
    layer_norm::backward(y, weights.norm, dz, &mut dy, &mut gradients.norm);
    dz.copy_from_slice(&dy);
}
