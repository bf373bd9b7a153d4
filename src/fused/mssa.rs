//! The compression block, `Y = Z + MSSA(X)`, `X = LN(Z)`:
//!
//! `W = X U^T` (`U` stacks the bases as rows), and per sample and head `S = c W_k W_k^T` with
//! `c = p^{-1/2}`, `A = softmax(S)` by rows, `H_k = A W_k`; then `Y = Z + H O^T + o`.
//!
//! # Adjoint
//! With `G = dY`: `do = sum_tokens G`, `dO = G^T H`, `dH = G O`. Per sample and head, the values
//! and the keys are the same matrix, so `W_k` collects three terms:
//!
//! `dA = dH_k W_k^T`, `dS = A ∘ (dA - r 1^T)` with `r_i = sum_j A_ij dA_ij`,
//! `dW_k = A^T dH_k + c (dS + dS^T) W_k`.
//!
//! Then `dU = dW^T X`, `dX = dW U`, and `dZ = G + LN'(dX)`. The attention maps are not kept: they
//! are made again from `W`, which costs one of five small products and saves `K n^2` numbers a
//! sample.

use super::layer_norm;
use super::product::{product, Matrix};
use super::{lanes, layer_norm::Weights as Norm};

/// Parameters of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `U`, (k p, d).
    pub bases: &'a [f32],
    /// `O` (d, k p) and `o` (d,); none: the heads' outputs are the result (k p = d).
    pub output: Option<(&'a [f32], &'a [f32])>,
    /// Heads.
    pub heads: usize,
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// `dU`.
    pub bases: Vec<f32>,
    /// `dO` and `do`.
    pub output: Option<(Vec<f32>, Vec<f32>)>,
}

impl Gradients {
    /// All zero.
    pub fn zeros(weights: &Weights<'_>) -> Self {
        let zeros = |like: &[f32]| vec![0.0; like.len()];
        Self {
            norm: layer_norm::Gradients::zeros(weights.norm.gain.len()),
            bases: zeros(weights.bases),
            output: weights.output.map(|(o, bias)| (zeros(o), zeros(bias))),
        }
    }
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `X`, (rows, d).
    pub normalised: Vec<f32>,
    /// `W`, (rows, k p).
    pub projection: Vec<f32>,
    /// `H`, (rows, k p).
    pub read: Vec<f32>,
}

/// `Y` and what led to it.
///
/// # Shapes
/// z (b n, d); `attention`, if wanted, receives the maps (b, k, n, n).
pub fn forward(
    z: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    attention: Option<&mut Vec<f32>>,
) -> (Vec<f32>, Saved) {
    let d = weights.norm.gain.len();
    let (rows, inner) = (z.len() / d, weights.bases.len() / d);
    let mut normalised = vec![0.0; z.len()];
    layer_norm::forward(z, weights.norm, &mut normalised);
    let mut projection = vec![0.0; rows * inner];
    let x = Matrix::new(&normalised, rows, d);
    let bases = Matrix::new(weights.bases, inner, d);
    product(&mut projection, inner, x, bases.t(), 1.0, false);
    let read = attend(&projection, tokens, inner, weights.heads, attention);
    let mut y = z.to_vec();
    match weights.output {
        Some((output, bias)) => {
            for row in y.chunks_exact_mut(d) {
                lanes::add_to(row, bias);
            }
            let h = Matrix::new(&read, rows, inner);
            product(&mut y, d, h, Matrix::new(output, d, inner).t(), 1.0, true);
        }
        None => lanes::add_to(&mut y, &read),
    }
    let saved = Saved {
        normalised,
        projection,
        read,
    };
    (y, saved)
}

/// `H`: every head's attention over its own projections.
fn attend(
    projection: &[f32],
    tokens: usize,
    inner: usize,
    heads: usize,
    mut attention: Option<&mut Vec<f32>>,
) -> Vec<f32> {
    let p = inner / heads;
    let mut read = vec![0.0; projection.len()];
    let mut map = vec![0.0; tokens * tokens];
    let samples = projection.chunks_exact(tokens * inner);
    for (sample, read) in samples.zip(read.chunks_exact_mut(tokens * inner)) {
        for head in 0..heads {
            let w = Matrix::strided(&sample[head * p..], tokens, p, inner);
            attention_map(w, tokens, p, &mut map);
            let a = Matrix::new(&map, tokens, tokens);
            product(&mut read[head * p..], inner, a, w, 1.0, false);
            if let Some(maps) = attention.as_deref_mut() {
                maps.extend_from_slice(&map);
            }
        }
    }
    read
}

