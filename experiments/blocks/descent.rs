//! Does MSSA descend on `R^c` of the tokens as they are, and does the series behind it converge there?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Line, Network};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::{Found, PAPER};

pub(crate) const QUANTITIES: &[Quantity] = &[
    Quantity::NEUMANN_RADIUS,
    Quantity::OUTSIDE_NEUMANN_RADIUS,
    Quantity::COSINE_MSSA_DESCENT,
    Quantity::COSINE_CONVEX_DESCENT,
    Quantity::COSINE_SHRINKAGE_DESCENT,
    Quantity::COSINE_CONVEX_BEYOND_SHRINKAGE,
];

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
            Criterion::at_least("cosine with steepest descent, mean over layers", 0.1, |found: &Found| {
                mean(found, Network::Trained, Quantity::COSINE_MSSA_DESCENT)
            }),
            Criterion::at_most(
                "untrained: cosine with steepest descent, mean over layers",
                0.1,
                |found: &Found| mean(found, Network::Untrained, Quantity::COSINE_MSSA_DESCENT),
            )
            .control(),
        ],
    )
    .pilot_informed(),
    Claim::new(
        "C-SUP-01-trained",
        Source::of("authors' book, chapter 4", "the step (1 - kappa c) Z + kappa c MSSA(Z)"),
        Whose::Authors,
        "The convex form of MSSA points downhill on R^c, far outside the radius",
        &[
            Criterion::at_least("least cosine over layers with steepest descent", 0.0, |found: &Found| {
                least(found, Network::Trained, Quantity::COSINE_CONVEX_DESCENT)
            }),
            Criterion::at_least(
                "untrained: least cosine over layers with steepest descent",
                0.0,
                |found: &Found| least(found, Network::Untrained, Quantity::COSINE_CONVEX_DESCENT),
            )
            .secondary(),
            Criterion::at_least(
                "cosine less that of mere shrinkage, -X, mean over layers",
                0.0,
                beyond_shrinkage,
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("cosine, mean over layers", |found: &Found| {
            mean(found, Network::Trained, Quantity::COSINE_CONVEX_DESCENT)
        }),
        Number::of("cosine of mere shrinkage, -X, mean over layers", |found: &Found| {
            mean(found, Network::Trained, Quantity::COSINE_SHRINKAGE_DESCENT)
        }),
        Number::of("cosine with the part along X taken out of both, mean over layers", |found: &Found| {
            mean(found, Network::Trained, Quantity::COSINE_CONVEX_BEYOND_SHRINKAGE)
        }),
    ])
    .pilot_informed(),
];

/// Mean over layers.
fn mean(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    found.mean(network, quantity.at(found.settings.epsilon))
}

fn least(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    found.over(network, |curves| {
        curves.means(quantity).ok()?.into_iter().reduce(f64::min)
    })
}

fn beyond_shrinkage(found: &Found) -> Option<Measured> {
    let [convex, shrinkage] = [
        Quantity::COSINE_CONVEX_DESCENT,
        Quantity::COSINE_SHRINKAGE_DESCENT,
    ]
    .map(|quantity| quantity.at(found.settings.epsilon));
    found.gain(convex, shrinkage)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let line = |name, colour, network, quantity: Quantity| {
        Line::held_out(name, colour, network, quantity.at(found.settings.epsilon))
    };
    let (trained, untrained) = (Network::Trained, Network::Untrained);
    let outside = Quantity::OUTSIDE_NEUMANN_RADIUS;
    let radius = Network::BOTH.map(|n| line(n.word(), n.colour(), n, outside));
    let title = "Directions outside the Neumann radius";
    found.curves.draw(
        shown,
        ("radius.svg", title, "fraction of directions"),
        &radius,
    )?;
    let (added, convex) = (
        Quantity::COSINE_MSSA_DESCENT,
        Quantity::COSINE_CONVEX_DESCENT,
    );
    let shrinkage = Quantity::COSINE_SHRINKAGE_DESCENT;
    let steps = [
        line("added", Colour::Trained, trained, added),
        line("M - X", Colour::Kind(0), trained, convex),
        line("-X", Colour::Control, trained, shrinkage),
        line("added, untrained", Colour::Untrained, untrained, added),
    ];
    shown.say("\nCosine with the exact descent direction of R^c at LN1(Z).\n");
    shown.say(found.curves.columns(&steps));
    let title = "Cosine of MSSA's steps with the exact descent direction of R^c";
    found
        .curves
        .draw(shown, ("descent.svg", title, "cosine"), &steps)
}
