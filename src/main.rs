//! The `whitebox` command: coding rates of token files, forward passes of checkpoints, training,
//! fine-tuning, evaluation, linear probes, reconstruction.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Check what white-box transformers really do.
#[derive(Debug, Parser)]
#[command(name = "whitebox", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Exact coding rates of tokens in an .npy file, as JSON.
    ///
    /// Prints a line for each array of tokens: d (their width), N (their number), epsilon, R (their coding rate, nats),
    /// R_bounds (the least and the most that R can be for tokens of this total size), and with bases Rc (the
    /// subspace rate of the papers), per_head (its terms) and delta_R = R - Rc; relative_error_bounds of
    /// them all. Every number has the digits that make it exact when read back.
    Rate(commands::rate::Arguments),
    /// Logits of a checkpoint for images in an .npy file, and its layer-wise measurement.
    Forward(commands::forward::Arguments),
    /// Train a CRATE classifier or masked autoencoder, or a transformer.
    Train(commands::train::Arguments),
    /// Train a classifier, or the encoder of a masked autoencoder, further on other images.
    Finetune(commands::finetune::Arguments),
    /// Accuracy of a checkpoint on held-out images.
    Evaluate(commands::evaluate::Arguments),
    /// Accuracy of a linear probe on the features of a network, beside that on pixels and on an untrained network.
    Probe(commands::probe::Arguments),
    /// Pictures that a masked autoencoder fills in, side by side as PNG.
    Reconstruct(commands::reconstruct::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    whitebox::harness::console::run::<Arguments>(|| match arguments.command {
        Command::Rate(arguments) => commands::rate::run(&arguments),
        Command::Forward(arguments) => commands::forward::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Finetune(arguments) => commands::finetune::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Probe(arguments) => commands::probe::run(&arguments),
        Command::Reconstruct(arguments) => commands::reconstruct::run(&arguments),
    })
}
