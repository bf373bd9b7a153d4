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
//! Then `dU = dW^T X`, `dX = dW U`, and `dZ = G + LN'(dX)`. The attention maps, `K n^2` numbers a
//! sample, are kept while they take at most twice the room of the layer's other activations, and
//! made again from `W` where they take more.

use rayon::prelude::*;

use super::layer_norm;
use super::product::{add_transpose, product, shared_product, Matrix};
use super::{lanes, layer_norm::Weights as Norm};
use crate::vectorised::vectorised;

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
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// `dU`.
    pub bases: Vec<f32>,
    /// `dO` and `do`.
    pub output: Option<(Vec<f32>, Vec<f32>)>,
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
    /// The attention maps (b, k, n, n), if they were worth keeping.
    pub maps: Vec<f32>,
}

/// Whether the maps of a layer are kept for the backward pass, which is cheaper than making them again:
/// while they take at most twice the room of the layer's other activations, about ten of width `d`.
fn worth_keeping(tokens: usize, heads: usize, d: usize) -> bool {
    heads * tokens <= 20 * d
}

/// `Y` and what led to it.
///
/// # Shapes
/// z (b n, d); `keep_maps` for a backward pass or a look at them.
pub fn forward(
    z: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    keep_maps: Keep,
) -> (Vec<f32>, Saved) {
    let d = weights.norm.gain.len();
    let (rows, inner) = (z.len() / d, weights.bases.len() / d);
    let mut normalised = vec![0.0; z.len()];
    layer_norm::forward(z, weights.norm, &mut normalised);
    let mut projection = vec![0.0; rows * inner];
    let x = Matrix::new(&normalised, rows, d);
    let bases = Matrix::new(weights.bases, inner, d);
    shared_product(&mut projection, x, bases.t(), 1.0, false);
    let heads = weights.heads;
    let keep = match keep_maps {
        Keep::Nothing => false,
        Keep::Cheap => worth_keeping(tokens, heads, d),
        Keep::All => true,
    };
    let mut maps = vec![0.0; if keep { rows * tokens * heads } else { 0 }];
    let read = attend(&projection, tokens, inner, heads, &mut maps);
    let mut y = z.to_vec();
    match weights.output {
        Some((output, bias)) => {
            y.par_chunks_mut(d)
                .with_min_len(64)
                .for_each(|row| lanes::add_to(row, bias));
            let h = Matrix::new(&read, rows, inner);
            shared_product(&mut y, h, Matrix::new(output, d, inner).t(), 1.0, true);
        }
        None => lanes::add_to(&mut y, &read),
    }
    let saved = Saved {
        normalised,
        projection,
        read,
        maps,
    };
    (y, saved)
}

/// Which attention maps a forward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None.
    Nothing,
    /// Those that a backward pass had better not make again.
    Cheap,
    /// All, to be looked at.
    All,
}

/// `H`: every head's attention over its own projections. `maps`, if not empty, receives the maps.
fn attend(
    projection: &[f32],
    tokens: usize,
    inner: usize,
    heads: usize,
    maps: &mut [f32],
) -> Vec<f32> {
    let p = inner / heads;
    let one = |task: usize, read: &mut [f32], map: &mut [f32]| {
        let w = head_of(projection, task, tokens, heads, p);
        attention_map(w, tokens, p, map);
        let a = Matrix::new(map, tokens, tokens);
        product(read, p, a, w, 1.0, false);
    };
    // Head by head first, so that tasks write apart from each other.
    let mut by_head = vec![0.0; projection.len()];
    let tasks = by_head.par_chunks_mut(tokens * p).enumerate();
    if maps.is_empty() {
        let scratch = || vec![0.0; tokens * tokens];
        tasks.for_each_init(scratch, |map, (task, read)| one(task, read, map));
    } else {
        let maps = maps.par_chunks_mut(tokens * tokens);
        tasks
            .zip(maps)
            .for_each(|((task, read), map)| one(task, read, map));
    }
    stack_heads(&by_head, tokens, heads, p)
}

