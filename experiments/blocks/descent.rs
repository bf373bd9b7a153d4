//! Does MSSA descend on `R^c` of the tokens as they are, and does the series behind it converge there?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::Network;
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::statistics::fraction;
use whitebox::Result;

use super::{chart, Found, PAPER};

pub(crate) const QUANTITIES: &[Quantity] = &[
    Quantity::NEUMANN_RADIUS,
    Quantity::OUTSIDE_NEUMANN_RADIUS,
    Quantity::COSINE_MSSA_DESCENT,
    Quantity::COSINE_CONVEX_DESCENT,
];

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-06",
        Source::of("derived by this project", "critique of the derivation of MSSA, section 2.3"),
        Whose::Project,
        "At the official precision, most directions of the tokens lie outside the radius in which the series \
         behind MSSA converges",
        &[Criterion::at_least(
            "mean over layers: fraction of directions outside the radius",
            0.5,
            |found: &Found| mean(found, Network::Trained, Quantity::OUTSIDE_NEUMANN_RADIUS),
        )],
    ),
    Claim::new(
        "C-CRIT-01-trained",
        Source::of(PAPER, "section 2.3, against arXiv 2411.17182"),
        Whose::Authors,
        "What MSSA adds to the tokens points downhill on R^c",
        &[
            Criterion::at_least("fraction of layers with a positive cosine", 0.8, |found: &Found| {
                positive(found, Network::Trained, Quantity::COSINE_MSSA_DESCENT)
            }),
            Criterion::at_most(
                "untrained: fraction of layers with a positive cosine",
                0.5,
                |found: &Found| positive(found, Network::Untrained, Quantity::COSINE_MSSA_DESCENT),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-SUP-01-trained",
        Source::of("authors' book, chapter 4", "the step (1 - kappa c) Z + kappa c MSSA(Z)"),
        Whose::Authors,
        "The convex form of MSSA points downhill on R^c, far outside the radius",
        &[
            Criterion::at_least("fraction of layers with a positive cosine", 0.95, |found: &Found| {
                positive(found, Network::Trained, Quantity::COSINE_CONVEX_DESCENT)
            }),
            Criterion::at_least(
                "untrained: fraction of layers with a positive cosine",
                0.95,
                |found: &Found| positive(found, Network::Untrained, Quantity::COSINE_CONVEX_DESCENT),
            )
            .secondary(),
        ],
    ),
];
// ANCHOR_END: claims

/// Mean over layers.
fn mean(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    found.over(network, |curves| {
        let means = curves.means(quantity).ok()?;
        Some(means.iter().sum::<f64>() / means.len() as f64)
    })
}

fn positive(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    found.over(network, |curves| {
        Some(fraction(&curves.means(quantity).ok()?, |&c| c > 0.0))
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let outside = Quantity::OUTSIDE_NEUMANN_RADIUS;
    chart(
        found,
        shown,
        (
            "radius.svg",
            "Directions outside the Neumann radius",
            "fraction of directions",
        ),
        &Network::BOTH.map(|network| (network.word(), network.colour(), network, outside)),
    )?;
    let (added, convex) = (
        Quantity::COSINE_MSSA_DESCENT,
        Quantity::COSINE_CONVEX_DESCENT,
    );
    chart(
        found,
        shown,
        (
            "descent.svg",
            "Cosine of MSSA's steps with the exact descent direction of R^c",
            "cosine",
        ),
        &[
            ("added, trained", Colour::Trained, Network::Trained, added),
            (
                "convex form, trained",
                Colour::Kind(0),
                Network::Trained,
                convex,
            ),
            (
                "added, untrained",
                Colour::Untrained,
                Network::Untrained,
                added,
            ),
        ],
    )
}
