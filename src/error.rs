//! The one error type. Every message says what was wanted, what was got, and what to do next.

use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, grouped by what the reader has to look at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operating-system call on a path failed.
    #[error("cannot {action} {}: {source}; {remedy}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
        /// What to do next.
        remedy: String,
    },
    /// A file was read, but does not hold what it should.
    #[error("{}: wanted {wanted}, got {got}; {remedy}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What a correct file holds.
        wanted: String,
        /// What this one holds.
        got: String,
        /// What to do next.
        remedy: String,
    },
    /// A command-line argument is outside its range, whatever the files hold.
    #[error("{name}: wanted {wanted}, got {got}; {remedy}")]
    Argument {
        /// The flag or setting.
        name: String,
        /// The allowed range.
        wanted: String,
        /// The value given.
        got: String,
        /// What to do next.
        remedy: String,
    },
    /// A tensor or array has a shape that the operation cannot take.
    #[error("{name}: wanted shape {wanted}, got {got}; {remedy}")]
    Shape {
        /// The tensor or operand.
        name: String,
        /// The shape that fits.
        wanted: String,
        /// The shape it has.
        got: String,
        /// What to do next.
        remedy: String,
    },
    /// A numeric operand holds a value for which the result is not defined.
    #[error("{name}: wanted {wanted}, got {got}; {remedy}")]
    Domain {
        /// The operand.
        name: String,
        /// The allowed values.
        wanted: String,
        /// The offending value and where it sits.
        got: String,
        /// What to do next.
        remedy: String,
    },
    /// LAPACK reported a failure on finite input.
    #[error("{operation} failed on a {shape} matrix: {message}; please report the input")]
    Lapack {
        /// The factorisation.
        operation: &'static str,
        /// Rows x columns.
        shape: String,
        /// The library's own words.
        message: String,
    },
    /// The compute device could not do its work.
    #[error("device: {message}; try a smaller --batch")]
    Device {
        /// The device's own words.
        message: String,
    },
    /// A chart could not be drawn.
    #[error("cannot draw {}: {message}; check the data behind it", path.display())]
    Chart {
        /// The figure's file.
        path: PathBuf,
        /// The plotting library's own words.
        message: String,
    },
    /// Training reached a loss that is not a number.
    #[error(
        "the loss is {loss} at step {step}; lower learning_rate or raise warmup_epochs with --set; \
         the last good state is kept until then"
    )]
    Diverged {
        /// Optimiser step, from 0.
        step: usize,
        /// The loss value.
        loss: f64,
    },
    /// Somebody asked the program to stop, and it did so in good order.
    #[error("stopped after step {step}; the same command goes on from there")]
    Interrupted {
        /// Optimiser steps taken.
        step: usize,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(
        action: &'static str,
        path: impl AsRef<Path>,
        source: std::io::Error,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
            remedy: remedy.into(),
        }
    }

    /// An [`Error::File`] for `path`.
    pub fn file(
        path: impl AsRef<Path>,
        wanted: impl Into<String>,
        got: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::File {
            path: path.as_ref().to_owned(),
            wanted: wanted.into(),
            got: got.into(),
            remedy: remedy.into(),
        }
    }

    /// An [`Error::Argument`] for the flag or setting `name`.
    pub fn argument(
        name: impl Into<String>,
        wanted: impl Into<String>,
        got: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Argument {
            name: name.into(),
            wanted: wanted.into(),
            got: got.into(),
            remedy: remedy.into(),
        }
    }

    /// An [`Error::Shape`] for the tensor `name`.
    pub fn shape(
        name: impl Into<String>,
        wanted: impl Into<String>,
        got: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Shape {
            name: name.into(),
            wanted: wanted.into(),
            got: got.into(),
            remedy: remedy.into(),
        }
    }

    /// An [`Error::Domain`] for the operand `name`.
    pub fn domain(
        name: impl Into<String>,
        wanted: impl Into<String>,
        got: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Domain {
            name: name.into(),
            wanted: wanted.into(),
            got: got.into(),
            remedy: remedy.into(),
        }
    }

    /// An [`Error::Device`] from a device's own error.
    pub fn device(message: impl std::fmt::Debug) -> Self {
        Self::Device {
            message: format!("{message:?}"),
        }
    }

    /// Process exit code: 2 for bad arguments, 130 after Ctrl-C, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Argument { .. } => 2,
            Self::Interrupted { .. } => 130,
            _ => 1,
        }
    }
}
