//! Training on the CPU: fixed shards of a batch on as many threads as there are, gradients added in
//! the order of the shards, so that the thread count cannot change a weight.
//!
//! | file | what |
//! |---|---|
//! | `ahead` | the next batch is decoded while a device works on this one |
//! | `average` | the exponential moving average of the weights |
//! | [`penalty`] | the sparse rate reduction as a term of the objective |
//! | [`recipe`] | everything that fixes a run apart from network, data and seed |
//! | [`augment`], [`rand_augment`] | random changes to training pictures |
//! | [`optimiser`] | AdamW and Lion over the parameters of a network |
//! | [`score`] | loss and accuracy on labelled images |
//! | [`state`] | what a run needs to go on after an interruption |

mod ahead;
pub mod augment;
mod average;
pub mod optimiser;
pub mod penalty;
pub mod rand_augment;
pub mod recipe;
pub mod score;
pub mod state;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dfdx::prelude::*;
use ndarray::ArrayView3;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::probe::NoProbe;
use crate::model::{Backbone, Classifier};
use crate::seed;
use ahead::ahead;
use average::Average;
use optimiser::{gradients_of, Optimiser};
use penalty::Penalty;
pub use recipe::Recipe;
pub use score::{evaluate, Score, EVALUATION_PIECE};
use state::State;

/// Images per shard: part of the definition of a result, since sums are made shard by shard.
const SHARD: usize = 16;

/// Numbers in the tokens of a shard up to which shards run side by side.
const SMALL_SHARD: usize = 1 << 18;

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
pub trait Observer<D: Backbone<f32>> {
    /// After every optimiser step, with its loss.
    fn step(&mut self, step: usize, steps: usize, loss: f64);
    /// After every epoch, with all epochs so far and the network that was evaluated.
    fn epoch(&mut self, epochs: &[Epoch], network: &Classifier<f32, D>);
    /// Whether to stop in good order after this step.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

/// Trains `network` in place and returns the record of every epoch. With [`Recipe::ema`] it is the
/// average of the weights that is evaluated and left in `network`.
///
/// After each epoch, every so often within one, and before it stops because the observer wants it, the
/// whole state goes to `state_file`, atomically; if that file is there at the start and belongs to the
/// same run, training goes on from it and ends with the same bytes as an uninterrupted run.
///
/// # Errors
/// [`Error::Diverged`] if the loss, a parameter or a held-out logit stops being a number,
/// [`Error::Domain`] if the two sets of images have other classes, [`Error::Interrupted`] if the observer wants it,
/// [`Error::File`] if `state_file` belongs to another run, [`Error::Io`], [`Error::Device`].
pub fn train<D: Backbone<f32>>(
    network: &mut Classifier<f32, D>,
    images: &Images,
    held_out: &Images,
    recipe: &Recipe,
    run: &Run<'_>,
    observer: &mut impl Observer<D>,
) -> Result<Vec<Epoch>> {
    recipe.check()?;
    network.check_fit(images)?;
    network.check_fit(held_out)?;
    held_out.check_classes(&images.class_names)?;
    let per_epoch = images.len().div_ceil(recipe.batch);
    let steps = per_epoch * recipe.epochs;
    let mut optimiser = Optimiser::new(recipe.method, recipe.weight_decay, recipe.decay)
        .freezing(network, &recipe.freeze)?;
    let identity = state::identity(network, images, held_out, recipe, run.seed);
    let mut average = recipe.ema.map(|decay| Average::of(network, decay));
    let state = State {
        path: run.state_file,
        identity,
    };
    let mut progress = state.restore(network, &mut optimiser, average.as_mut())?;
    let mut saved = Instant::now();
    for epoch in progress.epochs.len()..recipe.epochs {
        let reached = |epoch: &Epoch| {
            recipe
                .stop_at_loss
                .is_some_and(|l| epoch.training_loss <= l)
        };
        if progress.epochs.last().is_some_and(reached) {
            break;
        }
        let mut order: Vec<usize> = (0..images.len()).collect();
        order.shuffle(&mut seed::stream(run.seed, &format!("order/{epoch}")));
        let mut batches = order.chunks(recipe.batch).skip(progress.batches);
        let inputs = Inputs {
            images,
            recipe,
            size: network.config().image_size,
            epoch,
            seed: run.seed,
        };
        let mut take_step = |batch: &[usize], made: Option<Vec<f32>>| -> Result<()> {
            let index = progress.batches;
            let step = epoch * per_epoch + index;
            let (loss, mut gradients) = batch_gradients(network, &inputs, batch, made, run.threads)
                .map_err(|e| e.with_device_remedy("lower `batch`, or choose another `device`"))?;
            if !loss.is_finite() {
                let (epoch, what) = (epoch + 1, format!("the loss is {loss}"));
                return Err(Error::Diverged { epoch, step, what });
            }
            optimiser.clear_frozen(&mut gradients);
            if let Some(longest) = recipe.gradient_clip {
                clip(&mut gradients, longest);
            }
            let rate = recipe.learning_rate_at(epoch, index, per_epoch);
            D::within(run.threads, network, |network| {
                optimiser.step(network, &gradients, rate)
            })??;
            if let Some(average) = &mut average {
                average.follow(network)?;
            }
            progress.batches += 1;
            progress.loss += loss * batch.len() as f64;
            observer.step(step + 1, steps, loss);
            let stop = observer.wants_to_stop();
            if stop || saved.elapsed() >= run.save_every {
                state.save(network, &optimiser, average.as_ref(), &progress)?;
                saved = Instant::now();
            }
            if stop {
                return Err(Error::Interrupted { step: step + 1 });
            }
            Ok(())
        };
        if D::is_shared() {
            // Every shard is decoded where it is computed: no core waits.
            batches.try_for_each(|batch| take_step(batch, None))?;
        } else {
            let make = |batch: &[usize]| inputs.of(batch);
            ahead(batches, make, |batch, made| take_step(batch, Some(made)))?;
        }
        let evaluated = match &average {
            Some(average) => average.network(network)?,
            None => network.clone(),
        };
        let score = evaluate(&evaluated, held_out, run.threads, || {});
        progress.epochs.push(Epoch {
            epoch: epoch + 1,
            training_loss: progress.loss / images.len() as f64,
            held_out: score.map_err(|error| match error {
                Error::Domain { name, got, .. } => Error::Diverged {
                    epoch: epoch + 1,
                    step: (epoch + 1) * per_epoch - 1,
                    what: format!("the {name} are {got}"),
                },
                other => other,
            })?,
        });
        observer.epoch(&progress.epochs, &evaluated);
        (progress.batches, progress.loss) = (0, 0.0);
        state.save(network, &optimiser, average.as_ref(), &progress)?;
        saved = Instant::now();
    }
    if let Some(average) = average {
        *network = average.network(network)?;
    }
    Ok(progress.epochs)
}

/// The circumstances of a run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Fixes order and augmentation.
    pub seed: u64,
    /// Threads; does not change the result.
    pub threads: usize,
    /// Where to keep the state, if it is to be kept.
    pub state_file: Option<&'a Path>,
    /// How long to train between two writings of the state within an epoch.
    pub save_every: Duration,
}

