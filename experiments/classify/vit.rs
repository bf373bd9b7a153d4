//! CRATE and a ViT of as many parameters.

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::comparison::above;
use whitebox::model::{Architecture, Config};

use super::{ahead, crate_in_the_middle, surplus, Found};

pub(super) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-CLS-01",
        Source::of("NeurIPS 2023, arXiv 2306.01129", "table 1"),
        Whose::Authors,
        "CRATE comes within 6 points of a ViT of as many parameters, far above a linear classifier",
        &[
            Criterion::at_most(
                "ViT of as many parameters less CRATE, points",
                6.0,
                |found: &Found| ahead(found, Architecture::Vit),
            ),
            // Of three standard errors, as it was fixed, the limit keeps what they were for: to exclude chance.
            Criterion::at_least(
                "CRATE less the linear classifier, points",
                0.0,
                |found: &Found| {
                    let linear = 100.0 * found.settings.linear_accuracy;
                    Some(above(&crate_in_the_middle(found), linear))
                },
            )
            .secondary(),
            Criterion::at_most(
                "ViT's parameters over CRATE's, less 1",
                0.05,
                |found: &Found| surplus(found, Architecture::Vit),
            )
            .check(),
        ],
    ),
    Claim::new(
        "C-CLS-03",
        Source::of("overview, arXiv 2311.13110", "table of CRATE and ViT"),
        Whose::Authors,
        "At equal parameters CRATE and ViT are similarly accurate, within 2 points; the published \
         counts of parameters are exact",
        &[
            Criterion::at_most(
                "ViT of as many parameters less CRATE, points",
                2.0,
                |found: &Found| ahead(found, Architecture::Vit),
            ),
            Criterion::at_most("published counts that differ from ours", 0.0, |_| {
                differing_counts()
            })
            .secondary(),
        ],
    ),
];

/// Parameters in millions, to two digits, as the papers print them.
const PUBLISHED: [(&str, f64); 6] = [
    ("crate-tiny", 6.09),
    ("crate-small", 13.12),
    ("crate-base", 22.80),
    ("crate-large", 77.64),
    ("vit-tiny", 5.72),
    ("vit-small", 22.05),
];

/// Published numbers of parameters that are not those of the networks here, to the digits printed.
fn differing_counts() -> Option<Measured> {
    let mut differing = 0.0;
    for (name, millions) in PUBLISHED {
        let own = Config::preset(name).ok()?.parameters() as f64 * 1e-6;
        if (own * 100.0).round() != (millions * 100.0_f64).round() {
            differing += 1.0;
        }
    }
    Some(Measured::exact(differing))
}
