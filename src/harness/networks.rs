//! The networks that an experiment trains: kept beside its record until that is written, so that an
//! interrupted run finds them again and goes on with the training it was at.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dfdx::prelude::Cpu;
use indicatif::ProgressBar;
use serde::Serialize;

use super::run::Run;
use super::{console, record};
use crate::artefact;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::checkpoint::{self, Checkpoint, Stored};
use crate::model::{Classifier, Runs};
use crate::train::task::{Scored, Task};
use crate::train::{self, Classify, Epoch, Observer, Recipe, Score};

/// How long an experiment trains between two writings of its state.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// A folder of trained networks.
#[derive(Debug)]
pub struct Networks {
    folder: PathBuf,
    threads: usize,
    bar: ProgressBar,
}

/// A network at the end of its training, and what it is worth.
#[derive(Debug, Clone)]
pub struct Trained<N = Classifier<f32, Cpu>, S = Score> {
    /// Its parameters then.
    pub network: N,
    /// The record of every epoch.
    pub epochs: Vec<Epoch<S>>,
    /// The network after each of the epochs asked for, in their order.
    pub stages: Vec<N>,
}

impl Trained {
    /// Accuracy on the held-out images at the end; NaN without an epoch.
    pub fn accuracy(&self) -> f64 {
        self.epochs.last().map_or(f64::NAN, |e| e.held_out.accuracy)
    }
}

/// What to train on.
#[derive(Debug, Clone, Copy)]
pub struct ClassifierTraining<'a> {
    /// Training images.
    pub images: &'a Images,
    /// Held-out images.
    pub held_out: &'a Images,
    /// How.
    pub recipe: &'a Recipe,
    /// Of order and augmentation.
    pub seed: u64,
}

impl ClassifierTraining<'_> {
    /// Optimiser steps it takes.
    pub fn steps(&self) -> usize {
        self.images.len().div_ceil(self.recipe.batch) * self.recipe.epochs
    }
}

impl Networks {
    /// The folder of `run` for networks of these `settings`: other settings, or another state of the
    /// source, do not find them. `steps` is the length of all training, for the progress bar.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn of(run: &Run, settings: &impl Serialize, steps: usize) -> Result<Self> {
        let identity = serde_json::json!([settings, run.seed, record::commit()]).to_string();
        let key = &artefact::sha256(identity.as_bytes())[..12];
        let folder = run.path(&format!("networks-{key}"));
        artefact::check_writable(&folder)?;
        run.remove_when_recorded(folder.clone());
        Ok(Self {
            folder,
            threads: run.threads,
            bar: console::progress(steps, "training"),
        })
    }

    /// Trains a classifier, or finds it trained. `stages` are epochs, in rising order, after which the
    /// network is kept too.
    ///
    /// # Errors
    /// As [`Networks::train_for`].
    pub fn train(
        &self,
        name: &str,
        network: Classifier<f32, Cpu>,
        lesson: ClassifierTraining<'_>,
        stages: &[usize],
    ) -> Result<Trained> {
        let (images, held_out, recipe) = (lesson.images, lesson.held_out, lesson.recipe);
        let task = Classify::new(network.config(), images, held_out, recipe);
        self.train_for(&task, name, network, (recipe, lesson.seed), stages)
    }

    /// Trains `network` for any task by a recipe from a seed, or finds it trained. `stages` are epochs, in rising order,
    /// after which the network is kept too.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a number stops being one, [`Error::Interrupted`] by Ctrl-C, those of the task,
    /// [`Error::File`] if a state belongs to another run, [`Error::Io`], [`Error::Device`].
    pub fn train_for<T: Task<Cpu>>(
        &self,
        task: &T,
        name: &str,
        mut network: T::Network,
        (recipe, seed): (&Recipe, u64),
        stages: &[usize],
    ) -> Result<Trained<T::Network, T::Score>>
    where
        T::Network: Stored,
        Cpu: Runs<T::Network>,
    {
        let file = |ending: &str| self.folder.join(format!("{name}{ending}.safetensors"));
        let start = self.bar.position();
        let (end, state) = (file(""), self.folder.join(format!("{name}.state")));
        let epochs = if end.exists() {
            let (found, epochs) = read(&end)?;
            network = found;
            epochs
        } else {
            let mut keeper = Keeper {
                bar: &self.bar,
                start,
                name,
                stop: console::asked_to_stop(),
                keep: |epoch: &Epoch<T::Score>, network: &T::Network| {
                    if stages.contains(&epoch.epoch) {
                        let path = file(&format!("-{}", epoch.epoch));
                        checkpoint::write(&path, network, &serde_json::json!([]))?;
                    }
                    Ok(())
                },
                failure: None,
            };
            let run = train::Circumstances {
                seed,
                threads: self.threads,
                state_file: Some(&state),
                save_every: SAVE_EVERY,
            };
            let epochs = train::train(&mut network, task, recipe, &run, &mut keeper);
            if let Some(failure) = keeper.failure {
                return Err(failure);
            }
            let epochs = epochs?;
            checkpoint::write(&end, &network, &serde_json::json!(epochs))?;
            epochs
        };
        let steps = task.examples().div_ceil(recipe.batch) * recipe.epochs;
        self.bar.set_position(start + steps as u64);
        let stages = stages.iter().map(|epoch| {
            let (network, _) = read::<T::Network, T::Score>(&file(&format!("-{epoch}")))?;
            Ok(network)
        });
        Ok(Trained {
            network,
            epochs,
            stages: stages.collect::<Result<_>>()?,
        })
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A network, and the epochs of its training.
fn read<N: Stored, S: Scored>(path: &Path) -> Result<(N, Vec<Epoch<S>>)> {
    let file = Checkpoint::read(path)?;
    let network = N::of_file(&file)?;
    let epochs = file.training.unwrap_or_default();
    let epochs = serde_json::from_value(epochs).map_err(|e| {
        Error::file(
            path,
            "a network with the record of its training",
            e.to_string(),
            "delete it",
        )
    })?;
    Ok((network, epochs))
}

/// Moves the bar, keeps networks, heeds a wish to stop.
struct Keeper<'a, K> {
    bar: &'a ProgressBar,
    start: u64,
    name: &'a str,
    stop: &'a AtomicBool,
    keep: K,
    failure: Option<Error>,
}

impl<N, S, K: FnMut(&Epoch<S>, &N) -> Result<()>> Observer<N, S> for Keeper<'_, K> {
    fn step(&mut self, step: usize, _: usize, loss: f64) {
        self.bar.set_position(self.start + step as u64);
        self.bar
            .set_message(format!("{}, loss {loss:.3}", self.name));
    }

    fn epoch(&mut self, epochs: &[Epoch<S>], network: &N) {
        let kept = epochs.last().map(|epoch| (self.keep)(epoch, network));
        if let Some(Err(failure)) = kept {
            self.failure.get_or_insert(failure);
        }
    }

    fn wants_to_stop(&self) -> bool {
        self.failure.is_some() || self.stop.load(Ordering::Relaxed)
    }
}