/// `A = softmax(p^{-1/2} W_k W_k^T)`.
fn attention_map(w: Matrix<'_>, tokens: usize, p: usize, map: &mut [f32]) {
    product(map, tokens, w, w.t(), 1.0, false);
    let scale = (p as f32).powf(-0.5);
    for row in map.chunks_exact_mut(tokens) {
        lanes::softmax(row, scale);
    }
}

/// Turns `dy` into `dz` in place, and adds to `gradients`.
///
/// # Shapes
/// z and dy (b n, d).
pub fn backward(
    z: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    saved: &Saved,
    dy: &mut [f32],
    gradients: &mut Gradients,
) {
    let d = weights.norm.gain.len();
    let (rows, inner) = (z.len() / d, weights.bases.len() / d);
    let dread = match (weights.output, &mut gradients.output) {
        (Some((output, _)), Some((doutput, dbias))) => {
            for row in dy.chunks_exact(d) {
                lanes::add_to(dbias, row);
            }
            let g = Matrix::new(dy, rows, d);
            let h = Matrix::new(&saved.read, rows, inner);
            product(doutput, inner, g.t(), h, 1.0, true);
            let mut dread = vec![0.0; rows * inner];
            let output = Matrix::new(output, d, inner);
            product(&mut dread, inner, g, output, 1.0, false);
            dread
        }
        _ => dy.to_vec(),
    };
    let dprojection = attend_backward(&saved.projection, &dread, tokens, inner, weights.heads);
    let dw = Matrix::new(&dprojection, rows, inner);
    let x = Matrix::new(&saved.normalised, rows, d);
    product(&mut gradients.bases, d, dw.t(), x, 1.0, true);
    let mut dx = vec![0.0; z.len()];
    let bases = Matrix::new(weights.bases, inner, d);
    product(&mut dx, d, dw, bases, 1.0, false);
    layer_norm::backward(z, weights.norm, &dx, dy, &mut gradients.norm);
}

/// `dW` from `dH`.
fn attend_backward(
    projection: &[f32],
    dread: &[f32],
    tokens: usize,
    inner: usize,
    heads: usize,
) -> Vec<f32> {
    let p = inner / heads;
    let scale = (p as f32).powf(-0.5);
    let mut dprojection = vec![0.0; projection.len()];
    let mut map = vec![0.0; tokens * tokens];
    let mut dmap = vec![0.0; tokens * tokens];
    let samples = projection.chunks_exact(tokens * inner);
    let adjoints = dread.chunks_exact(tokens * inner);
    let results = dprojection.chunks_exact_mut(tokens * inner);
    for ((sample, dread), result) in samples.zip(adjoints).zip(results) {
        for head in 0..heads {
            let w = Matrix::strided(&sample[head * p..], tokens, p, inner);
            let dh = Matrix::strided(&dread[head * p..], tokens, p, inner);
            let dw = &mut result[head * p..];
            attention_map(w, tokens, p, &mut map);
            let a = Matrix::new(&map, tokens, tokens);
            product(dw, inner, a.t(), dh, 1.0, false);
            product(&mut dmap, tokens, dh, w.t(), 1.0, false);
            for (a, da) in map.chunks_exact(tokens).zip(dmap.chunks_exact_mut(tokens)) {
                let r = lanes::dot(a, da);
                softmax_adjoint(da, a, r);
            }
            let ds = Matrix::new(&dmap, tokens, tokens);
            product(dw, inner, ds, w, scale, true);
            product(dw, inner, ds.t(), w, scale, true);
        }
    }
    dprojection
}

lanes::vectorised! {
    /// `dS = A ∘ (dA - r)` for one row, in place of `dA`.
    pub fn softmax_adjoint(da: &mut [f32], a: &[f32], r: f32) {
        for (da, a) in da.iter_mut().zip(a) {
            *da = a * (*da - r);
        }
    }
}
