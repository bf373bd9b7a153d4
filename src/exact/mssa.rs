//! Multi-head subspace self-attention as the papers derive it (NeurIPS 2023, section 2.3; book,
//! chapter 4): the approximate gradient of `R^c`, with the Gram matrix replaced by a softmax.

use ndarray::{Array1, Array2, ArrayView2, ArrayView3, Axis};

use crate::mask::Mask;

/// `c = p / (N eps^2)`, the coefficient of one head.
pub fn compression_coefficient(p: usize, tokens: usize, epsilon: f64) -> f64 {
    p as f64 / (tokens as f64 * epsilon * epsilon)
}

/// Softmax of every column.
pub fn softmax_columns(scores: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut map = scores.to_owned();
    // Row by row, as the numbers lie in memory: a column of a large map has a cache line per entry.
    let mut largest = Array1::from_elem(map.ncols(), f64::NEG_INFINITY);
    for row in map.outer_iter() {
        largest.zip_mut_with(&row, |a, &b| *a = a.max(b));
    }
    let mut sums = Array1::<f64>::zeros(map.ncols());
    for mut row in map.outer_iter_mut() {
        row.zip_mut_with(&largest, |s, &largest| *s = (*s - largest).exp());
        sums += &row;
    }
    map /= &sums;
    map
}

/// `softmax(scale W^T W)`, `W = U_k^T Z`, (N, N): column `j` is what token `j` reads.
///
/// # Shapes
/// z (d, N), basis (d, p).
///
/// # Example
/// One subspace, the first axis: `W = (1, 0)`. With scale ln 3 the first token has scores ln 3 and 0, the other none.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::attention_map;
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axis = array![[1.0], [0.0]];
/// let map = attention_map(z.view(), axis.view(), 3f64.ln());
/// let exact = array![[3.0 / 4.0, 1.0 / 2.0], [1.0 / 4.0, 1.0 / 2.0]];
/// assert!((map - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
pub fn attention_map(
    z: ArrayView2<'_, f64>,
    basis: ArrayView2<'_, f64>,
    scale: f64,
) -> Array2<f64> {
    let w = basis.t().dot(&z);
    softmax_columns((w.t().dot(&w) * scale).view())
}

/// [`attention_map`] under a mask: column `j` is what token `j` reads, zero where it may not.
///
/// # Shapes
/// z (d, N), basis (d, p); gives (N, N).
///
/// # Example
/// Under a causal mask the first token reads itself alone; the second has scores 0 and 0 with both.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::masked_attention_map;
/// use whitebox::mask::Mask;
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axis = array![[1.0], [0.0]];
/// let map = masked_attention_map(z.view(), axis.view(), 1.0, Mask::Causal);
/// assert_eq!(map, array![[1.0, 1.0 / 2.0], [0.0, 1.0 / 2.0]]);
/// ```
pub fn masked_attention_map(
    z: ArrayView2<'_, f64>,
    basis: ArrayView2<'_, f64>,
    scale: f64,
    mask: Mask,
) -> Array2<f64> {
    let w = basis.t().dot(&z);
    let mut scores = w.t().dot(&w) * scale;
    for ((read, reader), score) in scores.indexed_iter_mut() {
        if !mask.allows(reader, read) {
            *score = f64::NEG_INFINITY;
        }
    }
    softmax_columns(scores.view())
}

// ANCHOR: ssa
/// `SSA(Z | U_k) = W softmax(scale W^T W)`, `W = U_k^T Z` (NeurIPS 2023, eq. 11): every output token
/// is a convex combination of projected tokens. The papers write scale 1, the code has `p^{-1/2}`.
///
/// # Shapes
/// z (d, N), basis (d, p); gives (p, N).
///
/// # Example
/// `W = (1, 0)` through the map of [`attention_map`]'s example.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::ssa;
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axis = array![[1.0], [0.0]];
/// let read = ssa(z.view(), axis.view(), 3f64.ln());
/// assert!((read - array![[3.0 / 4.0, 1.0 / 2.0]]).iter().all(|v| v.abs() < 1e-15));
/// ```
pub fn ssa(z: ArrayView2<'_, f64>, basis: ArrayView2<'_, f64>, scale: f64) -> Array2<f64> {
    basis.t().dot(&z).dot(&attention_map(z, basis, scale))
}
// ANCHOR_END: ssa

// ANCHOR: attention_update
/// `M = sum_k U_k SSA(Z | U_k)`: MSSA without the factor `c` (NeurIPS 2023, eq. 12, over `c`).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// Two subspaces, the axes, and a token on each: every token is read in its own subspace with weight 3/4, and in the other,
/// where all scores are 0, with 1/2.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::attention_update;
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let m = attention_update(z.view(), axes.view(), 3f64.ln());
/// let exact = array![[3.0 / 4.0, 1.0 / 2.0], [1.0 / 2.0, 3.0 / 4.0]];
/// assert!((m - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
pub fn attention_update(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    scale: f64,
) -> Array2<f64> {
    let mut sum = Array2::zeros(z.dim());
    for basis in bases.outer_iter() {
        sum += &basis.dot(&ssa(z, basis, scale));
    }
    sum
}
// ANCHOR_END: attention_update

/// `sum_k U_k W_k A_k`, `W_k = U_k^T Z`, for maps `A_k` other than attention's own: what a control reads.
///
/// # Shapes
/// z (d, N), bases (K, d, p); `map` gives (N, N) for a basis (d, p), column `j` what token `j` reads;
/// the result is (d, N).
pub fn update_through(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    map: impl Fn(ArrayView2<'_, f64>) -> Array2<f64>,
) -> Array2<f64> {
    let mut sum = Array2::zeros(z.dim());
    for basis in bases.outer_iter() {
        sum += &basis.dot(&basis.t().dot(&z).dot(&map(basis)));
    }
    sum
}

/// `sum_k U_k U_k^T X`: what the subspaces hold of `X`, as often as they hold it.
///
/// # Shapes
/// x (d, N), bases (K, d, p); gives (d, N).
pub fn reconstruction(x: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>) -> Array2<f64> {
    let mut sum = Array2::zeros(x.dim());
    for basis in bases.outer_iter() {
        sum += &basis.dot(&basis.t().dot(&x));
    }
    sum
}

/// `MSSA(Z | U_[K]) = c sum_k U_k SSA(Z | U_k)`, the papers' form.
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// `c = p / (N eps^2) = 1/2` times [`attention_update`].
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::{attention_update, mssa_paper};
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let step = mssa_paper(z.view(), axes.view(), 1.0, 1.0);
/// assert_eq!(step, attention_update(z.view(), axes.view(), 1.0) * 0.5);
/// ```
pub fn mssa_paper(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
    scale: f64,
) -> Array2<f64> {
    let c = compression_coefficient(bases.len_of(Axis(2)), z.ncols(), epsilon);
    attention_update(z, bases, scale) * c
}

/// Normalises rows and columns of a positive matrix in turn (Sinkhorn), `rounds` times, columns
/// last: the limit is doubly stochastic, which an attention map is not.
///
/// # Shapes
/// map (N, N), all entries > 0.
pub fn doubly_stochastic(mut map: Array2<f64>, rounds: usize) -> Array2<f64> {
    for _ in 0..rounds {
        for axis in [Axis(1), Axis(0)] {
            let sums = map.sum_axis(axis).insert_axis(axis);
            map /= &sums;
        }
    }
    map
}
