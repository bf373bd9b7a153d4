//! The compression block (NeurIPS 2023 (12), as [`crate::exact::layer::mssa_code`] has it), `Y = Z + MSSA(X)`,
//! `X = LN(Z)`, and what a transformer has in its place, `Y = Z + MHSA(X)`. Both read `Q`, `K` and `V` from
//! `W = X P^T + w`: in MSSA all three are `W` itself, and `P = U` stacks the bases as rows; in MHSA they are its
//! thirds. Per sample and head
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
//! Then `dw = sum_tokens dW`, `dP = dW^T X`, `dX = dW P`, and `dZ = G + LN'(dX)`. Attention maps are nowhere kept
//! whole: see [`heads`].

pub mod heads;

use super::buffer::Buffer;
use super::lanes::{add_bias, add_to};
use super::layer_norm;
use super::layer_norm::Weights as Norm;
use super::product::{product, Matrix, MatrixMut, Panels};
use super::rows::sum_groups;
use crate::mask::Mask;

/// Parameters of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `P^T`; `P` is in MSSA `U`, (k p, d), in MHSA (3 k p, d), queries, keys and values one below the other. For the
    /// adjoint `P`.
    pub projection: &'a Panels<'static>,
    /// `w`, one number a row of `P`, if there is one.
    pub projection_bias: Option<&'a [f32]>,
    /// `O^T` and `o` (d,), with `O` (d, k p); none: the heads' outputs are the result (k p = d). For the adjoint `O`.
    pub output: Option<(&'a Panels<'static>, &'a [f32])>,
    /// Heads.
    pub heads: usize,
    /// `p`.
    pub head_width: usize,
    /// Who reads what from `W`.
    pub roles: Roles,
    /// Which tokens a token reads: `S_ij` is minus infinity where `i` may not read `j`.
    pub mask: Mask,
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
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

impl Weights<'_> {
    /// `k p`.
    pub fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    /// Columns of `W`.
    pub fn columns(&self) -> usize {
        self.inner() * self.roles.count()
    }

    /// `p^{-1/2}`.
    pub fn scale(&self) -> f32 {
        (self.head_width as f32).powf(-0.5)
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
    pub normalised: Buffer,
    /// `W`, (rows, k p) or (rows, 3 k p).
    pub projection: Buffer,
    /// `H`, (rows, k p).
    pub read: Buffer,
    /// Of each sample and head, what makes its map of its scores: (b, k, 2, n), see [`heads::forward`].
    pub statistics: Buffer,
    /// The attention maps (b, k, n, n), if somebody wants to see them.
    pub maps: Option<Buffer>,
}

impl Saved {
    /// Memory for `rows` tokens, to be written by [`enter`] and [`Saved::attend`]; with `maps` also for the maps of
    /// samples of so many tokens.
    pub fn unfilled(rows: usize, weights: &Weights<'_>, maps: Option<usize>) -> Self {
        Self {
            normalised: Buffer::unfilled(rows * weights.norm.gain.len()),
            projection: Buffer::unfilled(rows * weights.columns()),
            read: Buffer::unfilled(rows * weights.inner()),
            statistics: Buffer::unfilled(2 * rows * weights.heads),
            maps: maps.map(|tokens| Buffer::unfilled(rows * tokens * weights.heads)),
        }
    }

    /// `H` of every sample and head from `W`, in parallel, and the maps if there is room for them; `tokens` is `n`.
    ///
    /// # Panics
    /// If `W` does not hold whole samples of `tokens` rows.
    pub fn attend(&mut self, tokens: usize, weights: &Weights<'_>) {
        heads::forward_all(self, tokens, weights);
    }
}

/// The block by itself: `Y`, and what led to it. Within a stack, [`super::stack`] runs its parts between those of the
/// other blocks.
///
/// # Shapes
/// z (b n, d), `tokens` is `n`; gives (b n, d).
///
/// # Panics
/// If `z` does not hold whole samples, or the weights do not fit each other.
pub fn forward(z: &[f32], tokens: usize, weights: &Weights<'_>) -> (Buffer, Saved) {
    let rows = z.len() / weights.norm.gain.len();
    let mut saved = Saved::unfilled(rows, weights, None);
    enter(z, weights, &mut saved.normalised, &mut saved.projection);
    saved.attend(tokens, weights);
    let mut y = Buffer::unfilled(z.len());
    leave(z, &saved.read, weights, &mut y);
    (y, saved)
}

/// `X = LN(Z)` and `W = X P^T + w` of some rows.
///
/// # Shapes
/// z and x (rows, d), w (rows, columns of `W`).
///
/// # Panics
/// If a slice is shorter, or the weights do not fit each other.
pub fn enter(z: &[f32], weights: &Weights<'_>, x: &mut [f32], w: &mut [f32]) {
    let (d, columns) = (weights.norm.gain.len(), weights.columns());
    let rows = z.len() / d;
    layer_norm::forward(z, weights.norm, x);
    if let Some(bias) = weights.projection_bias {
        for row in w.chunks_exact_mut(columns) {
            row.copy_from_slice(bias);
        }
    }
    let biased = weights.projection_bias.is_some();
    let result = MatrixMut::new(w, rows, columns);
    product(
        result,
        Matrix::new(x, rows, d),
        weights.projection,
        1.0,
        biased,
    );
}

/// `Y = Z + H O^T + o` of some rows, or `Z + H` without an output projection.
///
/// # Shapes
/// z and y (rows, d), read, which is `H`, (rows, k p).
///
/// # Panics
/// If a slice is shorter, or the weights do not fit each other.
pub fn leave(z: &[f32], read: &[f32], weights: &Weights<'_>, y: &mut [f32]) {
    let (d, inner) = (weights.norm.gain.len(), weights.inner());
    let rows = z.len() / d;
    match weights.output {
        Some((output, bias)) => {
            add_bias(y, z, bias);
            let result = MatrixMut::new(y, rows, d);
            product(result, Matrix::new(read, rows, inner), output, 1.0, true);
        }
        None => {
            y.copy_from_slice(z);
            add_to(y, read);
        }
    }
}

/// `dH = G O` of some rows; `sums` receives `do` of every group of tokens.
///
/// # Shapes
/// dy, which is `G`, (rows, d), dread (rows, k p), sums (groups, d), or empty without an output projection.
///
/// # Panics
/// If a slice is shorter, or the weights do not fit each other.
pub fn leave_backward(dy: &[f32], adjoint: &Weights<'_>, dread: &mut [f32], sums: &mut [f32]) {
    let (d, inner) = (adjoint.norm.gain.len(), adjoint.inner());
    let rows = dy.len() / d;
    match adjoint.output {
        Some((output, _)) => {
            sum_groups(dy, d, sums);
            let result = MatrixMut::new(dread, rows, inner);
            product(result, Matrix::new(dy, rows, d), output, 1.0, false);
        }
        None => dread.copy_from_slice(dy),
    }
}

/// Turns `dY` of some rows into `dZ` in place; `sums` receives the sums of the LayerNorm, see
/// [`layer_norm::backward`], and `bias_sums` `dw` of every group of tokens.
///
/// # Shapes
/// z and dy (rows, d), dw (rows, columns of `W`), sums (groups, 2 d), bias_sums (groups, columns of `W`), or empty
/// without a bias.
///
/// # Panics
/// If a slice is shorter, or the weights do not fit each other.
pub fn enter_backward(
    z: &[f32],
    dw: &[f32],
    adjoint: &Weights<'_>,
    dy: &mut [f32],
    [sums, bias_sums]: [&mut [f32]; 2],
) {
    let (d, columns) = (adjoint.norm.gain.len(), adjoint.columns());
    let rows = z.len() / d;
    if adjoint.projection_bias.is_some() {
        sum_groups(dw, columns, bias_sums);
    }
    let mut dx = Buffer::unfilled(z.len());
    let result = MatrixMut::new(&mut dx, rows, d);
    product(
        result,
        Matrix::new(dw, rows, columns),
        adjoint.projection,
        1.0,
        false,
    );
    layer_norm::backward(z, adjoint.norm, &dx, dy, true, sums);
}
