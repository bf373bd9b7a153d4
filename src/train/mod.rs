//! Training, of any network for any [`task`]: fixed shards of a batch on as many threads as there are, gradients
//! added in the order of the shards, so that the thread count cannot change a weight. Imports [`crate::model`],
//! [`crate::data`], [`crate::exact`] and [`crate::fused`]; no file names and no terminal, which are the harness's. Begin
//! with [`task`], then [`train`].
//!
//! | file | what |
//! |---|---|
//! | [`task`] | what is trained for: examples, loss, score, a hook after the step |
//! | [`tasks`] | the tasks |
//! | `shards` | a batch in shards, on threads |
//! | `ahead` | the next batch is made while a device works on this one |
//! | `average` | the exponential moving average of the weights |
//! | [`clip`] | gradients that are too long are scaled down |
//! | [`masking`] | which patches an autoencoder does not see |
//! | [`schedule`] | the course of learning rate and weight decay |
//! | [`penalty`] | the sparse rate reduction as a term of the objective |
//! | [`recipe`] | everything that fixes a run apart from network, data and seed |
//! | [`augment`], [`rand_augment`] | random changes to training pictures |
//! | [`optimiser`] | AdamW and Lion over the parameters of a network |
//! | [`score`] | loss and accuracy on labelled images |
//! | [`state`] | what a run needs to go on after an interruption |

mod ahead;
pub mod augment;
mod average;
pub mod clip;
pub mod masking;
pub mod optimiser;
pub mod penalty;
pub mod rand_augment;
pub mod recipe;
pub mod schedule;
pub mod score;
mod shards;
pub mod state;
pub mod task;
pub mod tasks;

use std::path::Path;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Runs, Runtime};
use crate::seed;
use ahead::ahead;
use average::Average;
pub use recipe::Recipe;
pub use score::{evaluate, Score, EVALUATION_PIECE};
use shards::{Cut, Found};
use state::State;
use task::{Draw, Step, Task};
pub use tasks::classify::{gradients, Classify, Objective};
pub use tasks::reconstruct::Reconstruct;

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch<S> {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's steps, on the examples as they entered the network.
    pub training_loss: f64,
    /// On the held-out examples.
    pub held_out: S,
}

/// Watches a run that trains a network `N` and finds scores `S`; see [`train`].
pub trait Observer<N, S> {
    /// After every optimiser step, with its loss.
    fn step(&mut self, step: usize, steps: usize, loss: f64);
    /// After every epoch, with all epochs so far and the network that was evaluated.
    fn epoch(&mut self, epochs: &[Epoch<S>], network: &N);
    /// Whether to stop in good order after this step.
    fn wants_to_stop(&self) -> bool {
        false
    }
}

