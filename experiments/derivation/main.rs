//! # Does the network that is the derivation compress more, and what does it cost in accuracy?
//!
//! **Claims** C-SUP-09 to C-SUP-14 (this project's own questions). The derivation of CRATE writes what attention reads
//! with the bases it was read with, `Z + M`, `M = sum_k U_k SSA(Z | U_k)` (NeurIPS 2023, eq. 12), and has orthogonal
//! dictionaries (section 2.4). The official code learns an output projection of its own, and any dictionary. Two arms
//! follow the derivation where the code does not: *tied* has `s [U_1, ..., U_K]` for its output projection, with one scale
//! `s` a layer, of either sign; *orthogonal* has dictionaries that the polar factor replaces after every step. An arm
//! starts from the numbers that the plain network of its seed starts from, and is trained as that is.
//!
//! **Controls**: the plain network of the same seed; random subspaces in the place of the learned ones.
//!
//! **Criteria**: the constants in `claims.rs`, fixed before any arm was trained. Those of C-SUP-11 knew the cosines of
//! one plain network.
//!
//! **Run**: for every seed, an hour on a core each,
//! `cargo run --release -- train --architecture crate-tied --seed 0 --out crate-demo-fashion-mnist-tied-0.safetensors`
//! and so on into reports/checkpoints, then `cargo run --release --bin exp_derivation`: minutes.

mod claims;
mod network;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use dfdx::prelude::Cpu;
use network::{layers, Row};
use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::run::Run;
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::{Architecture, Classifier};
use whitebox::train::evaluate;
use whitebox::{Error, Result};

const PLAIN: &str = "plain";
const TIED: &str = "tied";
const ORTHOGONAL: &str = "orthogonal";
const ARMS: [(&str, Architecture); 3] = [
    (PLAIN, Architecture::Crate),
    (TIED, Architecture::CrateTied),
    (ORTHOGONAL, Architecture::CrateOrthogonal),
];

type Found = experiment::Found<Settings, Vec<Row>>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Networks of every arm, from seed 0 on.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Held-out images whose layers are measured; the accuracy is of all.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Folder of the networks; default: reports/checkpoints.
    #[arg(long, value_name = "DIR")]
    networks: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    seeds: usize,
    measured_images: usize,
    held_out_images: usize,
}

struct Derivation;

impl Experiment for Derivation {
    const NAME: &'static str = "derivation";
    const TITLE: &'static str =
        "Networks that are the derivation: a tied output, orthogonal dictionaries";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[claims::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Vec<Row>;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let images = flags
            .data
            .draw(Split::Test, run.quick.then_some(100), run.seed)?;
        run.reads(&images);
        let settings = Settings {
            seeds: if run.quick { 1 } else { flags.seeds as usize },
            measured_images: images
                .len()
                .min(if run.quick { 4 } else { flags.images as usize }),
            held_out_images: images.len(),
        };
        let folder = flags.networks.clone();
        let folder = folder.unwrap_or_else(|| run.root.join("reports/checkpoints"));
        let mut results = Vec::new();
        for (arm, architecture) in ARMS {
            for seed in 0..settings.seeds as u64 {
                let infix = if arm == PLAIN {
                    String::new()
                } else {
                    format!("-{arm}")
                };
                let data = flags.data.data.word();
                let path = folder.join(format!("crate-demo-{data}{infix}-{seed}.safetensors"));
                let checkpoint = Checkpoint::read(&path)?;
                let config = checkpoint.own_config()?;
                if config.architecture != architecture {
                    let word = |a: Architecture| format!("a network of architecture {}", a.word());
                    let remedy = format!("train it with `architecture` {}", architecture.word());
                    return Err(Error::file(
                        path,
                        word(architecture),
                        word(config.architecture),
                        remedy,
                    ));
                }
                run.reads_checkpoint(&path, &checkpoint.sha256);
                let start = Classifier::new(config, seed, &Cpu::default())?;
                let end = checkpoint.network(config, &Cpu::default())?;
                for (trained, network) in [(false, &start), (true, &end)] {
                    results.push(Row {
                        arm: arm.to_owned(),
                        seed,
                        trained,
                        accuracy: evaluate(network, &images, run.threads, || {})?.accuracy,
                        layers: layers(run, network, &start, &images, settings.measured_images)?,
                    });
                }
            }
        }
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        show::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Derivation>()
}
