//! The networks that are ordered by their gap.

use serde::{Deserialize, Serialize};
use whitebox::data::Images;
use whitebox::harness::comparison::Variant;
use whitebox::harness::networks::Trained;
use whitebox::harness::run::Run;
use whitebox::measure::layerwise::{measure, Quantity};
use whitebox::measure::statistics::Summary;
use whitebox::model::Architecture;
use whitebox::train;
use whitebox::Result;

use super::{Settings, EPSILON};

pub(super) const ARCHITECTURES: [Architecture; 3] = [
    Architecture::Crate,
    Architecture::CrateMhsa,
    Architecture::CrateMlp,
];
pub(super) const BATCHES: [usize; 2] = [16, 64];
pub(super) const LEARNING_RATES: [f64; 2] = [1e-3, 4e-3];
pub(super) const WEIGHT_DECAYS: [f64; 2] = [0.0, 0.5];

/// Training images a network is measured on.
const MEASURED: usize = 200;

/// One trained variant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) architecture: Architecture,
    batch: usize,
    learning_rate: f64,
    weight_decay: f64,
    pub(super) seed: u64,
    epochs: usize,
    pub(super) reached: bool,
    pub(super) training_loss: f64,
    held_out_loss: f64,
    pub(super) gap: f64,
    accuracy: f64,
    pub(super) srr: f64,
    pub(super) subspace_rate: f64,
    pub(super) minus_rate: f64,
    pub(super) nonzeros: f64,
    pub(super) parameter_norm: f64,
    pub(super) inverse_margin: f64,
}

impl Row {
    /// What distinguishes a variant from the others, seeds apart.
    pub(super) fn settings(&self) -> [usize; 4] {
        let place = |values: [f64; 2], value: f64| usize::from(value != values[0]);
        [
            self.architecture as usize,
            self.batch,
            place(LEARNING_RATES, self.learning_rate),
            place(WEIGHT_DECAYS, self.weight_decay),
        ]
    }
}

/// What is trained: every combination of the settings.
pub(super) fn grid(settings: &Settings) -> Vec<Variant> {
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

/// Measures one trained variant.
pub(super) fn row(
    variant: &Variant,
    seed: u64,
    trained: &Trained,
    [training, held_out]: [&Images; 2],
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
    let labels = indices.iter().map(|&image| training.labels[image]);
    let margins = found.logits.chunks_exact(config.classes).zip(labels);
    let margins: Vec<f64> = margins
        .map(|(logits, label)| margin(logits, label))
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

/// The logit of the picture's class less the largest other one.
fn margin(logits: &[f32], label: usize) -> f64 {
    let others = logits
        .iter()
        .enumerate()
        .filter(|(class, _)| *class != label);
    let largest = others.fold(f32::NEG_INFINITY, |m, (_, &v)| m.max(v));
    f64::from(logits[label] - largest)
}
