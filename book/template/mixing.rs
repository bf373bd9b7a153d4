//! # Does the compression term notice when tokens of different subspaces are mixed?
//!
//! **Claim** C-SUP-99 (an example, in no paper): replacing every token by the mean of itself and a token of another
//! subspace, brought back to its length, raises `R^c`.
//!
//! **Control**: the mean of two tokens of the same subspace.
//!
//! **Run**: `cargo run --release --example exp_mixing`: seconds.

use std::process::ExitCode;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Source, Unit, Whose};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::coding_rate::subspace_rate;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::run::Run;
use whitebox::{parallel, Result};

type Found = experiment::Found<f64, Vec<Row>>;

// ANCHOR: claims
const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SUP-99",
    Source::of("none: an example", "book, adding a claim"),
    Whose::Project,
    "Averaging tokens of different subspaces raises R^c",
    &[
        Criterion::at_least("draws in which R^c rises", 0.9, |found: &Found| {
            Some(Measured::share_of(Unit::Draw, found, |row| {
                row.across > row.before
            }))
        }),
        Criterion::at_most(
            "same subspace: draws in which R^c rises",
            0.1,
            |found: &Found| {
                Some(Measured::share_of(Unit::Draw, found, |row| {
                    row.within > row.before
                }))
            },
        )
        .control(),
    ],
)];
// ANCHOR_END: claims

// ANCHOR: run
/// Number of draws.
#[derive(Debug, clap::Args)]
struct Flags {
    /// Draws of tokens.
    #[arg(long, default_value_t = 100)]
    draws: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    draw: usize,
    before: f64,
    across: f64,
    within: f64,
}

struct Mixing;

impl Experiment for Mixing {
    const NAME: &'static str = "mixing";
    const TITLE: &'static str = "Averages of tokens of different subspaces and of one";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[CLAIMS];
    type Flags = Flags;
    type Settings = f64;
    type Results = Vec<Row>;

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let source = UnionOfSubspaces::new(4, 8, 64, 0.1);
        let epsilon = 0.5;
        let draws = if run.quick { 40 } else { flags.draws as usize };
        let rows = parallel::map(draws, run.threads, |draw| {
            let tokens = source.draw(run.seed, draw)?;
            let rate = |partner: &dyn Fn(usize) -> usize| -> Result<f64> {
                let z = &tokens.noisy;
                let mut mixed =
                    Array2::from_shape_fn(z.dim(), |(i, j)| 0.5 * (z[(i, j)] + z[(i, partner(j))]));
                for (mut mixed, token) in mixed.columns_mut().into_iter().zip(z.columns()) {
                    mixed *= (token.dot(&token) / mixed.dot(&mixed)).sqrt();
                }
                Ok(subspace_rate(mixed.view(), tokens.bases.view(), epsilon)?.total)
            };
            let of_each = source.tokens / source.heads;
            let own = |j: usize| j / of_each * of_each + (j + 1) % of_each;
            Ok(Row {
                draw,
                before: rate(&|j| j)?,
                across: rate(&|j| (j + of_each) % source.tokens)?,
                within: rate(&own)?,
            })
        })?;
        Ok(Found {
            settings: epsilon,
            results: rows,
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("draws.csv", found)
    }
}

fn main() -> ExitCode {
    experiment::main::<Mixing>()
}
// ANCHOR_END: run
