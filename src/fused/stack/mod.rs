//! A stack of blocks, each of which works on what the one before made, in any order.
//!
//! Only attention knows more than one token at a time. Between two attentions a block of rows goes through everything
//! that lies there at once: forward from `H` of the one over all [`super::rowwise`] blocks to `X` and `W` of the next,
//! backward from `dW` of the one down to `dH` of the one below. The gradients of the weights, sums over all tokens, are
//! products of their own beside the attention's adjoint. That makes two regions of parallel work an attention in each
//! direction, and not one for every operation.

mod backward;
mod forward;

pub use backward::backward;
pub use forward::forward;

use super::buffer::Buffer;
use super::rowwise::{self, Rowwise};
use super::{attention, layer_norm};

/// A block with its parameters. For the adjoint the matrices are in the order that their documentation says.
#[derive(Debug)]
pub enum Block<'a> {
    /// `Y = Z + MSSA(LN(Z))`, or MHSA.
    Attention(attention::Weights<'a>),
    /// A block that knows one token at a time.
    Rowwise(Box<dyn Rowwise + 'a>),
}

impl Block<'_> {
    /// `d`.
    fn width(&self) -> usize {
        match self {
            Self::Attention(attention) => attention.norm.gain.len(),
            Self::Rowwise(block) => block.width(),
        }
    }

    fn is_attention(&self) -> bool {
        matches!(self, Self::Attention(_))
    }
}

/// Everything a block makes on the way.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Within the block.
    pub inner: Inner,
    /// What the block makes of its input, (b n, d).
    pub output: Buffer,
}

/// What a block keeps for its adjoint.
#[derive(Debug, Clone)]
pub enum Inner {
    /// Of attention.
    Attention(attention::Saved),
    /// Of any other block.
    Rowwise(rowwise::Saved),
}

impl Saved {
    fn unfilled(rows: usize, block: &Block<'_>, maps: Option<usize>) -> Self {
        Self {
            inner: match block {
                Block::Attention(weights) => {
                    Inner::Attention(attention::Saved::unfilled(rows, weights, maps))
                }
                Block::Rowwise(block) => Inner::Rowwise(rowwise::Saved::unfilled(rows, &**block)),
            },
            output: Buffer::unfilled(rows * block.width()),
        }
    }

    /// `X`, what LayerNorm made of the block's input, (b n, d).
    pub fn normalised(&self) -> &[f32] {
        match &self.inner {
            Inner::Attention(saved) => &saved.normalised,
            Inner::Rowwise(saved) => &saved.normalised,
        }
    }

    /// Of attention.
    pub fn attention(&self) -> Option<&attention::Saved> {
        match &self.inner {
            Inner::Attention(saved) => Some(saved),
            Inner::Rowwise(_) => None,
        }
    }
}

/// Derivatives by the parameters of a block and its LayerNorm.
#[derive(Debug, Clone)]
pub enum Gradients {
    /// Of attention.
    Attention(attention::Gradients),
    /// Of any other block.
    Rowwise(rowwise::Gradients),
}

impl Gradients {
    /// Of the LayerNorm before the block.
    pub fn norm_mut(&mut self) -> &mut layer_norm::Gradients {
        match self {
            Self::Attention(gradients) => &mut gradients.norm,
            Self::Rowwise(gradients) => &mut gradients.norm,
        }
    }

    /// Of a block's own parameters, in the order that it names; none of attention, which has names for them.
    pub fn weights(self) -> Vec<Vec<f32>> {
        match self {
            Self::Attention(_) => Vec::new(),
            Self::Rowwise(gradients) => gradients.weights,
        }
    }
}
