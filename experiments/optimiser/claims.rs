//! Both methods at their best rates.

use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::comparison::{above, accuracies, less, BySeed};

use super::{Found, Row, CHOICE, COMPARISON, METHODS};

pub(super) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-CLS-08",
    Source::of(
        "NeurIPS 2023, arXiv 2306.01129",
        "appendix: Lion, against AdamW of the official code",
    ),
    Whose::Authors,
    "Lion and AdamW, each at its best learning rate, are within a point of one another",
    &[
        Criterion::at_most("the methods differ by, points", 1.0, |found: &Found| {
            let [adamw, lion] = METHODS.map(|method| compared(found, method.1));
            Some(less(&adamw, &lion)?.size())
        }),
        Criterion::at_least(
            "the lesser one less the linear classifier, points",
            2.0,
            |found: &Found| lesser_over_linear(found),
        )
        .check(),
        Criterion::at_least(
            "methods whose middle rate is better than both others",
            2.0,
            |found: &Found| Some(Measured::exact(inside(found) as f64)),
        )
        .check(),
    ],
)];

/// Accuracies of a method in the comparison, per cent, by seed.
fn compared(rows: &[Row], method: &str) -> BySeed {
    let own = |row: &Row| row.method == method && row.stage == COMPARISON;
    accuracies(rows, own, |row| (row.seed, row.accuracy))
}

/// Of the method with the lower mean.
fn lesser_over_linear(found: &Found) -> Option<Measured> {
    let linear = 100.0 * found.settings.linear_accuracy;
    let over = METHODS.map(|method| above(&compared(found, method.1), linear));
    over.into_iter().min_by(|a, b| a.value.total_cmp(&b.value))
}

/// Methods that do better at the middle one of their rates than at either end. Of two that are equal it is not
/// known on which side the best one lies.
fn inside(rows: &[Row]) -> usize {
    let middle_is_best = |method: &str, rates: [f64; 3]| {
        let own = |row: &&Row| row.method == method && row.stage == CHOICE;
        let of = |rate| {
            let mut own = rows.iter().filter(own);
            own.find(|row| row.learning_rate == rate)
                .map(|row| row.accuracy)
        };
        of(rates[1]) > of(rates[0]) && of(rates[1]) > of(rates[2])
    };
    let inside = METHODS
        .iter()
        .filter(|(_, method, rates, _)| middle_is_best(method, *rates));
    inside.count()
}
