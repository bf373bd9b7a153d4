//! # Do trained CRATE networks compress and sparsify, layer by layer?
//!
//! **Claims** C-LAY-01 to C-LAY-05. NeurIPS 2023 (arXiv 2306.01129, section 3 and its figure of the
//! layers) and the overview (arXiv 2311.13110, figure 13): in a trained CRATE, the compression term
//!
//! `R^c(Z^{l+1/2} | U^l) = sum_k 1/2 logdet(I + p / (N eps^2) (U_k^T Z)(U_k^T Z)^T)`
//!
//! falls with depth and the ISTA outputs `Z^{l+1}` get sparser. Published, CRATE-Small on ImageNet
//! (read off the figure): `R^c` 1103 at layer 1, 728 (train) and 667 (validation) at layer 12, with
//! 3 of 11 steps rising; nonzeros .411, then .205 at layer 11 and .336 at layer 12.
//!
//! The code behind that figure measures something else than the caption says (see
//! [`mod@whitebox::exact::official_rate`]); both are measured here, on the same images, for the trained
//! network and for the untrained one of the same sizes as control.
//!
//! **Criteria**: the constants below, fixed before the first run. The numbers are those of the
//! catalogue for small networks.
//!
//! **Run**: `cargo run --release --bin exp_layerwise`: under a minute on two cores with the network
//! that ships; `--train` first trains one (about 45 minutes).

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::exact::official_rate::official_upper_bound;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::layer_curves::{LayerCurves, Network};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::measure::layerwise::{Layerwise, Quantity};
use whitebox::measure::trend::{last_over_first, spearman};
use whitebox::model::Config;
use whitebox::Result;

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129; overview, arXiv 2311.13110";

// ANCHOR: claims
/// What "falls with depth" means, for both readings of the compression term.
const FALLS: &[Criterion] = &[
    Criterion::at_most("held-out: rank correlation of R^c with depth", -0.6),
    Criterion::at_most("held-out: R^c at the last layer / at the first", 0.90),
    Criterion::at_least("untrained: R^c at the last layer / at the first", 0.90).control(),
];

