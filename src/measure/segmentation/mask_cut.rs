//! MaskCut (Wang et al. 2023, official `maskcut/maskcut.py` of facebookresearch/CutLER) without its refinement by a
//! conditional random field: objects as normalised cuts (Shi and Malik 2000) of the graph of patches, one after the
//! other. Its first round with [`Foreground::SeedSide`] is TokenCut (Wang et al. 2022).
//!
//! A round: patches whose features have a cosine above `tau` are joined ([`affinity`]); the second eigenvector of the
//! graph ([`second_vector`]) is cut at its mean; one side is the foreground; of that the 4-connected piece with the
//! seed, its most extreme patch, is the mask. The patches found lose their features and the next round begins.
//!
//! # Two traps of the sign
//! An eigenvector has none, and LAPACK returns either.
//!
//! 1. **Corners against seed.** The official code reverses the sides if three corners or more lie above the mean, and
//!    only otherwise if the seed, the largest `|v|`, lies below. With `v(seed) > 0` the foreground is the seed's side
//!    unless that has three corners; with `v(seed) < 0` it is the seed's side, always. They differ where the seed's
//!    side has three corners, and the official result there is the whim of LAPACK. [`Foreground`] names both.
//! 2. **Two seeds.** Where the graph is symmetric, `v` is as large as it is small, and rounding says which is the
//!    largest `|v|`. Entries within [`TIE`] of it count as equal, and the first patch of them is the seed.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::overlap::intersection_over_union;
use crate::error::{Error, Result};
use crate::exact::spectrum::symmetric_eigen;

/// The weight between patches that are not joined: the graph stays connected.
pub const WEAK: f64 = 1e-5;

/// Corners on the seed's side from which on it is taken for the ground.
pub const CORNERS: usize = 3;

/// Overlap with the mask of the round before, above which a mask is rejected.
pub const OVERLAP: f64 = 0.5;

/// Share of the patches, up to which a mask is rejected in the second round and later.
pub const SMALL: f64 = 0.01;

/// Relative to the largest, how far an entry of the eigenvector may be from it and still count as equal.
pub const TIE: f64 = 1e-9;

/// Which side of a cut is the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreground {
    /// That of the patch with the largest `|v|`: the official code where `v` is negative there. TokenCut.
    SeedSide,
    /// That, unless [`CORNERS`] of the four corners lie in it: the official code where `v` is positive there. Then the
    /// seed is the most extreme patch of the other side.
    SeedSideUnlessCorners,
}

/// What follows a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The end: the next round would see the same graph and find the same.
    Ends,
    /// The official code: the round has an empty mask, and the next one, which finds the same again, compares it with
    /// that and keeps what no mask has yet. A rejection for overlap holds for one round.
    HoldsOneRound,
}

/// The settings of a cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskCut {
    /// Cosine above which patches are joined: 0.15 in CPAL 2024 and for CutLER's published masks, 0.2 where the
    /// official code is not told otherwise.
    pub tau: f64,
    /// Masks at most: 3.
    pub rounds: usize,
    /// Which side is the object.
    pub foreground: Foreground,
    /// What follows a rejection.
    pub rejection: Rejection,
}

/// The second eigenvector of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondVector {
    /// `v`, of length 1 in `v^T D v`, positive at the seed.
    pub vector: Array1<f64>,
    /// The patch with the largest `|v|`: the first of those within [`TIE`].
    pub seed: usize,
    /// Its eigenvalue: no cut has a lower value of [`normalised_cut`].
    pub value: f64,
    /// By how much the third is larger: at 0 the vector is any of a plane, and a cut by it is arbitrary. Infinite for
    /// two patches.
    pub gap: f64,
}

/// What a round found.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// The mask (rows, columns), without the patches of earlier ones; empty if it was rejected.
    pub mask: Array2<bool>,
    /// The eigenvector (rows, columns), positive at the largest `|v|`: to be shown, or cut otherwise.
    pub vector: Array2<f64>,
    /// [`SecondVector::gap`].
    pub gap: f64,
}

