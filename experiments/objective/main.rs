//! # Does the objective improve from layer to layer, however it is measured?
//!
//! The transformer is derived by unrolling an optimiser of the sparse rate reduction. Written as what should
//! fall, `SRR(Z | U) = ||Z||_0 + R^c(Z | U) - R(Z)` (arXiv 2411.17182), here with an orthonormal basis of
//! each learned subspace in the place of `U_k`, as the derivation has it.
//!
//! | question | claims |
//! |---|---|
//! | `layers`: does the objective fall from layer to layer? | C-LAY-09, C-CRIT-03 |
//! | `step`: is a layer a step on the objective of its own subspaces? | C-LAY-09-step |
//! | `reduction`: does `R - R^c` rise, and why is it negative? | C-LAY-12, C-THY-42-trained |
//! | `robust`: is the fall of `R^c` one at any precision? | C-LAY-07 |
//!
//! **Control**: the networks before training.
//!
//! **Criteria**: those of the files, fixed before the run, on means over networks.
//!
//! **Run**: `cargo run --release --bin exp_objective`: about two minutes a network on two cores.

mod layers;
mod reduction;
mod robust;
mod rows;
mod step;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::harness::console::positive;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::layer_curves::{LayerCurves, Network};
use whitebox::harness::run::Run;
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::model::Config;
use whitebox::Result;

const NEURIPS: &str = "NeurIPS 2023, arXiv 2306.01129";

type Results = (Vec<rows::Row>, Vec<robust::Setting>);
type Found = experiment::Found<Settings, Results>;

/// Follow the objective through the layers of a CRATE network.
#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Held-out images.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of the rates in the objective.
    #[arg(long, default_value_t = 0.1, value_parser = positive)]
    epsilon: f64,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    images: usize,
    epsilon: f64,
    precisions: [f64; 4],
}

struct Objective;

impl Experiment for Objective {
    const NAME: &'static str = "objective";
    const TITLE: &'static str = "The objective from layer to layer";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        layers::CLAIMS,
        step::CLAIMS,
        reduction::CLAIMS,
        robust::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let count = if run.quick { 20 } else { flags.images as usize };
        let subject = Subject::load(&flags.subject, &flags.data, count, run)?;
        let parts = rows::PARTS.map(|quantity| quantity.at(flags.epsilon));
        let mut quantities = robust::quantities();
        quantities.extend(parts);
        quantities.sort();
        quantities.dedup();
        let held_out = [(Split::Test, &subject.held_out_images)];
        let curves = LayerCurves::measure(&subject, &held_out, &quantities, count, run)?;
        let config = *subject.config();
        let entries = (config.tokens() * config.d) as f64;
        let (mut layers, mut settings) = (Vec::new(), Vec::new());
        for network in Network::BOTH {
            for own in curves.each(network, Split::Test) {
                layers.extend(rows::rows(own, parts, entries)?);
                settings.extend(robust::settings(own)?);
            }
        }
        Ok(Found {
            results: (layers, settings),
            settings: Settings {
                network: config,
                images: count,
                epsilon: flags.epsilon,
                precisions: robust::PRECISIONS,
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        layers::show(found, shown)?;
        reduction::show(found, shown)?;
        robust::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Objective>()
}