const RATE_FALLS: Claim = Claim {
    id: "C-LAY-01",
    paper: PAPER,
    location: "figure of the layers, left; official vis_utils/coding_rate.py",
    statement: "In a trained network the compression term falls with depth (official measurement)",
    criteria: FALLS,
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const CAPTION_RATE_FALLS: Claim = Claim {
    id: "C-LAY-01-caption",
    paper: PAPER,
    location: "caption of the same figure",
    statement: "The same for R^c(Z^{l+1/2} | U^l), the formula of the caption",
    criteria: FALLS,
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const SPARSITY_GROWS: Claim = Claim {
    id: "C-LAY-02",
    paper: PAPER,
    location: "figure of the layers, right",
    statement: "In a trained network the ISTA outputs get sparser with depth, up to the last layer",
    criteria: &[
        Criterion::at_most("held-out: rank correlation of nonzeros with depth", -0.6),
        Criterion::at_most(
            "held-out: nonzeros at the last layer but one / at the first",
            0.8,
        ),
        Criterion::at_least("fall of nonzeros beyond the untrained network's", 0.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const UNTRAINED_CURVES: Claim = Claim {
    id: "C-LAY-03",
    paper: "control of this project",
    location: "not published",
    statement: "Untrained, R^c does not fall with depth, but the ISTA outputs already get sparser",
    criteria: &[
        Criterion::at_least("untrained: R^c at the last layer / at the first", 0.98),
        Criterion::at_most("untrained: nonzeros at the last layer / at the first", 0.8),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const SPLITS_AGREE: Claim = Claim {
    id: "C-LAY-04",
    paper: PAPER,
    location: "figure of the layers, train and validation curves",
    statement: "The curves of training and held-out images coincide",
    criteria: &[
        Criterion::at_most("largest relative gap of R^c between the splits", 0.10),
        Criterion::at_most("largest relative gap of nonzeros between the splits", 0.10),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const EVERY_BLOCK_WORKS: Claim = Claim {
    id: "C-LAY-05",
    paper: PAPER,
    location: "section 2: what each block is derived to do",
    statement:
        "In most layers MSSA lowers R^c for the layer's own U (tokens of length 1), and ISTA \
                raises the sparsity",
    criteria: &[
        Criterion::at_least("fraction of layers where MSSA lowers R^c, unit tokens", 0.8),
        Criterion::at_least("fraction of layers where ISTA raises the sparsity", 0.8),
        Criterion::at_most(
            "untrained: fraction of layers where MSSA lowers R^c, unit tokens",
            0.5,
        )
        .control(),
        Criterion::at_least("fraction of layers where ISTA beats a plain ReLU", 0.5).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// What the papers' figure of the layers is about.
const QUANTITIES: [Quantity; 10] = [
    Quantity::OFFICIAL_RATE,
    Quantity::NONZERO_AFTER_ISTA,
    Quantity::SUBSPACE_RATE_AFTER_MSSA,
    Quantity::SUBSPACE_RATE_BEFORE_MSSA,
    Quantity::SUBSPACE_RATE_AFTER_MSSA_NORM_MATCHED,
    Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA,
    Quantity::UNIT_SUBSPACE_RATE_BEFORE_MSSA,
    Quantity::RATE,
    Quantity::NONZERO_BEFORE_ISTA,
    Quantity::POSITIVE_BEFORE_ISTA,
];

/// Measure every layer of a CRATE network, trained and untrained, and judge the papers' claims.
#[derive(Debug, Parser)]
#[command(name = "exp_layerwise", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Images of each split.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of every rate but the official one; the official one's is 0.1.
    #[arg(long, default_value_t = 0.1, value_parser = console::positive)]
    epsilon: f64,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    images_per_split: usize,
    epsilon: f64,
    official_upper_bound: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("layerwise", &arguments.experiment, Some(data.data))?;
    let (seed, threads) = (run.seed, run.threads);
    let count = arguments.experiment.count(20, arguments.images);
    let subject = Subject::load(&arguments.subject, data, count, &run)?;
    let config = *subject.untrained.config();
    println!(
        "Layer-wise compression and sparsity, claims C-LAY-01 to C-LAY-05 ({PAPER}).\n\
         CRATE, {} layers, width {}, {} heads, {:.2} M parameters; {count} images per split of {}.",
        config.depth,
        config.d,
        config.heads,
        config.parameters() as f64 * 1e-6,
        data.data.word(),
    );
    let curves = LayerCurves::measure(
        &subject,
        &subject.splits(),
        &QUANTITIES.map(|quantity| quantity.at(arguments.epsilon)),
        count,
        seed,
        threads,
    )?;
    let verdicts = judge(&curves, arguments.epsilon)?;
    curves.print(arguments.epsilon)?;
    curves.write_csv(&run.path("layers.csv"))?;
    curves.chart(
        &run.path("rate.svg"),
        Quantity::OFFICIAL_RATE,
        "Compression term by layer (official measurement)",
        "R^c, nats",
    )?;
    curves.chart(
        &run.path("sparsity.svg"),
        Quantity::NONZERO_AFTER_ISTA,
        "Nonzero entries of the ISTA outputs by layer",
        "fraction of nonzeros",
    )?;
    let settings = Settings {
        network: config,
        images_per_split: count,
        epsilon: arguments.epsilon,
        official_upper_bound: official_upper_bound(config.heads, config.head_width),
    };
    let sources = Sources {
        images: subject.images(),
        checkpoint_sha256: subject.checkpoint_sha256.clone(),
    };
    let artefacts = "layers.csv, rate.svg and sparsity.svg";
    run.finish(settings, verdicts, curves.rows(), &sources, artefacts)
}

/// Every number that a criterion names, and the verdicts.
fn judge(curves: &LayerCurves, epsilon: f64) -> Result<Vec<Verdict>> {
    let trained = curves.find(Network::Trained, Split::Test);
    let training = curves.find(Network::Trained, Split::Train);
    let untrained = curves.find(Network::Untrained, Split::Test);
    let number = Measurement::of;

    let falls = |quantity: Quantity| -> Result<Vec<Measurement>> {
        let mut numbers = Vec::new();
        if let Some(found) = trained {
            let means = found.means(quantity)?;
            numbers.push(number(
                "held-out: rank correlation of R^c with depth",
                spearman(&means),
            ));
            numbers.push(number(
                "held-out: R^c at the last layer / at the first",
                last_over_first(&means),
            ));
        }
        if let Some(found) = untrained {
            numbers.push(number(
                "untrained: R^c at the last layer / at the first",
                last_over_first(&found.means(quantity)?),
            ));
        }
        Ok(numbers)
    };

    let nonzeros = |found: &Layerwise| found.means(Quantity::NONZERO_AFTER_ISTA);
    let but_last = |means: &[f64]| means[..means.len().saturating_sub(1)].to_vec();
    let mut sparsity = Vec::new();
    if let (Some(trained), Some(untrained)) = (trained, untrained) {
        let (own, control) = (
            but_last(&nonzeros(trained)?),
            but_last(&nonzeros(untrained)?),
        );
        let fall = |means: &[f64]| means.first().zip(means.last()).map(|(a, b)| a - b);
        sparsity.push(number(
            "held-out: rank correlation of nonzeros with depth",
            spearman(&own),
        ));
        sparsity.push(number(
            "held-out: nonzeros at the last layer but one / at the first",
            last_over_first(&own),
        ));
        if let Some((own, control)) = fall(&own).zip(fall(&control)) {
            sparsity.push(number(
                "fall of nonzeros beyond the untrained network's",
                own - control,
            ));
        }
    }

    let mut control = Vec::new();
    if let Some(found) = untrained {
        control.push(number(
            "untrained: R^c at the last layer / at the first",
            last_over_first(&found.means(Quantity::OFFICIAL_RATE)?),
        ));
        control.push(number(
            "untrained: nonzeros at the last layer / at the first",
            last_over_first(&nonzeros(found)?),
        ));
    }

    let mut gaps = Vec::new();
    if let (Some(training), Some(held_out)) = (training, trained) {
        let gap = |quantity| -> Result<f64> {
            let (a, b) = (training.means(quantity)?, held_out.means(quantity)?);
            let gaps = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / b.abs());
            Ok(gaps.fold(0.0, f64::max))
        };
        gaps.push(number(
            "largest relative gap of R^c between the splits",
            gap(Quantity::OFFICIAL_RATE)?,
        ));
        gaps.push(number(
            "largest relative gap of nonzeros between the splits",
            gap(Quantity::NONZERO_AFTER_ISTA)?,
        ));
    }

    let mut blocks = Vec::new();
    let unit = (
        Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA.at(epsilon),
        Quantity::UNIT_SUBSPACE_RATE_BEFORE_MSSA.at(epsilon),
    );
    if let Some(found) = trained {
        let before = Quantity::SUBSPACE_RATE_BEFORE_MSSA.at(epsilon);
        blocks.extend([
            number(
                "fraction of layers where MSSA lowers R^c, unit tokens",
                fraction_below(found, unit.0, unit.1)?,
            ),
            number(
                "fraction of layers where MSSA lowers R^c, tokens as they are",
                fraction_below(
                    found,
                    Quantity::SUBSPACE_RATE_AFTER_MSSA.at(epsilon),
                    before,
                )?,
            ),
            number(
                "fraction of layers where MSSA lowers R^c, Frobenius norm kept",
                fraction_below(
                    found,
                    Quantity::SUBSPACE_RATE_AFTER_MSSA_NORM_MATCHED.at(epsilon),
                    before,
                )?,
            ),
            number(
                "fraction of layers where ISTA raises the sparsity",
                fraction_below(
                    found,
                    Quantity::NONZERO_AFTER_ISTA,
                    Quantity::NONZERO_BEFORE_ISTA,
                )?,
            ),
            number(
                "fraction of layers where ISTA beats a plain ReLU",
                fraction_below(
                    found,
                    Quantity::NONZERO_AFTER_ISTA,
                    Quantity::POSITIVE_BEFORE_ISTA,
                )?,
            ),
        ]);
    }
    if let Some(found) = untrained {
        blocks.push(number(
            "untrained: fraction of layers where MSSA lowers R^c, unit tokens",
            fraction_below(found, unit.0, unit.1)?,
        ));
    }

    Ok(vec![
        RATE_FALLS.judge(falls(Quantity::OFFICIAL_RATE)?),
        CAPTION_RATE_FALLS.judge(falls(Quantity::SUBSPACE_RATE_AFTER_MSSA.at(epsilon))?),
        SPARSITY_GROWS.judge(sparsity),
        UNTRAINED_CURVES.judge(control),
        SPLITS_AGREE.judge(gaps),
        EVERY_BLOCK_WORKS.judge(blocks),
    ])
}

/// Fraction of layers whose mean of `low` is below that of `high`.
fn fraction_below(found: &Layerwise, low: Quantity, high: Quantity) -> Result<f64> {
    let (low, high) = (found.means(low)?, found.means(high)?);
    let below = low.iter().zip(&high).filter(|(low, high)| low < high);
    Ok(below.count() as f64 / low.len() as f64)
}
