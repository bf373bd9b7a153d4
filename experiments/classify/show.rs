//! What a run shows: a table of means, a chart of accuracy over size.

use serde::Serialize;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::comparison::{means, over_seeds};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::Summary;
use whitebox::model::Architecture;
use whitebox::Result;

use super::{scores, Found, Row, OTHERS};

/// One network over all seeds. Accuracies in per cent.
#[derive(Debug, Clone, Serialize)]
struct Mean {
    network: String,
    parameters: usize,
    accuracy: f64,
    standard_error: f64,
    /// Half of the 95 % interval, by Student's distribution.
    interval: f64,
}

/// The networks in the order of the first seed, with their means.
fn networks(rows: &[Row]) -> Vec<Mean> {
    let first = rows.iter().filter(|row| row.seed == rows[0].seed);
    let mean = |row: &Row| {
        let summary = over_seeds(&scores(rows, &row.network));
        Mean {
            network: row.network.clone(),
            parameters: row.parameters,
            accuracy: summary.mean,
            standard_error: summary.standard_error(),
            interval: summary.interval(),
        }
    };
    first.map(mean).collect()
}

pub(super) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let linear = Summary::of(&[100.0 * found.settings.linear_accuracy]);
    let mut lines = vec![("linear on pixels".to_owned(), vec![linear])];
    let networks = networks(found);
    lines.extend(networks.iter().map(|mean| {
        let name = format!("{}, {} parameters", mean.network, mean.parameters);
        (name, vec![over_seeds(&scores(found, &mean.network))])
    }));
    shown.say(means(&["accuracy, per cent"], 2, &lines));
    shown.table("networks.csv", found)?;
    shown.table("means.csv", &networks)?;
    shown.chart("accuracy.svg", &chart(found))
}

fn chart(rows: &[Row]) -> Chart<'_> {
    let architectures = [Architecture::Crate].into_iter().chain(OTHERS);
    let series = architectures.enumerate().map(|(colour, architecture)| {
        let own = rows.iter().filter(|r| r.architecture == architecture);
        let mut points: Vec<(usize, &str)> = own.map(|r| (r.parameters, &*r.network)).collect();
        points.sort_unstable();
        points.dedup();
        let point = |(count, network)| (count as f64, over_seeds(&scores(rows, network)));
        Series::new(
            architecture.word(),
            colour,
            points.into_iter().map(point).collect(),
        )
    });
    Chart {
        title: "Accuracy and size, trained alike",
        horizontal: Axis {
            name: "parameters",
            scale: Scale::Logarithmic,
        },
        vertical: Axis {
            name: "held-out accuracy, per cent",
            scale: Scale::Linear,
        },
        series: series.collect(),
    }
}
