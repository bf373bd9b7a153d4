//! # What do unrolled ISTA steps do to the objective they are derived from?
//!
//! **Claims** C-THY-17 to C-THY-21, along as many steps as the network has layers. NeurIPS 2023 (arXiv
//! 2306.01129, section 2.4; book, chapters 4 and 7) derives the block as one proximal-gradient step on
//!
//! `F(X) = lambda ||X||_1 + 1/2 ||Z - D X||^2`, `X >= 0`, from `X = Z`,
//!
//! with a nearly orthogonal `D`. The descent lemma allows steps up to `2 / L`, `L = ||D||_2^2`; the
//! official step is 0.1, the book prints 1.
//!
//! Three dictionaries: those the shipped network learned, those it began with, and a random rotation.
//! `Z = LN2(Z^{l+1/2})`, the block's own input on held-out images (of the untrained network for its
//! own dictionaries). Objectives are per token and divided by that of the zero code.
//!
//! **Criteria**: the constants below, fixed before the first run, with the catalogue's numbers.
//!
//! **Run**: `cargo run --release --bin exp_ista`: under a minute on two cores.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use whitebox::data::subspaces::orthonormal;
use whitebox::data::DataArguments;
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::harness::table;
use whitebox::measure::layerwise::tokens_at;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::measure::unrolled::{Block, Dictionary, LayerFacts, Length, Path, Start, Step};
use whitebox::model::operators::LayerOperators;
use whitebox::model::probe::Site;
use whitebox::model::Config;
use whitebox::{parallel, Result};

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129";
const BOOK: &str = "authors' book, chapter 4";

// ANCHOR: claims
const SAFE_STEPS: Claim = Claim {
    id: "C-THY-17",
    paper: BOOK,
    location: "proximal gradient, descent lemma",
    statement: "From a feasible start no step of at most 2 / L raises the objective",
    criteria: &[
        Criterion::at_most("rises in steps of at most 2 / L, all dictionaries", 0.0),
        Criterion::at_least("share of first steps of 4 / L that raise it", 0.05).control(),
    ],
    kind: Kind::Inequality,
    scale: Size::Small,
};

