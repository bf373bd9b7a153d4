//! The right factor of a product in the order in which the inner loops read it.

use super::kernel::Kernel;
use super::Matrix;
use crate::fused::buffer::Buffer;
use crate::vectorised::Instructions;

/// Rows of the right factor that enter a result at once: a sum over more is made block by block, each added to
/// the last. Part of a result, since sums are not associative.
const MOST_DEPTH: usize = 512;

/// Numbers in the longest vector of any processor.
const LONGEST_VECTOR: usize = 16;

/// A matrix (depth, columns) cut into panels of as many columns as a tile of the result has.
#[derive(Debug, Clone)]
pub struct Panels<'a> {
    pub(super) kernel: Kernel,
    depth: usize,
    columns: usize,
    numbers: Numbers<'a>,
}

#[derive(Debug, Clone)]
enum Numbers<'a> {
    /// By block of rows, then by panel, then row-major; the last panel is filled up with zeros.
    Ordered(Buffer),
    /// As they were.
    InPlace(Matrix<'a>),
}

/// The panels of some rows: where they begin, and the distances between panels and between rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) panel_stride: usize,
    pub(super) row_stride: usize,
}

/// The numbers `0..depth` in blocks of nearly equal size, at least one.
fn blocks(depth: usize) -> impl Iterator<Item = (usize, usize)> {
    let size = depth.div_ceil(depth.div_ceil(MOST_DEPTH).max(1)).max(1);
    let count = depth.div_ceil(size).max(1);
    (0..count).map(move |block| {
        let start = block * size;
        (start, size.min(depth - start))
    })
}

impl<'a> Panels<'a> {
    /// Panels of `matrix` without copying it, if its rows can be read in whole vectors: for a product that does not
    /// go through them often enough to pay for the order.
    pub fn in_place(matrix: Matrix<'a>) -> Self {
        if matrix.contiguous_rows().is_none() || !matrix.columns().is_multiple_of(LONGEST_VECTOR) {
            return Panels::of(matrix);
        }
        Self {
            kernel: Kernel::chosen(),
            depth: matrix.rows(),
            columns: matrix.columns(),
            numbers: Numbers::InPlace(matrix),
        }
    }

    /// Rows.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns that a result may have: those past the last, up to whole panels, are products with zeros.
    pub fn padded_columns(&self) -> usize {
        match self.numbers {
            Numbers::Ordered(_) => self.columns.next_multiple_of(self.kernel.width()),
            Numbers::InPlace(_) => self.columns,
        }
    }

    /// Blocks of rows: first row, rows, and their panels.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, usize, Block<'_>)> {
        let width = self.kernel.width();
        let padded = self.columns.next_multiple_of(width);
        blocks(self.depth).map(move |(start, len)| {
            let block = match &self.numbers {
                Numbers::Ordered(numbers) => Block {
                    numbers: &numbers[start * padded..][..len * padded],
                    panel_stride: width * len,
                    row_stride: width,
                },
                Numbers::InPlace(matrix) => {
                    let (numbers, [row_stride, _]) = matrix.row_block(start, len).numbers();
                    Block {
                        numbers,
                        panel_stride: width,
                        row_stride,
                    }
                }
            };
            (start, len, block)
        })
    }
}

