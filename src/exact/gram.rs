//! `B^T B` and sums over the inverse of a small matrix, in doubles: the inner loops of
//! [`super::log_determinant`].

use cblas_sys::{cblas_dsyrk, CBLAS_LAYOUT, CBLAS_TRANSPOSE, CBLAS_UPLO};
use ndarray::{Array2, ArrayView2};

use super::single_threaded_blas;
use crate::error::{Error, Result};
use crate::vectorised::vectorised;

/// `B^T B` by BLAS, which forms one triangle; the other is its mirror image, so that the result is
/// symmetric to the last bit. It stands by column, as LAPACK wants it.
///
/// # Shapes
/// `b` (m, n), by row or by column in memory, else it is copied first; gives (n, n).
///
/// # Example
/// Columns (1, 3) and (2, 4): squares 10 and 20, product 14.
/// ```
/// use ndarray::array;
/// use whitebox::exact::gram::gram;
///
/// let found = gram(array![[1.0, 2.0], [3.0, 4.0]].view())?;
/// assert_eq!(found, array![[10.0, 14.0], [14.0, 20.0]]);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Size`] for sizes over `i32`, the largest that BLAS takes.
pub fn gram(b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let (m, n) = b.dim();
    let copy: Vec<f64>;
    let (numbers, transpose, step) = if let Some(by_row) = b.to_slice() {
        (by_row, CBLAS_TRANSPOSE::CblasTrans, n)
    } else if let Some(by_column) = b.reversed_axes().to_slice() {
        (by_column, CBLAS_TRANSPOSE::CblasNoTrans, m)
    } else {
        copy = b.iter().copied().collect();
        (&copy[..], CBLAS_TRANSPOSE::CblasTrans, n)
    };
    let size = |x: usize| {
        let remedy = "pass a smaller matrix";
        i32::try_from(x)
            .map_err(|_| Error::size("rows or columns for BLAS", i32::MAX as usize, x, remedy))
    };
    let (rows, columns, step) = (size(m)?, size(n)?, size(step)?);
    let mut gram = Array2::<f64>::zeros((n, n));
    single_threaded_blas();
    // SAFETY: cblas.h: for row-major operands, with `CblasTrans` the matrix read has `rows` rows of
    // `columns` numbers, `step` apart; with `CblasNoTrans` it has `columns` rows of `rows` numbers.
    // Either way these are the m n numbers of `numbers`. `gram` is n x n, rows n apart.
    unsafe {
        cblas_dsyrk(
            CBLAS_LAYOUT::CblasRowMajor,
            CBLAS_UPLO::CblasLower,
            transpose,
            columns,
            rows,
            1.0,
            numbers.as_ptr(),
            step,
            0.0,
            gram.as_mut_ptr(),
            columns,
        );
    }
    for i in 0..n {
        for j in 0..i {
            gram[(j, i)] = gram[(i, j)];
        }
    }
    Ok(gram.reversed_axes())
}

