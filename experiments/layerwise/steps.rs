//! Does every block do its part: does MSSA lower `R^c` for the layer's own subspaces, does ISTA raise the
//! sparsity?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::data::Split;
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{across, Network};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::statistics::fraction;
use whitebox::Result;

use super::{held_out, Found, PAPER};

const BEFORE: Quantity = Quantity::UNIT_SUBSPACE_RATE_BEFORE_MSSA;
const AFTER: Quantity = Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA;

pub(crate) const QUANTITIES: &[Quantity] = &[
    BEFORE,
    AFTER,
    Quantity::SUBSPACE_RATE_BEFORE_MSSA,
    Quantity::SUBSPACE_RATE_AFTER_MSSA_NORM_MATCHED,
    Quantity::NONZERO_BEFORE_ISTA,
    Quantity::POSITIVE_BEFORE_ISTA,
];

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-05",
    Source::of(PAPER, "section 2: what each block is derived to do"),
    Whose::Authors,
    "In most layers MSSA lowers R^c for the layer's own U (tokens of length 1), and ISTA raises the sparsity",
    &[
        Criterion::at_least(
            "fraction of layers where MSSA lowers R^c, unit tokens",
            0.8,
            |found: &Found| falls(found, Network::Trained, AFTER, BEFORE),
        ),
        Criterion::at_least(
            "fraction of layers where ISTA raises the sparsity",
            0.8,
            |found: &Found| {
                let (after, before) = (Quantity::NONZERO_AFTER_ISTA, Quantity::NONZERO_BEFORE_ISTA);
                falls(found, Network::Trained, after, before)
            },
        )
        .secondary(),
        Criterion::at_most(
            "untrained: fraction of layers where MSSA lowers R^c, unit tokens",
            0.5,
            |found: &Found| falls(found, Network::Untrained, AFTER, BEFORE),
        )
        .control(),
        Criterion::at_least(
            "fraction of layers where ISTA beats a plain ReLU",
            0.5,
            |found: &Found| {
                let (after, relu) = (Quantity::NONZERO_AFTER_ISTA, Quantity::POSITIVE_BEFORE_ISTA);
                falls(found, Network::Trained, after, relu)
            },
        )
        .control(),
    ],
)];
// ANCHOR_END: claims

/// Fraction of layers whose mean of `low` is below that of `high`.
fn falls(found: &Found, network: Network, low: Quantity, high: Quantity) -> Option<Measured> {
    let [low, high] = [low, high].map(|quantity| quantity.at(found.settings.epsilon));
    held_out(found, network, |curves| {
        Some(fraction(&curves.difference(high, low)?, |&change| {
            change > 0.0
        }))
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let [before, after] = [BEFORE, AFTER].map(|quantity| quantity.at(found.settings.epsilon));
    let mut series = Vec::new();
    for network in Network::BOTH {
        let changes = found.each(network, Split::Test).into_iter();
        let changes = changes.map(|curves| curves.difference(after, before));
        let changes = across(&changes.collect::<Option<Vec<_>>>().unwrap_or_default());
        if !changes.is_empty() {
            let line = Series::by_layer(network.word(), network.colour(), changes);
            series.push(line.with_interval());
        }
    }
    let title = "Change of R^c across MSSA, tokens of length 1, the layer's own subspaces";
    shown.chart("steps.svg", &Chart::by_layer(title, "nats", series))
}
