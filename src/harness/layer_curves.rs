//! The curves of a trained and an untrained network over their layers: measured, printed, drawn and
//! written.

use std::collections::BTreeMap;
use std::path::Path;

use dfdx::prelude::Cpu;
use serde::Serialize;

use super::chart::{Chart, Series};
use super::console;
use super::device::OnDevice;
use super::subject::Subject;
use super::table;
use crate::data::{Images, Split};
use crate::error::Result;
use crate::measure::layerwise::{measure, Layerwise, Quantity};
use crate::measure::statistics::Summary;
use crate::model::{Backbone, Classifier};

/// Which network a curve belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// After training.
    Trained,
    /// The control: the same sizes, at initialisation.
    Untrained,
}

/// One network on one split.
#[derive(Debug, Clone)]
struct Measured {
    network: Network,
    split: Split,
    values: Layerwise,
}

/// All of them.
#[derive(Debug, Clone)]
pub struct LayerCurves(Vec<Measured>);

/// The curves of one network on one split, as records hold them.
#[derive(Debug, Clone, Serialize)]
pub struct CurveRows {
    network: Network,
    split: Split,
    /// Head-token pairs of length zero, for which the official code would return NaN.
    zero_tokens: usize,
    layers: Vec<LayerRow>,
}

#[derive(Debug, Clone, Serialize)]
struct LayerRow {
    layer: usize,
    quantities: BTreeMap<Quantity, Summary>,
}

/// [`measure`] on any device.
struct Measuring<'a, F> {
    network: &'a Classifier<f32, Cpu>,
    images: &'a Images,
    indices: &'a [usize],
    quantities: &'a [Quantity],
    epsilon: f64,
    threads: usize,
    done: F,
}

impl<F: Fn(usize) + Sync> OnDevice for Measuring<'_, F> {
    type Output = Layerwise;

    fn run<D: Backbone<f32>>(self, device: &D) -> Result<Layerwise> {
        measure(
            &self.network.on(device)?,
            self.images,
            self.indices,
            self.quantities,
            self.epsilon,
            self.threads,
            self.done,
        )
    }
}

