//! The curves of trained and untrained networks over their layers: measured, compared, written, drawn.

use std::collections::BTreeMap;

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};

use super::chart::{Chart, Colour, Series};
use super::device::OnDevice;
use super::experiment::Shown;
use super::run::Run;
use super::subject::Subject;
use crate::claim::{Measured, Unit};
use crate::data::{Images, Split};
use crate::error::{Error, Result};
use crate::measure::layerwise::{measure, Layerwise, Quantity};
use crate::measure::statistics::Summary;
use crate::model::{Classifier, Runtime};
use crate::train::score::rank;

/// Which network a curve belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// After training.
    Trained,
    /// The control: the same sizes and seed, at initialisation.
    Untrained,
}

impl Network {
    /// The trained and the untrained network, in that order.
    pub const BOTH: [Self; 2] = [Self::Trained, Self::Untrained];

    /// "trained" or "untrained", in tables and charts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::Untrained => "untrained",
        }
    }

    /// Its colour in charts.
    pub fn colour(self) -> Colour {
        match self {
            Self::Trained => Colour::Trained,
            Self::Untrained => Colour::Untrained,
        }
    }
}

/// The curves of one network on one split.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkCurves {
    /// Before or after training.
    pub network: Network,
    /// Of the network.
    #[serde(default)]
    pub seed: u64,
    /// The images.
    pub split: Split,
    /// Head-token pairs of length zero, for which the official code would return NaN.
    pub zero_tokens: usize,
    /// Fraction of the images whose class the network finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// One per layer, from the first.
    layers: Vec<LayerRow>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LayerRow {
    layer: usize,
    quantities: BTreeMap<Quantity, Summary>,
}

impl NetworkCurves {
    fn of(network: Network, seed: u64, split: Split, found: &Layerwise) -> Self {
        let summaries: Vec<(Quantity, Vec<Summary>)> = found
            .curves
            .iter()
            .map(|curve| (curve.quantity, curve.summaries()))
            .collect();
        let layers = summaries.first().map_or(0, |(_, layers)| layers.len());
        let layers = (0..layers).map(|layer| LayerRow {
            layer: layer + 1,
            quantities: summaries.iter().map(|(q, s)| (*q, s[layer])).collect(),
        });
        Self {
            network,
            seed,
            split,
            zero_tokens: found.zero_tokens,
            accuracy: None,
            layers: layers.collect(),
        }
    }

    /// Number of layers.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Mean and deviation over images of `quantity`, by layer.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if it was not asked for.
    pub fn summaries(&self, quantity: Quantity) -> Result<Vec<Summary>> {
        let by_layer = self.layers.iter();
        let found = by_layer.map(|row| row.quantities.get(&quantity).copied());
        found
            .collect::<Option<_>>()
            .ok_or_else(|| Error::Unmeasured {
                what: quantity.to_string(),
                remedy: "run the experiment again, with the record replaced".into(),
            })
    }

    /// Mean over images of `quantity`, by layer.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if it was not asked for.
    pub fn means(&self, quantity: Quantity) -> Result<Vec<f64>> {
        Ok(self.summaries(quantity)?.iter().map(|s| s.mean).collect())
    }

    /// `high - low`, by layer; none if one was not measured.
    pub fn difference(&self, high: Quantity, low: Quantity) -> Option<Vec<f64>> {
        let (high, low) = (self.means(high).ok()?, self.means(low).ok()?);
        Some(
            high.iter()
                .zip(&low)
                .map(|(high, low)| high - low)
                .collect(),
        )
    }

    /// Mean over layers of `quantity`; none if it was not measured.
    pub fn mean(&self, quantity: Quantity) -> Option<f64> {
        mean(&self.means(quantity).ok()?)
    }

    /// Mean over layers of `high - low`; none if one was not measured.
    pub fn mean_difference(&self, high: Quantity, low: Quantity) -> Option<f64> {
        mean(&self.difference(high, low)?)
    }

    /// `quantity` at the first layer and at the last; none if it was not measured.
    pub fn ends(&self, quantity: Quantity) -> Option<[f64; 2]> {
        let means = self.means(quantity).ok()?;
        Some([*means.first()?, *means.last()?])
    }
}

/// None of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The curves of all networks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerCurves(Vec<NetworkCurves>);

/// One line of the table of curves.
#[derive(Debug, Clone, Serialize)]
pub struct CurveRow {
    network: Network,
    seed: u64,
    split: Split,
    layer: usize,
    quantity: Quantity,
    unit: &'static str,
    mean: f64,
    deviation: f64,
    images: usize,
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

