//! Do the tokens come to lie near a union of the learned subspaces?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Line, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::{held_out, Found};

const OWN: Quantity = Quantity::PURITY;
const RANDOM: Quantity = Quantity::PURITY_RANDOM;

pub(crate) const QUANTITIES: &[Quantity] = &[
    OWN,
    RANDOM,
    Quantity::NEAREST_SUBSPACE_RESIDUAL,
    Quantity::NEAREST_SUBSPACE_RESIDUAL_RANDOM,
];

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-11",
    Source::of(
        "authors' book, chapter 4",
        "overall architecture: a compact and sparse union of incoherent subspaces",
    ),
    Whose::Authors,
    "In the last layers tokens lie near a union of the learned subspaces: each has most of its energy in one",
    &[
        Criterion::at_least(
            "last layer: largest share of a token's energy in one learned subspace, mean over tokens",
            0.5,
            |found: &Found| held_out(found, Network::Trained, |curves| last(curves, OWN)),
        ),
        Criterion::at_least(
            "last layer: the same less that in random orthogonal subspaces",
            0.05,
            |found: &Found| {
                held_out(found, Network::Trained, |curves| Some(last(curves, OWN)? - last(curves, RANDOM)?))
            },
        )
        .secondary(),
        Criterion::at_most(
            "untrained, last layer: largest share of a token's energy in one subspace",
            0.5,
            |found: &Found| held_out(found, Network::Untrained, |curves| last(curves, OWN)),
        )
        .control(),
    ],
)
.beside(&[
    Number::of("first layer: largest share of a token's energy in one learned subspace", first),
    Number::of("last layer: distance from the nearest learned subspace over the length", |found: &Found| {
        held_out(found, Network::Trained, |curves| last(curves, Quantity::NEAREST_SUBSPACE_RESIDUAL))
    }),
    Number::of("last layer: the same from random ones", |found: &Found| {
        let residual = Quantity::NEAREST_SUBSPACE_RESIDUAL_RANDOM;
        held_out(found, Network::Trained, |curves| last(curves, residual))
    }),
])
.pilot_informed()];

fn last(curves: &NetworkCurves, quantity: Quantity) -> Option<f64> {
    Some(curves.ends(quantity)?[1])
}

fn first(found: &Found) -> Option<Measured> {
    held_out(found, Network::Trained, |curves| Some(curves.ends(OWN)?[0]))
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let (trained, untrained) = (Network::Trained, Network::Untrained);
    let title = "Largest share of a token's energy in one subspace";
    let lines = [
        Line::held_out("trained, learned subspaces", Colour::Trained, trained, OWN),
        Line::held_out(
            "trained, random subspaces",
            Colour::Control,
            trained,
            RANDOM,
        ),
        Line::held_out(
            "untrained, its subspaces",
            Colour::Untrained,
            untrained,
            OWN,
        ),
    ];
    found.draw(shown, ("union.svg", title, "share"), &lines)
}