vectorised! {
    /// `sum_i x_i^2`.
    pub fn sum_of_squares(x: &[f64]) -> f64 {
        let (lanes, rest) = x.as_chunks::<16>();
        let mut sums = [0.0; 16];
        for lane in lanes {
            for (sum, v) in sums.iter_mut().zip(lane) {
                *sum += v * v;
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|v| v * v).sum::<f64>()
    }
}

vectorised! {
    /// The largest absolute value, 0 of nothing; not finite if one of them is not.
    pub fn largest_size(x: &[f64]) -> f64 {
        // Sizes order as their bits do, infinities and NaN last.
        let (lanes, rest) = x.as_chunks::<16>();
        let mut found = [0i64; 16];
        for lane in lanes {
            for (found, v) in found.iter_mut().zip(lane) {
                *found = (*found).max(v.abs().to_bits() as i64);
            }
        }
        let rest = rest.iter().map(|v| v.abs().to_bits() as i64);
        let bits = found.into_iter().chain(rest).fold(0, i64::max);
        f64::from_bits(bits as u64)
    }
}

vectorised! {
    /// `x * factor`, in place.
    pub fn scale(x: &mut [f64], factor: f64) {
        for v in x {
            *v *= factor;
        }
    }
}

/// Numbers that the loops below take at once: two AVX2 registers.
const LANES: usize = 8;

/// `sum_j weights_j rows_j`, eight columns of a matrix in registers; two sums, so that an addition
/// need not wait for the one before.
#[inline(always)]
fn combination(weights: &[f64], rows: &[[f64; LANES]]) -> [f64; LANES] {
    let mut sums = [[0.0; LANES]; 2];
    let (weight_pairs, weight) = weights.as_chunks::<2>();
    let (row_pairs, row) = rows.as_chunks::<2>();
    for (weights, rows) in weight_pairs.iter().zip(row_pairs) {
        for (sums, (weight, row)) in sums.iter_mut().zip(weights.iter().zip(rows)) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += weight * x;
            }
        }
    }
    let [mut sums, odd] = sums;
    for (sum, odd) in sums.iter_mut().zip(odd) {
        *sum += odd;
    }
    for (weight, row) in weight.iter().zip(row) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += weight * x;
        }
    }
    sums
}

