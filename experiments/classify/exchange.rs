//! A transformer's blocks in CRATE.

use whitebox::claim::{Claim, Criterion, Source, Whose};
use whitebox::model::Architecture;

use super::{ahead, Found};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CLS-07-exchange",
    Source::of("CPAL 2024, arXiv 2308.16271", "table 2"),
    Whose::Authors,
    "With a transformer's block in place of MSSA or ISTA, and as many parameters, CRATE gains \
     less than 2 points",
    &[
        Criterion::at_most(
            "with MHSA in place of MSSA less CRATE, points",
            2.0,
            |found: &Found| ahead(found, Architecture::CrateMhsa),
        ),
        Criterion::at_most(
            "with a perceptron in place of ISTA less CRATE, points",
            2.0,
            |found: &Found| ahead(found, Architecture::CrateMlp),
        )
        .secondary(),
    ],
)];
