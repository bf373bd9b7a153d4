//! How far a layer's bases are from what the derivation assumes, orthonormal bases of orthogonal
//! subspaces: `U_k^T U_k = I` and `U_k^T U_l = 0`.

use ndarray::{s, Array2, ArrayView2, ArrayView3, Axis};
use ndarray_linalg::QR;
use serde::Serialize;

use crate::error::{Error, Result};

/// Means over the pairs of a layer's bases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Coherence {
    /// Mean |cosine| between columns of different heads.
    pub between_heads: f64,
    /// Mean |cosine| between different columns of a head.
    pub within_heads: f64,
    /// Mean over pairs of heads of `||Q_k^T Q_l||_F^2 / p`, `Q_k` an orthonormal basis of `U_k`: the share of
    /// one subspace that lies in the other. 0 for orthogonal subspaces, 1 for one and the same, `p / d` on
    /// average for random ones.
    pub overlap: f64,
}

/// `|cos|` between all columns of `[U_1, ..., U_K]`, (K p, K p).
pub fn cosines(bases: ArrayView3<'_, f64>) -> Array2<f64> {
    let (heads, d, p) = bases.dim();
    let mut columns = Array2::zeros((d, heads * p));
    for (head, basis) in bases.outer_iter().enumerate() {
        for (index, column) in basis.axis_iter(Axis(1)).enumerate() {
            let length = column.dot(&column).sqrt();
            let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
            columns
                .column_mut(head * p + index)
                .assign(&(&column * scale));
        }
    }
    columns.t().dot(&columns).mapv(f64::abs)
}

/// Coherence of bases (K, d, p).
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails.
pub fn coherence(bases: ArrayView3<'_, f64>) -> Result<Coherence> {
    let (heads, _, p) = bases.dim();
    let cosines = cosines(bases);
    let (mut between, mut within) = ((0.0, 0usize), (0.0, 0usize));
    for ((i, j), &cosine) in cosines.indexed_iter() {
        let sum = match (i / p == j / p, i == j) {
            (_, true) => continue,
            (true, false) => &mut within,
            (false, false) => &mut between,
        };
        sum.0 += cosine;
        sum.1 += 1;
    }
    let frames: Vec<Array2<f64>> = bases.outer_iter().map(frame).collect::<Result<_>>()?;
    let mut overlap = (0.0, 0usize);
    for k in 0..heads {
        for l in 0..k {
            overlap.0 += share(&frames[k], &frames[l]);
            overlap.1 += 1;
        }
    }
    let mean = |(sum, count): (f64, usize)| sum / count as f64;
    Ok(Coherence {
        between_heads: mean(between),
        within_heads: mean(within),
        overlap: mean(overlap),
    })
}

/// The share of the span of `a` that lies in that of `b`, both (d, p), as in [`Coherence::overlap`].
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails.
pub fn overlap(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<f64> {
    Ok(share(&frame(a)?, &frame(b)?))
}

/// `||Q^T P||_F^2 / p` of orthonormal `Q`, `P` (d, p).
fn share(q: &Array2<f64>, p: &Array2<f64>) -> f64 {
    let product = q.t().dot(p);
    product.iter().map(|v| v * v).sum::<f64>() / q.ncols() as f64
}

/// `<A, B> / (||A||_F ||B||_F)`: 1 where `b` is a multiple of `a`, near 0 where they have nothing in common.
pub fn alignment(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    let product = |a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>| (&a * &b).sum();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// An orthonormal basis of the span of `basis` (d, p).
pub(super) fn frame(basis: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
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
    use crate::data::subspaces::{gaussian, orthogonal_bases};
    use ndarray::{stack, Array3};

    #[test]
    fn orthogonal_subspaces_are_incoherent_and_equal_ones_overlap_wholly() {
        let bases = orthogonal_bases(1, "coherence", 3, 5).unwrap();
        let found = coherence(bases.view()).unwrap();
        assert!(found.between_heads < 1e-14 && found.within_heads < 1e-14);
        assert!(found.overlap < 1e-14);
        // Another basis of the same subspace, neither orthogonal nor of length 1.
        let first = bases.index_axis(Axis(0), 0).to_owned();
        let mixed = first.dot(&gaussian(1, "mix", 5, 5));
        let same = stack(Axis(0), &[first.view(), mixed.view()]).unwrap();
        let found = coherence(same.view()).unwrap();
        assert!((found.overlap - 1.0).abs() < 1e-12);
        assert!(found.between_heads > 0.1);
        let (own, other) = (first.view(), bases.index_axis(Axis(0), 1));
        assert!((overlap(own, mixed.view()).unwrap() - 1.0).abs() < 1e-12);
        assert!(overlap(own, other).unwrap() < 1e-14);
        assert!((alignment(own, (&first * 3.0).view()) - 1.0).abs() < 1e-14);
        assert!(alignment(own, other).abs() < 1e-14 && alignment(own, mixed.view()).abs() < 0.9);
    }

    #[test]
    fn random_subspaces_overlap_by_p_over_d() {
        let (heads, d, p) = (4, 200, 20);
        let bases = Array3::from_shape_fn((heads, d, p), |(k, i, j)| {
            gaussian(7, &format!("{k}/{j}"), d, 1)[(i, 0)]
        });
        let found = coherence(bases.view()).unwrap();
        // Six pairs of 400 products each: the mean is within a few per cent of p / d, and the mean
        // |cosine| of that of a normal number, sqrt(2 / (pi d)).
        assert!(
            (found.overlap * 10.0 - 1.0).abs() < 0.1,
            "{}",
            found.overlap
        );
        let level = (2.0 / (std::f64::consts::PI * 200.0)).sqrt();
        assert!((found.between_heads / level - 1.0).abs() < 0.1);
    }
}
