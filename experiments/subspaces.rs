//! # Are the subspaces what the derivation assumes?
//!
//! **Claim** C-LAY-08-bases (overview, arXiv 2311.13110; learned incoherence): the bases `U_1, ..., U_K` of
//! a trained layer are incoherent, as the derivation of MSSA asks: their columns are nearly orthogonal,
//! and the subspaces too.
//!
//! Random columns in many dimensions are nearly orthogonal anyway. So the bases are held against those
//! that training began with: only what training changes has been learned.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_subspaces`: seconds.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::DataArguments;
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::heat_map::{self, HeatMap};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::harness::table;
use whitebox::measure::coherence::{coherence, cosines, Coherence};
use whitebox::measure::layerwise::LayerOperators;
use whitebox::measure::trend::{fraction, Summary};
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
}

const TRAINED: &str = "trained";
const UNTRAINED: &str = "untrained";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("subspaces", &arguments.experiment, Some(data.data))?;
    // No image is looked at: they are read to know the sizes of an untrained network.
    let subject = Subject::load(&arguments.subject, data, 2, run.seed, run.threads)?;
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
            rows.push(Row {
                network: name,
                layer: layer + 1,
                between_heads,
                within_heads,
                overlap,
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
    vec![BASES_ARE_INCOHERENT.judge(vec![
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
    ])]
}

fn print(rows: &[Row]) {
    println!(
        "\n{:>10} {:>5} | {:>13} {:>12} | {:>8}",
        "network", "layer", "between heads", "within heads", "overlap"
    );
    for row in rows {
        println!(
            "{:>10} {:>5} | {:>13.4} {:>12.4} | {:>8.4}",
            row.network, row.layer, row.between_heads, row.within_heads, row.overlap
        );
    }
}
