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
/// `b`, and as many as [`Panels::padded_columns`].
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

/// `S <- S + S^T` of an `n x n` matrix, in tiles that stay in the cache.
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
