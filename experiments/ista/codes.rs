//! What do the codes keep of the tokens?

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::measure::unrolled::{Dictionary, LayerFacts};

use super::{over_layers, share, Found, BOOK};

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-THY-20",
        Source::of(BOOK, "paragraph on sparsification"),
        Whose::Authors,
        "The dictionaries keep the coding rate of the codes: R(D X) is near R(X)",
        &[
            Criterion::at_least(
                "learned: fraction of layers where R(D X) is within a tenth of R(X)",
                0.8,
                |found: &Found| layers(found, Dictionary::Learned, |f| f.rate_change <= 0.1),
            ),
            Criterion::at_most(
                "initial: fraction of layers where R(D X) is within a tenth of R(X)",
                0.5,
                |found: &Found| layers(found, Dictionary::Initial, |f| f.rate_change <= 0.1),
            )
            .control(),
            Criterion::at_most(
                "rotation: largest relative change of R",
                1e-10,
                |found: &Found| {
                    let rotations = found.results.layers.iter();
                    let rotations = rotations.filter(|f| f.dictionary == Dictionary::Rotation);
                    let largest = rotations.map(|f| f.rate_change).reduce(f64::max)?;
                    Some(Measured::exact(largest))
                },
            )
            .check(),
        ],
    )
    .pilot_informed(),
    Claim::new(
        "C-THY-21",
        Source::of(
            "ICLR 2024, arXiv 2404.02446",
            "the decoder's D inverts the encoder's ISTA",
        ),
        Whose::Authors,
        "D ISTA(Z) is nearer to Z than nothing is",
        &[
            Criterion::at_least(
                "learned: fraction of layers where ||D X - Z|| < ||Z||",
                0.75,
                |found: &Found| layers(found, Dictionary::Learned, |f| f.reconstruction < 1.0),
            ),
            Criterion::at_least(
                "rotation, step 1: fraction of layers where ||D X - Z|| < ||Z||",
                1.0,
                |found: &Found| layers(found, Dictionary::Rotation, |f| f.reconstruction < 1.0),
            )
            .check(),
        ],
    ),
];

fn layers(
    found: &Found,
    dictionary: Dictionary,
    holds: fn(&LayerFacts) -> bool,
) -> Option<Measured> {
    let facts = found.results.layers.iter();
    let facts = facts.filter(|f| f.dictionary == dictionary);
    over_layers(facts.map(|f| (f.seed, share(holds(f)))))
}
