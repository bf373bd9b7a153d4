//! Whether attention's weights are memberships: where their mass lies.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::harness::run::Run;
use whitebox::measure::membership::Masses;
use whitebox::{parallel, Result};

use crate::settings::{Membership as Settings, HEADS};
use crate::Found;

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-11",
        Source::of("authors' book, chapter 4", "text before eq. grad Rc"),
        Whose::Authors,
        "softmax(W^T W) is membership: tokens of the subspace attend to each other, tokens of other subspaces to \
         all alike",
        &[
            Criterion::at_least(
                "smallest mass on the own subspace, tokens of it",
                0.9,
                |found: &Found| least(unscaled(found).map(|r| r.own_subspace)),
            ),
            Criterion::at_least(
                "smallest entropy / ln N, tokens of other subspaces, noise <= 0.1",
                0.9,
                |found: &Found| {
                    let little = unscaled(found).filter(|r| r.noise <= 0.1);
                    least(little.map(|r| r.foreign_entropy))
                },
            )
            .secondary(),
            // Mass that is all on the token itself makes attention the identity, not membership.
            Criterion::at_most(
                "largest mass on the token itself, tokens of the subspace",
                0.5,
                |found: &Found| most(unscaled(found).map(|r| r.itself)),
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("scale p^{-1/2}: largest mass on the token itself", |found: &Found| {
            most(scaled(found).map(|r| r.itself))
        }),
        Number::of("scale p^{-1/2}: smallest mass on the own subspace", |found: &Found| {
            least(scaled(found).map(|r| r.own_subspace))
        }),
    ]),
];

/// The smallest of means over draws: of a fixed set.
pub(crate) fn least(values: impl Iterator<Item = f64>) -> Option<Measured> {
    values.reduce(f64::min).map(Measured::exact)
}

/// The largest.
fn most(values: impl Iterator<Item = f64>) -> Option<Measured> {
    values.reduce(f64::max).map(Measured::exact)
}

fn unscaled(found: &Found) -> impl Iterator<Item = &Row> {
    let rows = found.membership.masses.iter();
    rows.filter(|r| r.softmax_scale == 1.0)
}

fn scaled(found: &Found) -> impl Iterator<Item = &Row> {
    let rows = found.membership.masses.iter();
    rows.filter(|r| r.softmax_scale != 1.0)
}

/// Means over draws of what [`Masses`] has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    softmax_scale: f64,
    noise: f64,
    own_subspace: f64,
    itself: f64,
    others_of_own: f64,
    foreign_entropy: f64,
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let bar = run.progress(2 * settings.mass_noises.len());
    let mut rows = Vec::new();
    for softmax_scale in [1.0, (settings.mass_p as f64).powf(-0.5)] {
        for &noise in &settings.mass_noises {
            let model = UnionOfSubspaces::new(HEADS, settings.mass_p, settings.mass_tokens, noise);
            let draws = parallel::map(settings.draws, run.threads, |draw| {
                Ok(Masses::of(&model.draw(run.seed, draw)?, softmax_scale))
            })?;
            let mean =
                |of: fn(&Masses) -> f64| draws.iter().map(of).sum::<f64>() / draws.len() as f64;
            rows.push(Row {
                softmax_scale,
                noise,
                own_subspace: mean(|d| d.own_subspace),
                itself: mean(|d| d.itself),
                others_of_own: mean(|d| d.others_of_own),
                foreign_entropy: mean(|d| d.foreign_entropy),
            });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}
