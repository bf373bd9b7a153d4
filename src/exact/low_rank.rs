//! Singular values, and the nearest matrix of a lower rank.

use ndarray::{s, Array1, Array2};
use ndarray_linalg::SVD;

use super::single_threaded_blas;
use crate::error::{Error, Result};

/// `A = L diag(values) R`, values descending.
struct Factors {
    left: Array2<f64>,
    values: Array1<f64>,
    right: Array2<f64>,
}

fn factors(matrix: &Array2<f64>) -> Result<Factors> {
    single_threaded_blas();
    let failed = |message: String| Error::Lapack {
        operation: "singular values",
        shape: format!("{} x {}", matrix.nrows(), matrix.ncols()),
        message,
    };
    let (left, values, right) = matrix.svd(true, true).map_err(|e| failed(e.to_string()))?;
    match (left, right) {
        (Some(left), Some(right)) => Ok(Factors {
            left,
            values,
            right,
        }),
        _ => Err(failed("no singular vectors".into())),
    }
}

/// The singular values, descending, in the units of `matrix`: as many as the shorter side is long.
///
/// # Shapes
/// matrix (m, n); gives (min(m, n),).
///
/// # Example
/// ```
/// use ndarray::array;
/// use whitebox::exact::low_rank::singular_values;
///
/// let values = singular_values(&array![[0.0, -3.0], [2.0, 0.0]])?;
/// assert!((values - array![3.0, 2.0]).iter().all(|v| v.abs() < 1e-15));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails.
pub fn singular_values(matrix: &Array2<f64>) -> Result<Array1<f64>> {
    Ok(factors(matrix)?.values)
}

/// The matrix of at most that rank that is nearest in the Frobenius norm: the leading `rank` singular values
/// are kept (Eckart and Young 1936).
///
/// # Shapes
/// matrix (m, n), any rank; gives (m, n).
///
/// # Example
/// ```
/// use ndarray::array;
/// use whitebox::exact::low_rank::nearest_of_rank;
///
/// let nearest = nearest_of_rank(&array![[3.0, 0.0], [0.0, 2.0]], 1)?;
/// let exact = array![[3.0, 0.0], [0.0, 0.0]];
/// assert!((nearest - exact).iter().all(|v: &f64| v.abs() < 1e-14));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails.
pub fn nearest_of_rank(matrix: &Array2<f64>, rank: usize) -> Result<Array2<f64>> {
    let found = factors(matrix)?;
    let rank = rank.min(found.values.len());
    let left = found.left.slice(s![.., ..rank]).to_owned() * found.values.slice(s![..rank]);
    Ok(left.dot(&found.right.slice(s![..rank, ..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_diagonal_has_its_entries_for_singular_values() {
        let found = singular_values(&array![[0.0, -3.0, 0.0], [2.0, 0.0, 0.0]]).unwrap();
        assert!((found[0] - 3.0).abs() < 1e-14 && (found[1] - 2.0).abs() < 1e-14);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_cut_off_are_the_smallest_singular_values() {
        // (u1 u2) orthonormal and (v1 v2) orthonormal: 5 u1 v1^T + u2 v2^T, by hand.
        let whole = array![[3.0 + 0.8, 4.0 - 0.6], [3.0 - 0.8, 4.0 + 0.6]] / 2f64.sqrt();
        let first = array![[3.0, 4.0], [3.0, 4.0]] / 2f64.sqrt();
        let found = nearest_of_rank(&whole, 1).unwrap();
        assert!((&found - &first).iter().all(|v| v.abs() < 1e-14));
        // Nothing is lost, but for rounding, where the rank is there.
        let same = nearest_of_rank(&whole, 7).unwrap();
        assert!((&same - &whole).iter().all(|v| v.abs() < 1e-14));
        assert_eq!(nearest_of_rank(&whole, 0).unwrap(), &whole * 0.0);
    }
}
