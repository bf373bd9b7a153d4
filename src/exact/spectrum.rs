//! Eigenvalues and eigenvectors of a symmetric matrix, and how many directions a matrix fills.

use ndarray::{Array1, Array2, ArrayView2};
use ndarray_linalg::{EighInto, UPLO};

use super::single_threaded_blas;
use crate::error::{Error, Result};

/// Eigenvalues, ascending, and orthonormal eigenvectors, a column each, of a symmetric matrix: `A V = V diag(values)`.
/// The sign of a column is LAPACK's whim, and so is the basis of the columns that share a value. Not in a paper.
///
/// # Shapes
/// matrix (n, n), of which the lower triangle is read; gives (n,) and (n, n).
///
/// # Example
/// ```
/// use ndarray::array;
/// use whitebox::exact::spectrum::symmetric_eigen;
///
/// let (values, vectors) = symmetric_eigen(array![[0.0, 2.0], [2.0, 3.0]])?;
/// assert!((values - array![-1.0, 4.0]).iter().all(|v| v.abs() < 1e-14));
/// assert!((vectors[[1, 1]] / vectors[[0, 1]] - 2.0).abs() < 1e-14);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if the input is not finite.
pub fn symmetric_eigen(matrix: Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    single_threaded_blas();
    let shape = format!("{} x {}", matrix.nrows(), matrix.ncols());
    matrix.eigh_into(UPLO::Lower).map_err(|e| Error::Lapack {
        operation: "symmetric eigenvalues",
        shape,
        message: e.to_string(),
    })
}

/// Eigenvalues of a symmetric matrix, ascending.
pub(super) fn eigenvalues(matrix: Array2<f64>) -> Result<Vec<f64>> {
    Ok(symmetric_eigen(matrix)?.0.to_vec())
}

/// `exp(-sum_i e_i ln e_i)`, `e_i = sigma_i^2 / sum_j sigma_j^2` with the singular values `sigma_i`: `r` for `r`
/// directions of equal energy, 1 for one direction; NaN for a matrix of zeros. (Roy and Vetterli 2007 take
/// `sigma_i` in the place of `sigma_i^2`, which counts weak directions for more.)
///
/// # Shapes
/// matrix (m, n), not empty; the result has no unit.
///
/// # Example
/// Energies 1 and 1 are two directions; 3 and 1, shares of 3/4 and 1/4, are `exp(ln 4 - 3/4 ln 3) = 4 / 3^(3/4)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::spectrum::effective_rank;
///
/// let two = effective_rank(array![[0.0, 1.0], [1.0, 0.0]].view())?;
/// assert!((two - 2.0).abs() < 1e-14);
/// let fewer = effective_rank(array![[3f64.sqrt(), 0.0], [0.0, 1.0]].view())?;
/// assert!((fewer - 4.0 / 3f64.powf(0.75)).abs() < 1e-14);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Lapack`] if the input is not finite.
pub fn effective_rank(matrix: ArrayView2<'_, f64>) -> Result<f64> {
    let gram: Array2<f64> = match matrix.nrows() < matrix.ncols() {
        true => matrix.dot(&matrix.t()),
        false => matrix.t().dot(&matrix),
    };
    let energies = eigenvalues(gram)?;
    let sum: f64 = energies.iter().sum();
    // Rounding makes some energies of zero negative.
    let shares = energies.iter().map(|energy| energy / sum);
    let terms = shares.map(|share| match share <= 0.0 {
        true => 0.0,
        false => -share * share.ln(),
    });
    Ok(terms.sum::<f64>().exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{gaussian, orthonormal};

    #[test]
    fn eigenvectors_are_columns_and_make_the_matrix_again() {
        let random = gaussian(1, "matrix", 9, 9);
        let matrix = &random + &random.t();
        let (values, vectors) = symmetric_eigen(matrix.clone()).unwrap();
        let again = (&vectors * &values).dot(&vectors.t());
        assert!((again - matrix).iter().all(|v| v.abs() < 1e-13));
        let gram = vectors.t().dot(&vectors) - Array2::<f64>::eye(9);
        assert!(gram.iter().all(|v| v.abs() < 1e-13));
        assert!(values.windows(2).into_iter().all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn equal_directions_are_counted_and_one_is_one() {
        let frame = orthonormal(1, "frame", 9, 4).unwrap();
        for matrix in [frame.view(), frame.t()] {
            assert!((effective_rank(matrix).unwrap() - 4.0).abs() < 1e-12);
        }
        let one = Array2::from_shape_fn((5, 3), |(i, j)| (i + 1) as f64 * (j + 2) as f64);
        assert!((effective_rank(one.view()).unwrap() - 1.0).abs() < 1e-12);
        // Energies 4 and 1: ln 5 - 4/5 ln 4.
        let two = ndarray::arr2(&[[2.0, 0.0], [0.0, 1.0]]);
        let expected = 5.0 / 4f64.powf(0.8);
        assert!((effective_rank(two.view()).unwrap() - expected).abs() < 1e-14);
        assert!(effective_rank(Array2::zeros((2, 2)).view())
            .unwrap()
            .is_nan());
    }
}
