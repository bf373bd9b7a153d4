//! Multi-head subspace self-attention as the papers derive it (NeurIPS 2023, section 2.3; book (4.2.11) to (4.2.14)):
//! the approximate gradient of `R^c`, with the Gram matrix replaced by a softmax. Maps and scales have no unit, what is
//! read has that of the tokens.

use ndarray::{Array1, Array2, ArrayView2, ArrayView3, Axis};

use crate::mask::Mask;

/// `c = p / (N eps^2)`, the coefficient of one head in `R^c` (book (4.2.3)), per squared unit of the tokens.
///
/// # Example
/// ```
/// assert_eq!(whitebox::exact::mssa::compression_coefficient(1, 2, 0.5), 1.0 / (2.0 * 0.25));
/// ```
pub fn compression_coefficient(p: usize, tokens: usize, epsilon: f64) -> f64 {
    p as f64 / (tokens as f64 * epsilon * epsilon)
}

/// Softmax of every column: `exp(s_ij) / sum_i exp(s_ij)`. A column of minus infinities, or with a NaN, is NaN.
///
/// # Shapes
/// scores (m, n); gives (m, n).
///
/// # Example
/// Scores ln 3 and 0 weigh three to one, equal ones half each.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::softmax_columns;
///
/// let map = softmax_columns(array![[3f64.ln(), -7.0], [0.0, -7.0]].view());
/// let exact = array![[3.0 / 4.0, 1.0 / 2.0], [1.0 / 4.0, 1.0 / 2.0]];
/// assert!((map - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
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

/// `softmax(scale W^T W)` by columns, `W = U_k^T Z`: column `j` is what token `j` reads (the map in book (4.2.12)).
///
/// # Shapes
/// z (d, N), basis (d, p); gives (N, N).
///
/// # Example
/// One subspace, the first axis: `W = (1, 0)`. With scale ln 3 the first token has scores ln 3 and 0, the other 0 and
/// 0.
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
///
/// # Panics
/// If `basis` has not as many rows as `z`.
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
/// `SSA(Z | U_k) = W softmax(scale W^T W)`, `W = U_k^T Z` (NeurIPS 2023 (11); book (4.2.12)): every output token
/// is a convex combination of projected tokens. The papers write scale 1, the code has `p^{-1/2}`.
///
/// # Shapes
/// z (d, N), basis (d, p); gives (p, N).
///
/// # Example
/// `W = (1, 0)` through the map `[[3/4, 1/2], [1/4, 1/2]]`: see [`attention_map`].
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::ssa;
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axis = array![[1.0], [0.0]];
/// let read = ssa(z.view(), axis.view(), 3f64.ln());
/// assert!((read - array![[3.0 / 4.0, 1.0 / 2.0]]).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If `basis` has not as many rows as `z`.
pub fn ssa(z: ArrayView2<'_, f64>, basis: ArrayView2<'_, f64>, scale: f64) -> Array2<f64> {
    basis.t().dot(&z).dot(&attention_map(z, basis, scale))
}
// ANCHOR_END: ssa

// ANCHOR: attention_update
/// `M = sum_k U_k SSA(Z | U_k)`: MSSA without the factor `c` (NeurIPS 2023 (12) and book (4.2.13), over `c`).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// Two subspaces, the axes, and a token on each: every token is read in its own subspace with weight 3/4, and in the
/// other, where all scores are 0, with 1/2.
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
///
/// # Panics
/// If `bases` has not as many rows as `z`.
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
///
/// # Example
/// The axes, and a map by which every token reads the other: the tokens change places.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::update_through;
///
/// let z = array![[1.0, 2.0], [3.0, 4.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let read = update_through(z.view(), axes.view(), |_| array![[0.0, 1.0], [1.0, 0.0]]);
/// assert_eq!(read, array![[2.0, 1.0], [4.0, 3.0]]);
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `z`, or a map not as many as `z` has columns.
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

/// `sum_k U_k U_k^T X`: what the subspaces hold of `X`, as often as they hold it; `X` for complete orthogonal ones,
/// which book (4.2.11) asks for.
///
/// # Shapes
/// x (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// The first axis twice.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::reconstruction;
///
/// let twice = array![[[1.0], [0.0]], [[1.0], [0.0]]];
/// let held = reconstruction(array![[1.0, 2.0], [3.0, 4.0]].view(), twice.view());
/// assert_eq!(held, array![[2.0, 4.0], [0.0, 0.0]]);
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `x`.
pub fn reconstruction(x: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>) -> Array2<f64> {
    let mut sum = Array2::zeros(x.dim());
    for basis in bases.outer_iter() {
        sum += &basis.dot(&basis.t().dot(&x));
    }
    sum
}

/// `MSSA(Z | U_[K]) = c sum_k U_k SSA(Z | U_k)`, `c = p / (N eps^2)`: the papers' form (NeurIPS 2023 (12); book
/// (4.2.13)).
///
/// # Shapes
/// z (d, N), bases (K, d, p); gives (d, N).
///
/// # Example
/// `c = 1/2` of what the tokens read, `[[3/4, 1/2], [1/2, 3/4]]`: see [`attention_update`].
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::mssa_paper;
///
/// let z = array![[1.0, 0.0], [0.0, 1.0]];
/// let axes = array![[[1.0], [0.0]], [[0.0], [1.0]]];
/// let step = mssa_paper(z.view(), axes.view(), 1.0, 3f64.ln());
/// let exact = array![[3.0 / 8.0, 1.0 / 4.0], [1.0 / 4.0, 3.0 / 8.0]];
/// assert!((step - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn mssa_paper(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    epsilon: f64,
    scale: f64,
) -> Array2<f64> {
    let c = compression_coefficient(bases.len_of(Axis(2)), z.ncols(), epsilon);
    attention_update(z, bases, scale) * c
}

/// Normalises rows and columns of a positive matrix in turn (Sinkhorn and Knopp 1967), `rounds` times, columns
/// last: the limit is doubly stochastic, which an attention map is not (claim C-SUP-02).
///
/// # Shapes
/// map (N, N), all entries > 0; gives (N, N).
///
/// # Example
/// Rows first: both become (1/3, 2/3), columns of sums 2/3 and 4/3.
/// ```
/// use ndarray::array;
/// use whitebox::exact::mssa::doubly_stochastic;
///
/// let map = doubly_stochastic(array![[1.0, 2.0], [2.0, 4.0]], 1);
/// assert!((map - array![[0.5, 0.5], [0.5, 0.5]]).iter().all(|v: &f64| v.abs() < 1e-15));
/// ```
pub fn doubly_stochastic(mut map: Array2<f64>, rounds: usize) -> Array2<f64> {
    for _ in 0..rounds {
        for axis in [Axis(1), Axis(0)] {
            let sums = map.sum_axis(axis).insert_axis(axis);
            map /= &sums;
        }
    }
    map
}
