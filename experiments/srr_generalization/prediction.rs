//! Does SRR predict the gap?

use whitebox::claim::measured::TAIL;
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::Result;

use super::correlation::Compared::{self, All, Reached};
use super::correlation::{
    ahead_of_the_others, correlation, granulated, limits, partial, with_gap, PREDICTORS,
};
use super::variants::{Row, ARCHITECTURES};
use super::Found;

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CRIT-04",
    Source::of("arXiv 2411.17182", "tables of Kendall's tau"),
    Whose::Critics,
    "SRR of a trained network rises with its generalisation gap, more than other measures do",
    &[
        Criterion::at_least("tau of SRR and gap, all networks", 0.0, |found: &Found| {
            measured(found, All, |rows| with_gap(rows, SRR))
        }),
        Criterion::at_least("size of tau of SRR less the median size of the others", 0.0, |found: &Found| {
            measured(found, All, ahead_of_the_others)
        })
        .secondary(),
        Criterion::at_least("tau of SRR among networks that differ in one setting", 0.0, |found: &Found| {
            measured(found, All, |rows| granulated(rows, SRR))
        })
        .secondary(),
        Criterion::at_least("tau of SRR and gap, networks that reach the training loss", 0.0, |found: &Found| {
            measured(found, Reached, |rows| with_gap(rows, SRR))
        })
        .secondary(),
        Criterion::at_least("tau of SRR with the training loss taken out", 0.0, |found: &Found| {
            measured(found, All, |rows| partial(rows, SRR))
        })
        .control(),
        Criterion::at_least("fraction of networks that reach the training loss", 0.9, |found: &Found| {
            Some(Measured::exact(fraction(&found.networks, |row| row.reached)))
        })
        .check(),
    ],
)
.beside(&[
    Number::of("tau of the norm of the parameters and gap, all networks", |found: &Found| {
        measured(found, All, |rows| with_gap(rows, |row| row.parameter_norm))
    }),
    Number::of("other measures whose tau is negative, of six", |found: &Found| {
        let rows = All.of(&found.networks);
        let others = PREDICTORS[1..].iter().filter(|(_, of)| with_gap(&rows, *of) < 0.0);
        Some(Measured::exact(others.count() as f64))
    }),
    Number::of("size of tau of SRR less the median size of the others, networks that reach the training loss", |found: &Found| {
        measured(found, Reached, ahead_of_the_others)
    }),
])];

const SRR: fn(&Row) -> f64 = |row| row.srr;

/// A number of the networks, with its limits over variants.
fn measured(found: &Found, networks: Compared, number: fn(&[&Row]) -> f64) -> Option<Measured> {
    let rows = networks.of(&found.networks);
    let limits = limits(&rows, TAIL, number);
    Some(Measured::within(
        number(&rows),
        limits,
        Unit::Network,
        rows.len(),
    ))
}

pub(super) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let of = |networks| PREDICTORS.map(|one| correlation(&found.networks, networks, one));
    let correlations = [of(All), of(Reached)].concat();
    shown.say(format_args!(
        "\n{:>30} | {:>6} | {:>16} | {:>10} | {:>7}",
        "", "tau", "95 %", "granulated", "partial"
    ));
    for c in &correlations {
        shown.say(format_args!(
            "{:>30} | {:>6.2} | {:>6.2} to {:>6.2} | {:>10.2} | {:>7.2}",
            c.name(),
            c.tau,
            c.low,
            c.high,
            c.granulated,
            c.partial
        ));
    }
    let gaps: Vec<f64> = found.networks.iter().map(|row| row.gap).collect();
    let gap = Summary::of(&gaps);
    shown.say(format_args!(
        "Gap {:.3} +- {:.3} nats.",
        gap.mean, gap.deviation
    ));
    shown.table("networks.csv", &found.networks)?;
    shown.table("correlations.csv", &correlations)?;
    chart(&found.networks).write_points(&shown.path("gap.svg"))
}

fn chart(rows: &[Row]) -> Chart<'_> {
    let series = ARCHITECTURES.into_iter().enumerate();
    let series = series.map(|(colour, architecture)| {
        let own = rows.iter().filter(|row| row.architecture == architecture);
        Series::new(
            architecture.word(),
            colour,
            own.map(|row| (row.srr, Summary::of(&[row.gap]))).collect(),
        )
    });
    Chart {
        title: "Sparse rate reduction and generalisation gap, network by network",
        horizontal: Axis {
            name: "nonzeros + R^c - R, mean over layers",
            scale: Scale::Linear,
        },
        vertical: Axis {
            name: "held-out loss less training loss, nats",
            scale: Scale::Linear,
        },
        series: series.collect(),
    }
}
