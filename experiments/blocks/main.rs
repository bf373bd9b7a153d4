//! # Do the blocks of a trained network do what they are derived to do?
//!
//! On real networks and real images: what no paper prints. NeurIPS 2023 (arXiv 2306.01129, section 2) derives
//! MSSA from the first order of the Neumann series of
//!
//! `grad R^c = c sum_k U_k U_k^T X (I + A_k)^{-1}`, `A_k = c (U_k^T X)^T (U_k^T X)`, `c = p / (N eps^2)`,
//!
//! which converges where every eigenvalue of `A_k` is below 1, and ISTA as one proximal step on
//! `lambda ||Z||_1 + 1/2 ||X - D Z||^2`, `Z >= 0`, with a nearly orthogonal `D`.
//!
//! `X = LN1(Z^l)` are the tokens MSSA works on; for ISTA, `X = LN2(Z^{l+1/2})`. The precision is the
//! official measurement's, 0.1.
//!
//! | question | claims |
//! |---|---|
//! | `descent`: does MSSA descend on `R^c` of the tokens as they are? | C-THY-06, C-CRIT-01-trained, C-SUP-01-trained |
//! | `sign`: is the derived operator downhill where growth does not count? | C-LAY-15, -unit, -code |
//! | `codes`: does ISTA find sparse codes, and keep the rate? | C-THY-17-trained, C-THY-18-trained, -code, C-THY-20-trained |
//! | `dictionary`: are the dictionaries incoherent? | C-LAY-08, -training |
//!
//! **Criteria**: those of the files, fixed before the run, on means over networks.
//!
//! **Run**: `cargo run --release --bin exp_blocks`: about two minutes a network on two cores.

mod codes;
mod descent;
mod dictionary;
mod sign;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Measured};
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::harness::console::positive;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::layer_curves::{LayerCurves, Network, NetworkCurves};
use whitebox::harness::run::Run;
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::measure::layerwise::Quantity;
use whitebox::model::Config;
use whitebox::Result;

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129";

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Held-out images.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of the rates; the official measurement's is 0.1.
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
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    curves: LayerCurves,
    trained: Option<Vec<dictionary::Weights>>,
    untrained: Vec<dictionary::Weights>,
}

struct Blocks;

impl Experiment for Blocks {
    const NAME: &'static str = "blocks";
    const TITLE: &'static str = "The blocks against their derivation";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        descent::CLAIMS,
        sign::CLAIMS,
        codes::CLAIMS,
        dictionary::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let count = if run.quick { 4 } else { flags.images as usize };
        let subject = Subject::load(&flags.subject, &flags.data, count, run)?;
        let quantities = [descent::QUANTITIES, sign::QUANTITIES, codes::QUANTITIES];
        let quantities = quantities.concat().into_iter();
        let quantities: Vec<Quantity> = quantities.map(|q| q.at(flags.epsilon)).collect();
        let held_out = [(Split::Test, &subject.held_out_images)];
        let (mut trained, mut untrained) = (Vec::new(), Vec::new());
        for pair in &subject.pairs {
            untrained.extend(dictionary::weights(pair.seed, &pair.untrained)?);
            if let Some(network) = &pair.trained {
                trained.extend(dictionary::weights(pair.seed, network)?);
            }
        }
        Ok(Found {
            results: Results {
                curves: LayerCurves::measure(&subject, &held_out, &quantities, count, run)?,
                trained: Some(trained).filter(|trained| !trained.is_empty()),
                untrained,
            },
            settings: Settings {
                network: *subject.config(),
                images: count,
                epsilon: flags.epsilon,
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("layers.csv", &found.curves.table())?;
        descent::show(found, shown)?;
        sign::show(found, shown)?;
        codes::show(found, shown)
    }
}

impl Results {
    /// A number of every network on held-out images.
    fn over(
        &self,
        network: Network,
        of: impl Fn(&NetworkCurves) -> Option<f64>,
    ) -> Option<Measured> {
        self.curves.over(network, Split::Test, of)
    }

    /// Mean over layers.
    fn mean(&self, network: Network, quantity: Quantity) -> Option<Measured> {
        self.over(network, |curves| curves.mean(quantity))
    }

    /// `high - low` of the trained networks, mean over layers.
    fn gain(&self, high: Quantity, low: Quantity) -> Option<Measured> {
        self.over(Network::Trained, |curves| curves.mean_difference(high, low))
    }
}

fn main() -> ExitCode {
    experiment::main::<Blocks>()
}
