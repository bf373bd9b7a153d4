//! # Does the sparse rate reduction tell how well a network generalises?
//!
//! **Claims** C-CRIT-04 (arXiv 2411.17182): the measure `SRR(Z) = ||Z||_0 + R^c(Z | U) - R(Z)` of trained
//! networks orders them by their generalisation gap, better than other measures do. C-CRIT-05: added to
//! the objective, it improves the accuracy.
//!
//! 24 variants (three kinds of network, two batch sizes, two learning rates, two weight decays), each from
//! two seeds, are trained on few images until the training loss reaches the same value: what is left to
//! differ is the gap, held-out loss less training loss. SRR is taken on training images, at the input of
//! every layer but the first, with the layer's own bases, and averaged. Its Kendall correlation with the
//! gap has a bootstrap interval over variants. That correlation can come from the kind of network alone, so
//! it is also taken among networks that differ in one setting only, and averaged (granulated), and with
//! the training loss taken out (partial).
//!
//! The penalty is on the input of the last layer, with the 1-norm in place of the count. Beside it run
//! `R^c` alone and the energy of the tokens, which knows neither subspaces nor sparsity. Its weight is, of
//! 0.001, 0.01 and 0.1, the one that did best in a trial with a seed the experiment does not use.
//!
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_srr_generalization`: more than an hour on two cores. An
//! interrupted run goes on with the training it was at.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Images, Split};
use whitebox::harness::chart::{Axis, Chart, Scale as AxisScale, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::comparison::{small_network, Comparison, Training, Variant};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::networks::{Networks, Trained};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::layerwise::{measure, Quantity};
use whitebox::measure::rank_correlation::{
    bootstrap_over_variants, granulated_tau, kendall, partial_kendall, tau, Case,
};
use whitebox::measure::statistics::{fraction, median, Summary};
use whitebox::model::{Architecture, Config};
use whitebox::train::augment::Augmentation;
use whitebox::train::penalty::{Penalty, Term};
use whitebox::train::{self, Recipe};
use whitebox::{seed, Result};

// ANCHOR: claims
const PREDICTS_GENERALISATION: Claim = Claim {
    id: "C-CRIT-04",
    paper: "arXiv 2411.17182",
    location: "tables of Kendall's tau",
    statement:
        "SRR of a trained network rises with its generalisation gap, more than other measures do",
    criteria: &[
        Criterion::at_least("tau of SRR and gap, lower end of the 95 % interval", 0.0),
        Criterion::at_least("tau of SRR less the median of the other measures", 0.0),
        Criterion::at_least("tau of SRR among networks that differ in one setting", 0.0),
        Criterion::at_least("tau of SRR with the training loss taken out", 0.0).control(),
        Criterion::at_least("fraction of networks that reach the training loss", 0.9).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
const PENALTY_HELPS: Claim = Claim {
    id: "C-CRIT-05",
    paper: "arXiv 2411.17182",
    location: "tables of SRR as a regulariser",
    statement: "Added to the objective, SRR improves the accuracy of CRATE",
    criteria: &[
        Criterion::at_least("gain by SRR, points", 0.0),
        // Student's distribution, one-sided 5 %.
        Criterion::above_zero("gain by SRR, standard errors of the paired differences"),
        Criterion::at_least("gain by SRR less gain by the energy, points", 0.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

const ARCHITECTURES: [Architecture; 3] = [
    Architecture::Crate,
    Architecture::CrateMhsa,
    Architecture::CrateMlp,
];
const BATCHES: [usize; 2] = [16, 64];
const LEARNING_RATES: [f64; 2] = [1e-3, 4e-3];
const WEIGHT_DECAYS: [f64; 2] = [0.0, 0.5];

/// Training loss at which every variant stops, nats.
const TARGET: f64 = 0.2;

/// Training images a network is measured on.
const MEASURED: usize = 200;

/// Precision of the rates.
const EPSILON: f64 = 0.5;

/// Resamplings of the variants.
const RESAMPLINGS: usize = 2000;

/// The terms of the second claim, all with the same weight.
const PLAIN: &str = "none";
const PENALTIES: [(Term, &str); 3] = [
    (Term::SparseRateReduction, "SRR"),
    (Term::SubspaceRate, "R^c"),
    (Term::Energy, "energy"),
];

/// Train many small networks and ask what predicts their gap.
#[derive(Debug, Parser)]
#[command(name = "exp_srr_generalization", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Training images.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Seeds of every variant.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Seeds of every penalty.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..))]
    penalty_seeds: u32,
    /// Weight of the penalty.
    #[arg(long, default_value_t = 0.1, value_parser = console::positive)]
    penalty_weight: f64,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    variants: Recipe,
    penalised: Recipe,
    batches: [usize; 2],
    learning_rates: [f64; 2],
    weight_decays: [f64; 2],
    seeds: usize,
    penalty_seeds: usize,
    penalty_weight: f64,
    training_images: usize,
    epsilon: f64,
}

/// One trained variant.
#[derive(Debug, Clone, Serialize)]
struct Row {
    architecture: Architecture,
    batch: usize,
    learning_rate: f64,
    weight_decay: f64,
    seed: u64,
    epochs: usize,
    reached: bool,
    training_loss: f64,
    held_out_loss: f64,
    gap: f64,
    accuracy: f64,
    srr: f64,
    subspace_rate: f64,
    minus_rate: f64,
    nonzeros: f64,
    parameter_norm: f64,
    inverse_margin: f64,
}

impl Row {
    /// What distinguishes a variant from the others, seeds apart.
    fn variant(&self) -> [usize; 4] {
        let place = |values: [f64; 2], value: f64| usize::from(value != values[0]);
        [
            self.architecture as usize,
            self.batch,
            place(LEARNING_RATES, self.learning_rate),
            place(WEIGHT_DECAYS, self.weight_decay),
        ]
    }
}

/// Name of a number that may predict the gap, and where it stands.
type Predictor = (&'static str, fn(&Row) -> f64);

/// SRR first, then what it is held against.
const PREDICTORS: [Predictor; 7] = [
    ("SRR", |row| row.srr),
    ("R^c", |row| row.subspace_rate),
    ("-R", |row| row.minus_rate),
    ("nonzeros", |row| row.nonzeros),
    ("norm of the parameters", |row| row.parameter_norm),
    ("1 / margin", |row| row.inverse_margin),
    ("training loss", |row| row.training_loss),
];

/// How a predictor goes with the gap.
#[derive(Debug, Clone, Serialize)]
struct Correlation {
    predictor: &'static str,
    tau: f64,
    low: f64,
    high: f64,
    /// Mean over the settings of the tau among networks that differ in this setting only.
    granulated: f64,
    /// With the training loss taken out; NaN for the training loss itself.
    partial: f64,
}

/// One penalised network.
#[derive(Debug, Clone, Serialize)]
struct Penalised {
    penalty: String,
    seed: u64,
    training_loss: f64,
    held_out_loss: f64,
    accuracy: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let experiment = &arguments.experiment;
    let run = Run::begin("srr_generalization", experiment, Some(data.data))?;
    let images = experiment.count(64, arguments.images);
    let training = data.draw(Split::Train, Some(images), run.seed)?;
    let held_out = data.draw(Split::Test, run.quick.then_some(100), run.seed)?;
    // What is looked at after every epoch; the record is made on all held-out images.
    let glimpse = held_out.subset(&held_out.sample(100, run.seed))?;
    let network = small_network(&training, 32, 4)?;
    let variants = Recipe {
        epochs: if run.quick { 2 } else { 100 },
        label_smoothing: 0.0,
        augmentation: Augmentation::default(),
        stop_at_loss: Some(TARGET),
        ..Recipe::demo()
    };
    let penalised = Recipe {
        epochs: if run.quick { 1 } else { 20 },
        batch: 32,
        learning_rate: 2e-3,
        stop_at_loss: None,
        ..variants.clone()
    };
    let settings = Settings {
        network,
        variants,
        penalised,
        batches: BATCHES,
        learning_rates: LEARNING_RATES,
        weight_decays: WEIGHT_DECAYS,
        seeds: experiment.count(1, arguments.seeds),
        penalty_seeds: experiment.count(2, arguments.penalty_seeds),
        penalty_weight: arguments.penalty_weight,
        training_images: training.len(),
        epsilon: EPSILON,
    };
    let grid = grid(&settings);
    let improving = improving(&settings);
    println!(
        "{} networks on {} images of {}, until their training loss is {TARGET}.",
        grid.len() * settings.seeds,
        training.len(),
        data.data.word(),
    );
    let of_seeds = |count| Comparison::new(&training, &glimpse, run.seed, count);
    let ordered = of_seeds(settings.seeds);
    let improved = of_seeds(settings.penalty_seeds);
    let steps = ordered.steps(&grid) + improved.steps(&improving);
    let networks = Networks::of(&run, &settings, steps)?;
    let rows = ordered.train(&networks, &grid, |variant, seed, trained| {
        row(variant, seed, &trained, &training, &held_out, &run)
    })?;
    let outcomes = improved.train(&networks, &improving, |variant, seed, trained| {
        let score = train::evaluate(&trained.network, &held_out, run.threads, || {})?;
        Ok(Penalised {
            penalty: variant.name.clone(),
            seed,
            training_loss: Training::of(variant, seed, &trained).training_loss,
            held_out_loss: score.loss,
            accuracy: score.accuracy,
        })
    })?;
    networks.bar().finish_and_clear();

    let reached: Vec<&Row> = rows.iter().filter(|row| row.reached).collect();
    // A trial has trained nothing to the end: it goes through the motions with what there is.
    let compared = if run.quick {
        rows.iter().collect()
    } else {
        reached
    };
    let correlations: Vec<Correlation> = PREDICTORS
        .into_iter()
        .map(|predictor| correlation(predictor, &compared, run.seed))
        .collect();
    print(&rows, &correlations, &outcomes);
    table::write(&run.path("networks.csv"), &rows)?;
    table::write(&run.path("correlations.csv"), &correlations)?;
    table::write(&run.path("penalties.csv"), &outcomes)?;
    chart(&rows).write_points(&run.path("gap.svg"))?;
    let verdicts = judge(&rows, &correlations, &outcomes);
    let sources = Sources {
        images: vec![&training, &held_out],
        checkpoint_sha256: None,
    };
    let artefacts = "networks.csv, correlations.csv, penalties.csv and gap.svg";
    run.finish(settings, verdicts, correlations, &sources, artefacts)?;
    networks.discard()
}

/// What is trained for the first claim.
fn grid(settings: &Settings) -> Vec<Variant> {
    let plain = Variant::new("plain", settings.network, settings.variants.clone());
    let mut variants = Vec::new();
    for architecture in ARCHITECTURES {
        for batch in BATCHES {
            for learning_rate in LEARNING_RATES {
                for weight_decay in WEIGHT_DECAYS {
                    let word = architecture.word();
                    let name = format!("{word}-{batch}-{learning_rate}-{weight_decay}");
                    variants.push(plain.but(name, |variant| {
                        variant.network = variant.network.of(architecture);
                        variant.recipe.batch = batch;
                        variant.recipe.learning_rate = learning_rate;
                        variant.recipe.weight_decay = weight_decay;
                    }));
                }
            }
        }
    }
    variants
}

/// What is trained for the second claim.
fn improving(settings: &Settings) -> Vec<Variant> {
    let plain = Variant::new(PLAIN, settings.network, settings.penalised.clone());
    let with = |(term, name): (Term, &str)| {
        plain.but(name, |variant| {
            variant.recipe.penalty = Some(Penalty {
                term,
                weight: settings.penalty_weight,
                layer: settings.network.depth,
                epsilon: EPSILON,
                lambda: settings.network.lambda,
            });
        })
    };
    [plain.clone()]
        .into_iter()
        .chain(PENALTIES.map(with))
        .collect()
}

/// Measures one trained variant.
fn row(
    variant: &Variant,
    seed: u64,
    trained: &Trained,
    training: &Images,
    held_out: &Images,
    run: &Run,
) -> Result<Row> {
    let (network, epochs) = (&trained.network, trained.epochs.len());
    let ours = train::evaluate(network, training, run.threads, || {})?;
    let theirs = train::evaluate(network, held_out, run.threads, || {})?;
    let indices = training.sample(MEASURED.min(training.len()), run.seed);
    let quantities = [
        Quantity::SUBSPACE_RATE_BEFORE_MSSA.at(EPSILON),
        Quantity::RATE.at(EPSILON),
        Quantity::NONZERO_AFTER_ISTA,
    ];
    let threads = run.threads;
    let found = measure(
        network,
        training,
        &indices,
        &quantities,
        run.seed,
        threads,
        |_| {},
    )?;
    let config = network.config();
    // The input of layer l is the output of layer l - 1.
    let depth = config.depth;
    let later = |means: &[f64]| Summary::of(&means[1..]).mean;
    let [subspace_rates, rates, fractions] = found.all(quantities)?;
    let nonzeros = Summary::of(&fractions[..depth - 1]).mean * (config.d * config.tokens()) as f64;
    let (subspace_rate, rate) = (later(&subspace_rates), later(&rates));
    let margins: Vec<f64> = found
        .logits
        .chunks_exact(config.classes)
        .zip(&indices)
        .map(|(logits, &image)| {
            let label = training.labels[image];
            let others = logits
                .iter()
                .enumerate()
                .filter(|(class, _)| *class != label);
            let largest = others.fold(f32::NEG_INFINITY, |m, (_, &v)| m.max(v));
            f64::from(logits[label] - largest)
        })
        .collect();
    let squares = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let parameters = network.parameters();
    let square: f64 = parameters.iter().map(|p| squares(&p.values)).sum();
    Ok(Row {
        architecture: config.architecture,
        batch: variant.recipe.batch,
        learning_rate: variant.recipe.learning_rate,
        weight_decay: variant.recipe.weight_decay,
        seed,
        epochs,
        reached: epochs < variant.recipe.epochs,
        training_loss: ours.loss,
        held_out_loss: theirs.loss,
        gap: theirs.loss - ours.loss,
        accuracy: theirs.accuracy,
        srr: nonzeros + subspace_rate - rate,
        subspace_rate,
        minus_rate: -rate,
        nonzeros,
        parameter_norm: square.sqrt(),
        inverse_margin: 1.0 / Summary::of(&margins).mean,
    })
}

fn correlation((name, of): Predictor, rows: &[&Row], run_seed: u64) -> Correlation {
    let with = |pair: fn(&Row) -> f64, rows: &[&Row]| -> Vec<Case<4>> {
        let cases = rows.iter().map(|row| Case {
            settings: row.variant(),
            seed: row.seed,
            pair: (pair(row), row.gap),
        });
        cases.collect()
    };
    let cases = with(of, rows);
    let mut rng = seed::stream(run_seed, "bootstrap");
    let [low, high] = bootstrap_over_variants(&cases, 0.025, RESAMPLINGS, &mut rng, tau);
    let whole = tau(&cases);
    let loss: fn(&Row) -> f64 = |row| row.training_loss;
    let together: Vec<(f64, f64)> = rows.iter().map(|row| (of(row), loss(row))).collect();
    Correlation {
        predictor: name,
        tau: whole,
        low,
        high,
        granulated: granulated_tau(&cases),
        partial: partial_kendall(whole, kendall(&together), tau(&with(loss, rows))),
    }
}

/// Accuracy with a penalty less that without, by seed, in points.
fn gains(outcomes: &[Penalised], penalty: &str) -> Summary {
    let plain = outcomes.iter().filter(|o| o.penalty == PLAIN);
    let with = outcomes.iter().filter(|o| o.penalty == penalty);
    let gains: Vec<f64> = with
        .zip(plain)
        .map(|(with, plain)| 100.0 * (with.accuracy - plain.accuracy))
        .collect();
    Summary::of(&gains)
}

fn judge(rows: &[Row], correlations: &[Correlation], outcomes: &[Penalised]) -> Vec<Verdict> {
    let srr = &correlations[0];
    let others: Vec<f64> = correlations[1..].iter().map(|c| c.tau).collect();
    let gain = gains(outcomes, "SRR");
    vec![
        PREDICTS_GENERALISATION.judge(vec![
            Measurement::of(
                "tau of SRR and gap, lower end of the 95 % interval",
                srr.low,
            ),
            Measurement::of(
                "tau of SRR less the median of the other measures",
                srr.tau - median(&others),
            ),
            Measurement::of(
                "tau of SRR among networks that differ in one setting",
                srr.granulated,
            ),
            Measurement::of("tau of SRR with the training loss taken out", srr.partial),
            Measurement::of(
                "fraction of networks that reach the training loss",
                fraction(rows, |row| row.reached),
            ),
        ]),
        PENALTY_HELPS.judge(vec![
            Measurement::of("gain by SRR, points", gain.mean),
            Measurement::in_standard_errors(
                "gain by SRR, standard errors of the paired differences",
                &gain,
            ),
            Measurement::of(
                "gain by SRR less gain by the energy, points",
                gain.mean - gains(outcomes, "energy").mean,
            ),
        ]),
    ]
}

fn chart(rows: &[Row]) -> Chart<'_> {
    let series = ARCHITECTURES.into_iter().enumerate();
    let series = series.map(|(colour, architecture)| {
        Series::new(
            architecture.word(),
            colour,
            rows.iter()
                .filter(|row| row.architecture == architecture)
                .map(|row| (row.srr, Summary::of(&[row.gap])))
                .collect(),
        )
    });
    Chart {
        title: "Sparse rate reduction and generalisation gap, network by network",
        horizontal: Axis {
            name: "nonzeros + R^c - R, mean over layers",
            scale: AxisScale::Linear,
        },
        vertical: Axis {
            name: "held-out loss less training loss, nats",
            scale: AxisScale::Linear,
        },
        series: series.collect(),
    }
}

fn print(rows: &[Row], correlations: &[Correlation], outcomes: &[Penalised]) {
    println!(
        "\n{:>22} | {:>6} | {:>16} | {:>10} | {:>7}",
        "", "tau", "95 %", "granulated", "partial"
    );
    for c in correlations {
        println!(
            "{:>22} | {:>6.2} | {:>6.2} to {:>6.2} | {:>10.2} | {:>7.2}",
            c.predictor, c.tau, c.low, c.high, c.granulated, c.partial
        );
    }
    let gaps: Vec<f64> = rows.iter().map(|row| row.gap).collect();
    let gap = Summary::of(&gaps);
    println!("Gap {:.3} +- {:.3} nats.\n", gap.mean, gap.deviation);
    for name in std::iter::once(PLAIN).chain(PENALTIES.map(|(_, name)| name)) {
        let own = outcomes.iter().filter(|o| o.penalty == name);
        let accuracies: Vec<f64> = own.map(|o| 100.0 * o.accuracy).collect();
        let (accuracy, gain) = (Summary::of(&accuracies), gains(outcomes, name));
        println!(
            "penalty {name:>7}: accuracy {:.2} +- {:.2} %, gain {:+.2} +- {:.2}",
            accuracy.mean,
            accuracy.deviation,
            gain.mean,
            gain.standard_error()
        );
    }
}
