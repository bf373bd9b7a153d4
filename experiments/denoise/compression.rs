//! A compression step acts on the second moments of a head; a denoiser acts on a token.
//!
//! With `kappa = 1 / c` the exact step on `R^c` is Wiener's filter for each head (C-THY-14, a property test).
//! Where some subspaces are empty it removes what leaks there; else noise and signal share every direction.

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::measure::denoising::Method;

use crate::moments::{row, Row};
use crate::Found;

const PAPER: &str = "ICLR 2024, arXiv 2404.02446";
const READ: &str = "this project's reading of arXiv 2404.02446 and of the book, chapter 4";

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-14-one",
        Source::of(PAPER, "compression as denoising"),
        Whose::Authors,
        "With tokens in one subspace only, the exact compression step removes the noise outside it and keeps \
         the signal",
        &[
            // Means over draws whose spread no record has: of a fixed set.
            Criterion::at_most(
                "one subspace populated: energy of the noise kept",
                0.05,
                |found: &Found| row(found, 1, Method::ExactStep)?.noise_kept.map(Measured::exact),
            ),
            Criterion::at_least(
                "one subspace populated: energy of the signal kept",
                0.9,
                |found: &Found| row(found, 1, Method::ExactStep)?.signal_kept.map(Measured::exact),
            )
            .secondary(),
        ],
    ),
    // At every noise: what a step does at one of them says little, each has one at which it halves the distance.
    Claim::new(
        "C-THY-14",
        Source::of(READ, "compression as denoising, of a whole step"),
        Whose::Project,
        "With tokens in all subspaces, the exact compression step halves the distance to the clean tokens \
         (mean square), whatever the noise",
        &[
            Criterion::at_most(
                "all populated, noise 0.01 to 1: largest mean square error after / before, exact step",
                0.5,
                |found: &Found| worst(found, Method::ExactStep),
            ),
            Criterion::at_most(POSTERIOR, 0.5, |found: &Found| worst(found, Method::PosteriorMean))
                .check(),
        ],
    )
    .beside(&[Number::of("the smallest", |found: &Found| best(found, Method::ExactStep))]),
    Claim::new(
        "C-THY-14-attention",
        Source::of(READ, "the step (1 - kappa c) Z + kappa c M at kappa c = 1"),
        Whose::Project,
        "Attention, which does see tokens, halves it",
        &[
            Criterion::at_most(
                "all populated, noise 0.01 to 1: the largest, attention with scores unscaled",
                0.5,
                |found: &Found| worst(found, Method::AttentionUnscaled),
            ),
            Criterion::at_most(POSTERIOR, 0.5, |found: &Found| worst(found, Method::PosteriorMean))
                .check(),
        ],
    )
    .beside(&[
        Number::of("the smallest", |found: &Found| best(found, Method::AttentionUnscaled)),
        Number::of("the smallest, attention with the network's scale", |found: &Found| {
            best(found, Method::AttentionScaled)
        }),
        Number::of("the largest, projection on the nearest subspace", |found: &Found| {
            worst(found, Method::NearestSubspace)
        }),
    ]),
];

/// That something does, at every noise.
const POSTERIOR: &str =
    "all populated, noise 0.01 to 1: the largest, posterior mean of every token";

/// Over noise, all subspaces populated; the smallest error first.
fn by_error(found: &Found, method: Method) -> Vec<&Row> {
    let rows = found.compression.moments.iter();
    let all = found.settings.compression.heads;
    let mut rows: Vec<&Row> = rows
        .filter(|r| r.populated == all && r.method == method)
        .collect();
    rows.sort_by(|a, b| a.error_ratio.total_cmp(&b.error_ratio));
    rows
}

fn worst(found: &Found, method: Method) -> Option<Measured> {
    let row = by_error(found, method).pop()?;
    Some(Measured::summary(Unit::Draw, &row.error()))
}

fn best(found: &Found, method: Method) -> Option<Measured> {
    let row = by_error(found, method).into_iter().next()?;
    Some(Measured::summary(Unit::Draw, &row.error()))
}
