//! The `whitebox` command: coding rates of token files, forward passes of checkpoints, training,
//! fine-tuning, evaluation, reconstruction, attention maps, masks against objects.

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
    /// Train a classifier further on other images.
    Finetune(commands::finetune::Arguments),
    /// Accuracy of a checkpoint on held-out images.
    Evaluate(commands::evaluate::Arguments),
    /// Pictures that a masked autoencoder fills in, side by side as PNG.
    Reconstruct(commands::reconstruct::Arguments),
    /// What the heads of a classifier or autoencoder look at: attention maps, components and masks on pictures.
    ///
    /// Writes a folder for each layer, layer-L, with the map of every head on every picture, a sheet of all of them,
    /// the first three principal components of the keys as colours, and with --masks the masks of MaskCut; beside them
    /// heads.csv and masks.csv. The book's page on what heads look at has every column.
    Attend(commands::attend::Arguments),
    /// What the masks of a classifier's heads and keys are worth where the objects are known: mean IoU and AP.
    ///
    /// Prints the mean intersection over union of the class token's maps at 60 % of their mass (the best head for every
    /// object, as DINO has it; the head that is best on the other half of the pictures) and at 60 % of the patches (the
    /// best head for every class, as the CRATE paper has it; that of the other half), and the average precision of the
    /// masks of MaskCut and of their boxes. Below them the same of the network before training, of smooth random maps, of
    /// a disc in the middle and of everything: what is no better than these has found nothing.
    Segment(commands::segment::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    whitebox::harness::console::run::<Arguments>(|| match arguments.command {
        Command::Rate(arguments) => commands::rate::run(&arguments),
        Command::Forward(arguments) => commands::forward::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Finetune(arguments) => commands::finetune::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Reconstruct(arguments) => commands::reconstruct::run(&arguments),
        Command::Attend(arguments) => commands::attend::run(&arguments),
        Command::Segment(arguments) => commands::segment::run(&arguments),
    })
}
