//! What is claimed of counts and times.

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};

use super::rows::Row;
use super::{Found, Kind};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-CLS-09",
        Source::of("NeurIPS 2023", "section 2; complexity of a layer"),
        Whose::Authors,
        "A CRATE layer costs less than a transformer's",
        &[
            Criterion::at_most(
                "forward pass over that of a ViT as wide, largest over sizes",
                1.0,
                |found: &Found| largest(found, Kind::AsWide, |_, vit| 1.0 / vit.forward),
            ),
            Criterion::at_most("the same of loss and gradients", 1.0, |found| {
                largest(found, Kind::AsWide, |_, vit| 1.0 / vit.backward)
            })
            .secondary(),
            Criterion::at_most(
                "multiply-adds over those of a ViT as wide, away from (5 d + 2 N) / (12 d + 2 N), per cent",
                5.0,
                |found| largest(found, Kind::AsWide, away),
            )
            .check(),
        ],
    )
    .beside(&[Number::of(
        "multiply-adds over those of a ViT as wide, largest over sizes",
        |found: &Found| largest(found, Kind::AsWide, counts),
    )]),
    Claim::new(
        "C-CLS-09-parameters",
        Source::of("this project", "count of the official code's products"),
        Whose::Project,
        "With as many parameters CRATE has more to multiply than a ViT",
        &[
            Criterion::at_least(
                "multiply-adds over those of a ViT with as many parameters, least over sizes",
                1.0,
                |found: &Found| least(found, Kind::AsLarge, counts),
            ),
            Criterion::at_most(
                "parameters of the two, away from each other, largest over sizes, per cent",
                2.0,
                |found| {
                    largest(found, Kind::AsLarge, |own, vit| {
                        100.0 * (own.parameters as f64 / vit.parameters as f64 - 1.0).abs()
                    })
                },
            )
            .check(),
        ],
    )
    .beside(&[
        Number::of("forward pass over that one's, least over sizes", |found: &Found| {
            least(found, Kind::AsLarge, |_, vit| 1.0 / vit.forward)
        }),
        Number::of("forward pass over that one's, largest over sizes", |found| {
            largest(found, Kind::AsLarge, |_, vit| 1.0 / vit.forward)
        }),
    ]),
];
// ANCHOR_END: claims

/// Multiply-adds of CRATE over those of a ViT.
fn counts(own: &Row, vit: &Row) -> f64 {
    own.multiply_adds as f64 / vit.multiply_adds as f64
}

/// How far the ratio of counts is from that of two layers, per cent.
fn away(own: &Row, vit: &Row) -> f64 {
    let (d, n) = (own.d as f64, own.tokens as f64);
    let layers = (5.0 * d + 2.0 * n) / (12.0 * d + 2.0 * n);
    100.0 * (counts(own, vit) / layers - 1.0).abs()
}

/// What `of` makes of every CRATE and the ViT of a kind beside it.
fn ratios(found: &Found, kind: Kind, of: fn(&Row, &Row) -> f64) -> impl Iterator<Item = f64> + '_ {
    let crates = found.results.iter().filter(|row| row.kind == Kind::Crate);
    crates.filter_map(move |own| {
        let mut vits = found.results.iter();
        let vit = vits.find(|row| row.kind == kind && row.size == own.size)?;
        Some(of(own, vit))
    })
}

/// Of these timings, whatever another run would give.
fn largest(found: &Found, kind: Kind, of: fn(&Row, &Row) -> f64) -> Option<Measured> {
    ratios(found, kind, of)
        .reduce(f64::max)
        .map(Measured::exact)
}

/// See [`largest`].
fn least(found: &Found, kind: Kind, of: fn(&Row, &Row) -> f64) -> Option<Measured> {
    ratios(found, kind, of)
        .reduce(f64::min)
        .map(Measured::exact)
}