/// `W_k` of task `sample * heads + k`.
fn head_of(stacked: &[f32], task: usize, tokens: usize, heads: usize, p: usize) -> Matrix<'_> {
    let (sample, head) = (task / heads, task % heads);
    let start = sample * tokens * heads * p + head * p;
    Matrix::strided(&stacked[start..], tokens, p, heads * p)
}

/// (b, k, n, p) to (b, n, k p).
fn stack_heads(by_head: &[f32], tokens: usize, heads: usize, p: usize) -> Vec<f32> {
    let mut stacked = vec![0.0; by_head.len()];
    let size = tokens * heads * p;
    let samples = stacked.par_chunks_mut(size).zip(by_head.par_chunks(size));
    samples.for_each(|(stacked, by_head)| {
        for (token, row) in stacked.chunks_exact_mut(heads * p).enumerate() {
            for (head, part) in row.chunks_exact_mut(p).enumerate() {
                let start = (head * tokens + token) * p;
                part.copy_from_slice(&by_head[start..start + p]);
            }
        }
    });
    stacked
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
            layer_norm::add_sum_over_tokens(dbias, dy);
            let g = Matrix::new(dy, rows, d);
            let h = Matrix::new(&saved.read, rows, inner);
            shared_product(doutput, g.t(), h, 1.0, true);
            let mut dread = vec![0.0; rows * inner];
            let output = Matrix::new(output, d, inner);
            shared_product(&mut dread, g, output, 1.0, false);
            dread
        }
        _ => dy.to_vec(),
    };
    let dprojection = attend_backward(saved, &dread, tokens, inner, weights.heads);
    let dw = Matrix::new(&dprojection, rows, inner);
    let x = Matrix::new(&saved.normalised, rows, d);
    shared_product(&mut gradients.bases, dw.t(), x, 1.0, true);
    let mut dx = vec![0.0; z.len()];
    let bases = Matrix::new(weights.bases, inner, d);
    shared_product(&mut dx, dw, bases, 1.0, false);
    layer_norm::backward(z, weights.norm, &dx, dy, &mut gradients.norm);
}

/// `dW` from `dH`.
fn attend_backward(
    saved: &Saved,
    dread: &[f32],
    tokens: usize,
    inner: usize,
    heads: usize,
) -> Vec<f32> {
    let p = inner / heads;
    let scale = (p as f32).powf(-0.5);
    let square = tokens * tokens;
    let mut by_head = vec![0.0; dread.len()];
    let scratch = || [vec![0.0; square], vec![0.0; square]];
    let tasks = by_head.par_chunks_mut(tokens * p).enumerate();
    tasks.for_each_init(scratch, |[map, dmap], (task, dw)| {
        let w = head_of(&saved.projection, task, tokens, heads, p);
        let dh = head_of(dread, task, tokens, heads, p);
        let map: &[f32] = if saved.maps.is_empty() {
            attention_map(w, tokens, p, map);
            map
        } else {
            &saved.maps[task * square..(task + 1) * square]
        };
        let a = Matrix::new(map, tokens, tokens);
        product(dw, p, a.t(), dh, 1.0, false);
        product(dmap, tokens, dh, w.t(), 1.0, false);
        for (a, da) in map.chunks_exact(tokens).zip(dmap.chunks_exact_mut(tokens)) {
            let r = lanes::dot(a, da);
            softmax_adjoint(da, a, r);
        }
        // One product with the sum is cheaper than one with each of dS and its transpose.
        add_transpose(dmap, tokens);
        let sum = Matrix::new(dmap, tokens, tokens);
        product(dw, p, sum, w, scale, true);
    });
    stack_heads(&by_head, tokens, heads, p)
}

vectorised! {
    /// `dS = A ∘ (dA - r)` for one row, in place of `dA`.
    pub fn softmax_adjoint(da: &mut [f32], a: &[f32], r: f32) {
        for (da, a) in da.iter_mut().zip(a) {
            *da = a * (*da - r);
        }
    }
}
