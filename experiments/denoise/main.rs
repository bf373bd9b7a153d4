//! # Is compression denoising?
//!
//! On tokens drawn from a union of subspaces with noise.
//!
//! | question | claims |
//! |---|---|
//! | `compression`: does a compression step take noise off, as projecting on the nearest subspace does? | C-THY-14, -14-one, -14-attention |
//! | `opposite`: which sign of the step raises the ratio of signal to noise, and which the rate? | C-SUP-03 |
//! | `membership`: is a softmax over tokens the membership that the posterior has over subspaces? | C-THY-11 |
//! | `posterior`: does a step denoise as the posterior does? | C-SUP-05 |
//! | `attention_only`: does the ratio of signal to noise grow by `1 + eta tau` at every layer? | C-THY-22, -22-one, -22-rescaled |
//! | `figure`: and in the book's figure of it? | C-THY-23 |
//!
//! `moments` has the numbers of `compression`, `first_off` the first layer off the theorem by noise, `curve` the
//! figure's curves.
//!
//! **Criteria**: those of the files, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_denoise`: about four minutes on two cores.

mod attention_only;
mod compression;
mod curve;
mod figure;
mod first_off;
mod membership;
mod moments;
mod opposite;
mod posterior;
mod settings;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::Claim;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::run::Run;
use whitebox::Result;

use settings::Settings;

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {}

/// A number with its name, as records keep some.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Named {
    quantity: String,
    value: f64,
}

impl Named {
    fn new(quantity: &str, value: f64) -> Self {
        Self {
            quantity: quantity.to_owned(),
            value,
        }
    }
}

fn named<'a>(numbers: &'a [Named], quantity: &str) -> Option<&'a Named> {
    numbers.iter().find(|number| number.quantity == quantity)
}

/// Second moments, and both signs of the step.
#[derive(Debug, Serialize, Deserialize)]
struct Compression {
    moments: Vec<moments::Row>,
    signs: Vec<Named>,
    region: Vec<opposite::Row>,
}

/// Memberships.
#[derive(Debug, Serialize, Deserialize)]
struct Membership {
    masses: Vec<membership::Row>,
    posterior: Vec<posterior::Row>,
}

/// The theorem, and its figure.
#[derive(Debug, Serialize, Deserialize)]
struct AttentionOnly {
    snr: Vec<attention_only::Row>,
    first_off: Vec<first_off::Row>,
    curves: Vec<figure::Row>,
    fits: Vec<figure::Fit>,
    verdict_numbers: Vec<Named>,
    gain: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    compression: Compression,
    membership: Membership,
    attention_only: AttentionOnly,
}

struct Denoise;

impl Experiment for Denoise {
    const NAME: &'static str = "denoise";
    const TITLE: &'static str = "Compression against denoising, on drawn tokens";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        compression::CLAIMS,
        opposite::CLAIMS,
        membership::CLAIMS,
        posterior::CLAIMS,
        attention_only::CLAIMS,
        figure::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn measure(run: &Run, _: &Flags) -> Result<Found> {
        let settings = Settings::new(run.quick);
        let moments = moments::measure(&settings.compression, run)?;
        let (signs, region) = opposite::measure(&settings.compression, run)?;
        let membership = Membership {
            masses: membership::measure(&settings.membership, run)?,
            posterior: posterior::measure(&settings.membership, run)?,
        };
        let theorem = &settings.attention_only;
        let (snr, mut verdict_numbers) = attention_only::measure(theorem, run)?;
        let first_off = first_off::measure(theorem, run)?;
        let (curves, fits) = figure::measure(theorem, run)?;
        let gain = theorem.figure_theorem().gain();
        verdict_numbers.extend(figure::numbers(&fits, gain));
        let results = Results {
            compression: Compression {
                moments,
                signs,
                region,
            },
            membership,
            attention_only: AttentionOnly {
                snr,
                first_off,
                curves,
                fits,
                verdict_numbers,
                gain,
            },
        };
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        moments::show(found, shown)?;
        shown.table("signs.csv", &found.compression.region)?;
        shown.table("masses.csv", &found.membership.masses)?;
        posterior::show(found, shown)?;
        shown.table("snr.csv", &found.attention_only.snr)?;
        first_off::show(found, shown)?;
        figure::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Denoise>()
}
