//! Does the compression term fall with depth, in the official code's convention and in the caption's?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Line, Network};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::trend::{last_over_first, spearman};
use whitebox::Result;

use super::{held_out, Found, PAPER};

const OFFICIAL: Quantity = Quantity::OFFICIAL_RATE;
const CAPTION: Quantity = Quantity::SUBSPACE_RATE_AFTER_MSSA;

pub(crate) const QUANTITIES: &[Quantity] = &[OFFICIAL, CAPTION, Quantity::RATE];

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-01",
        Source::of(
            PAPER,
            "figure of the layers, left; official vis_utils/coding_rate.py",
        ),
        Whose::Authors,
        "In a trained network the compression term falls with depth (official measurement)",
        &[
            Criterion::at_most(
                "held-out: R^c at the last layer / at the first",
                0.90,
                |found: &Found| ratio(found, Network::Trained, OFFICIAL, 0),
            ),
            Criterion::at_most(
                "held-out: rank correlation of R^c with depth",
                -0.6,
                |found: &Found| trend(found, Network::Trained, OFFICIAL, 0),
            )
            .secondary(),
            Criterion::at_least(
                "untrained: R^c at the last layer / at the first",
                0.90,
                |found: &Found| ratio(found, Network::Untrained, OFFICIAL, 0),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-LAY-01-caption",
        Source::of(PAPER, "caption of the same figure"),
        Whose::Authors,
        "The same for R^c(Z^{l+1/2} | U^l), the formula of the caption, from the second layer on",
        &[
            Criterion::at_most(
                "held-out: R^c at the last layer / at the second",
                0.90,
                |found: &Found| ratio(found, Network::Trained, CAPTION, 1),
            ),
            Criterion::at_most(
                "held-out: rank correlation of R^c with depth",
                -0.6,
                |found: &Found| trend(found, Network::Trained, CAPTION, 1),
            )
            .secondary(),
            Criterion::at_least(
                "untrained: R^c at the last layer / at the second",
                0.90,
                |found: &Found| ratio(found, Network::Untrained, CAPTION, 1),
            )
            .control(),
        ],
    )
    .beside(&[Number::of(
        "held-out: R^c at the last layer / at the first",
        |found: &Found| ratio(found, Network::Trained, CAPTION, 0),
    )])
    .pilot_informed(),
    Claim::new(
        "C-LAY-03",
        Source::of("control of this project", "not published"),
        Whose::Project,
        "Untrained, R^c does not fall with depth",
        &[Criterion::at_least(
            "untrained: R^c at the last layer / at the first",
            0.98,
            |found: &Found| ratio(found, Network::Untrained, OFFICIAL, 0),
        )],
    )
    .pilot_informed(),
];

/// The last value over that of the layer `from`, which counts from 0.
fn ratio(found: &Found, network: Network, quantity: Quantity, from: usize) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    held_out(found, network, |curves| {
        Some(last_over_first(curves.means(quantity).ok()?.get(from..)?))
    })
}

/// The rank correlation with depth from the layer `from` on.
fn trend(found: &Found, network: Network, quantity: Quantity, from: usize) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    held_out(found, network, |curves| {
        Some(spearman(curves.means(quantity).ok()?.get(from..)?))
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let caption = CAPTION.at(found.settings.epsilon);
    let column = |name, network: Network, quantity| {
        Line::held_out(name, network.colour(), network, quantity)
    };
    shown.say("\nR^c by layer, nats, held out.\n");
    shown.say(found.columns(&[
        column("official", Network::Trained, OFFICIAL),
        column("untrained", Network::Untrained, OFFICIAL),
        column("caption", Network::Trained, caption),
        column("untrained", Network::Untrained, caption),
    ]));
    for (file, quantity, title) in [
        (
            "rate.svg",
            OFFICIAL,
            "Compression term by layer (official measurement)",
        ),
        (
            "caption.svg",
            caption,
            "R^c(Z^{l+1/2} | U^l) by layer (formula of the caption)",
        ),
    ] {
        found.draw(
            shown,
            (file, title, "R^c, nats"),
            &Line::on_both_splits(quantity),
        )?;
    }
    Ok(())
}
