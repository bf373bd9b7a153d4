//! A network as it is measured.

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Measured, Unit};
use whitebox::measure::halves::{agreement, rates, LayerRates};
use whitebox::measure::statistics::Summary;
use whitebox::model::Autoencoder;
use whitebox::parallel;
use whitebox::train::task::Task;
use whitebox::{Error, Result};

use super::material::Material;
use super::{Found, CRATE};

/// A network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) network: String,
    pub(crate) seed: u64,
    pub(crate) trained: bool,
    /// Mean square error of masked pixels of held-out images.
    pub(crate) error: f64,
    /// Accuracy of the linear probe on the mean of the patches' tokens.
    pub(crate) probe_mean: f64,
    /// On the class token.
    pub(crate) probe_class: f64,
    /// Of CRATE-MAE, the layers of the encoder and behind them those of the decoder.
    pub(crate) layers: Vec<LayerRates>,
    /// See [`agreement`].
    pub(crate) agreement: Vec<Vec<f64>>,
}

impl Row {
    pub(crate) fn of(
        name: &str,
        seed: u64,
        trained: bool,
        network: &Autoencoder<f32, Cpu>,
        material: &Material<'_>,
    ) -> Result<Self> {
        let probe = material.probed().tokens(network)?;
        let pictures = material.pictures();
        let measured = || {
            let layers = match name == CRATE {
                true => rates(network, pictures[0], seed)?,
                false => Vec::new(),
            };
            Ok::<_, Error>((layers, agreement(network, pictures[0], pictures[1])?))
        };
        let (layers, agreement) = parallel::within(material.run.threads, measured)??;
        Ok(Self {
            network: name.to_owned(),
            seed,
            trained,
            error: Task::<Cpu>::score(material.task, network, material.run.threads)?,
            probe_mean: probe.mean.accuracy,
            probe_class: probe.class.accuracy,
            layers,
            agreement,
        })
    }
}

/// A line of the table of networks.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    network: &'a str,
    seed: u64,
    trained: bool,
    error: f64,
    probe_mean: f64,
    probe_class: f64,
}

pub(crate) fn lines(rows: &[Row]) -> Vec<Line<'_>> {
    rows.iter().map(line).collect()
}

fn line(row: &Row) -> Line<'_> {
    Line {
        network: &row.network,
        seed: row.seed,
        trained: row.trained,
        error: row.error,
        probe_mean: row.probe_mean,
        probe_class: row.probe_class,
    }
}

/// The networks of a kind.
pub(crate) fn of<'a>(
    found: &'a Found,
    name: &'a str,
    trained: bool,
) -> impl Iterator<Item = &'a Row> {
    let rows = found.networks.iter();
    rows.filter(move |row| row.network == name && row.trained == trained)
}

/// The mean of `value` over the trained networks of a kind.
pub(crate) fn mean(found: &Found, name: &str, value: impl Fn(&Row) -> f64) -> Option<Measured> {
    let values: Vec<f64> = of(found, name, true).map(value).collect();
    (!values.is_empty()).then(|| Measured::mean(Unit::Network, &values))
}

/// The mean of what `value` makes of the trained CRATE-MAE of a seed and another network of that seed.
pub(crate) fn beside(
    found: &Found,
    (name, trained): (&str, bool),
    value: impl Fn(&Row, &Row) -> f64,
) -> Option<Measured> {
    let pair = |own: &Row| {
        let other = of(found, name, trained).find(|other| other.seed == own.seed)?;
        Some(value(own, other))
    };
    let values: Option<Vec<f64>> = of(found, CRATE, true).map(pair).collect();
    let values = values.filter(|values| !values.is_empty());
    values.map(|values| Measured::mean(Unit::Network, &values))
}

/// Mean and spread of `value` over the networks of a kind.
pub(crate) fn summary(
    found: &Found,
    name: &str,
    trained: bool,
    value: impl Fn(&Row) -> f64,
) -> Summary {
    Summary::of(&of(found, name, trained).map(value).collect::<Vec<_>>())
}
