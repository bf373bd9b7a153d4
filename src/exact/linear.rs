//! Inner product, length and angle of matrices, entry by entry.

use ndarray::ArrayView2;

/// `<A, B> = tr(A^T B)`, the sum of the products of entries at the same place.
///
/// # Shapes
/// a and b of the same shape.
pub fn inner(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    a.iter().zip(b.iter()).map(|(a, b)| a * b).sum()
}

/// `||A||_F = sqrt(<A, A>)`, for any shape.
pub fn frobenius(a: ArrayView2<'_, f64>) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// `<A, B> / (||A||_F ||B||_F)`, without unit, from -1 to 1; 0 if one of them is zero.
///
/// # Shapes
/// a and b of the same shape.
///
/// # Example
/// `<A, B> = 3`, lengths 5 and 1.
/// ```
/// use ndarray::array;
/// use whitebox::exact::linear::{cosine, frobenius, inner};
///
/// let (a, b) = (array![[3.0, 0.0], [0.0, 4.0]], array![[1.0, 0.0], [0.0, 0.0]]);
/// assert_eq!(inner(a.view(), b.view()), 3.0);
/// assert_eq!(frobenius(a.view()), 5.0);
/// assert_eq!(cosine(a.view(), b.view()), 3.0 / 5.0);
/// ```
pub fn cosine(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    let lengths = frobenius(a) * frobenius(b);
    if lengths == 0.0 {
        return 0.0;
    }
    inner(a, b) / lengths
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    #[test]
    fn a_right_angle_and_half_of_one() {
        let (a, b) = (
            arr2(&[[3.0, 0.0], [0.0, 4.0]]),
            arr2(&[[0.0, 2.0], [1.0, 0.0]]),
        );
        assert_eq!(frobenius(a.view()), 5.0);
        assert_eq!(cosine(a.view(), b.view()), 0.0);
        assert_eq!(cosine(a.view(), (&a * -2.0).view()), -1.0);
        let between = &(&a / 5.0) + &(&b / 5f64.sqrt());
        assert!((cosine(a.view(), between.view()) - 0.5f64.sqrt()).abs() < 1e-15);
        assert_eq!(cosine(a.view(), (&a * 0.0).view()), 0.0);
    }
}
