//! Training a network from the command line: progress, an interruptible state, a checkpoint that
//! says how it was made.

use std::path::{Path, PathBuf};

use dfdx::prelude::Cpu;
use indicatif::ProgressBar;

use super::console;
use super::record::{command, commit, DataRecord};
use crate::artefact;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::{checkpoint, CrateClassifier, CrateConfig};
use crate::train::{self, Epoch, Observer, Recipe, Run};

/// What to train and where to leave it.
#[derive(Debug, Clone)]
pub struct Training<'a> {
    /// The network's sizes.
    pub config: CrateConfig,
    /// How to train it.
    pub recipe: Recipe,
    /// Seed of initialisation, order and augmentation.
    pub seed: u64,
    /// Threads; do not change the result.
    pub threads: usize,
    /// The checkpoint to write. The state of an unfinished run lies beside it, as `FILE.state`.
    pub out: &'a Path,
}

struct Bar(ProgressBar);

impl Observer for Bar {
    fn step(&mut self, step: usize, steps: usize, loss: f64) {
        self.0.set_length(steps as u64);
        self.0.set_position(step as u64);
        self.0.set_message(format!("training, loss {loss:.3}"));
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let line = format!(
            "epoch {:3}: training loss {:.4}, held-out loss {:.4}, held-out accuracy {:.2} %",
            epoch.epoch,
            epoch.training_loss,
            epoch.held_out.loss,
            100.0 * epoch.held_out.accuracy
        );
        // Without a terminal the bar is silent, and so would be a line printed through it.
        if self.0.is_hidden() {
            eprintln!("{line}");
        } else {
            self.0.println(line);
        }
    }
}

impl Training<'_> {
    /// Trains, writes the checkpoint with its training record as metadata, and returns the record of
    /// every epoch.
    ///
    /// A run that was interrupted goes on from its last finished epoch and ends with the same bytes.
    ///
    /// # Errors
    /// As [`train::train`] and [`checkpoint::write`].
    pub fn run(&self, images: &Images, held_out: &Images) -> Result<Vec<Epoch>> {
        let folder = self.out.parent().filter(|p| !p.as_os_str().is_empty());
        artefact::check_writable(folder.unwrap_or(Path::new(".")))?;
        let mut network = CrateClassifier::new(self.config, self.seed, &Cpu::default())?;
        let state_file = state_file(self.out);
        let run = Run {
            seed: self.seed,
            threads: self.threads,
            state_file: &state_file,
        };
        // The source may change while hours pass: this run is of the source at its start.
        let commit = commit();
        let mut bar = Bar(console::progress(1, "training"));
        let epochs = train::train(&mut network, images, held_out, &self.recipe, &run, &mut bar)?;
        bar.0.finish_and_clear();
        let record = serde_json::json!({
            "command": command(),
            "commit": commit,
            "seed": self.seed,
            "recipe": self.recipe,
            "images": DataRecord::from(images),
            "held_out": DataRecord::from(held_out),
            "epochs": epochs,
        });
        checkpoint::write(self.out, &network, &record)?;
        std::fs::remove_file(&state_file)
            .map_err(|e| Error::io("remove", &state_file, e, "remove it yourself"))?;
        Ok(epochs)
    }
}

fn state_file(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".state");
    name.into()
}
