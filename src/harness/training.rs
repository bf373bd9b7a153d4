//! Training a network from the command line: progress, an interruptible state, a checkpoint that
//! says how it was made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dfdx::prelude::Cpu;

use super::console;
use super::course::Course;
use super::device::{DeviceName, OnDevice};
use super::record::{command, commit, DataRecord};
use super::tensorboard::EventFile;
use crate::artefact;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::checkpoint::{self, Checkpoint, Stored};
use crate::model::description::Description;
use crate::model::{hub, Runtime};
use crate::train::state::differences;
use crate::train::task::{Portable, Task};
use crate::train::{Circumstances, Epoch, Recipe};

/// What to train and where to leave it.
#[derive(Debug, Clone)]
pub struct Training<'a, N> {
    /// The network to start from.
    pub network: N,
    /// What is known of where it comes from, if not from the seed.
    pub start: Option<serde_json::Value>,
    /// How to train it.
    pub recipe: Recipe,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Threads; do not change the result.
    pub threads: usize,
    /// The checkpoint to write. Beside it lie the state of an unfinished run, as `FILE.state`, and the
    /// course of the training, as `FILE.csv`.
    pub out: &'a Path,
    /// The network's `config.json` to write too, if there is to be one.
    pub config_file: Option<&'a Path>,
    /// How long to train between two writings of the state within an epoch.
    pub save_every: Duration,
    /// Whether there has to be the state of an unfinished run.
    pub resume: bool,
    /// Whether a finished training in `out` gives way to a new one.
    pub replace: bool,
    /// What it runs on.
    pub device: DeviceName,
    /// Folder for event files.
    pub tensorboard: Option<&'a Path>,
    /// Epochs after which the network is written too, to `NAME-epochE` beside the checkpoint.
    pub keep: &'a [usize],
}

impl<N: Stored> Training<'_, N> {
    /// Trains for `task`, whose images these are, writes the checkpoint with its training record as metadata, and returns the record of
    /// every epoch.
    ///
    /// A run that was interrupted, by Ctrl-C or otherwise, goes on from its last state and ends with
    /// the same bytes.
    ///
    /// # Errors
    /// [`Error::Diverged`] if a number stops being one, [`Error::Interrupted`] by Ctrl-C, [`Error::Domain`] if the two
    /// sets of images have other classes, [`Error::File`] if a state belongs to another run, [`Error::Io`],
    /// [`Error::Device`].
    pub fn run<T: Portable + Task<Cpu, Network = N>>(
        self,
        task: &T,
        images: &Images,
        held_out: &Images,
    ) -> Result<Vec<Epoch<T::Score>>> {
        let folder = self.out.parent().filter(|p| !p.as_os_str().is_empty());
        artefact::check_writable(folder.unwrap_or(Path::new(".")))?;
        let lock = artefact::lock_file(self.out)?;
        console::warn(lock.warning());
        let state_file = beside(self.out, "state");
        if self.resume && !state_file.exists() {
            return Err(Error::argument(
                "--resume",
                format!("the state of an unfinished run in {}", state_file.display()),
                "none",
                "start the run without it",
            ));
        }
        if !self.replace && !state_file.exists() && self.out.exists() {
            return self.finished::<T>(images, held_out);
        }
        let mut network = self.network;
        let run = Circumstances {
            seed: self.seed,
            threads: self.threads,
            state_file: Some(&state_file),
            save_every: self.save_every,
        };
        let recipe = &self.recipe;
        let table = beside(self.out, "csv");
        let events = self.tensorboard.map(EventFile::create).transpose()?;
        let mut course = Course::new(recipe, task.examples(), table, events);
        let epochs = self.device.run(Work {
            network: &mut network,
            task,
            recipe,
            run: &run,
            course: &mut course,
            keep: self.keep,
            out: self.out,
        });
        let epochs = course.end(epochs)?;
        let record = serde_json::json!({
            "command": identifying(command()),
            "commit": commit(),
            "seed": self.seed,
            "start": self.start,
            "recipe": recipe,
            "images": DataRecord::from(images),
            "held_out": DataRecord::from(held_out),
            "class_names": images.class_names,
            "epochs": epochs,
        });
        checkpoint::write(self.out, &network, &record)?;
        if let Some(path) = self.config_file {
            hub::write_config(path, &network.description())?;
        }
        std::fs::remove_file(&state_file)
            .map_err(|e| Error::io("remove", &state_file, e, "remove it yourself"))?;
        Ok(epochs)
    }
}

