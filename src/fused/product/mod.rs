//! Matrix products. The inner loops are those of the `gemm` crates; what is here is what a network knows and a
//! library cannot: that weights are the same for every block of tokens and are put in order once, that blocks of
//! rows go on to the next operation while they are in the cache, and that a result must not depend on the
//! processor: sums are cut at fixed places, not where its caches end.
//!
//! Bounds are checked here, so that no caller needs `unsafe`.
//!
//! | file | what |
//! |---|---|
//! | `kernel` | a tile of a result in registers |
//! | [`panels`] | the right factor in order |
//! | [`gradient`] | sums over tokens, shared out |

pub mod gradient;
mod kernel;
pub mod panels;

use std::marker::PhantomData;

use kernel::Kernel;
use panels::Block;
pub use panels::Panels;

use super::buffer::Buffer;

/// A matrix that borrows its numbers: `rows x columns`, with arbitrary non-negative strides.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A contiguous row-major matrix.
    ///
    /// # Panics
    /// If `data` is shorter.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A block of a row-major matrix whose rows are `row_stride` apart.
    ///
    /// # Panics
    /// If it reaches past `data`.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * row_stride + columns - 1;
            assert!(last < data.len(), "matrix reaches past its slice");
        }
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// Rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(self) -> usize {
        self.columns
    }

    /// The transpose, without copying.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// `count` rows from row `start`.
    ///
    /// # Panics
    /// If it has not so many.
    pub fn row_block(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows, "rows past the last");
        Self {
            data: &self.data[(start * self.row_stride).min(self.data.len())..],
            rows: count,
            ..self
        }
    }

    /// `count` columns from column `start`.
    ///
    /// # Panics
    /// If it has not so many.
    pub fn column_block(self, start: usize, count: usize) -> Self {
        self.t().row_block(start, count).t()
    }

    /// One row, whose numbers lie side by side.
    ///
    /// # Panics
    /// If they do not, or if there are not so many rows.
    pub fn row(self, row: usize) -> &'a [f32] {
        assert!(
            self.column_stride == 1 && row < self.rows,
            "a row in one piece"
        );
        &self.data[row * self.row_stride..][..self.columns]
    }

    /// The rows, if the numbers of each lie side by side.
    fn contiguous_rows(self) -> Option<impl Iterator<Item = &'a [f32]>> {
        (self.column_stride == 1).then(move || {
            (0..self.rows).map(move |row| &self.data[row * self.row_stride..][..self.columns])
        })
    }

    /// The numbers, and the strides of rows and columns.
    fn numbers(self) -> (&'a [f32], [usize; 2]) {
        (self.data, [self.row_stride, self.column_stride])
    }
}

/// A block of a row-major matrix to be written, whose rows may have other blocks between them.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    numbers: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a mutable borrow of the numbers of its rows and columns, and of no others.
unsafe impl Send for MatrixMut<'_> {}
// SAFETY: a shared reference to it gives no access to its numbers.
unsafe impl Sync for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// A contiguous row-major matrix.
    ///
    /// # Panics
    /// If `data` is shorter.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// One whose rows are `stride` apart.
    ///
    /// # Panics
    /// If it reaches past `data`, or its rows overlap.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns, "rows of the result overlap");
        if rows > 0 {
            let end = (rows - 1) * stride + columns;
            assert!(end <= data.len(), "result reaches past its slice");
        }
        Self {
            first: data.as_mut_ptr(),
            rows,
            columns,
            stride,
            numbers: PhantomData,
        }
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The same block for a shorter time.
    pub fn reborrow(&mut self) -> MatrixMut<'_> {
        MatrixMut {
            numbers: PhantomData,
            ..*self
        }
    }

    /// `count` rows from row `start`.
    ///
    /// # Panics
    /// If it has not so many.
    pub fn row_block(&mut self, start: usize, count: usize) -> MatrixMut<'_> {
        assert!(start + count <= self.rows, "rows past the last");
        MatrixMut {
            first: self.first.wrapping_add(start * self.stride),
            rows: count,
            numbers: PhantomData,
            ..*self
        }
    }

    /// Cut into blocks of `width` columns, which may go to different threads.
    ///
    /// # Panics
    /// If that does not come out even.
    pub fn column_blocks(self, width: usize) -> Vec<MatrixMut<'a>> {
        assert_eq!(self.columns % width, 0, "blocks of columns of equal width");
        (0..self.columns / width)
            .map(|block| MatrixMut {
                // Blocks share no number: this one ends where the next begins.
                first: self.first.wrapping_add(block * width),
                columns: width,
                ..self
            })
            .collect()
    }

    /// One row.
    ///
    /// # Panics
    /// If it has not so many.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row past the last");
        // SAFETY: the row lies within what was borrowed when this was made, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.columns) }
    }

    /// Sets every number.
    pub fn fill(&mut self, value: f32) {
        for row in 0..self.rows {
            self.row_mut(row).fill(value);
        }
    }
}

