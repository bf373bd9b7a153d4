//! Training on the CPU: fixed shards of a batch on as many threads as there are, gradients added in
//! the order of the shards, so that the thread count cannot change a weight.
//!
//! | file | what |
//! |---|---|
//! | [`augment`] | random shift and flip |
//! | [`optimiser`] | AdamW and Lion over the parameters of a network |
//! | [`state`] | what a run needs to go on after an interruption |

pub mod augment;
pub mod optimiser;
pub mod state;

use std::path::Path;

use dfdx::prelude::*;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::probe::NoProbe;
use crate::model::CrateClassifier;
use crate::{parallel, seed};
use augment::Augmentation;
use optimiser::{gradients_of, Method, Optimiser};

/// Images per shard: part of the definition of a result, since sums are made shard by shard.
const SHARD: usize = 16;

/// Numbers in the tokens of a shard up to which shards run side by side.
const SMALL_SHARD: usize = 1 << 18;

/// Images per piece of an evaluation.
const EVALUATION_PIECE: usize = 50;

/// Everything that fixes a training run apart from network, data and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay, on every parameter as in the official code.
    pub weight_decay: f64,
    /// Epochs of linear warm-up, before the cosine.
    pub warmup_epochs: f64,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Random changes to training images.
    pub augmentation: Augmentation,
}

impl Recipe {
    /// The recipe of the networks that ship with this project, for small images.
    pub fn demo() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            learning_rate: 1e-3,
            weight_decay: 0.05,
            warmup_epochs: 0.5,
            label_smoothing: 0.1,
            augmentation: Augmentation {
                shift: 2,
                flip: true,
            },
        }
    }

    /// Learning rate at `step` of `steps`: linear warm-up, then a half cosine to zero.
    pub fn learning_rate_at(&self, step: usize, steps: usize) -> f64 {
        let warmup = self.warmup_epochs * steps as f64 / self.epochs.max(1) as f64;
        let step = step as f64;
        if step < warmup {
            return self.learning_rate * (step + 1.0) / (warmup + 1.0);
        }
        let progress = (step - warmup) / (steps as f64 - warmup).max(1.0);
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    /// Refuses values outside their range.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the flag.
    pub fn check(&self) -> Result<()> {
        let number = |name: &str, value: f64, valid: bool, wanted: &str| {
            if valid {
                return Ok(());
            }
            Err(Error::argument(
                name,
                wanted,
                value.to_string(),
                "change it",
            ))
        };
        let finite = |value: f64| value.is_finite() && value >= 0.0;
        let (epochs, batch) = (self.epochs as f64, self.batch as f64);
        number("--epochs", epochs, self.epochs > 0, "at least 1")?;
        number("--batch", batch, self.batch > 0, "at least 1")?;
        let rate = self.learning_rate;
        number("--learning-rate", rate, finite(rate), "a number >= 0")?;
        let decay = self.weight_decay;
        number("--weight-decay", decay, finite(decay), "a number >= 0")?;
        let warmup = self.warmup_epochs;
        number("--warmup-epochs", warmup, finite(warmup), "a number >= 0")?;
        let smoothing = self.label_smoothing;
        let valid = (0.0..1.0).contains(&smoothing);
        number("--label-smoothing", smoothing, valid, "in [0, 1)")
    }
}

/// Mean loss and accuracy over a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy, nats.
    pub loss: f64,
    /// Fraction of images whose largest logit is that of their class.
    pub accuracy: f64,
}

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's steps, on augmented images with smoothed labels.
    pub training_loss: f64,
    /// On the held-out images.
    pub held_out: Score,
}

/// Watches a run; see [`train`].
pub trait Observer {
    /// After every optimiser step, with its loss.
    fn step(&mut self, step: usize, steps: usize, loss: f64);
    /// After every epoch.
    fn epoch(&mut self, epoch: &Epoch);
}

