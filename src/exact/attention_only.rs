//! The attention-only transformer (AoT; book (4.3.2)): `Z + eta sum_k U_k W_k phi(W_k^T W_k)`, `W_k = U_k^T Z`. In the
//! book's theorem 4.1 on the ratio of signal to noise, (4.3.5), `phi` is the thresholded softmax
//! `tau 1[softmax > tau]`.

use ndarray::{Array2, ArrayView2, ArrayView3};

use super::mssa::attention_map;

/// What turns the Gram matrix `W^T W` into weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phi {
    /// `tau 1[softmax(W^T W) > tau]`, `tau` in (0, 1).
    Thresholded {
        /// The threshold.
        tau: f64,
    },
    /// `softmax(scale W^T W)`.
    Softmax {
        /// Factor on the scores.
        scale: f64,
    },
    /// `max(0, W^T W) / N`.
    Relu,
}

impl Phi {
    /// `phi(W^T W)`, `W = U_k^T Z`, without unit: column `j` is what token `j` reads.
    ///
    /// # Shapes
    /// z (d, N), basis (d, p); gives (N, N).
    ///
    /// # Example
    /// `W = (1, -2)`: scores 1 and -2, -2 and 4.
    /// ```
    /// use ndarray::array;
    /// use whitebox::exact::attention_only::Phi;
    ///
    /// let z = array![[1.0, -2.0], [0.0, 0.0]];
    /// let axis = array![[1.0], [0.0]];
    /// let weights = Phi::Relu.map(z.view(), axis.view());
    /// assert_eq!(weights, array![[1.0 / 2.0, 0.0], [0.0, 4.0 / 2.0]]);
    /// let weights = Phi::Softmax { scale: 0.0 }.map(z.view(), axis.view());
    /// assert_eq!(weights, array![[0.5, 0.5], [0.5, 0.5]]);
    /// ```
    ///
    /// # Panics
    /// If `basis` has not as many rows as `z`.
    pub fn map(self, z: ArrayView2<'_, f64>, basis: ArrayView2<'_, f64>) -> Array2<f64> {
        match self {
            Self::Thresholded { tau } => {
                attention_map(z, basis, 1.0).mapv(|a| if a > tau { tau } else { 0.0 })
            }
            Self::Softmax { scale } => attention_map(z, basis, scale),
            Self::Relu => {
                let w = basis.t().dot(&z);
                w.t().dot(&w).mapv(|s| s.max(0.0) / z.ncols() as f64)
            }
        }
    }
}

/// One layer, `Z + eta sum_k U_k W_k phi(W_k^T W_k)` (book (4.3.2)).
///
/// # Shapes
/// z (d, N), bases (K, d, p) with orthonormal columns; gives (d, N), in the units of `z`.
///
/// # Example
/// Scores ln 3 and 0 for the first token, weights 3/4 and 1/4: only its own is above the threshold. The other has
/// nothing to read.
/// ```
/// use ndarray::array;
/// use whitebox::exact::attention_only::{attention_only_layer, Phi};
///
/// let length = 3f64.ln().sqrt();
/// let z = array![[length, 0.0], [0.0, length]];
/// let axis = array![[[1.0], [0.0]]];
/// let next = attention_only_layer(z.view(), axis.view(), 0.5, Phi::Thresholded { tau: 0.6 });
/// let exact = array![[1.3 * length, 0.0], [0.0, length]];
/// assert!((next - exact).iter().all(|v| v.abs() < 1e-15));
/// ```
///
/// # Panics
/// If `bases` has not as many rows as `z`.
pub fn attention_only_layer(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    eta: f64,
    phi: Phi,
) -> Array2<f64> {
    let mut out = z.to_owned();
    for basis in bases.outer_iter() {
        let read = basis.t().dot(&z).dot(&phi.map(z, basis));
        out.scaled_add(eta, &basis.dot(&read));
    }
    out
}

/// `||U_k U_k^T Z_k||_F / ||(I - U_k U_k^T) Z_k||_F` for the tokens `Z_k` of one subspace, without unit (book (4.3.3));
/// infinite where no token leaves it.
///
/// # Shapes
/// z (d, N_k), basis (d, p) with orthonormal columns.
///
/// # Example
/// Two tokens, 3 of one along the axis, 4 of the other across it.
/// ```
/// use ndarray::array;
/// use whitebox::exact::attention_only::signal_to_noise;
///
/// let z = array![[3.0, 0.0], [0.0, 4.0]];
/// let ratio = signal_to_noise(z.view(), array![[1.0], [0.0]].view());
/// assert_eq!(ratio, 3.0 / 4.0);
/// ```
///
/// # Panics
/// If `basis` has not as many rows as `z`.
pub fn signal_to_noise(z: ArrayView2<'_, f64>, basis: ArrayView2<'_, f64>) -> f64 {
    let inside = basis.dot(&basis.t().dot(&z));
    let outside = &z - &inside;
    let norm = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(&inside) / norm(&outside)
}