/// The graph of patches: `A_ij = 1` if `cos(f_i, f_j) > tau`, else [`WEAK`]; also for `i = j`. A feature of zeros has
/// cosine 0 with all.
///
/// # Shapes
/// features (n, d), a patch a row, all heads side by side; gives (n, n).
///
/// # Errors
/// [`Error::Domain`] if `tau` is not in [0, 1), or a feature is not finite.
pub fn affinity(features: ArrayView2<'_, f64>, tau: f64) -> Result<Array2<f64>> {
    if !(0.0..1.0).contains(&tau) {
        return Err(Error::domain(
            "tau",
            "at least 0 and less than 1",
            tau.to_string(),
            "the papers take 0.15 to 0.3",
        ));
    }
    if let Some(((patch, _), value)) = features.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::domain(
            "features",
            "finite numbers",
            format!("{value} at patch {patch}"),
            "check the network that they come from",
        ));
    }
    let mut directions = features.to_owned();
    for mut row in directions.outer_iter_mut() {
        // By the largest first, so that no square overflows or vanishes.
        let largest = row.iter().fold(0.0f64, |most, v| most.max(v.abs()));
        if largest > 0.0 {
            row /= largest;
            let length = row.dot(&row).sqrt();
            row /= length;
        }
    }
    let cosine = directions.dot(&directions.t());
    Ok(cosine.mapv(|cosine| if cosine > tau { 1.0 } else { WEAK }))
}

/// The second smallest solution of `(D - A) v = lambda D v`, `D = diag(d)`, `d = A 1`: of all vectors with
/// `v^T D 1 = 0` the one with the least `sum_ij A_ij (v_i - v_j)^2 / 2` for its length, the relaxed indicator of the
/// smallest normalised cut (Shi and Malik 2000). From the symmetric form: `v = D^(-1/2) x`, `x` the second **largest**
/// eigenvector of `D^(-1/2) A D^(-1/2)`, whose eigenvalue is `1 - lambda`.
///
/// # Shapes
/// affinity (n, n), symmetric, positive, n at least 2.
///
/// # Errors
/// [`Error::Shape`] if it is not square or too small; [`Error::Domain`] if a number is not positive and finite;
/// [`Error::Lapack`] if the decomposition fails.
pub fn second_vector(affinity: ArrayView2<'_, f64>) -> Result<SecondVector> {
    check_affinity(affinity)?;
    let n = affinity.nrows();
    let scale = affinity
        .sum_axis(Axis(1))
        .mapv(|degree| degree.sqrt().recip());
    let scaled = &affinity * &scale * scale.view().insert_axis(Axis(1));
    let (values, vectors) = symmetric_eigen(scaled)?;
    let mut vector = &vectors.column(n - 2) * &scale;
    let seed = extreme(vector.iter().map(|v| v.abs()));
    if vector[seed] < 0.0 {
        vector *= -1.0;
    }
    Ok(SecondVector {
        vector,
        seed,
        value: 1.0 - values[n - 2],
        gap: match n {
            2 => f64::INFINITY,
            _ => values[n - 2] - values[n - 3],
        },
    })
}

/// `cut(S, T) / assoc(S) + cut(S, T) / assoc(T)` of a set `S` of patches and the rest `T`, `cut(S, T)` the weight
/// between them and `assoc(S)` that between `S` and all (Shi and Malik 2000): from 0 to 2.
///
/// # Shapes
/// affinity (n, n), symmetric, positive; side (n,).
///
/// # Errors
/// [`Error::Shape`] if they do not fit; [`Error::Domain`] if a side is empty, or a weight is not positive and finite.
pub fn normalised_cut(affinity: ArrayView2<'_, f64>, side: ArrayView1<'_, bool>) -> Result<f64> {
    check_affinity(affinity)?;
    if side.len() != affinity.nrows() {
        return Err(Error::shape(
            "side",
            format!("({},)", affinity.nrows()),
            format!("({},)", side.len()),
            "say of every patch on which side it is",
        ));
    }
    // By side of the one patch and the other.
    let mut weights = [[0.0; 2]; 2];
    for ((i, j), weight) in affinity.indexed_iter() {
        weights[usize::from(side[i])][usize::from(side[j])] += weight;
    }
    let [[inside, across], [back, outside]] = weights;
    if inside <= 0.0 || outside <= 0.0 {
        return Err(Error::domain(
            "side",
            "patches on both sides",
            "all on one",
            "cut off some patches, not all",
        ));
    }
    Ok(across / (inside + across) + back / (back + outside))
}

