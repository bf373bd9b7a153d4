//! Are the curves the same on images that training saw? A network that has not learned its training images by
//! heart cannot tell: on it they are images like all others.

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::data::Split;
use whitebox::harness::layer_curves::Network;
use whitebox::measure::layerwise::Quantity;

use super::{Found, PAPER};

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-04",
    Source::of(PAPER, "figure of the layers, train and validation curves"),
    Whose::Authors,
    "The curves of training and held-out images coincide",
    &[
        Criterion::at_most(
            "largest relative gap of R^c between the splits",
            0.10,
            |found: &Found| gap(found, Quantity::OFFICIAL_RATE),
        ),
        Criterion::at_most(
            "largest relative gap of nonzeros between the splits",
            0.10,
            |found: &Found| gap(found, Quantity::NONZERO_AFTER_ISTA),
        )
        .secondary(),
        Criterion::at_least(
            "accuracy on training images less that on held-out ones",
            0.05,
            overfits,
        )
        .check(),
    ],
)];

fn overfits(found: &Found) -> Option<Measured> {
    let training = found.each(Network::Trained, Split::Train);
    found.over(Network::Trained, Split::Test, |held_out| {
        let seen = training.iter().find(|c| c.seed == held_out.seed)?;
        Some(seen.accuracy? - held_out.accuracy?)
    })
}

/// Over the layers, relative to the curve of held-out images.
fn gap(found: &Found, quantity: Quantity) -> Option<Measured> {
    let training = found.each(Network::Trained, Split::Train);
    found.over(Network::Trained, Split::Test, |held_out| {
        let seen = training.iter().find(|c| c.seed == held_out.seed)?;
        let (seen, held_out) = (seen.means(quantity).ok()?, held_out.means(quantity).ok()?);
        let gaps = seen
            .iter()
            .zip(&held_out)
            .map(|(a, b)| (a - b).abs() / b.abs());
        Some(gaps.fold(0.0, f64::max))
    })
}
