//! From patches to tokens, `F = LN2(LN1(P) E^T + e)`; a class token `t` goes before the patches of each
//! image and every token gets its position: `z_0 = t + π_0`, `z_i = f_{i-1} + π_i`. A ViT has neither
//! LayerNorm. In an autoencoder, `f_i = m` for a patch that is masked.
//!
//! # Adjoint
//! With `G = dZ`: `dπ = sum_images G`, `dt = sum_images g_0`, `dF` the rest of `G`, of which `dm` takes what falls on
//! masked patches; then
//! `dV = LN2'(dF)` by `V = LN1(P) E^T + e`, `de = sum dV`, `dE = dV^T LN1(P)`, and the weights of LN1 from
//! `dV E`. Nobody asks for `dP`.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::lanes::{add_bias, add_to};
use super::layer_norm::{self, Weights as Norm};
use super::product::gradient::{add_products, Sum};
use super::product::{product, Matrix, MatrixMut, Panels};
use super::rows::{self, blocks_mut, sum_groups, Sums};

/// Parameters of the embedding.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm of the patches, if there is one.
    pub patch_norm: Option<Norm<'a>>,
    /// `E^T`, (patch width, d); for the adjoint `E`.
    pub weight: &'a Panels<'static>,
    /// `e`, (d,).
    pub bias: &'a [f32],
    /// LayerNorm of the embedded patches, if there is one.
    pub norm: Option<Norm<'a>>,
    /// `t`, (d,).
    pub class_token: &'a [f32],
    /// `m`, (d,), if patches can be masked.
    pub mask_token: Option<&'a [f32]>,
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
    /// `dm`; empty, if nobody asks.
    pub mask_token: Vec<f32>,
    /// `dπ`; empty, if nobody asks.
    pub position: Vec<f32>,
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `LN1(P)`, (b patches, patch width); empty without that LayerNorm.
    pub normalised: Buffer,
    /// `V`, (b patches, d).
    pub embedded: Buffer,
}

/// The tokens `z` of every image, as at the head of this module (official `model/crate.py`), and what the backward pass
/// reads.
///
/// # Shapes
/// patches (b (n - 1), patch width), an image after the other; masked (b (n - 1),), or empty for none, as it is without mask token; gives
/// (b n, d).
///
/// # Panics
/// If the weights do not fit each other.
pub fn forward(patches: &[f32], masked: &[bool], weights: &Weights<'_>) -> (Buffer, Saved) {
    let (d, width) = (weights.bias.len(), weights.weight.depth());
    let rows = patches.len() / width;
    let block = rows::block(rows);
    let there = |norm: Option<Norm<'_>>, width: usize| norm.map_or(0, |_| width);
    let (patch_width, feature_width) = (there(weights.patch_norm, width), there(weights.norm, d));
    let mut normalised = Buffer::unfilled(rows * patch_width);
    let mut embedded = Buffer::unfilled(rows * d);
    let mut features = Buffer::unfilled(rows * feature_width);
    let blocks: Vec<_> = patches
        .chunks(block * width)
        .zip(blocks_mut(&mut normalised, patch_width, block))
        .zip(blocks_mut(&mut embedded, d, block))
        .zip(blocks_mut(&mut features, feature_width, block))
        .collect();
    let blocks = blocks.into_par_iter().with_max_len(1);
    blocks.for_each(|(((patches, normalised), embedded), features)| {
        let rows = patches.len() / width;
        let input = match weights.patch_norm {
            Some(norm) => {
                layer_norm::forward(patches, norm, normalised);
                normalised
            }
            None => patches,
        };
        for row in embedded.chunks_exact_mut(d) {
            row.copy_from_slice(weights.bias);
        }
        let result = MatrixMut::new(embedded, rows, d);
        product(
            result,
            Matrix::new(input, rows, width),
            weights.weight,
            1.0,
            true,
        );
        if let Some(norm) = weights.norm {
            layer_norm::forward(embedded, norm, features);
        }
    });
    let features = match weights.norm {
        Some(_) => &features,
        None => &embedded,
    };
    let image = weights.position.len();
    let mut z = Buffer::unfilled(rows / (image / d - 1) * image);
    let images = z
        .par_chunks_exact_mut(image)
        .zip(features.par_chunks_exact(image - d))
        .enumerate();
    let patches = image / d - 1;
    images.for_each(|(index, (z, features))| {
        let (class_token, tokens) = z.split_at_mut(d);
        let (first, positions) = weights.position.split_at(d);
        add_bias(class_token, weights.class_token, first);
        add_bias(tokens, features, positions);
        if let Some(token) = weights.mask_token {
            for patch in marked(masked, index, patches) {
                let row = patch * d..(patch + 1) * d;
                add_bias(&mut tokens[row.clone()], token, &positions[row]);
            }
        }
    });
    let saved = Saved {
        normalised,
        embedded,
    };
    (z, saved)
}

