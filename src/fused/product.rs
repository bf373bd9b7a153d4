//! The one wrapper over the `gemm` crate: bounds are checked here, so that no caller needs `unsafe`.

use rayon::prelude::*;

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
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
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
    fn row_block(self, start: usize, count: usize) -> Self {
        Self {
            data: &self.data[start * self.row_stride..],
            rows: count,
            ..self
        }
    }

    fn check(&self) {
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
            assert!(last < self.data.len(), "matrix reaches past its slice");
        }
    }
}

/// `c <- alpha a b`, or `c <- c + alpha a b` if `accumulate`; `c` row-major with rows `c_stride`
/// apart.
///
/// # Panics
/// If the shapes do not fit each other or the slices.
pub fn product(
    c: &mut [f32],
    c_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    alpha: f32,
    accumulate: bool,
) {
    assert_eq!(a.columns, b.rows, "inner dimensions differ");
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    a.check();
    b.check();
    assert!(c_stride >= n, "rows of the result overlap");
    assert!(
        (m - 1) * c_stride + n <= c.len(),
        "result reaches past its slice"
    );
    // SAFETY: every index that gemm forms, `row * row_stride + column * column_stride` with row
    // and column inside the shape, was checked above to lie inside its slice; `c` is borrowed
    // mutably, so it overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Rows per task below which a product is not worth sharing.
const SHARED_ROWS: usize = 32;

/// Rows per task from which packing the right-hand side once more costs little: then a thread that is
/// held up elsewhere loses a task to the others, not half of the product.
const BALANCED_ROWS: usize = 128;

/// How many tasks make `rows` rows of a product.
fn tasks(rows: usize) -> usize {
    let threads = rayon::current_num_threads();
    match rows / threads {
        _ if threads == 1 => 1,
        share if share >= 4 * BALANCED_ROWS => 4 * threads,
        share if share >= 2 * BALANCED_ROWS => 2 * threads,
        _ => threads.min(rows / SHARED_ROWS).max(1),
    }
}

/// [`product`] with the rows of the result, contiguous, shared out over the threads of the pool this
/// runs in. Every entry is the same sum in the same order however many there are.
///
/// # Panics
/// As [`product`].
pub fn shared_product(c: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, alpha: f32, accumulate: bool) {
    let tasks = tasks(a.rows);
    let (rows, columns) = (a.rows.div_ceil(tasks), b.columns);
    if tasks == 1 {
        return product(c, columns, a, b, alpha, accumulate);
    }
    assert_eq!(c.len(), a.rows * columns, "result of another shape");
    let blocks = c.par_chunks_mut(rows * columns).enumerate();
    blocks.for_each(|(index, block)| {
        let part = a.row_block(index * rows, block.len() / columns);
        product(block, columns, part, b, alpha, accumulate);
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_blocks_and_transposes_are_right() {
        let (m, n, k, stride) = (5, 4, 3, 7);
        let a: Vec<f32> = (0..m * stride).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..n * stride).map(|i| (i as f32 * 0.53).cos()).collect();
        let mut c = vec![1.0; m * n];
        product(
            &mut c,
            n,
            Matrix::strided(&a, m, k, stride),
            Matrix::strided(&b, n, k, stride).t(),
            2.0,
            true,
        );
        for row in 0..m {
            for column in 0..n {
                let exact: f32 = (0..k)
                    .map(|i| a[row * stride + i] * b[column * stride + i])
                    .sum();
                assert!((c[row * n + column] - (1.0 + 2.0 * exact)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_shared_product_is_the_same_to_the_last_bit() {
        for (m, n, k) in [
            (197, 384, 384),
            (100, 64, 197),
            (384, 384, 1576),
            (65, 10, 33),
        ] {
            let numbers = |count: usize, f: f32| -> Vec<f32> {
                (0..count).map(|i| (i as f32 * f).sin()).collect()
            };
            let (a, b) = (numbers(m * k, 0.37), numbers(n * k, 0.53));
            for transposed in [false, true] {
                let left = if transposed {
                    Matrix::new(&a, k, m).t()
                } else {
                    Matrix::new(&a, m, k)
                };
                for right in [Matrix::new(&b, n, k).t(), Matrix::new(&b, k, n)] {
                    let on = |threads: usize| {
                        let pool = rayon::ThreadPoolBuilder::new()
                            .num_threads(threads)
                            .build()
                            .unwrap();
                        let mut c = vec![0.25; m * n];
                        pool.install(|| shared_product(&mut c, left, right, 0.7, true));
                        c
                    };
                    let one = on(1);
                    for threads in [2, 3, 7] {
                        assert_eq!(one, on(threads), "{m} {n} {k} on {threads}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "past its slice")]
    fn a_slice_that_is_too_short_is_refused() {
        let mut c = vec![0.0; 4];
        product(
            &mut c,
            2,
            Matrix::new(&[1.0; 3], 2, 2),
            Matrix::new(&[1.0; 4], 2, 2),
            1.0,
            false,
        );
    }
}
