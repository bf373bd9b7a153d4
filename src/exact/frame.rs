//! Orthonormal bases of the subspaces that bases span.

use ndarray::{s, Array2, ArrayView2};
use ndarray_linalg::QR;

use super::single_threaded_blas;
use crate::error::{Error, Result};

/// An orthonormal basis `Q` of the span of `basis`, by QR: `Q Q^T` is the projection onto it.
///
/// # Shapes
/// basis (d, p) with independent columns, p <= d; gives (d, p).
///
/// # Example
/// The line through (3, 4) is that through (3/5, 4/5), of either sign.
/// ```
/// use ndarray::array;
/// use whitebox::exact::frame::frame;
///
/// let unit = frame(array![[3.0], [4.0]].view())?;
/// let projection = array![[9.0, 12.0], [12.0, 16.0]] / 25.0;
/// assert!((unit.dot(&unit.t()) - projection).iter().all(|v| v.abs() < 1e-15));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if the input is not finite.
pub fn frame(basis: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    single_threaded_blas();
    let (d, p) = basis.dim();
    let (q, _) = basis.to_owned().qr().map_err(|e| Error::Lapack {
        operation: "QR factorisation",
        shape: format!("{d} x {p}"),
        message: e.to_string(),
    })?;
    Ok(q.slice_move(s![.., ..p]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;

    #[test]
    fn a_frame_is_orthonormal_and_spans_what_the_basis_spans() {
        let basis = gaussian(1, "basis", 9, 4);
        let frame = frame(basis.view()).unwrap();
        let gram = frame.t().dot(&frame) - Array2::<f64>::eye(4);
        assert!(gram.iter().all(|v| v.abs() < 1e-14));
        let outside = &basis - &frame.dot(&frame.t().dot(&basis));
        assert!(outside.iter().all(|v| v.abs() < 1e-13));
    }
}
