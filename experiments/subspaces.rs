//! # Are the subspaces what the derivation assumes?
//!
//! **Claim** C-LAY-08-bases (overview, arXiv 2311.13110; learned incoherence): the bases `U_1, ..., U_K` of
//! a trained layer are incoherent, as the derivation of MSSA asks: their columns are nearly orthogonal,
//! and the subspaces too.
//!
//! **Claim** C-CRIT-06 (issues 18, 19 and 31 of the official repository): the output projection, which stands
//! where the papers write `U_k`, is learned freely, and is not `U_k`.
//!
//! Random columns in many dimensions are nearly orthogonal anyway. So the bases are held against those
//! that training began with: only what training changes has been learned.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_subspaces`: seconds.

use std::process::ExitCode;

use dfdx::prelude::Cpu;
use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::data::{DataArguments, DataName};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::heat_map::{self, HeatMap};
use whitebox::harness::layer_curves::{across, over_networks, Network};
use whitebox::harness::run::Run;
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::measure::coherence::{alignment, coherence, cosines, overlap, Coherence};
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::model::layers::Attention;
use whitebox::model::operators::LayerOperators;
use whitebox::model::{Classifier, Config};
use whitebox::Result;

type Found = experiment::Found<Settings, Vec<Row>>;

// ANCHOR: claims
const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-08-bases",
        Source::of("overview, arXiv 2311.13110", "learned incoherence of the subspaces"),
        Whose::Authors,
        "The learned bases are incoherent, and their subspaces nearer to orthogonal than before training",
        &[
            Criterion::at_most(
                "largest mean |cosine| between heads over layers, in units of 2 / sqrt(d)",
                1.0,
                |found: &Found| coherent(found, Network::Trained),
            ),
            Criterion::at_least(
                "fraction of layers whose subspaces overlap less than before training",
                0.8,
                |found: &Found| {
                    pairs(found, |pairs| fraction(pairs, |(own, control)| own.overlap < control.overlap))
                },
            )
            .secondary(),
            Criterion::at_most(
                "untrained: largest mean |cosine| between heads, in units of 2 / sqrt(d)",
                1.0,
                |found: &Found| coherent(found, Network::Untrained),
            )
            .control(),
        ],
    ),
    Claim::new(
        "C-CRIT-06",
        Source::of("official issues 18, 19 and 31", "to_out of the MSSA block"),
        Whose::Critics,
        "The output projection W_k, which stands where the papers write U_k, is not U_k",
        &[
            Criterion::at_most(
                "largest share of U_k in the span of W_k, mean over heads, over layers",
                0.5,
                |found: &Found| furthest(found, Network::Trained, |row| row.output_overlap),
            ),
            Criterion::at_most(
                "largest |cosine| between W_k and U_k, mean over heads, over layers",
                0.5,
                |found: &Found| furthest(found, Network::Trained, |row| row.output_cosine),
            )
            .secondary(),
            Criterion::at_most(
                "untrained: largest share of U_k in the span of W_k, mean over heads, over layers",
                0.5,
                |found: &Found| furthest(found, Network::Untrained, |row| row.output_overlap),
            )
            .control(),
        ],
    ),
];
// ANCHOR_END: claims

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    /// Overlap of random subspaces of this size, on average: p / d.
    random_overlap: f64,
}

/// One layer of one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    network: Network,
    #[serde(default)]
    seed: u64,
    layer: usize,
    between_heads: f64,
    within_heads: f64,
    overlap: f64,
    /// Share of `U_k` in the span of `W_k`, and the cosine between the two, means over heads; none without an
    /// output projection.
    output_overlap: Option<f64>,
    output_cosine: Option<f64>,
}

struct Subspaces;

