//! # How good is MSSA as a stand-in for the gradient of R^c?
//!
//! On drawn tokens. NeurIPS 2023 (arXiv 2306.01129, section 2.3; book, chapter 4) replaces the exact descent
//! direction of the compression term,
//!
//! `-grad R^c = -c sum_k U_k W_k (I + c W_k^T W_k)^{-1}`, `W_k = U_k^T Z`, `c = p / (N eps^2)`,
//!
//! first by the first order of its Neumann series and then by attention, which gives
//! `(1 - kappa c) Z + kappa c M`, `M = sum_k U_k SSA(Z | U_k)`; the code adds instead, `Z + M`. A critical
//! follow-up (arXiv 2411.17182) says that this ascends.
//!
//! | question | claims |
//! |---|---|
//! | `series`: how far does the first order go? | C-THY-05 |
//! | `sign`: which sign compresses, on which tokens, once and twelve times? | C-THY-10, -10-unit, C-CRIT-01 |
//! | `convex`: does the convex form descend, and by more than shrinking? | C-SUP-01, -01-any |
//!
//! Tokens come from a union of K orthogonal subspaces with leakage into the others, or have no structure at
//! all. One setting is swept at a time: the radius of the series, eps, the noise, the scale of the softmax,
//! the number of heads, the length of the step.
//!
//! **Criteria**: those of the files, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_gradient`: about two minutes on two cores.

mod convex;
mod series;
mod sign;
mod sweeps;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::run::Run;
use whitebox::measure::sweep::{Point, Setting};
use whitebox::Result;

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    /// Draws per setting of a sweep.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    draws: u32,
}

/// The middle of every sweep.
#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    #[serde(flatten)]
    middle: Point,
    draws: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    sweeps: Vec<sweeps::Row>,
    signs: Vec<sign::Cell>,
    convex: Vec<convex::Cell>,
    stack: Vec<sign::StackRow>,
    #[serde(default)]
    radius: Vec<series::Radius>,
    #[serde(default)]
    stacks: Option<sign::Stacks>,
}

struct Gradient;

impl Experiment for Gradient {
    const NAME: &'static str = "gradient";
    const TITLE: &'static str = "MSSA against the exact gradient of R^c, on drawn tokens";
    const CLAIMS: &'static [&'static [Claim<Found>]] =
        &[series::CLAIMS, sign::CLAIMS, convex::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let settings = Settings {
            middle: Point {
                heads: 4,
                p: 16,
                tokens: 128,
                noise: 0.3,
                epsilon: 0.5,
                softmax_scale: 0.25,
            },
            draws: if run.quick { 4 } else { flags.draws as usize },
        };
        let bar = run.progress(Setting::ALL.len() + 3);
        let (mut rows, mut radius) = (Vec::new(), Vec::new());
        for setting in Setting::ALL {
            for value in setting.values() {
                let (middle, draws) = (&settings.middle, settings.draws);
                let draws = setting.effects(value, middle, draws, run.seed, run.threads)?;
                rows.extend(sweeps::rows(setting, value, &draws));
                if setting == Setting::Radius {
                    radius.push(series::Radius::of(value, &draws));
                }
            }
            bar.inc(1);
        }
        let signs = sign::cells(&settings, run)?;
        bar.inc(1);
        let convex = convex::cells(&settings, run)?;
        bar.inc(1);
        let (stack, stacks) = sign::stacks(&settings, run)?;
        bar.finish_and_clear();
        let results = Results {
            sweeps: rows,
            signs,
            convex,
            stack,
            radius,
            stacks: Some(stacks),
        };
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        sweeps::show(found, shown)?;
        shown.table("signs.csv", &found.signs)?;
        shown.table("convex.csv", &found.convex)
    }
}

fn main() -> ExitCode {
    experiment::main::<Gradient>()
}
