//! # Does what a CRATE has learned carry over?
//!
//! **Claim** C-CLS-04 (NeurIPS 2023, arXiv 2306.01129, table of transfer; official `finetune.py`): a
//! pre-trained network, fine-tuned, does better than one trained from scratch on as much. Here the
//! network is pre-trained on half of the classes of a data set and fine-tuned on few images of the
//! others; all parameters are trained, the head is new.
//!
//! The control is pre-training on permuted labels: what it gives too is not owed to the classes that were
//! learned. The official program reports its best epoch by the test images; here it is the last epoch.
//!
//! **Criteria**: the claims below. Their bounds were fixed before the first run, what decides and by which limits
//! after it.
//!
//! **Run**: `cargo run --release --bin exp_transfer`: about ten minutes on two cores. An interrupted run
//! goes on with the training it was at.

mod material;
mod origin;
mod show;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::DataName;
use whitebox::harness::comparison::{accuracies, less, BySeed, Comparison, Labels, Variant};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::{ClassifierTraining, Networks};
use whitebox::harness::run::Run;
use whitebox::model::transfer::transfer;
use whitebox::Result;

use material::{Flags, Material, Settings};
use origin::Origin;
use Size::{Fewest, Most};

type Found = experiment::Found<Settings, Vec<Row>>;

const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CLS-04",
    Source::of(
        "NeurIPS 2023, arXiv 2306.01129",
        "table of transfer to smaller data sets",
    ),
    Whose::Authors,
    "Fine-tuned on few images of new classes, a pre-trained CRATE is at least 3 points ahead of \
     one from scratch",
    &[
        Criterion::at_least(
            "fine-tuned less from scratch, points, fewest images",
            3.0,
            |found: &Found| ahead_of(found, Origin::Scratch, Fewest),
        ),
        Criterion::at_least(
            "fine-tuned less fine-tuned after permuted labels, points, fewest images",
            3.0,
            |found: &Found| ahead_of(found, Origin::PermutedLabels, Fewest),
        )
        .control(),
    ],
)
.beside(&[
    Number::of(
        "fine-tuned less from scratch, points, most images",
        |found: &Found| ahead_of(found, Origin::Scratch, Most),
    ),
    Number::of(
        "fine-tuned less fine-tuned after permuted labels, points, most images",
        |found: &Found| ahead_of(found, Origin::PermutedLabels, Most),
    ),
])];

/// One network on the new classes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    origin: Origin,
    images: usize,
    seed: u64,
    accuracy: f64,
    loss: f64,
}

/// Per cent, by seed.
fn scores(rows: &[Row], origin: Origin, images: usize) -> BySeed {
    let own = |row: &Row| (row.origin, row.images) == (origin, images);
    accuracies(rows, own, |row| (row.seed, row.accuracy))
}

/// The numbers of images of the new classes, rising.
fn sizes(rows: &[Row]) -> Vec<usize> {
    let mut sizes: Vec<usize> = rows.iter().map(|row| row.images).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Which of the numbers of images.
enum Size {
    Fewest,
    Most,
}

/// The same seed draws the same images and the same start: differences are taken in pairs.
fn ahead_of(rows: &[Row], origin: Origin, size: Size) -> Option<Measured> {
    let sizes = sizes(rows);
    let images = *match size {
        Fewest => sizes.first(),
        Most => sizes.last(),
    }?;
    let tuned = scores(rows, Origin::Pretrained, images);
    less(&tuned, &scores(rows, origin, images))
}

struct Transfer;

impl Experiment for Transfer {
    const NAME: &'static str = "transfer";
    const TITLE: &'static str = "CRATE fine-tuned on classes that it has not seen";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Vec<Row>;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let Material {
            old,
            old_held_out,
            new,
            new_held_out,
            few,
            settings,
        } = flags.read(run)?;
        let plain = Variant::new("old", settings.network, settings.pretraining.clone());
        let permuted = plain.but("permuted", |variant| variant.labels = Labels::Permuted);
        let pretrained = [plain, permuted];
        let earlier = Comparison::new(&old, &old_held_out, run.seed, settings.seeds);
        let later = few.iter().zip(&settings.fine_tuning);
        let tuning: usize = later
            .clone()
            .map(|(&images, recipe)| images.div_ceil(recipe.batch) * recipe.epochs)
            .sum();
        let steps = earlier.steps(&pretrained) + settings.seeds * Origin::ALL.len() * tuning;
        let networks = Networks::of(run, &settings, steps)?;
        let starts = earlier.train(&networks, &pretrained, |variant, seed, trained| {
            let start = transfer(&trained.network, settings.network, seed)?;
            Ok((seed, variant.labels, start))
        })?;
        let mut results = Vec::new();
        for seed in earlier.seeds.clone() {
            for origin in Origin::ALL {
                let own = |labels| starts.iter().find(|s| (s.0, s.1) == (seed, labels));
                let start = match origin.labels().and_then(own) {
                    Some((.., start)) => start.clone(),
                    None => pretrained[0].start(seed)?,
                };
                for (&images, recipe) in later.clone() {
                    let drawn = new.subset(&new.sample(images, seed))?;
                    let name = format!("{}-{images}-{seed}", origin.word().replace(' ', "-"));
                    let lesson = ClassifierTraining {
                        images: &drawn,
                        held_out: &new_held_out,
                        recipe,
                        seed,
                    };
                    let trained = networks.train(&name, start.clone(), lesson, &[])?;
                    results.extend(trained.epochs.last().map(|last| Row {
                        origin,
                        images,
                        seed,
                        accuracy: last.held_out.accuracy,
                        loss: last.held_out.loss,
                    }));
                }
            }
        }
        Ok(Found { settings, results })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        show::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Transfer>()
}
