//! Is `+M` or `-M` downhill, where growth does not count? Cosines with steepest descent at `X = LN1(Z^l)` on
//! two forms of `R^c` that growing and shrinking tokens leave as they are: `projected`, the official
//! measure, with every projected token `U_k^T x` brought to length 1, and `unit`, with every token `x`
//! brought to length 1 before it is projected.
//!
//! `M = sum_k U_k SSA(X | U_k)` with the code's scale. Its controls have the same projections and average
//! them otherwise. Where nothing is said, the direction is taken as it is, growth and all: the gradients
//! have no part along the tokens.

use std::sync::Arc;

use ndarray::Array2;

use super::descent::downhill;
use super::Of::At;
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::mssa::{attention_map, update_through};
use crate::measure::controls::{partners_shuffled, permutation, random_step};
use crate::model::probe::Site;

quantities! {
    /// `+M`: attention with the output tied to `U`, added, as derived.
    PROJECTED_COSINE_TIED = "projected_cosine_tied", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| projected(view, epsilon, &*view.update()?));
    /// `M` with the attention each token pays to the others dealt to them anew.
    PROJECTED_COSINE_SHUFFLED = "projected_cosine_shuffled", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| projected(view, epsilon, &*shuffled(view)?));
    /// `M` with the mean over all tokens in the place of attention.
    PROJECTED_COSINE_UNIFORM = "projected_cosine_uniform", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| projected(view, epsilon, &*uniform(view)?));
    /// A random direction.
    PROJECTED_COSINE_RANDOM = "projected_cosine_random", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| projected(view, epsilon, &random(view)?));
    /// `-X`: 0 but for rounding.
    PROJECTED_COSINE_SHRINKAGE = "projected_cosine_shrinkage", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| projected(view, epsilon, &shrinkage(view)?));
    /// `Z^{l+1/2} - Z^l`: what the code adds, by way of an output projection of its own.
    PROJECTED_COSINE_ADDED = "projected_cosine_added", "cosine",
        [NORMALISED_INPUT, LayerInput, AFTER_MSSA],
        At(|view, epsilon| projected(view, epsilon, &view.added()?));
    /// [`Quantity::PROJECTED_COSINE_TIED`] on tokens of length 1.
    UNIT_COSINE_TIED = "unit_cosine_tied", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| unit(view, epsilon, &*view.update()?));
    /// [`Quantity::PROJECTED_COSINE_SHUFFLED`] on tokens of length 1.
    UNIT_COSINE_SHUFFLED = "unit_cosine_shuffled", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| unit(view, epsilon, &*shuffled(view)?));
    /// [`Quantity::PROJECTED_COSINE_UNIFORM`] on tokens of length 1.
    UNIT_COSINE_UNIFORM = "unit_cosine_uniform", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| unit(view, epsilon, &*uniform(view)?));
    /// [`Quantity::PROJECTED_COSINE_RANDOM`] on tokens of length 1.
    UNIT_COSINE_RANDOM = "unit_cosine_random", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| unit(view, epsilon, &random(view)?));
    /// [`Quantity::PROJECTED_COSINE_SHRINKAGE`] on tokens of length 1.
    UNIT_COSINE_SHRINKAGE = "unit_cosine_shrinkage", "cosine", [NORMALISED_INPUT],
        At(|view, epsilon| unit(view, epsilon, &shrinkage(view)?));
    /// [`Quantity::PROJECTED_COSINE_ADDED`] on tokens of length 1.
    UNIT_COSINE_ADDED = "unit_cosine_added", "cosine", [NORMALISED_INPUT, LayerInput, AFTER_MSSA],
        At(|view, epsilon| unit(view, epsilon, &view.added()?));
}

fn projected(view: &View<'_>, epsilon: f64, step: &Array2<f64>) -> Result<f64> {
    Ok(downhill(
        view.projected_gradient(epsilon)?.view(),
        step.view(),
    ))
}

fn unit(view: &View<'_>, epsilon: f64, step: &Array2<f64>) -> Result<f64> {
    Ok(downhill(view.unit_gradient(epsilon)?.view(), step.view()))
}

fn shuffled(view: &View<'_>) -> Result<Arc<Array2<f64>>> {
    view.once("shuffled", || {
        let x = view.tokens(Site::NORMALISED_INPUT)?;
        let others = x.nrows().saturating_sub(1);
        let order = permutation(others, &mut view.random("partners"));
        let scale = view.attention_scale();
        let map = |basis: ndarray::ArrayView2<'_, f64>| {
            partners_shuffled(attention_map(x.t(), basis, scale).view(), &order)
        };
        Ok(update_through(x.t(), view.operators().bases.view(), map))
    })
}

fn uniform(view: &View<'_>) -> Result<Arc<Array2<f64>>> {
    view.once("uniform", || {
        let x = view.tokens(Site::NORMALISED_INPUT)?;
        let n = x.nrows();
        let mean = Array2::from_elem((n, n), 1.0 / n as f64);
        let bases = view.operators().bases.view();
        Ok(update_through(x.t(), bases, |_| mean.clone()))
    })
}

fn random(view: &View<'_>) -> Result<Array2<f64>> {
    Ok(random_step(
        view.update()?.view(),
        &mut view.random("direction"),
    ))
}

fn shrinkage(view: &View<'_>) -> Result<Array2<f64>> {
    Ok(-&view.tokens(Site::NORMALISED_INPUT)?.t())
}
