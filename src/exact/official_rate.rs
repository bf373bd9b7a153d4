//! The compression term in the convention of the official measurement code
//! (`vis_utils/coding_rate.py`), which differs from the papers' formula in three ways:
//!
//! | | paper | official code |
//! |---|---|---|
//! | tokens | `U_k^T Z^{l+1/2}` | the projection of `LN1(Z^l)`, before attention |
//! | size | as they are | each token of each head scaled to length 1 |
//! | precision | `p / (N eps^2)` | `p / (N * 0.01)`, that is `eps = 0.1` |
//!
//! With unit tokens, `K/2 ln(1 + p / 0.01) <= R <= K p / 2 ln(1 + 1 / 0.01)` for `N >= p`: the
//! upper end is reached by isotropic tokens, the lower by parallel ones.

use ndarray::{Array2, ArrayView2, Axis};

use super::gram::{scale, sum_of_squares};
use super::log_determinant::{half_log_determinant, LogDeterminant, Prepared, ScaledTokens};
use crate::error::{Error, Result};

/// The square of the precision that the official code uses; its argument is called `eps`.
pub const OFFICIAL_EPSILON_SQUARED: f64 = 0.01;

/// The official number for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct OfficialRate {
    /// The sum over heads, nats.
    pub total: f64,
    /// By head.
    pub per_head: Vec<LogDeterminant>,
    /// Head-token pairs of length zero. The official code divides by zero there and returns NaN;
    /// here they stay zero, and are counted.
    pub zero_tokens: usize,
}

// ANCHOR: official_rate
/// `sum_k 1/2 logdet(I_N + p / (0.01 N) X_k X_k^T)`, nats, `X_k` the rows of head `k` scaled to length 1 (official
/// `vis_utils/coding_rate.py`).
///
/// # Shapes
/// `projection` is (N, K p), rows are tokens, heads side by side: what the official hook sees. Numbers of
/// less than 64 bits are widened first.
///
/// # Example
/// Two orthogonal tokens of one head: at length 1, whatever it was, `p / (0.01 N) = 100` gives `1/2 ln 101` twice.
/// ```
/// use ndarray::array;
/// use whitebox::exact::official_rate;
///
/// let projection = array![[3.0f32, 0.0], [0.0, 5.0]];
/// let rate = official_rate(projection.view(), 1)?;
/// assert!((rate.total - 101f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if `heads` does not divide the columns or there are no rows; [`Error::Domain`] for NaN or
/// infinities; [`Error::Lapack`] if a factorisation fails.
pub fn official_rate<T: Copy + Into<f64>>(
    projection: ArrayView2<'_, T>,
    heads: usize,
) -> Result<OfficialRate> {
    let epsilon = OFFICIAL_EPSILON_SQUARED.sqrt();
    projection_rate(projection, heads, Lengths::Unit, epsilon)
}

/// What becomes of the tokens of a head before their rate is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// Each is scaled to length 1.
    Unit,
    /// Nothing.
    AsTheyAre,
}

