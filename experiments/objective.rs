//! # Does the objective improve from layer to layer, however it is measured?
//!
//! The transformer is derived by unrolling an optimiser of the sparse rate reduction. Written as what should
//! fall, `SRR(Z | U) = ||Z||_0 + R^c(Z | U) - R(Z)` (arXiv 2411.17182), here with an orthonormal basis of
//! each learned subspace in the place of `U_k`, as the derivation has it.
//!
//! **Claims** C-LAY-09 (NeurIPS 2023, arXiv 2306.01129): after layer `l`, with the layer's own subspaces,
//! SRR is lower the deeper the layer. C-CRIT-03 (arXiv 2411.17182) says otherwise: it falls in early layers
//! and rises after. C-LAY-09-step, which no paper prints: each layer lowers the SRR of its own subspaces, as
//! a step of an optimiser has to, and raises `R - R^c`. The first layer is left out: its input, the
//! embedding, is dense, and any ISTA output has fewer nonzeros.
//!
//! **Claim** C-LAY-07 (overview, arXiv 2311.13110): that `R^c` falls with depth, in the official
//! measurement, owes nothing to its precision, nor to the scaling of the tokens to length 1, nor to the class
//! token. Four precisions times three ways to treat the tokens are tried.
//!
//! **Control**: the network before training.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_objective`: about two minutes on two cores.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::layer_curves::{LayerCurves, Network};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::harness::table;
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::trend::{fraction, last_over_first, spearman, Summary};
use whitebox::model::Config;
use whitebox::Result;

