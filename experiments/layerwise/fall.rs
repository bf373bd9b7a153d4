//! Does the compression term fall with depth, in the official code's convention and in the caption's?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::data::Split;
use whitebox::harness::chart::{Chart, Colour};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::Network;
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::trend::{last_over_first, spearman};
use whitebox::Result;

use super::{held_out, Found, LINES, PAPER};

const OFFICIAL: Quantity = Quantity::OFFICIAL_RATE;
const CAPTION: Quantity = Quantity::SUBSPACE_RATE_AFTER_MSSA;

pub(crate) const QUANTITIES: &[Quantity] = &[OFFICIAL, CAPTION, Quantity::RATE];

// ANCHOR: claims
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
                |found: &Found| ratio(found, Network::Trained, OFFICIAL),
            ),
            Criterion::at_most(
                "held-out: rank correlation of R^c with depth",
                -0.6,
                |found: &Found| trend(found, Network::Trained, OFFICIAL),
            )
            .secondary(),
            Criterion::at_least(
                "untrained: R^c at the last layer / at the first",
                0.90,
                |found: &Found| ratio(found, Network::Untrained, OFFICIAL),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-LAY-01-caption",
        Source::of(PAPER, "caption of the same figure"),
        Whose::Authors,
        "The same for R^c(Z^{l+1/2} | U^l), the formula of the caption",
        &[
            Criterion::at_most(
                "held-out: R^c at the last layer / at the first",
                0.90,
                |found: &Found| ratio(found, Network::Trained, CAPTION),
            ),
            Criterion::at_most(
                "held-out: rank correlation of R^c with depth",
                -0.6,
                |found: &Found| trend(found, Network::Trained, CAPTION),
            )
            .secondary(),
            Criterion::at_least(
                "untrained: R^c at the last layer / at the first",
                0.90,
                |found: &Found| ratio(found, Network::Untrained, CAPTION),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-LAY-03",
        Source::of("control of this project", "not published"),
        Whose::Project,
        "Untrained, R^c does not fall with depth",
        &[Criterion::at_least(
            "untrained: R^c at the last layer / at the first",
            0.98,
            |found: &Found| ratio(found, Network::Untrained, OFFICIAL),
        )],
    )
    .pilot_informed(),
];
// ANCHOR_END: claims

fn ratio(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    held_out(found, network, |curves| {
        Some(last_over_first(&curves.means(quantity).ok()?))
    })
}

fn trend(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    held_out(found, network, |curves| {
        Some(spearman(&curves.means(quantity).ok()?))
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let caption = CAPTION.at(found.settings.epsilon);
    print(found, shown, caption)?;
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
        let mut series = Vec::new();
        for (name, network, split) in LINES {
            let colour = match split {
                Split::Train => Colour::TrainingImages,
                Split::Test => network.colour(),
            };
            series.extend(found.series(name, colour, (network, split, quantity))?);
        }
        shown.chart(file, &Chart::by_layer(title, "R^c, nats", series))?;
    }
    Ok(())
}

fn print(found: &Found, shown: &Shown<'_>, caption: Quantity) -> Result<()> {
    shown.say(format!(
        "\nR^c by layer, nats: means over networks and images, held out.\n\n\
         {:>5} | {:^19} | {:^19}\n{:>5} | {:>9} {:>9} | {:>9} {:>9}",
        "", "official", "caption", "layer", "trained", "untrained", "trained", "untrained"
    ));
    let mut columns = Vec::new();
    for quantity in [OFFICIAL, caption] {
        for network in Network::BOTH {
            columns.push(found.by_layer(network, Split::Test, quantity)?);
        }
    }
    let cell = |column: usize, layer: usize| {
        let value = columns[column].get(layer);
        value.map_or("-".to_owned(), |value| format!("{:.1}", value.mean))
    };
    for layer in 0..columns[1].len() {
        shown.say(format!(
            "{:>5} | {:>9} {:>9} | {:>9} {:>9}",
            layer + 1,
            cell(0, layer),
            cell(1, layer),
            cell(2, layer),
            cell(3, layer)
        ));
    }
    Ok(())
}
