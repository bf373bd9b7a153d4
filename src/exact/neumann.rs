//! The Neumann series of the gradient of `R^c` (book (4.2.10), exercise 4.2).
//!
//! Per head, `(I + A)^{-1} = sum_j (-A)^j` with `A = c W^T W`, `W = U_k^T Z`; the papers keep the
//! terms `I - A`. The series converges where `rho = lambda_max(A) < 1` and diverges beyond.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

use super::mssa::compression_coefficient;
use super::spectrum::eigenvalues;
use crate::error::Result;

// ANCHOR: truncated_gradient
/// `c sum_k U_k W_k sum_{j <= order} (-A_k)^j`, `A_k = c W_k^T W_k`, nats per unit of `Z`: the gradient of `R^c` cut
/// after `order`; the papers use order 1 (book (4.2.10)).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// `c = p / (N eps^2) = 1/4`, tokens 1 and 2 on the axes. The first order is `c w (1 - c w^2)`: 3/16 where the exact
/// gradient has 1/5, and 0 at `c w^2 = 1`, the radius, where that has 1/4.
/// ```
/// use ndarray::array;
/// use whitebox::exact::neumann::truncated_gradient;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let first = truncated_gradient(z.view(), axes.view(), 2f64.sqrt(), 1);
/// let exact = array![[3.0 / 16.0, 0.0], [0.0, 0.0]];
/// assert!((first - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn truncated_gradient(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
    order: usize,
) -> Array2<f64> {
    let c = compression_coefficient(bases.len_of(Axis(2)), z.ncols(), epsilon);
    let mut gradient = Array2::zeros(z.dim());
    for basis in bases.outer_iter() {
        let w = basis.t().dot(&z);
        // W (-c W^T W)^j = (-c W W^T)^j W, on the p x p side.
        let step = w.dot(&w.t()) * -c;
        let mut term = w.clone();
        let mut sum = w;
        for _ in 0..order {
            term = step.dot(&term);
            sum += &term;
        }
        gradient.scaled_add(c, &basis.dot(&sum));
    }
    gradient
}
// ANCHOR_END: truncated_gradient

/// Eigenvalues of `c W_k W_k^T` by head, ascending, without unit: the squared and scaled singular values
/// `s = c sigma^2` of the projected tokens (claims C-THY-05 and C-THY-06).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives K lists of `p`.
///
/// # Example
/// `c = 1/4`, tokens 1 and 2 on the axes: 1/4 and 4/4.
/// ```
/// use ndarray::array;
/// use whitebox::exact::neumann::scaled_energies;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let energies = scaled_energies(z.view(), axes.view(), 2f64.sqrt())?;
/// assert!((energies[0][0] - 0.25).abs() < 1e-15 && (energies[1][0] - 1.0).abs() < 1e-15);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Lapack`] if the input is not finite.
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn scaled_energies(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
) -> Result<Vec<Vec<f64>>> {
    let p = bases.len_of(Axis(2));
    let c = compression_coefficient(p, z.ncols(), epsilon);
    bases
        .outer_iter()
        .map(|basis| {
            let w = basis.t().dot(&z);
            eigenvalues(w.dot(&w.t()) * c)
        })
        .collect()
}

/// The largest eigenvalue of a symmetric matrix, of which the lower triangle is read; minus infinity for an empty one.
///
/// # Shapes
/// matrix (n, n).
///
/// # Example
/// (1, 1) is tripled, (1, -1) kept.
/// ```
/// use ndarray::array;
/// use whitebox::exact::neumann::largest_eigenvalue;
///
/// let largest = largest_eigenvalue(array![[2.0, 1.0], [1.0, 2.0]])?;
/// assert!((largest - 3.0).abs() < 1e-14);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Lapack`] if the input is not finite or not square.
pub fn largest_eigenvalue(matrix: Array2<f64>) -> Result<f64> {
    let values = eigenvalues(matrix)?;
    Ok(values.into_iter().fold(f64::NEG_INFINITY, f64::max))
}

/// `rho`, the largest of [`scaled_energies`] over all heads, without unit: the series converges iff `rho < 1`.
///
/// # Shapes
/// z (d, N), bases (K, d, p).
///
/// # Example
/// `c = 1/4`, tokens 1 and 2 on the axes: `c w^2` is 1/4 and 1.
/// ```
/// use ndarray::array;
/// use whitebox::exact::neumann::radius;
///
/// let z = array![[1.0, 0.0], [0.0, 2.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let rho = radius(z.view(), axes.view(), 2f64.sqrt())?;
/// assert!((rho - 1.0).abs() < 1e-14);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Lapack`] if the input is not finite.
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn radius(z: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>, epsilon: f64) -> Result<f64> {
    let energies = scaled_energies(z, bases, epsilon)?;
    Ok(energies.into_iter().flatten().fold(0.0, f64::max))
}