/// The patches of image `index`, of `patches` each, that are masked.
fn marked(masked: &[bool], index: usize, patches: usize) -> impl Iterator<Item = usize> + '_ {
    let own = masked.chunks_exact(patches).nth(index).unwrap_or_default();
    own.iter()
        .enumerate()
        .filter_map(|(patch, masked)| masked.then_some(patch))
}

/// Adds the derivatives by the weights to `gradients`.
///
/// # Shapes
/// patches (b (n - 1), patch width), masked (b (n - 1),) or empty, dz (b n, d).
///
/// # Panics
/// If the weights or gradients do not fit each other.
pub fn backward(
    patches: &[f32],
    masked: &[bool],
    adjoint: &Weights<'_>,
    saved: &Saved,
    dz: &[f32],
    gradients: &mut Gradients,
) {
    let (d, width) = (adjoint.bias.len(), adjoint.weight.columns());
    let rows = patches.len() / width;
    let mut dembedded = Buffer::unfilled(rows * d);
    let images = dz.chunks_exact(adjoint.position.len());
    let features = dembedded.chunks_exact_mut(adjoint.position.len() - d);
    for (index, (dz, dfeatures)) in images.zip(features).enumerate() {
        if !gradients.position.is_empty() {
            add_to(&mut gradients.position, dz);
        }
        add_to(&mut gradients.class_token, &dz[..d]);
        dfeatures.copy_from_slice(&dz[d..]);
        for patch in marked(masked, index, dfeatures.len() / d) {
            let row = &mut dfeatures[patch * d..(patch + 1) * d];
            add_to(&mut gradients.mask_token, row);
            row.fill(0.0);
        }
    }
    let block = rows::block(rows);
    let patch_width = adjoint.patch_norm.map_or(0, |_| width);
    let feature_width = adjoint.norm.map_or(0, |_| d);
    let [mut norm, mut bias] = [2 * feature_width, d].map(|width| Sums::of(rows, width));
    let mut patch_norm = Sums::of(rows, 2 * patch_width);
    let blocks: Vec<_> = patches
        .chunks(block * width)
        .zip(saved.embedded.chunks(block * d))
        .zip(blocks_mut(&mut dembedded, d, block))
        .zip(
            norm.blocks_mut(block)
                .zip(bias.blocks_mut(block))
                .zip(patch_norm.blocks_mut(block)),
        )
        .collect();
    let blocks = blocks.into_par_iter().with_max_len(1);
    blocks.for_each(
        |(((patches, embedded), dembedded), ((norm, bias), patch_norm))| {
            let rows = embedded.len() / d;
            if let Some(weights) = adjoint.norm {
                let dfeatures = Buffer::copy_of(dembedded);
                layer_norm::backward(embedded, weights, &dfeatures, dembedded, false, norm);
            }
            sum_groups(dembedded, d, bias);
            if let Some(weights) = adjoint.patch_norm {
                let mut dx = Buffer::unfilled(patches.len());
                let result = MatrixMut::new(&mut dx, rows, width);
                product(
                    result,
                    Matrix::new(dembedded, rows, d),
                    adjoint.weight,
                    1.0,
                    false,
                );
                let mut unused = Buffer::unfilled(patches.len());
                layer_norm::backward(patches, weights, &dx, &mut unused, false, patch_norm);
            }
        },
    );
    norm.add_to(&mut [&mut gradients.norm.gain, &mut gradients.norm.bias]);
    bias.add_to(&mut [&mut gradients.bias]);
    let of_patches = &mut gradients.patch_norm;
    patch_norm.add_to(&mut [&mut of_patches.gain, &mut of_patches.bias]);
    let input = match adjoint.patch_norm {
        Some(_) => &saved.normalised,
        None => patches,
    };
    let term = (
        Matrix::new(&dembedded, rows, d),
        Panels::in_place(Matrix::new(input, rows, width)),
        1.0,
    );
    add_products(&mut [Sum {
        gradient: &mut gradients.weight,
        terms: vec![term],
    }]);
}
