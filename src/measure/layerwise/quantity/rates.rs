//! `R` and `R^c` of what enters and leaves the blocks, in nats.

use ndarray::{Array2, ArrayView2};

use super::Of::At;
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::coding_rate::{rate_prepared, subspace_rate_prepared};
use crate::exact::linear::frobenius;
use crate::exact::log_determinant::Prepared;
use crate::exact::scale_free::unit_tokens;
use crate::exact::{coding_rate, subspace_rate};
use crate::model::probe::Site;

quantities! {
    /// `R(Z^l)`.
    RATE = "rate", "nats", [LayerInput],
        At(|view, epsilon| rate(view, Site::LayerInput, epsilon));
    /// `R(LN1(Z^l))`: of the tokens that the official measurement projects.
    NORMALISED_RATE = "normalised_rate", "nats", [NORMALISED_INPUT],
        At(|view, epsilon| rate(view, Site::NORMALISED_INPUT, epsilon));
    /// `R(LN2(Z^{l+1/2}))`.
    RATE_BEFORE_ISTA = "rate_before_ista", "nats", [NORMALISED_AFTER_MSSA],
        At(|view, epsilon| rate(view, Site::NORMALISED_AFTER_MSSA, epsilon));
    /// `R(Z^{l+1})`.
    RATE_AFTER_ISTA = "rate_after_ista", "nats", [AFTER_ISTA],
        At(|view, epsilon| rate(view, Site::AFTER_ISTA, epsilon));
    /// `R(ReLU(LN2(Z^{l+1/2})))`: what a plain ReLU in place of ISTA would leave.
    RATE_AFTER_RELU = "rate_after_relu", "nats", [NORMALISED_AFTER_MSSA],
        At(|view, epsilon| {
            let tokens = view.tokens(Site::NORMALISED_AFTER_MSSA)?;
            Ok(coding_rate(tokens.mapv(|v| v.max(0.0)).t(), epsilon)?.value)
        });
    /// `R^c(Z^{l+1/2} | U^l)`: the caption of the paper's figure.
    SUBSPACE_RATE_AFTER_MSSA = "subspace_rate_after_mssa", "nats", [AFTER_MSSA],
        At(|view, epsilon| subspace(view, Site::AFTER_MSSA, epsilon));
    /// `R^c(Z^l | U^l)`: the same functional before the step.
    SUBSPACE_RATE_BEFORE_MSSA = "subspace_rate_before_mssa", "nats", [LayerInput],
        At(|view, epsilon| subspace(view, Site::LayerInput, epsilon));
    /// `R^c` after the step with `Z^{l+1/2}` scaled to the Frobenius norm of `Z^l`: what is left of
    /// a change when mere growth is taken out.
    SUBSPACE_RATE_AFTER_MSSA_NORM_MATCHED = "subspace_rate_after_mssa_norm_matched", "nats",
        [LayerInput, AFTER_MSSA],
        At(|view, epsilon| {
            let (before, after) = (view.tokens(Site::LayerInput)?, view.tokens(Site::AFTER_MSSA)?);
            let ratio = frobenius(before.view()) / frobenius(after.view());
            let matched: Array2<f64> = &*after * ratio;
            own_subspaces(view, matched.t(), epsilon)
        });
    /// `R^c(Z^{l+1/2} | U^l)` with every token scaled to length 1.
    UNIT_SUBSPACE_RATE_AFTER_MSSA = "unit_subspace_rate_after_mssa", "nats", [AFTER_MSSA],
        At(|view, epsilon| {
            let tokens = view.tokens(Site::AFTER_MSSA)?;
            own_subspaces(view, unit_tokens(tokens.t()).view(), epsilon)
        });
    /// `R^c(Z^l | U^l)` with every token scaled to length 1.
    UNIT_SUBSPACE_RATE_BEFORE_MSSA = "unit_subspace_rate_before_mssa", "nats", [LayerInput],
        At(|view, epsilon| {
            let tokens = view.tokens(Site::LayerInput)?;
            own_subspaces(view, unit_tokens(tokens.t()).view(), epsilon)
        });
    /// `R^c(Z^l | Q^l)`, `Q_k` an orthonormal basis of the span of `U_k`: what the derivation means by `U`.
    ORTHONORMAL_RATE_BEFORE_MSSA = "orthonormal_rate_before_mssa", "nats", [LayerInput],
        At(|view, epsilon| orthonormal(view, Site::LayerInput, epsilon));
    /// `R^c(Z^{l+1} | Q^l)`.
    ORTHONORMAL_RATE_AFTER_ISTA = "orthonormal_rate_after_ista", "nats", [AFTER_ISTA],
        At(|view, epsilon| orthonormal(view, Site::AFTER_ISTA, epsilon));
    /// `R^c(Z^l | V)`, `V` the blocks of a random orthogonal matrix: exactly orthogonal subspaces that
    /// together are everything.
    COMPLETE_RATE_BEFORE_MSSA = "complete_rate_before_mssa", "nats", [LayerInput],
        At(|view, epsilon| complete(view, Site::LayerInput, epsilon));
    /// `R^c(Z^{l+1} | V)`.
    COMPLETE_RATE_AFTER_ISTA = "complete_rate_after_ista", "nats", [AFTER_ISTA],
        At(|view, epsilon| complete(view, Site::AFTER_ISTA, epsilon));
}

fn rate(view: &View<'_>, site: Site, epsilon: f64) -> Result<f64> {
    Ok(rate_prepared(&*view.prepared(site)?, epsilon)?.value)
}

fn subspace(view: &View<'_>, site: Site, epsilon: f64) -> Result<f64> {
    let tokens = view.prepared(site)?;
    Ok(subspace_rate_prepared(&tokens, &view.operators().prepared, epsilon)?.total)
}

fn orthonormal(view: &View<'_>, site: Site, epsilon: f64) -> Result<f64> {
    let tokens = view.prepared(site)?;
    Ok(subspace_rate_prepared(&tokens, &view.operators().orthonormal, epsilon)?.total)
}

fn complete(view: &View<'_>, site: Site, epsilon: f64) -> Result<f64> {
    let tokens = view.tokens(site)?;
    Ok(subspace_rate(tokens.t(), view.random_bases()?.view(), epsilon)?.total)
}

/// `R^c` of other tokens (d, N) for the layer's own bases.
pub(super) fn own_subspaces(
    view: &View<'_>,
    tokens: ArrayView2<'_, f64>,
    epsilon: f64,
) -> Result<f64> {
    let tokens = Prepared::new("tokens", tokens)?;
    Ok(subspace_rate_prepared(&tokens, &view.operators().prepared, epsilon)?.total)
}
