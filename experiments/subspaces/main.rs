//! # Are the subspaces what the derivation assumes?
//!
//! **Claims** C-LAY-08-bases and C-LAY-08-subspaces (overview, arXiv 2311.13110; learned incoherence): the bases `U_1, ..., U_K` of
//! a trained layer are incoherent, as the derivation of MSSA asks: their columns are nearly orthogonal,
//! and the subspaces too.
//!
//! **Claim** C-CRIT-06 (issues 18, 19 and 31 of the official repository): the output projection, which stands
//! where the papers write `U_k`, is learned freely, and is not `U_k`.
//!
//! Random columns in many dimensions are nearly orthogonal anyway. So the bases are held against those
//! that training began with: only what training changes has been learned.
//!
//! | question | claims |
//! |---|---|
//! | `bases`: are the bases incoherent, and by training? | C-LAY-08-bases, -subspaces |
//! | `output`: is the output projection `U_k`? | C-CRIT-06 |
//!
//! **Criteria**: those of the files, fixed before the run, on means over networks.
//!
//! **Run**: `cargo run --release --bin exp_subspaces`: seconds.

mod bases;
mod output;
mod rows;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::data::{DataArguments, DataName};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::layer_curves::Network;
use whitebox::harness::run::Run;
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::model::Config;
use whitebox::Result;

type Found = experiment::Found<Settings, Vec<rows::Row>>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    /// Overlap of random subspaces of this size, on average: p / d.
    random_overlap: f64,
}

struct Subspaces;

impl Experiment for Subspaces {
    const NAME: &'static str = "subspaces";
    const TITLE: &'static str = "The bases of trained networks against orthogonal ones";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[bases::CLAIMS, output::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Vec<rows::Row>;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        // No image is looked at: they are read to know the sizes of an untrained network.
        let subject = Subject::load(&flags.subject, &flags.data, 2, run)?;
        let config = *subject.config();
        let (mut trained, mut untrained) = (Vec::new(), Vec::new());
        for pair in &subject.pairs {
            untrained.extend(rows::rows(Network::Untrained, pair.seed, &pair.untrained)?);
            if let Some(network) = &pair.trained {
                trained.extend(rows::rows(Network::Trained, pair.seed, network)?);
            }
        }
        bases::draw_cosines(run, subject.first())?;
        Ok(Found {
            results: [trained, untrained].concat(),
            settings: Settings {
                network: config,
                random_overlap: config.head_width as f64 / config.d as f64,
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("layers.csv", found)?;
        bases::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Subspaces>()
}
