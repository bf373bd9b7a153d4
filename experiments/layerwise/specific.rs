//! Is the fall of `R^c` one in the learned subspaces, or would any subspaces show it?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Line, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::{held_out, Found};

const OWN: Quantity = Quantity::OFFICIAL_RATE_ORTHONORMAL;
const RANDOM: Quantity = Quantity::OFFICIAL_RATE_RANDOM;
const NEXT: Quantity = Quantity::OFFICIAL_RATE_NEXT_LAYER;

pub(crate) const QUANTITIES: &[Quantity] = &[
    OWN,
    RANDOM,
    NEXT,
    Quantity::NORMALISED_RATE,
    Quantity::EFFECTIVE_RANK,
];

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-13",
    Source::of("derived by this project", "control of the figure of the layers"),
    Whose::Project,
    "The fall of R^c (official measurement) is one in the learned subspaces: random orthogonal subspaces do not \
     show it",
    &[
        Criterion::at_least(
            "share of the fall in orthonormal bases of the learned subspaces that random ones do not show",
            0.5,
            |found: &Found| {
                trained(found, |curves| Some(1.0 - fall(curves, RANDOM)? / fall(curves, OWN)?))
            },
        ),
        Criterion::at_least(
            "fall in the learned subspaces less that in random ones, nats",
            0.0,
            |found: &Found| trained(found, |curves| Some(fall(curves, OWN)? - fall(curves, RANDOM)?)),
        )
        .secondary(),
        Criterion::at_least(
            "R^c with the next layer's U less with the layer's own, mean over layers, nats",
            0.0,
            |found: &Found| trained(found, |curves| curves.mean_difference(NEXT, Quantity::OFFICIAL_RATE)),
        )
        .secondary(),
        Criterion::at_least(
            "fall in orthonormal bases of the learned subspaces, nats",
            10.0,
            |found: &Found| trained(found, |curves| fall(curves, OWN)),
        )
        .check(),
    ],
)
.beside(&[
    Number::of("learned U: R^c at the last layer / at the first", |found: &Found| {
        trained(found, |curves| ratio(curves, Quantity::OFFICIAL_RATE))
    }),
    Number::of("orthonormal bases of the learned subspaces: the same", |found: &Found| {
        trained(found, |curves| ratio(curves, OWN))
    }),
    Number::of("random orthogonal subspaces: the same", |found: &Found| {
        trained(found, |curves| ratio(curves, RANDOM))
    }),
    Number::of("R(LN1(Z)), no subspaces at all: the same", |found: &Found| {
        let rate = Quantity::NORMALISED_RATE.at(found.settings.epsilon);
        held_out(found, Network::Trained, |curves| ratio(curves, rate))
    }),
    Number::of("effective rank of Z at the last layer / at the first", |found: &Found| {
        trained(found, |curves| ratio(curves, Quantity::EFFECTIVE_RANK))
    }),
])
.pilot_informed()];

fn trained(found: &Found, of: fn(&NetworkCurves) -> Option<f64>) -> Option<Measured> {
    held_out(found, Network::Trained, of)
}

/// From the first layer to the last.
fn fall(curves: &NetworkCurves, quantity: Quantity) -> Option<f64> {
    let [first, last] = curves.ends(quantity)?;
    Some(first - last)
}

fn ratio(curves: &NetworkCurves, quantity: Quantity) -> Option<f64> {
    let [first, last] = curves.ends(quantity)?;
    Some(last / first)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let line = |name, colour, quantity| Line::held_out(name, colour, Network::Trained, quantity);
    let title = "R^c of trained networks (official measurement) in other subspaces";
    let lines = [
        line("learned U", Colour::Trained, Quantity::OFFICIAL_RATE),
        line("learned subspaces", Colour::Kind(0), OWN),
        line("random subspaces", Colour::Control, RANDOM),
        line("next layer's U", Colour::Kind(1), NEXT),
    ];
    found.draw(shown, ("specific.svg", title, "R^c, nats"), &lines)
}
