//! Whether the step lowers its own objective, and whether the released code is that step.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::subspaces::{TokenKind, UnionOfSubspaces};
use whitebox::harness::run::Run;
use whitebox::measure::token_statistics::Step;
use whitebox::{parallel, Result};

use crate::{Found, Settings, PAPER};

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-VAR-08",
        Source::of(PAPER, "released code, tost_vision/tost.py"),
        Whose::Authors,
        "The code's heads, with U for its output projection, are the paper's operator up to a factor",
        &[
            Criterion::at_most(
                "relative difference with the paper's memberships and eps put back",
                1e-6,
                |found: &Found| {
                    let differences = found.steps.iter().map(|r| r.code_difference);
                    differences.reduce(f64::max).map(Measured::exact)
                },
            ),
            Criterion::at_least(
                "smallest mean cosine of the code as released with the paper's operator",
                0.9,
                |found: &Found| least(found, |r| r.code_cosine),
            )
            .secondary(),
        ],
    )
    .beside(&[
        Number::of("the same with the paper's memberships", |found: &Found| {
            least(found, |r| r.code_cosine_memberships)
        }),
        Number::of("the same with the paper's precision", |found: &Found| {
            least(found, |r| r.code_cosine_precision)
        }),
    ]),
    Claim::new(
        "C-VAR-09",
        Source::of(PAPER, "the step derived from the variational form"),
        Whose::Authors,
        "A step of TSSA with tau / N = 1 / max f' lowers its own objective",
        &[
            Criterion::at_least(
                "fraction of draws that fall, memberships held fixed",
                0.95,
                |found: &Found| share(found, |r| r.falls_fixed),
            ),
            Criterion::at_least(
                "fraction of draws that fall, memberships computed again",
                0.95,
                |found: &Found| share(found, |r| r.falls_again),
            )
            .secondary(),
            Criterion::at_most(
                "step of the opposite sign: fraction of draws that fall",
                0.05,
                |found: &Found| share(found, |r| r.falls_opposite),
            )
            .control(),
        ],
    ),
];

/// Precisions and widths take the same draws; the two kinds of tokens are drawn apart.
fn share(found: &Found, pick: fn(&Row) -> f64) -> Option<Measured> {
    let shares: Vec<f64> = found.steps.iter().map(pick).collect();
    let draws = TokenKind::ALL.len() * found.settings.draws;
    Some(Measured::mean_share(Unit::Draw, &shares, draws))
}

/// Of a fixed set of cells and draws.
fn least(found: &Found, pick: fn(&Row) -> f64) -> Option<Measured> {
    let smallest = found.steps.iter().map(pick).reduce(f64::min);
    smallest.map(Measured::exact)
}

/// One combination in which the step is tried: means over draws of what [`Step`] has, the largest difference.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    tokens: TokenKind,
    epsilon: f64,
    membership_width: f64,
    falls_fixed: f64,
    falls_again: f64,
    falls_opposite: f64,
    /// Relative change of the objective, memberships computed again.
    change: f64,
    /// Cosine of the released code's heads with the paper's operator, and of the same with the paper's
    /// memberships, with the paper's precision.
    code_cosine: f64,
    code_cosine_memberships: f64,
    code_cosine_precision: f64,
    /// Relative difference with both put back.
    code_difference: f64,
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let mut cells = Vec::new();
    for tokens in TokenKind::ALL {
        for epsilon in [0.1, 0.5, 1.0, 2.0] {
            for width in [0.1, 1.0, 10.0] {
                cells.push((tokens, epsilon, width));
            }
        }
    }
    let bar = run.progress(cells.len());
    let model = UnionOfSubspaces::new(settings.heads, settings.p, settings.tokens, 0.3);
    let mut rows = Vec::new();
    for (tokens, epsilon, width) in cells {
        let steps = parallel::map(settings.draws, run.threads, |draw| {
            let drawn = tokens.draw(&model, run.seed, draw, "no structure")?;
            Ok(Step::at(&drawn.noisy, drawn.bases.view(), epsilon, width))
        })?;
        let mean = |of: fn(&Step) -> f64| steps.iter().map(of).sum::<f64>() / steps.len() as f64;
        let share = |of: fn(&Step) -> bool| {
            let hits = steps.iter().filter(|step| of(step)).count();
            hits as f64 / steps.len() as f64
        };
        rows.push(Row {
            tokens,
            epsilon,
            membership_width: width,
            falls_fixed: share(|s| s.falls),
            falls_again: share(|s| s.falls_again),
            falls_opposite: share(|s| s.opposite_falls),
            change: mean(|s| s.change),
            code_cosine: mean(|s| s.code_cosine),
            code_cosine_memberships: mean(|s| s.code_cosine_memberships),
            code_cosine_precision: mean(|s| s.code_cosine_precision),
            code_difference: steps.iter().map(|s| s.code_difference).fold(0.0, f64::max),
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}
