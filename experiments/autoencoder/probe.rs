//! What does a linear probe find in its features?

use whitebox::claim::{Claim, Criterion, Number, Source, Whose};
use whitebox::harness::comparison::means;
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::Summary;

use super::row::{beside, mean, summary, Row};
use super::{Found, CRATE, PAPER, VIT};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-MAE-02",
    Source::of(
        PAPER,
        "linear probes; book, chapter 7, table of linear probes",
    ),
    Whose::Authors,
    "A linear probe finds in CRATE-MAE's features what it does not find in pixels",
    &[
        Criterion::at_least(
            "probe on the mean token less on pixels, points",
            5.0,
            |found| {
                mean(found, CRATE, |row| {
                    points(row.probe_mean) - points(found.floors.probe_pixels)
                })
            },
        ),
        Criterion::at_least("less that of the untrained network, points", 5.0, |found| {
            beside(found, (CRATE, false), |own, other| {
                points(own.probe_mean) - points(other.probe_mean)
            })
        })
        .control(),
        Criterion::at_least("less that of ViT-MAE, points", -5.0, |found| {
            beside(found, (VIT, true), |own, other| {
                points(own.probe_mean) - points(other.probe_mean)
            })
        })
        .secondary(),
    ],
)
.beside(&[
    Number::of("probe on the mean token, per cent", |found: &Found| {
        mean(found, CRATE, |row| points(row.probe_mean))
    }),
    Number::of("probe on the class token, per cent", |found: &Found| {
        mean(found, CRATE, |row| points(row.probe_class))
    }),
])];
// ANCHOR_END: claims

fn points(share: f64) -> f64 {
    100.0 * share
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) {
    let pixels = Summary::of(&[points(found.floors.probe_pixels)]);
    let mut lines = vec![("pixels".to_owned(), vec![pixels])];
    for name in [CRATE, VIT] {
        for trained in [false, true] {
            let word = if trained { "trained" } else { "untrained" };
            let of =
                |value: fn(&Row) -> f64| summary(found, name, trained, |row| points(value(row)));
            let cells = vec![of(|row| row.probe_mean), of(|row| row.probe_class)];
            lines.push((format!("{name}, {word}"), cells));
        }
    }
    let columns = ["mean token, per cent", "class token, per cent"];
    shown.say(means(&columns, 2, &lines));
}
