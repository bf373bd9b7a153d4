//! The orthogonal matrix nearest to a matrix.

use ndarray::{Array2, ArrayView2};

use super::single_threaded_blas;
use crate::error::{Error, Result};

/// Steps after which a direction that the matrix nearly lacks, by a factor of 1.5 a step, would have come to length 1
/// from the smallest number beside 1.
const STEPS: usize = 120;

/// Distance from orthogonal below which one step more, which squares it, ends at rounding.
const CLOSE: f64 = 1e-8;

/// The polar factor `M (M^T M)^{-1/2}`: the matrix with orthonormal columns that is nearest to `M` in the Frobenius
/// norm.
///
/// By the Newton-Schulz iteration `X <- X + 1/2 X (I - X^T X)`, which converges quadratically for singular values
/// between 0 and `sqrt(3)` (Higham, Functions of Matrices, section 8.3). `X^T X` is the identity to a few `1e-15`; `X`
/// is the nearest such matrix to that times the condition number of `M`.
///
/// # Shapes
/// m (m, n), `m >= n`; gives (m, n), without unit.
///
/// # Example
/// A quarter turn that also stretches by 2 and 3 is nearest to the turn alone.
/// ```
/// use ndarray::array;
/// use whitebox::exact::polar::polar_factor;
///
/// let turn = polar_factor("example", array![[0.0, -2.0], [3.0, 0.0]].view())?;
/// assert!((turn - array![[0.0, -1.0], [1.0, 0.0]]).iter().all(|v| v.abs() < 1e-15));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Domain`] naming `name` if the columns are not finite or not linearly independent.
pub fn polar_factor(name: &str, m: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    single_threaded_blas();
    let identity = Array2::<f64>::eye(m.ncols());
    let defect = |x: &Array2<f64>| &identity - &x.t().dot(x);
    let length = |e: &Array2<f64>| e.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut x = m.to_owned();
    let mut rest = defect(&x);
    let mut distance = length(&rest);
    // Below 1 no singular value reaches sqrt(2). The length of a matrix is over all of them.
    if distance >= 1.0 || distance.is_nan() {
        x /= length(&x);
        rest = defect(&x);
        distance = length(&rest);
    }
    for _ in 0..STEPS {
        let step = x.dot(&rest);
        x.scaled_add(0.5, &step);
        if distance < CLOSE {
            return Ok(x);
        }
        rest = defect(&x);
        distance = length(&rest);
    }
    Err(Error::domain(
        name,
        "columns that are finite and linearly independent",
        format!("columns at a distance of {distance} from orthonormal ones"),
        "start from other numbers",
    ))
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::Rng;

    use super::*;
    use crate::seed;

    fn drawn(name: &str, n: usize) -> Array2<f64> {
        let mut rng = seed::stream(0, name);
        Array2::from_shape_simple_fn((n, n), || rng.gen::<f64>() - 0.5)
    }

    fn largest(m: &Array2<f64>) -> f64 {
        m.iter().fold(0.0, |a, v| a.max(v.abs()))
    }

    #[test]
    fn the_polar_factor_is_orthogonal_and_what_is_left_is_symmetric_and_positive() {
        for n in [1, 2, 17, 64] {
            let m = drawn("polar", n);
            let x = polar_factor("m", m.view()).unwrap();
            assert!(largest(&(x.t().dot(&x) - Array2::<f64>::eye(n))) < 1e-14);
            // M = X H with H symmetric; positive, as its diagonal is where X is nearest.
            let h = x.t().dot(&m);
            assert!(largest(&(&h - &h.t())) < 1e-12, "{n}");
            assert!(h.diag().iter().all(|v| *v > 0.0), "{n}");
        }
    }

    #[test]
    fn an_orthogonal_matrix_is_its_own_polar_factor_and_a_scale_does_not_matter() {
        let x = polar_factor("m", drawn("own", 12).view()).unwrap();
        for scale in [1.0, 1e-3, 1.3, 1e6] {
            let again = polar_factor("m", (&x * scale).view()).unwrap();
            assert!(largest(&(again - &x)) < 1e-14, "{scale}");
        }
        let turned = polar_factor("m", array![[0.0, 5.0], [-1e-9, 0.0]].view()).unwrap();
        assert!(largest(&(turned - array![[0.0, 1.0], [-1.0, 0.0]])) < 1e-14);
    }

    #[test]
    fn a_matrix_without_a_nearest_orthogonal_one_is_refused_by_name() {
        for m in [
            array![[1.0, 1.0], [1.0, 1.0]],
            array![[0.0, 0.0], [0.0, 0.0]],
            array![[f64::NAN, 0.0], [0.0, 1.0]],
        ] {
            let message = polar_factor("the dictionary", m.view())
                .unwrap_err()
                .to_string();
            assert!(message.starts_with("the dictionary"), "{message}");
        }
    }
}
