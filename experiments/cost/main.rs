//! # What does a CRATE layer cost?
//!
//! **Claim** C-CLS-09 (NeurIPS 2023): a layer of CRATE is simpler than a transformer's, and cheaper: one projection in the
//! place of three, a dictionary in the place of a perceptron four times as wide.
//!
//! **Claim** C-CLS-09-parameters (this project): by the parameter it has more to multiply. The official step multiplies by its
//! dictionary three times, so that a network with as many parameters as a ViT has more to multiply.
//!
//! Multiply-adds are those of the matrix products that the official code forms, for one picture; times are those of the kernels
//! here, which fold the three products of the step into one, and which change nothing about a ViT's. Whole networks of the
//! published sizes, untrained: time does not depend on the values.
//!
//! | question | claims |
//! |---|---|
//! | `rows`: how many, and how long? | C-CLS-09, C-CLS-09-parameters |
//!
//! **Control**: the count against the formula of one layer, `(5 d + 2 N) / (12 d + 2 N)`, which knows nothing of the program.
//!
//! **Criteria**: those of the file, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_cost`: a minute or two.

mod claims;
mod rows;

use std::process::ExitCode;

use rows::Row;
use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::run::Run;
use whitebox::model::Config;
use whitebox::Result;

type Found = experiment::Found<Settings, Vec<Row>>;

#[derive(Debug, clap::Args)]
struct Flags {
    /// How often each network is timed, in turn with the others.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    /// A network, and what it is beside the CRATE of its size.
    networks: Vec<(String, Kind, Config)>,
    turns: usize,
}

/// What a network is in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Crate,
    /// A ViT of the same width and heads.
    AsWide,
    /// A ViT whose number of parameters is nearest.
    AsLarge,
}

/// CRATE's sizes, and the ViT whose heads a ViT with as many parameters has.
const SIZES: [(&str, &str); 3] = [
    ("crate-tiny", "vit-tiny"),
    ("crate-small", "vit-small"),
    ("crate-base", "vit-small"),
];

struct Cost;

impl Experiment for Cost {
    const NAME: &'static str = "cost";
    const TITLE: &'static str = "Multiplications and time of CRATE beside ViT";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[claims::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Vec<Row>;

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let mut networks = Vec::new();
        for (name, vit) in SIZES {
            let own = Config::preset(name)?;
            let near = Config::preset(vit)?.with_parameters_near(own.parameters(), own.d)?;
            let wide = own.of(near.architecture);
            for (kind, mut config) in [
                (Kind::Crate, own),
                (Kind::AsWide, wide),
                (Kind::AsLarge, near),
            ] {
                if run.quick {
                    config.depth = 1;
                }
                networks.push((name.to_owned(), kind, config));
            }
        }
        let settings = Settings {
            networks,
            turns: run.count(1, flags.turns),
        };
        Ok(Found {
            results: rows::measure(&settings, run)?,
            settings,
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.say(rows::table(found));
        shown.table("networks.csv", found)
    }
}

fn main() -> ExitCode {
    experiment::main::<Cost>()
}
