//! The course of a training as event files, for TensorBoard. The crate that writes them takes longer to
//! build than an experiment's own code, so it comes with the feature `tensorboard`.

use std::path::Path;

use crate::error::{Error, Result};
use crate::train::task::Figure;

#[cfg(feature = "tensorboard")]
type Writer = tfrecord::EventWriter<std::io::BufWriter<std::fs::File>>;

/// An event file of this run in a folder.
#[derive(Debug)]
pub struct EventFile {
    #[cfg(feature = "tensorboard")]
    writer: Writer,
    #[cfg(feature = "tensorboard")]
    folder: std::path::PathBuf,
}

#[cfg(not(feature = "tensorboard"))]
impl EventFile {
    /// # Errors
    /// [`Error::Argument`]: this build has no event files.
    pub fn create(folder: &Path) -> Result<Self> {
        Err(Error::argument(
            "--tensorboard",
            "a program built with --features tensorboard",
            folder.display().to_string(),
            "build it so, or read FILE.csv",
        ))
    }

    /// Loss and learning rate of a step.
    ///
    /// # Errors
    /// None here.
    pub fn step(&mut self, _: usize, _: f64, _: f64) -> Result<()> {
        Ok(())
    }

    /// Scores after an epoch, at its last step.
    ///
    /// # Errors
    /// None here.
    pub fn epoch(&mut self, _: usize, _: &[Figure]) -> Result<()> {
        Ok(())
    }
}

#[cfg(feature = "tensorboard")]
impl EventFile {
    /// Begins `events.out.tfevents.*` in `folder`. A run that goes on begins another; TensorBoard joins them.
    ///
    /// # Errors
    /// [`Error::File`] naming the folder.
    pub fn create(folder: &Path) -> Result<Self> {
        // What follows the last slash begins the file's name; TensorBoard looks for `tfevents` in it.
        let prefix = format!("{}/events", folder.display());
        let writer = Writer::from_prefix(prefix, "", Default::default())
            .map_err(|e| unwritable(folder, &e))?;
        Ok(Self {
            writer,
            folder: folder.to_owned(),
        })
    }

    /// Loss and learning rate of a step.
    ///
    /// # Errors
    /// [`Error::File`] naming the folder.
    pub fn step(&mut self, step: usize, loss: f64, learning_rate: f64) -> Result<()> {
        let values = [("loss/training", loss), ("learning_rate", learning_rate)];
        self.write(step, &values)
    }

    /// Scores after an epoch, at its last step.
    ///
    /// # Errors
    /// [`Error::File`] naming the folder.
    pub fn epoch(&mut self, step: usize, figures: &[Figure]) -> Result<()> {
        let values = figures.iter().map(|figure| (figure.series, figure.value));
        self.write(step, &values.collect::<Vec<_>>())?;
        self.writer
            .flush()
            .map_err(|e| unwritable(&self.folder, &e))
    }

    fn write(&mut self, step: usize, values: &[(&str, f64)]) -> Result<()> {
        for &(tag, value) in values {
            self.writer
                .write_scalar(tag, step as i64, value as f32)
                .map_err(|e| unwritable(&self.folder, &e))?;
        }
        Ok(())
    }
}

#[cfg(feature = "tensorboard")]
fn unwritable(folder: &Path, e: &dyn std::error::Error) -> Error {
    Error::file(
        folder,
        "a folder for event files",
        e.to_string(),
        "name another with --tensorboard",
    )
}
