//! Does `R^c` fall with depth at any precision, with or without scaled tokens and class token?

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{over_networks, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::statistics::Summary;
use whitebox::measure::trend::{last_over_first, spearman};
use whitebox::Result;

use super::Found;

/// Precisions of the sweep; the official one's is 0.1.
pub(crate) const PRECISIONS: [f64; 4] = [0.001, 0.01, 0.1, 1.0];

/// The ways to treat the tokens of a head.
const TOKENS: [(Quantity, &str); 3] = [
    (Quantity::PROJECTION_RATE, "length 1"),
    (Quantity::PROJECTION_RATE_AS_IS, "own length"),
    (
        Quantity::PROJECTION_RATE_WITHOUT_CLASS,
        "length 1, no class token",
    ),
];

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-07",
    Source::of("overview, arXiv 2311.13110", "figure of the layers"),
    Whose::Authors,
    "R^c falls with depth at any precision, with or without scaled tokens and class token",
    &[
        Criterion::at_least(
            "settings of 12 in which R^c at the last layer is at most .9 of that at the first",
            10.0,
            |found: &Found| falling(found, Network::Trained),
        ),
        Criterion::at_most(
            "untrained: settings of 12 in which it is",
            6.0,
            |found: &Found| falling(found, Network::Untrained),
        )
        .control(),
    ],
)
.beside(&[Number::of(
    "settings of 12 with a negative rank correlation of R^c with depth",
    |found: &Found| count(found, Network::Trained, |setting| setting.spearman < 0.0),
)])
.pilot_informed()];

/// How `R^c` runs over the layers in one setting of the official measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setting {
    network: Network,
    #[serde(default)]
    seed: u64,
    tokens: String,
    epsilon: f64,
    /// Rank correlation with depth.
    spearman: f64,
    last_over_first: f64,
}

pub(crate) fn quantities() -> Vec<Quantity> {
    let precisions = PRECISIONS.into_iter();
    precisions
        .flat_map(|epsilon| TOKENS.map(|(quantity, _)| quantity.at(epsilon)))
        .collect()
}

pub(crate) fn settings(curves: &NetworkCurves) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for epsilon in PRECISIONS {
        for (quantity, tokens) in TOKENS {
            let means = curves.means(quantity.at(epsilon))?;
            settings.push(Setting {
                network: curves.network,
                seed: curves.seed,
                tokens: tokens.to_owned(),
                epsilon,
                spearman: spearman(&means),
                last_over_first: last_over_first(&means),
            });
        }
    }
    Ok(settings)
}

/// In how many settings the curve of a network falls by as much as C-LAY-01 asks.
fn falling(found: &Found, network: Network) -> Option<Measured> {
    count(found, network, |setting| setting.last_over_first <= 0.9)
}

/// Mean over networks of the number of settings for which `holds`.
fn count(found: &Found, network: Network, holds: fn(&Setting) -> bool) -> Option<Measured> {
    let all = found
        .1
        .chunk_by(|a, b| (a.network, a.seed) == (b.network, b.seed));
    let networks: Vec<&[Setting]> = all.filter(|own| own[0].network == network).collect();
    over_networks(&networks, |own| {
        Some(own.iter().filter(|s| holds(s)).count() as f64)
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("settings.csv", &found.1)?;
    shown.say("\nLast value of R^c over its first, mean over networks.\n");
    let mut series = Vec::new();
    for network in Network::BOTH {
        for (kind, (_, tokens)) in TOKENS.into_iter().enumerate() {
            let mut points = Vec::new();
            for epsilon in PRECISIONS {
                let own = found
                    .1
                    .iter()
                    .filter(|s| s.network == network && s.tokens == tokens && s.epsilon == epsilon);
                let ratios: Vec<f64> = own.map(|s| s.last_over_first).collect();
                if ratios.is_empty() {
                    continue;
                }
                let ratio = Summary::of(&ratios);
                shown.say(format!(
                    "{:>9}, eps = {epsilon:<5}, tokens of {tokens:<24} | {:>7.3}",
                    network.word(),
                    ratio.mean
                ));
                points.push((epsilon, ratio));
            }
            if network == Network::Trained && !points.is_empty() {
                series.push(Series::new(tokens, Colour::Kind(kind), points).with_interval());
            }
        }
    }
    if series.is_empty() {
        return Ok(());
    }
    let axis = |name, scale| Axis { name, scale };
    let chart = Chart {
        title: "R^c of the official measurement, trained: last layer over first, by precision",
        horizontal: axis("precision", Scale::Logarithmic),
        vertical: axis("R^c at the last layer / at the first", Scale::Linear),
        series,
    };
    shown.chart("precision.svg", &chart)
}
