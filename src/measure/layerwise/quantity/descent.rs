//! MSSA against the gradient of `R^c` at `X = LN1(Z^l)`, the tokens as they are, and the series it is
//! derived from.

use ndarray::{Array2, ArrayView2};

use super::Of::At;
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::linear::frobenius;
use crate::measure::descent::without;
use crate::model::probe::Site;

quantities! {
    /// The largest eigenvalue of `c (U_k^T X)(U_k^T X)^T` over heads: the Neumann series behind MSSA
    /// converges below 1.
    NEUMANN_RADIUS = "neumann_radius", "1", [NORMALISED_INPUT],
        At(|view, epsilon| Ok(view.energies(epsilon)?.iter().copied().fold(0.0, f64::max)));
    /// Fraction of those eigenvalues over 1: directions along which the series' first order has
    /// the wrong sign.
    OUTSIDE_NEUMANN_RADIUS = "outside_neumann_radius", "fraction", [NORMALISED_INPUT],
        At(|view, epsilon| {
            let energies = view.energies(epsilon)?;
            let outside = energies.iter().filter(|&&s| s > 1.0).count();
            Ok(outside as f64 / energies.len() as f64)
        });
    /// Cosine between what MSSA adds, `Z^{l+1/2} - Z^l`, and the exact `-grad R^c`.
    COSINE_MSSA_DESCENT = "cosine_mssa_descent", "cosine", [NORMALISED_INPUT, LayerInput, AFTER_MSSA],
        At(|view, epsilon| Ok(downhill(view.gradient(epsilon)?.view(), view.added()?.view())));
    /// Cosine between the papers' convex step `M - X`, `M = sum_k U_k SSA(X | U_k)` with the code's
    /// scale `p^{-1/2}`, and the exact `-grad R^c`.
    COSINE_CONVEX_DESCENT = "cosine_convex_descent", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| Ok(downhill(view.gradient(epsilon)?.view(), convex(view)?.view())));
    /// Cosine between `-X`, mere shrinkage, and the exact `-grad R^c`.
    COSINE_SHRINKAGE_DESCENT = "cosine_shrinkage_descent", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| {
            let shrinkage = -&view.tokens(Site::NORMALISED_INPUT)?.t();
            Ok(downhill(view.gradient(epsilon)?.view(), shrinkage.view()))
        });
    /// [`Quantity::COSINE_CONVEX_DESCENT`] after the part along `X` is taken out of both: what the convex
    /// step does beyond shrinkage.
    COSINE_CONVEX_BEYOND_SHRINKAGE = "cosine_convex_beyond_shrinkage", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| {
            let x = view.tokens(Site::NORMALISED_INPUT)?;
            let gradient = without(view.gradient(epsilon)?.view(), x.t());
            Ok(downhill(gradient.view(), without(convex(view)?.view(), x.t()).view()))
        });
}

fn convex(view: &View<'_>) -> Result<Array2<f64>> {
    Ok((*view.update()?).clone() - view.tokens(Site::NORMALISED_INPUT)?.t())
}

/// Cosine between a step and the opposite of a gradient, (d, N) both.
pub(super) fn downhill(gradient: ArrayView2<'_, f64>, step: ArrayView2<'_, f64>) -> f64 {
    let product = -(&gradient * &step).sum();
    product / (frobenius(gradient) * frobenius(step))
}