impl LayerCurves {
    /// Measures `quantities` on `count` images of each of `splits`, with progress.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn measure(
        subject: &Subject,
        splits: &[(Split, &Images)],
        quantities: &[Quantity],
        count: usize,
        epsilon: f64,
        seed: u64,
        threads: usize,
    ) -> Result<Self> {
        let networks = [
            (Network::Trained, subject.trained.as_ref()),
            (Network::Untrained, Some(&subject.untrained)),
        ];
        let present = networks.iter().filter(|(_, n)| n.is_some()).count();
        let bar = console::progress(splits.len() * present * count, "measuring");
        let mut measured = Vec::new();
        for (network, values) in networks {
            let Some(values) = values else { continue };
            for &(split, images) in splits {
                let indices = images.sample(count, seed);
                let done = |done| bar.inc(done as u64);
                let values = subject.device.run(Measuring {
                    network: values,
                    images,
                    indices: &indices,
                    quantities,
                    epsilon,
                    threads,
                    done,
                })?;
                measured.push(Measured {
                    network,
                    split,
                    values,
                });
            }
        }
        bar.finish_and_clear();
        Ok(Self(measured))
    }

    /// What was measured on one network and split, if it was.
    pub fn find(&self, network: Network, split: Split) -> Option<&Layerwise> {
        let mut all = self.0.iter();
        let found = all.find(|m| m.network == network && m.split == split);
        found.map(|m| &m.values)
    }

    /// For the record.
    pub fn rows(&self) -> Vec<CurveRows> {
        self.0
            .iter()
            .map(|measured| {
                let summaries: Vec<(Quantity, Vec<Summary>)> = measured
                    .values
                    .curves
                    .iter()
                    .map(|curve| (curve.quantity, curve.summaries()))
                    .collect();
                let layers = summaries.first().map_or(0, |(_, layers)| layers.len());
                CurveRows {
                    network: measured.network,
                    split: measured.split,
                    zero_tokens: measured.values.zero_tokens,
                    layers: (0..layers)
                        .map(|layer| LayerRow {
                            layer: layer + 1,
                            quantities: summaries.iter().map(|(q, s)| (*q, s[layer])).collect(),
                        })
                        .collect(),
                }
            })
            .collect()
    }

    /// Prints the official quantities and the change across MSSA, layer by layer.
    pub fn print(&self) {
        println!(
            "\nMeans over images. R^c and its change in nats (official measurement; change across \
             MSSA for tokens of length 1).\n"
        );
        println!(
            "{:>5} | {:^27} | {:^27} | {:^19}",
            "", "R^c", "nonzero fraction", "change of R^c"
        );
        println!(
            "{:>5} | {:>8} {:>8} {:>9} | {:>8} {:>8} {:>9} | {:>9} {:>9}",
            "layer",
            "train",
            "held-out",
            "untrained",
            "train",
            "held-out",
            "untrained",
            "held-out",
            "untrained"
        );
        let sources = [
            self.find(Network::Trained, Split::Train),
            self.find(Network::Trained, Split::Test),
            self.find(Network::Untrained, Split::Test),
        ];
        let cell = |source: Option<&Layerwise>, quantity: Quantity, layer: usize| {
            source.and_then(|found| found.means(quantity).get(layer).copied())
        };
        let change = |source: Option<&Layerwise>, layer: usize| {
            let after = cell(source, Quantity::UnitSubspaceRateAfterMssa, layer)?;
            Some(after - cell(source, Quantity::UnitSubspaceRateBeforeMssa, layer)?)
        };
        let one = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        let three = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.3}"));
        let signed = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:+.2}"));
        let layers = self.0.first();
        let layers = layers.map_or(0, |m| m.values.means(Quantity::OfficialRate).len());
        for layer in 0..layers {
            let rate = sources.map(|s| one(cell(s, Quantity::OfficialRate, layer)));
            let sparsity = sources.map(|s| three(cell(s, Quantity::NonzeroAfterIsta, layer)));
            println!(
                "{:>5} | {:>8} {:>8} {:>9} | {:>8} {:>8} {:>9} | {:>9} {:>9}",
                layer + 1,
                rate[0],
                rate[1],
                rate[2],
                sparsity[0],
                sparsity[1],
                sparsity[2],
                signed(change(sources[1], layer)),
                signed(change(sources[2], layer)),
            );
        }
    }

    /// Writes one row per network, split, layer and quantity.
    ///
    /// # Errors
    /// [`crate::Error::Io`] naming `path`.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        #[derive(Serialize)]
        struct Row {
            network: Network,
            split: Split,
            layer: usize,
            quantity: Quantity,
            mean: f64,
            deviation: f64,
            images: usize,
        }
        let mut rows = Vec::new();
        for measured in &self.0 {
            for curve in &measured.values.curves {
                for (layer, summary) in curve.summaries().into_iter().enumerate() {
                    rows.push(Row {
                        network: measured.network,
                        split: measured.split,
                        layer: layer + 1,
                        quantity: curve.quantity,
                        mean: summary.mean,
                        deviation: summary.deviation,
                        images: summary.count,
                    });
                }
            }
        }
        table::write(path, &rows)
    }

    /// Draws one quantity: trained on both splits, untrained on held-out images.
    ///
    /// # Errors
    /// As [`Chart::write`].
    pub fn chart(
        &self,
        path: &Path,
        quantity: Quantity,
        title: &str,
        vertical: &str,
    ) -> Result<()> {
        let lines = [
            ("trained, training images", Network::Trained, Split::Train),
            ("trained, held-out images", Network::Trained, Split::Test),
            (
                "untrained, held-out images",
                Network::Untrained,
                Split::Test,
            ),
        ];
        let series = lines
            .into_iter()
            .enumerate()
            .filter_map(|(colour, (name, network, split))| {
                let curve = self.find(network, split)?.curve(quantity)?;
                Some(Series::by_layer(name, colour, curve.summaries()))
            })
            .collect();
        Chart::by_layer(title, vertical, series).write(path)
    }
}
