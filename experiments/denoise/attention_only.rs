//! The attention-only transformer's theorem: with the thresholded softmax every layer multiplies the
//! ratio of signal to noise by exactly `1 + eta tau`.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::harness::run::Run;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::{parallel, Result};

use crate::figure::BOOK;
use crate::settings::{AttentionOnly as Settings, HEADS};
use crate::{named, Found, Named};

/// A layer counts as exact up to this relative deviation: rounding is six orders below.
pub(crate) const EXACT: f64 = 1e-9;

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-22-one",
        Source::of(BOOK, "theorem thm:1, for one layer"),
        Whose::Authors,
        "The first layer multiplies every subspace's signal-to-noise ratio by exactly 1 + eta tau",
        &[Criterion::at_least(
            "fraction of draws exact at layer 1",
            0.95,
            |found: &Found| exact(found, false, 1),
        )],
    )
    .beside(&[Number::of(SCALED_SCORES, scaled_scores)]),
    Claim::new(
        "C-THY-22",
        Source::of(BOOK, "theorem thm:1"),
        Whose::Authors,
        "All of 12 layers do",
        &[Criterion::at_least(
            "fraction of draws exact at all 12 layers",
            0.95,
            |found: &Found| exact(found, false, 12),
        )],
    ),
    Claim::new(
        "C-THY-22-rescaled",
        Source::of(
            "repaired by this project",
            "theorem thm:1 with every token rescaled to length sqrt(p) after each layer",
        ),
        Whose::Project,
        "Rescaled, all of 20 layers do",
        &[Criterion::at_least(
            "rescaled: fraction of draws exact at all 20 layers",
            0.95,
            |found: &Found| exact(found, true, 20),
        )],
    ),
];

pub(crate) const SCALED_SCORES: &str =
    "scores scaled by p^{-1/2}: fraction of draws exact at layer 1";

fn scaled_scores(found: &Found) -> Option<Measured> {
    let share = named(&found.attention_only.verdict_numbers, SCALED_SCORES)?;
    let draws = found.settings.attention_only.draws();
    Some(Measured::mean_share(Unit::Draw, &[share.value], draws))
}

/// Share of draws exact up to and including `layer`, noises and sizes together; noises take the same draws.
fn exact(found: &Found, rescaled: bool, layer: usize) -> Option<Measured> {
    let settings = &found.settings.attention_only;
    let rows = found.attention_only.snr.iter();
    let mut rows = rows.filter(|r| (r.rescaled, r.layer) == (rescaled, layer));
    let mut shares = Vec::new();
    // A share for every draw of a size, so that a size counts by its draws.
    for size in &settings.sizes {
        for row in rows.by_ref().take(settings.noises.len()) {
            shares.extend(vec![row.exact; size.draws]);
        }
    }
    (!shares.is_empty()).then(|| Measured::mean_share(Unit::Draw, &shares, settings.draws()))
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    p: usize,
    tokens: usize,
    noise: f64,
    rescaled: bool,
    layer: usize,
    /// Largest relative deviation of the ratio from `1 + eta tau` over subspaces, mean and largest
    /// over draws.
    mean_deviation: f64,
    largest_deviation: f64,
    /// Draws exact up to and including this layer.
    exact: f64,
}

/// The rows, and the shares of all draws together.
pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<(Vec<Row>, Vec<Named>)> {
    let theorem = settings.theorem();
    let bar = run.progress(settings.sizes.len() * settings.noises.len());
    let mut rows = Vec::new();
    let (mut plain, mut rescaled_draws, mut scaled) = (Vec::new(), Vec::new(), Vec::new());
    for size in &settings.sizes {
        for &share in &settings.noises {
            let noise = share / (size.p as f64).sqrt();
            let model = UnionOfSubspaces::new(HEADS, size.p, size.tokens, noise);
            for (rescaled, layers) in [(false, settings.layers), (true, settings.rescaled_layers)] {
                let draws = parallel::map(size.draws, run.threads, |draw| {
                    Ok(theorem.deviations(&model.draw(run.seed, draw)?, layers, rescaled))
                })?;
                for layer in 0..layers {
                    let values: Vec<f64> = draws.iter().map(|d| d[layer]).collect();
                    rows.push(Row {
                        p: size.p,
                        tokens: size.tokens,
                        noise,
                        rescaled,
                        layer: layer + 1,
                        mean_deviation: Summary::of(&values).mean,
                        largest_deviation: values.iter().copied().fold(0.0, f64::max),
                        exact: fraction(&draws, |d| d[..=layer].iter().all(|&v| v <= EXACT)),
                    });
                }
                let of_all = if rescaled {
                    &mut rescaled_draws
                } else {
                    &mut plain
                };
                of_all.extend(draws);
            }
            scaled.extend(parallel::map(size.draws, run.threads, |draw| {
                Ok(theorem.first_deviation_with_scaled_scores(&model.draw(run.seed, draw)?))
            })?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let all = |draw: &Vec<f64>| draw.iter().all(|&v| v <= EXACT);
    let first = fraction(&plain, |d| d[0] <= EXACT);
    let numbers = vec![
        Named::new("fraction of draws exact at layer 1", first),
        Named::new(SCALED_SCORES, fraction(&scaled, |&v| v <= EXACT)),
        Named::new(
            "fraction of draws exact at all 12 layers",
            fraction(&plain, all),
        ),
        Named::new(
            "rescaled: fraction of draws exact at all 20 layers",
            fraction(&rescaled_draws, all),
        ),
    ];
    Ok((rows, numbers))
}