/// Scales gradients, as one vector, down to the length `longest`: PyTorch's `clip_grad_norm_`.
fn clip(gradients: &mut [Vec<f32>], longest: f64) {
    let square = |gradient: &Vec<f32>| gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    let factor = longest / (norm + 1e-6);
    if factor < 1.0 {
        for gradient in gradients.iter_mut().flatten() {
            *gradient *= factor as f32;
        }
    }
}

/// What the training images of an epoch become before they enter the network.
struct Inputs<'a> {
    images: &'a Images,
    recipe: &'a Recipe,
    /// Height and width that the network takes.
    size: [usize; 2],
    epoch: usize,
    seed: u64,
}

impl Inputs<'_> {
    /// Reads and changes the images `batch`, shared out as the kernels are.
    fn of(&self, batch: &[usize]) -> Result<Vec<f32>> {
        let inputs = batch.par_iter().map(|&image| {
            let mut rng = seed::stream(self.seed, &format!("augment/{}/{image}", self.epoch));
            let picture = self.images.picture(image)?;
            let changed = self
                .recipe
                .augmentation
                .apply(&picture, self.size, &mut rng);
            let mut input = Vec::new();
            self.images.normalise_into(&changed, &mut input);
            Ok(input)
        });
        Ok(inputs.collect::<Result<Vec<_>>>()?.concat())
    }
}

