//! # Do trained CRATE networks compress and sparsify, layer by layer?
//!
//! NeurIPS 2023 (arXiv 2306.01129, section 3 and its figure of the layers) and the overview (arXiv
//! 2311.13110, figure 13): in a trained CRATE, the compression term
//!
//! `R^c(Z^{l+1/2} | U^l) = sum_k 1/2 logdet(I + p / (N eps^2) (U_k^T Z)(U_k^T Z)^T)`
//!
//! falls with depth and the ISTA outputs `Z^{l+1}` get sparser. Published, CRATE-Small on ImageNet
//! (read off the figure): `R^c` 1103 at layer 1, 728 (train) and 667 (validation) at layer 12, with
//! 3 of 11 steps rising; nonzeros .411, then .205 at layer 11 and .336 at layer 12.
//!
//! The code behind that figure measures something else than the caption says (see
//! [`mod@whitebox::exact::official_rate`]); both are measured here, on the same images, for the trained
//! networks that ship and for the untrained one of each as control.
//!
//! | question | claims |
//! |---|---|
//! | `fall`: does the compression term fall? | C-LAY-01, -caption, C-LAY-03 |
//! | `sparsity`: do the outputs get sparser? | C-LAY-02, C-LAY-03-sparsity |
//! | `specific`: is the fall one in the learned subspaces? | C-LAY-13 |
//! | `union`: do tokens come to lie near a union of them? | C-LAY-11 |
//! | `splits`: is it the same on images that training saw? | C-LAY-04 |
//! | `steps`: does each block do its part? | C-LAY-05, -sparsity |
//!
//! **Criteria**: those of the files, fixed before the run, on means over networks. The numbers are those of
//! the catalogue for small networks.
//!
//! **Run**: `cargo run --release --bin exp_layerwise`: about a minute and a half a network on two cores;
//! `--train` first trains one (about 45 minutes).

mod fall;
mod sparsity;
mod specific;
mod splits;
mod steps;
mod union;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Measured};
use whitebox::data::{DataArguments, DataName, Split};
use whitebox::exact::official_rate::official_upper_bound;
use whitebox::harness::console::positive;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::layer_curves::{LayerCurves, Network, NetworkCurves};
use whitebox::harness::run::Run;
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::measure::layerwise::Quantity;
use whitebox::model::Config;
use whitebox::Result;

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129; overview, arXiv 2311.13110";

type Found = experiment::Found<Settings, LayerCurves>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Images of each split.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of every rate but the official one; the official one's is 0.1.
    #[arg(long, default_value_t = 0.1, value_parser = positive)]
    epsilon: f64,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    images_per_split: usize,
    epsilon: f64,
    official_upper_bound: f64,
}

struct Layerwise;

impl Experiment for Layerwise {
    const NAME: &'static str = "layerwise";
    const TITLE: &'static str = "Compression and sparsity from layer to layer";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        fall::CLAIMS,
        specific::CLAIMS,
        sparsity::CLAIMS,
        union::CLAIMS,
        splits::CLAIMS,
        steps::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = LayerCurves;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let count = if run.quick { 20 } else { flags.images as usize };
        let subject = Subject::load(&flags.subject, &flags.data, count, run)?;
        let own = [
            fall::QUANTITIES,
            specific::QUANTITIES,
            sparsity::QUANTITIES,
            union::QUANTITIES,
            steps::QUANTITIES,
        ];
        let quantities = own.concat().into_iter().map(|q| q.at(flags.epsilon));
        let quantities: Vec<Quantity> = quantities.collect();
        let config = *subject.config();
        Ok(Found {
            results: LayerCurves::measure(&subject, &subject.splits(), &quantities, count, run)?,
            settings: Settings {
                network: config,
                images_per_split: count,
                epsilon: flags.epsilon,
                official_upper_bound: official_upper_bound(config.heads, config.head_width),
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("layers.csv", &found.table())?;
        fall::show(found, shown)?;
        specific::show(found, shown)?;
        sparsity::show(found, shown)?;
        union::show(found, shown)?;
        steps::show(found, shown)
    }
}

/// A number of every network on held-out images.
fn held_out(
    found: &Found,
    network: Network,
    of: impl Fn(&NetworkCurves) -> Option<f64>,
) -> Option<Measured> {
    found.over(network, Split::Test, of)
}

fn main() -> ExitCode {
    experiment::main::<Layerwise>()
}
