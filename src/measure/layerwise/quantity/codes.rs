//! The non-negative LASSO around the ISTA block, for its input `X = LN2(Z^{l+1/2})` and dictionary: the
//! objective per token of several codes.

use ndarray::{Array2, ArrayView2};

use super::Of::Plain;
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::ista::{lasso_objective, lasso_solution};
use crate::model::probe::Site;

/// FISTA steps for the LASSO solution: its error falls as 1 / k^2, and after these the objective
/// moves by less than a thousandth of itself.
const LASSO_ITERATIONS: usize = 300;

/// Room for the rounding of the largest eigenvalue.
const LIPSCHITZ_MARGIN: f64 = 1.0001;

quantities! {
    /// Of the block's input clamped to be feasible.
    LASSO_CLAMPED = "lasso_clamped", "objective per token", [NORMALISED_AFTER_MSSA],
        Plain(|view| objective(view, input(view)?.mapv(|v| v.max(0.0)).t()));
    /// Of the block's output.
    LASSO_AFTER_ISTA = "lasso_after_ista", "objective per token", [NORMALISED_AFTER_MSSA, AFTER_ISTA],
        Plain(|view| objective(view, view.tokens(Site::AFTER_ISTA)?.t()));
    /// Of the zero code.
    LASSO_ZERO = "lasso_zero", "objective per token", [NORMALISED_AFTER_MSSA],
        Plain(|view| objective(view, Array2::zeros(input(view)?.t().dim()).view()));
    /// Of the solution.
    LASSO_SOLUTION = "lasso_solution", "objective per token", [NORMALISED_AFTER_MSSA],
        Plain(|view| {
            let ista = view.operators().sparsifier()?;
            let bound = ista.lipschitz * LIPSCHITZ_MARGIN;
            let (dictionary, steps) = (ista.dictionary.view(), LASSO_ITERATIONS);
            let code = lasso_solution(input(view)?.t(), dictionary, ista.lambda, bound, steps);
            objective(view, code.view())
        });
}

fn input(view: &View<'_>) -> Result<std::sync::Arc<Array2<f64>>> {
    view.tokens(Site::NORMALISED_AFTER_MSSA)
}

/// Of a code (d, N), per token.
fn objective(view: &View<'_>, code: ArrayView2<'_, f64>) -> Result<f64> {
    let (x, ista) = (input(view)?, view.operators().sparsifier()?);
    let sum = lasso_objective(code, x.t(), ista.dictionary.view(), ista.lambda);
    Ok(sum / x.nrows() as f64)
}
