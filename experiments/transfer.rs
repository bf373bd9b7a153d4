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
//! **Criteria**: the constants below, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_transfer`: about ten minutes on two cores. An interrupted run
//! goes on with the training it was at.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::{DataArguments, Split};
use whitebox::harness::chart::{Axis, Chart, Scale as AxisScale, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::comparison::{small_network, Comparison, Labels, Variant};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::networks::{Lesson, Networks};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::measure::statistics::Summary;
use whitebox::model::transfer::transfer;
use whitebox::model::Config;
use whitebox::train::augment::Augmentation;
use whitebox::train::Recipe;
use whitebox::Result;

// ANCHOR: claims
const FINE_TUNING_HELPS: Claim = Claim {
    id: "C-CLS-04",
    paper: "NeurIPS 2023, arXiv 2306.01129",
    location: "table of transfer to smaller data sets",
    statement: "Fine-tuned on few images of new classes, a pre-trained CRATE is at least 3 points ahead of \
                one from scratch",
    criteria: &[
        Criterion::at_least("fine-tuned less from scratch, points, fewest images", 3.0),
        Criterion::at_least("that difference, standard errors", 2.0),
        Criterion::at_least(
            "fine-tuned less fine-tuned after permuted labels, points, fewest images",
            3.0,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};
// ANCHOR_END: claims

/// Images of the new classes, rising.
const FEW: [usize; 3] = [250, 1000, 4000];

/// Where a network comes from before it sees the new classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    Scratch,
    Pretrained,
    PermutedLabels,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Scratch, Self::Pretrained, Self::PermutedLabels];

    fn word(self) -> &'static str {
        match self {
            Self::Scratch => "from scratch",
            Self::Pretrained => "pre-trained",
            Self::PermutedLabels => "pre-trained on permuted labels",
        }
    }
}

/// Fine-tune CRATE on classes that it has not seen.
#[derive(Debug, Parser)]
#[command(name = "exp_transfer", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seeds: u32,
    /// Images to pre-train on.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    pretraining: Recipe,
    fine_tuning: Vec<Recipe>,
    seeds: usize,
    pretraining_images: usize,
}

/// One network on the new classes.
#[derive(Debug, Clone, Serialize)]
struct Row {
    origin: Origin,
    images: usize,
    seed: u64,
    accuracy: f64,
    loss: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("transfer", &arguments.experiment, Some(data.data))?;
    let seeds = arguments.experiment.count(2, arguments.seeds);
    let count = arguments.experiment.count(200, arguments.images);
    let few = FEW.map(|images| if run.quick { images / 25 } else { images });
    let read = |split| data.draw(split, run.quick.then_some(800), run.seed);
    let (training, held_out) = (read(Split::Train)?, read(Split::Test)?);
    let half = training.classes / 2;
    let (old, new) = (0..half, half..training.classes);
    let old_images = training.of_classes(old.clone())?;
    let old_images = old_images.subset(&old_images.sample(count, run.seed))?;
    let old_held_out = held_out.of_classes(old)?;
    let new_images = training.of_classes(new.clone())?;
    let new_held_out = held_out.of_classes(new)?;
    let pretraining = Recipe {
        epochs: arguments.experiment.count(1, arguments.epochs),
        batch: 64,
        learning_rate: 2e-3,
        augmentation: Augmentation::default(),
        ..Recipe::demo()
    };
    // As many steps whatever the number of images, and the same for every origin.
    let steps = if run.quick { 4 } else { 600 };
    let fine_tuning = few.map(|images| Recipe {
        epochs: steps / images.div_ceil(32).min(steps),
        batch: 32,
        learning_rate: 1e-3,
        ..pretraining.clone()
    });
    let config = Config {
        classes: half,
        ..small_network(&training, 64, 4)?
    };
    let settings = Settings {
        network: config,
        pretraining: pretraining.clone(),
        fine_tuning: fine_tuning.to_vec(),
        seeds,
        pretraining_images: old_images.len(),
    };
    println!(
        "Fine-tuning CRATE on classes {half} to {} of {} after {} images of the others; {seeds} seeds.",
        training.classes - 1,
        data.data.word(),
        old_images.len(),
    );
    let plain = Variant::new(Origin::Pretrained.word(), config, pretraining);
    let permuted = plain.but(Origin::PermutedLabels.word(), |variant| {
        variant.labels = Labels::Permuted;
    });
    let pretrained = [plain, permuted];
    let earlier = Comparison::new(&old_images, &old_held_out, run.seed, seeds);
    let tuning: usize = few
        .iter()
        .zip(&fine_tuning)
        .map(|(&images, recipe)| images.div_ceil(recipe.batch) * recipe.epochs)
        .sum();
    let steps = earlier.steps(&pretrained) + seeds * Origin::ALL.len() * tuning;
    let networks = Networks::of(&run, &settings, steps)?;
    let starts = earlier.train(&networks, &pretrained, |variant, seed, trained| {
        let labels = variant.labels;
        Ok((seed, labels, transfer(&trained.network, config, seed)?))
    })?;
    let mut rows = Vec::new();
    for seed in earlier.seeds.clone() {
        for origin in Origin::ALL {
            let after = |labels| {
                let own = starts.iter().find(|s| (s.0, s.1) == (seed, labels));
                own.map(|s| s.2.clone())
            };
            let start = match origin {
                Origin::Scratch => None,
                Origin::Pretrained => after(Labels::True),
                Origin::PermutedLabels => after(Labels::Permuted),
            };
            let start = match start {
                Some(start) => start,
                None => pretrained[0].start(seed)?,
            };
            for (&count, recipe) in few.iter().zip(&fine_tuning) {
                let images = new_images.subset(&new_images.sample(count, seed))?;
                let name = format!("{}-{count}-{seed}", origin.word().replace(' ', "-"));
                let lesson = Lesson {
                    images: &images,
                    held_out: &new_held_out,
                    recipe,
                    seed,
                };
                let trained = networks.train(&name, start.clone(), lesson, &[])?;
                let Some(last) = trained.epochs.last() else {
                    continue;
                };
                rows.push(Row {
                    origin,
                    images: count,
                    seed,
                    accuracy: last.held_out.accuracy,
                    loss: last.held_out.loss,
                });
            }
        }
    }
    networks.bar().finish_and_clear();
    print(&rows, few);
    table::write(&run.path("fine-tuning.csv"), &rows)?;
    chart(&rows, few).write(&run.path("accuracy.svg"))?;
    let verdicts = judge(&rows, few[0]);
    let sources = Sources {
        images: vec![&old_images, &new_images, &new_held_out],
        checkpoint_sha256: None,
    };
    let artefacts = "fine-tuning.csv and accuracy.svg";
    run.finish(settings, verdicts, rows, &sources, artefacts)?;
    networks.discard()
}

