//! # Do networks trained on labels alone find the objects, and which block does it?
//!
//! CPAL 2024 (arXiv 2308.16271): CRATE's class token reads the object, though nothing but its label was ever shown; a ViT's does
//! not. Here CRATE, a ViT and what lies between, all of as many parameters, are trained from the same seeds on scenes whose
//! objects are known to the pixel: one textured object on a ground of random cells, the label texture times shape. All read
//! their answer off the class token, the ViT too, whose official code takes the mean of the patches: the mean would teach the
//! class token's map in the last layer nothing.
//!
//! | question | claims |
//! |---|---|
//! | `heads`: do maps of the class token find the object? | C-SEG-01 |
//! | `layers`: do deeper layers do it better? | C-SEG-03 |
//! | `blocks`: is it MSSA that does it? | C-SEG-04 |
//! | `parts`: do heads stand for parts? | C-SEG-05 |
//! | `course`: does it come with training? | C-SEG-06 |
//! | `noise`: do some heads withstand noise, and others not? | C-SEG-07 |
//! | `components`: is the first principal component the object? | C-SEG-08 |
//!
//! **Measured** by the overlap (intersection over union, on pixels) of the object with the smallest set of patches that holds
//! 60 % of what a head reads. The head is chosen on one half of the scenes and measured on the other; the best head for each
//! object, an oracle, stands beside it.
//!
//! **Controls**: the untrained network of every seed; the maps of another scene, which have all but the picture; a disc in the
//! middle, everything, the best of as many smooth random maps, and two clusters of the pixels.
//!
//! **Criteria**: those of the files, fixed before the first run.
//!
//! **Run**: `cargo run --release --bin exp_segmentation`: about an hour on two cores. An interrupted run goes on with the
//! training it was at.

mod arms;
mod blocks;
mod components;
mod course;
mod examples;
mod heads;
mod layers;
mod material;
mod noise;
mod parts;
mod row;
mod settings;
mod show;
mod tables;

use std::process::ExitCode;

use examples::Example;
use material::{Floors, Material};
use row::Row;
use serde::{Deserialize, Serialize};
use settings::{Flags, Settings};
use whitebox::claim::Claim;
use whitebox::harness::comparison::Comparison;
use whitebox::harness::experiment::{self, Experiment, Shown};
use whitebox::harness::networks::Networks;
use whitebox::harness::run::Run;
use whitebox::Result;

const PAPER: &str = "CPAL 2024, arXiv 2308.16271";

type Found = experiment::Found<Settings, Results>;

#[derive(Debug, Serialize, Deserialize)]
struct Results {
    floors: Floors,
    networks: Vec<Row>,
    /// Maps of the first trained CRATE.
    examples: Vec<Example>,
}

struct Segmentation;

impl Experiment for Segmentation {
    const NAME: &'static str = "segmentation";
    const TITLE: &'static str = "Objects in what networks read that were trained on labels alone";
    const CLAIMS: &'static [&'static [Claim<Found>]] = &[
        heads::CLAIMS,
        layers::CLAIMS,
        blocks::CLAIMS,
        parts::CLAIMS,
        course::CLAIMS,
        noise::CLAIMS,
        components::CLAIMS,
    ];
    type Flags = Flags;
    type Settings = Settings;
    type Results = Results;

    fn measure(run: &Run, flags: &Flags) -> Result<Found> {
        let settings = Settings::of(run, flags)?;
        let material = Material::new(run, &settings)?;
        let comparison = Comparison {
            stages: &settings.stages,
            ..Comparison::new(
                &material.training,
                &material.held_out,
                run.seed,
                settings.seeds,
            )
        };
        let variants = arms::variants(&settings);
        let networks = Networks::of(run, &settings, comparison.steps(&variants))?;
        let mut examples = Vec::new();
        let rows = comparison.train(&networks, &variants, |variant, seed, trained| {
            let mut measured = vec![(0, variant.start(seed)?)];
            if variant.name == arms::CRATE {
                measured.extend(settings.stages.iter().copied().zip(trained.stages));
                if examples.is_empty() {
                    examples = examples::of(&trained.network, &material)?;
                }
            } else {
                measured.push((settings.recipe.epochs, trained.network));
            }
            let rows = measured.iter();
            let rows =
                rows.map(|(epoch, own)| Row::of(&variant.name, (seed, *epoch), own, &material));
            rows.collect::<Result<Vec<Row>>>()
        })?;
        let floors = material.floors()?;
        Ok(Found {
            results: Results {
                floors,
                networks: rows.concat(),
                examples,
            },
            settings,
        })
    }

    fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
        show::show(found, shown)
    }
}

fn main() -> ExitCode {
    experiment::main::<Segmentation>()
}
