//! Does one ISTA step find a sparse code of its input, and leave the rate as it was?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::chart::Colour;
use whitebox::harness::experiment::Shown;
use whitebox::harness::layer_curves::{over_networks, Network};
use whitebox::measure::layerwise::Quantity;
use whitebox::measure::statistics::fraction;
use whitebox::Result;

use super::{chart, Found, Weights, PAPER};

pub(crate) const QUANTITIES: &[Quantity] = &[
    Quantity::LASSO_CLAMPED,
    Quantity::LASSO_AFTER_ISTA,
    Quantity::LASSO_ZERO,
    Quantity::LASSO_SOLUTION,
    Quantity::RATE_BEFORE_ISTA,
    Quantity::RATE_AFTER_ISTA,
];

// ANCHOR: claims
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
        Source::of(PAPER, "section 2.4"),
        Whose::Authors,
        "One ISTA step goes at least half way to the sparse code, and beats the zero code",
        &[
            Criterion::at_least(
                "fraction of layers with half the gap closed",
                0.75,
                |found: &Found| {
                    layers(found, |[clamped, after, _, best]| {
                        (clamped - after) / (clamped - best) >= 0.5
                    })
                },
            ),
            Criterion::at_least(
                "fraction of layers better than the zero code",
                0.75,
                |found: &Found| layers(found, |[_, after, zero, _]| after < zero),
            )
            .secondary(),
        ],
    ),
    Claim::new(
        "C-THY-20-trained",
        Source::of("authors' book, chapter 4", "paragraph on sparsification"),
        Whose::Authors,
        "ISTA leaves the coding rate R roughly unchanged",
        &[Criterion::at_least(
            "fraction of layers where R changes by at most a tenth",
            0.8,
            rate_is_kept,
        )],
    ),
];
// ANCHOR_END: claims

fn largest_step(found: &Found) -> Option<Measured> {
    let weights = found.trained.as_ref()?;
    let mut seeds: Vec<u64> = weights.iter().map(|w| w.seed).collect();
    seeds.dedup();
    over_networks(&seeds, |seed| {
        let own = weights.iter().filter(|w: &&Weights| w.seed == *seed);
        Some(own.map(|w| w.eta_lipschitz).fold(0.0, f64::max))
    })
}

/// Fraction of the layers for whose objectives, clamped, after the block, of the zero code and of the
/// solution, `holds`.
fn layers(found: &Found, holds: fn([f64; 4]) -> bool) -> Option<Measured> {
    found.over(Network::Trained, |curves| {
        let means = |quantity| curves.means(quantity).ok();
        let (clamped, after) = (
            means(Quantity::LASSO_CLAMPED)?,
            means(Quantity::LASSO_AFTER_ISTA)?,
        );
        let (zero, best) = (
            means(Quantity::LASSO_ZERO)?,
            means(Quantity::LASSO_SOLUTION)?,
        );
        let layers: Vec<usize> = (0..curves.depth()).collect();
        Some(fraction(&layers, |&l| {
            holds([clamped[l], after[l], zero[l], best[l]])
        }))
    })
}

fn rate_is_kept(found: &Found) -> Option<Measured> {
    let [before, after] = [Quantity::RATE_BEFORE_ISTA, Quantity::RATE_AFTER_ISTA]
        .map(|quantity| quantity.at(found.settings.epsilon));
    found.over(Network::Trained, |curves| {
        let (before, after) = (curves.means(before).ok()?, curves.means(after).ok()?);
        let changes = before
            .iter()
            .zip(&after)
            .map(|(before, after)| (after - before).abs() / before);
        Some(fraction(&changes.collect::<Vec<_>>(), |&change| {
            change <= 0.1
        }))
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let network = match found.trained {
        Some(_) => Network::Trained,
        None => Network::Untrained,
    };
    let title = "LASSO objective per token around the ISTA block";
    chart(
        found,
        shown,
        ("lasso.svg", title, "objective"),
        &[
            (
                "after the block",
                network.colour(),
                network,
                Quantity::LASSO_AFTER_ISTA,
            ),
            ("zero code", Colour::Control, network, Quantity::LASSO_ZERO),
            (
                "solution",
                Colour::Reference,
                network,
                Quantity::LASSO_SOLUTION,
            ),
        ],
    )
}
