//! The programs as a user runs them: output, exit codes, one-line errors, nothing half-written.
#![allow(missing_docs, clippy::unwrap_used)]

mod attend;
mod autoencoder;
mod checkpoints;
mod endings;
mod errors;
mod experiment;
mod house;
mod judging;
mod pictures;
mod rate;
mod scenes;
mod segment;
mod training;

use std::path::Path;
use std::process::{Command, Output};

fn whitebox() -> Command {
    Command::new(env!("CARGO_BIN_EXE_whitebox"))
}

fn exp_layerwise() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_layerwise"))
}

fn exp_blocks() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_blocks"))
}

fn exp_objective() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_objective"))
}

fn exp_subspaces() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_subspaces"))
}

fn exp_tssa() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_tssa"))
}

fn exp_optima() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_optima"))
}

fn exp_ista() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_ista"))
}

fn exp_gradient() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_gradient"))
}

fn exp_denoise() -> Command {
    Command::new(env!("CARGO_BIN_EXE_exp_denoise"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed and returns its standard output.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with `code` and one line that contains all of `words`.
fn fail(command: &mut Command, code: i32, words: &[&str]) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let message = text(&stderr);
    assert_eq!(status.code(), Some(code), "{message}");
    let errors: Vec<&str> = message.lines().filter(|l| l.starts_with("error")).collect();
    assert_eq!(errors.len(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
    if code == 1 {
        // Progress may come before; nothing comes after.
        assert_eq!(message.lines().last(), errors.first().copied());
    }
}

fn write_npy<D: ndarray::Dimension>(path: &Path, array: &ndarray::Array<f64, D>) {
    ndarray_npy::write_npy(path, array).unwrap();
}

/// Trains a tiny network on made-up pictures for three epochs, into `path`.
fn tiny_training(path: &Path) -> Command {
    training_of(3, path)
}

/// The same for `epochs` epochs, whatever lies at `path`.
fn training_of(epochs: usize, path: &Path) -> Command {
    let mut command = first_training_of(epochs, path);
    command.arg("--replace");
    command
}

/// The same, into a new file.
fn first_training_of(epochs: usize, path: &Path) -> Command {
    let mut command = tiny_network("20");
    command
        .args(["--epochs", &epochs.to_string()])
        .arg("--out")
        .arg(path);
    command
}

/// The beginning of a training of a tiny network on forty made-up pictures.
fn tiny_network(batch: &str) -> Command {
    let mut command = whitebox();
    command
        .args(["train", "--data", "procedural", "--limit", "40"])
        .args(["--depth", "2", "--patch", "14", "--width", "16", "2"])
        .args(["--batch", batch]);
    command
}
