//! The compression block, `Y = Z + MSSA(X)`, `X = LN(Z)`, and what a transformer has in its place,
//! `Y = Z + MHSA(X)`. Both read `Q`, `K` and `V` from `W = X P^T + w`: in MSSA all three are `W` itself,
//! and `P = U` stacks the bases as rows; in MHSA they are its thirds. Per sample and head
//!
//! `S = c Q_k K_k^T` with `c = p^{-1/2}`, `A = softmax(S)` by rows, `H_k = A V_k`; then
//! `Y = Z + H O^T + o`.
//!
//! # Adjoint
//! With `G = dY`: `do = sum_tokens G`, `dO = G^T H`, `dH = G O`. Per sample and head
//! `dA = dH_k V_k^T`, `dS = A ∘ (dA - r 1^T)` with `r_i = sum_j A_ij dA_ij`, and
//!
//! `dV = A^T dH_k`, `dQ = c dS K_k`, `dK = c dS^T Q_k`; in MSSA
//! `dW_k = A^T dH_k + c (dS + dS^T) W_k` collects the three.
//!
//! Then `dw = sum_tokens dW`, `dP = dW^T X`, `dX = dW P`, and `dZ = G + LN'(dX)`. The attention maps,
//! `K n^2` numbers a sample, are kept while they take at most twice the room of the layer's other
//! activations, and made again from `W` where they take more.

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
    /// `P`: in MSSA `U`, (k p, d); in MHSA (3 k p, d), queries, keys and values one below the other.
    pub projection: &'a [f32],
    /// `w`, one number a row of `P`, if there is one.
    pub projection_bias: Option<&'a [f32]>,
    /// `O` (d, k p) and `o` (d,); none: the heads' outputs are the result (k p = d).
    pub output: Option<(&'a [f32], &'a [f32])>,
    /// Heads.
    pub heads: usize,
    /// Who reads what from `W`.
    pub roles: Roles,
}

/// Whether queries, keys and values are one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// MSSA: the projection onto a subspace is all three.
    One,
    /// MHSA: three projections.
    Three,
}

impl Roles {
    /// Matrices that lie side by side in `W`.
    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

impl Weights<'_> {
    fn sizes(&self, tokens: usize) -> Sizes {
        let d = self.norm.gain.len();
        let inner = self.projection.len() / d / self.roles.count();
        Sizes {
            d,
            tokens,
            heads: self.heads,
            p: inner / self.heads,
            roles: self.roles,
        }
    }
}

/// Sizes of the block.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    d: usize,
    tokens: usize,
    heads: usize,
    p: usize,
    roles: Roles,
}

impl Sizes {
    /// `k p`.
    fn inner(self) -> usize {
        self.heads * self.p
    }

    /// Columns of `W`.
    fn columns(self) -> usize {
        self.inner() * self.roles.count()
    }

    /// Numbers of a task, one sample and head, in `dW`.
    fn task(self) -> usize {
        self.tokens * self.p * self.roles.count()
    }

    fn scale(self) -> f32 {
        (self.p as f32).powf(-0.5)
    }

    /// `[Q_k, K_k, V_k]` of task `sample * heads + k`.
    fn roles_of(self, stacked: &[f32], task: usize) -> [Matrix<'_>; 3] {
        let third = |role: usize| self.part(stacked, task, self.columns(), role * self.inner());
        match self.roles {
            Roles::One => [third(0); 3],
            Roles::Three => [third(0), third(1), third(2)],
        }
    }

