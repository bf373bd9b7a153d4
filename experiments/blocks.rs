//! # Do the blocks of a trained network do what they are derived to do?
//!
//! **Claims** C-THY-06, C-THY-17, C-THY-18, C-THY-20, C-SUP-01, C-CRIT-01 and C-LAY-08, on a real
//! network and real images: what no paper prints. NeurIPS 2023 (arXiv 2306.01129, section 2) derives
//! MSSA from the first order of the Neumann series of
//!
//! `grad R^c = c sum_k U_k U_k^T X (I + A_k)^{-1}`, `A_k = c (U_k^T X)^T (U_k^T X)`, `c = p / (N eps^2)`,
//!
//! which converges where every eigenvalue of `A_k` is below 1, and ISTA as one proximal step on
//! `lambda ||Z||_1 + 1/2 ||X - D Z||^2`, `Z >= 0`, with a nearly orthogonal `D`.
//!
//! `X = LN1(Z^l)` are the tokens MSSA works on; for ISTA, `X = LN2(Z^{l+1/2})`. The precision is the
//! official measurement's, 0.1.
//!
//! **Criteria**: the constants below, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_blocks`: about two minutes on two cores.

use std::process::ExitCode;

use clap::Parser;
use dfdx::prelude::Cpu;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::layer_curves::{CurveRows, LayerCurves, Network};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::measure::coherence::dictionary_incoherence;
use whitebox::measure::layerwise::{Layerwise, Quantity};
use whitebox::measure::trend::fraction;
use whitebox::model::operators::LayerOperators;
use whitebox::model::{Classifier, Config};
use whitebox::Result;

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129";
const CATALOGUE: &str = "derived by this project";

