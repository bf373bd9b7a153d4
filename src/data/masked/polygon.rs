//! The pixels in a polygon, bit for bit as pycocotools has them (`rleFrPoly` of its `maskApi.c`), whatever one may think of
//! it: the boundary is a chain of cells of a fifth of a pixel. Column by column, where the chain passes from the third cell
//! of a pixel to the fourth, as near to the pixel's middle as there is a border of cells, everything below changes sides.

use ndarray::Array2;

/// Cells a pixel, each way.
const CELLS: f64 = 5.0;

/// The cell of a pixel, from 0, on whose right border its column is decided.
const MIDDLE: i64 = 2;

/// Whether a pixel is in a polygon with the corners `x_0, y_0, x_1, y_1, ...`: an odd number of changes above it. Corners
/// are in pixels from the upper left corner of the picture to the right and down; the last one is joined to the first.
///
/// # Shapes
/// Gives (height, width).
///
/// # Errors
/// What is wrong with the polygon, for a message: fewer than three corners, half a corner, or one that is further from the
/// picture than that is long or wide.
pub fn inside(
    corners: &[f64],
    [height, width]: [usize; 2],
) -> std::result::Result<Array2<bool>, String> {
    if corners.len() < 6 || !corners.len().is_multiple_of(2) {
        return Err(format!("a polygon of {} numbers", corners.len()));
    }
    let far = |value: f64, side: usize| !(-(side as f64)..=2.0 * side as f64).contains(&value);
    for corner in corners.chunks_exact(2) {
        if far(corner[0], width) || far(corner[1], height) {
            return Err(format!("a corner at {}, {}", corner[0], corner[1]));
        }
    }
    // Towards zero, as C rounds.
    let cell = |value: f64| (CELLS * value + 0.5) as i64;
    let cells: Vec<[i64; 2]> = corners
        .chunks_exact(2)
        .map(|corner| [cell(corner[0]), cell(corner[1])])
        .collect();
    let mut changes = Array2::from_elem((height, width), false);
    for (index, &from) in cells.iter().enumerate() {
        let to = cells[(index + 1) % cells.len()];
        let chain = Chain::new(from, to);
        for step in 0..chain.length {
            let ([x, y], [next_x, next_y]) = (chain.at(step), chain.at(step + 1));
            let left = x.min(next_x);
            if x == next_x || left.rem_euclid(CELLS as i64) != MIDDLE {
                continue;
            }
            let column = (left - MIDDLE) / CELLS as i64;
            let down = (y.min(next_y) as f64 + 0.5) / CELLS - 0.5;
            let row = down.ceil().max(0.0) as usize;
            // Beyond the last row nothing is left to change; a column outside the picture is nobody's.
            let place = usize::try_from(column).ok();
            if let Some(change) = place.and_then(|column| changes.get_mut([row, column])) {
                *change = !*change;
            }
        }
    }
    let mut inside = changes;
    for mut column in inside.columns_mut() {
        let mut within = false;
        for pixel in &mut column {
            within ^= *pixel;
            *pixel = within;
        }
    }
    Ok(inside)
}

/// The cells along an edge: one a step along its longer axis.
struct Chain {
    /// The end with the smaller coordinate along that axis.
    low: [i64; 2],
    /// Steps from one end to the other.
    length: i64,
    /// 0 if that axis is x, 1 if it is y.
    axis: usize,
    /// Along the other axis, a step.
    slope: f64,
    /// Whether the edge leads towards `low`.
    back: bool,
}

impl Chain {
    fn new(from: [i64; 2], to: [i64; 2]) -> Self {
        let span = [0, 1].map(|axis| (to[axis] - from[axis]).abs());
        let axis = usize::from(span[1] > span[0]);
        let back = from[axis] > to[axis];
        let (low, high) = if back { (to, from) } else { (from, to) };
        let rise = (high[1 - axis] - low[1 - axis]) as f64;
        Self {
            low,
            length: span[axis],
            axis,
            // Never asked for along an edge without length.
            slope: rise / span[axis] as f64,
            back,
        }
    }

    fn at(&self, step: i64) -> [i64; 2] {
        let along = if self.back { self.length - step } else { step };
        let other = 1 - self.axis;
        let mut cell = self.low;
        cell[self.axis] += along;
        cell[other] = (self.low[other] as f64 + self.slope * along as f64 + 0.5) as i64;
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mask;
    use super::*;

    /// All masks are those of pycocotools 2.0.11 for these polygons; on 3,000 random ones the rule above was the same too.
    #[test]
    fn pixels_are_those_of_pycocotools() {
        let expected: [(&[f64], [&str; 6]); 6] = [
            (
                &[1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0],
                [
                    ".......", ".####..", ".####..", ".####..", ".......", ".......",
                ],
            ),
            (
                &[0.5, 0.5, 6.2, 1.4, 3.3, 5.7],
                [
                    ".......", ".#####.", "..###..", "..###..", "...#...", "...#...",
                ],
            ),
            // A star, whose middle is outside.
            (
                &[3.5, 0.2, 5.4, 5.8, 0.3, 2.3, 6.7, 2.3, 1.6, 5.8],
                [
                    "...#...", "...#...", ".##.###", ".......", "..#.#..", ".......",
                ],
            ),
            // Over the rim of the picture.
            (
                &[-2.0, -2.0, 3.1, -1.0, 4.2, 3.3, -3.0, 9.0],
                [
                    "####...", "####...", "####...", "####...", "###....", "#......",
                ],
            ),
            // Smaller than a pixel: there or not.
            (
                &[2.0, 1.0, 2.9, 1.0, 2.9, 1.9, 2.0, 1.9],
                [
                    ".......", "..#....", ".......", ".......", ".......", ".......",
                ],
            ),
            (
                &[0.0, 0.0, 0.3, 0.0, 0.3, 0.3],
                [
                    ".......", ".......", ".......", ".......", ".......", ".......",
                ],
            ),
        ];
        for (polygon, rows) in expected {
            assert_eq!(inside(polygon, [6, 7]).unwrap(), mask(&rows), "{polygon:?}");
            // From another corner.
            let mut corners: Vec<&[f64]> = polygon.chunks(2).collect();
            corners.rotate_left(2);
            assert_eq!(inside(&corners.concat(), [6, 7]).unwrap(), mask(&rows));
        }
    }

    #[test]
    fn what_is_no_polygon_is_refused() {
        for (corners, words) in [
            (&[0.0; 4][..], "4 numbers"),
            (&[0.0; 7], "7 numbers"),
            (&[0.0, 0.0, 3.0, 0.0, 3.0, 13.0], "a corner at 3, 13"),
            (&[-7.5, 0.0, 3.0, 0.0, 3.0, 3.0], "a corner at -7.5, 0"),
            (&[0.0, 0.0, f64::NAN, 0.0, 3.0, 3.0], "NaN"),
        ] {
            let error = inside(corners, [6, 7]).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
