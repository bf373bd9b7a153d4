//! Does every block do its part: does MSSA lower `R^c` for the layer's own subspaces, by its direction and not
//! by its length, and does ISTA raise the sparsity?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::Split;
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{draw, line, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::{held_out, Found, PAPER};

const BEFORE: Quantity = Quantity::UNIT_SUBSPACE_RATE_BEFORE_MSSA;
const AFTER: Quantity = Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA;

const RANDOM: Quantity = Quantity::UNIT_SUBSPACE_RATE_AFTER_RANDOM_STEP;
const EXCHANGED: Quantity = Quantity::UNIT_SUBSPACE_RATE_AFTER_EXCHANGED_STEPS;

pub(crate) const QUANTITIES: &[Quantity] = &[
    BEFORE,
    AFTER,
    RANDOM,
    EXCHANGED,
    Quantity::STREAM_RATE_BEFORE_MSSA,
    Quantity::STREAM_RATE_AFTER_MSSA,
    Quantity::STREAM_RATE_AFTER_RANDOM_STEP,
    Quantity::STREAM_RATE_AFTER_EXCHANGED_STEPS,
    Quantity::SUBSPACE_RATE_BEFORE_MSSA,
    Quantity::SUBSPACE_RATE_AFTER_MSSA_NORM_MATCHED,
    Quantity::NONZERO_BEFORE_ISTA,
    Quantity::POSITIVE_BEFORE_ISTA,
];

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-05",
        Source::of(PAPER, "section 2: what each block is derived to do"),
        Whose::Authors,
        "MSSA lowers R^c for the layer's own U (tokens of length 1), more after training than before",
        &[
            Criterion::at_most(
                "change of R^c across MSSA, mean over layers: trained less untrained, nats",
                -1.0,
                |found: &Found| {
                    let epsilon = found.settings.epsilon;
                    found.over_pairs(|own, control| {
                        Some(mean(own, AFTER, BEFORE, epsilon)? - mean(control, AFTER, BEFORE, epsilon)?)
                    })
                },
            ),
            Criterion::at_most(
                "change of R^c across MSSA, mean over layers, nats",
                0.0,
                |found: &Found| trained(found, AFTER, BEFORE),
            )
            .secondary(),
            Criterion::at_least(
                "random steps of the same length: R^c after them less after its own, mean over layers, nats",
                1.0,
                |found: &Found| trained(found, RANDOM, AFTER),
            )
            .control(),
            Criterion::at_least(
                "every token takes another's step: R^c after it less after its own, mean over layers, nats",
                0.5,
                |found: &Found| trained(found, EXCHANGED, AFTER),
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("untrained: change of R^c across MSSA, mean over layers, nats", |found: &Found| {
            let epsilon = found.settings.epsilon;
            held_out(found, Network::Untrained, |curves| mean(curves, AFTER, BEFORE, epsilon))
        }),
        Number::of("official measure of Z: change across MSSA, mean over layers, nats", |found: &Found| {
            trained(found, Quantity::STREAM_RATE_AFTER_MSSA, Quantity::STREAM_RATE_BEFORE_MSSA)
        }),
        Number::of("official measure of Z: change by random steps, mean over layers, nats", |found: &Found| {
            trained(found, Quantity::STREAM_RATE_AFTER_RANDOM_STEP, Quantity::STREAM_RATE_BEFORE_MSSA)
        }),
        Number::of("official measure of Z: change by others' steps, mean over layers, nats", |found: &Found| {
            trained(found, Quantity::STREAM_RATE_AFTER_EXCHANGED_STEPS, Quantity::STREAM_RATE_BEFORE_MSSA)
        }),
    ])
    .pilot_informed(),
    Claim::new(
        "C-LAY-05-sparsity",
        Source::of(PAPER, "section 2: what each block is derived to do"),
        Whose::Authors,
        "ISTA raises the sparsity",
        &[
            Criterion::at_least(
                "fraction of nonzeros before ISTA less after, mean over layers",
                0.1,
                |found: &Found| trained(found, Quantity::NONZERO_BEFORE_ISTA, Quantity::NONZERO_AFTER_ISTA),
            ),
            Criterion::at_least(
                "fraction of nonzeros a plain ReLU would leave less ISTA's, mean over layers",
                0.0,
                |found: &Found| trained(found, Quantity::POSITIVE_BEFORE_ISTA, Quantity::NONZERO_AFTER_ISTA),
            )
            .control(),
        ],
    )
    .beside(&[Number::of(
        "untrained: fraction of nonzeros a plain ReLU would leave less ISTA's, mean over layers",
        |found: &Found| {
            let (relu, ista) = (Quantity::POSITIVE_BEFORE_ISTA, Quantity::NONZERO_AFTER_ISTA);
            let epsilon = found.settings.epsilon;
            held_out(found, Network::Untrained, |curves| mean(curves, relu, ista, epsilon))
        },
    )])
    .pilot_informed(),
];

/// `high - low`, mean over layers.
fn mean(curves: &NetworkCurves, high: Quantity, low: Quantity, epsilon: f64) -> Option<f64> {
    curves.mean_difference(high.at(epsilon), low.at(epsilon))
}

fn trained(found: &Found, high: Quantity, low: Quantity) -> Option<Measured> {
    let epsilon = found.settings.epsilon;
    held_out(found, Network::Trained, |curves| {
        mean(curves, high, low, epsilon)
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let change = |name, colour, network, after: Quantity| {
        let [after, before] = [after, BEFORE].map(|q| q.at(found.settings.epsilon));
        let each = found.each(network, Split::Test).into_iter();
        let each = each.map(|curves| curves.difference(after, before));
        // A record from before there were these steps has no such line.
        line(name, colour, &each.collect::<Option<Vec<_>>>()?)
    };
    let (trained, untrained) = (Network::Trained, Network::Untrained);
    let series = [
        change("trained", Colour::Trained, trained, AFTER),
        change("untrained", Colour::Untrained, untrained, AFTER),
        change("trained, random steps", Colour::Control, trained, RANDOM),
        change(
            "trained, others' steps",
            Colour::Kind(1),
            trained,
            EXCHANGED,
        ),
    ];
    let title = "Change of R^c across MSSA, tokens of length 1, the layer's own subspaces";
    draw(
        shown,
        ("steps.svg", title, "nats"),
        series.into_iter().flatten().collect(),
    )
}
