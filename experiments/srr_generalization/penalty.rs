//! Does SRR in the objective improve the accuracy?

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::Images;
use whitebox::harness::comparison::{self, less, means, over_seeds, BySeed, Training, Variant};
use whitebox::harness::experiment::Shown;
use whitebox::harness::networks::Trained;
use whitebox::harness::run::Run;
use whitebox::train;
use whitebox::train::penalty::{Penalty, Term};
use whitebox::Result;

use super::{Found, Settings, EPSILON};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CRIT-05",
    Source::of("arXiv 2411.17182", "tables of SRR as a regulariser"),
    Whose::Critics,
    "Added to the objective, SRR improves the accuracy of CRATE",
    &[
        Criterion::at_least("gain by SRR, points", 0.0, |found: &Found| {
            gain(found, SRR, PLAIN)
        }),
        Criterion::at_least(
            "gain by SRR less gain by the energy, points",
            0.0,
            |found: &Found| gain(found, SRR, ENERGY),
        )
        .control(),
    ],
)
.beside(&[
    Number::of("gain by R^c alone, points", |found: &Found| {
        gain(found, RATE, PLAIN)
    }),
    Number::of("gain by the energy, points", |found: &Found| {
        gain(found, ENERGY, PLAIN)
    }),
])];

/// The terms, all with the same weight.
const PENALTIES: [(Term, &str); 3] = [
    (Term::SparseRateReduction, SRR),
    (Term::SubspaceRate, RATE),
    (Term::Energy, ENERGY),
];
const PLAIN: &str = "none";
const SRR: &str = "SRR";
const RATE: &str = "R^c";
const ENERGY: &str = "energy";

/// One network, with a penalty or without.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    penalty: String,
    seed: u64,
    training_loss: f64,
    held_out_loss: f64,
    accuracy: f64,
}

/// What is trained: without a penalty, and with each.
pub(super) fn variants(settings: &Settings) -> Vec<Variant> {
    let plain = Variant::new(PLAIN, settings.network, settings.penalised.clone());
    let with = PENALTIES.map(|(term, name)| {
        plain.but(name, |variant| {
            variant.recipe.penalty = Some(Penalty {
                term,
                weight: settings.penalty_weight,
                layer: settings.network.depth,
                epsilon: EPSILON,
                lambda: settings.network.lambda,
            });
        })
    });
    [plain].into_iter().chain(with).collect()
}

/// Measures one of them on all held-out images.
pub(super) fn row(
    variant: &Variant,
    seed: u64,
    trained: &Trained,
    held_out: &Images,
    run: &Run,
) -> Result<Row> {
    let score = train::evaluate(&trained.network, held_out, run.threads, || {})?;
    Ok(Row {
        penalty: variant.name.clone(),
        seed,
        training_loss: Training::of(variant, seed, trained).training_loss,
        held_out_loss: score.loss,
        accuracy: score.accuracy,
    })
}

/// Accuracies with a penalty in per cent, by seed.
fn scores(found: &Found, penalty: &str) -> BySeed {
    let own = |row: &Row| row.penalty == penalty;
    comparison::accuracies(&found.penalised, own, |row| (row.seed, row.accuracy))
}

/// Accuracy with one penalty less that with another, points, by seed.
fn gain(found: &Found, with: &str, without: &str) -> Option<Measured> {
    less(&scores(found, with), &scores(found, without))
}

pub(super) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let names = [PLAIN].into_iter().chain(PENALTIES.map(|(_, name)| name));
    let lines = names.map(|name| {
        let scores = over_seeds(&scores(found, name));
        (format!("penalty {name}"), vec![scores])
    });
    shown.say(means(
        &["accuracy, per cent"],
        2,
        &lines.collect::<Vec<_>>(),
    ));
    shown.table("penalties.csv", &found.penalised)
}
