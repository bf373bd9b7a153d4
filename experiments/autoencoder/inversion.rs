//! Do layers of the decoder undo those of the encoder?

use serde::Serialize;
use whitebox::claim::{Claim, Criterion, Number, Source, Whose};
use whitebox::harness::comparison::means;
use whitebox::harness::experiment::Shown;
use whitebox::measure::halves::matched_less_mismatched;
use whitebox::Result;

use super::row::{beside, mean, summary, Row};
use super::{Found, CRATE, PAPER, VIT};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-MAE-07",
    Source::of(
        PAPER,
        "section 3: the decoder's layers invert the encoder's",
    ),
    Whose::Authors,
    "Layers of the decoder undo those of the encoder one by one",
    &[
        Criterion::at_least(
            "R^2 from decoder to encoder, matched less other layers",
            0.05,
            |found| mean(found, CRATE, matched),
        ),
        Criterion::at_least("less that of the untrained network", 0.0, |found| {
            beside(found, (CRATE, false), |own, other| {
                matched(own) - matched(other)
            })
        })
        .control(),
    ],
)
.beside(&[Number::of(
    "ViT-MAE: matched less other layers",
    |found: &Found| mean(found, VIT, matched),
)])];
// ANCHOR_END: claims

fn matched(row: &Row) -> f64 {
    matched_less_mismatched(&row.agreement)
}

/// A pair of layers of a network.
#[derive(Serialize)]
struct PairLine<'a> {
    network: &'a str,
    seed: u64,
    trained: bool,
    decoder_layer: usize,
    encoder_layer: usize,
    agreement: f64,
}

fn pair_lines(row: &Row) -> impl Iterator<Item = PairLine<'_>> {
    row.agreement.iter().enumerate().flat_map(move |(l, line)| {
        line.iter().enumerate().map(move |(i, agreement)| PairLine {
            network: &row.network,
            seed: row.seed,
            trained: row.trained,
            decoder_layer: l + 1,
            encoder_layer: i + 1,
            agreement: *agreement,
        })
    })
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let lines: Vec<_> = found.networks.iter().flat_map(pair_lines).collect();
    shown.table("agreement.csv", &lines)?;
    let line = |name: &str, trained| {
        let word = if trained { "trained" } else { "untrained" };
        let found = summary(found, name, trained, matched);
        (format!("{name}, {word}"), vec![found])
    };
    let lines = [(CRATE, false), (CRATE, true), (VIT, false), (VIT, true)];
    let lines = lines.map(|(name, trained)| line(name, trained));
    shown.say(means(&["R^2, matched less other layers"], 3, &lines));
    Ok(())
}