/// Trains `network` in place and returns the record of every epoch.
///
/// After each epoch the whole state goes to `state_file`, atomically; if that file is there at the
/// start and belongs to the same run, training goes on from it and ends with the same bytes as an
/// uninterrupted run.
///
/// # Errors
/// [`Error::Diverged`] if the loss stops being a number, [`Error::File`] if `state_file` belongs to
/// another run, [`Error::Io`], [`Error::Device`].
pub fn train(
    network: &mut CrateClassifier<f32, Cpu>,
    images: &Images,
    held_out: &Images,
    recipe: &Recipe,
    run: &Run<'_>,
    observer: &mut impl Observer,
) -> Result<Vec<Epoch>> {
    recipe.check()?;
    check_fit(network, images)?;
    let steps_per_epoch = images.len().div_ceil(recipe.batch);
    let steps = steps_per_epoch * recipe.epochs;
    let mut optimiser = Optimiser::new(Method::AdamW, recipe.weight_decay);
    let identity = state::identity(network, images, held_out, recipe, run.seed);
    let mut epochs = state::restore(run.state_file, &identity, network, &mut optimiser)?;
    for epoch in epochs.len()..recipe.epochs {
        let mut order: Vec<usize> = (0..images.len()).collect();
        order.shuffle(&mut seed::stream(run.seed, &format!("order/{epoch}")));
        let mut total = 0.0;
        for (index, batch) in order.chunks(recipe.batch).enumerate() {
            let step = epoch * steps_per_epoch + index;
            let (loss, gradients) = batch_gradients(network, images, batch, recipe, epoch, run)?;
            if !loss.is_finite() {
                return Err(Error::Diverged { step, loss });
            }
            let rate = recipe.learning_rate_at(step, steps);
            parallel::within(run.threads, || optimiser.step(network, &gradients, rate))??;
            total += loss * batch.len() as f64;
            observer.step(step + 1, steps, loss);
        }
        let record = Epoch {
            epoch: epoch + 1,
            training_loss: total / images.len() as f64,
            held_out: evaluate(network, held_out, run.threads)?,
        };
        observer.epoch(&record);
        epochs.push(record);
        state::save(run.state_file, &identity, network, &optimiser, &epochs)?;
    }
    Ok(epochs)
}

/// The circumstances of a run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Fixes order and augmentation.
    pub seed: u64,
    /// Threads; does not change the result.
    pub threads: usize,
    /// Where to keep the state after every epoch.
    pub state_file: &'a Path,
}

/// Mean loss of a batch and its gradient by parameter.
fn batch_gradients(
    network: &CrateClassifier<f32, Cpu>,
    images: &Images,
    batch: &[usize],
    recipe: &Recipe,
    epoch: usize,
    run: &Run<'_>,
) -> Result<(f64, Vec<Vec<f32>>)> {
    let labels: Vec<usize> = batch.iter().map(|&image| images.labels[image]).collect();
    gradients(
        network,
        &labels,
        recipe.label_smoothing,
        run.threads,
        |piece| {
            let mut input = Vec::new();
            for &image in &batch[piece] {
                let mut rng = seed::stream(run.seed, &format!("augment/{epoch}/{image}"));
                let changed = recipe.augmentation.apply(images, image, &mut rng);
                images.normalise_into(&changed, &mut input);
            }
            input
        },
    )
}

/// Mean smoothed cross-entropy of a batch and its gradient by parameter. `input` makes the images
/// (b, channels, height, width), normalised, of a range of the batch.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the network, [`Error::Device`].
pub fn gradients(
    network: &CrateClassifier<f32, Cpu>,
    labels: &[usize],
    smoothing: f64,
    threads: usize,
    input: impl Fn(std::ops::Range<usize>) -> Vec<f32> + Sync,
) -> Result<(f64, Vec<Vec<f32>>)> {
    let shards = labels.len().div_ceil(SHARD);
    let shard = |index: usize| {
        let range = index * SHARD..((index + 1) * SHARD).min(labels.len());
        let weight = range.len() as f64 / labels.len() as f64;
        let labels = &labels[range.clone()];
        shard_gradients(network, &input(range), labels, smoothing, weight)
    };
    let mut sum: Option<(f64, Vec<Vec<f32>>)> = None;
    let mut add = |(loss, part): (f64, Vec<Vec<f32>>)| match &mut sum {
        None => sum = Some((loss, part)),
        Some((total_loss, total)) => {
            *total_loss += loss;
            for (total, gradient) in total.iter_mut().zip(part) {
                for (t, g) in total.iter_mut().zip(gradient) {
                    *t += g;
                }
            }
        }
    };
    // Small shards side by side; large ones one after the other, each shared out by its kernels,
    // so that no more than one is in memory. The sums are the same either way.
    let config = network.config();
    let side_by_side = shards >= threads && config.tokens() * config.d * SHARD <= SMALL_SHARD;
    if side_by_side {
        parallel::map(shards, threads, shard)?
            .into_iter()
            .for_each(add);
    } else {
        for index in 0..shards {
            add(parallel::within(threads, || shard(index))??);
        }
    }
    Ok(sum.unwrap_or_default())
}

