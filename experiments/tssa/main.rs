//! # Token statistics attention: its bound, its step, its cost
//!
//! ToST (arXiv 2412.17810; book, chapter 4) bounds the label rate by one that needs the diagonals of second
//! moments only,
//!
//! `R^var(Z, Pi | U) = sum_k tr(Pi_k) / (2 N) sum_i f( ((U_k^T Z)^{o2} pi_k / tr(Pi_k))_i )`,
//!
//! `f(x) = ln(1 + d x / eps^2)`, and descends on it: an attention that no token pays for twice.
//!
//! | question | claims |
//! |---|---|
//! | `bound`: how tight is it, and where is it none? | C-THY-24, C-THY-26 |
//! | `step`: does the step lower its own objective, and is the released code that step? | C-VAR-09, C-VAR-08 |
//! | `cost`: how do time and memory grow with the number of tokens? | C-THY-27 |
//!
//! **Criteria**: those of the files, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_tssa`: about two minutes on two cores, 2 GB. The timings
//! in its record differ from run to run; nothing else does.

mod bound;
mod cost;
mod step;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::run::Run;
use whitebox::measure::cost::Cost;
use whitebox::Result;

const PAPER: &str = "ToST, arXiv 2412.17810";

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    /// Draws per setting.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..))]
    draws: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    heads: usize,
    p: usize,
    tokens: usize,
    epsilon: f64,
    draws: usize,
    cost_widths: Vec<usize>,
    cost_head_width: usize,
    cost_tokens: Vec<usize>,
    /// The reference makes the whole map in f64: it stops here.
    cost_reference_limit: usize,
    cost_repeats: usize,
}

impl Settings {
    fn new(quick: bool, draws: usize) -> Self {
        let sizes = if quick { 7..=10 } else { 8..=14 };
        Self {
            heads: 4,
            p: 8,
            tokens: 128,
            epsilon: 0.5,
            draws,
            cost_widths: vec![192, 384],
            cost_head_width: 64,
            cost_tokens: sizes.map(|power| 1 << power).collect(),
            cost_reference_limit: 1 << 12,
            cost_repeats: if quick { 1 } else { 5 },
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    gaps: Vec<bound::Row>,
    steps: Vec<step::Row>,
    timings: Vec<Cost>,
}

struct Tssa;

impl Experiment for Tssa {
    const NAME: &'static str = "tssa";
    const TITLE: &'static str = "Token statistics attention: bound, step and cost";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[bound::CLAIMS, cost::CLAIMS, step::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let draws = if run.quick { 3 } else { flags.draws as usize };
        let settings = Settings::new(run.quick, draws);
        let results = Results {
            gaps: bound::measure(&settings, run)?,
            steps: step::measure(&settings, run)?,
            timings: cost::measure(&settings, run)?,
        };
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        bound::show(found, shown)?;
        shown.table("steps.csv", &found.steps)?;
        cost::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Tssa>()
}