    /// The columns of one head, from column `first`, in a matrix with rows of `columns`.
    fn part(self, stacked: &[f32], task: usize, columns: usize, first: usize) -> Matrix<'_> {
        let (sample, head) = (task / self.heads, task % self.heads);
        let start = sample * self.tokens * columns + first + head * self.p;
        Matrix::strided(&stacked[start..], self.tokens, self.p, columns)
    }

    /// (b, k, roles, n, p) to (b, n, roles k p).
    fn stack(self, by_head: &[f32], roles: usize) -> Vec<f32> {
        let Self {
            tokens, heads, p, ..
        } = self;
        let mut stacked = vec![0.0; by_head.len()];
        let size = tokens * heads * p * roles;
        let samples = stacked.par_chunks_mut(size).zip(by_head.par_chunks(size));
        samples.for_each(|(stacked, by_head)| {
            for (token, row) in stacked.chunks_exact_mut(roles * heads * p).enumerate() {
                for (place, part) in row.chunks_exact_mut(p).enumerate() {
                    let (role, head) = (place / heads, place % heads);
                    let start = ((head * roles + role) * tokens + token) * p;
                    part.copy_from_slice(&by_head[start..start + p]);
                }
            }
        });
        stacked
    }
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// `dP`.
    pub projection: Vec<f32>,
    /// `dw`.
    pub projection_bias: Option<Vec<f32>>,
    /// `dO` and `do`.
    pub output: Option<(Vec<f32>, Vec<f32>)>,
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone)]
pub struct Saved {
    /// `X`, (rows, d).
    pub normalised: Vec<f32>,
    /// `W`, (rows, k p) or (rows, 3 k p).
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
    let sizes = weights.sizes(tokens);
    let (d, inner, columns) = (sizes.d, sizes.inner(), sizes.columns());
    let rows = z.len() / d;
    let mut normalised = vec![0.0; z.len()];
    layer_norm::forward(z, weights.norm, &mut normalised);
    let mut projection = match weights.projection_bias {
        Some(bias) => bias.repeat(rows),
        None => vec![0.0; rows * columns],
    };
    let x = Matrix::new(&normalised, rows, d);
    let stacked = Matrix::new(weights.projection, columns, d);
    let biased = weights.projection_bias.is_some();
    shared_product(&mut projection, x, stacked.t(), 1.0, biased);
    let heads = weights.heads;
    let keep = match keep_maps {
        Keep::Nothing => false,
        Keep::Cheap => worth_keeping(tokens, heads, d),
        Keep::All => true,
    };
    let mut maps = vec![0.0; if keep { rows * tokens * heads } else { 0 }];
    let read = attend(&projection, sizes, &mut maps);
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
fn attend(projection: &[f32], sizes: Sizes, maps: &mut [f32]) -> Vec<f32> {
    let Sizes { tokens, p, .. } = sizes;
    let one = |task: usize, read: &mut [f32], map: &mut [f32]| {
        let [q, k, v] = sizes.roles_of(projection, task);
        attention_map(q, k, sizes, map);
        let a = Matrix::new(map, tokens, tokens);
        product(read, p, a, v, 1.0, false);
    };
    // Head by head first, so that tasks write apart from each other.
    let mut by_head = vec![0.0; projection.len() / sizes.roles.count()];
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
    sizes.stack(&by_head, 1)
}

/// `A = softmax(p^{-1/2} Q_k K_k^T)`.
fn attention_map(q: Matrix<'_>, k: Matrix<'_>, sizes: Sizes, map: &mut [f32]) {
    product(map, sizes.tokens, q, k.t(), 1.0, false);
    let scale = sizes.scale();
    for row in map.chunks_exact_mut(sizes.tokens) {
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
    let sizes = weights.sizes(tokens);
    let (d, inner, columns) = (sizes.d, sizes.inner(), sizes.columns());
    let rows = z.len() / d;
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
    let dprojection = attend_backward(saved, &dread, sizes);
    if let Some(dbias) = &mut gradients.projection_bias {
        layer_norm::add_sum_over_tokens(dbias, &dprojection);
    }
    let dw = Matrix::new(&dprojection, rows, columns);
    let x = Matrix::new(&saved.normalised, rows, d);
    shared_product(&mut gradients.projection, dw.t(), x, 1.0, true);
    let mut dx = vec![0.0; z.len()];
    let stacked = Matrix::new(weights.projection, columns, d);
    shared_product(&mut dx, dw, stacked, 1.0, false);
    layer_norm::backward(z, weights.norm, &dx, dy, &mut gradients.norm);
}

/// `dW` from `dH`.
fn attend_backward(saved: &Saved, dread: &[f32], sizes: Sizes) -> Vec<f32> {
    let Sizes { tokens, p, .. } = sizes;
    let scale = sizes.scale();
    let square = tokens * tokens;
    let mut by_head = vec![0.0; saved.projection.len()];
    let scratch = || [vec![0.0; square], vec![0.0; square]];
    let tasks = by_head.par_chunks_mut(sizes.task()).enumerate();
    tasks.for_each_init(scratch, |[map, dmap], (task, dw)| {
        let [q, k, v] = sizes.roles_of(&saved.projection, task);
        let dh = sizes.part(dread, task, sizes.inner(), 0);
        let map: &[f32] = if saved.maps.is_empty() {
            attention_map(q, k, sizes, map);
            map
        } else {
            &saved.maps[task * square..(task + 1) * square]
        };
        let a = Matrix::new(map, tokens, tokens);
        product(dmap, tokens, dh, v.t(), 1.0, false);
        for (a, da) in map.chunks_exact(tokens).zip(dmap.chunks_exact_mut(tokens)) {
            let r = lanes::dot(a, da);
            softmax_adjoint(da, a, r);
        }
        match sizes.roles {
            Roles::One => {
                product(dw, p, a.t(), dh, 1.0, false);
                // One product with the sum is cheaper than one with each of dS and its transpose.
                add_transpose(dmap, tokens);
                let sum = Matrix::new(dmap, tokens, tokens);
                product(dw, p, sum, v, scale, true);
            }
            Roles::Three => {
                let (dq, rest) = dw.split_at_mut(tokens * p);
                let (dk, dv) = rest.split_at_mut(tokens * p);
                product(dv, p, a.t(), dh, 1.0, false);
                let ds = Matrix::new(dmap, tokens, tokens);
                product(dq, p, ds, k, scale, false);
                product(dk, p, ds.t(), q, scale, false);
            }
        }
    });
    sizes.stack(&by_head, sizes.roles.count())
}

vectorised! {
    /// `dS = A ∘ (dA - r)` for one row, in place of `dA`.
    pub fn softmax_adjoint(da: &mut [f32], a: &[f32], r: f32) {
        for (da, a) in da.iter_mut().zip(a) {
            *da = a * (*da - r);
        }
    }
}