/// Numbers of the right factor that stay in the second cache while the rows of the left go by.
const RESIDENT: usize = 1 << 16;

/// Rows of a left factor that is read along its columns which are put in order at once.
const STRIP: usize = 96;

/// `c <- alpha a b`, or `c <- c + alpha a b` if `accumulate`; `c` may have fewer columns than
/// `b`, and as many as [`Panels::padded_columns`]. `c` is borrowed alone, so that it cannot overlap `a` or `b`.
///
/// # Shapes
/// a (m, depth), b (depth, n), c (m, n).
///
/// # Panics
/// If the shapes do not fit each other.
pub fn product(c: MatrixMut<'_>, a: Matrix<'_>, b: &Panels<'_>, alpha: f32, accumulate: bool) {
    assert_eq!(a.columns, b.depth(), "inner dimensions differ");
    assert_eq!(c.rows, a.rows, "rows differ");
    assert!(c.columns <= b.padded_columns(), "columns differ");
    if c.rows == 0 || c.columns == 0 {
        return;
    }
    let kernel = b.kernel;
    for (start, len, panels) in b.blocks() {
        let accumulate = accumulate || start > 0;
        let left = a.column_block(start, len);
        let tall = kernel.rows();
        // Where every row of the left factor is read once only, there is nothing to gain by order.
        if left.column_stride == 1 || c.columns <= kernel.width() {
            let (numbers, strides) = left.numbers();
            let left = Left {
                numbers,
                strides,
                tile_stride: tall * strides[0],
            };
            block(
                &c,
                0..c.rows,
                left,
                (panels, len),
                kernel,
                alpha,
                accumulate,
            );
            continue;
        }
        let strip = STRIP.next_multiple_of(tall);
        let mut ordered = Buffer::unfilled(strip.min(c.rows.next_multiple_of(tall)) * len);
        for top in (0..c.rows).step_by(strip) {
            let rows = strip.min(c.rows - top);
            match tall {
                4 => order::<4>(&mut ordered, left.row_block(top, rows)),
                6 => order::<6>(&mut ordered, left.row_block(top, rows)),
                8 => order::<8>(&mut ordered, left.row_block(top, rows)),
                _ => unreachable!("tiles of {tall} rows"),
            }
            let left = Left {
                numbers: &ordered,
                strides: [1, tall],
                tile_stride: tall * len,
            };
            block(
                &c,
                top..top + rows,
                left,
                (panels, len),
                kernel,
                alpha,
                accumulate,
            );
        }
    }
}

/// Rows of a left factor as the inner loops read them.
#[derive(Debug, Clone, Copy)]
struct Left<'a> {
    numbers: &'a [f32],
    /// Between the rows of a tile, and between columns.
    strides: [usize; 2],
    /// Between tiles.
    tile_stride: usize,
}

/// Copies the rows of `a`, which lie across memory, so that those of one tile lie side by side: by tile, then by
/// column, `TALL` numbers each.
fn order<const TALL: usize>(ordered: &mut [f32], a: Matrix<'_>) {
    let (numbers, [row_stride, column_stride]) = a.numbers();
    let tile_stride = TALL * a.columns;
    let whole = if row_stride == 1 { a.rows / TALL } else { 0 };
    // A few columns at a time: all at once would send each to as many places as there are tiles, which share a set of
    // the cache.
    const COLUMNS: usize = 8;
    for first in (0..a.columns).step_by(COLUMNS) {
        let columns = first..(first + COLUMNS).min(a.columns);
        for tile in 0..whole {
            let to = &mut ordered[tile * tile_stride + first * TALL..];
            let places = to.as_chunks_mut::<TALL>().0;
            for (to, column) in places.iter_mut().zip(columns.clone()) {
                if let Some(from) = numbers[column * column_stride + tile * TALL..].first_chunk() {
                    *to = *from;
                }
            }
        }
    }
    for row in whole * TALL..a.rows {
        for column in 0..a.columns {
            let place = row / TALL * tile_stride + column * TALL + row % TALL;
            ordered[place] = numbers[row * row_stride + column * column_stride];
        }
    }
}