impl Panels<'static> {
    /// Panels of `matrix`, (depth, columns), copied into their order.
    pub fn of(matrix: Matrix<'_>) -> Self {
        Self::made(matrix.rows(), matrix.columns(), &[(0, 0, matrix)])
    }

    /// Panels of `upper` over `lower`.
    ///
    /// # Panics
    /// If they have not equally many columns.
    pub fn stacked(upper: Matrix<'_>, lower: Matrix<'_>) -> Self {
        assert_eq!(upper.columns(), lower.columns(), "stacked matrices");
        let below = upper.rows();
        let parts = [(0, 0, upper), (below, 0, lower)];
        Self::made(below + lower.rows(), upper.columns(), &parts)
    }

    /// Panels of `left` beside `right`.
    ///
    /// # Panics
    /// If they have not equally many rows.
    pub fn beside(left: Matrix<'_>, right: Matrix<'_>) -> Self {
        assert_eq!(left.rows(), right.rows(), "matrices side by side");
        let next = left.columns();
        let parts = [(0, 0, left), (0, next, right)];
        Self::made(left.rows(), next + right.columns(), &parts)
    }

    /// Panels of the matrices `parts`, each from the row and the column named with it.
    fn made(depth: usize, columns: usize, parts: &[(usize, usize, Matrix<'_>)]) -> Self {
        let kernel = Kernel::chosen();
        let width = kernel.width();
        let padded = columns.next_multiple_of(width);
        let mut numbers = Buffer::unfilled(depth * padded);
        for (start, len) in blocks(depth) {
            let block = &mut numbers[start * padded..(start + len) * padded];
            for (index, panel) in block.chunks_exact_mut((width * len).max(1)).enumerate() {
                let left = index * width;
                if left + width > columns {
                    panel.fill(0.0);
                }
                for &(row, column, part) in parts {
                    let rows = start.max(row)..(start + len).min(row + part.rows());
                    let across = left.max(column)..(left + width).min(column + part.columns());
                    if rows.is_empty() || across.is_empty() {
                        continue;
                    }
                    let part = part
                        .row_block(rows.start - row, rows.len())
                        .column_block(across.start - column, across.len());
                    let first = (rows.start - start) * width + across.start - left;
                    pack(&mut panel[first..], width, part);
                }
            }
        }
        Self {
            kernel,
            depth,
            columns,
            numbers: Numbers::Ordered(numbers),
        }
    }
}

/// Copies `matrix` row by row into `panel`, whose rows are `width` apart.
fn pack(panel: &mut [f32], width: usize, matrix: Matrix<'_>) {
    let columns = matrix.columns();
    if let Some(rows) = matrix.contiguous_rows() {
        for (to, from) in panel.chunks_mut(width).zip(rows) {
            to[..columns].copy_from_slice(from);
        }
        return;
    }
    let (numbers, [row_stride, column_stride]) = matrix.numbers();
    for top in (0..matrix.rows()).step_by(SQUARE) {
        for left in (0..columns).step_by(SQUARE) {
            let whole = top + SQUARE <= matrix.rows() && left + SQUARE <= columns;
            if whole && row_stride == 1 {
                let from = &numbers[top + left * column_stride..];
                transpose(&mut panel[top * width + left..], width, from, column_stride);
                continue;
            }
            for row in top..(top + SQUARE).min(matrix.rows()) {
                for column in left..(left + SQUARE).min(columns) {
                    panel[row * width + column] =
                        numbers[row * row_stride + column * column_stride];
                }
            }
        }
    }
}

/// Rows and columns that are transposed in registers.
const SQUARE: usize = 8;

/// `to <- from^T` of a square of [`SQUARE`] rows, `to_stride` and `from_stride` apart.
#[inline]
fn transpose(to: &mut [f32], to_stride: usize, from: &[f32], from_stride: usize) {
    let row = |index: usize| from[index * from_stride..].first_chunk::<SQUARE>();
    let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f), Some(g), Some(h)] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(row)
    else {
        unreachable!("a square reaches past its slice");
    };
    let columns = transposed([*a, *b, *c, *d, *e, *f, *g, *h]);
    for (index, column) in columns.iter().enumerate() {
        to[index * to_stride..][..SQUARE].copy_from_slice(column);
    }
}

#[inline]
fn transposed(rows: [[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    #[cfg(target_arch = "x86_64")]
    if Instructions::chosen() >= Instructions::Avx2 {
        // SAFETY: the processor has AVX, which AVX2 includes.
        return unsafe { transposed_by_avx(rows) };
    }
    let mut columns = [[0.0; SQUARE]; SQUARE];
    for (index, row) in rows.iter().enumerate() {
        for (column, value) in columns.iter_mut().zip(row) {
            column[index] = *value;
        }
    }
    columns
}

/// Pairs of numbers, then pairs of pairs, then halves of rows change places.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
fn transposed_by_avx(rows: [[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    use std::arch::x86_64::*;
    use std::mem::transmute;
    // SAFETY: a vector of 256 bits is 8 numbers in the order of an array; an array of them has no padding.
    let r: [__m256; SQUARE] = unsafe { transmute(rows) };
    let pairs = [0, 2, 4, 6].map(|i| {
        let low = _mm256_unpacklo_ps(r[i], r[i + 1]);
        let high = _mm256_unpackhi_ps(r[i], r[i + 1]);
        (low, high)
    });
    let quads = [0, 2].map(|i| {
        let ((a, b), (c, d)) = (pairs[i], pairs[i + 1]);
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(a, c),
            _mm256_shuffle_ps::<0b11_10_11_10>(a, c),
            _mm256_shuffle_ps::<0b01_00_01_00>(b, d),
            _mm256_shuffle_ps::<0b11_10_11_10>(b, d),
        ]
    });
    let [upper, lower] = quads;
    let low = |i: usize| _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
    let high = |i: usize| _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
    let columns = [
        low(0),
        low(1),
        low(2),
        low(3),
        high(0),
        high(1),
        high(2),
        high(3),
    ];
    // SAFETY: as above.
    unsafe { transmute(columns) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectorised::tests::with;

    #[test]
    fn a_square_is_transposed_by_every_set_of_instructions() {
        let mut rows = [[0.0; SQUARE]; SQUARE];
        for (index, value) in rows.as_flattened_mut().iter_mut().enumerate() {
            *value = index as f32;
        }
        for limit in Instructions::ALL {
            for (i, column) in with(limit, || transposed(rows)).iter().enumerate() {
                for (j, value) in column.iter().enumerate() {
                    assert_eq!(*value, rows[j][i], "{limit}");
                }
            }
        }
    }
}