/// `weight` times the mean smoothed cross-entropy of a shard, and its gradient by parameter.
fn shard_gradients(
    network: &CrateClassifier<f32, Cpu>,
    input: &[f32],
    labels: &[usize],
    smoothing: f64,
    weight: f64,
) -> Result<(f64, Vec<Vec<f32>>)> {
    let classes = network.config().classes;
    let off = (smoothing / classes as f64) as f32;
    let on = off + (1.0 - smoothing) as f32;
    let mut targets = vec![off; labels.len() * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        row[label] = on;
    }
    let patches = network.patches(input)?;
    let targets = network
        .device()
        .try_tensor_from_vec(targets, (labels.len(), classes))
        .map_err(Error::device)?;
    let backward = || {
        let logits = network.try_forward_patches(patches.leaky_traced(), &mut NoProbe)?;
        let loss = cross_entropy_with_logits_loss(logits, targets) * weight as f32;
        let value = f64::from(loss.as_vec()[0]);
        Ok::<_, <Cpu as HasErr>::Err>((value, loss.try_backward()?))
    };
    let (loss, gradients) = backward().map_err(Error::device)?;
    Ok((loss, gradients_of(network, gradients)?))
}

/// Loss (without smoothing) and accuracy.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the network, [`Error::Device`].
pub fn evaluate(
    network: &CrateClassifier<f32, Cpu>,
    images: &Images,
    threads: usize,
) -> Result<Score> {
    check_fit(network, images)?;
    let classes = network.config().classes;
    let pieces = images.len().div_ceil(EVALUATION_PIECE);
    let parts = parallel::map(pieces, threads, |piece| {
        let start = piece * EVALUATION_PIECE;
        let end = (start + EVALUATION_PIECE).min(images.len());
        let logits = network.forward(&images.normalised(start..end))?;
        let (mut loss, mut correct) = (0.0, 0);
        for (row, &label) in logits.chunks_exact(classes).zip(&images.labels[start..end]) {
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            loss += largest + sum.ln() - row[label];
            correct += usize::from(row[label] == largest);
        }
        Ok((loss, correct))
    })?;
    let loss: f64 = parts.iter().map(|(loss, _)| loss).sum();
    let correct: usize = parts.iter().map(|(_, correct)| correct).sum();
    Ok(Score {
        loss: loss / images.len() as f64,
        accuracy: correct as f64 / images.len() as f64,
    })
}

/// Refuses images that the network cannot read.
///
/// # Errors
/// [`Error::Shape`] naming both.
pub fn check_fit(network: &CrateClassifier<f32, Cpu>, images: &Images) -> Result<()> {
    let config = network.config();
    let wanted = [config.channels, config.image_size[0], config.image_size[1]];
    if images.shape != wanted {
        return Err(Error::shape(
            format!("images of {}", images.name),
            format!("{wanted:?} (channels, height, width)"),
            format!("{:?}", images.shape),
            "choose the data set the network was made for, or train one with --train",
        ));
    }
    if images.classes > config.classes {
        return Err(Error::shape(
            format!("classes of {}", images.name),
            format!("at most {}", config.classes),
            images.classes.to_string(),
            "choose the data set the network was made for, or train one with --train",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let recipe = Recipe {
            epochs: 10,
            batch: 1,
            learning_rate: 1.0,
            weight_decay: 0.0,
            warmup_epochs: 2.0,
            label_smoothing: 0.0,
            augmentation: Augmentation::default(),
        };
        let rates: Vec<f64> = (0..100).map(|s| recipe.learning_rate_at(s, 100)).collect();
        assert!(rates[..20].windows(2).all(|w| w[0] < w[1]));
        assert!(rates[20..].windows(2).all(|w| w[0] > w[1]));
        assert_eq!(rates[20], 1.0);
        assert!(rates[99] < 1e-2);
    }
}
