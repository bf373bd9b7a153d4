//! Rates after steps of the length of MSSA's own: in random directions, and its own for other tokens. What
//! they change is what any step of that length would.

use ndarray::Array2;

use super::official::own_projections;
use super::rates::own_subspaces;
use super::Of::{At, Plain};
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::scale_free::unit_tokens;
use crate::measure::controls::{exchanged, random_step};
use crate::model::probe::Site;

quantities! {
    /// [`Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA`] if every token had gone as far in a random direction.
    UNIT_SUBSPACE_RATE_AFTER_RANDOM_STEP = "unit_subspace_rate_after_random_step", "nats",
        [LayerInput, AFTER_MSSA],
        At(|view, epsilon| own_subspaces(view, unit_tokens(astray(view)?.view()).view(), epsilon));
    /// [`Quantity::UNIT_SUBSPACE_RATE_AFTER_MSSA`] if every token had taken the step of another.
    UNIT_SUBSPACE_RATE_AFTER_EXCHANGED_STEPS = "unit_subspace_rate_after_exchanged_steps", "nats",
        [LayerInput, AFTER_MSSA],
        At(|view, epsilon| own_subspaces(view, unit_tokens(confused(view)?.view()).view(), epsilon));
    /// [`Quantity::STREAM_RATE_AFTER_MSSA`] if every token had gone as far in a random direction.
    STREAM_RATE_AFTER_RANDOM_STEP = "stream_rate_after_random_step", "nats", [LayerInput, AFTER_MSSA],
        Plain(|view| own_projections(view, astray(view)?.view()));
    /// [`Quantity::STREAM_RATE_AFTER_MSSA`] if every token had taken the step of another.
    STREAM_RATE_AFTER_EXCHANGED_STEPS = "stream_rate_after_exchanged_steps", "nats",
        [LayerInput, AFTER_MSSA],
        Plain(|view| own_projections(view, confused(view)?.view()));
}

/// The tokens (d, N) after random steps as long as their own.
fn astray(view: &View<'_>) -> Result<Array2<f64>> {
    let step = random_step(view.added()?.view(), &mut view.random("random step"));
    Ok(step + view.tokens(Site::LayerInput)?.t())
}

/// The tokens (d, N) after one another's steps.
fn confused(view: &View<'_>) -> Result<Array2<f64>> {
    let step = exchanged(view.added()?.view(), &mut view.random("exchanged steps"));
    Ok(step + view.tokens(Site::LayerInput)?.t())
}
