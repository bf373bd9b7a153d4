//! Do heads stand for parts of objects?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};

use super::arms::{CRATE, CRATE_LEARNS, VIT};
use super::row::{end, learned, mean};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-05",
    Source::of(PAPER, "figure 7"),
    Whose::Authors,
    "Heads of CRATE's last layer but one stand for parts of objects, the same in every scene",
    &[
        Criterion::at_least(
            "information of the strongest head on the part, less that with permuted heads, nats",
            0.0,
            |found: &Found| {
                mean(found, CRATE, |row| {
                    row.parts.information - row.parts.permuted
                })
            },
        ),
        Criterion::at_most("largest p-value of a network", 0.01, |found: &Found| {
            let own = found.networks.iter();
            let own = own.filter(|row| row.arm == CRATE && row.epoch == end(found));
            own.map(|row| row.parts.p_value)
                .reduce(f64::max)
                .map(Measured::exact)
        })
        .secondary(),
        Criterion::at_least(
            "share of heads that read one part more in scene after scene",
            0.5,
            |found: &Found| mean(found, CRATE, |row| row.parts.stable),
        )
        .secondary(),
        Criterion::at_least(
            "information less that of CRATE untrained, nats",
            0.0,
            |found: &Found| learned(found, CRATE, |row| row.parts.information),
        )
        .control(),
        // Upper parts lie higher in the picture than lower ones: a head that prefers its top knows that without seeing.
        Criterion::at_least(
            "information less that of maps of another scene, nats",
            0.0,
            |found: &Found| {
                mean(found, CRATE, |row| {
                    row.parts.information - row.parts_elsewhere.information
                })
            },
        )
        .control(),
        CRATE_LEARNS,
    ],
)
.beside(&[
    Number::of("information in CRATE, nats", |found: &Found| {
        mean(found, CRATE, |row| row.parts.information)
    }),
    Number::of("information in the ViT, nats", |found: &Found| {
        mean(found, VIT, |row| row.parts.information)
    }),
    Number::of("share of such heads in the ViT", |found: &Found| {
        mean(found, VIT, |row| row.parts.stable)
    }),
])];
// ANCHOR_END: claims
