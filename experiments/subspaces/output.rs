//! Is the output projection, which stands where the papers write `U_k`, that matrix?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::layer_curves::{over_networks, Network};

use super::rows::{networks, Row};
use super::Found;

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CRIT-06",
    Source::of("official issues 18, 19 and 31", "to_out of the MSSA block"),
    Whose::Critics,
    "The output projection W_k, which stands where the papers write U_k, is not U_k",
    &[
        Criterion::at_most(
            "largest share of U_k in the span of W_k, mean over heads, over layers",
            0.5,
            |found: &Found| furthest(found, Network::Trained, |row| row.output_overlap),
        ),
        Criterion::at_most(
            "largest |cosine| between W_k and U_k, mean over heads, over layers",
            0.5,
            |found: &Found| furthest(found, Network::Trained, |row| row.output_cosine),
        )
        .secondary(),
    ],
)
.beside(&[Number::of(
    "untrained: largest share of U_k in the span of W_k, mean over heads, over layers",
    |found: &Found| furthest(found, Network::Untrained, |row| row.output_overlap),
)])];

/// Largest over layers, mean over networks.
fn furthest(found: &Found, network: Network, value: fn(&Row) -> Option<f64>) -> Option<Measured> {
    over_networks(&networks(found, network), |rows| {
        let all: Option<Vec<f64>> = rows.iter().map(value).collect();
        Some(all?.into_iter().map(f64::abs).fold(f64::NAN, f64::max))
    })
}