    fn run<D: Runtime<f32>>(self, device: &D) -> Result<Layerwise> {
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
    /// Measures `quantities` of every network on `count` images of each of `splits`, with progress.
    ///
    /// # Errors
    /// [`Error::Shape`] if the images do not fit, [`Error::Domain`] if an activation is not finite.
    pub fn measure(
        subject: &Subject,
        splits: &[(Split, &Images)],
        quantities: &[Quantity],
        count: usize,
        run: &Run,
    ) -> Result<Self> {
        let pairs = subject.pairs.iter().flat_map(|pair| {
            let trained = pair.trained.iter().map(|n| (Network::Trained, n));
            let both = trained.chain([(Network::Untrained, &pair.untrained)]);
            both.map(|(kind, network)| (pair.seed, kind, network))
        });
        let networks: Vec<(u64, Network, &Classifier<f32, Cpu>)> = pairs.collect();
        let bar = run.progress(splits.len() * networks.len() * count);
        let mut curves = Vec::new();
        for (seed, kind, network) in networks {
            for &(split, images) in splits {
                let indices = images.sample(count, run.seed);
                let found = subject.device.run(Measuring {
                    network,
                    images,
                    indices: &indices,
                    quantities,
                    // The random subspaces of a network and its control are the same.
                    seed: run.seed.wrapping_add(seed),
                    threads: run.threads,
                    done: |done| bar.inc(done as u64),
                })?;
                let scores = found.logits.chunks_exact(network.config().classes);
                let right = scores
                    .zip(&indices)
                    .filter(|(scores, &image)| rank(scores, images.labels[image]) == 0);
                let accuracy = right.count() as f64 / indices.len() as f64;
                curves.push(NetworkCurves {
                    accuracy: Some(accuracy),
                    ..NetworkCurves::of(kind, seed, split, &found)
                });
            }
        }
        bar.finish_and_clear();
        Ok(Self(curves))
    }

    /// The curves of the trained or of the untrained networks on one split, by seed.
    pub fn each(&self, network: Network, split: Split) -> Vec<&NetworkCurves> {
        let all = self.0.iter();
        all.filter(|c| c.network == network && c.split == split)
            .collect()
    }

    /// A number of every trained or untrained network on one split: its mean over networks. None if there
    /// is no such network or one has no such number.
    pub fn over(
        &self,
        network: Network,
        split: Split,
        of: impl Fn(&NetworkCurves) -> Option<f64>,
    ) -> Option<Measured> {
        over_networks(&self.each(network, split), |curves| of(curves))
    }

    /// The same of every trained network with its untrained one on held-out images; none if one has no control.
    pub fn over_pairs(
        &self,
        of: impl Fn(&NetworkCurves, &NetworkCurves) -> Option<f64>,
    ) -> Option<Measured> {
        let untrained = self.each(Network::Untrained, Split::Test);
        over_networks(&self.each(Network::Trained, Split::Test), |trained| {
            let control = untrained.iter().find(|c| c.seed == trained.seed)?;
            of(trained, control)
        })
    }

    /// By layer, the mean over networks of their means over images, with the deviation between networks; of a
    /// single network, its own mean and the deviation between images. Empty if there is none.
    ///
    /// # Errors
    /// [`Error::Unmeasured`] if the quantity was not asked for.
    pub fn by_layer(
        &self,
        network: Network,
        split: Split,
        quantity: Quantity,
    ) -> Result<Vec<Summary>> {
        let each = self.each(network, split);
        if let [one] = each.as_slice() {
            return one.summaries(quantity);
        }
        let means = each.iter().map(|curves| curves.means(quantity));
        Ok(across(&means.collect::<Result<Vec<_>>>()?))
    }

    /// Draws a chart over layers, with a band where there are several networks. What was not measured has no
    /// line: networks that are not there, quantities that are younger than the record. No chart if all are
    /// missing.
    ///
    /// # Errors
    /// [`Error::Chart`] or [`Error::Io`] if the chart cannot be drawn.
    pub fn draw(
        &self,
        shown: &Shown<'_>,
        (file, title, vertical): (&str, &str, &str),
        lines: &[Line<'_>],
    ) -> Result<()> {
        let series = lines.iter().filter_map(|line| {
            let values = self.by_layer(line.network, line.split, line.quantity);
            let values = values.ok().filter(|values| !values.is_empty())?;
            Some(Series::by_layer(line.name, line.colour, values).with_interval())
        });
        draw(shown, (file, title, vertical), series.collect())
    }

    /// A table of means by layer, a column for each of `lines`, for people; a dash for what was not measured.
    pub fn columns(&self, lines: &[Line<'_>]) -> String {
        let columns: Vec<Vec<Summary>> = lines
            .iter()
            .map(|line| self.by_layer(line.network, line.split, line.quantity))
            .map(Result::unwrap_or_default)
            .collect();
        let width = |line: &Line<'_>| line.name.len().max(9);
        let mut text = format!("{:>5}", "layer");
        for line in lines {
            text += &format!(" | {:>1$}", line.name, width(line));
        }
        for layer in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
            text += &format!("\n{:>5}", layer + 1);
            for (line, column) in lines.iter().zip(&columns) {
                let value = column.get(layer).map(|value| value.mean);
                let value = value.map_or("-".into(), |v| format!("{v:.*}", decimals(v)));
                text += &format!(" | {value:>0$}", width(line));
            }
        }
        text
    }

    /// One row per network, split, quantity and layer.
    pub fn table(&self) -> Vec<CurveRow> {
        let mut rows = Vec::new();
        for curves in &self.0 {
            let quantities = curves.layers.first().map(|row| row.quantities.keys());
            for &quantity in quantities.into_iter().flatten() {
                let by_layer = curves.layers.iter();
                rows.extend(by_layer.filter_map(|row| {
                    let summary = row.quantities.get(&quantity)?;
                    Some(CurveRow {
                        network: curves.network,
                        seed: curves.seed,
                        split: curves.split,
                        layer: row.layer,
                        quantity,
                        unit: quantity.unit(),
                        mean: summary.mean,
                        deviation: summary.deviation,
                        images: summary.count,
                    })
                }));
            }
        }
        rows
    }
}

/// One line of a chart, or column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// For the legend.
    pub name: &'a str,
    /// What it stands for.
    pub colour: Colour,
    /// Of which networks.
    pub network: Network,
    /// On which images.
    pub split: Split,
    /// What is drawn.
    pub quantity: Quantity,
}

impl<'a> Line<'a> {
    /// Of `quantity` on held-out images.
    pub fn held_out(name: &'a str, colour: Colour, network: Network, quantity: Quantity) -> Self {
        Self {
            name,
            colour,
            network,
            split: Split::Test,
            quantity,
        }
    }

