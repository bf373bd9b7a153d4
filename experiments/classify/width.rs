//! CRATE in three widths.

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::comparison::less;
use whitebox::model::Architecture;

use super::{scores, Found, WIDTHS};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CLS-02",
    Source::of("NeurIPS 2023, arXiv 2306.01129", "table 1"),
    Whose::Authors,
    "Under fixed hyper-parameters CRATE's accuracy grows with its width",
    &[
        Criterion::at_least("gain over all widths, points", 0.0, |found: &Found| {
            gain(found, WIDTHS[0], WIDTHS[2])
        }),
        Criterion::at_least(
            "gain from the first width to the next, points",
            0.0,
            |found: &Found| gain(found, WIDTHS[0], WIDTHS[1]),
        )
        .secondary(),
        Criterion::at_least(
            "gain from there to the last, points",
            0.0,
            |found: &Found| gain(found, WIDTHS[1], WIDTHS[2]),
        )
        .secondary(),
    ],
)];

/// Accuracy of CRATE in one width less that in another, points.
fn gain(found: &Found, from: usize, to: usize) -> Option<Measured> {
    let of = |width| scores(found, &format!("{} {width}", Architecture::Crate.word()));
    less(&of(to), &of(from))
}