vectorised! {
    /// `(sum_ij |A^-1_ij| d_i d_j, tr(A^-1 - A^-2))` for `A = L L^T`. It takes `n^3 / 3` products and
    /// as many sums: for small matrices less than the calls of LAPACK.
    ///
    /// # Shapes
    /// `l` (n, n) by column, `n` the length of `d`; above the diagonal it is not read.
    ///
    /// # Example
    /// `L = [[2, 0], [1, 1]]`: `A^-1 = [[1/2, -1/2], [-1/2, 1]]`, `A^-2` has the diagonal 1/2, 5/4.
    /// ```
    /// use whitebox::exact::gram::sums_over_inverse;
    ///
    /// let by_column = [2.0, 1.0, f64::NAN, 1.0];
    /// let (sum, trace) = sums_over_inverse(&by_column, &[3.0, 5.0]);
    /// assert_eq!(sum, 9.0 / 2.0 + 2.0 * 15.0 / 2.0 + 25.0);
    /// assert_eq!(trace, (1.0 / 2.0 + 1.0) - (1.0 / 2.0 + 5.0 / 4.0));
    /// ```
    ///
    /// # Panics
    /// If `l` is shorter.
    pub fn sums_over_inverse(l: &[f64], d: &[f64]) -> (f64, f64) {
        let n = d.len();
        let width = n.div_ceil(LANES);
        // X = L^-1, row i is (e_i - sum_{j < i} l_ij X_j) / l_ii. It is held in strips of eight
        // columns, strip after strip; in strip c the rows above 8 c are zero.
        let mut x = vec![[0.0; LANES]; width * n];
        let mut row = vec![0.0; n];
        for i in 0..n {
            for (j, l_ij) in row[..i].iter_mut().enumerate() {
                *l_ij = l[j * n + i];
            }
            let inverse = 1.0 / l[i * n + i];
            for c in 0..=i / LANES {
                let first = c * LANES;
                let strip = &mut x[c * n..][..n];
                let mut sums = combination(&row[first..i], &strip[first..i]);
                for sum in &mut sums {
                    *sum *= -inverse;
                }
                if c == i / LANES {
                    sums[i - first] = inverse;
                }
                strip[i] = sums;
            }
        }
        // Row i of A^-1 = X^T X is sum_{k >= i} x_ki X_k.
        let (mut weighted, mut trace) = (0.0, 0.0);
        for i in 0..n {
            let (own, lane) = (i / LANES, i % LANES);
            for (k, x_ki) in row.iter_mut().enumerate().skip(i) {
                *x_ki = x[own * n + k][lane];
            }
            let (mut sum, mut squares) = (0.0, 0.0);
            for c in 0..=own {
                let values = combination(&row[i..], &x[c * n + i..][..n - i]);
                let first = c * LANES;
                // Below the diagonal; by symmetry it counts twice.
                let below = LANES.min(i - first);
                for (v, d) in values[..below].iter().zip(&d[first..]) {
                    sum += v.abs() * d;
                    squares += v * v;
                }
                if c == own {
                    let v = values[lane];
                    weighted += v.abs() * d[i] * d[i];
                    trace += v - v * v;
                }
            }
            weighted += 2.0 * d[i] * sum;
            trace -= 2.0 * squares;
        }
        (weighted, trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, s, Array2};

    #[test]
    fn a_gram_matrix_does_not_depend_on_how_its_factor_lies_in_memory() {
        let b = Array2::from_shape_fn((7, 5), |(i, j)| ((3 * i + 7 * j) as f64).sin());
        let by_column = b.t().to_owned();
        let wide = Array2::from_shape_fn((7, 10), |(i, j)| b[(i, j / 2)]);
        let expected = b.t().dot(&b);
        for view in [b.view(), by_column.t(), wide.slice(s![.., ..;2])] {
            let found = gram(view).unwrap();
            let far = (&found - &expected)
                .iter()
                .any(|e| e.abs() > 7.0 * f64::EPSILON);
            assert!(!far, "{found}");
            assert_eq!(found, found.t());
        }
    }

    #[test]
    fn sums_over_an_inverse_written_out_by_hand() {
        // L = [[2, 0], [1, 1]]: A = [[4, 2], [2, 2]], A^-1 = [[1/2, -1/2], [-1/2, 1]],
        // A^-2 = [[1/2, -3/4], [-3/4, 5/4]].
        let l = array![[2.0, 1.0], [f64::NAN, 1.0]];
        let (sum, trace) = sums_over_inverse(l.as_slice().unwrap(), &[3.0, 5.0]);
        assert_eq!(sum, 4.5 + 2.0 * 7.5 + 25.0);
        assert_eq!(trace, 1.5 - 1.75);
    }

    #[test]
    fn sums_over_an_inverse_are_those_of_lapacks_inverse() {
        use ndarray_linalg::{FactorizeC, InverseC, UPLO};
        for n in [1, 7, 8, 9, 31, 48] {
            let b = Array2::from_shape_fn((n + 3, n), |(i, j)| ((5 * i + 11 * j) as f64).sin());
            let a = gram(b.view()).unwrap() + Array2::<f64>::eye(n);
            let factor = a.factorizec(UPLO::Lower).unwrap();
            let d: Vec<f64> = (0..n).map(|i| 1.0 + i as f64 / 3.0).collect();
            let l = factor.factor.t().as_standard_layout().to_owned();
            let (sum, trace) = sums_over_inverse(l.as_slice().unwrap(), &d);
            let inverse = factor.invc().unwrap();
            let expected: f64 = inverse
                .indexed_iter()
                .map(|((i, j), v)| v.abs() * d[i] * d[j])
                .sum();
            // 1 <= cond(A) <= 1 + ||B||_F^2 <= 1 + n (n + 3).
            let tolerance = (1 + n * (n + 3)) as f64 * n as f64 * f64::EPSILON;
            assert!((sum - expected).abs() <= tolerance * expected, "{n}");
            let expected = inverse.diag().sum() - inverse.iter().map(|v| v * v).sum::<f64>();
            assert!((trace - expected).abs() <= tolerance * n as f64, "{n}");
        }
    }

    #[test]
    fn the_largest_size_sees_every_position_and_what_is_not_finite() {
        for position in 0..37 {
            let mut x = vec![1.0; 37];
            x[position] = -3.0;
            assert_eq!(largest_size(&x), 3.0);
            x[position] = f64::NAN;
            assert!(!largest_size(&x).is_finite());
            x[position] = f64::NEG_INFINITY;
            assert!(!largest_size(&x).is_finite());
        }
        assert_eq!(largest_size(&[]), 0.0);
    }
}
