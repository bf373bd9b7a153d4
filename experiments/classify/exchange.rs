//! A transformer's blocks in CRATE.

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};
use whitebox::model::Architecture;

use super::{ahead, surplus, Found};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CLS-07-exchange",
    Source::of(
        "derived by this project",
        "after the exchange of blocks of CPAL 2024, arXiv 2308.16271, table 2, which is about segmentation",
    ),
    Whose::Project,
    "A transformer's block in place of MSSA or ISTA, at as many parameters, changes the accuracy \
     by less than 2 points",
    &[
        Criterion::at_most(
            "CRATE with MHSA in place of MSSA differs by, points",
            2.0,
            |found: &Found| Some(ahead(found, Architecture::CrateMhsa)?.size()),
        ),
        Criterion::at_most(
            "CRATE with a perceptron in place of ISTA differs by, points",
            2.0,
            |found: &Found| Some(ahead(found, Architecture::CrateMlp)?.size()),
        )
        .secondary(),
        Criterion::at_most(
            "parameters with MHSA over CRATE's, less 1",
            0.05,
            |found: &Found| surplus(found, Architecture::CrateMhsa),
        )
        .check(),
        Criterion::at_most(
            "parameters with a perceptron over CRATE's, less 1",
            0.05,
            |found: &Found| surplus(found, Architecture::CrateMlp),
        )
        .check(),
    ],
)
.beside(&[
    Number::of("with MHSA in place of MSSA less CRATE, points", |found: &Found| {
        ahead(found, Architecture::CrateMhsa)
    }),
    Number::of("with a perceptron in place of ISTA less CRATE, points", |found: &Found| {
        ahead(found, Architecture::CrateMlp)
    }),
])];