const DEPTH_SOLVES: Claim = Claim {
    id: "C-THY-18",
    paper: PAPER,
    location: "section 2.4",
    statement:
        "As many official steps as the network has layers, with one dictionary, would reach the \
                sparse code",
    criteria: &[
        Criterion::at_least(
            "learned: fraction of layers with half the gap closed after 12 steps",
            0.75,
        ),
        Criterion::at_least(
            "learned: fraction of layers better than the zero code after 12 steps",
            0.75,
        ),
        Criterion::at_least(
            "rotation: fraction of layers with half the gap closed by one step of 1 / L",
            1.0,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const LEARNING_HELPS: Claim = Claim {
    id: "C-THY-18-learned",
    paper: PAPER,
    location: "section 2.4",
    statement: "Training brings the dictionaries nearer to where one step is enough",
    criteria: &[Criterion::at_least(
        "fraction of layers where one step of 1 / L closes more of the gap after training",
        0.8,
    )],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const BOOK_STEP_DIVERGES: Claim = Claim {
    id: "C-THY-19",
    paper: "authors' book, chapter 7",
    location: "(beta, lambda) = (1, 0.1)",
    statement:
        "A step of 1, as the book prints it, raises the objective with the dictionaries a network \
                begins with, and lowers it with a rotation",
    criteria: &[
        Criterion::at_least(
            "initial: fraction of layers where a step of 1 raises it",
            1.0,
        ),
        Criterion::at_least(
            "rotation: fraction of layers where a step of 1 lowers it",
            1.0,
        ),
    ],
    kind: Kind::Inequality,
    scale: Size::Small,
};

const RATE_SURVIVES_DICTIONARY: Claim = Claim {
    id: "C-THY-20",
    paper: BOOK,
    location: "paragraph on sparsification",
    statement: "The dictionaries keep the coding rate of the codes: R(D X) is near R(X)",
    criteria: &[
        Criterion::at_least(
            "learned: fraction of layers where R(D X) is within a tenth of R(X)",
            0.8,
        ),
        Criterion::at_most("rotation: largest relative change of R", 1e-10).control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

const CODE_EXPLAINS: Claim = Claim {
    id: "C-THY-21",
    paper: "ICLR 2024, arXiv 2404.02446",
    location: "the decoder's D inverts the encoder's ISTA",
    statement: "D ISTA(Z) is nearer to Z than nothing is",
    criteria: &[
        Criterion::at_least(
            "learned: fraction of layers where ||D X - Z|| < ||Z||",
            0.75,
        ),
        Criterion::at_least(
            "rotation, step 1: fraction of layers where ||D X - Z|| < ||Z||",
            1.0,
        )
        .control(),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};
// ANCHOR_END: claims

/// Follow the LASSO objective along unrolled ISTA steps.
#[derive(Debug, Parser)]
#[command(name = "exp_ista", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Held-out images.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: Config,
    images: usize,
    steps: usize,
    solution_steps: usize,
    epsilon: f64,
}

/// Steps that are unrolled: the depth of the demonstration network.
const STEPS: usize = 12;
/// FISTA steps for the solution, and in a trial.
const SOLUTION_STEPS: [usize; 2] = [1000, 100];
/// Precision of `R`; the official measurement's.
const EPSILON: f64 = 0.1;
/// What rounding may add to an objective of a few hundred terms, relative.
const ROUNDING: f64 = 1e-12;

#[derive(Debug, Serialize)]
struct Results {
    layers: Vec<LayerFacts>,
    paths: Vec<Path>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let data = &arguments.data;
    let run = Run::begin("ista", &arguments.experiment, Some(data.data))?;
    let count = arguments.experiment.count(1, arguments.images);
    let subject = Subject::load(&arguments.subject, data, count, &run)?;
    let config = *subject.config();
    println!(
        "Unrolled ISTA steps on the LASSO objective ({PAPER}).\n\
         Dictionaries of {} layers, width {}; tokens of {count} held-out images of {}.",
        config.depth,
        config.d,
        data.data.word()
    );
    let images = &subject.held_out_images;
    let indices = images.sample(count, run.seed);
    let mut cases = Vec::new();
    for dictionary in Dictionary::ALL {
        let network = match dictionary {
            Dictionary::Initial => Some(&subject.first().untrained),
            _ => subject.first().trained.as_ref(),
        };
        let Some(network) = network else { continue };
        let tokens = tokens_at(network, images, &indices, Site::NormalisedAfterMssa)?;
        for (layer, (z, own)) in tokens.into_iter().zip(network.layers()).enumerate() {
            let operators = LayerOperators::of(own)?;
            let ista = operators.sparsifier()?;
            let matrix = match dictionary {
                Dictionary::Rotation => {
                    orthonormal(run.seed, &format!("rotation {layer}"), config.d, config.d)?
                }
                _ => ista.dictionary.clone(),
            };
            cases.push(Block {
                dictionary,
                layer: layer + 1,
                z,
                matrix,
                lambda: ista.lambda,
            });
        }
    }
    let solution_steps = SOLUTION_STEPS[usize::from(run.quick)];
    let bar = run.progress(cases.len());
    let length = Length {
        steps: STEPS,
        solution_steps,
        epsilon: EPSILON,
    };
    let measured = parallel::map(cases.len(), run.threads, |index| {
        let found = cases[index].follow(length);
        bar.inc(1);
        found
    })?;
    bar.finish_and_clear();
    let mut results = Results {
        layers: Vec::new(),
        paths: Vec::new(),
    };
    for (facts, paths) in measured {
        results.layers.push(facts);
        results.paths.extend(paths);
    }
    let verdicts = results.judge();
    results.print();
    results.write(&run)?;
    let settings = Settings {
        network: config,
        images: count,
        steps: STEPS,
        solution_steps,
        epsilon: EPSILON,
    };
    let sources = Sources {
        images: vec![images],
        checkpoint_sha256: subject.first().checkpoint_sha256.clone(),
    };
    let artefacts = "layers.csv, objective.csv, objective.svg and gap.svg";
    run.finish(settings, verdicts, results, &sources, artefacts)
}

impl Results {
    fn facts(&self, dictionary: Dictionary) -> Vec<&LayerFacts> {
        self.layers
            .iter()
            .filter(|f| f.dictionary == dictionary)
            .collect()
    }

    fn paths(&self, dictionary: Dictionary, start: Start, step: Step) -> Vec<&Path> {
        let wanted = (dictionary, start, step);
        let all = self.paths.iter();
        all.filter(|p| (p.dictionary, p.start, p.step) == wanted)
            .collect()
    }

    /// Share of the way from the clamped start to the solution, by layer, after `steps` steps from
    /// `start`.
    fn gap_closed(
        &self,
        dictionary: Dictionary,
        start: Start,
        step: Step,
        steps: usize,
    ) -> Vec<f64> {
        let facts = self.facts(dictionary);
        let paths = self.paths(dictionary, start, step);
        let pairs = facts.iter().zip(&paths);
        pairs.map(|(f, p)| f.gap_closed(p, steps)).collect()
    }

    fn judge(&self) -> Vec<Verdict> {
        use Dictionary::{Initial, Learned, Rotation};
        use Start::{Clamped, Warm};
        let number = Measurement::of;
        let mut safe = Vec::new();
        let feasible = |p: &&Path| p.start != Warm;
        // The limit itself, 2 / L, is rounded: it is within.
        let within = self
            .paths
            .iter()
            .filter(feasible)
            .filter(|p| p.eta_lipschitz <= 2.0 * (1.0 + 1e-15));
        safe.push(number(
            "rises in steps of at most 2 / L, all dictionaries",
            within.map(|p| p.rises(ROUNDING)).sum::<usize>() as f64,
        ));
        let beyond: Vec<&Path> = self
            .paths
            .iter()
            .filter(feasible)
            .filter(|p| p.step == Step::Beyond)
            .collect();
        safe.push(number(
            "share of first steps of 4 / L that raise it",
            fraction(&beyond, |p| p.objective[1] > p.objective[0]),
        ));

        let present = |dictionary| !self.facts(dictionary).is_empty();
        let (mut depth, mut learning, mut book, mut rate, mut explains) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let closed =
            |dictionary, start, step, steps| self.gap_closed(dictionary, start, step, steps);
        if present(Learned) {
            let official = closed(Learned, Warm, Step::Official, STEPS);
            depth.push(number(
                "learned: fraction of layers with half the gap closed after 12 steps",
                fraction(&official, |&share| share >= 0.5),
            ));
            depth.push(number(
                "learned: fraction of layers better than the zero code after 12 steps",
                fraction(&self.paths(Learned, Warm, Step::Official), |p| {
                    p.objective[STEPS] < 1.0
                }),
            ));
            let one = closed(Rotation, Clamped, Step::Inverse, 1);
            depth.push(number(
                "rotation: fraction of layers with half the gap closed by one step of 1 / L",
                fraction(&one, |&share| share >= 0.5),
            ));
            let before = closed(Initial, Clamped, Step::Inverse, 1);
            let after = closed(Learned, Clamped, Step::Inverse, 1);
            let pairs: Vec<(f64, f64)> = before.into_iter().zip(after).collect();
            learning.push(number(
                "fraction of layers where one step of 1 / L closes more of the gap after training",
                fraction(&pairs, |(before, after)| after > before),
            ));
            rate.push(number(
                "learned: fraction of layers where R(D X) is within a tenth of R(X)",
                fraction(&self.facts(Learned), |f| f.rate_change <= 0.1),
            ));
            let rotation = self.facts(Rotation);
            rate.push(number(
                "rotation: largest relative change of R",
                rotation.iter().map(|f| f.rate_change).fold(0.0, f64::max),
            ));
            explains.push(number(
                "learned: fraction of layers where ||D X - Z|| < ||Z||",
                fraction(&self.facts(Learned), |f| f.reconstruction < 1.0),
            ));
            explains.push(number(
                "rotation, step 1: fraction of layers where ||D X - Z|| < ||Z||",
                fraction(&rotation, |f| f.reconstruction < 1.0),
            ));
            book.push(number(
                "rotation: fraction of layers where a step of 1 lowers it",
                fraction(&self.paths(Rotation, Clamped, Step::Book), |p| {
                    p.objective[1] < p.objective[0]
                }),
            ));
            book.push(number(
                "learned: fraction of layers where a step of 1 raises it",
                fraction(&self.paths(Learned, Clamped, Step::Book), |p| {
                    p.objective[1] > p.objective[0]
                }),
            ));
        }
        let initial = self.paths(Initial, Clamped, Step::Book);
        book.push(number(
            "initial: fraction of layers where a step of 1 raises it",
            fraction(&initial, |p| p.objective[1] > p.objective[0]),
        ));
        vec![
            SAFE_STEPS.judge(safe),
            DEPTH_SOLVES.judge(depth),
            LEARNING_HELPS.judge(learning),
            BOOK_STEP_DIVERGES.judge(book),
            RATE_SURVIVES_DICTIONARY.judge(rate),
            CODE_EXPLAINS.judge(explains),
        ]
    }

    fn print(&self) {
        println!("\nObjective over that of the zero code, mean over layers, from the block's own start.\n");
        println!(
            "{:>5} | {:>18} | {:>18} | {:>18}",
            "steps", "learned, 0.1", "initial, 0.1", "rotation, 1 / L"
        );
        let lines = [
            (Dictionary::Learned, Step::Official),
            (Dictionary::Initial, Step::Official),
            (Dictionary::Rotation, Step::Inverse),
        ];
        for steps in 0..=STEPS {
            print!("{steps:>5}");
            for (dictionary, step) in lines {
                let paths = self.paths(dictionary, Start::Warm, step);
                let values: Vec<f64> = paths.iter().map(|p| p.objective[steps]).collect();
                print!(" | {:>18.3}", Summary::of(&values).mean);
            }
            println!();
        }
    }

    fn write(&self, run: &Run) -> Result<()> {
        #[derive(Serialize)]
        struct Row {
            dictionary: Dictionary,
            layer: usize,
            start: Start,
            step: Step,
            steps: usize,
            objective: f64,
        }
        let mut rows = Vec::new();
        for path in &self.paths {
            for (steps, &objective) in path.objective.iter().enumerate() {
                rows.push(Row {
                    dictionary: path.dictionary,
                    layer: path.layer,
                    start: path.start,
                    step: path.step,
                    steps,
                    objective,
                });
            }
        }
        table::write(&run.path("layers.csv"), &self.layers)?;
        table::write(&run.path("objective.csv"), &rows)?;
        let lines = [
            ("learned, official 0.1", Dictionary::Learned, Step::Official),
            ("learned, 1 / L", Dictionary::Learned, Step::Inverse),
            ("rotation, 1 / L", Dictionary::Rotation, Step::Inverse),
            ("initial, official 0.1", Dictionary::Initial, Step::Official),
            ("initial, 1 / L", Dictionary::Initial, Step::Inverse),
        ];
        let series = lines
            .into_iter()
            .enumerate()
            .map(|(colour, (name, dictionary, step))| {
                let paths = self.paths(dictionary, Start::Warm, step);
                let at = |steps: usize| {
                    Summary::of(&paths.iter().map(|p| p.objective[steps]).collect::<Vec<_>>())
                };
                let steps = if paths.is_empty() { 0..0 } else { 0..STEPS + 1 };
                Series::new(
                    name,
                    colour,
                    steps.map(|steps| (steps as f64, at(steps))).collect(),
                )
            });
        Chart {
            title: "LASSO objective along unrolled ISTA steps (zero code: 1)",
            horizontal: Axis {
                name: "steps from the block's input",
                scale: Scale::Linear,
            },
            vertical: Axis {
                name: "objective / that of the zero code",
                scale: Scale::Logarithmic,
            },
            series: series.collect(),
        }
        .write(&run.path("objective.svg"))?;
        let shares = [
            (
                "learned, one step of 0.1",
                Dictionary::Learned,
                Step::Official,
                1,
            ),
            (
                "learned, 12 steps of 0.1",
                Dictionary::Learned,
                Step::Official,
                STEPS,
            ),
            (
                "initial, one step of 0.1",
                Dictionary::Initial,
                Step::Official,
                1,
            ),
            (
                "initial, 12 steps of 0.1",
                Dictionary::Initial,
                Step::Official,
                STEPS,
            ),
        ];
        let series =
            shares
                .into_iter()
                .enumerate()
                .map(|(colour, (name, dictionary, step, steps))| {
                    let closed = self.gap_closed(dictionary, Start::Warm, step, steps);
                    let values = closed.into_iter().map(|share| Summary::of(&[share]));
                    Series::by_layer(name, colour, values.collect())
                });
        Chart::by_layer(
            "How far ISTA goes from the clamped input to the sparse code",
            "share of the gap closed",
            series.collect(),
        )
        .write(&run.path("gap.svg"))
    }
}
