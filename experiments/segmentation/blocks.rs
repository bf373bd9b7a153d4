//! Is it MSSA that finds the object?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::measure::statistics::two_by_two;

use super::arms::{
    CRATE, CRATE_LEARNS, EQUAL_PARAMETERS, MHSA_AND_ISTA, MSSA_AND_MLP, VIT, VIT_LEARNS,
};
use super::row::{ahead, end, values, Row};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-SEG-04",
    Source::of(PAPER, "table 2"),
    Whose::Authors,
    "MSSA in place of a transformer's attention is what finds the object",
    &[
        Criterion::at_least(
            "mean effect of MSSA on the overlap of a head chosen on other scenes",
            0.0,
            |found: &Found| effect(found, MSSA, |row| row.chosen),
        ),
        // Published: 7.9 points.
        Criterion::at_least("the same beside a perceptron", 0.0, |found: &Found| {
            ahead(found, MSSA_AND_MLP, VIT, |row| row.chosen)
        })
        .secondary(),
        Criterion::at_least(
            "the same less that in untrained networks",
            0.0,
            |found: &Found| {
                let [trained, start] =
                    [end(found), 0].map(|epoch| effects(found, epoch, MSSA, |row| row.chosen));
                let pairs = trained?.into_iter().zip(start?);
                let differences: Vec<f64> = pairs.map(|(own, start)| own - start).collect();
                Some(Measured::mean(Unit::Network, &differences))
            },
        )
        .control(),
        EQUAL_PARAMETERS,
        CRATE_LEARNS,
        VIT_LEARNS,
    ],
)
.beside(&[
    Number::of("mean effect of ISTA", |found: &Found| {
        effect(found, ISTA, |row| row.chosen)
    }),
    Number::of("by how much more MSSA does with ISTA", |found: &Found| {
        effect(found, INTERACTION, |row| row.chosen)
    }),
    Number::of(
        "mean effect of MSSA on the last layer's best head",
        |found: &Found| effect(found, MSSA, |row| row.last().best),
    ),
    Number::of(
        "mean effect of MSSA on MaskCut's overlap",
        |found: &Found| effect(found, MSSA, |row| row.last().cut),
    ),
    Number::of(
        "mean effect of ISTA on MaskCut's overlap",
        |found: &Found| effect(found, ISTA, |row| row.last().cut),
    ),
    Number::of(
        "mean effect of MSSA on the accuracy, points",
        |found: &Found| effect(found, MSSA, |row| 100.0 * row.accuracy),
    ),
])];
// ANCHOR_END: claims

/// Places among the effects.
const MSSA: usize = 0;
const ISTA: usize = 1;
const INTERACTION: usize = 2;

/// An effect on the networks of each seed after an epoch; none if an arm is missing.
fn effects(
    found: &Found,
    epoch: usize,
    which: usize,
    value: impl Fn(&Row) -> f64,
) -> Option<Vec<f64>> {
    let cells = [[VIT, MHSA_AND_ISTA], [MSSA_AND_MLP, CRATE]]
        .map(|arms| arms.map(|arm| values(found, (arm, epoch), &value)));
    let of_seed = |&(seed, _): &(u64, f64)| {
        let mut numbers = [[0.0; 2]; 2];
        for (numbers, cells) in numbers.iter_mut().zip(&cells) {
            for (number, cell) in numbers.iter_mut().zip(cells) {
                *number = cell.iter().find(|(other, _)| *other == seed)?.1;
            }
        }
        Some(two_by_two(numbers)[which])
    };
    cells[1][1].iter().map(of_seed).collect()
}

/// Its mean over the trained networks.
fn effect(found: &Found, which: usize, value: impl Fn(&Row) -> f64) -> Option<Measured> {
    let effects = effects(found, end(found), which, value)?;
    Some(Measured::mean(Unit::Network, &effects))
}