impl<N: Stored> Training<'_, N> {
    /// The record of the training that the file in `out` came from, if it is this very training.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is anything else: it is not written over unasked.
    fn finished<T: Portable + Task<Cpu, Network = N>>(
        &self,
        images: &Images,
        held_out: &Images,
    ) -> Result<Vec<Epoch<T::Score>>> {
        let taken = |got: String| {
            Error::argument(
                "`out`",
                "a new file, or the end of this very training",
                format!("{}, {got}", self.out.display()),
                "choose another `out`, or train it further with `whitebox finetune`, or add `replace` to \
                 give it up",
            )
        };
        let found = Checkpoint::read(self.out).map_err(|_| taken("another file".into()))?;
        let training = found.training.unwrap_or_default();
        let sha256 = |data: &serde_json::Value| data["sha256"].clone();
        let theirs = serde_json::json!({
            "config": found.description.map(settings),
            "seed": training["seed"],
            "recipe": training["recipe"],
            "start": sha256(&training["start"]),
            "images": sha256(&training["images"]),
            "held_out": sha256(&training["held_out"]),
        });
        let own = serde_json::json!({
            "config": settings(self.network.description()),
            "seed": self.seed,
            "recipe": self.recipe,
            "start": self.start.as_ref().map(sha256),
            "images": images.sha256,
            "held_out": held_out.sha256,
        });
        let differing = differences(&theirs, &own);
        if !differing.is_empty() {
            let differing = differing.join(", ");
            return Err(taken(format!("the end of another training: {differing}")));
        }
        let epochs: Vec<Epoch<T::Score>> = serde_json::from_value(training["epochs"].clone())
            .map_err(|_| taken("a training without its record".into()))?;
        eprintln!(
            "{} is this very training, finished: nothing to do",
            self.out.display()
        );
        Ok(epochs)
    }
}

/// The settings of a network without the name of its kind.
fn settings(description: Description) -> serde_json::Value {
    match description {
        Description::Classifier(config) => serde_json::json!(config),
        Description::Autoencoder(config) => serde_json::json!(config),
    }
}

/// [`Portable::train_on`] of whichever device.
struct Work<'a, 'b, T: Portable> {
    network: &'a mut T::Network,
    task: &'a T,
    recipe: &'a Recipe,
    run: &'a Circumstances<'a>,
    course: &'a mut Course<'b>,
    keep: &'a [usize],
    out: &'a Path,
}

impl<T: Portable> OnDevice for Work<'_, '_, T>
where
    T::Network: Stored,
{
    type Output = Vec<Epoch<T::Score>>;

    fn run<D: Runtime<f32>>(self, device: &D) -> Result<Vec<Epoch<T::Score>>> {
        let keep = |epochs: &[Epoch<T::Score>], network: &T::Network| {
            let last = epochs.last().map(|epoch| epoch.epoch);
            let Some(epoch) = last.filter(|epoch| self.keep.contains(epoch)) else {
                return Ok(());
            };
            let record = serde_json::json!({ "epochs": epochs });
            checkpoint::write(&after_epoch(self.out, epoch), network, &record)
        };
        let mut watch = self.course.watch(keep);
        self.task
            .train_on(device, self.network, self.recipe, self.run, &mut watch)
    }
}

/// A command line without the words that do not change what is trained: equal trainings give equal bytes.
fn identifying(command: Vec<String>) -> Vec<String> {
    const WITH_VALUE: [&str; 5] = [
        "--out",
        "--threads",
        "--save-every",
        "--tensorboard",
        "--keep",
    ];
    let mut words = command.into_iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let flag = word.split_once('=').map_or(word.as_str(), |(flag, _)| flag);
        if WITH_VALUE.contains(&flag) {
            if flag == word {
                words.next();
            }
        } else if word != "--resume" && word != "--replace" {
            kept.push(word);
        }
    }
    kept
}

/// `NAME-epochE.safetensors` beside `NAME.safetensors`.
fn after_epoch(out: &Path, epoch: usize) -> PathBuf {
    let name = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{name}-epoch{epoch}.safetensors"))
}

/// `FILE.ending`.
fn beside(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_kept_without_what_does_not_change_the_result() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let command =
            "whitebox train --out a.safetensors --seed 3 --threads=2 --resume --save-every 0 \
                       --keep 1,5 --set threads=1";
        let kept = identifying(words(command));
        assert_eq!(kept, words("whitebox train --seed 3 --set threads=1"));
    }
}
