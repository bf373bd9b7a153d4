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
//! **Run**: `cargo run --release --bin exp_derivation`: a quarter of an hour on two cores. An interrupted run goes on
//! with the training it was at. A network of the size that ships is trained so by
//! `cargo run --release -- train --architecture crate-tied --out tied.safetensors`.

mod claims;
mod network;
mod show;

use std::process::ExitCode;

use network::{layers, Row};
use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::DataName;
use whitebox::harness::comparison::{small_network, Comparison, ComparisonFlags, Variant};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::model::{Architecture, Config};
use whitebox::train::{evaluate, Recipe};
use whitebox::Result;

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
    comparison: ComparisonFlags,
    /// Held-out images whose layers are measured; the accuracy is of all.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    measured: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    recipe: Recipe,
    seeds: usize,
    training_images: usize,
    measured_images: usize,
    held_out_images: usize,
    linear_accuracy: f64,
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
        Some(flags.comparison.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let material = flags.comparison.material(run, false)?;
        let (training, held_out) = (&material.training, &material.held_out);
        let settings = Settings {
            network: small_network(training, 64, 8)?,
            recipe: Recipe {
                learning_rate: 2e-3,
                ..material.recipe.clone()
            },
            seeds: material.seeds,
            training_images: training.len(),
            measured_images: held_out.len().min(run.count(4, flags.measured)),
            held_out_images: held_out.len(),
            linear_accuracy: material.linear_accuracy,
        };
        let plain = Variant::new(PLAIN, settings.network, settings.recipe.clone());
        let variants = ARMS.map(|(name, architecture)| {
            plain.but(name, |variant| variant.network.architecture = architecture)
        });
        let comparison = Comparison::new(training, held_out, run.seed, settings.seeds);
        let networks = Networks::of(run, &settings, comparison.steps(&variants))?;
        let rows = comparison.train(&networks, &variants, |variant, seed, trained| {
            let start = variant.start(seed)?;
            let row = |is_trained, network| {
                Ok(Row {
                    arm: variant.name.clone(),
                    seed,
                    trained: is_trained,
                    accuracy: evaluate(network, held_out, run.threads, || {})?.accuracy,
                    layers: layers(run, network, &start, held_out, settings.measured_images)?,
                })
            };
            Ok([row(false, &start)?, row(true, &trained.network)?])
        })?;
        Ok(Found {
            settings,
            results: rows.into_iter().flatten().collect(),
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        show::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Derivation>()
}
