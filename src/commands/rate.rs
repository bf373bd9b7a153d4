//! `whitebox rate --tokens z.npy [--bases u.npy] --epsilon 0.5`

use std::path::PathBuf;

use ndarray::{concatenate, Array2, ArrayView2, ArrayView3, Axis, Ix2, Ix3};
use whitebox::data::npy;
use whitebox::exact::coding_rate::rate_bounds;
use whitebox::exact::official_rate::official_rate;
use whitebox::exact::{coding_rate, rate_reduction};
use whitebox::harness::console;
use whitebox::{Error, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Tokens (d, N), or a batch (B, d, N): columns are tokens. f16, f32 or f64.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// The tokens are rows instead: (N, d) or (B, N, d), as networks in Python have them.
    #[arg(long)]
    rows: bool,
    /// Subspace bases (K, d, p), f16, f32 or f64.
    #[arg(long, value_name = "FILE")]
    bases: Option<PathBuf>,
    /// Quantisation precision, in the units of the tokens; it enters squared.
    #[arg(long, value_parser = console::positive)]
    epsilon: f64,
    /// Print Rc_official as well: the number of the official measurement code, for which every token of every
    /// head has length 1 and the precision is 0.1.
    #[arg(long, requires = "bases")]
    official: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let axes = if arguments.rows { "(N, d)" } else { "(d, N)" };
    let tokens = npy::read_any(&arguments.tokens)?;
    let shape = tokens.shape().to_vec();
    let batch = match tokens.ndim() {
        2 => tokens
            .into_dimensionality::<Ix2>()
            .map(|z| z.insert_axis(Axis(0))),
        _ => tokens.into_dimensionality::<Ix3>(),
    };
    let mut batch = batch.map_err(|_| {
        Error::file(
            &arguments.tokens,
            format!("axes {axes}, or a batch of such"),
            format!("shape {shape:?}"),
            "reshape the array before saving it",
        )
    })?;
    if arguments.rows {
        batch.swap_axes(1, 2);
    }
    let bases = arguments.bases.as_deref();
    let bases = bases.map(|path| npy::read::<Ix3>(path, "(K, d, p)"));
    let bases = bases.transpose()?;
    let mut lines = Vec::new();
    for tokens in batch.outer_iter() {
        lines.push(report(arguments, tokens, bases.as_ref().map(|u| u.view()))?);
    }
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

fn report(
    arguments: &Arguments,
    tokens: ArrayView2<'_, f64>,
    bases: Option<ArrayView3<'_, f64>>,
) -> Result<serde_json::Value> {
    let epsilon = arguments.epsilon;
    let (d, n) = tokens.dim();
    let mut line = serde_json::json!({
        "d": d,
        "N": n,
        "epsilon": epsilon,
        "Rc": null,
        "delta_R": null,
        "per_head": null,
    });
    let rate = match bases {
        None => {
            let rate = coding_rate(tokens, epsilon)?;
            line["relative_error_bounds"] =
                serde_json::json!({ "R": bound(rate.relative_error_bound) });
            rate
        }
        Some(bases) => {
            let found = rate_reduction(tokens, bases, epsilon)?;
            let heads = &found.subspace.per_head;
            line["Rc"] = found.subspace.total.into();
            line["delta_R"] = found.delta.into();
            line["per_head"] = heads.iter().map(|rate| rate.value).collect();
            line["relative_error_bounds"] = serde_json::json!({
                "R": bound(found.rate.relative_error_bound),
                "per_head": heads.iter().map(|r| bound(r.relative_error_bound)).collect::<Vec<_>>(),
            });
            if arguments.official {
                let projection = projection(tokens, bases)?;
                line["Rc_official"] = official_rate(projection.view(), heads.len())?.total.into();
            }
            found.rate
        }
    };
    line["R"] = rate.value.into();
    line["R_bounds"] = rate_bounds(tokens, epsilon).to_vec().into();
    Ok(line)
}

/// `U_k^T Z` of all heads side by side, (N, K p): what the official code measures.
fn projection(tokens: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>) -> Result<Array2<f64>> {
    let heads: Vec<Array2<f64>> = bases.outer_iter().map(|u| tokens.t().dot(&u)).collect();
    let views: Vec<ArrayView2<'_, f64>> = heads.iter().map(|head| head.view()).collect();
    concatenate(Axis(1), &views).map_err(|e| Error::misfit("projections", views.len(), &e))
}

/// Two digits of a bound are enough; rounded up.
fn bound(value: f64) -> f64 {
    format!("{:.1e}", value * 1.05).parse().unwrap_or(value)
}
