//! What the blocks have in common of which a token's output depends on that token alone: everything but attention.
//!
//! `Z' = f(X)` or `Z' = Y + f(X)`, `X = LN(Y)`. In a [`super::stack`] such blocks run back to back on the rows that are
//! in the cache.

use super::buffer::Buffer;
use super::layer_norm;
use super::product::gradient::Sum;
use super::rows::Sums;

/// A block that knows one token at a time, with its parameters.
pub trait Rowwise: std::fmt::Debug + Sync {
    /// `d`.
    fn width(&self) -> usize;

    /// Numbers of a token that the block keeps for its adjoint, beside its input, `X` and its output: of two kinds.
    fn kept_widths(&self) -> [usize; 2];

    /// Numbers of a token that the adjoint makes for the gradients of the weights, beside `dZ'`.
    fn derived_width(&self) -> usize;

    /// Numbers in each of two sums over all tokens that the adjoint makes: the gradients of biases.
    fn bias_widths(&self) -> [usize; 2];

    /// Numbers of a product over all tokens that is not a gradient yet, but becomes one in [`Rowwise::unfold`].
    fn folded_size(&self) -> usize {
        0
    }

    /// `Z'` of some rows, with what the backward pass reads.
    ///
    /// # Shapes
    /// y, x and z (rows, d); kept as [`Rowwise::kept_widths`] says.
    fn forward(&self, y: &[f32], x: &mut [f32], kept: [&mut [f32]; 2], z: &mut [f32]);

    /// `dY` of some rows from `dZ'`, which becomes what [`Rowwise::sums`] reads; `derived` and the sums of every group of
    /// tokens, of LayerNorm's (see [`layer_norm::backward`]) and of the biases, are made beside it.
    ///
    /// # Shapes
    /// dz and dy (rows, d), and as the widths say.
    fn backward(
        &self,
        rows: Rows<'_>,
        dz: &mut [f32],
        dy: &mut [f32],
        derived: &mut [f32],
        sums: [&mut [f32]; 3],
    );

    /// Adds the products that make the gradients of the weights to `products`, and what is a sum to its gradient.
    /// `folded` are zeros of [`Rowwise::folded_size`].
    fn sums<'a>(
        &self,
        saved: &'a Saved,
        derivatives: &'a Derivatives,
        gradients: &'a mut [Vec<f32>],
        folded: &'a mut [f32],
        products: &mut Vec<Sum<'a>>,
    );

    /// Makes gradients of what the products came to in `folded`.
    fn unfold(&self, _folded: Buffer, _gradients: &mut [Vec<f32>]) {}
}

/// What the adjoint reads of some rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// `Y`, (rows, d).
    pub input: &'a [f32],
    /// As [`Rowwise::kept_widths`] says.
    pub kept: [&'a [f32]; 2],
    /// `Z'`, (rows, d).
    pub output: &'a [f32],
}

/// What the forward pass makes on the way; the backward pass reads it.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// `X`, (rows, d).
    pub normalised: Buffer,
    /// As [`Rowwise::kept_widths`] says.
    pub kept: [Buffer; 2],
}

impl Saved {
    /// For so many rows.
    pub fn unfilled(rows: usize, block: &dyn Rowwise) -> Self {
        Self {
            normalised: Buffer::unfilled(rows * block.width()),
            kept: block
                .kept_widths()
                .map(|width| Buffer::unfilled(rows * width)),
        }
    }
}

/// What the backward pass makes of all tokens, for the gradients of the weights.
#[derive(Debug)]
pub struct Derivatives {
    /// `dZ'`, or what the block's adjoint made of it, (rows, d).
    pub output: Buffer,
    /// As [`Rowwise::derived_width`] says.
    pub derived: Buffer,
    /// Of LayerNorm's gain and bias, one after the other.
    pub norm: Sums,
    /// As [`Rowwise::bias_widths`] says.
    pub biases: [Sums; 2],
}

impl Derivatives {
    /// For so many rows; `output` is still to be put in.
    pub fn unfilled(rows: usize, block: &dyn Rowwise) -> Self {
        Self {
            output: Buffer::default(),
            derived: Buffer::unfilled(rows * block.derived_width()),
            norm: Sums::of(rows, 2 * block.width()),
            biases: block.bias_widths().map(|width| Sums::of(rows, width)),
        }
    }
}

/// Derivatives by the parameters of a block and its LayerNorm.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Of the LayerNorm.
    pub norm: layer_norm::Gradients,
    /// Of the block's parameters, in the order that it names.
    pub weights: Vec<Vec<f32>>,
}
