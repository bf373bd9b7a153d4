//! One CRATE layer: the compression block, then the sparsification block.

use super::{ista, mssa};

/// Parameters of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// Compression.
    pub mssa: mssa::Weights<'a>,
    /// Sparsification.
    pub ista: ista::Weights<'a>,
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Compression.
    pub mssa: mssa::Gradients,
    /// Sparsification.
    pub ista: ista::Gradients,
}

/// Everything a layer makes on the way.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Of the compression block.
    pub mssa: mssa::Saved,
    /// `Z^{l+1/2}`, (b n, d).
    pub after_mssa: Vec<f32>,
    /// Of the sparsification block.
    pub ista: ista::Saved,
}

/// `Z^{l+1}` and what led to it.
///
/// # Shapes
/// z (b n, d); `keep` says which attention maps (b, k, n, n) are kept.
pub fn forward(
    z: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    keep: mssa::Keep,
) -> (Vec<f32>, Saved) {
    let (after_mssa, mssa) = mssa::forward(z, tokens, &weights.mssa, keep);
    let (after_ista, ista) = ista::forward(&after_mssa, &weights.ista);
    let saved = Saved {
        mssa,
        after_mssa,
        ista,
    };
    (after_ista, saved)
}

/// Turns the derivative by the layer's output into that by its input, in place, and adds those by
/// the weights to `gradients`.
///
/// # Shapes
/// z (the input), output and derivative (b n, d).
pub fn backward(
    z: &[f32],
    output: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    saved: &Saved,
    derivative: &mut [f32],
    gradients: &mut Gradients,
) {
    ista::backward(
        &saved.after_mssa,
        output,
        &weights.ista,
        &saved.ista,
        derivative,
        &mut gradients.ista,
    );
    mssa::backward(
        z,
        tokens,
        &weights.mssa,
        &saved.mssa,
        derivative,
        &mut gradients.mssa,
    );
}
