//! Fractions of the `d N` entries.

use super::Of::Plain;
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::model::probe::Site;

quantities! {
    /// Nonzero fraction of `Z^{l+1}`, the official sparsity measurement.
    NONZERO_AFTER_ISTA = "nonzero_after_ista", "fraction", [AFTER_ISTA],
        Plain(|view| fraction(view, Site::AFTER_ISTA, |v| v != 0.0));
    /// Nonzero fraction of `Z^{l+1/2}`, before the sparsification step.
    NONZERO_BEFORE_ISTA = "nonzero_before_ista", "fraction", [AFTER_MSSA],
        Plain(|view| fraction(view, Site::AFTER_MSSA, |v| v != 0.0));
    /// Positive fraction of `LN2(Z^{l+1/2})`: what a plain ReLU in place of ISTA would leave.
    POSITIVE_BEFORE_ISTA = "positive_before_ista", "fraction", [NORMALISED_AFTER_MSSA],
        Plain(|view| fraction(view, Site::NORMALISED_AFTER_MSSA, |v| v > 0.0));
}

fn fraction(view: &View<'_>, site: Site, counts: fn(f32) -> bool) -> Result<f64> {
    let tokens = view.recorded(site)?;
    Ok(tokens.iter().filter(|&&v| counts(v)).count() as f64 / tokens.len() as f64)
}
