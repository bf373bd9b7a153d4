//! What is trained: CRATE, a ViT, and what lies between.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Criterion, Measured};
use whitebox::data::scenes::CLASSES;
use whitebox::harness::comparison::Variant;
use whitebox::model::{Architecture, Config, Pool};
use whitebox::Result;

use super::{row, Found, Settings};

pub(crate) const CRATE: &str = "CRATE";
pub(crate) const MSSA_AND_MLP: &str = "MSSA and MLP";
pub(crate) const MHSA_AND_ISTA: &str = "MHSA and ISTA";
pub(crate) const VIT: &str = "ViT";

/// Width of CRATE. Of those about a hundred at which every other arm has a width with 5 % as many parameters.
const WIDTH: usize = 108;
const DEPTH: usize = 6;
const HEADS: usize = 4;

/// A kind of network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Arm {
    pub(crate) name: String,
    pub(crate) network: Config,
    pub(crate) parameters: usize,
}

/// CRATE, then the others in the widths at which they have the most nearly as many parameters.
pub(crate) fn all(quick: bool) -> Result<Vec<Arm>> {
    let (width, depth) = if quick { (16, 2) } else { (WIDTH, DEPTH) };
    let demo = Config::preset("demo")?.for_images(3, [32, 32], CLASSES);
    let own = Config {
        depth,
        ..demo.with_width(width, HEADS)?
    };
    let kinds = [
        (CRATE, Architecture::Crate),
        (MSSA_AND_MLP, Architecture::CrateMlp),
        (MHSA_AND_ISTA, Architecture::CrateMhsa),
        (VIT, Architecture::Vit),
    ];
    let arm = |(name, architecture): (&str, Architecture)| {
        let kind = Config {
            pool: Pool::Cls,
            ..own.of(architecture)
        };
        let network = kind.with_parameters_near(own.parameters(), width)?;
        Ok(Arm {
            name: name.to_owned(),
            network,
            parameters: network.parameters(),
        })
    };
    kinds.into_iter().map(arm).collect()
}

pub(crate) fn variants(settings: &Settings) -> Vec<Variant> {
    let arms = settings.arms.iter();
    let variant = |arm: &Arm| Variant::new(&*arm.name, arm.network, settings.recipe.clone());
    arms.map(variant).collect()
}

/// What shows nothing but a difference in size is no difference of blocks.
pub(crate) const EQUAL_PARAMETERS: Criterion<Found> = Criterion::at_most(
    "largest difference in parameters to CRATE, relative",
    0.05,
    |found: &Found| {
        let counts = found.settings.arms.iter().map(|arm| arm.parameters as f64);
        let own = counts.clone().next()?;
        let differences = counts.map(|count| (count / own - 1.0).abs());
        Some(Measured::exact(differences.fold(0.0, f64::max)))
    },
)
.check();

/// A network that has not learned its labels cannot show what labels teach.
pub(crate) const CRATE_LEARNS: Criterion<Found> = Criterion::at_least(
    "accuracy of CRATE over that of guessing",
    4.0,
    |found: &Found| over_guessing(found, CRATE),
)
.check();

pub(crate) const VIT_LEARNS: Criterion<Found> = Criterion::at_least(
    "accuracy of the ViT over that of guessing",
    4.0,
    |found: &Found| over_guessing(found, VIT),
)
.check();

fn over_guessing(found: &Found, arm: &str) -> Option<Measured> {
    row::mean(found, arm, |row| row.accuracy * CLASSES as f64)
}
