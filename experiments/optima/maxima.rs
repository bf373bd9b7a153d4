//! Where does ascent on the rate reduction with labels end?

use indicatif::ProgressBar;
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::subspaces::gaussian;
use whitebox::exact::mcr2::{largest_lambda, regularised_singular_values};
use whitebox::harness::run::Run;
use whitebox::measure::maxima::{constrained_maximum, regularised_maximum, Groups, Maximum};
use whitebox::{parallel, Result};

use super::{Found, Settings, BOOK};

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-34",
        Source::of(BOOK, "theorem MCR2-properties"),
        Whose::Authors,
        "The features that maximise the rate reduction with labels lie in orthogonal subspaces, with equal singular \
         values but the last",
        &[
            Criterion::at_least(
                "fraction of restarts with cosines across classes below 1e-3",
                0.9,
                |found: &Found| share(&found.maxima, |m| m.cosine < 1e-3),
            ),
            Criterion::at_least(
                "fraction of restarts with leading singular values equal to 1 %",
                0.9,
                |found: &Found| share(&found.maxima, |m| m.spread < 0.01),
            )
            .secondary(),
            Criterion::at_least(
                "smallest cosine across classes at the start, largest pair",
                0.1,
                |found: &Found| {
                    let starts = found.maxima.iter().map(|m| m.start_cosine);
                    Some(Measured::exact(starts.fold(f64::INFINITY, f64::min)))
                },
            )
            .check(),
        ],
    )
    .beside(&[Number::of(
        "fraction of restarts in which every class has the full rank",
        |found: &Found| share(&found.maxima, |m| m.ranks.iter().all(|&r| r == m.ranks[0])),
    )]),
    Claim::new(
        "C-THY-35",
        Source::of(BOOK, "theorems mcr-global-opt and benign landscape"),
        Whose::Authors,
        "Ascent on the regularised objective ends at the closed form from any start",
        &[
            Criterion::at_least(
                "fraction of starts whose nonzero singular values are the closed form's to 1e-4",
                0.99,
                |found: &Found| {
                    share(&found.regularised, |m| m.distance.is_some_and(|d| d < 1e-4))
                },
            ),
            Criterion::at_least(
                "fraction of starts with cross products below 1e-4",
                0.99,
                |found: &Found| share(&found.regularised, |m| m.cross_product < 1e-4),
            )
            .secondary(),
        ],
    )
    .beside(&[Number::of(
        "fraction of starts whose ranks fill the space",
        |found: &Found| {
            let d = found.settings.regularised_d;
            share(&found.regularised, |m| m.ranks.iter().sum::<usize>() == d)
        },
    )]),
];

fn share(maxima: &[Maximum], holds: impl Fn(&Maximum) -> bool) -> Option<Measured> {
    Some(Measured::share_of(Unit::Draw, maxima, holds))
}

/// The maxima with `||Z_k||_F^2 = N_k` and `rank Z_k <= rank`, one a start.
pub(crate) fn constrained(
    settings: &Settings,
    run: &Run,
    bar: &ProgressBar,
) -> Result<Vec<Maximum>> {
    let groups = Groups {
        count: settings.groups,
        each: settings.group_tokens,
    };
    let (rank, epsilon, iterations) = (settings.rank, settings.epsilon, settings.iterations);
    parallel::map(settings.restarts, run.threads, |draw| {
        let name = format!("start {draw}");
        let start = gaussian(run.seed, &name, settings.d, groups.tokens());
        let found = constrained_maximum(&start, groups, rank, epsilon, iterations);
        bar.inc(1);
        found
    })
}

/// The maxima with a regulariser, one a start.
pub(crate) fn regularised(
    settings: &Settings,
    run: &Run,
    bar: &ProgressBar,
) -> Result<Vec<Maximum>> {
    let groups = regularised_groups(settings);
    let (lambda, exact) = (lambda(settings), closed_form(settings));
    let (epsilon, iterations) = (settings.epsilon, settings.iterations);
    parallel::map(settings.starts, run.threads, |draw| {
        let name = format!("free start {draw}");
        let start = gaussian(run.seed, &name, settings.regularised_d, groups.tokens());
        let found = regularised_maximum(&start, groups, epsilon, lambda, iterations, exact);
        bar.inc(1);
        found
    })
}

fn regularised_groups(settings: &Settings) -> Groups {
    Groups {
        count: settings.groups,
        each: settings.regularised_tokens,
    }
}

fn lambda(settings: &Settings) -> f64 {
    let groups = regularised_groups(settings);
    let (d, epsilon) = (settings.regularised_d, settings.epsilon);
    settings.lambda_share * largest_lambda(d, groups.tokens(), groups.each, epsilon)
}

/// The singular value that all directions have at the regularised maxima.
pub(crate) fn closed_form(settings: &Settings) -> Option<f64> {
    let groups = regularised_groups(settings);
    let (d, epsilon) = (settings.regularised_d, settings.epsilon);
    let total = groups.tokens();
    let roots = regularised_singular_values(d, total, groups.each, epsilon, lambda(settings));
    roots.map(|(larger, _)| larger)
}