/// Mean loss of a batch and its gradient by parameter. `made` are its inputs, if they have been made: for a
/// device that takes the whole batch at once.
fn batch_gradients<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    inputs: &Inputs<'_>,
    batch: &[usize],
    made: Option<Vec<f32>>,
    threads: usize,
) -> Result<(f64, Vec<Vec<f32>>)> {
    let labels = batch.iter().map(|&image| inputs.images.labels[image]);
    let labels: Vec<usize> = labels.collect();
    let made = Mutex::new(made);
    gradients(
        network,
        &labels,
        inputs.recipe.objective(),
        threads,
        |piece| {
            let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
            made.map_or_else(|| inputs.of(&batch[piece]), Ok)
        },
    )
}

/// What training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Objective {
    /// Label smoothing of the cross-entropy.
    pub smoothing: f64,
    /// What is added to it.
    pub penalty: Option<Penalty>,
}

impl Recipe {
    /// What this recipe makes small.
    pub fn objective(&self) -> Objective {
        Objective {
            smoothing: self.label_smoothing,
            penalty: self.penalty,
        }
    }
}

/// Mean smoothed cross-entropy of a batch, and the gradient of the objective by parameter. `input` makes the images
/// (b, channels, height, width), normalised, of a range of the batch.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the network, [`Error::Argument`] if it has no such layer as the
/// penalty names, [`Error::Device`].
pub fn gradients<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    labels: &[usize],
    objective: Objective,
    threads: usize,
    input: impl Fn(std::ops::Range<usize>) -> Result<Vec<f32>> + Sync,
) -> Result<(f64, Vec<Vec<f32>>)> {
    // A device that takes one piece at a time gets the whole batch.
    let size = if D::is_shared() {
        SHARD
    } else {
        labels.len().max(1)
    };
    let shards = labels.len().div_ceil(size);
    // The tokens of the penalty with their bases, which are the same for every shard.
    let penalty = match objective.penalty {
        None => None,
        Some(penalty) => {
            let layers = network.layers();
            let layer = penalty.layer.checked_sub(1).and_then(|l| layers.get(l));
            let layer = layer.ok_or_else(|| {
                Error::argument(
                    "penalty.layer",
                    format!("one of the {} layers of the network", layers.len()),
                    penalty.layer.to_string(),
                    "change it with `set` penalty.layer=LAYER",
                )
            })?;
            Some((penalty, layer.bases()?))
        }
    };
    let penalty = penalty.as_ref().map(|(p, bases)| (p, bases.view()));
    let smoothing = objective.smoothing;
    let shard = |network: &Classifier<f32, D>, index: usize| {
        let range = index * size..((index + 1) * size).min(labels.len());
        let weight = range.len() as f64 / labels.len() as f64;
        let labels = &labels[range.clone()];
        shard_gradients(network, &input(range)?, labels, smoothing, penalty, weight)
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
    let side_by_side =
        D::is_shared() && shards >= threads && config.tokens() * config.d * SHARD <= SMALL_SHARD;
    if side_by_side {
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

/// `weight` times the mean smoothed cross-entropy of a shard, and its gradient by parameter.
fn shard_gradients<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    input: &[f32],
    labels: &[usize],
    smoothing: f64,
    penalty: Option<(&Penalty, ArrayView3<'_, f64>)>,
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
    let patches = patches.leaky_traced();
    let logits = match penalty {
        None => network.try_forward_patches(patches, &mut NoProbe),
        Some((penalty, bases)) => {
            let layer = penalty.layer - 1;
            let z = network.try_tokens(patches, layer, &mut NoProbe);
            let share = weight / labels.len() as f64;
            let z = penalty.put_on(z.map_err(Error::device)?, bases, share)?;
            network.try_logits(z, layer, &mut NoProbe)
        }
    }
    .map_err(Error::device)?;
    let loss = cross_entropy_with_logits_loss(logits, targets) * weight as f32;
    let value = f64::from(loss.as_vec()[0]);
    let gradients = loss.try_backward().map_err(Error::device)?;
    Ok((value, gradients_of(network, gradients)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_clipped_as_one_vector() {
        let mut gradients = vec![vec![3.0, 0.0], vec![4.0]];
        clip(&mut gradients, 10.0);
        assert_eq!(gradients, [vec![3.0, 0.0], vec![4.0]]);
        clip(&mut gradients, 1.0);
        let flat = gradients.concat();
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(close(flat[0], 0.6) && close(flat[2], 0.8), "{flat:?}");
    }
}
