//! How the tokens of an image lie: how many directions they fill, and how near they are to the subspaces.
//! With `Q_k` an orthonormal basis of a subspace, `|Q_k^T z|^2 / |z|^2` is the share of a token's energy in it.

use ndarray::ArrayView3;

use super::Of::Plain;
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::spectrum::effective_rank;
use crate::model::probe::Site;

quantities! {
    /// `exp` of the entropy of the energies `sigma_i^2 / sum_j sigma_j^2` of `Z^l`, `sigma_i` its singular
    /// values: the number of directions that the tokens fill, if they filled them equally.
    EFFECTIVE_RANK = "effective_rank", "directions", [LayerInput],
        Plain(|view| effective_rank(view.tokens(Site::LayerInput)?.view()));
    /// Mean over tokens of the largest share of the energy of `LN1(z)` in one learned subspace.
    PURITY = "purity", "share", [NORMALISED_INPUT],
        Plain(|view| purity(view, view.operators().frames.view()));
    /// Mean over tokens of the largest share of the energy of `LN1(z)` in one of K random orthogonal subspaces.
    PURITY_RANDOM = "purity_random", "share", [NORMALISED_INPUT],
        Plain(|view| purity(view, view.random_bases()?.view()));
    /// Mean over tokens of the distance of `LN1(z)` from the nearest learned subspace, over its length.
    NEAREST_SUBSPACE_RESIDUAL = "nearest_subspace_residual", "share", [NORMALISED_INPUT],
        Plain(|view| residual(view, view.operators().frames.view()));
    /// Mean over tokens of the distance of `LN1(z)` from the nearest of K random orthogonal subspaces, over its length.
    NEAREST_SUBSPACE_RESIDUAL_RANDOM = "nearest_subspace_residual_random", "share",
        [NORMALISED_INPUT],
        Plain(|view| residual(view, view.random_bases()?.view()));
}

fn purity(view: &View<'_>, frames: ArrayView3<'_, f64>) -> Result<f64> {
    let shares = largest_shares(view, frames)?;
    Ok(shares.iter().sum::<f64>() / shares.len() as f64)
}

fn residual(view: &View<'_>, frames: ArrayView3<'_, f64>) -> Result<f64> {
    let shares = largest_shares(view, frames)?;
    let outside = shares.iter().map(|share| (1.0 - share).max(0.0).sqrt());
    Ok(outside.sum::<f64>() / shares.len() as f64)
}

/// By token, the largest share of its energy in one subspace; 0 for a token of length zero.
fn largest_shares(view: &View<'_>, frames: ArrayView3<'_, f64>) -> Result<Vec<f64>> {
    let tokens = view.tokens(Site::NORMALISED_INPUT)?;
    let mut largest = vec![0.0f64; tokens.nrows()];
    for frame in frames.outer_iter() {
        let inside = tokens.dot(&frame);
        for (share, (own, token)) in largest
            .iter_mut()
            .zip(inside.outer_iter().zip(tokens.outer_iter()))
        {
            let energy = token.dot(&token);
            if energy > 0.0 {
                *share = share.max(own.dot(&own) / energy);
            }
        }
    }
    Ok(largest)
}
