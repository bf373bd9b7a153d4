//! The attention-only transformer's layer (book, chapter 4, theorem on the signal-to-noise ratio):
//! `Z + eta sum_k U_k W_k phi(W_k^T W_k)`, `W_k = U_k^T Z`, with the thresholded softmax
//! `phi = tau 1[softmax > tau]`.

use ndarray::{Array2, ArrayView2, ArrayView3};

use super::mssa::attention_map;

/// One layer.
///
/// # Shapes
/// z (d, N), bases (K, d, p) with orthonormal columns; gives (d, N). `tau` in (0, 1).
pub fn thresholded_layer(
    z: ArrayView2<'_, f64>,
    bases: ArrayView3<'_, f64>,
    eta: f64,
    tau: f64,
) -> Array2<f64> {
    let mut out = z.to_owned();
    for basis in bases.outer_iter() {
        let map = thresholded_map(z, basis, tau);
        let read = basis.t().dot(&z).dot(&map);
        out.scaled_add(eta, &basis.dot(&read));
    }
    out
}

/// `tau 1[softmax(W^T W) > tau]`, (N, N).
pub fn thresholded_map(
    z: ArrayView2<'_, f64>,
    basis: ArrayView2<'_, f64>,
    tau: f64,
) -> Array2<f64> {
    attention_map(z, basis, 1.0).mapv(|a| if a > tau { tau } else { 0.0 })
}

/// `||U_k^T Z_k||_F / ||(I - U_k U_k^T) Z_k||_F` for the tokens `Z_k` of one subspace.
///
/// # Shapes
/// z (d, N_k), basis (d, p) with orthonormal columns.
pub fn signal_to_noise(z: ArrayView2<'_, f64>, basis: ArrayView2<'_, f64>) -> f64 {
    let inside = basis.dot(&basis.t().dot(&z));
    let outside = &z - &inside;
    let norm = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(&inside) / norm(&outside)
}
