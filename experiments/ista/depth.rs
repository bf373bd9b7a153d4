//! How far towards the sparse code do the steps go?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::chart::{Chart, Colour, Series};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::Summary;
use whitebox::measure::unrolled::{Dictionary, Start, Step};
use whitebox::Result;

use super::{over_layers, share, Found, STEPS};

const ASKED: Source = Source::of(
    "asked by this project",
    "of NeurIPS 2023, arXiv 2306.01129, section 2.4",
);

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-18",
        ASKED,
        Whose::Project,
        "As many official steps as the network has layers, with one dictionary, would reach the sparse code",
        &[
            Criterion::at_least(
                "learned: fraction of layers with half the gap closed after 12 steps",
                0.75,
                |found: &Found| {
                    found.fraction(Dictionary::Learned, OWN, |facts, path| {
                        facts.gap_closed(path, STEPS) >= 0.5
                    })
                },
            ),
            Criterion::at_least(
                "learned: fraction of layers better than the zero code after 12 steps",
                0.75,
                |found: &Found| {
                    found.fraction(Dictionary::Learned, OWN, |_, path| {
                        path.objective[STEPS] < 1.0
                    })
                },
            )
            .secondary(),
            Criterion::at_least(
                "rotation: fraction of layers with half the gap closed by one step of 1 / L",
                1.0,
                solved,
            )
            .check(),
        ],
    ),
    Claim::new(
        "C-THY-18-learned",
        ASKED,
        Whose::Project,
        "Training brings the dictionaries nearer to where one step is enough",
        &[Criterion::at_least(
            "fraction of layers where one step of 1 / L closes more of the gap after training",
            0.8,
            gains,
        )],
    ),
];

/// The block's own steps: the official length, from its input.
const OWN: (Start, Step) = (Start::Warm, Step::Official);

/// What is known: a rotation is solved by one step.
fn solved(found: &Found) -> Option<Measured> {
    let once = (Start::Clamped, Step::Inverse);
    found.fraction(Dictionary::Rotation, once, |facts, path| {
        facts.gap_closed(path, 1) >= 0.5
    })
}

/// Fraction of a network's layers in which one step of 1 / L closes more of the gap after training than before.
fn gains(found: &Found) -> Option<Measured> {
    let one_step = |dictionary| found.layers(dictionary, Start::Clamped, Step::Inverse);
    let after = one_step(Dictionary::Learned).into_iter();
    let pairs = after.zip(one_step(Dictionary::Initial));
    let pairs = pairs.map(|((own, after), (initial, before))| {
        let shares = [initial.gap_closed(before, 1), own.gap_closed(after, 1)];
        (own.seed, share(shares[1] > shares[0]))
    });
    over_layers(pairs)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let lines = [
        ("learned, one step of 0.1", Dictionary::Learned, 1),
        ("learned, 12 steps of 0.1", Dictionary::Learned, STEPS),
        ("initial, one step of 0.1", Dictionary::Initial, 1),
        ("initial, 12 steps of 0.1", Dictionary::Initial, STEPS),
    ];
    let series = lines.into_iter().enumerate();
    let series = series.map(|(kind, (name, dictionary, steps))| {
        let layers = found.layers(dictionary, Start::Warm, Step::Official);
        let depth = layers.iter().map(|(facts, _)| facts.layer).max();
        let at = |layer: usize| {
            let own = layers.iter().filter(move |(facts, _)| facts.layer == layer);
            own.map(|(facts, path)| facts.gap_closed(path, steps))
        };
        let layers = 1..=depth.unwrap_or(0);
        let values = layers.map(|layer| Summary::of(&at(layer).collect::<Vec<_>>()));
        Series::by_layer(name, Colour::Kind(kind), values.collect())
    });
    let chart = Chart::by_layer(
        "How far ISTA goes from the clamped input to the sparse code",
        "share of the gap closed",
        series.collect(),
    );
    shown.chart("gap.svg", &chart)
}
