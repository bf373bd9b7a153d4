//! Does `R - R^c` rise with depth, and why is it negative?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{draw, line, Network};
use whitebox::Result;

use super::rows::{each, networks, Row};
use super::Found;

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-12",
        Source::of("NeurIPS 2023, arXiv 2306.01129; authors' book, chapter 4", "the objective: R is to grow"),
        Whose::Authors,
        "R - R^c rises with depth in a trained network, while R is kept",
        &[
            Criterion::at_least(
                "R - R^c after the last layer less after the first, own subspaces, nats",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| rise(rows, |row| Some(row.reduction))),
            ),
            Criterion::at_least("R after the last layer / after the first", 0.95, |found: &Found| {
                each(found, Network::Trained, |rows| Some(rows.last()?.rate / rows.first()?.rate))
            })
            .secondary(),
            Criterion::at_most(
                "untrained: R - R^c after the last layer less after the first, nats",
                0.0,
                |found: &Found| each(found, Network::Untrained, |rows| rise(rows, |row| Some(row.reduction))),
            )
            .control(),
        ],
    )
    .beside(&[Number::of(
        "R - R^c with random orthogonal subspaces, after the last layer less after the first, nats",
        |found: &Found| each(found, Network::Trained, |rows| rise(rows, Row::complete_reduction)),
    )])
    .pilot_informed(),
    Claim::new(
        "C-THY-42-trained",
        Source::of("derived by this project", "the sign of R - R^c where there are fewer tokens than dimensions"),
        Whose::Project,
        "R - R^c of a network's tokens is negative in random subspaces that are exactly orthogonal and together \
         everything, as it is in the learned ones: no overlap is needed",
        &[
            Criterion::at_most(
                "random complete orthogonal subspaces: largest R - R^c over layers, nats",
                0.0,
                |found: &Found| each(found, Network::Trained, |rows| {
                    let all: Option<Vec<f64>> = rows.iter().map(Row::complete_reduction).collect();
                    all?.into_iter().reduce(f64::max)
                }),
            ),
            Criterion::at_least(
                "their R - R^c over that of the learned subspaces, mean over layers",
                0.9,
                |found: &Found| each(found, Network::Trained, |rows| {
                    let all: Option<Vec<f64>> = rows
                        .iter()
                        .map(|row| Some(row.complete_reduction()? / row.reduction))
                        .collect();
                    let all = all?;
                    Some(all.iter().sum::<f64>() / all.len() as f64)
                }),
            )
            .secondary(),
            Criterion::at_most("tokens over dimensions", 0.999, |found: &Found| {
                let config = found.settings.network;
                Some(Measured::exact(config.tokens() as f64 / config.d as f64))
            })
            .check(),
        ],
    )
    .pilot_informed(),
];

/// From the first layer to the last.
fn rise(rows: &[Row], of: fn(&Row) -> Option<f64>) -> Option<f64> {
    Some(of(rows.last()?)? - of(rows.first()?)?)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let own: fn(&Row) -> Option<f64> = |row| Some(row.reduction);
    let curve = |name, colour, network, of: fn(&Row) -> Option<f64>| {
        let each = networks(found, network).into_iter();
        let each = each.map(|rows| rows.iter().map(of).collect::<Option<Vec<f64>>>());
        // A record from before there were random subspaces has no such line.
        line(name, colour, &each.collect::<Option<Vec<_>>>()?)
    };
    let (trained, untrained) = (Network::Trained, Network::Untrained);
    let series = [
        curve("trained", Colour::Trained, trained, own),
        curve("untrained", Colour::Untrained, untrained, own),
        curve(
            "trained, random subspaces",
            Colour::Control,
            trained,
            Row::complete_reduction,
        ),
    ];
    let title = "R(Z) - R^c(Z | U) after each layer, with its own subspaces and with random ones";
    draw(
        shown,
        ("reduction.svg", title, "nats"),
        series.into_iter().flatten().collect(),
    )
}