    /// Of `quantity`, of the trained networks on both splits and of the untrained on held-out images.
    pub fn on_both_splits(quantity: Quantity) -> [Self; 3] {
        let (trained, untrained) = (Network::Trained, Network::Untrained);
        let training = Self::held_out(
            "trained, training images",
            Colour::TrainingImages,
            trained,
            quantity,
        );
        [
            Self {
                split: Split::Train,
                ..training
            },
            Self::held_out(
                "trained, held-out images",
                Colour::Trained,
                trained,
                quantity,
            ),
            Self::held_out(
                "untrained, held-out images",
                Colour::Untrained,
                untrained,
                quantity,
            ),
        ]
    }
}

/// Digits behind the point, so that about four are shown.
fn decimals(value: f64) -> usize {
    match value.abs() {
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    }
}

/// A line over layers of numbers of several networks, with a band; none if there are none.
pub fn line(name: &str, colour: Colour, networks: &[Vec<f64>]) -> Option<Series> {
    let values = across(networks);
    (!values.is_empty()).then(|| Series::by_layer(name, colour, values).with_interval())
}

/// A chart over layers, if there is something to draw.
///
/// # Errors
/// [`Error::Chart`] or [`Error::Io`] if the chart cannot be drawn.
pub fn draw(
    shown: &Shown<'_>,
    (file, title, vertical): (&str, &str, &str),
    series: Vec<Series>,
) -> Result<()> {
    if series.is_empty() {
        return Ok(());
    }
    shown.chart(file, &Chart::by_layer(title, vertical, series))
}

/// A number of each of `networks`: the mean, over networks. None if there are none or one has no number.
pub fn over_networks<T>(networks: &[T], of: impl Fn(&T) -> Option<f64>) -> Option<Measured> {
    let values: Option<Vec<f64>> = networks.iter().map(of).collect();
    let values = values.filter(|values| !values.is_empty())?;
    Some(Measured::mean(Unit::Network, &values))
}

/// By layer, the summary over networks of one number each.
pub fn across(networks: &[Vec<f64>]) -> Vec<Summary> {
    let depth = networks.iter().map(Vec::len).min().unwrap_or(0);
    let layer = |layer: usize| networks.iter().map(|n| n[layer]).collect::<Vec<f64>>();
    (0..depth).map(|l| Summary::of(&layer(l))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two trained networks and the untrained one of the first, two layers, as an older record has them and as a
    /// new one.
    const RECORD: &str = r#"[
        {"network": "trained", "split": "test", "zero_tokens": 1, "layers": [
            {"layer": 1, "quantities": {"rate": {"mean": 4.0, "deviation": 0.5, "count": 9}}},
            {"layer": 2, "quantities": {"rate": {"mean": 2.0, "deviation": 0.5, "count": 9}}}]},
        {"network": "trained", "seed": 3, "split": "test", "zero_tokens": 0, "accuracy": 0.5, "layers": [
            {"layer": 1, "quantities": {"rate": {"mean": 6.0, "deviation": 0.5, "count": 9}}},
            {"layer": 2, "quantities": {"rate": {"mean": 1.0, "deviation": 0.5, "count": 9}}}]},
        {"network": "untrained", "split": "test", "zero_tokens": 0, "layers": [
            {"layer": 1, "quantities": {"rate": {"mean": 5.0, "deviation": 0.5, "count": 9}}},
            {"layer": 2, "quantities": {"rate": {"mean": 5.0, "deviation": 0.5, "count": 9}}}]}
    ]"#;

    #[test]
    fn records_are_read_back_and_those_without_a_seed_are_of_seed_0() {
        let curves: LayerCurves = serde_json::from_str(RECORD).unwrap();
        let seeds = curves.each(Network::Trained, Split::Test).into_iter();
        assert_eq!(seeds.map(|c| c.seed).collect::<Vec<_>>(), [0, 3]);
        let again = serde_json::to_string(&curves).unwrap();
        let again: LayerCurves = serde_json::from_str(&again).unwrap();
        assert_eq!(again.table().len(), 6);
    }

    #[test]
    fn numbers_of_networks_are_averaged_over_networks() {
        let curves: LayerCurves = serde_json::from_str(RECORD).unwrap();
        let of = |curves: &NetworkCurves| {
            let means = curves.means(Quantity::RATE).ok()?;
            Some(means[1] - means[0])
        };
        let found = curves.over(Network::Trained, Split::Test, of).unwrap();
        assert_eq!((found.value, found.count), (-3.5, 2));
        assert_eq!(found.values, [-2.0, -5.0]);
        let alone = curves.over(Network::Untrained, Split::Test, of).unwrap();
        assert!(alone.interval.is_none());
        assert!(curves.over(Network::Trained, Split::Train, of).is_none());
        let missing = |c: &NetworkCurves| c.mean(Quantity::OFFICIAL_RATE);
        let first = curves.each(Network::Trained, Split::Test)[0];
        assert_eq!(first.mean(Quantity::RATE), Some(3.0));
        assert_eq!(first.ends(Quantity::RATE), Some([4.0, 2.0]));
        assert_eq!(
            first.mean_difference(Quantity::RATE, Quantity::RATE),
            Some(0.0)
        );
        assert!(curves
            .over(Network::Trained, Split::Test, missing)
            .is_none());
        let beyond =
            |curves: &LayerCurves| curves.over_pairs(|own, control| Some(of(own)? - of(control)?));
        // The second has no control.
        assert!(beyond(&curves).is_none());
        let first = LayerCurves(vec![curves.0[0].clone(), curves.0[2].clone()]);
        assert_eq!(beyond(&first).unwrap().values, [-2.0]);
    }

    #[test]
    fn a_column_has_a_value_for_each_layer_and_a_dash_where_there_is_none() {
        let curves: LayerCurves = serde_json::from_str(RECORD).unwrap();
        let [rate, missing] = [Quantity::RATE, Quantity::OFFICIAL_RATE]
            .map(|quantity| Line::held_out("R", Colour::Trained, Network::Trained, quantity));
        let text = curves.columns(&[rate, missing]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].ends_with(" 5.000 |         -") && lines[2].contains(" 1.500 |"),
            "{text}"
        );
    }

    #[test]
    fn layers_of_several_networks_vary_between_networks_and_those_of_one_between_images() {
        let curves: LayerCurves = serde_json::from_str(RECORD).unwrap();
        let by_layer = |network, quantity| curves.by_layer(network, Split::Test, quantity);
        let several = by_layer(Network::Trained, Quantity::RATE).unwrap();
        assert_eq!(several[0], Summary::of(&[4.0, 6.0]));
        let one = by_layer(Network::Untrained, Quantity::RATE).unwrap();
        assert_eq!((one[1].mean, one[1].deviation, one[1].count), (5.0, 0.5, 9));
        let error = by_layer(Network::Trained, Quantity::OFFICIAL_RATE).unwrap_err();
        assert!(error.to_string().contains("official_rate"), "{error}");
    }
}
