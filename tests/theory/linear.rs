//! Linear algebra by another way than the library's: explicit inverses and eigenvalues.

use ndarray::{Array1, Array2, Array3, Axis};
use ndarray_linalg::{Eigh, UPLO};

pub(crate) use crate::tolerance::norm;

pub(crate) fn inner(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (a * b).sum()
}

/// Inverse of a symmetric positive definite matrix, by its eigenvalues.
pub(crate) fn inverse(matrix: &Array2<f64>) -> Array2<f64> {
    let (values, vectors) = matrix.eigh(UPLO::Lower).unwrap();
    let scaled = &vectors / &values;
    scaled.dot(&vectors.t())
}

pub(crate) fn eigenvalues(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.eigh(UPLO::Lower).unwrap().0
}

/// Largest singular value.
pub(crate) fn spectral_norm(matrix: &Array2<f64>) -> f64 {
    let gram = matrix.t().dot(matrix);
    eigenvalues(&gram).fold(0.0f64, |a, &v| a.max(v)).sqrt()
}

/// `U_k^T Z`.
pub(crate) fn project(bases: &Array3<f64>, k: usize, z: &Array2<f64>) -> Array2<f64> {
    bases.index_axis(Axis(0), k).t().dot(z)
}
