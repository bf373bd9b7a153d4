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
use crate::measure::trend::Summary;
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
    seed: u64,
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
            self.seed,
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
                    seed,
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
    ///
    /// # Errors
    /// [`crate::Error::Unmeasured`] if they were not measured at this precision.
    pub fn print(&self, epsilon: f64) -> Result<()> {
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
        let [rates, nonzeros, after, before] = [
            Quantity::OFFICIAL_RATE,
            Quantity::NONZERO_AFTER_ISTA,
            Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA.at(epsilon),
            Quantity::UNIT_SUBSPACE_RATE_BEFORE_MSSA.at(epsilon),
        ];
        let means = |source: Option<&Layerwise>| -> Result<_> {
            let found = source.map(|found| found.all([rates, nonzeros, after, before]));
            found.transpose()
        };
        let sources = [means(sources[0])?, means(sources[1])?, means(sources[2])?];
        let cell = |source: &Option<[Vec<f64>; 4]>, quantity: usize, layer: usize| {
            source.as_ref().map(|found| found[quantity][layer])
        };
        let change = |source, layer| Some(cell(source, 2, layer)? - cell(source, 3, layer)?);
        let one = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        let three = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.3}"));
        let signed = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:+.2}"));
        let layers = self.0.first();
        let layers = layers.map_or(0, |m| m.values.curves[0].values.len());
        for layer in 0..layers {
            let rate = sources.each_ref().map(|s| one(cell(s, 0, layer)));
            let sparsity = sources.each_ref().map(|s| three(cell(s, 1, layer)));
            println!(
                "{:>5} | {:>8} {:>8} {:>9} | {:>8} {:>8} {:>9} | {:>9} {:>9}",
                layer + 1,
                rate[0],
                rate[1],
                rate[2],
                sparsity[0],
                sparsity[1],
                sparsity[2],
                signed(change(&sources[1], layer)),
                signed(change(&sources[2], layer)),
            );
        }
        Ok(())
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
        let mut series = Vec::new();
        for (colour, (name, network, split)) in lines.into_iter().enumerate() {
            if let Some(found) = self.find(network, split) {
                let values = found.curve(quantity)?.summaries();
                series.push(Series::by_layer(name, colour, values));
            }
        }
        Chart::by_layer(title, vertical, series).write(path)
    }
}
