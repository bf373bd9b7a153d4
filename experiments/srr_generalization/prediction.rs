//! Does SRR predict the gap?

use whitebox::claim::{Claim, Criterion, Measured, Source, Unit, Whose};
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::{fraction, median, Summary};
use whitebox::Result;

use super::correlation::{correlation, Correlation, PREDICTORS};
use super::variants::{Row, ARCHITECTURES};
use super::Found;

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CRIT-04",
    Source::of("arXiv 2411.17182", "tables of Kendall's tau"),
    Whose::Critics,
    "SRR of a trained network rises with its generalisation gap, more than other measures do",
    &[
        Criterion::at_least("tau of SRR and gap", 0.0, |found: &Found| {
            let srr = &correlations(found)[0];
            Some(Measured::within(
                srr.tau,
                [srr.low, srr.high],
                Unit::Network,
                reached(found).len(),
            ))
        }),
        Criterion::at_least(
            "tau of SRR less the median of the other measures",
            0.0,
            |found: &Found| {
                let found = correlations(found);
                let others: Vec<f64> = found[1..].iter().map(|c| c.tau).collect();
                Some(Measured::exact(found[0].tau - median(&others)))
            },
        )
        .secondary(),
        Criterion::at_least(
            "tau of SRR among networks that differ in one setting",
            0.0,
            |found: &Found| Some(Measured::exact(correlations(found)[0].granulated)),
        )
        .secondary(),
        Criterion::at_least(
            "tau of SRR with the training loss taken out",
            0.0,
            |found: &Found| Some(Measured::exact(correlations(found)[0].partial)),
        )
        .control(),
        Criterion::at_least(
            "fraction of networks that reach the training loss",
            0.9,
            |found: &Found| {
                Some(Measured::exact(fraction(&found.networks, |row| {
                    row.reached
                })))
            },
        )
        .check(),
    ],
)];

fn reached(found: &Found) -> Vec<&Row> {
    let reached: Vec<&Row> = found.networks.iter().filter(|row| row.reached).collect();
    // A trial trains nothing to the end.
    match reached.is_empty() {
        true => found.networks.iter().collect(),
        false => reached,
    }
}

fn correlations(found: &Found) -> Vec<Correlation> {
    let rows = reached(found);
    PREDICTORS
        .into_iter()
        .map(|predictor| correlation(predictor, &rows))
        .collect()
}

pub(super) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let correlations = correlations(found);
    shown.say(format_args!(
        "\n{:>22} | {:>6} | {:>16} | {:>10} | {:>7}",
        "", "tau", "95 %", "granulated", "partial"
    ));
    for c in &correlations {
        shown.say(format_args!(
            "{:>22} | {:>6.2} | {:>6.2} to {:>6.2} | {:>10.2} | {:>7.2}",
            c.predictor, c.tau, c.low, c.high, c.granulated, c.partial
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
