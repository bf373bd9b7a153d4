//! One layer: the compression block, or attention, then the sparsification block, or an MLP.

use super::{attention, ista, mlp};

/// Parameters of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// MSSA or MHSA.
    pub attention: attention::Weights<'a>,
    /// ISTA or MLP.
    pub feed_forward: FeedForward<ista::Weights<'a>, mlp::Weights<'a>>,
}

/// One of two: what belongs to an ISTA block, or to an MLP.
#[derive(Debug, Clone, Copy)]
pub enum FeedForward<I, M> {
    /// Sparsification.
    Ista(I),
    /// The block of a transformer.
    Mlp(M),
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// MSSA or MHSA.
    pub attention: attention::Gradients,
    /// ISTA or MLP.
    pub feed_forward: FeedForward<ista::Gradients, mlp::Gradients>,
}

/// Everything a layer makes on the way.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Of the first block.
    pub attention: attention::Saved,
    /// `Z^{l+1/2}`, (b n, d).
    pub after_attention: Vec<f32>,
    /// Of the second block.
    pub feed_forward: FeedForward<ista::Saved, mlp::Saved>,
}

impl Saved {
    /// What the second block works on, (b n, d).
    pub fn normalised_after_attention(&self) -> &[f32] {
        match &self.feed_forward {
            FeedForward::Ista(saved) => &saved.normalised,
            FeedForward::Mlp(saved) => &saved.normalised,
        }
    }
}

/// `Z^{l+1}` and what led to it.
///
/// # Shapes
/// z (b n, d); `keep` says which attention maps (b, k, n, n) are kept.
pub fn forward(
    z: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    keep: attention::Keep,
) -> (Vec<f32>, Saved) {
    let (after_attention, attention) = attention::forward(z, tokens, &weights.attention, keep);
    let (output, feed_forward) = match &weights.feed_forward {
        FeedForward::Ista(weights) => {
            let (output, saved) = ista::forward(&after_attention, weights);
            (output, FeedForward::Ista(saved))
        }
        FeedForward::Mlp(weights) => {
            let (output, saved) = mlp::forward(&after_attention, weights);
            (output, FeedForward::Mlp(saved))
        }
    };
    let saved = Saved {
        attention,
        after_attention,
        feed_forward,
    };
    (output, saved)
}

/// Turns the derivative by the layer's output into that by its input, in place, and adds those by
/// the weights to `gradients`.
///
/// # Shapes
/// z (the input), output and derivative (b n, d).
///
/// # Panics
/// If weights, gradients and what was saved are not all of the same kind of block.
pub fn backward(
    z: &[f32],
    output: &[f32],
    tokens: usize,
    weights: &Weights<'_>,
    saved: &Saved,
    derivative: &mut [f32],
    gradients: &mut Gradients,
) {
    let y = &saved.after_attention;
    match (
        &weights.feed_forward,
        &saved.feed_forward,
        &mut gradients.feed_forward,
    ) {
        (FeedForward::Ista(weights), FeedForward::Ista(saved), FeedForward::Ista(gradients)) => {
            ista::backward(y, output, weights, saved, derivative, gradients);
        }
        (FeedForward::Mlp(weights), FeedForward::Mlp(saved), FeedForward::Mlp(gradients)) => {
            mlp::backward(y, weights, saved, derivative, gradients);
        }
        _ => unreachable!("a layer keeps its kind of block"),
    }
    attention::backward(
        z,
        tokens,
        &weights.attention,
        &saved.attention,
        derivative,
        &mut gradients.attention,
    );
}
