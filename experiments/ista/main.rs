//! # What do unrolled ISTA steps do to the objective they are derived from?
//!
//! Along as many steps as the network has layers. NeurIPS 2023 (arXiv 2306.01129, section 2.4; book, chapters 4 and
//! 7) derives the block as one proximal-gradient step on
//!
//! `F(X) = lambda ||X||_1 + 1/2 ||Z - D X||^2`, `X >= 0`, from `X = Z`,
//!
//! with a nearly orthogonal `D`. The descent lemma allows steps up to `2 / L`, `L = ||D||_2^2`; the
//! official step is 0.1, the book prints 1.
//!
//! Three dictionaries: those the networks learned, those they began with, and a random rotation.
//! `Z = LN2(Z^{l+1/2})`, the block's own input on held-out images (of the untrained network for its
//! own dictionaries). Objectives are per token and divided by that of the zero code.
//!
//! | question | claims |
//! |---|---|
//! | `descent`: which steps descend? | C-THY-17, C-THY-19 |
//! | `depth`: how far do the steps go? | C-THY-18, C-THY-18-learned |
//! | `codes`: what do the codes keep of the tokens? | C-THY-20, C-THY-21 |
//!
//! **Criteria**: those of the files, fixed before the run, on means over networks.
//!
//! **Run**: `cargo run --release --bin exp_ista`: under a minute a network on two cores.

mod codes;
mod depth;
mod descent;

use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Measured};
use whitebox::data::{DataArguments, DataName};
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::layer_curves::over_networks;
use whitebox::harness::run::Run;
use whitebox::harness::subject::{Subject, SubjectArguments};
use whitebox::measure::statistics::Summary;
use whitebox::measure::unrolled::{self, Dictionary, LayerFacts, Length, Start, Step, Steps};
use whitebox::model::Config;
use whitebox::{parallel, Result};

const BOOK: &str = "authors' book, chapter 4";

/// Steps that are unrolled: the depth of the demonstration network.
const STEPS: usize = 12;
/// FISTA steps for the solution, and in a trial.
const SOLUTION_STEPS: [usize; 2] = [1000, 100];
/// Precision of `R`; the official measurement's.
const EPSILON: f64 = 0.1;

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, clap::Args)]
struct Flags {
    #[command(flatten)]
    data: DataArguments,
    /// Held-out images.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    #[command(flatten)]
    subject: SubjectArguments,
}

#[derive(Debug, Serialize, Deserialize)]
struct Settings {
    network: Config,
    images: usize,
    steps: usize,
    solution_steps: usize,
    epsilon: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    layers: Vec<LayerFacts>,
    paths: Vec<Steps>,
}

struct Ista;

impl Experiment for Ista {
    const NAME: &'static str = "ista";
    const TITLE: &'static str = "Unrolled ISTA steps on the objective they are derived from";
    const CLAIMS: &'static [&'static [Claim<Found>]] =
        &[descent::CLAIMS, depth::CLAIMS, codes::CLAIMS];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn data(flags: &Flags) -> Option<DataName> {
        Some(flags.data.data)
    }

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let count = if run.quick { 1 } else { flags.images as usize };
        let subject = Subject::load(&flags.subject, &flags.data, count, run)?;
        let length = Length {
            steps: STEPS,
            solution_steps: SOLUTION_STEPS[usize::from(run.quick)],
            epsilon: EPSILON,
        };
        let images = &subject.held_out_images;
        let indices = images.sample(count, run.seed);
        let mut blocks = Vec::new();
        for pair in &subject.pairs {
            for dictionary in Dictionary::ALL {
                let network = match dictionary {
                    Dictionary::Initial => Some(&pair.untrained),
                    Dictionary::Learned | Dictionary::Rotation => pair.trained.as_ref(),
                };
                if let Some(network) = network {
                    let (network, images) = ((network, pair.seed), (images, &indices[..]));
                    blocks.extend(unrolled::blocks(network, images, dictionary, run.seed)?);
                }
            }
        }
        let bar = run.progress(blocks.len());
        let measured = parallel::map(blocks.len(), run.threads, |index| {
            let found = blocks[index].follow(length);
            bar.inc(1);
            found
        })?;
        bar.finish_and_clear();
        let (layers, paths): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
        Ok(Found {
            settings: Settings {
                network: *subject.config(),
                images: count,
                steps: length.steps,
                solution_steps: length.solution_steps,
                epsilon: length.epsilon,
            },
            results: Results {
                layers,
                paths: paths.concat(),
            },
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        shown.table("layers.csv", &found.layers)?;
        descent::show(found, shown)?;
        depth::show(found, shown)
    }
}

impl Results {
    /// A layer of a network with its dictionary, and the path of one sort.
    fn layers(
        &self,
        dictionary: Dictionary,
        start: Start,
        step: Step,
    ) -> Vec<(&LayerFacts, &Steps)> {
        let wanted = (dictionary, start, step);
        let facts = self.layers.iter().filter(|f| f.dictionary == dictionary);
        let paths = self.paths.iter();
        let paths = paths.filter(|p| (p.dictionary, p.start, p.step) == wanted);
        facts.zip(paths).collect()
    }

    /// Fraction of a network's layers of which `holds`.
    fn fraction(
        &self,
        dictionary: Dictionary,
        (start, step): (Start, Step),
        holds: fn(&LayerFacts, &Steps) -> bool,
    ) -> Option<Measured> {
        let layers = self.layers(dictionary, start, step).into_iter();
        over_layers(layers.map(|(facts, path)| (facts.seed, share(holds(facts, path)))))
    }
}

/// What a layer of which a statement holds, or not, adds to a fraction.
fn share(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Mean over a network's layers, over networks; numbers come with the seed of the network.
fn over_layers(layers: impl Iterator<Item = (u64, f64)>) -> Option<Measured> {
    let layers: Vec<(u64, f64)> = layers.collect();
    let mut seeds: Vec<u64> = layers.iter().map(|(seed, _)| *seed).collect();
    seeds.dedup();
    over_networks(&seeds, |seed| {
        let own = layers.iter().filter(|(of, _)| of == seed);
        let own: Vec<f64> = own.map(|(_, number)| *number).collect();
        Some(Summary::of(&own).mean)
    })
}

fn main() -> ExitCode {
    experiment::main::<Ista>()
}