/// Trains `network` for `task`, in place, and returns the record of every epoch. With [`Recipe::ema`] it is the
/// average of the weights that is evaluated and left in `network`.
///
/// After each epoch, every so often within one, and before it stops because the observer wants it, the
/// whole state goes to `state_file`, atomically; if that file is there at the start and belongs to the
/// same run, training goes on from it and ends with the same bytes as an uninterrupted run.
///
/// # Errors
/// [`Error::Diverged`] if the loss, a parameter or a held-out score stops being a number, those of the task,
/// [`Error::Interrupted`] if the observer wants it, [`Error::File`] if `state_file` belongs to another run,
/// [`Error::Io`], [`Error::Device`].
pub fn train<D: Runtime<f32> + Runs<T::Network>, T: Task<D>>(
    network: &mut T::Network,
    task: &T,
    recipe: &Recipe,
    run: &Circumstances<'_>,
    observer: &mut impl Observer<T::Network, T::Score>,
) -> Result<Vec<Epoch<T::Score>>> {
    recipe.check()?;
    task.check(network)?;
    let examples = task.examples();
    let per_epoch = examples.div_ceil(recipe.batch);
    let steps = per_epoch * recipe.epochs;
    let mut optimiser = recipe.optimiser(network)?;
    let mut average = recipe.ema.map(|decay| Average::of(network, decay));
    let state = State {
        path: run.state_file,
        identity: state::identity(network, task.identity(network), recipe, run.seed),
    };
    let mut progress = state.restore(network, &mut optimiser, average.as_mut())?;
    let mut saved = Instant::now();
    for epoch in progress.epochs.len()..recipe.epochs {
        let reached = |epoch: &Epoch<T::Score>| {
            recipe
                .stop_at_loss
                .is_some_and(|l| epoch.training_loss <= l)
        };
        if progress.epochs.last().is_some_and(reached) {
            break;
        }
        let mut order: Vec<usize> = (0..examples).collect();
        order.shuffle(&mut seed::stream(run.seed, &format!("order/{epoch}")));
        let mut batches = order.chunks(recipe.batch).skip(progress.batches);
        let draw = Draw {
            epoch,
            seed: run.seed,
        };
        let moves = |parameter: &str| task.moves(parameter, epoch);
        let mut take_step = |batch: &[usize], made: Option<T::Batch>| -> Result<()> {
            let index = progress.batches;
            let step = epoch * per_epoch + index;
            let found = batch_gradients(network, task, batch, draw, made, run.threads)
                .map_err(|e| e.with_device_remedy("lower `batch`, or choose another `device`"))?;
            let (loss, mut gradients) = (found.loss, found.gradients);
            if !loss.is_finite() {
                let (epoch, what) = (epoch + 1, format!("the loss is {loss}"));
                return Err(Error::Diverged { epoch, step, what });
            }
            optimiser.clear_resting(&mut gradients, moves);
            if let Some(longest) = recipe.gradient_clip {
                recipe.gradient_clip_by.clip(&mut gradients, longest);
            }
            optimiser.set_weight_decay(recipe.weight_decay_at(epoch, index, per_epoch));
            let rate = recipe.learning_rate_at(epoch, index, per_epoch);
            D::within(run.threads, network, |network| {
                optimiser.step(network, &gradients, rate)
            })??;
            task.after_step(
                network,
                &Step {
                    epoch,
                    step,
                    steps,
                    notes: &found.notes,
                },
            )?;
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
            // Every shard is made where it is computed: no core waits.
            batches.try_for_each(|batch| take_step(batch, None))?;
        } else {
            let make = |batch: &[usize]| task.batch(batch, draw);
            ahead(batches, make, |batch, made| take_step(batch, Some(made)))?;
        }
        let evaluated = match &average {
            Some(average) => average.network(network)?,
            None => network.clone(),
        };
        let score = task.score(&evaluated, run.threads);
        progress.epochs.push(Epoch {
            epoch: epoch + 1,
            training_loss: progress.loss / examples as f64,
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
pub struct Circumstances<'a> {
    /// Fixes the order of the examples and all that is drawn for them.
    pub seed: u64,
    /// Threads; does not change the result.
    pub threads: usize,
    /// Where to keep the state, if it is to be kept.
    pub state_file: Option<&'a Path>,
    /// How long to train between two writings of the state within an epoch.
    pub save_every: Duration,
}

/// Mean loss of a batch and its gradient by parameter. `made` is the batch, if it has been made: for a device that
/// takes all of it at once.
fn batch_gradients<D: Runtime<f32> + Runs<T::Network>, T: Task<D>>(
    network: &T::Network,
    task: &T,
    indices: &[usize],
    draw: Draw,
    made: Option<T::Batch>,
    threads: usize,
) -> Result<Found> {
    let cut = Cut {
        examples: indices.len(),
        shard: if made.is_some() {
            usize::MAX
        } else {
            task.shard()
        },
        numbers: task.numbers(network),
    };
    shards::sum(network, cut, threads, |network, range, weight| {
        let loss = match &made {
            Some(batch) => task.loss(network, batch, weight),
            None => task.loss(network, &task.batch(&indices[range], draw)?, weight),
        };
        Found::of(network, loss?)
    })
}
