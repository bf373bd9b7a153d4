//! Does the objective fall from layer to layer, or fall and rise?

use whitebox::claim::{Claim, Criterion, Source, Whose};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{draw, line, Network};
use whitebox::measure::trend::{fall_and_rise, spearman};
use whitebox::Result;

use super::rows::{each, networks, pairs, Row};
use super::{Found, NEURIPS};

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-09",
        Source::of(
            NEURIPS,
            "section 2: the objective that the layers are unrolled from",
        ),
        Whose::Authors,
        "lambda ||Z||_0 + R^c(Z | U) - R(Z) falls with depth in a trained network",
        &[
            Criterion::at_most(
                "lambda = 0.1: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 0.1)),
            ),
            Criterion::at_most(
                "lambda = 0.1: rank correlation with depth",
                -0.6,
                |found: &Found| {
                    each(found, Network::Trained, |rows| {
                        Some(spearman(&objective(rows, 0.1)))
                    })
                },
            )
            .secondary(),
            Criterion::at_most(
                "lambda = 0: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 0.0)),
            )
            .secondary(),
            Criterion::at_most(
                "lambda = 0.01: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 0.01)),
            )
            .secondary(),
            Criterion::at_most(
                "lambda = 1: after the last layer less after the first",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| change(rows, 1.0)),
            )
            .secondary(),
            Criterion::at_least(
                "lambda = 0.1: fall beyond the untrained network's",
                0.0,
                |found: &Found| {
                    pairs(found, |own, control| {
                        Some(change(control, 0.1)? - change(own, 0.1)?)
                    })
                },
            )
            .control(),
        ],
    )
    .pilot_informed(),
    Claim::new(
        "C-CRIT-03",
        Source::of("arXiv 2411.17182", "figures of SRR by layer"),
        Whose::Critics,
        "SRR = ||Z||_0 + R^c(Z | U) - R(Z) falls in the early layers and rises after",
        &[
            Criterion::at_least(
                "rise from the least to the last layer's, over the range",
                0.05,
                |found: &Found| each(found, Network::Trained, |rows| Some(turn(rows, 1.0)?[1])),
            ),
            Criterion::at_least(
                "fall from the first layer's to the least, over the range",
                0.05,
                |found: &Found| each(found, Network::Trained, |rows| Some(turn(rows, 1.0)?[0])),
            )
            .secondary(),
            Criterion::at_least(
                "with 0.1 ||Z||_0: the lesser of the two",
                0.05,
                |found: &Found| each(found, Network::Trained, |rows| inside(rows, 0.1)),
            )
            .secondary(),
            Criterion::at_least(
                "with 0.01 ||Z||_0: the lesser of the two",
                0.05,
                |found: &Found| each(found, Network::Trained, |rows| inside(rows, 0.01)),
            )
            .secondary(),
            Criterion::at_least(
                "R^c - R alone: the lesser of the two",
                0.05,
                |found: &Found| each(found, Network::Trained, |rows| inside(rows, 0.0)),
            )
            .secondary(),
        ],
    )
    .pilot_informed(),
];

/// `lambda ||Z||_0 + R^c - R` after every layer.
fn objective(rows: &[Row], lambda: f64) -> Vec<f64> {
    rows.iter()
        .map(|row| lambda * row.nonzeros - row.reduction)
        .collect()
}

/// From the first layer to the last.
fn change(rows: &[Row], lambda: f64) -> Option<f64> {
    let values = objective(rows, lambda);
    Some(values.last()? - values.first()?)
}

/// Fall to the least and rise from it, over the range.
fn turn(rows: &[Row], lambda: f64) -> Option<[f64; 2]> {
    fall_and_rise(&objective(rows, lambda))
}

/// The lesser of the two: 0 where the least value is the first or the last.
fn inside(rows: &[Row], lambda: f64) -> Option<f64> {
    let [fall, rise] = turn(rows, lambda)?;
    Some(fall.min(rise))
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("layers.csv", &found.0)?;
    for (file, lambda) in [("srr.svg", 1.0), ("srr-0.1.svg", 0.1)] {
        let series = Network::BOTH.into_iter().filter_map(|network| {
            let each = networks(found, network).into_iter();
            let each: Vec<Vec<f64>> = each.map(|rows| objective(rows, lambda)).collect();
            line(network.word(), network.colour(), &each)
        });
        let title = format!(
            "{lambda} ||Z||_0 + R^c(Z | U) - R(Z) after each layer, with its own subspaces"
        );
        draw(shown, (file, &title, "objective"), series.collect())?;
    }
    Ok(())
}
