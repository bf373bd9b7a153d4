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

use clap::Parser;
use dfdx::prelude::Cpu;
use ndarray::ArrayView3;
use serde::Serialize;
use whitebox::data::DataArguments;
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::heat_map::{self, HeatMap};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::harness::table;
use whitebox::measure::coherence::{alignment, coherence, cosines, overlap, Coherence};
use whitebox::measure::trend::{fraction, Summary};
use whitebox::model::layers::Attention;
use whitebox::model::operators::LayerOperators;
use whitebox::model::Config;
use whitebox::Result;

// ANCHOR: claims
const BASES_ARE_INCOHERENT: Claim = Claim {
    id: "C-LAY-08-bases",
    paper: "overview, arXiv 2311.13110",
    location: "learned incoherence of the subspaces",
    statement:
        "The learned bases are incoherent, and their subspaces nearer to orthogonal than before \
                training",
    criteria: &[
        Criterion::at_most(
            "largest mean |cosine| between heads over layers, in units of 2 / sqrt(d)",
            1.0,
        ),
        Criterion::at_least(
            "fraction of layers whose subspaces overlap less than before training",
            0.8,
        ),
        Criterion::at_most(
            "untrained: largest mean |cosine| between heads, in units of 2 / sqrt(d)",
            1.0,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const OUTPUT_IS_ANOTHER: Claim = Claim {
    id: "C-CRIT-06",
    paper: "official issues 18, 19 and 31",
    location: "to_out of the MSSA block",
    statement: "The output projection W_k, which stands where the papers write U_k, is not U_k",
    criteria: &[
        Criterion::at_most(
            "largest share of U_k in the span of W_k, mean over heads, over layers",
            0.5,
        ),
        Criterion::at_most(
            "largest |cosine| between W_k and U_k, mean over heads, over layers",
            0.5,
        ),
        Criterion::at_most(
            "untrained: largest share of U_k in the span of W_k, mean over heads, over layers",
            0.5,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// Hold the bases of a trained CRATE against orthogonal ones.
#[derive(Debug, Parser)]
#[command(name = "exp_subspaces", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    /// Overlap of random subspaces of this size, on average: p / d.
    random_overlap: f64,
}

/// One layer of one network.
#[derive(Debug, Clone, Serialize)]
struct Row {
    network: &'static str,
    layer: usize,
    between_heads: f64,
    within_heads: f64,
    overlap: f64,
    /// Share of `U_k` in the span of `W_k`, and the cosine between the two, means over heads; none without an
    /// output projection.
    output_overlap: Option<f64>,
    output_cosine: Option<f64>,
}

const TRAINED: &str = "trained";
const UNTRAINED: &str = "untrained";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("subspaces", &arguments.experiment, Some(data.data))?;
    // No image is looked at: they are read to know the sizes of an untrained network.
    let subject = Subject::load(&arguments.subject, data, 2, &run)?;
    let config = *subject.untrained.config();
    println!(
        "The bases of {} layers with {} heads of width {} in {} dimensions.",
        config.depth, config.heads, config.head_width, config.d,
    );
    let networks = [
        (TRAINED, subject.trained.as_ref()),
        (UNTRAINED, Some(&subject.untrained)),
    ];
    let (mut rows, mut maps) = (Vec::new(), Vec::new());
    for (name, network) in networks {
        let Some(network) = network else { continue };
        let shown = [0, config.depth / 2, config.depth - 1];
        for (layer, own) in network.layers().iter().enumerate() {
            let operators = LayerOperators::of(own)?;
            let Coherence {
                between_heads,
                within_heads,
                overlap,
            } = coherence(operators.bases.view())?;
            let output = with_output(&own.attention, operators.bases.view())?;
            rows.push(Row {
                network: name,
                layer: layer + 1,
                between_heads,
                within_heads,
                overlap,
                output_overlap: output.map(|(overlap, _)| overlap),
                output_cosine: output.map(|(_, cosine)| cosine),
            });
            if shown.contains(&layer) {
                maps.push(HeatMap {
                    title: format!("{name}, layer {}", layer + 1),
                    values: cosines(operators.bases.view()),
                });
            }
        }
    }
    print(&rows);
    table::write(&run.path("layers.csv"), &rows)?;
    let title = "|cosine| between columns of [U_1, ..., U_K]";
    heat_map::write(&run.path("cosines.svg"), title, &maps, 3)?;
    let series = [TRAINED, UNTRAINED].into_iter().enumerate();
    let series = series.map(|(colour, name)| {
        let own = of(&rows, name).map(|row| Summary::of(&[row.overlap]));
        Series::by_layer(name, colour, own.collect())
    });
    let series = series.filter(|series| !series.points.is_empty()).collect();
    Chart::by_layer(
        "Share of a subspace that lies in another's",
        "overlap",
        series,
    )
    .write(&run.path("overlap.svg"))?;
    let settings = Settings {
        network: config,
        random_overlap: config.head_width as f64 / config.d as f64,
    };
    let verdicts = judge(&rows, config.d);
    let sources = Sources {
        images: Vec::new(),
        checkpoint_sha256: subject.checkpoint_sha256.clone(),
    };
    let artefacts = "layers.csv, cosines.svg and overlap.svg";
    run.finish(settings, verdicts, rows, &sources, artefacts)
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

fn of<'a>(rows: &'a [Row], network: &'static str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.network == network)
}

fn judge(rows: &[Row], d: usize) -> Vec<Verdict> {
    let unit = 2.0 / (d as f64).sqrt();
    let largest = |network| {
        let all = of(rows, network).map(|row| row.between_heads / unit);
        all.fold(f64::NAN, f64::max)
    };
    let pairs: Vec<(&Row, &Row)> = of(rows, TRAINED).zip(of(rows, UNTRAINED)).collect();
    let furthest = |network, value: fn(&Row) -> Option<f64>| {
        let all = of(rows, network).filter_map(value).map(f64::abs);
        all.fold(f64::NAN, f64::max)
    };
    let incoherent = BASES_ARE_INCOHERENT.judge(vec![
        Measurement::of(
            "largest mean |cosine| between heads over layers, in units of 2 / sqrt(d)",
            largest(TRAINED),
        ),
        Measurement::of(
            "fraction of layers whose subspaces overlap less than before training",
            fraction(&pairs, |(after, before)| after.overlap < before.overlap),
        ),
        Measurement::of(
            "untrained: largest mean |cosine| between heads, in units of 2 / sqrt(d)",
            largest(UNTRAINED),
        ),
    ]);
    let output = OUTPUT_IS_ANOTHER.judge(vec![
        Measurement::of(
            "largest share of U_k in the span of W_k, mean over heads, over layers",
            furthest(TRAINED, |row| row.output_overlap),
        ),
        Measurement::of(
            "largest |cosine| between W_k and U_k, mean over heads, over layers",
            furthest(TRAINED, |row| row.output_cosine),
        ),
        Measurement::of(
            "untrained: largest share of U_k in the span of W_k, mean over heads, over layers",
            furthest(UNTRAINED, |row| row.output_overlap),
        ),
    ]);
    vec![incoherent, output]
}

fn print(rows: &[Row]) {
    println!(
        "\n{:>10} {:>5} | {:>13} {:>12} | {:>8} | {:>10} {:>10}",
        "network", "layer", "between heads", "within heads", "overlap", "U_k in W_k", "cosine"
    );
    let shown = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.4}"));
    for row in rows {
        println!(
            "{:>10} {:>5} | {:>13.4} {:>12.4} | {:>8.4} | {:>10} {:>10}",
            row.network,
            row.layer,
            row.between_heads,
            row.within_heads,
            row.overlap,
            shown(row.output_overlap),
            shown(row.output_cosine),
        );
    }
}
