//! Is the derived operator, `+M` with its output tied to `U`, downhill where growth does not count? On the official
//! measure, with every projected token brought to length 1, and on `R^c` of tokens brought to length 1 before
//! they are projected, at `X = LN1(Z^l)`.

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{Line, Network};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::Found;

const TIED: Quantity = Quantity::PROJECTED_COSINE_TIED;
const SHUFFLED: Quantity = Quantity::PROJECTED_COSINE_SHUFFLED;
const UNIFORM: Quantity = Quantity::PROJECTED_COSINE_UNIFORM;
const RANDOM: Quantity = Quantity::PROJECTED_COSINE_RANDOM;
const SHRINKAGE: Quantity = Quantity::PROJECTED_COSINE_SHRINKAGE;
const ADDED: Quantity = Quantity::PROJECTED_COSINE_ADDED;

pub(crate) const QUANTITIES: &[Quantity] = &[
    TIED,
    SHUFFLED,
    UNIFORM,
    RANDOM,
    SHRINKAGE,
    ADDED,
    Quantity::UNIT_COSINE_TIED,
    Quantity::UNIT_COSINE_SHUFFLED,
    Quantity::UNIT_COSINE_UNIFORM,
    Quantity::UNIT_COSINE_RANDOM,
    Quantity::UNIT_COSINE_SHRINKAGE,
    Quantity::UNIT_COSINE_ADDED,
];

const DERIVED: &str = "derived by this project";
const CRITIQUE: &str = "the sign of the step, section 2.3 of NeurIPS 2023 against arXiv 2411.17182";

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-15",
        Source::of(DERIVED, CRITIQUE),
        Whose::Project,
        "The derived operator, +M with its output tied to U, is downhill on the official measure, by whom attention \
         pairs with whom",
        &[
            Criterion::at_least("+M: cosine with steepest descent, mean over layers", 0.1, |found: &Found| {
                trained(found, TIED)
            }),
            Criterion::at_least("the same less that with partners shuffled", 0.05, |found: &Found| {
                beyond(found, TIED, SHUFFLED)
            })
            .control(),
            Criterion::at_least("the same less that of uniform averaging", 0.05, |found: &Found| {
                beyond(found, TIED, UNIFORM)
            })
            .control(),
            Criterion::at_most("-X: |cosine|, largest over layers", 1e-6, |found: &Found| {
                largest(found, SHRINKAGE)
            })
            .check(),
            Criterion::at_most("a random direction: |cosine|, largest over layers", 0.05, |found: &Found| {
                largest(found, RANDOM)
            })
            .check(),
        ],
    )
    .beside(&[
        Number::of("untrained: +M, mean over layers", |found: &Found| {
            of(found, Network::Untrained, TIED)
        }),
        Number::of("untrained: the same with partners shuffled", |found: &Found| {
            of(found, Network::Untrained, SHUFFLED)
        }),
    ])
    .pilot_informed(),
    Claim::new(
        "C-LAY-15-unit",
        Source::of(DERIVED, CRITIQUE),
        Whose::Project,
        "+M is downhill on R^c of tokens brought to length 1 as well",
        &[
            Criterion::at_least("+M: cosine with steepest descent, mean over layers", 0.0, |found: &Found| {
                trained(found, Quantity::UNIT_COSINE_TIED)
            }),
            Criterion::at_least("the same less that with partners shuffled", 0.05, |found: &Found| {
                beyond(found, Quantity::UNIT_COSINE_TIED, Quantity::UNIT_COSINE_SHUFFLED)
            })
            .control(),
            Criterion::at_most("-X: |cosine|, largest over layers", 1e-6, |found: &Found| {
                largest(found, Quantity::UNIT_COSINE_SHRINKAGE)
            })
            .check(),
        ],
    )
    .beside(&[Number::of("uniform averaging: cosine, mean over layers", |found: &Found| {
        trained(found, Quantity::UNIT_COSINE_UNIFORM)
    })])
    .pilot_informed(),
    Claim::new(
        "C-LAY-15-code",
        Source::of("official issues 18, 19 and 31", "to_out of the MSSA block"),
        Whose::Critics,
        "What the code adds, by way of an output projection of its own, is not downhill on the official measure",
        &[
            Criterion::at_most(
                "what is added: cosine with steepest descent, mean over layers",
                0.1,
                |found: &Found| trained(found, ADDED),
            ),
            Criterion::at_least(
                "+M, with the output tied to U: cosine, mean over layers",
                0.1,
                |found: &Found| trained(found, TIED),
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("untrained: what is added, mean over layers", |found: &Found| {
            of(found, Network::Untrained, ADDED)
        }),
        Number::of("on tokens of length 1: what is added, mean over layers", |found: &Found| {
            trained(found, Quantity::UNIT_COSINE_ADDED)
        }),
    ])
    .pilot_informed(),
];

/// Mean over layers.
fn of(found: &Found, network: Network, quantity: Quantity) -> Option<Measured> {
    found.mean(network, quantity.at(found.settings.epsilon))
}

fn trained(found: &Found, quantity: Quantity) -> Option<Measured> {
    of(found, Network::Trained, quantity)
}

/// `high - low`, mean over layers.
fn beyond(found: &Found, high: Quantity, low: Quantity) -> Option<Measured> {
    let epsilon = found.settings.epsilon;
    found.gain(high.at(epsilon), low.at(epsilon))
}

fn largest(found: &Found, quantity: Quantity) -> Option<Measured> {
    let quantity = quantity.at(found.settings.epsilon);
    found.over(Network::Trained, |curves| {
        let means = curves.means(quantity).ok()?;
        means.into_iter().map(f64::abs).reduce(f64::max)
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    for (file, measure, quantities) in [
        (
            "sign.svg",
            "the official measure",
            [TIED, SHUFFLED, UNIFORM, ADDED],
        ),
        (
            "sign-unit.svg",
            "R^c of tokens of length 1",
            [
                Quantity::UNIT_COSINE_TIED,
                Quantity::UNIT_COSINE_SHUFFLED,
                Quantity::UNIT_COSINE_UNIFORM,
                Quantity::UNIT_COSINE_ADDED,
            ],
        ),
    ] {
        let [tied, shuffled, uniform, added] = quantities.map(|q| q.at(found.settings.epsilon));
        let line =
            |name, colour, quantity| Line::held_out(name, colour, Network::Trained, quantity);
        let lines = [
            line("+M", Colour::Kind(0), tied),
            line("partners shuffled", Colour::Control, shuffled),
            line("uniform", Colour::Kind(1), uniform),
            line("code adds", Colour::Trained, added),
            Line::held_out("+M, untrained", Colour::Untrained, Network::Untrained, tied),
        ];
        let title = format!("Cosine with steepest descent on {measure}");
        shown.say(format!("\n{title}, at LN1(Z).\n"));
        shown.say(found.curves.columns(&lines));
        found.curves.draw(shown, (file, &title, "cosine"), &lines)?;
    }
    Ok(())
}