// ANCHOR: claims
const OUTSIDE_THE_RADIUS: Claim = Claim {
    id: "C-THY-06",
    paper: CATALOGUE,
    location: "critique of the derivation of MSSA, section 2.3",
    statement:
        "At the official precision, most directions of the tokens lie outside the radius in \
                which the series behind MSSA converges",
    criteria: &[Criterion::at_least(
        "mean over layers: fraction of directions outside the radius",
        0.5,
    )],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const MSSA_DESCENDS: Claim = Claim {
    id: "C-CRIT-01-trained",
    paper: PAPER,
    location: "section 2.3, against arXiv 2411.17182",
    statement: "What MSSA adds to the tokens points downhill on R^c",
    criteria: &[
        Criterion::at_least("fraction of layers with a positive cosine", 0.8),
        Criterion::at_most("untrained: fraction of layers with a positive cosine", 0.5).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const CONVEX_FORM_DESCENDS: Claim = Claim {
    id: "C-SUP-01-trained",
    paper: "authors' book, chapter 4",
    location: "the step (1 - kappa c) Z + kappa c MSSA(Z)",
    statement: "The convex form of MSSA points downhill on R^c, far outside the radius",
    criteria: &[
        Criterion::at_least("fraction of layers with a positive cosine", 0.95),
        Criterion::at_least("untrained: fraction of layers with a positive cosine", 0.95),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const STEP_IS_SAFE: Claim = Claim {
    id: "C-THY-17-trained",
    paper: PAPER,
    location: "section 2.4; official step size 0.1",
    statement: "The official ISTA step stays within the descent lemma after training",
    criteria: &[Criterion::at_most("largest eta L over layers", 2.0)],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const ISTA_SOLVES: Claim = Claim {
    id: "C-THY-18-trained",
    paper: PAPER,
    location: "section 2.4",
    statement: "One ISTA step goes at least half way to the sparse code, and beats the zero code",
    criteria: &[
        Criterion::at_least("fraction of layers with half the gap closed", 0.75),
        Criterion::at_least("fraction of layers better than the zero code", 0.75),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const RATE_IS_KEPT: Claim = Claim {
    id: "C-THY-20-trained",
    paper: "authors' book, chapter 4",
    location: "paragraph on sparsification",
    statement: "ISTA leaves the coding rate R roughly unchanged",
    criteria: &[Criterion::at_least(
        "fraction of layers where R changes by at most a tenth",
        0.8,
    )],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const DICTIONARIES_ARE_INCOHERENT: Claim = Claim {
    id: "C-LAY-08",
    paper: "overview, arXiv 2311.13110",
    location: "learned incoherence, quoted in the official repository's issue 18",
    statement: "Training makes the dictionaries more incoherent: D^T D nearer to a multiple of I",
    criteria: &[Criterion::at_least(
        "fraction of layers more incoherent than before training",
        0.8,
    )],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// What each block does, against what it is derived to do.
const QUANTITIES: [Quantity; 10] = [
    Quantity::NEUMANN_RADIUS,
    Quantity::OUTSIDE_NEUMANN_RADIUS,
    Quantity::COSINE_MSSA_DESCENT,
    Quantity::COSINE_CONVEX_DESCENT,
    Quantity::LASSO_CLAMPED,
    Quantity::LASSO_AFTER_ISTA,
    Quantity::LASSO_ZERO,
    Quantity::LASSO_SOLUTION,
    Quantity::RATE_BEFORE_ISTA,
    Quantity::RATE_AFTER_ISTA,
];

/// Hold every block of a CRATE network against what it is derived to do.
#[derive(Debug, Parser)]
#[command(name = "exp_blocks", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Held-out images.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of the rates; the official measurement's is 0.1.
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
}

/// What the weights alone say of a layer.
#[derive(Debug, Clone, Copy, Serialize)]
struct Weights {
    layer: usize,
    /// `eta ||D||_2^2`.
    eta_lipschitz: f64,
    /// `||D^T D - alpha I||_F / ||D^T D||_F`.
    incoherence: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    curves: Vec<CurveRows>,
    trained: Option<Vec<Weights>>,
    untrained: Vec<Weights>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("blocks", &arguments.experiment, Some(data.data))?;
    let (seed, threads) = (run.seed, run.threads);
    let count = arguments.experiment.count(4, arguments.images);
    let subject = Subject::load(&arguments.subject, data, count, &run)?;
    let config = *subject.untrained.config();
    println!(
        "The blocks against their derivation ({PAPER}).\n\
         CRATE, {} layers, width {}, {} heads; {count} held-out images of {}; epsilon {}.",
        config.depth,
        config.d,
        config.heads,
        data.data.word(),
        arguments.epsilon,
    );
    let held_out = [(Split::Test, &subject.held_out_images)];
    let curves = LayerCurves::measure(
        &subject,
        &held_out,
        &QUANTITIES.map(|quantity| quantity.at(arguments.epsilon)),
        count,
        seed,
        threads,
    )?;
    let trained = subject.trained.as_ref().map(weights).transpose()?;
    let untrained = weights(&subject.untrained)?;
    let epsilon = arguments.epsilon;
    let verdicts = judge(&curves, trained.as_deref(), &untrained, epsilon)?;
    print(&curves, trained.as_deref(), epsilon)?;
    curves.write_csv(&run.path("layers.csv"))?;
    let chart = |file: &str, title: &str, vertical: &str, lines: &[Line]| {
        let series = series(&curves, lines, epsilon)?;
        Chart::by_layer(title, vertical, series).write(&run.path(file))
    };
    chart(
        "radius.svg",
        "Directions outside the Neumann radius",
        "fraction of directions",
        &[
            (
                "trained",
                Network::Trained,
                Quantity::OUTSIDE_NEUMANN_RADIUS,
            ),
            (
                "untrained",
                Network::Untrained,
                Quantity::OUTSIDE_NEUMANN_RADIUS,
            ),
        ],
    )?;
    chart(
        "descent.svg",
        "Cosine of MSSA's steps with the exact descent direction of R^c",
        "cosine",
        &[
            (
                "added, trained",
                Network::Trained,
                Quantity::COSINE_MSSA_DESCENT,
            ),
            (
                "convex form, trained",
                Network::Trained,
                Quantity::COSINE_CONVEX_DESCENT,
            ),
            (
                "added, untrained",
                Network::Untrained,
                Quantity::COSINE_MSSA_DESCENT,
            ),
        ],
    )?;
    let shown = match trained {
        Some(_) => Network::Trained,
        None => Network::Untrained,
    };
    chart(
        "lasso.svg",
        "LASSO objective per token around the ISTA block",
        "objective",
        &[
            ("after the block", shown, Quantity::LASSO_AFTER_ISTA),
            ("zero code", shown, Quantity::LASSO_ZERO),
            ("solution", shown, Quantity::LASSO_SOLUTION),
        ],
    )?;
    let settings = Settings {
        network: config,
        images: count,
        epsilon: arguments.epsilon,
    };
    let results = Results {
        curves: curves.rows(),
        trained,
        untrained,
    };
    let sources = Sources {
        images: vec![&subject.held_out_images],
        checkpoint_sha256: subject.checkpoint_sha256.clone(),
    };
    let artefacts = "layers.csv, radius.svg, descent.svg and lasso.svg";
    run.finish(settings, verdicts, results, &sources, artefacts)
}

fn weights(network: &Classifier<f32, Cpu>) -> Result<Vec<Weights>> {
    let layers = network.layers().iter().enumerate();
    layers
        .map(|(index, layer)| {
            let operators = LayerOperators::of(layer)?;
            let ista = operators.sparsifier()?;
            Ok(Weights {
                layer: index + 1,
                eta_lipschitz: ista.step_size * ista.lipschitz,
                incoherence: dictionary_incoherence(ista.dictionary.view()),
            })
        })
        .collect()
}

type Line = (&'static str, Network, Quantity);

fn series(curves: &LayerCurves, lines: &[Line], epsilon: f64) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for (colour, (name, network, quantity)) in lines.iter().enumerate() {
        if let Some(found) = curves.find(*network, Split::Test) {
            let curve = found.curve(quantity.at(epsilon))?;
            series.push(Series::by_layer(*name, colour, curve.summaries()));
        }
    }
    Ok(series)
}

/// Every number that a criterion names, and the verdicts.
fn judge(
    curves: &LayerCurves,
    trained_weights: Option<&[Weights]>,
    untrained_weights: &[Weights],
    epsilon: f64,
) -> Result<Vec<Verdict>> {
    let trained = curves.find(Network::Trained, Split::Test);
    let untrained = curves.find(Network::Untrained, Split::Test);
    let number = Measurement::of;
    let positive = |found: &Layerwise, quantity: Quantity| -> Result<f64> {
        Ok(fraction(&found.means(quantity.at(epsilon))?, |&c| c > 0.0))
    };

    let mut radius = Vec::new();
    if let Some(found) = trained {
        let outside = found.means(Quantity::OUTSIDE_NEUMANN_RADIUS.at(epsilon))?;
        radius.push(number(
            "mean over layers: fraction of directions outside the radius",
            outside.iter().sum::<f64>() / outside.len() as f64,
        ));
    }

    let cosines = |quantity| -> Result<Vec<Measurement>> {
        let mut numbers = Vec::new();
        if let Some(found) = trained {
            numbers.push(number(
                "fraction of layers with a positive cosine",
                positive(found, quantity)?,
            ));
        }
        if let Some(found) = untrained {
            numbers.push(number(
                "untrained: fraction of layers with a positive cosine",
                positive(found, quantity)?,
            ));
        }
        Ok(numbers)
    };

    let mut steps = Vec::new();
    let mut incoherence = Vec::new();
    if let Some(weights) = trained_weights {
        let eta: Vec<f64> = weights.iter().map(|w| w.eta_lipschitz).collect();
        steps.push(number(
            "largest eta L over layers",
            eta.into_iter().fold(0.0, f64::max),
        ));
        let pairs = weights.iter().zip(untrained_weights);
        let gains: Vec<f64> = pairs
            .map(|(after, before)| before.incoherence - after.incoherence)
            .collect();
        incoherence.push(number(
            "fraction of layers more incoherent than before training",
            fraction(&gains, |&gain| gain > 0.0),
        ));
    }

    let (mut codes, mut rates) = (Vec::new(), Vec::new());
    if let Some(found) = trained {
        let means = |quantity: Quantity| found.means(quantity.at(epsilon));
        let (clamped, after) = (
            means(Quantity::LASSO_CLAMPED)?,
            means(Quantity::LASSO_AFTER_ISTA)?,
        );
        let (zero, best) = (
            means(Quantity::LASSO_ZERO)?,
            means(Quantity::LASSO_SOLUTION)?,
        );
        let layers = 0..after.len();
        let closed: Vec<f64> = layers
            .clone()
            .map(|l| (clamped[l] - after[l]) / (clamped[l] - best[l]))
            .collect();
        let beats: Vec<f64> = layers.map(|l| zero[l] - after[l]).collect();
        codes.push(number(
            "fraction of layers with half the gap closed",
            fraction(&closed, |&share| share >= 0.5),
        ));
        codes.push(number(
            "fraction of layers better than the zero code",
            fraction(&beats, |&gain| gain > 0.0),
        ));
        let (before, after) = (
            means(Quantity::RATE_BEFORE_ISTA)?,
            means(Quantity::RATE_AFTER_ISTA)?,
        );
        let changes: Vec<f64> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| (after - before).abs() / before)
            .collect();
        rates.push(number(
            "fraction of layers where R changes by at most a tenth",
            fraction(&changes, |&change| change <= 0.1),
        ));
    }

    Ok(vec![
        OUTSIDE_THE_RADIUS.judge(radius),
        MSSA_DESCENDS.judge(cosines(Quantity::COSINE_MSSA_DESCENT)?),
        CONVEX_FORM_DESCENDS.judge(cosines(Quantity::COSINE_CONVEX_DESCENT)?),
        STEP_IS_SAFE.judge(steps),
        ISTA_SOLVES.judge(codes),
        RATE_IS_KEPT.judge(rates),
        DICTIONARIES_ARE_INCOHERENT.judge(incoherence),
    ])
}

fn print(curves: &LayerCurves, trained: Option<&[Weights]>, epsilon: f64) -> Result<()> {
    let network = match trained {
        Some(_) => Network::Trained,
        None => Network::Untrained,
    };
    let Some(found) = curves.find(network, Split::Test) else {
        return Ok(());
    };
    println!(
        "\n{:>5} | {:>9} {:>8} | {:>7} {:>7} | {:>8} {:>8} {:>8} {:>8} | {:>7} {:>7}",
        "layer",
        "radius",
        "outside",
        "cos add",
        "cos cvx",
        "clamped",
        "after",
        "zero",
        "best",
        "R in",
        "R out"
    );
    let columns = found.all(QUANTITIES.map(|quantity| quantity.at(epsilon)))?;
    let layers = columns.iter().map(Vec::len).min().unwrap_or(0);
    for layer in 0..layers {
        let [radius, outside, added, convex, clamped, after, zero, best, rate_in, rate_out] =
            columns.each_ref().map(|column| column[layer]);
        println!(
            "{:>5} | {radius:>9.1} {outside:>8.3} | {added:>+7.3} {convex:>+7.3} | {clamped:>8.1} \
             {after:>8.1} {zero:>8.1} {best:>8.1} | {rate_in:>7.1} {rate_out:>7.1}",
            layer + 1
        );
    }
    Ok(())
}
