//! A batch in fixed shards on as many threads as there are: losses and gradients are added in the order of the
//! shards, so that the thread count cannot change a weight.

use std::ops::Range;

use dfdx::tensor_ops::Backward;

use super::optimiser::gradients_of;
use super::task::Loss;
use crate::error::{Error, Result};
use crate::model::{Network, Runs, Runtime};

/// Numbers in the tokens of a shard up to which shards run side by side.
const SMALL_SHARD: usize = 1 << 18;

/// How a batch is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Examples of the batch.
    pub(super) examples: usize,
    /// Examples per shard; the device may want them all in one.
    pub(super) shard: usize,
    /// Numbers in the tokens of an example.
    pub(super) numbers: usize,
}

/// What comes of a batch or of a shard.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The loss, weighted.
    pub(super) loss: f64,
    /// Its gradient by parameter, in the order of the network.
    pub(super) gradients: Vec<Vec<f32>>,
    /// By shard.
    pub(super) notes: Vec<Vec<f32>>,
}

impl Found {
    /// By going back along the tape of a shard's loss.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub(super) fn of<N: Network<f32, D>, D: Runtime<f32>>(
        network: &N,
        loss: Loss<D>,
    ) -> Result<Self> {
        let value = f64::from(loss.value.as_vec()[0]);
        let gradients = loss.value.try_backward().map_err(Error::device)?;
        Ok(Self {
            loss: value,
            gradients: gradients_of(network, gradients)?,
            notes: vec![loss.notes],
        })
    }

    fn add(&mut self, shard: Self) {
        self.loss += shard.loss;
        for (total, gradient) in self.gradients.iter_mut().zip(shard.gradients) {
            for (t, g) in total.iter_mut().zip(gradient) {
                *t += g;
            }
        }
        self.notes.extend(shard.notes);
    }
}

/// The sum over the shards of a batch of what `shard` finds for a range of its examples, whose share of them is
/// the weight.
///
/// # Errors
/// Those of `shard`; [`Error::Thread`] if no thread can start.
pub(super) fn sum<N: Network<f32, D>, D: Runtime<f32> + Runs<N>>(
    network: &N,
    cut: Cut,
    threads: usize,
    shard: impl Fn(&N, Range<usize>, f64) -> Result<Found> + Sync,
) -> Result<Found> {
    let examples = cut.examples;
    // A device that takes one piece at a time gets the whole batch.
    let size = if D::is_shared() {
        cut.shard.clamp(1, examples.max(1))
    } else {
        examples.max(1)
    };
    let shards = examples.div_ceil(size);
    let shard = |network: &N, index: usize| {
        let range = index * size..((index + 1) * size).min(examples);
        let weight = range.len() as f64 / examples as f64;
        shard(network, range, weight)
    };
    let mut sum: Option<Found> = None;
    let mut add = |found: Found| match &mut sum {
        None => sum = Some(found),
        Some(total) => total.add(found),
    };
    // The sums are the same either way.
    let small = cut.numbers.saturating_mul(cut.shard) <= SMALL_SHARD;
    if D::is_shared() && shards >= threads && small {
        D::run_pieces(network, shards, threads, shard, Ok)?
            .into_iter()
            .for_each(add);
    } else {
        for index in 0..shards {
            add(D::within(threads, &mut network.clone(), |network| {
                shard(network, index)
            })??);
        }
    }
    Ok(sum.unwrap_or_default())
}