/// `sum_k 1/2 logdet(I_N + p / (N eps^2) X_k X_k^T)`, nats: [`official_rate`] at another precision, or without its
/// scaling, which is then book (4.2.3) with `X_k = Z^T U_k`.
///
/// # Shapes
/// projection (N, K p), rows are tokens, heads side by side.
///
/// # Example
/// Tokens of length 3 and 5 at right angles, `p / (N eps^2) = 1`: `1/2 ln(1 + 9) + 1/2 ln(1 + 25)`, and `ln 2` at
/// length 1.
/// ```
/// use ndarray::array;
/// use whitebox::exact::official_rate::{projection_rate, Lengths};
///
/// let projection = array![[3.0, 0.0], [0.0, 5.0]];
/// let rate = projection_rate(projection.view(), 1, Lengths::AsTheyAre, 1.0)?;
/// assert!((rate.total - 0.5 * 260f64.ln()).abs() < 1e-12);
/// let rate = projection_rate(projection.view(), 1, Lengths::Unit, 1.0)?;
/// assert!((rate.total - 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if `heads` does not divide the columns or there are no rows; [`Error::Domain`] for NaN, infinities
/// or `epsilon <= 0`; [`Error::Lapack`] if a factorisation fails.
pub fn projection_rate<T: Copy + Into<f64>>(
    projection: ArrayView2<'_, T>,
    heads: usize,
    scaling: Lengths,
    epsilon: f64,
) -> Result<OfficialRate> {
    let inner = projection.ncols();
    if heads == 0 || !inner.is_multiple_of(heads) || inner == 0 {
        return Err(Error::shape(
            "projection",
            format!("columns divisible by {heads} heads"),
            format!("{inner} columns"),
            "give the right number of heads",
        ));
    }
    let (p, mut zero_tokens) = (inner / heads, 0);
    let room = projection.nrows() * p;
    let mut by_head: Vec<Vec<f64>> = (0..heads).map(|_| Vec::with_capacity(room)).collect();
    for token in projection.outer_iter() {
        for (tokens, head) in by_head.iter_mut().zip(token.axis_chunks_iter(Axis(0), p)) {
            let start = tokens.len();
            match head.to_slice() {
                Some(head) => tokens.extend(head.iter().map(|&v| v.into())),
                None => tokens.extend(head.iter().map(|&v| v.into())),
            }
            if scaling == Lengths::AsTheyAre {
                continue;
            }
            let token = &mut tokens[start..];
            let length = sum_of_squares(token).sqrt();
            if length == 0.0 {
                zero_tokens += 1;
            } else {
                scale(token, 1.0 / length);
            }
        }
    }
    let per_head = by_head
        .into_iter()
        .map(|tokens| {
            let shape = [projection.nrows(), p];
            let tokens = Array2::from_shape_vec(shape, tokens);
            let tokens = tokens.map_err(|e| Error::misfit("tokens of a head", shape, &e))?;
            let tokens = Prepared::of("tokens", tokens.reversed_axes())?;
            half_log_determinant(&ScaledTokens::new(&tokens, None, epsilon)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(OfficialRate {
        total: per_head.iter().map(|rate| rate.value).sum(),
        per_head,
        zero_tokens,
    })
}
// ANCHOR_END: official_rate

/// The largest value of [`official_rate`] for `heads` heads of width `p` and at least `p` tokens, nats:
/// `K p / 2 ln(1 + 1 / 0.01)`, all singular values equal (claim C-THY-31).
///
/// # Example
/// One head of width 2: between `1/2 ln 201` and `ln 101`.
/// ```
/// use whitebox::exact::official_rate::{official_lower_bound, official_upper_bound};
///
/// assert!((official_lower_bound(1, 2) - 0.5 * 201f64.ln()).abs() < 1e-15);
/// assert!((official_upper_bound(1, 2) - 101f64.ln()).abs() < 1e-15);
/// ```
pub fn official_upper_bound(heads: usize, p: usize) -> f64 {
    (heads * p) as f64 / 2.0 * (1.0 / OFFICIAL_EPSILON_SQUARED).ln_1p()
}

/// The smallest value of [`official_rate`] without zero tokens, nats: `K / 2 ln(1 + p / 0.01)`, all tokens of a head
/// parallel (claim C-THY-31).
pub fn official_lower_bound(heads: usize, p: usize) -> f64 {
    heads as f64 / 2.0 * (p as f64 / OFFICIAL_EPSILON_SQUARED).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_and_isotropic_tokens_reach_the_bounds_whatever_their_length() {
        let (heads, p) = (2, 4);
        let parallel = Array2::from_shape_fn((9, heads * p), |(token, _)| 1.0 + token as f64);
        let found = official_rate(parallel.view(), heads).unwrap().total;
        let bound = official_lower_bound(heads, p);
        assert!((found - bound).abs() <= 1e-13 * bound);
        let other = projection_rate(parallel.view(), heads, Lengths::Unit, 1.0).unwrap();
        let bound = heads as f64 / 2.0 * (p as f64).ln_1p();
        assert!((other.total - bound).abs() <= 1e-13 * bound);
        let longer = projection_rate(parallel.view(), heads, Lengths::AsTheyAre, 1.0).unwrap();
        assert!(longer.total > other.total);
        let frame = Array2::from_shape_fn((8, heads * p), |(token, feature)| {
            if token % p == feature % p {
                3.0 + token as f64
            } else {
                0.0
            }
        });
        let found = official_rate(frame.view(), heads).unwrap().total;
        let bound = official_upper_bound(heads, p);
        assert!((found - bound).abs() <= 1e-13 * bound);
    }

    #[test]
    fn zero_tokens_are_counted_and_change_nothing_else() {
        let mut tokens = Array2::from_shape_fn((6, 4), |(i, j)| ((i * 4 + j) as f64).sin());
        tokens.row_mut(2).fill(0.0);
        let found = official_rate(tokens.view(), 2).unwrap();
        assert_eq!(found.zero_tokens, 2);
        assert!(found.total.is_finite());
        assert!(official_rate(tokens.view(), 3).is_err());
    }
}
