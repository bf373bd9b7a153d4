//! The sparsification block, `Z' = ReLU(X + η R D - η λ)`, `R = X - X D^T`, `X = LN(Y)`: the ISTA step
//! `x + η D^T (x - D x) - η λ` for tokens as rows. The official code spends three products of
//! `N d^2` on it; here it takes two, or one:
//!
//! * with the residual `R`, as written above;
//! * folded, `Z' = ReLU(X B - η λ)` with `B = I + η (D - D^T D)`, which costs `d^3` once per change
//!   of the weights and can serve any number of tokens.
//!
//! # Adjoint
//! With `G = dZ' ∘ 1[Z' > 0]`, in the residual's form: `dR = η G D^T`, `dD = η R^T G - dR^T X`, and
//! `dX = G + dR - dR D`. Folded: `dX = G B^T`, `dB = X^T G`, `dD = η (dB - D (dB + dB^T))`. Then
//! `dY = LN'(dX)`.
//!
//! # Which form
//! Forward and backward take `12 N d^2` multiplications with the residual and `6 N d^2 + 4 d^3`
//! folded: folding pays above `N = 2/3 d` tokens, and for a network that only runs forward always.
//! Both have the same error bound, of two sums over `d` terms.

use rayon::prelude::*;

use super::layer_norm;
use super::product::{add_transpose, shared_product, Matrix};
use super::{lanes, layer_norm::Weights as Norm};
use crate::vectorised::vectorised;

/// Parameters and constants of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `D`, (d, d).
    pub dictionary: &'a [f32],
    /// `B`, (d, d), from [`fold`]: if given, the block takes the folded form.
    pub folded: Option<&'a [f32]>,
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
    /// `R`, (rows, d); empty in the folded form.
    pub residual: Vec<f32>,
}

/// `B = I + η (D - D^T D)`.
///
/// # Shapes
/// dictionary (d, d).
pub fn fold(dictionary: &[f32], d: usize, step_size: f32) -> Vec<f32> {
    let mut folded: Vec<f32> = dictionary.iter().map(|v| step_size * v).collect();
    let matrix = Matrix::new(dictionary, d, d);
    shared_product(&mut folded, matrix.t(), matrix, -step_size, true);
    for i in 0..d {
        folded[i * d + i] += 1.0;
    }
    folded
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
    let (mut z, residual) = match weights.folded {
        Some(folded) => {
            let mut z = vec![0.0; y.len()];
            shared_product(&mut z, x, Matrix::new(folded, d, d), 1.0, false);
            (z, Vec::new())
        }
        None => {
            let dictionary = Matrix::new(weights.dictionary, d, d);
            let mut residual = normalised.clone();
            shared_product(&mut residual, x, dictionary.t(), -1.0, true);
            let mut z = normalised.clone();
            let r = Matrix::new(&residual, rows, d);
            shared_product(&mut z, r, dictionary, weights.step_size, true);
            (z, residual)
        }
    };
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

vectorised! {
    /// `z <- max(0, z - threshold)`; NaN stays NaN.
    pub fn shifted_relu(z: &mut [f32], threshold: f32) {
        for z in z.iter_mut() {
            let shifted = *z - threshold;
            *z = if shifted <= 0.0 { 0.0 } else { shifted };
        }
    }
}

vectorised! {
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
    let x = Matrix::new(&saved.normalised, rows, d);
    let dictionary = Matrix::new(weights.dictionary, d, d);
    let mut dx = vec![0.0; y.len()];
    match weights.folded {
        Some(folded) => {
            let g = Matrix::new(dz, rows, d);
            let folded = Matrix::new(folded, d, d);
            shared_product(&mut dx, g, folded.t(), 1.0, false);
            let mut dfolded = vec![0.0; d * d];
            shared_product(&mut dfolded, x.t(), g, 1.0, false);
            unfold(dictionary, weights.step_size, dfolded, gradients);
        }
        None => {
            let eta = weights.step_size;
            let mut dresidual = vec![0.0; y.len()];
            let g = Matrix::new(dz, rows, d);
            shared_product(&mut dresidual, g, dictionary.t(), eta, false);
            let r = Matrix::new(&saved.residual, rows, d);
            shared_product(&mut gradients.dictionary, r.t(), g, eta, true);
            let dr = Matrix::new(&dresidual, rows, d);
            shared_product(&mut gradients.dictionary, dr.t(), x, -1.0, true);
            dx.par_chunks_mut(TASK)
                .zip(dresidual.par_chunks(TASK).zip(dz.par_chunks(TASK)))
                .for_each(|(dx, (dr, g))| lanes::sum_into(dx, dr, g));
            shared_product(&mut dx, dr, dictionary, -1.0, true);
        }
    }
    dz.fill(0.0);
    layer_norm::backward(y, weights.norm, &dx, dz, &mut gradients.norm);
}

/// Adds `dD = η (dB - D (dB + dB^T))`.
fn unfold(dictionary: Matrix<'_>, eta: f32, mut dfolded: Vec<f32>, gradients: &mut Gradients) {
    let d = dictionary.rows();
    for (dd, db) in gradients.dictionary.iter_mut().zip(&dfolded) {
        *dd += eta * db;
    }
    add_transpose(&mut dfolded, d);
    let sum = Matrix::new(&dfolded, d, d);
    shared_product(&mut gradients.dictionary, dictionary, sum, -eta, true);
}
