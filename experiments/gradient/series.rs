//! The first order of the Neumann series as a stand-in for the gradient, by the radius of the series.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Source, Unit, Whose};
use whitebox::measure::descent::{Direction, Effect};

use crate::Found;

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-THY-05",
    Source::of("authors' book, chapter 4", "eq. gd_rc_neumann"),
    Whose::Authors,
    "The first order of the Neumann series stands in for the exact gradient while its radius rho is at most \
     1/2, and has the wrong sign along some direction beyond 1",
    &[
        Criterion::at_least(
            "smallest cosine with the exact gradient where rho <= 1/2",
            0.95,
            |found: &Found| {
                let inside = found.radius.iter().filter(|r| r.rho <= 0.5);
                let smallest = inside.map(|r| r.smallest_cosine).reduce(f64::min)?;
                Some(Measured::exact(smallest))
            },
        ),
        Criterion::at_least(
            "fraction of draws with rho > 1 where it raises R^c at kappa c = 0.1",
            0.5,
            |found: &Found| raised(found, |rho| rho > 1.0),
        )
        .secondary(),
        // Of a fixed set: that none of any draws does is shown by no number of them.
        Criterion::at_most(
            "draws with rho <= 1/2 where it raises R^c at kappa c = 0.1",
            0.0,
            |found: &Found| {
                let inside = found.radius.iter().filter(|r| r.rho <= 0.5);
                let raised = inside.map(|r| r.raised).reduce(|a, b| a + b)?;
                Some(Measured::exact(raised as f64))
            },
        )
        .secondary(),
    ],
)];

/// Every radius takes the same draws, scaled.
fn raised(found: &Found, takes: fn(f64) -> bool) -> Option<Measured> {
    let of = found.radius.iter().filter(|r| takes(r.rho));
    let shares: Vec<f64> = of.map(|r| r.raised as f64 / r.draws as f64).collect();
    (!shares.is_empty()).then(|| Measured::mean_share(Unit::Draw, &shares, found.settings.draws))
}

/// What the first order does at one radius.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Radius {
    rho: f64,
    smallest_cosine: f64,
    /// Draws in which it raises `R^c`.
    raised: usize,
    draws: usize,
}

impl Radius {
    /// Of the effects of every direction in each draw, the tokens scaled to the radius `rho`.
    pub(crate) fn of(rho: f64, draws: &[[Effect; Direction::ALL.len()]]) -> Self {
        let first_order = draws.iter().map(|d| d[Direction::Truncated as usize]);
        let cosines = first_order.clone().map(|effect| effect.cosine);
        Self {
            rho,
            smallest_cosine: cosines.fold(f64::INFINITY, f64::min),
            raised: first_order.filter(|e| e.relative_change > 0.0).count(),
            draws: draws.len(),
        }
    }
}
