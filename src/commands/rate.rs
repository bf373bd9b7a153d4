//! `whitebox rate --tokens z.npy [--bases u.npy] --epsilon 0.5`

use std::path::PathBuf;

use ndarray::{Ix2, Ix3};
use whitebox::exact::{coding_rate, rate_reduction};
use whitebox::harness::console;
use whitebox::Result;

use super::npy;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Tokens (d, N), f32 or f64: columns are tokens.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// Subspace bases (K, d, p), f32 or f64.
    #[arg(long, value_name = "FILE")]
    bases: Option<PathBuf>,
    /// Quantisation precision, in the units of the tokens; it enters squared.
    #[arg(long, value_parser = console::positive)]
    epsilon: f64,
}

/// Prints `{"R", "Rc", "delta_R", "per_head"}` in nats, with the digits that make each number
/// exact when read back, and a bound on the relative error of every rate. Without bases, the last
/// three are null.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let tokens = npy::read::<Ix2>(&arguments.tokens, "(d, N)")?;
    let report = match &arguments.bases {
        None => {
            let rate = coding_rate(tokens.view(), arguments.epsilon)?;
            serde_json::json!({
                "R": rate.value,
                "Rc": null,
                "delta_R": null,
                "per_head": null,
                "relative_error_bounds": {"R": bound(rate.relative_error_bound)},
            })
        }
        Some(path) => {
            let bases = npy::read::<Ix3>(path, "(K, d, p)")?;
            let found = rate_reduction(tokens.view(), bases.view(), arguments.epsilon)?;
            let heads = &found.subspace.per_head;
            serde_json::json!({
                "R": found.rate.value,
                "Rc": found.subspace.total,
                "delta_R": found.delta,
                "per_head": heads.iter().map(|rate| rate.value).collect::<Vec<_>>(),
                "relative_error_bounds": {
                    "R": bound(found.rate.relative_error_bound),
                    "per_head": heads.iter().map(|r| bound(r.relative_error_bound)).collect::<Vec<_>>(),
                },
            })
        }
    };
    println!("{report}");
    Ok(())
}

/// Two digits of a bound are enough; rounded up.
fn bound(value: f64) -> f64 {
    format!("{:.1e}", value * 1.05).parse().unwrap_or(value)
}