impl MaskCut {
    /// The masks of one image, disjoint, [`Self::rounds`] at most. The first is never rejected: in an image without an
    /// object it is a piece of the ground, and with a [`Round::gap`] near 0 a piece of nothing.
    ///
    /// # Shapes
    /// features (n, d), a patch a row in row-major order of the grid, without the class token; grid rows, columns.
    ///
    /// # Errors
    /// [`Error::Shape`] if the features are not those of the grid, or of fewer than two patches; [`Error::Domain`] if
    /// `tau` is not in [0, 1), or a feature is not finite; [`Error::Lapack`] if the decomposition fails.
    pub fn masks(
        &self,
        features: ArrayView2<'_, f64>,
        [rows, columns]: [usize; 2],
    ) -> Result<Vec<Round>> {
        let n = features.nrows();
        if n != rows * columns {
            return Err(Error::shape(
                "features",
                format!("({}, d)", rows * columns),
                format!("({n}, {})", features.ncols()),
                "drop the class token, and pass the grid of the patches",
            ));
        }
        let on_grid = |values: &Array1<f64>| {
            Array2::from_shape_fn((rows, columns), |(y, x)| values[y * columns + x])
        };
        let mut features = features.to_owned();
        let mut painted = Array2::from_elem((rows, columns), false);
        let mut previous: Option<Array2<bool>> = None;
        let mut found = Vec::new();
        for _ in 0..self.rounds {
            let second = second_vector(affinity(features.view(), self.tau)?.view())?;
            let vector = on_grid(&second.vector);
            let (side, seed) = self.foreground.of(vector.view());
            let mut piece = connected(side.view(), seed);
            let mut mask = piece.clone();
            mask.zip_mut_with(&painted, |new, &old| *new &= !old);
            if let Some(previous) = &previous {
                let again = intersection_over_union(previous.view(), piece.view())? > OVERLAP;
                match self.rejection {
                    // Too small in what is new: what has nothing new would change no graph either.
                    Rejection::Ends if again || small(&mask) => break,
                    Rejection::HoldsOneRound if again || small(&piece) => {
                        piece.fill(false);
                        mask.fill(false);
                    }
                    _ => {}
                }
            }
            let patches = piece.iter().zip(features.outer_iter_mut());
            for (_, mut feature) in patches.filter(|(inside, _)| **inside) {
                feature.fill(0.0);
            }
            painted.zip_mut_with(&piece, |old, &new| *old |= new);
            found.push(Round {
                mask,
                vector,
                gap: second.gap,
            });
            previous = Some(piece);
        }
        Ok(found)
    }
}

impl Foreground {
    /// The patches of the object's side, and its most extreme one. The vector is positive at the largest `|v|`.
    fn of(self, vector: ArrayView2<'_, f64>) -> (Array2<bool>, [usize; 2]) {
        let (rows, columns) = vector.dim();
        let mean = vector.sum() / vector.len() as f64;
        let above = vector.mapv(|v| v > mean);
        let corners = [0, rows - 1].map(|y| [0, columns - 1].map(|x| usize::from(above[[y, x]])));
        let reversed = self == Self::SeedSideUnlessCorners
            && corners.iter().flatten().sum::<usize>() >= CORNERS;
        let seed = |vector: Array2<f64>| {
            let place = extreme(vector.iter().copied());
            [place / columns, place % columns]
        };
        match reversed {
            false => (above, seed(vector.to_owned())),
            true => (above.mapv(|inside| !inside), seed(-&vector)),
        }
    }
}

