//! Tokens as colours: three principal components of the patches of several pictures together as red, green and blue (CPAL
//! 2024, figure 3; official `vis_utils/pca_visualization.py` of CRATE, after Amir et al. 2022).
//!
//! Components have the sign of [`Components`]: the entry of the direction that is largest in size is positive. Each is
//! brought to 0 to 1 between its smallest and its largest over **all** pictures, so that one colour is one thing in all
//! of them; the official code does so picture by picture.

use ndarray::{concatenate, s, Array2, Array3, ArrayView2, Axis};

use super::components::{above_middle, Components};
use super::mask_cut::connected;
use crate::error::{Error, Result};

/// On which side of the middle of the first component the object is: nobody but who looks at it can tell. The official
/// code has a switch for it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Side {
    /// Where the component is large.
    Above,
    /// Where it is small.
    Below,
}

/// The colours of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Colours {
    /// Per picture (rows, columns, 3): red, green, blue, from 0 to 1.
    pub pictures: Vec<Array3<f64>>,
    /// Of the variance of the patches that were decomposed, the shares of the three components.
    pub shares: [f64; 3],
}

/// The first three components of all patches.
///
/// # Shapes
/// pictures (n, d) each, patches of one grid in row-major order, without class tokens; `n = rows columns`, `d` at least 3.
///
/// # Errors
/// [`Error::Shape`] if the patches are not those of the grid, of different widths, or fewer than two; else as
/// [`Components::of`].
pub fn of_all(pictures: &[ArrayView2<'_, f64>], grid: [usize; 2]) -> Result<Colours> {
    let tokens = together(pictures, grid)?;
    let components = Components::of(tokens.view(), 3)?;
    let mut scores = components.scores(tokens.view())?;
    for mut column in scores.columns_mut() {
        let smallest = column.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        column.mapv_inplace(|score| share(score, smallest, largest));
    }
    let shares = shares(&components, tokens.view(), 0);
    Ok(Colours {
        pictures: on_grids(&scores, grid),
        shares,
    })
}

/// The same of the object alone, as the paper's figure: the patches on one `side` of the middle of the first component,
/// picture by picture, with what they enclose; of these the components two to four of their own, the official code's "last
/// three of four". The ground is black: 1 below the smallest score, as there.
///
/// # Shapes
/// pictures (n, d) each, patches of one grid in row-major order, without class tokens; `n = rows columns`, `d` at least 4.
///
/// # Errors
/// [`Error::Shape`] if the patches are not those of the grid, of different widths, or fewer than two; else those of
/// [`Components::of`].
pub fn of_object(
    pictures: &[ArrayView2<'_, f64>],
    grid: [usize; 2],
    side: Side,
) -> Result<Colours> {
    let tokens = together(pictures, grid)?;
    let mut first = Components::of(tokens.view(), 1)?.scores(tokens.view())?;
    if side == Side::Below {
        first *= -1.0;
    }
    let [rows, columns] = grid;
    let mut object = Vec::new();
    for scores in first.column(0).exact_chunks(rows * columns) {
        let above = above_middle(scores);
        let mask = Array2::from_shape_fn((rows, columns), |(y, x)| above[y * columns + x]);
        object.extend(without_holes(mask.view()));
    }
    let chosen: Vec<usize> = (0..object.len()).filter(|&patch| object[patch]).collect();
    let own = tokens.select(Axis(0), &chosen);
    let components = Components::of(own.view(), 4)?;
    let scores = components.scores(own.view())?;
    let ground = scores.iter().copied().fold(0.0, f64::min) - 1.0;
    let mut all = Array2::zeros((object.len(), 3));
    for (column, mut shown) in scores
        .slice(s![.., 1..])
        .columns()
        .into_iter()
        .zip(all.columns_mut())
    {
        let largest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (&patch, &score) in chosen.iter().zip(column) {
            shown[patch] = share(score, ground, largest);
        }
    }
    let shares = shares(&components, own.view(), 1);
    Ok(Colours {
        pictures: on_grids(&all, grid),
        shares,
    })
}

/// All patches, picture by picture.
fn together(pictures: &[ArrayView2<'_, f64>], [rows, columns]: [usize; 2]) -> Result<Array2<f64>> {
    let refused = |got: String| {
        Error::shape(
            "patches of a picture",
            format!("({}, d), the same d for all", rows * columns),
            got,
            "pass the patches of one grid, without class tokens",
        )
    };
    let wrong = pictures.iter().find(|own| own.nrows() != rows * columns);
    if let Some(wrong) = wrong {
        return Err(refused(format!("{:?}", wrong.dim())));
    }
    concatenate(Axis(0), pictures).map_err(|e| refused(e.to_string()))
}

/// Of the variance of the tokens, the shares of three components from the one numbered `first` on, from 0.
fn shares(components: &Components, tokens: ArrayView2<'_, f64>, first: usize) -> [f64; 3] {
    let centred = &tokens - &components.mean;
    let total = centred.iter().map(|v| v * v).sum::<f64>() / tokens.nrows() as f64;
    [0, 1, 2].map(|index| match total > 0.0 {
        true => components.variances[first + index].max(0.0) / total,
        false => 0.0,
    })
}

/// Where between two numbers a third lies, from 0 to 1; 0 where they are equal.
fn share(value: f64, smallest: f64, largest: f64) -> f64 {
    match largest > smallest {
        true => ((value - smallest) / (largest - smallest)).clamp(0.0, 1.0),
        false => 0.0,
    }
}

/// Scores (pictures n, 3) as pictures (rows, columns, 3).
fn on_grids(scores: &Array2<f64>, [rows, columns]: [usize; 2]) -> Vec<Array3<f64>> {
    let pictures = scores.axis_chunks_iter(Axis(0), rows * columns);
    let on_grid = |own: ArrayView2<'_, f64>| {
        Array3::from_shape_fn((rows, columns, 3), |(y, x, c)| own[[y * columns + x, c]])
    };
    pictures.map(on_grid).collect()
}

/// A mask with what it encloses: what outside of it no path over edges leads to from the border.
///
/// # Shapes
/// mask (rows, columns), gives the same.
pub fn without_holes(mask: ArrayView2<'_, bool>) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    let outside = mask.mapv(|inside| !inside);
    let mut reached = Array2::from_elem((rows, columns), false);
    for ((y, x), &open) in outside.indexed_iter() {
        let border = y == 0 || x == 0 || y + 1 == rows || x + 1 == columns;
        if border && open && !reached[[y, x]] {
            let piece = connected(outside.view(), [y, x]);
            reached.zip_mut_with(&piece, |old, &new| *old |= new);
        }
    }
    reached.mapv(|reached| !reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, arr3};

    /// Patches along axes of length 6, 4 and 2 about a mean, the first axis the largest.
    fn patches() -> Array2<f64> {
        let mut tokens = Array2::<f64>::zeros((6, 4));
        for (axis, length) in [(0, 6.0), (1, 4.0), (2, 2.0)] {
            tokens[[2 * axis, axis]] = length;
            tokens[[2 * axis + 1, axis]] = -length;
        }
        tokens + 10.0
    }

    #[test]
    fn each_component_of_all_pictures_runs_from_black_to_full() {
        let tokens = patches();
        let (left, right) = tokens.view().split_at(Axis(0), 2);
        let (middle, right) = right.split_at(Axis(0), 2);
        let found = of_all(&[left, middle, right], [1, 2]).unwrap();
        // The largest is 1, the smallest 0, the mean between.
        let expected = [
            arr3(&[[[1.0, 0.5, 0.5], [0.0, 0.5, 0.5]]]),
            arr3(&[[[0.5, 1.0, 0.5], [0.5, 0.0, 0.5]]]),
            arr3(&[[[0.5, 0.5, 1.0], [0.5, 0.5, 0.0]]]),
        ];
        for (found, expected) in found.pictures.iter().zip(&expected) {
            let difference = found - expected;
            assert!(difference.iter().all(|v| v.abs() < 1e-12), "{found}");
        }
        // Variances 36, 16 and 4 of 56.
        for (share, variance) in found.shares.iter().zip([36.0, 16.0, 4.0]) {
            assert!((share - variance / 56.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_object_has_colours_of_its_own_and_the_ground_is_black() {
        // A ring with a large first component round one patch with a small one, and ground outside.
        let side = 5;
        let of = |y: usize, x: usize| (1..4).contains(&y) && (1..4).contains(&x);
        let mut tokens = Array2::<f64>::zeros((side * side, 5));
        for y in 0..side {
            for x in 0..side {
                let patch = y * side + x;
                if of(y, x) && (y, x) != (2, 2) {
                    tokens[[patch, 0]] = 100.0;
                }
                if of(y, x) {
                    // Other directions, at every patch of the object another.
                    tokens[[patch, 1]] = y as f64;
                    tokens[[patch, 2]] = 0.5 * x as f64;
                    tokens[[patch, 3]] = 0.1 * (y * x) as f64;
                }
            }
        }
        let found = of_object(&[tokens.view()], [side, side], Side::Above).unwrap();
        let picture = &found.pictures[0];
        for y in 0..side {
            for x in 0..side {
                let black = picture.slice(s![y, x, ..]).iter().all(|&v| v == 0.0);
                // What the ring encloses is of the object.
                assert_eq!(black, !of(y, x), "{y} {x}");
            }
        }
        let largest = picture.iter().copied().fold(0.0, f64::max);
        assert!((largest - 1.0).abs() < 1e-12);
        // The other side is the ground with the hole, and what it encloses, the ring: everything.
        let other = of_object(&[tokens.view()], [side, side], Side::Below).unwrap();
        assert!(other.pictures[0].iter().all(|&v| v > 0.0));
    }

    #[test]
    fn what_a_mask_encloses_is_filled_and_a_bay_is_not() {
        let of =
            |rows: [&str; 4]| Array2::from_shape_fn((4, 5), |(y, x)| rows[y].as_bytes()[x] == b'#');
        let ring = of(["####.", "#..#.", "####.", "....."]);
        assert_eq!(
            without_holes(ring.view()),
            of(["####.", "####.", "####.", "....."])
        );
        let bay = of(["####.", "#....", "####.", "....."]);
        assert_eq!(without_holes(bay.view()), bay);
        // A corner lets nothing through.
        let corner = of(["###..", "#.#..", ".##..", "....."]);
        assert!(without_holes(corner.view())[[1, 1]]);
    }

    #[test]
    fn patches_of_another_grid_are_refused_and_equal_ones_are_black() {
        let tokens = patches();
        assert!(of_all(&[tokens.view()], [2, 2]).is_err());
        let narrow = arr2(&[[1.0, 2.0], [3.0, 4.0]]);
        assert!(of_all(&[narrow.view()], [1, 2]).is_err());
        let flat = Array2::<f64>::ones((2, 3));
        let found = of_all(&[flat.view()], [1, 2]).unwrap();
        assert!(found.pictures[0].iter().all(|&v| v == 0.0));
        assert_eq!(found.shares, [0.0; 3]);
        // Nothing is above the middle of equal scores.
        assert!(of_object(&[flat.view()], [1, 2], Side::Above).is_err());
    }
}
