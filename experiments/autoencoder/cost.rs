//! What does it reconstruct with how much?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::comparison::means;
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::Summary;
use whitebox::model::autoencoder::AutoencoderConfig;

use super::material::Floors;
use super::row::{beside, mean, summary};
use super::{Found, CRATE, PAPER, VIT};

/// Parameters of the ViT-MAE-Small that the paper's table has beside CRATE-MAE-Small, millions: no size that is known
/// has them.
const PUBLISHED_SMALL: f64 = 47.6;

/// Parameters of the MAE-Base of He et al. (facebookresearch/mae), millions.
const HE_BASE: f64 = 111.907_84;

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-MAE-01",
        Source::of(PAPER, "abstract and table of sizes"),
        Whose::Authors,
        "CRATE-MAE has about 30 % of the parameters of ViT-MAE",
        &[
            Criterion::at_most("Base: parameters over those of its ViT-MAE", 0.35, |_| {
                share("mae-crate-base", millions("mae-vit-base")?)
            }),
            Criterion::at_most(
                "Small: parameters over the 47.6 M of the paper's ViT-MAE",
                0.35,
                |_| share("mae-crate-small", PUBLISHED_SMALL),
            )
            .secondary(),
        ],
    )
    .beside(&[Number::of(
        "Base: parameters over those of the MAE-Base of He et al.",
        |_| share("mae-crate-base", HE_BASE),
    )]),
    Claim::new(
        "C-MAE-03",
        Source::of(PAPER, "table 1"),
        Whose::Authors,
        "CRATE-MAE reconstructs as well as a transformer of its size",
        &[
            Criterion::at_most("error over that of ViT-MAE", 1.15, |found| {
                beside(found, (VIT, true), |own, other| own.error / other.error)
            }),
            Criterion::at_most("error over that of the mean of the data", 0.5, |found| {
                over(found, |floors| floors.constant)
            })
            .control(),
            Criterion::at_most("error over that of a harmonic surface", 1.0, |found| {
                over(found, |floors| floors.harmonic)
            })
            .control(),
            Criterion::at_most("error over that of the best linear guess", 1.0, |found| {
                over(found, |floors| floors.linear)
            })
            .control(),
        ],
    )
    .beside(&[Number::of(
        "ViT-MAE: error over that of the best linear guess",
        |found: &Found| mean(found, VIT, |row| row.error / found.floors.linear),
    )]),
];
// ANCHOR_END: claims

fn millions(preset: &str) -> Option<f64> {
    let config = AutoencoderConfig::preset(preset).ok()?;
    Some(config.parameters() as f64 * 1e-6)
}

fn share(preset: &str, of: f64) -> Option<Measured> {
    Some(Measured::exact(millions(preset)? / of))
}

/// The error of CRATE-MAE over a floor.
fn over(found: &Found, floor: fn(&Floors) -> f64) -> Option<Measured> {
    let floor = floor(&found.floors);
    mean(found, CRATE, |row| row.error / floor)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) {
    let floors = &found.floors;
    let exact = |value: f64| vec![Summary::of(&[value])];
    let mut lines = vec![
        ("mean of the data".to_owned(), exact(floors.constant)),
        (
            "mean of what is seen".to_owned(),
            exact(floors.visible_mean),
        ),
        ("mean training picture".to_owned(), exact(floors.mean_image)),
        ("harmonic surface".to_owned(), exact(floors.harmonic)),
        ("best linear guess".to_owned(), exact(floors.linear)),
    ];
    for name in [CRATE, VIT] {
        let error = summary(found, name, true, |row| row.error);
        lines.push((name.to_owned(), vec![error]));
    }
    shown.say(means(&["error of masked pixels"], 4, &lines));
}