/// The place of the largest number, which is positive: the first of those within [`TIE`] of it.
fn extreme(values: impl Iterator<Item = f64> + Clone) -> usize {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    let border = largest - TIE * largest.abs();
    let mut values = values;
    values.position(|value| value >= border).unwrap_or(0)
}

/// Whether a mask is of a share of [`SMALL`] of the patches at most.
fn small(mask: &Array2<bool>) -> bool {
    let count = mask.iter().filter(|&&inside| inside).count();
    count as f64 / mask.len() as f64 <= SMALL
}

/// The patches of `side` that paths over edges, not corners, lead to from `seed` within it.
pub(super) fn connected(side: ArrayView2<'_, bool>, seed: [usize; 2]) -> Array2<bool> {
    let mut piece = Array2::from_elem(side.dim(), false);
    let mut open = vec![seed];
    while let Some([y, x]) = open.pop() {
        // Beyond the first row or column the number wraps round to one that is not there.
        if side.get([y, x]) != Some(&true) || piece[[y, x]] {
            continue;
        }
        piece[[y, x]] = true;
        open.extend([
            [y.wrapping_sub(1), x],
            [y + 1, x],
            [y, x.wrapping_sub(1)],
            [y, x + 1],
        ]);
    }
    piece
}

fn check_affinity(affinity: ArrayView2<'_, f64>) -> Result<()> {
    let (n, columns) = affinity.dim();
    if n != columns || n < 2 {
        return Err(Error::shape(
            "affinity",
            "(n, n), n at least 2",
            format!("({n}, {columns})"),
            "pass the weights between all patches",
        ));
    }
    let wrong = |v: f64| !v.is_finite() || v <= 0.0;
    match affinity.indexed_iter().find(|(_, v)| wrong(**v)) {
        None => Ok(()),
        Some(((i, j), v)) => Err(Error::domain(
            "affinity",
            "positive finite weights",
            format!("{v} at {i}, {j}"),
            "join all patches, if weakly",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use crate::seed;
    use ndarray::{arr2, s};
    use rand::Rng;

    const OFFICIAL: MaskCut = MaskCut {
        tau: 0.2,
        rounds: 3,
        foreground: Foreground::SeedSideUnlessCorners,
        rejection: Rejection::HoldsOneRound,
    };
    const OWN: MaskCut = MaskCut {
        rejection: Rejection::Ends,
        ..OFFICIAL
    };

    /// Letters are directions at right angles.
    fn letters(picture: &[&str]) -> (Array2<f64>, [usize; 2]) {
        let grid = [picture.len(), picture[0].len()];
        let letters: Vec<u8> = picture.iter().flat_map(|row| row.bytes()).collect();
        let features = Array2::from_shape_fn((letters.len(), 26), |(patch, axis)| {
            f64::from(u8::from(letters[patch] == b'a' + axis as u8))
        });
        (features, grid)
    }

    fn mask_of(picture: &[&str], letter: u8) -> Array2<bool> {
        Array2::from_shape_fn((picture.len(), picture[0].len()), |(y, x)| {
            picture[y].as_bytes()[x] == letter
        })
    }

    /// Symmetric weights: pieces of `sizes` joined by `weak`, with weights from 0.5 to 1 inside.
    fn blocks(sizes: &[usize], weak: f64, name: &str) -> Array2<f64> {
        let of: Vec<usize> = sizes
            .iter()
            .enumerate()
            .flat_map(|(block, &size)| vec![block; size])
            .collect();
        let mut rng = seed::stream(1, name);
        let mut weights = Array2::from_elem((of.len(), of.len()), weak);
        for i in 0..of.len() {
            for j in 0..=i {
                if of[i] == of[j] {
                    let weight = rng.gen_range(0.5..1.0);
                    weights[[i, j]] = weight;
                    weights[[j, i]] = weight;
                }
            }
        }
        weights
    }

    fn above_mean(vector: &Array1<f64>) -> Array1<bool> {
        let mean = vector.sum() / vector.len() as f64;
        vector.mapv(|v| v > mean)
    }

    /// The least normalised cut there is, by trying all.
    fn least(affinity: &Array2<f64>) -> (f64, Array1<bool>) {
        let n = affinity.nrows();
        // The last patch is on one side without loss.
        let sides = (1..1usize << (n - 1))
            .map(|bits| Array1::from_shape_fn(n, |patch| (bits >> patch) & 1 == 1));
        let cuts = sides.map(|side| (normalised_cut(affinity.view(), side.view()).unwrap(), side));
        cuts.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
    }

    #[test]
    fn a_normalised_cut_by_hand() {
        // Two pairs with weights 1 inside and 1/4 across: each side has 4 inside and 4/4 across.
        let a = Array2::from_shape_fn((4, 4), |(i, j)| if i / 2 == j / 2 { 1.0 } else { 0.25 });
        let cut = |side: [bool; 4]| normalised_cut(a.view(), ArrayView1::from(&side));
        assert_eq!(cut([true, true, false, false]).unwrap(), 0.4);
        // One against three: across 1 + 1/2; its own 1, all of the others' 10 - 2.5.
        let single = cut([true, false, false, false]).unwrap();
        assert!((single - (1.5 / 2.5 + 1.5 / 7.5)).abs() < 1e-15);
        assert!(cut([true; 4]).is_err());
        assert!(normalised_cut(a.view(), ArrayView1::from(&[true])).is_err());
    }

    #[test]
    fn the_vector_solves_the_generalised_problem() {
        let a = blocks(&[4, 3, 5], 0.1, "generalised");
        let degree = a.sum_axis(Axis(1));
        let SecondVector { vector, value, .. } = second_vector(a.view()).unwrap();
        let left = &degree * &vector - a.dot(&vector);
        let right = &degree * &vector * value;
        assert!((left - right).iter().all(|v| v.abs() < 1e-13));
        assert!(vector.dot(&degree).abs() < 1e-13);
        assert!((vector.dot(&(&degree * &vector)) - 1.0).abs() < 1e-13);
        assert!(value > 0.01);
    }

    #[test]
    fn no_cut_is_below_the_eigenvalue_and_the_vectors_cut_is_not_below_the_least() {
        for draw in 0..20 {
            let a = blocks(&[3, 4, 3], 0.3, &format!("random {draw}"));
            let second = second_vector(a.view()).unwrap();
            let (least, _) = least(&a);
            let side = above_mean(&second.vector);
            let cut = normalised_cut(a.view(), side.view()).unwrap();
            assert!(second.value <= least + 1e-12, "{} {least}", second.value);
            assert!(cut >= least - 1e-12, "{cut} {least}");
        }
    }

    #[test]
    fn the_vector_finds_the_least_cut_of_two_blocks() {
        for (first, second) in [(2, 3), (4, 4), (3, 9), (1, 6), (5, 7)] {
            for weak in [WEAK, 1e-3, 1e-2] {
                let a = blocks(&[first, second], weak, &format!("{first} {second}"));
                let side = above_mean(&second_vector(a.view()).unwrap().vector);
                let cut = normalised_cut(a.view(), side.view()).unwrap();
                let (least, best) = least(&a);
                assert!((cut - least).abs() < 1e-12, "{cut} {least}");
                assert!(side == best || side.mapv(|s| !s) == best);
                assert!(side.iter().take(first).all(|s| *s == side[0]));
                assert_ne!(side[0], side[first]);
            }
        }
    }

    #[test]
    fn patches_are_joined_by_angle_and_not_by_length() {
        let features = arr2(&[
            [1.0, 0.0],
            [7.0, 7.0],
            [0.0, 1e-200],
            [0.0, 0.0],
            [-1.0, 0.0],
        ]);
        let a = affinity(features.view(), 0.7).unwrap();
        let joined = a.mapv(|weight| weight == 1.0);
        // cos 45 degrees = .7071; zeros are not even joined to themselves.
        let expected = [
            [true, true, false, false, false],
            [true, true, true, false, false],
            [false, true, true, false, false],
            [false; 5],
            [false, false, false, false, true],
        ];
        assert_eq!(joined, arr2(&expected));
        assert!(a.iter().all(|&weight| weight == 1.0 || weight == WEAK));
        assert!(affinity(features.view(), 0.708).unwrap()[[0, 1]] == WEAK);
        assert!(affinity(features.view(), 1.0).is_err());
        assert!(affinity(arr2(&[[f64::NAN]]).view(), 0.2).is_err());
    }

    #[test]
    fn objects_of_a_picture_are_found_one_after_the_other() {
        let picture = [
            "aaaaaaaa", //
            "abbbaaaa", "abbbaaaa", "abbbaaaa", "aaaaacca", "aaaaacca",
        ];
        let (features, grid) = letters(&picture);
        let found = OWN.masks(features.view(), grid).unwrap();
        let masks: Vec<_> = found.iter().map(|round| round.mask.clone()).collect();
        // Only the order of the two is not given beforehand.
        assert!(masks[..2].contains(&mask_of(&picture, b'b')), "{masks:?}");
        assert!(masks[..2].contains(&mask_of(&picture, b'c')), "{masks:?}");
        assert!(found[0].gap > 0.0);
        for settings in [OWN, OFFICIAL] {
            let found = settings.masks(features.view(), grid).unwrap();
            let mut times = Array2::<usize>::zeros((grid[0], grid[1]));
            for round in &found {
                times.zip_mut_with(&round.mask, |n, &inside| *n += usize::from(inside));
            }
            assert!(times.iter().all(|&n| n <= 1));
        }
    }

    #[test]
    fn pieces_that_touch_at_a_corner_are_two() {
        let side = arr2(&[
            [true, true, false],
            [false, false, true],
            [true, false, true],
        ]);
        let piece = connected(side.view(), [0, 0]);
        assert_eq!(piece.iter().filter(|&&inside| inside).count(), 2);
        let other = connected(side.view(), [2, 2]);
        assert!(other[[1, 2]] && !other[[2, 0]] && !other[[0, 1]]);
        assert!(!connected(side.view(), [1, 1]).iter().any(|&inside| inside));
    }

    #[test]
    fn lengths_of_features_do_not_matter_and_a_mirrored_picture_has_mirrored_masks() {
        let picture = ["aaaaaa", "abbaaa", "abbbaa", "aaaaaa", "aaaaac"];
        let (features, grid) = letters(&picture);
        let noise = gaussian(1, "noise", features.nrows(), features.ncols()) * 0.02;
        let features = features + noise;
        let masks = |features: &Array2<f64>| -> Vec<Array2<bool>> {
            let found = OWN.masks(features.view(), grid).unwrap();
            found.into_iter().map(|round| round.mask).collect()
        };
        let plain = masks(&features);
        assert_eq!(masks(&(&features * 1e6)), plain);
        let mut cube = features
            .to_shape((grid[0], grid[1], features.ncols()))
            .unwrap()
            .into_owned();
        cube.invert_axis(Axis(1));
        let mirrored = Array2::from_shape_vec(features.dim(), cube.iter().copied().collect());
        let turned = masks(&mirrored.unwrap());
        assert_eq!(turned[0], plain[0].slice(s![.., ..;-1]));
    }

    /// The decision of the official code on a vector of whatever sign, step by step: side and seed.
    fn official_side(vector: &Array2<f64>) -> (Array2<bool>, usize) {
        let places: Vec<f64> = vector.iter().copied().collect();
        let mean = places.iter().sum::<f64>() / places.len() as f64;
        let first_largest = |of: &dyn Fn(f64) -> f64| {
            let pick = |best: usize, i: usize| match of(places[i]) > of(places[best]) {
                true => i,
                false => best,
            };
            (0..places.len()).fold(0, pick)
        };
        let above = vector.mapv(|v| v > mean);
        let seed = first_largest(&f64::abs);
        let (rows, columns) = vector.dim();
        let corners = [
            [0, 0],
            [0, columns - 1],
            [rows - 1, 0],
            [rows - 1, columns - 1],
        ];
        let inside = corners.iter().filter(|corner| above[**corner]).count();
        let reverse = match inside >= 3 {
            true => true,
            false => places[seed] <= mean,
        };
        match reverse {
            true => (above.mapv(|b| !b), first_largest(&|v| -v)),
            false => (above, first_largest(&|v| v)),
        }
    }

    #[test]
    fn the_official_result_for_either_sign_is_one_of_the_two_foregrounds() {
        let mut differ = 0;
        for draw in 0..300 {
            let mut vector = gaussian(draw, "vector", 3, 4);
            // Half of them with corners and seed on one side.
            if draw % 2 == 0 {
                for corner in [[0, 0], [0, 3], [2, 0]] {
                    vector[corner] += 3.0;
                }
            }
            vector -= vector.sum() / 12.0;
            let seed = extreme(vector.iter().map(|v| v.abs()));
            if vector[[seed / 4, seed % 4]] < 0.0 {
                vector *= -1.0;
            }
            let of = |foreground: Foreground| {
                let (side, [y, x]) = foreground.of(vector.view());
                (side, y * 4 + x)
            };
            let corners = of(Foreground::SeedSideUnlessCorners);
            let seeds = of(Foreground::SeedSide);
            assert_eq!(official_side(&vector), corners);
            assert_eq!(official_side(&-&vector), seeds);
            differ += usize::from(corners != seeds);
        }
        assert!(differ > 50, "{differ}");
    }

    #[test]
    fn the_first_of_two_equal_seeds_is_taken_whatever_rounding_says() {
        for nudge in [-1e-13, 0.0, 1e-13] {
            let values = [0.1, -1.0, 1.0 + nudge, 0.3];
            assert_eq!(extreme(values.iter().map(|v: &f64| v.abs())), 1);
        }
        // Two blocks of equal size: the seed is the first patch, and positive.
        let a = Array2::from_shape_fn((6, 6), |(i, j)| if i / 3 == j / 3 { 1.0 } else { WEAK });
        let second = second_vector(a.view()).unwrap();
        assert_eq!(second.seed, 0);
        assert!(second.vector[0] > 0.0 && second.vector[5] < 0.0);
        // 9 + 9 eps between all and 9 eps across, twice.
        let expected = 2.0 * WEAK / (1.0 + WEAK);
        assert!((second.value - expected).abs() < 1e-13);
    }

    #[test]
    fn a_rejection_ends_the_own_search_and_leaves_an_empty_round_in_the_official_one() {
        let picture = ["aaaaaa", "abbbba", "abbbba", "aaaaaa"];
        let (features, grid) = letters(&picture);
        let own = OWN.masks(features.view(), grid).unwrap();
        let official = OFFICIAL.masks(features.view(), grid).unwrap();
        // Without their features the patches found stand out again, as one piece. In the third round that is
        // compared with nothing, and kept, but all of it has a mask.
        assert_eq!((own.len(), official.len()), (1, 3));
        assert_eq!(own[0], official[0]);
        assert_eq!(own[0].mask, mask_of(&picture, b'b'));
        for round in &official[1..] {
            assert!(!round.mask.iter().any(|&inside| inside));
        }
    }

    #[test]
    fn features_of_another_grid_are_refused() {
        let features = Array2::<f64>::ones((6, 2));
        assert!(OWN.masks(features.view(), [2, 2]).is_err());
        assert!(OWN.masks(features.view(), [0, 0]).is_err());
        assert!(OWN.masks(features.slice(s![..1, ..]), [1, 1]).is_err());
        assert!(second_vector(Array2::zeros((3, 3)).view()).is_err());
    }
}
