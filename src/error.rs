//! The one error type. Every message says what was wanted, what was got, and what to do next.
//!
//! A remedy names a setting between backquotes, as `` `threads` ``. A program that has a flag of that name
//! shows the flag in its place.

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
    /// The compute device could not do its work, mostly for want of memory.
    #[error("the compute device failed: {message}; {remedy}")]
    Device {
        /// The device's own words.
        message: String,
        /// What to do next.
        remedy: String,
    },
    /// The system gave no thread to work on.
    #[error(
        "cannot start a thread: {message}; ask for fewer with `threads`, or raise the system's limit \
         (ulimit -u)"
    )]
    Thread {
        /// The system's own words.
        message: String,
    },
    /// A count is larger than an interface can take.
    #[error("{name}: wanted at most {most}, got {got}; {remedy}")]
    Size {
        /// What is counted.
        name: String,
        /// The largest that is taken.
        most: usize,
        /// The count.
        got: usize,
        /// What to do next.
        remedy: String,
    },
    /// Something that this program, device or machine cannot do at all.
    #[error("{what} is not supported {place}; {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Where: "on this device".
        place: String,
        /// What to do instead.
        remedy: String,
    },
    /// A number that was asked for was not among those to measure.
    #[error("{what} was not measured; {remedy}")]
    Unmeasured {
        /// Quantity, or tokens it needs.
        what: String,
        /// What to do next.
        remedy: String,
    },
    /// A program that this one works with did not do its part.
    #[error("{program}: {message}; run it alone to see why")]
    Program {
        /// The other program.
        program: String,
        /// What went wrong with it.
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
    /// Training reached numbers that are none.
    #[error(
        "{what} in epoch {epoch}, after {step} steps; lower `learning_rate` or raise `warmup_epochs`; \
         no file was replaced by these numbers"
    )]
    Diverged {
        /// From 1.
        epoch: usize,
        /// Optimiser steps taken before the one that showed it.
        step: usize,
        /// What is not finite: "the loss is NaN".
        what: String,
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
    pub fn device(message: impl std::fmt::Display) -> Self {
        Self::Device {
            message: message.to_string(),
            remedy: "free some of its memory, or choose another `device`".into(),
        }
    }

    /// The same error of a device with the remedy of a caller that knows what it asked for; other errors as
    /// they are.
    pub fn with_device_remedy(mut self, better: &str) -> Self {
        if let Self::Device { remedy, .. } = &mut self {
            better.clone_into(remedy);
        }
        self
    }

    /// An [`Error::Thread`] from the system's own error.
    pub fn thread(message: impl std::fmt::Display) -> Self {
        Self::Thread {
            message: message.to_string(),
        }
    }

    /// An [`Error::Size`] for the count `name`.
    pub fn size(
        name: impl Into<String>,
        most: usize,
        got: usize,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Size {
            name: name.into(),
            most,
            got,
            remedy: remedy.into(),
        }
    }

    /// An [`Error::Unsupported`]: `what` is not supported `place`.
    pub fn unsupported(
        what: impl Into<String>,
        place: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            what: what.into(),
            place: place.into(),
            remedy: remedy.into(),
        }
    }

    /// An [`Error::Program`] for the other `program`.
    pub fn program(program: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::Program {
            program: program.into(),
            message: message.to_string(),
        }
    }

    /// An [`Error::Shape`] from ndarray's own error: numbers that do not fill `shape`, or blocks that do not
    /// fit side by side.
    pub fn misfit(
        name: impl Into<String>,
        shape: impl std::fmt::Debug,
        error: &ndarray::ShapeError,
    ) -> Self {
        let remedy = "pass as many numbers as the shape holds";
        Self::shape(name, format!("{shape:?}"), error.to_string(), remedy)
    }

    /// The message on one line, without the control characters that a file or flag may have brought into it.
    pub fn line(&self) -> String {
        let text = self.to_string();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let shown = |c: char| match c.is_control() {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        };
        lines
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .map(shown)
            .collect()
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
