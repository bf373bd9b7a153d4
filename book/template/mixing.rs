//! # Does the compression term notice when tokens of different subspaces are mixed?
//!
//! **Claim** C-NEW-01 (an example, in no paper): replacing every token by the mean of itself and a token of
//! another subspace raises `R^c`, which is a property of subspaces, and not only lowers `R`, which sees any
//! averaging.
//!
//! **Control**: the mean of two tokens of the same subspace.
//!
//! **Run**: `cargo run --release --example exp_mixing`: seconds.

use std::process::ExitCode;

use clap::Parser;
use ndarray::Array2;
use serde::Serialize;
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::coding_rate::subspace_rate;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::statistics::fraction;
use whitebox::{parallel, Result};

// ANCHOR: claims
const MIXING_RAISES_THE_RATE: Claim = Claim {
    id: "C-NEW-01",
    paper: "none: an example",
    location: "book, adding a claim",
    statement: "Averaging tokens of different subspaces raises R^c",
    criteria: &[
        Criterion::at_least("draws in which R^c rises", 0.95),
        Criterion::at_most("same subspace: draws in which R^c rises", 0.05).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Full,
};
// ANCHOR_END: claims

// ANCHOR: run
#[derive(Debug, Parser)]
#[command(name = "exp_mixing", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    draw: usize,
    before: f64,
    across: f64,
    within: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let run = Run::begin("mixing", &arguments.experiment, None)?;
    let source = UnionOfSubspaces::new(4, 8, 64, 0.1);
    let epsilon = 0.5;
    let draws = arguments.experiment.count(10, 100);
    let rows = parallel::map(draws, run.threads, |draw| {
        let tokens = source.draw(run.seed, draw)?;
        let rate = |partner: &dyn Fn(usize) -> usize| -> Result<f64> {
            let z = &tokens.noisy;
            let mixed =
                Array2::from_shape_fn(z.dim(), |(i, j)| 0.5 * (z[(i, j)] + z[(i, partner(j))]));
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
    table::write(&run.path("draws.csv"), &rows)?;
    let verdict = MIXING_RAISES_THE_RATE.judge(vec![
        Measurement::of(
            "draws in which R^c rises",
            fraction(&rows, |row| row.across > row.before),
        ),
        Measurement::of(
            "same subspace: draws in which R^c rises",
            fraction(&rows, |row| row.within > row.before),
        ),
    ]);
    let sources = Sources::default();
    run.finish(epsilon, vec![verdict], rows, &sources, "draws.csv")
}
// ANCHOR_END: run
