//! Which sign of the step raises the ratio of signal to noise, and which the rate, on tokens as they are.

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::harness::run::Run;
use whitebox::measure::denoising::BothSigns;
use whitebox::measure::statistics::fraction;
use whitebox::{parallel, Result};

use crate::settings::Compression as Settings;
use crate::{named, Found, Named};

// The catalogue asks for all of 20 draws: of a fixed set, which no number of draws would show of all others.
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SUP-03",
    Source::of(
        "derived by this project",
        "bears on arXiv 2306.01129, 2404.02446, 2411.17182",
    ),
    Whose::Project,
    "Z + M raises the signal-to-noise ratio while R^c rises; Z - M lowers both",
    &[
        Criterion::at_least(RAISES_RATIO, 1.0, |found: &Found| {
            number(found, RAISES_RATIO)
        }),
        Criterion::at_least(RAISES_RATE, 1.0, |found: &Found| number(found, RAISES_RATE))
            .secondary(),
        Criterion::at_least(LOWERS_RATIO, 1.0, |found: &Found| {
            number(found, LOWERS_RATIO)
        })
        .secondary(),
        Criterion::at_least(LOWERS_RATE, 1.0, |found: &Found| number(found, LOWERS_RATE))
            .secondary(),
    ],
)
.beside(&[
    Number::of(RATIOS[0], |found: &Found| number(found, RATIOS[0])),
    Number::of(RATIOS[1], |found: &Found| number(found, RATIOS[1])),
    Number::of(RATIOS[2], |found: &Found| number(found, RATIOS[2])),
    Number::of(RATIOS[3], |found: &Found| number(found, RATIOS[3])),
    Number::of(RATES[0], |found: &Found| number(found, RATES[0])),
    Number::of(RATES[1], |found: &Found| number(found, RATES[1])),
    Number::of(RATES[2], |found: &Found| number(found, RATES[2])),
])];

const RAISES_RATIO: &str = "draws where Z + M raises the ratio";
const RAISES_RATE: &str = "draws where Z + M raises R^c";
const LOWERS_RATIO: &str = "draws where Z - M lowers the ratio";
const LOWERS_RATE: &str = "draws where Z - M lowers R^c";
const RATIOS: [&str; 4] = [
    "signal-to-noise ratio of Z",
    "of Z + M",
    "of Z - M",
    "of the exact step at kappa c = 1",
];
const RATES: [&str; 3] = ["R^c of Z", "R^c of Z + M", "R^c of Z - M"];

fn number(found: &Found, quantity: &str) -> Option<Measured> {
    let share = named(&found.compression.signs, quantity)?;
    Some(Measured::exact(share.value))
}

/// Share of draws in which all four signs are as claimed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    noise: f64,
    p: usize,
    tokens: usize,
    all_four: f64,
}

/// The numbers of the claim, and the region of noise, width and number of tokens in which it holds.
pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<(Vec<Named>, Vec<Row>)> {
    let both_signs = |noise, p, tokens, draws| {
        let model = UnionOfSubspaces::new(settings.heads, p, tokens, noise);
        parallel::map(draws, run.threads, |draw| {
            BothSigns::of(&model.draw(run.seed, draw)?, settings.sign_epsilon)
        })
    };
    let (noise, tokens) = (settings.sign_noise, settings.sign_tokens);
    let draws = both_signs(noise, settings.p, tokens, settings.draws)?;
    let share =
        |quantity, holds: fn(&BothSigns) -> bool| Named::new(quantity, fraction(&draws, holds));
    let mut signs = vec![
        share(RAISES_RATIO, BothSigns::raises_ratio),
        share(RAISES_RATE, BothSigns::raises_rate),
        share(LOWERS_RATIO, BothSigns::lowers_ratio),
        share(LOWERS_RATE, BothSigns::lowers_rate),
    ];
    let mean =
        |of: &dyn Fn(&BothSigns) -> f64| draws.iter().map(of).sum::<f64>() / draws.len() as f64;
    let ratios = RATIOS.into_iter().enumerate();
    signs.extend(ratios.map(|(i, quantity)| Named::new(quantity, mean(&|d| d.ratios[i]))));
    let rates = RATES.into_iter().enumerate();
    signs.extend(rates.map(|(i, quantity)| Named::new(quantity, mean(&|d| d.rates[i]))));
    let mut region = Vec::new();
    for noise in [0.05, 0.1, 0.3, 0.5, 0.8] {
        for p in [4, 16, 64] {
            for tokens in [64, 256] {
                let draws = both_signs(noise, p, tokens, settings.region_draws)?;
                region.push(Row {
                    noise,
                    p,
                    tokens,
                    all_four: fraction(&draws, BothSigns::opposite),
                });
            }
        }
    }
    Ok((signs, region))
}
