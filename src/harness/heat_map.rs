//! Matrices as heat maps, as SVG.

use std::path::Path;

use ndarray::Array2;
use plotters::prelude::*;

use crate::artefact;
use crate::error::{Error, Result};

/// A matrix and its title.
#[derive(Debug, Clone)]
pub struct HeatMap {
    /// Above the map.
    pub title: String,
    /// Numbers from 0.
    pub values: Array2<f64>,
}

/// Cells along a side; where a matrix has more rows, each cell is the mean of a block.
const CELLS: usize = 32;
/// Side of a cell, pixels; of a matrix with fewer cells they are larger by a whole number.
const CELL: u32 = 6;
const GAP: u32 = 18;
const HEAD: u32 = 40;
const TITLE: u32 = 24;
const FOOT: u32 = 44;

/// Draws maps side by side, `columns` in a row, on one scale of greys from 0 to the largest mean shown
/// off the diagonal, atomically.
///
/// # Errors
/// [`Error::Chart`] if there is nothing to draw, [`Error::Io`].
pub fn write(path: &Path, title: &str, maps: &[HeatMap], columns: usize) -> Result<()> {
    let failed = |message: String| Error::Chart {
        path: path.to_owned(),
        message,
    };
    let cells: Vec<Array2<f64>> = maps.iter().map(|map| block_means(&map.values)).collect();
    let off_diagonal = cells.iter().flat_map(|cells| {
        let own = cells.indexed_iter();
        own.filter(|((i, j), _)| i != j).map(|(_, &v)| v)
    });
    let largest = off_diagonal.fold(0.0, f64::max);
    if maps.is_empty() || !(largest > 0.0 && largest.is_finite()) {
        return Err(failed("no finite values over 0".into()));
    }
    let side = CELLS as u32 * CELL;
    let rows = maps.len().div_ceil(columns) as u32;
    let size = (
        GAP + columns as u32 * (side + GAP),
        HEAD + rows * (side + TITLE + GAP) + FOOT,
    );
    let mut svg = String::new();
    let draw = |svg: &mut String| {
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let large = ("sans-serif", 18).into_text_style(&area);
        let small = ("sans-serif", 14).into_text_style(&area);
        area.draw_text(title, &large, (GAP as i32, 10))?;
        for (index, (map, cells)) in maps.iter().zip(&cells).enumerate() {
            let (row, column) = (index / columns, index % columns);
            let left = (GAP + column as u32 * (side + GAP)) as i32;
            let top = (HEAD + row as u32 * (side + TITLE + GAP)) as i32;
            area.draw_text(&map.title, &small, (left, top + 4))?;
            let top = top + TITLE as i32;
            let longest = cells.nrows().max(cells.ncols()).max(1);
            let cell = side / longest as u32;
            for ((i, j), &value) in cells.indexed_iter() {
                square(&area, (left, top), cell, (j, i), value / largest)?;
            }
        }
        let foot = size.1 as i32 - FOOT as i32 + 8;
        for step in 0..CELLS {
            let shade = step as f64 / (CELLS - 1) as f64;
            square(&area, (GAP as i32, foot), CELL, (step, 0), shade)?;
        }
        let legend = format!("0 to {largest:.2}");
        area.draw_text(&legend, &small, (GAP as i32, foot + 12))?;
        area.present()
    };
    draw(&mut svg).map_err(|e: DrawingAreaErrorKind<_>| failed(format!("{e:?}")))?;
    artefact::write(path, svg.as_bytes())
}

fn square<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    (left, top): (i32, i32),
    cell: u32,
    (column, row): (usize, usize),
    shade: f64,
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let grey = (255.0 * (1.0 - shade.clamp(0.0, 1.0))) as u8;
    let (x, y) = (
        left + (column as u32 * cell) as i32,
        top + (row as u32 * cell) as i32,
    );
    let corners = [(x, y), (x + cell as i32, y + cell as i32)];
    area.draw(&Rectangle::new(
        corners,
        RGBColor(grey, grey, grey).filled(),
    ))
}

/// Means over blocks, so that no side has more than [`CELLS`] of them.
fn block_means(values: &Array2<f64>) -> Array2<f64> {
    let (rows, columns) = values.dim();
    let (height, width) = (rows.min(CELLS), columns.min(CELLS));
    let mut sums = Array2::<f64>::zeros((height, width));
    let mut counts = Array2::<f64>::zeros((height, width));
    for ((i, j), &value) in values.indexed_iter() {
        let cell = (i * height / rows, j * width / columns);
        sums[cell] += value;
        counts[cell] += 1.0;
    }
    sums / counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_averaged_and_small_matrices_left_alone() {
        let small = Array2::from_shape_fn((3, 5), |(i, j)| (i * 5 + j) as f64);
        assert_eq!(block_means(&small), small);
        let large = Array2::from_shape_fn((64, 64), |(i, j)| (i % 2 + j % 2) as f64);
        assert!(block_means(&large).iter().all(|&v| v == 1.0));
    }

    #[test]
    fn a_small_map_fills_its_square() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.svg");
        let map = |cells: usize| HeatMap {
            title: "m".into(),
            values: Array2::from_elem((cells, cells), 0.5),
        };
        write(&path, "t", &[map(8)], 1).unwrap();
        // 32 cells of 6 pixels are 8 of 24.
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.matches("width=\"24\" height=\"24\"").count(),
            64,
            "{text}"
        );
        write(&path, "t", &[map(40)], 1).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        // And the legend's.
        assert_eq!(
            text.matches("width=\"6\" height=\"6\"").count(),
            32 * 32 + 32
        );
    }

    #[test]
    fn a_map_of_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.svg");
        assert!(write(&path, "t", &[], 3).is_err());
        let map = HeatMap {
            title: "m".into(),
            values: Array2::from_elem((4, 4), 0.5),
        };
        write(&path, "t", &[map], 3).unwrap();
        assert!(std::fs::read_to_string(path).unwrap().contains("0 to 0.50"));
    }
}
