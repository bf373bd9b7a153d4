//! What is claimed of networks that follow the derivation, and how it is read off the measured layers.

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};

use super::network::Row;
use super::{Found, ORTHOGONAL, PLAIN, TIED};

// ANCHOR: claims
const DERIVATION: Source = Source::of(
    "NeurIPS 2023",
    "eq. 12 and section 2.4: U writes, D is orthogonal",
);

const LEARNED: Criterion<Found> = Criterion::at_least(
    "plain: accuracy above the linear classifier's, points",
    2.0,
    above_linear,
)
.check();

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    own(
        "C-SUP-09",
        "An output tied to the bases costs at most a point of accuracy",
        &[
            Criterion::at_most("plain less tied, points", 1.0, |f| {
                less(f, PLAIN, TIED, Row::percent)
            }),
            LEARNED,
        ],
    ),
    own(
        "C-SUP-10",
        "With an output tied to the bases the official R^c falls further",
        &[
            Criterion::at_most("last over first layer, tied less plain", 0.0, |f| {
                less(f, TIED, PLAIN, Row::ratio)
            }),
            Criterion::at_least("fall in nats, tied less plain", 0.0, |f| {
                less(f, TIED, PLAIN, Row::fall)
            })
            .secondary(),
            Criterion::at_least(
                "random subspaces: last over first layer, tied less plain",
                0.0,
                |f| less(f, TIED, PLAIN, Row::random_ratio),
            )
            .control(),
        ],
    )
    .beside(&[Number::of(
        "nonzero after the last layer, tied less plain",
        |f| less(f, TIED, PLAIN, Row::nonzero),
    )]),
    own(
        "C-SUP-11",
        "What a tied block adds lowers the official R^c to first order, in every layer",
        &[
            Criterion::at_least("least cosine with -grad over layers", 0.0, |f| {
                mean(f, TIED, Row::cosine)
            }),
            Criterion::at_most("plain: least cosine with -grad over layers", 0.0, |f| {
                mean(f, PLAIN, Row::cosine)
            })
            .control(),
        ],
    )
    .pilot_informed(),
    own(
        "C-SUP-12",
        "The learned scale of a tied output keeps the derivation's sign in every layer",
        &[
            Criterion::at_least("least scale over layers", 0.0, |f| {
                mean(f, TIED, Row::scale)
            }),
            Criterion::at_least("furthest that a scale moved in training", 0.1, |f| {
                mean(f, TIED, Row::moved)
            })
            .check(),
        ],
    ),
    own(
        "C-SUP-13",
        "Orthogonal dictionaries cost at most a point of accuracy",
        &[
            Criterion::at_most("plain less orthogonal, points", 1.0, |f| {
                less(f, PLAIN, ORTHOGONAL, Row::percent)
            }),
            LEARNED,
        ],
    ),
    own(
        "C-SUP-14",
        "With orthogonal dictionaries the last layer's tokens are sparser",
        &[Criterion::at_most(
            "nonzero, orthogonal less plain",
            0.0,
            |f| less(f, ORTHOGONAL, PLAIN, Row::nonzero),
        )],
    )
    .beside(&[
        Number::of("last over first layer, orthogonal less plain", |f| {
            less(f, ORTHOGONAL, PLAIN, Row::ratio)
        }),
        Number::of("fall in nats, orthogonal less plain", |f| {
            less(f, ORTHOGONAL, PLAIN, Row::fall)
        }),
    ]),
];
// ANCHOR_END: claims

const fn own(
    id: &'static str,
    statement: &'static str,
    criteria: &'static [Criterion<Found>],
) -> Claim<Found> {
    Claim::new(id, DERIVATION, Whose::Project, statement, criteria)
}

/// Mean over the trained networks of an arm.
fn mean(found: &Found, arm: &str, of: fn(&Row) -> f64) -> Option<Measured> {
    let values: Vec<f64> = trained(found, arm).map(of).collect();
    (!values.is_empty()).then(|| Measured::mean(Unit::Network, &values))
}

/// What the plain networks have above the linear classifier on pixels.
fn above_linear(found: &Found) -> Option<Measured> {
    let linear = 100.0 * found.settings.linear_accuracy;
    let values: Vec<f64> = trained(found, PLAIN)
        .map(|row| row.percent() - linear)
        .collect();
    (!values.is_empty()).then(|| Measured::mean(Unit::Network, &values))
}

/// Mean of the differences `arm - other`, seed by seed; none unless each network has its pair.
fn less(found: &Found, arm: &str, other: &str, of: fn(&Row) -> f64) -> Option<Measured> {
    let others: Vec<&Row> = trained(found, other).collect();
    let pair = |row: &Row| {
        let other = others.iter().find(|other| other.seed == row.seed)?;
        Some(of(row) - of(other))
    };
    let differences: Option<Vec<f64>> = trained(found, arm).map(pair).collect();
    let differences = differences.filter(|d| !d.is_empty() && d.len() == others.len());
    differences.map(|differences| Measured::mean(Unit::Network, &differences))
}

fn trained<'a>(found: &'a Found, arm: &'a str) -> impl Iterator<Item = &'a Row> {
    found
        .iter()
        .filter(move |row| row.arm == arm && row.trained)
}
