//! Random matrices, from named streams.

use ndarray::{s, Array2, Array3};
use ndarray_linalg::QR;
use rand::Rng;
use rand_distr::StandardNormal;

use crate::error::{Error, Result};
use crate::exact::single_threaded_blas;
use crate::seed;

/// `rows x columns` numbers from N(0, 1).
pub fn gaussian(seed: u64, name: &str, rows: usize, columns: usize) -> Array2<f64> {
    let mut rng = seed::stream(seed, name);
    Array2::from_shape_simple_fn((rows, columns), || rng.sample(StandardNormal))
}

/// A random `rows x columns` matrix with orthonormal columns, rows >= columns.
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails.
pub fn orthonormal(seed: u64, name: &str, rows: usize, columns: usize) -> Result<Array2<f64>> {
    single_threaded_blas();
    let (q, _) = gaussian(seed, name, rows, columns)
        .qr()
        .map_err(|e| Error::Lapack {
            operation: "QR factorisation",
            shape: format!("{rows} x {columns}"),
            message: e.to_string(),
        })?;
    Ok(q.slice(s![.., ..columns]).to_owned())
}

/// K blocks of p columns of one random orthogonal matrix, (K, K p, p).
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails.
pub fn orthogonal_bases(seed: u64, name: &str, heads: usize, p: usize) -> Result<Array3<f64>> {
    let d = heads * p;
    let q = orthonormal(seed, name, d, d)?;
    Ok(Array3::from_shape_fn((heads, d, p), |(k, i, j)| {
        q[(i, k * p + j)]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_bases_are_blocks_of_one_orthogonal_matrix() {
        let bases = orthogonal_bases(1, "bases", 3, 2).unwrap();
        for (k, one) in bases.outer_iter().enumerate() {
            for (l, other) in bases.outer_iter().enumerate() {
                let mut off: Array2<f64> = one.t().dot(&other);
                if k == l {
                    off -= &Array2::<f64>::eye(2);
                }
                assert!(off.iter().all(|v| v.abs() < 1e-14));
            }
        }
        assert_eq!(bases, orthogonal_bases(1, "bases", 3, 2).unwrap());
        assert_ne!(bases, orthogonal_bases(1, "other", 3, 2).unwrap());
    }
}
