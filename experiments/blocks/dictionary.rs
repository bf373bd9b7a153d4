//! Are the dictionaries incoherent?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::layer_curves::over_networks;
use whitebox::measure::statistics::fraction;

use super::{Found, Weights};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-LAY-08",
    Source::of(
        "overview, arXiv 2311.13110",
        "learned incoherence, quoted in the official repository's issue 18",
    ),
    Whose::Authors,
    "Training makes the dictionaries more incoherent: D^T D nearer to a multiple of I",
    &[Criterion::at_least(
        "fraction of layers more incoherent than before training",
        0.8,
        |found: &Found| {
            pairs(found, |pairs| {
                fraction(pairs, |(after, before)| {
                    after.incoherence < before.incoherence
                })
            })
        },
    )],
)];
// ANCHOR_END: claims

/// A number of the layers of every network, each after training and before.
fn pairs(found: &Found, of: fn(&[(Weights, Weights)]) -> f64) -> Option<Measured> {
    let both: Vec<(Weights, Weights)> = found
        .trained
        .iter()
        .flatten()
        .filter_map(|after| {
            let mut before = found.untrained.iter();
            let before = before.find(|w| (w.seed, w.layer) == (after.seed, after.layer))?;
            Some((*after, *before))
        })
        .collect();
    let networks: Vec<&[(Weights, Weights)]> =
        both.chunk_by(|(a, _), (b, _)| a.seed == b.seed).collect();
    over_networks(&networks, |own| Some(of(own)))
}
