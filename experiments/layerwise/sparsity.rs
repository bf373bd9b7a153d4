//! Do the ISTA outputs get sparser with depth, by training?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Line, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::trend::{last_over_first, spearman};
use whitebox::Result;

use super::{held_out, Found, PAPER};

const NONZEROS: Quantity = Quantity::NONZERO_AFTER_ISTA;

pub(crate) const QUANTITIES: &[Quantity] = &[NONZEROS];

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-02",
        Source::of(PAPER, "figure of the layers, right"),
        Whose::Authors,
        "In a trained network the ISTA outputs get sparser with depth, up to the last layer",
        &[
            Criterion::at_most(
                "held-out: nonzeros at the last layer but one / at the first",
                0.8,
                |found: &Found| {
                    held_out(found, Network::Trained, |c| {
                        Some(last_over_first(&but_last(c)?))
                    })
                },
            ),
            Criterion::at_most(
                "held-out: rank correlation of nonzeros with depth",
                -0.6,
                |found: &Found| {
                    held_out(found, Network::Trained, |c| Some(spearman(&but_last(c)?)))
                },
            )
            .secondary(),
            Criterion::at_least(
                "fall of nonzeros beyond the untrained network's",
                0.0,
                |found: &Found| found.over_pairs(|own, control| Some(fall(own)? - fall(control)?)),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-LAY-03-sparsity",
        Source::of("control of this project", "not published"),
        Whose::Project,
        "Untrained, the ISTA outputs already get sparser with depth",
        &[Criterion::at_most(
            "untrained: nonzeros at the last layer / at the first",
            0.8,
            |found: &Found| untrained(found),
        )],
    )
    .pilot_informed(),
];

fn but_last(curves: &NetworkCurves) -> Option<Vec<f64>> {
    let mut means = curves.means(NONZEROS).ok()?;
    means.pop()?;
    Some(means)
}

fn fall(curves: &NetworkCurves) -> Option<f64> {
    let means = but_last(curves)?;
    Some(means.first()? - means.last()?)
}

fn untrained(found: &Found) -> Option<Measured> {
    held_out(found, Network::Untrained, |c| {
        Some(last_over_first(&c.means(NONZEROS).ok()?))
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let title = "Nonzero entries of the ISTA outputs by layer";
    let lines = Line::on_both_splits(NONZEROS);
    found.draw(
        shown,
        ("sparsity.svg", title, "fraction of nonzeros"),
        &lines,
    )
}
