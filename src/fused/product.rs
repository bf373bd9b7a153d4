//! The one wrapper over the `gemm` crate: bounds are checked here, so that no caller needs `unsafe`.

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
