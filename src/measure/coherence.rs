//! How far a layer's bases are from what the derivation assumes, orthonormal bases of orthogonal
//! subspaces: `U_k^T U_k = I` and `U_k^T U_l = 0`.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};
use serde::Serialize;

use crate::error::Result;
use crate::exact::frame::frame;
use crate::exact::linear::frobenius;

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

/// `|cos|` between all columns of `[U_1, ..., U_K]`; 0 for a column of zeros.
///
/// # Shapes
/// bases (K, d, p); gives (K p, K p).
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

/// Means of [`cosines`] and overlaps over the pairs of columns and of bases; NaN where there are no pairs.
///
/// # Shapes
/// bases (K, d, p).
///
/// # Errors
/// [`crate::Error::Lapack`] if the bases are not finite.
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

/// The share `||Q_a^T Q_b||_F^2 / p` of the span of `a` that lies in that of `b`, `Q` an orthonormal basis: 0 for
/// orthogonal spans, 1 for one and the same.
///
/// # Shapes
/// a and b (d, p).
///
/// # Errors
/// [`crate::Error::Lapack`] if they are not finite.
///
/// # Panics
/// If they have not equally many rows.
pub fn overlap(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<f64> {
    Ok(share(&frame(a)?, &frame(b)?))
}

/// `||Q^T P||_F^2 / p` of orthonormal `Q`, `P` (d, p).
fn share(q: &Array2<f64>, p: &Array2<f64>) -> f64 {
    let product = q.t().dot(p);
    product.iter().map(|v| v * v).sum::<f64>() / q.ncols() as f64
}

/// `<A, B> / (||A||_F ||B||_F)`: 1 where `b` is a positive multiple of `a`, near 0 where they have nothing in common;
/// NaN if one is zero.
///
/// # Shapes
/// a and b of the same shape.
///
/// # Panics
/// If the shapes differ.
pub fn alignment(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    let product = |a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>| (&a * &b).sum();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// How far a dictionary is from a scaled rotation, which is what the papers ask of it:
/// `||D^T D - alpha I||_F / ||D^T D||_F` with the best `alpha`, `tr(D^T D) / d`: 0 for a scaled rotation.
///
/// # Shapes
/// dictionary (d, d).
pub fn dictionary_incoherence(dictionary: ArrayView2<'_, f64>) -> f64 {
    let gram = dictionary.t().dot(&dictionary);
    let alpha = gram.diag().sum() / gram.nrows() as f64;
    let mut off = gram.clone();
    off.diag_mut().mapv_inplace(|g| g - alpha);
    frobenius(off.view()) / frobenius(gram.view())
}

/// Mean `|cos|` between different columns of a matrix; NaN for a single column.
///
/// # Shapes
/// matrix (d, n).
pub fn column_coherence(matrix: ArrayView2<'_, f64>) -> f64 {
    let cosines = cosines(matrix.insert_axis(Axis(0)));
    let d = cosines.nrows() as f64;
    (cosines.sum() - cosines.diag().sum()) / (d * (d - 1.0))
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
    fn rotations_are_incoherent_dictionaries_whatever_their_scale() {
        let rotation = orthogonal_bases(2, "rotation", 1, 9).unwrap();
        let rotation = &rotation.index_axis(Axis(0), 0) * 3.0;
        assert!(dictionary_incoherence(rotation.view()) < 1e-14);
        assert!(column_coherence(rotation.view()) < 1e-14);
        // Two columns at 60 degrees: G = [[1, 1/2], [1/2, 1]], alpha = 1.
        let two = ndarray::arr2(&[[1.0, 0.5], [0.0, 0.75f64.sqrt()]]);
        assert!((dictionary_incoherence(two.view()) - 0.2f64.sqrt()).abs() < 1e-15);
        assert!((column_coherence(two.view()) - 0.5).abs() < 1e-15);
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
