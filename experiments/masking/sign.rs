//! Does it matter that the decoder takes its attention away?
//!
//! That the two kinds of decoder are the same functions is a theorem (C-MAE-08): turning the output projection with the sign
//! undoes it. Its first values are symmetric, and AdamW takes the mirrored steps for mirrored gradients, so that from all
//! starts together even what is learned is the same. What is measured here is what that leaves: how far two such networks
//! from the same seed are apart.

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::comparison::{less, means, over_seeds, BySeed};
use whitebox::harness::experiment::Shown;
use whitebox::model::autoencoder::{AutoencoderConfig, DecoderSign};
use whitebox::model::{Autoencoder, Network};
use whitebox::Result;

use super::networks::{by_seed, Row, Variant, PLAIN};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-MAE-08-retrained",
    Source::of(
        PAPER,
        "section 3, official model/crate_ae: the decoder takes attention away",
    ),
    Whose::Project,
    "A decoder that adds its attention learns to reconstruct as well as one that takes it away",
    &[
        Criterion::at_most(
            "logarithms of the errors differ by",
            0.05,
            |found: &Found| Some(apart(found, |row| row.error.ln())?.size()),
        ),
        Criterion::at_most(
            "predictions after turning sign and output, largest difference over largest number",
            1e-5,
            |found: &Found| largest_of(&found.turned, |own| own.both),
        )
        .check(),
    ],
)
.beside(&[
    Number::of("the same after turning the sign alone", |found: &Found| {
        largest_of(&found.turned, |own| own.sign)
    }),
    Number::of(
        "probe on the mean token, added less taken away, points",
        |found: &Found| apart(found, |row| row.probe_mean),
    ),
])];
// ANCHOR_END: claims

/// How predictions of a network change: the largest difference over the largest number.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Turned {
    /// If the decoder adds what it took away, and its output projections are turned.
    both: f64,
    /// If it adds what it took away.
    sign: f64,
}

impl Turned {
    /// Of whole pictures.
    pub(crate) fn of(network: &Autoencoder<f32, Cpu>, pictures: &[f32]) -> Result<Self> {
        let config = AutoencoderConfig {
            decoder_sign: DecoderSign::Plus,
            ..*network.config()
        };
        let before = network.reconstruct(pictures, &[])?;
        let mut other = Autoencoder::new(config, 0, &Cpu::default())?;
        let mut parameters = network.parameters();
        let mut change = |turned: bool| -> Result<f64> {
            for found in &mut parameters {
                let name = &found.parameter.name;
                if turned && name.starts_with("decoder_blocks.") && name.contains(".to_out.") {
                    found.values.iter_mut().for_each(|value| *value = -*value);
                }
            }
            other.set_parameters(&parameters)?;
            let after = other.reconstruct(pictures, &[])?;
            let largest = before.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            let pairs = before.iter().zip(&after);
            let apart = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            Ok(f64::from(apart) / f64::from(largest))
        };
        Ok(Self {
            sign: change(false)?,
            both: change(true)?,
        })
    }
}

/// The largest over the seeds of what follows without any chance from a network.
fn largest_of(turned: &[Turned], value: fn(&Turned) -> f64) -> Option<Measured> {
    let largest = turned.iter().map(value).reduce(f64::max)?;
    Some(Measured::exact(largest))
}

/// What `value` is of the networks of a sign.
fn of(found: &Found, sign: DecoderSign, value: fn(&Row) -> f64) -> BySeed {
    by_seed(&found.networks, Variant { sign, ..PLAIN }, true, value)
}

/// Networks that add less those that take away, seed by seed.
fn apart(found: &Found, value: fn(&Row) -> f64) -> Option<Measured> {
    let [plus, minus] = [DecoderSign::Plus, DecoderSign::Minus].map(|sign| of(found, sign, value));
    less(&plus, &minus)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) {
    let values: [fn(&Row) -> f64; 2] = [|row| row.error, |row| row.probe_mean];
    let signs = [
        ("taken away", DecoderSign::Minus),
        ("added", DecoderSign::Plus),
    ];
    let lines = signs.map(|(name, sign)| {
        let cells = values.map(|value| over_seeds(&of(found, sign, value)));
        (format!("attention {name}"), cells.to_vec())
    });
    shown.say(means(&["error", "mean token, per cent"], 3, &lines));
}
