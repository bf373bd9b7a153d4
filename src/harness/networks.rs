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
use crate::model::checkpoint::{self, Checkpoint};
use crate::model::Classifier;
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

/// A network at the end of its training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Its parameters then.
    pub network: Classifier<f32, Cpu>,
    /// The record of every epoch.
    pub epochs: Vec<Epoch<Score>>,
    /// The network after each of the epochs asked for, in their order.
    pub stages: Vec<Classifier<f32, Cpu>>,
}

impl Trained {
    /// Accuracy on the held-out images at the end; NaN without an epoch.
    pub fn accuracy(&self) -> f64 {
        self.epochs.last().map_or(f64::NAN, |e| e.held_out.accuracy)
    }
}

/// What to train on.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// Training images.
    pub images: &'a Images,
    /// Held-out images.
    pub held_out: &'a Images,
    /// How.
    pub recipe: &'a Recipe,
    /// Of order and augmentation.
    pub seed: u64,
}

impl Lesson<'_> {
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

    /// Trains `network`, or finds it trained. `stages` are epochs, in rising order, after which the
    /// network is kept too.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a number stops being one, [`Error::Interrupted`] by Ctrl-C, [`Error::Domain`] if the two
    /// sets of images have other classes, [`Error::File`] if a state belongs to another run, [`Error::Io`],
    /// [`Error::Device`].
    pub fn train(
        &self,
        name: &str,
        mut network: Classifier<f32, Cpu>,
        lesson: Lesson<'_>,
        stages: &[usize],
    ) -> Result<Trained> {
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
                keep: |epoch: &Epoch<Score>, network: &Classifier<f32, Cpu>| {
                    if stages.contains(&epoch.epoch) {
                        let path = file(&format!("-{}", epoch.epoch));
                        checkpoint::write(&path, network, &serde_json::json!([]))?;
                    }
                    Ok(())
                },
                failure: None,
            };
            let run = train::Run {
                seed: lesson.seed,
                threads: self.threads,
                state_file: Some(&state),
                save_every: SAVE_EVERY,
            };
            let (images, held_out, recipe) = (lesson.images, lesson.held_out, lesson.recipe);
            let task = Classify::new(network.config(), images, held_out, recipe);
            let epochs = train::train(&mut network, &task, recipe, &run, &mut keeper);
            if let Some(failure) = keeper.failure {
                return Err(failure);
            }
            let epochs = epochs?;
            checkpoint::write(&end, &network, &serde_json::json!(epochs))?;
            epochs
        };
        self.bar.set_position(start + lesson.steps() as u64);
        let stages = stages.iter().map(|epoch| read(&file(&format!("-{epoch}"))));
        let stages: Result<Vec<_>> = stages.collect();
        Ok(Trained {
            network,
            epochs,
            stages: stages?.into_iter().map(|(network, _)| network).collect(),
        })
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A network, and the epochs of its training.
type Finished = (Classifier<f32, Cpu>, Vec<Epoch<Score>>);

fn read(path: &Path) -> Result<Finished> {
    let file = Checkpoint::read(path)?;
    let network = file.network(file.own_config()?, &Cpu::default())?;
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

impl<K: FnMut(&Epoch<Score>, &Classifier<f32, Cpu>) -> Result<()>>
    Observer<Classifier<f32, Cpu>, Score> for Keeper<'_, K>
{
    fn step(&mut self, step: usize, _: usize, loss: f64) {
        self.bar.set_position(self.start + step as u64);
        self.bar
            .set_message(format!("{}, loss {loss:.3}", self.name));
    }

    fn epoch(&mut self, epochs: &[Epoch<Score>], network: &Classifier<f32, Cpu>) {
        let kept = epochs.last().map(|epoch| (self.keep)(epoch, network));
        if let Some(Err(failure)) = kept {
            self.failure.get_or_insert(failure);
        }
    }

    fn wants_to_stop(&self) -> bool {
        self.failure.is_some() || self.stop.load(Ordering::Relaxed)
    }
}
