//! # Is compression denoising?
//!
//! **Claims** C-THY-11, C-THY-14, C-THY-22, C-THY-23, C-SUP-03, C-SUP-05, on tokens drawn from a union
//! of subspaces with noise.
//!
//! | file | asks |
//! |---|---|
//! | `compression.rs` | does a compression step take noise off, as projecting on the nearest subspace does? |
//! | `membership.rs` | is a softmax over tokens the membership that the posterior has over subspaces? |
//! | `attention_only.rs` | does the ratio of signal to noise grow by `1 + eta tau` at every layer? |
//!
//! **Criteria**: the constants in each file, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_denoise`: about four minutes on two cores.

mod attention_only;
mod compression;
mod membership;

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::run::{Run, Sources};
use whitebox::Result;

/// Hold compression against denoising, on tokens drawn from a union of subspaces.
#[derive(Debug, Parser)]
#[command(name = "exp_denoise", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
}

#[derive(Debug, Serialize)]
struct Settings {
    compression: compression::Settings,
    membership: membership::Settings,
    attention_only: attention_only::Settings,
}

#[derive(Debug, Serialize)]
struct Results {
    compression: compression::Results,
    membership: membership::Results,
    attention_only: attention_only::Results,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let run = Run::begin("denoise", &arguments.experiment, None)?;
    let settings = Settings {
        compression: compression::Settings::new(run.quick),
        membership: membership::Settings::new(run.quick),
        attention_only: attention_only::Settings::new(run.quick),
    };
    println!("Compression against denoising (ICLR 2024, arXiv 2404.02446; authors' book, chapters 3 and 4).");
    let compression = compression::measure(&settings.compression, &run)?;
    let membership = membership::measure(&settings.membership, &run)?;
    let attention_only = attention_only::measure(&settings.attention_only, &run)?;
    compression.print();
    attention_only.print();
    compression.write(&run)?;
    membership.write(&run)?;
    attention_only.write(&run)?;
    let mut verdicts = compression.judge();
    verdicts.extend(membership.judge());
    verdicts.extend(attention_only.judge());
    let results = Results {
        compression,
        membership,
        attention_only,
    };
    let artefacts = "second-moments.csv, signs.csv, noise.svg, masses.csv, posterior.csv, posterior.svg, \
                     snr.csv, first-layer-off.csv, first-layer-off.svg, curves.csv, snr-0.2.svg and snr-0.5.svg";
    run.finish(settings, verdicts, results, &Sources::default(), artefacts)
}