impl Experiment for Subspaces {
    const NAME: &'static str = "subspaces";
    const TITLE: &'static str = "The bases of trained networks against orthogonal ones";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Vec<Row>;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        // No image is looked at: they are read to know the sizes of an untrained network.
        let subject = Subject::load(&flags.subject, &flags.data, 2, run)?;
        let config = *subject.config();
        let (mut trained, mut untrained) = (Vec::new(), Vec::new());
        for pair in &subject.pairs {
            untrained.extend(rows(Network::Untrained, pair.seed, &pair.untrained)?);
            if let Some(network) = &pair.trained {
                trained.extend(rows(Network::Trained, pair.seed, network)?);
            }
        }
        let first = subject.first();
        let mut maps = Vec::new();
        for (kind, network) in [
            (Network::Trained, first.trained.as_ref()),
            (Network::Untrained, Some(&first.untrained)),
        ] {
            let Some(network) = network else { continue };
            for layer in [0, config.depth / 2, config.depth - 1] {
                let bases = network.layers()[layer].attention.bases()?;
                maps.push(HeatMap {
                    title: format!("{}, layer {}", kind.word(), layer + 1),
                    values: cosines(bases.view()),
                });
            }
        }
        let title = "|cosine| between columns of [U_1, ..., U_K]";
        heat_map::write(&run.path("cosines.svg"), title, &maps, 3)?;
        Ok(Found {
            results: [trained, untrained].concat(),
            settings: Settings {
                network: config,
                random_overlap: config.head_width as f64 / config.d as f64,
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("layers.csv", found)?;
        let mut series = Vec::new();
        for network in Network::BOTH {
            let each = networks(found, network).into_iter();
            let each = each.map(|rows| rows.iter().map(|row| row.overlap).collect());
            let values = across(&each.collect::<Vec<_>>());
            if !values.is_empty() {
                let line = Series::by_layer(network.word(), network.colour(), values);
                series.push(line.with_interval());
            }
        }
        let title = "Share of a subspace that lies in another's";
        shown.chart("overlap.svg", &Chart::by_layer(title, "overlap", series))
    }
}

fn rows(kind: Network, seed: u64, network: &Classifier<f32, Cpu>) -> Result<Vec<Row>> {
    let layers = network.layers().iter().enumerate();
    layers
        .map(|(layer, own)| {
            let operators = LayerOperators::of(own)?;
            let Coherence {
                between_heads,
                within_heads,
                overlap,
            } = coherence(operators.bases.view())?;
            let output = with_output(&own.attention, operators.bases.view())?;
            Ok(Row {
                network: kind,
                seed,
                layer: layer + 1,
                between_heads,
                within_heads,
                overlap,
                output_overlap: output.map(|(overlap, _)| overlap),
                output_cosine: output.map(|(_, cosine)| cosine),
            })
        })
        .collect()
}

/// Share of `U_k` in the span of `W_k`, and cosine between the two, means over the heads of a layer.
fn with_output(
    attention: &Attention<f32, Cpu>,
    bases: ArrayView3<'_, f64>,
) -> Result<Option<(f64, f64)>> {
    let Some(blocks) = attention.output_blocks()? else {
        return Ok(None);
    };
    let (mut share, mut cosine) = (Vec::new(), Vec::new());
    for (basis, block) in bases.outer_iter().zip(blocks.outer_iter()) {
        share.push(overlap(basis, block)?);
        cosine.push(alignment(basis, block));
    }
    Ok(Some((Summary::of(&share).mean, Summary::of(&cosine).mean)))
}

/// The rows of every trained or untrained network, by seed.
fn networks(found: &[Row], network: Network) -> Vec<&[Row]> {
    let all = found.chunk_by(|a, b| (a.network, a.seed) == (b.network, b.seed));
    all.filter(|rows| rows[0].network == network).collect()
}

/// Largest over layers, mean over networks.
fn furthest(found: &Found, network: Network, value: fn(&Row) -> Option<f64>) -> Option<Measured> {
    over_networks(&networks(found, network), |rows| {
        let all: Option<Vec<f64>> = rows.iter().map(value).collect();
        Some(all?.into_iter().map(f64::abs).fold(f64::NAN, f64::max))
    })
}

fn coherent(found: &Found, network: Network) -> Option<Measured> {
    let unit = 2.0 / (found.settings.network.d as f64).sqrt();
    over_networks(&networks(found, network), |rows| {
        Some(
            rows.iter()
                .map(|row| row.between_heads / unit)
                .fold(f64::NAN, f64::max),
        )
    })
}

/// A number of the layers of every network, each after training and before.
fn pairs(found: &Found, of: fn(&[(&Row, &Row)]) -> f64) -> Option<Measured> {
    let controls = networks(found, Network::Untrained);
    over_networks(&networks(found, Network::Trained), |own| {
        let control = controls.iter().find(|rows| rows[0].seed == own[0].seed)?;
        Some(of(&own.iter().zip(*control).collect::<Vec<_>>()))
    })
}

fn main() -> ExitCode {
    experiment::main::<Subspaces>()
}
