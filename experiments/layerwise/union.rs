//! Do the tokens come to lie near a union of the learned subspaces?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::Split;
use whitebox::harness::chart::{Chart, Colour};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Network, NetworkCurves};
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
    curves.means(quantity).ok()?.last().copied()
}

fn first(found: &Found) -> Option<Measured> {
    held_out(found, Network::Trained, |curves| {
        curves.means(OWN).ok()?.first().copied()
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let lines = [
        (
            "trained, learned subspaces",
            Colour::Trained,
            Network::Trained,
            OWN,
        ),
        (
            "trained, random subspaces",
            Colour::Control,
            Network::Trained,
            RANDOM,
        ),
        (
            "untrained, its subspaces",
            Colour::Untrained,
            Network::Untrained,
            OWN,
        ),
    ];
    let mut series = Vec::new();
    for (name, colour, network, quantity) in lines {
        // A record from before this was measured has no such line.
        let measured = found.each(network, Split::Test);
        if measured.iter().all(|curves| curves.means(quantity).is_ok()) {
            series.extend(found.series(name, colour, (network, Split::Test, quantity))?);
        }
    }
    if series.is_empty() {
        return Ok(());
    }
    let title = "Largest share of a token's energy in one subspace";
    shown.chart("union.svg", &Chart::by_layer(title, "share", series))
}