/// Per cent, by seed.
fn accuracies(rows: &[Row], origin: Origin, images: usize) -> Vec<f64> {
    rows.iter()
        .filter(|row| (row.origin, row.images) == (origin, images))
        .map(|row| 100.0 * row.accuracy)
        .collect()
}

fn judge(rows: &[Row], fewest: usize) -> Vec<Verdict> {
    // The same seed draws the same images and the same start: differences are taken in pairs.
    let ahead_of = |origin| {
        let (tuned, other) = (
            accuracies(rows, Origin::Pretrained, fewest),
            accuracies(rows, origin, fewest),
        );
        Summary::of(
            &tuned
                .iter()
                .zip(other)
                .map(|(a, b)| a - b)
                .collect::<Vec<_>>(),
        )
    };
    let scratch = ahead_of(Origin::Scratch);
    vec![FINE_TUNING_HELPS.judge(vec![
        Measurement::of(
            "fine-tuned less from scratch, points, fewest images",
            scratch.mean,
        ),
        Measurement::of(
            "that difference, standard errors",
            scratch.mean / scratch.standard_error(),
        ),
        Measurement::of(
            "fine-tuned less fine-tuned after permuted labels, points, fewest images",
            ahead_of(Origin::PermutedLabels).mean,
        ),
    ])]
}

fn chart(rows: &[Row], few: [usize; 3]) -> Chart<'_> {
    let series = Origin::ALL.into_iter().enumerate().map(|(colour, origin)| {
        Series::new(
            origin.word(),
            colour,
            few.iter()
                .map(|&n| (n as f64, Summary::of(&accuracies(rows, origin, n))))
                .collect(),
        )
    });
    Chart {
        title: "Accuracy on new classes",
        horizontal: Axis {
            name: "images of the new classes",
            scale: AxisScale::Logarithmic,
        },
        vertical: Axis {
            name: "held-out accuracy, per cent",
            scale: AxisScale::Linear,
        },
        series: series.collect(),
    }
}

fn print(rows: &[Row], few: [usize; 3]) {
    println!("\n{:>32} | {:>30}", "", "accuracy after so many images");
    let header = few.map(|n| format!("{n:>16}")).concat();
    println!("{:>32} | {header}", "");
    for origin in Origin::ALL {
        let cells = few.map(|n| {
            let found = Summary::of(&accuracies(rows, origin, n));
            format!("{:>7.2} +- {:>4.2}", found.mean, found.standard_error())
        });
        println!(
            "{:>32} | {:>16}{:>16}{:>16}",
            origin.word(),
            cells[0],
            cells[1],
            cells[2]
        );
    }
}