/// The rows `rows` of a product over one block of the right factor's rows; `left` begins with the first of them.
fn block(
    c: &MatrixMut<'_>,
    rows: std::ops::Range<usize>,
    left: Left<'_>,
    (panels, depth): (Block<'_>, usize),
    kernel: Kernel,
    alpha: f32,
    accumulate: bool,
) {
    let (tall, width) = (kernel.rows(), kernel.width());
    let count = c.columns.div_ceil(width);
    let resident = (RESIDENT / (width * depth.max(1))).max(1);
    assert!(rows.end <= c.rows, "a product reaches past its result");
    if depth > 0 {
        let (tile, row) = ((rows.len() - 1) / tall, (rows.len() - 1) % tall);
        let last = tile * left.tile_stride + row * left.strides[0] + (depth - 1) * left.strides[1];
        assert!(
            last < left.numbers.len(),
            "left factor reaches past its slice"
        );
        let last = (count - 1) * panels.panel_stride + (depth - 1) * panels.row_stride;
        let wide = kernel.read(c.columns - (count - 1) * width);
        assert!(
            last + wide <= panels.numbers.len(),
            "right factor reaches past its slice"
        );
    }
    for first in (0..count).step_by(resident) {
        for (tile, top) in rows.clone().step_by(tall).enumerate() {
            let height = tall.min(rows.end - top);
            let a = left.numbers.as_ptr().wrapping_add(tile * left.tile_stride);
            for panel in first..(first + resident).min(count) {
                let column = panel * width;
                let wide = width.min(c.columns - column);
                let to = c.first.wrapping_add(top * c.stride + column);
                let b = panels
                    .numbers
                    .as_ptr()
                    .wrapping_add(panel * panels.panel_stride);
                // SAFETY: the tile lies inside `c`, which is borrowed mutably, so that it overlaps neither factor;
                // the assertions above hold `a` and `b` inside their slices for the last row and the end of `depth` and
                // the last vector of the last panel, and so for all before them.
                unsafe {
                    kernel.run(
                        [height, wide, depth],
                        (to, c.stride),
                        (a, left.strides),
                        (b, panels.row_stride),
                        alpha,
                        accumulate,
                    );
                }
            }
        }
    }
}

/// `S <- S + S^T`, in tiles that stay in the cache.
///
/// # Shapes
/// s (n, n).
///
/// # Panics
/// If `s` is shorter.
pub fn add_transpose(s: &mut [f32], n: usize) {
    const TILE: usize = 16;
    for top in (0..n).step_by(TILE) {
        for left in (0..=top).step_by(TILE) {
            for i in top..(top + TILE).min(n) {
                for j in left..(left + TILE).min(i + 1) {
                    let sum = s[i * n + j] + s[j * n + i];
                    s[i * n + j] = sum;
                    s[j * n + i] = sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectorised::tests::with;
    use crate::vectorised::Instructions;

    fn numbers(count: usize, frequency: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * frequency).sin()).collect()
    }

    /// `c + alpha a b` in f64, and the sum of the sizes of its terms.
    fn exact(c: f64, a: Matrix<'_>, b: Matrix<'_>, row: usize, column: usize) -> [f64; 2] {
        let entry = |m: Matrix<'_>, i: usize, j: usize| {
            f64::from(m.data[i * m.row_stride + j * m.column_stride])
        };
        let terms = (0..a.columns).map(|k| 0.7 * entry(a, row, k) * entry(b, k, column));
        terms.fold([c, c.abs()], |[sum, size], term| {
            [sum + term, size + term.abs()]
        })
    }

    /// Rows, columns, depth: of a projection, its gradient, scores and what is read by them at the sizes of the
    /// networks, and sizes that fill no tile.
    const SHAPES: [[usize; 3]; 9] = [
        [197, 384, 384],
        [384, 384, 1576],
        [64, 128, 64],
        [24, 208, 48],
        [24, 64, 1025],
        [50, 32, 32],
        [7, 13, 5],
        [1, 1, 1],
        [96, 100, 600],
    ];

    /// Both factors as they are and transposed, the right one in order or in place.
    fn products([m, n, k]: [usize; 3]) -> Vec<Vec<f32>> {
        let (a, b) = (numbers(m * k, 0.37), numbers(n * k, 0.53));
        let lefts = [Matrix::new(&a, m, k), Matrix::new(&a, k, m).t()];
        let rights = [Matrix::new(&b, k, n), Matrix::new(&b, n, k).t()];
        let mut found = Vec::new();
        for left in lefts {
            for right in rights {
                let mut results = [vec![0.25; m * n], vec![0.25; m * n]];
                let panels = [Panels::of(right), Panels::in_place(right)];
                for (result, panels) in results.iter_mut().zip(&panels) {
                    product(MatrixMut::new(result, m, n), left, panels, 0.7, true);
                }
                assert_eq!(results[0], results[1], "{m} {n} {k}");
                // Rows on their own are the same rows.
                let mut rows = vec![0.25; m * n];
                let half = m / 2;
                for (start, count) in [(0, half), (half, m - half)] {
                    let result = MatrixMut::new(&mut rows[start * n..], count, n);
                    product(result, left.row_block(start, count), &panels[0], 0.7, true);
                }
                assert_eq!(results[0], rows, "{m} {n} {k}");
                for (index, value) in rows.iter().enumerate().step_by(37) {
                    let [exact, size] = exact(0.25, left, right, index / n, index % n);
                    // k + 2 roundings bound each sum.
                    let bound = (k + 2) as f64 * f64::from(f32::EPSILON) / 2.0 * size;
                    assert!((f64::from(*value) - exact).abs() <= bound, "{m} {n} {k}");
                }
                found.push(rows);
            }
        }
        found
    }

    #[test]
    fn products_are_right_and_the_same_bits_with_avx2_and_avx512() {
        // The baseline has no instruction that multiplies and adds with one rounding: its products are right, but
        // not the same bits.
        for shape in SHAPES {
            let mut before: Option<Vec<Vec<f32>>> = None;
            for limit in [
                Instructions::Avx2,
                Instructions::Avx512,
                Instructions::Baseline,
            ] {
                let found = with(limit, || products(shape));
                if limit > Instructions::Baseline {
                    let first = before.get_or_insert_with(|| found.clone());
                    assert!(*first == found, "{shape:?} with {limit}");
                }
            }
        }
    }

    #[test]
    fn panels_side_by_side_and_stacked_are_those_of_the_whole() {
        let (a, b) = (numbers(70 * 5, 0.37), numbers(70 * 9, 0.53));
        let left = numbers(4 * 70, 0.71);
        let (a, b) = (Matrix::new(&a, 70, 5), Matrix::new(&b, 70, 9));
        let left = Matrix::new(&left, 4, 70);
        let mut whole = vec![0.0; 4 * 14];
        let beside = Panels::beside(a, b);
        product(MatrixMut::new(&mut whole, 4, 14), left, &beside, 1.0, false);
        let mut parts = vec![0.0; 4 * 14];
        let result = MatrixMut::strided(&mut parts, 4, 5, 14);
        product(result, left, &Panels::of(a), 1.0, false);
        let result = MatrixMut::strided(&mut parts[5..], 4, 9, 14);
        product(result, left, &Panels::of(b), 1.0, false);
        assert_eq!(whole, parts);
        let stacked = Panels::stacked(a.row_block(0, 30), a.row_block(30, 40));
        let mut again = vec![0.0; 4 * 5];
        product(MatrixMut::new(&mut again, 4, 5), left, &stacked, 1.0, false);
        for (row, again) in again.chunks_exact(5).enumerate() {
            assert_eq!(again, &whole[row * 14..row * 14 + 5]);
        }
    }

    #[test]
    fn a_matrix_plus_its_transpose_is_symmetric() {
        let n = 37;
        let s = numbers(n * n, 0.37);
        let mut sum = s.clone();
        add_transpose(&mut sum, n);
        for i in 0..n {
            for j in 0..n {
                assert_eq!(sum[i * n + j], s[i * n + j] + s[j * n + i]);
            }
        }
    }

    #[test]
    fn blocks_of_columns_may_be_written_by_different_threads() {
        let mut numbers = vec![0.0; 6 * 8];
        let blocks = MatrixMut::new(&mut numbers, 6, 8).column_blocks(2);
        std::thread::scope(|scope| {
            for (index, mut block) in blocks.into_iter().enumerate() {
                scope.spawn(move || block.fill(index as f32));
            }
        });
        for row in numbers.chunks_exact(8) {
            assert_eq!(row, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        }
    }

    #[test]
    #[should_panic(expected = "past its slice")]
    fn a_slice_that_is_too_short_is_refused() {
        Matrix::new(&[1.0; 3], 2, 2);
    }
}
