//! From patches to tokens, `F = LN2(LN1(P) E^T + e)`; a class token `t` goes before the patches of each
//! image and every token gets its position: `z_0 = t + π_0`, `z_i = f_{i-1} + π_i`. A ViT has neither
//! LayerNorm.
//!
//! # Adjoint
//! With `G = dZ`: `dπ = sum_images G`, `dt = sum_images g_0`, `dF` the rest of `G`; then
//! `dV = LN2'(dF)` by `V = LN1(P) E^T + e`, `de = sum dV`, `dE = dV^T LN1(P)`, and the weights of LN1 from
//! `dV E`. Nobody asks for `dP`.

use super::layer_norm::{self, Weights as Norm};
use super::product::{shared_product, Matrix};

use super::lanes;

/// Parameters of the embedding.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm of the patches, if there is one.
    pub patch_norm: Option<Norm<'a>>,
    /// `E`, (d, patch width).
    pub weight: &'a [f32],
    /// `e`, (d,).
    pub bias: &'a [f32],
    /// LayerNorm of the embedded patches, if there is one.
    pub norm: Option<Norm<'a>>,
    /// `t`, (d,).
    pub class_token: &'a [f32],
    /// `π`, (n, d).
    pub position: &'a [f32],
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the LayerNorm of the patches.
    pub patch_norm: layer_norm::Gradients,
    /// `dE`.
    pub weight: Vec<f32>,
    /// `de`.
    pub bias: Vec<f32>,
    /// Of the LayerNorm of the embedded patches.
    pub norm: layer_norm::Gradients,
    /// `dt`.
    pub class_token: Vec<f32>,
    /// `dπ`.
    pub position: Vec<f32>,
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `LN1(P)`, (b patches, patch width); empty without that LayerNorm.
    pub normalised: Vec<f32>,
    /// `V`, (b patches, d).
    pub embedded: Vec<f32>,
}

/// Tokens (b n, d) of patches (b (n - 1), patch width).
pub fn forward(patches: &[f32], weights: &Weights<'_>) -> (Vec<f32>, Saved) {
    let d = weights.bias.len();
    let width = weights.weight.len() / d;
    let rows = patches.len() / width;
    let mut normalised = Vec::new();
    let input = match weights.patch_norm {
        Some(norm) => {
            normalised = vec![0.0; patches.len()];
            layer_norm::forward(patches, norm, &mut normalised);
            &normalised
        }
        None => patches,
    };
    let mut embedded = weights.bias.repeat(rows);
    let x = Matrix::new(input, rows, width);
    let weight = Matrix::new(weights.weight, d, width);
    shared_product(&mut embedded, x, weight.t(), 1.0, true);
    let made;
    let features = match weights.norm {
        Some(norm) => {
            let mut features = vec![0.0; rows * d];
            layer_norm::forward(&embedded, norm, &mut features);
            made = features;
            &made
        }
        None => &embedded,
    };
    let image = weights.position.len() - d;
    let mut z = Vec::with_capacity(rows / (image / d) * weights.position.len());
    for features in features.chunks_exact(image) {
        let start = z.len();
        z.extend_from_slice(weights.class_token);
        z.extend_from_slice(features);
        lanes::add_to(&mut z[start..], weights.position);
    }
    let saved = Saved {
        normalised,
        embedded,
    };
    (z, saved)
}

/// Adds the derivatives by the weights to `gradients`.
///
/// # Shapes
/// patches (b (n - 1), patch width), dz (b n, d).
pub fn backward(
    patches: &[f32],
    weights: &Weights<'_>,
    saved: &Saved,
    dz: &[f32],
    gradients: &mut Gradients,
) {
    let d = weights.bias.len();
    let width = weights.weight.len() / d;
    let rows = patches.len() / width;
    let mut dfeatures = Vec::with_capacity(rows * d);
    for dz in dz.chunks_exact(weights.position.len()) {
        lanes::add_to(&mut gradients.position, dz);
        lanes::add_to(&mut gradients.class_token, &dz[..d]);
        dfeatures.extend_from_slice(&dz[d..]);
    }
    let dembedded = match weights.norm {
        Some(norm) => {
            let mut dembedded = vec![0.0; rows * d];
            layer_norm::backward(
                &saved.embedded,
                norm,
                &dfeatures,
                &mut dembedded,
                &mut gradients.norm,
            );
            dembedded
        }
        None => dfeatures,
    };
    layer_norm::add_sum_over_tokens(&mut gradients.bias, &dembedded);
    let g = Matrix::new(&dembedded, rows, d);
    let input = match weights.patch_norm {
        Some(_) => &saved.normalised,
        None => patches,
    };
    let x = Matrix::new(input, rows, width);
    shared_product(&mut gradients.weight, g.t(), x, 1.0, true);
    let Some(patch_norm) = weights.patch_norm else {
        return;
    };
    let mut dx = vec![0.0; patches.len()];
    let weight = Matrix::new(weights.weight, d, width);
    shared_product(&mut dx, g, weight, 1.0, false);
    let mut unused = vec![0.0; patches.len()];
    layer_norm::backward(
        patches,
        patch_norm,
        &dx,
        &mut unused,
        &mut gradients.patch_norm,
    );
}
