//! MaskCut against the official code. `tests/fixtures/mask_cut.json` comes from `make_mask_cut.py` beside it.

use ndarray::{Array1, Array2};
use serde::Deserialize;
use whitebox::measure::segmentation::mask_cut::{
    affinity, second_vector, Foreground, MaskCut, Rejection,
};

#[derive(Deserialize)]
struct Case {
    kind: String,
    side: usize,
    tau: f64,
    features: Vec<Vec<f64>>,
    /// Masks with eigenvectors that are positive at the largest `|v|`, and with those that are negative.
    positive: Vec<Vec<String>>,
    negative: Vec<Vec<String>>,
    /// The second and third eigenvalue are apart; this is the second of each round.
    values: Vec<f64>,
    first_vector: Vec<f64>,
}

impl Case {
    fn features(&self) -> Array2<f64> {
        let d = self.features[0].len();
        Array2::from_shape_fn((self.features.len(), d), |(i, j)| self.features[i][j])
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../fixtures/mask_cut.json")).unwrap()
}

fn shown(mask: &Array2<bool>) -> Vec<String> {
    let row = |row: ndarray::ArrayView1<'_, bool>| {
        row.iter()
            .map(|&inside| if inside { '#' } else { '.' })
            .collect()
    };
    mask.outer_iter().map(row).collect()
}

#[test]
fn masks_are_those_of_the_official_code_for_either_sign_of_the_eigenvector() {
    let mut differ = 0;
    for (number, case) in cases().iter().enumerate() {
        let signs = [
            (Foreground::SeedSideUnlessCorners, &case.positive),
            (Foreground::SeedSide, &case.negative),
        ];
        for (foreground, official) in signs {
            let settings = MaskCut {
                tau: case.tau,
                rounds: official.len(),
                foreground,
                rejection: Rejection::HoldsOneRound,
            };
            let grid = [case.side, case.side];
            let rounds = settings.masks(case.features().view(), grid).unwrap();
            let masks: Vec<Vec<String>> = rounds.iter().map(|round| shown(&round.mask)).collect();
            assert_eq!(&masks, official, "case {number}, {}", case.kind);
            // The own search has the same masks up to where it ends.
            let own = MaskCut {
                rejection: Rejection::Ends,
                ..settings
            };
            let own = own.masks(case.features().view(), grid).unwrap();
            assert_eq!(own[..], rounds[..own.len()], "case {number}, {}", case.kind);
        }
        differ += usize::from(case.positive != case.negative);
    }
    assert!(differ >= 2, "{differ}");
}

#[test]
fn the_symmetric_form_has_the_eigenvector_of_the_generalised_one() {
    for (number, case) in cases().iter().enumerate() {
        let a = affinity(case.features().view(), case.tau).unwrap();
        let second = second_vector(a.view()).unwrap();
        // LAPACK finds values of a matrix of norm 1 to some `n u`.
        let error = (second.value - case.values[0]).abs();
        assert!(error < 1e-12, "case {number}: {error:e}");
        let official = Array1::from(case.first_vector.clone());
        let cosine = second.vector.dot(&official)
            / (second.vector.dot(&second.vector) * official.dot(&official)).sqrt();
        assert!(cosine >= 1.0 - 1e-10, "case {number}: {cosine}");
    }
}