// ANCHOR: claims
const OBJECTIVE_FALLS: Claim = Claim {
    id: "C-LAY-09",
    paper: "NeurIPS 2023, arXiv 2306.01129",
    location: "section 2: the objective that the layers are unrolled from",
    statement: "SRR = ||Z||_0 + R^c(Z | U) - R(Z) falls with depth in a trained network",
    criteria: &[
        Criterion::at_most("held-out: rank correlation of SRR with depth", -0.6),
        Criterion::at_most(
            "held-out: SRR after the last layer less after the first",
            0.0,
        ),
        Criterion::at_least("fall of SRR beyond the untrained network's", 0.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const FALLS_THEN_RISES: Claim = Claim {
    id: "C-CRIT-03",
    paper: "arXiv 2411.17182",
    location: "figures of SRR by layer",
    statement: "SRR falls in the early layers and rises after",
    criteria: &[
        Criterion::at_least("layers before that of the least SRR", 1.0),
        Criterion::at_least("layers after that of the least SRR", 1.0),
        Criterion::at_least(
            "rise from the least SRR to the last layer's, over the range",
            0.05,
        ),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const EACH_LAYER_IS_A_STEP: Claim = Claim {
    id: "C-LAY-09-step",
    paper: "NeurIPS 2023, arXiv 2306.01129",
    location: "section 2: a layer is a step on the objective",
    statement: "Each layer but the first lowers the SRR of its own subspaces and raises R - R^c",
    criteria: &[
        Criterion::at_least("fraction of layers that lower SRR", 0.8),
        Criterion::at_least("fraction of layers that raise R - R^c", 0.8),
        Criterion::at_most("untrained: fraction of layers that lower SRR", 0.5).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const FALL_IS_ROBUST: Claim = Claim {
    id: "C-LAY-07",
    paper: "overview, arXiv 2311.13110",
    location: "figure of the layers",
    statement:
        "R^c falls with depth at any precision, with or without scaled tokens and class token",
    criteria: &[
        Criterion::at_least("settings of 12 in which R^c falls", 10.0),
        Criterion::at_most("untrained: settings of 12 in which R^c falls", 6.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// The parts of the objective before and after a layer, for its own subspaces.
const PARTS: [Quantity; 5] = [
    Quantity::RATE,
    Quantity::RATE_AFTER_ISTA,
    Quantity::ORTHONORMAL_RATE_BEFORE_MSSA,
    Quantity::ORTHONORMAL_RATE_AFTER_ISTA,
    Quantity::NONZERO_AFTER_ISTA,
];

/// Precisions of the sweep; the official one's is 0.1.
const PRECISIONS: [f64; 4] = [0.001, 0.01, 0.1, 1.0];

/// Follow the objective through the layers of a CRATE network.
#[derive(Debug, Parser)]
#[command(name = "exp_objective", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Held-out images.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of the rates in the objective.
    #[arg(long, default_value_t = 0.1, value_parser = console::positive)]
    epsilon: f64,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    images: usize,
    epsilon: f64,
    precisions: [f64; 4],
}

/// The objective after one layer, with that layer's subspaces; means over images, rates in nats.
#[derive(Debug, Clone, Copy, Serialize)]
struct Row {
    network: Network,
    layer: usize,
    /// `||Z^{l+1}||_0`.
    nonzeros: f64,
    rate: f64,
    subspace_rate: f64,
    srr: f64,
    /// Of `Z^l` with the same subspaces; none for the first layer.
    srr_before: Option<f64>,
    /// `R - R^c` of `Z^l` with the same subspaces.
    reduction_before: f64,
    reduction: f64,
}

/// How `R^c` runs over the layers in one setting of the official measurement.
#[derive(Debug, Clone, Serialize)]
struct Setting {
    network: Network,
    tokens: &'static str,
    epsilon: f64,
    /// Rank correlation with depth.
    spearman: f64,
    last_over_first: f64,
}

/// The ways to treat the tokens of a head.
const TOKENS: [(Quantity, &str); 3] = [
    (Quantity::PROJECTION_RATE, "length 1"),
    (Quantity::PROJECTION_RATE_AS_IS, "own length"),
    (
        Quantity::PROJECTION_RATE_WITHOUT_CLASS,
        "length 1, no class token",
    ),
];

const NETWORKS: [Network; 2] = [Network::Trained, Network::Untrained];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("objective", &arguments.experiment, Some(data.data))?;
    let count = arguments.experiment.count(20, arguments.images);
    let subject = Subject::load(&arguments.subject, data, count, &run)?;
    let config = *subject.untrained.config();
    println!(
        "The objective from layer to layer, claims C-LAY-07, C-LAY-09 and C-CRIT-03.\n\
         CRATE, {} layers, width {}, {} heads; {count} held-out images of {}.",
        config.depth,
        config.d,
        config.heads,
        data.data.word(),
    );
    let splits = [(Split::Test, &subject.held_out_images)];
    let parts = PARTS.map(|quantity| quantity.at(arguments.epsilon));
    let sweep = PRECISIONS
        .into_iter()
        .flat_map(|epsilon| TOKENS.map(|(quantity, _)| quantity.at(epsilon)));
    let mut quantities: Vec<Quantity> = parts.into_iter().chain(sweep).collect();
    quantities.sort();
    quantities.dedup();
    let (seed, threads) = (run.seed, run.threads);
    let curves = LayerCurves::measure(&subject, &splits, &quantities, count, seed, threads)?;
    let entries = (config.tokens() * config.d) as f64;
    let found = |network| Some((network, curves.find(network, Split::Test)?));
    let mut rows = Vec::new();
    for (network, values) in NETWORKS.into_iter().filter_map(found) {
        rows.extend(objective(network, values.all(parts)?, entries));
    }
    print(&rows);

    let mut settings = Vec::new();
    let mut lines = Vec::new();
    for (index, epsilon) in PRECISIONS.into_iter().enumerate() {
        for network in NETWORKS {
            let Some(values) = curves.find(network, Split::Test) else {
                continue;
            };
            for (quantity, tokens) in TOKENS {
                let means = values.means(quantity.at(epsilon))?;
                settings.push(Setting {
                    network,
                    tokens,
                    epsilon,
                    spearman: spearman(&means),
                    last_over_first: last_over_first(&means),
                });
            }
            if network == Network::Trained {
                let means = values.means(Quantity::PROJECTION_RATE.at(epsilon))?;
                let relative = means.iter().map(|rate| Summary::of(&[rate / means[0]]));
                let name = format!("eps = {epsilon}");
                lines.push(Series::by_layer(name, index, relative.collect()));
            }
        }
    }
    print_settings(&settings);

    table::write(&run.path("layers.csv"), &rows)?;
    table::write(&run.path("settings.csv"), &settings)?;
    let series = NETWORKS.into_iter().zip(["trained", "untrained"]);
    let series = series.enumerate().map(|(colour, (network, name))| {
        let own = of(&rows, network).map(|row| Summary::of(&[row.srr]));
        Series::by_layer(name, colour, own.collect())
    });
    let series = series.filter(|series| !series.points.is_empty()).collect();
    let title = "||Z||_0 + R^c(Z | U) - R(Z) after each layer, with its own subspaces";
    Chart::by_layer(title, "SRR", series).write(&run.path("srr.svg"))?;
    let title = "R^c of the official measurement over its value at layer 1, by precision";
    Chart::by_layer(title, "R^c / R^c at layer 1", lines).write(&run.path("precision.svg"))?;

    let verdicts = judge(&rows, &settings);
    let sources = Sources {
        images: vec![&subject.held_out_images],
        checkpoint_sha256: subject.checkpoint_sha256.clone(),
    };
    let resolved = Settings {
        network: config,
        images: count,
        epsilon: arguments.epsilon,
        precisions: PRECISIONS,
    };
    let artefacts = "layers.csv, settings.csv, srr.svg and precision.svg";
    run.finish(resolved, verdicts, (rows, settings), &sources, artefacts)
}

/// Tokens have `entries` numbers, d N.
fn objective(network: Network, parts: [Vec<f64>; 5], entries: f64) -> Vec<Row> {
    let [rate_before, rate, subspace_before, subspace, nonzero] = parts;
    let layers = 0..rate.len();
    layers
        .map(|l| {
            let nonzeros = entries * nonzero[l];
            let (reduction_before, reduction) =
                (rate_before[l] - subspace_before[l], rate[l] - subspace[l]);
            // What enters a layer is what left the one before.
            let entered = l.checked_sub(1).map(|before| entries * nonzero[before]);
            Row {
                network,
                layer: l + 1,
                nonzeros,
                rate: rate[l],
                subspace_rate: subspace[l],
                srr: nonzeros - reduction,
                srr_before: entered.map(|nonzeros| nonzeros - reduction_before),
                reduction_before,
                reduction,
            }
        })
        .collect()
}

fn of(rows: &[Row], network: Network) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.network == network)
}

fn judge(rows: &[Row], settings: &[Setting]) -> Vec<Verdict> {
    let number = Measurement::of;
    let srr = |network| -> Vec<f64> { of(rows, network).map(|row| row.srr).collect() };
    let change = |srr: &[f64]| {
        srr.last()
            .zip(srr.first())
            .map(|(last, first)| last - first)
    };
    let (trained, untrained) = (srr(Network::Trained), srr(Network::Untrained));

    let (mut falls, mut shape) = (Vec::new(), Vec::new());
    if let Some((own, control)) = change(&trained).zip(change(&untrained)) {
        falls.extend([
            number(
                "held-out: rank correlation of SRR with depth",
                spearman(&trained),
            ),
            number(
                "held-out: SRR after the last layer less after the first",
                own,
            ),
            number("fall of SRR beyond the untrained network's", control - own),
        ]);
        let least = trained.iter().copied().fold(f64::INFINITY, f64::min);
        let most = trained.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let last = trained[trained.len() - 1];
        let before = trained.iter().take_while(|&&srr| srr > least).count();
        shape.extend([
            number("layers before that of the least SRR", before as f64),
            number(
                "layers after that of the least SRR",
                (trained.len() - 1 - before) as f64,
            ),
            number(
                "rise from the least SRR to the last layer's, over the range",
                (last - least) / (most - least),
            ),
        ]);
    }

    let steps = |network| -> Vec<&Row> {
        let inner = of(rows, network).filter(|row| row.srr_before.is_some());
        inner.collect()
    };
    let lowers = |row: &&Row| row.srr_before.is_some_and(|before| row.srr < before);
    let mut step = Vec::new();
    let (own, control) = (steps(Network::Trained), steps(Network::Untrained));
    if !own.is_empty() {
        step.extend([
            number("fraction of layers that lower SRR", fraction(&own, lowers)),
            number(
                "fraction of layers that raise R - R^c",
                fraction(&own, |row| row.reduction > row.reduction_before),
            ),
            number(
                "untrained: fraction of layers that lower SRR",
                fraction(&control, lowers),
            ),
        ]);
    }

    let falling = |network| {
        let own = settings.iter().filter(|s| s.network == network);
        own.filter(|s| s.spearman < 0.0).count() as f64
    };
    let mut robust = Vec::new();
    if !trained.is_empty() {
        robust.extend([
            number(
                "settings of 12 in which R^c falls",
                falling(Network::Trained),
            ),
            number(
                "untrained: settings of 12 in which R^c falls",
                falling(Network::Untrained),
            ),
        ]);
    }
    vec![
        OBJECTIVE_FALLS.judge(falls),
        FALLS_THEN_RISES.judge(shape),
        EACH_LAYER_IS_A_STEP.judge(step),
        FALL_IS_ROBUST.judge(robust),
    ]
}

fn print(rows: &[Row]) {
    println!(
        "\n{:>9} {:>5} | {:>9} {:>8} {:>8} | {:>9} {:>9} | {:>9} {:>9}",
        "", "layer", "nonzeros", "R", "R^c", "SRR", "before", "R - R^c", "before"
    );
    for row in rows {
        println!(
            "{:>9} {:>5} | {:>9.1} {:>8.1} {:>8.1} | {:>9.1} {:>9} | {:>9.1} {:>9.1}",
            format!("{:?}", row.network).to_lowercase(),
            row.layer,
            row.nonzeros,
            row.rate,
            row.subspace_rate,
            row.srr,
            row.srr_before.map_or("-".into(), |srr| format!("{srr:.1}")),
            row.reduction,
            row.reduction_before,
        );
    }
}

fn print_settings(settings: &[Setting]) {
    println!("\nRank correlation of R^c with depth, and its last value over its first.\n");
    for setting in settings {
        println!(
            "{:>9}, eps = {:<5}, tokens of {:<24} | {:>6.3} {:>7.3}",
            format!("{:?}", setting.network).to_lowercase(),
            setting.epsilon,
            setting.tokens,
            setting.spearman,
            setting.last_over_first,
        );
    }
}
