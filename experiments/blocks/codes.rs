//! Does one ISTA step find a sparse code of its input, and leave the rate as it was?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{over_networks, Line, Network, NetworkCurves};
use whitebox::measure::layerwise::Quantity;
use whitebox::Result;

use super::dictionary::Weights;
use super::{Found, PAPER};

pub(crate) const QUANTITIES: &[Quantity] = &[
    Quantity::LASSO_CLAMPED,
    Quantity::LASSO_AFTER_ISTA,
    Quantity::LASSO_ZERO,
    Quantity::LASSO_SOLUTION,
    Quantity::RATE_BEFORE_ISTA,
    Quantity::RATE_AFTER_ISTA,
    Quantity::RATE_AFTER_RELU,
];

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-17-trained",
        Source::of(PAPER, "section 2.4; official step size 0.1"),
        Whose::Authors,
        "The official ISTA step stays within the descent lemma after training",
        &[Criterion::at_most(
            "largest eta L over layers",
            2.0,
            largest_step,
        )],
    ),
    Claim::new(
        "C-THY-18-trained",
        Source::of(PAPER, "section 2.4: one step of proximal gradient descent"),
        Whose::Authors,
        "One ISTA step lowers the LASSO objective from its start, clamped to be feasible",
        &[Criterion::at_most(
            "objective after the block over that of the clamped start, largest over layers",
            1.0,
            |found: &Found| {
                layers(found, Network::Trained, |all| {
                    all.iter().map(|[clamped, after, ..]| after / clamped).fold(0.0, f64::max)
                })
            },
        )],
    )
    .pilot_informed(),
    Claim::new(
        "C-THY-18-code",
        Source::of("derived by this project", "what a sparse code would be worth"),
        Whose::Project,
        "One ISTA step goes at least half way to the sparse code, and beats the zero code",
        &[
            Criterion::at_least(
                "share of the gap between clamped start and solution that is closed, mean over layers",
                0.5,
                |found: &Found| {
                    layers(found, Network::Trained, |all| {
                        mean(all, |[clamped, after, _, best]| (clamped - after) / (clamped - best))
                    })
                },
            ),
            Criterion::at_most(
                "objective after the block over that of the zero code, mean over layers",
                1.0,
                |found: &Found| {
                    layers(found, Network::Trained, |all| mean(all, |[_, after, zero, _]| after / zero))
                },
            )
            .secondary(),
        ],
    ),
    Claim::new(
        "C-THY-20-trained",
        Source::of("authors' book, chapter 4", "paragraph on sparsification"),
        Whose::Authors,
        "ISTA leaves the coding rate R roughly unchanged",
        &[
            Criterion::at_most("change of R over R, mean over layers", 0.1, |found: &Found| {
                change(found, Network::Trained, Quantity::RATE_AFTER_ISTA)
            }),
            Criterion::at_least(
                "the same with a plain ReLU in its place less ISTA's",
                0.0,
                |found: &Found| {
                    let epsilon = found.settings.epsilon;
                    found.over(Network::Trained, |curves| {
                        let relu = of_rate(curves, Quantity::RATE_AFTER_RELU.at(epsilon), epsilon)?;
                        Some(relu - of_rate(curves, Quantity::RATE_AFTER_ISTA.at(epsilon), epsilon)?)
                    })
                },
            )
            .control(),
        ],
    )
    .beside(&[
        Number::of("with a plain ReLU: change of R over R, mean over layers", |found: &Found| {
            change(found, Network::Trained, Quantity::RATE_AFTER_RELU)
        }),
        Number::of("untrained: change of R over R, mean over layers", |found: &Found| {
            change(found, Network::Untrained, Quantity::RATE_AFTER_ISTA)
        }),
    ])
    .pilot_informed(),
];

fn largest_step(found: &Found) -> Option<Measured> {
    let weights = found.trained.as_ref()?;
    let mut seeds: Vec<u64> = weights.iter().map(|w| w.seed).collect();
    seeds.dedup();
    over_networks(&seeds, |seed| {
        let own = weights.iter().filter(|w: &&Weights| w.seed == *seed);
        Some(own.map(|w| w.eta_lipschitz).fold(0.0, f64::max))
    })
}

/// A number of the objectives of all layers: clamped, after the block, of the zero code, of the solution.
fn layers(found: &Found, network: Network, of: fn(&[[f64; 4]]) -> f64) -> Option<Measured> {
    found.over(network, |curves| {
        let means = |quantity| curves.means(quantity).ok();
        let (clamped, after) = (
            means(Quantity::LASSO_CLAMPED)?,
            means(Quantity::LASSO_AFTER_ISTA)?,
        );
        let (zero, best) = (
            means(Quantity::LASSO_ZERO)?,
            means(Quantity::LASSO_SOLUTION)?,
        );
        let all = (0..curves.depth()).map(|l| [clamped[l], after[l], zero[l], best[l]]);
        Some(of(&all.collect::<Vec<_>>()))
    })
}

fn mean(all: &[[f64; 4]], of: fn([f64; 4]) -> f64) -> f64 {
    all.iter().map(|objectives| of(*objectives)).sum::<f64>() / all.len() as f64
}

/// `|R(after) - R| / R`, mean over layers, `R` that of the block's input.
fn of_rate(curves: &NetworkCurves, after: Quantity, epsilon: f64) -> Option<f64> {
    let before = curves.means(Quantity::RATE_BEFORE_ISTA.at(epsilon)).ok()?;
    let after = curves.means(after).ok()?;
    let changes = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (after - before).abs() / before);
    Some(changes.sum::<f64>() / before.len() as f64)
}

fn change(found: &Found, network: Network, after: Quantity) -> Option<Measured> {
    let epsilon = found.settings.epsilon;
    found.over(network, |curves| {
        of_rate(curves, after.at(epsilon), epsilon)
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let network = match found.trained {
        Some(_) => Network::Trained,
        None => Network::Untrained,
    };
    let line = |name, colour, quantity| Line::held_out(name, colour, network, quantity);
    let lines = [
        line(
            "after the block",
            network.colour(),
            Quantity::LASSO_AFTER_ISTA,
        ),
        line("zero code", Colour::Control, Quantity::LASSO_ZERO),
        line("solution", Colour::Reference, Quantity::LASSO_SOLUTION),
    ];
    let title = "LASSO objective per token around the ISTA block";
    found
        .curves
        .draw(shown, ("lasso.svg", title, "objective"), &lines)
}
