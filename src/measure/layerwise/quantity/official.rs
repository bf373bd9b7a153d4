//! The official measurement ([`mod@crate::exact::official_rate`]): at its own precision and at others, with
//! other scalings, with other subspaces in the place of the layer's own, and of other tokens.

use ndarray::{s, ArrayView2, ArrayView3};

use super::Of::{At, Plain};
use super::{Entry, Quantity, View};
use crate::error::Result;
use crate::exact::official_rate::{projection_rate, Lengths, OFFICIAL_EPSILON_SQUARED};
use crate::exact::scale_free::unit_projection_rate;
use crate::model::probe::Site;

quantities! {
    /// `R^c` in the official code's convention.
    OFFICIAL_RATE = "official_rate", "nats", [PROJECTION],
        Plain(|view| Ok(view.official()?.total));
    /// `R^c` of projected tokens of length 1, as the official code has it, at a precision.
    PROJECTION_RATE = "projection_rate", "nats", [PROJECTION],
        At(|view, epsilon| projected(view, 0, Lengths::Unit, epsilon));
    /// `R^c` of projected tokens of their own lengths, at a precision.
    PROJECTION_RATE_AS_IS = "projection_rate_as_is", "nats", [PROJECTION],
        At(|view, epsilon| projected(view, 0, Lengths::AsTheyAre, epsilon));
    /// [`Quantity::PROJECTION_RATE`] without the class token.
    PROJECTION_RATE_WITHOUT_CLASS = "projection_rate_without_class", "nats", [PROJECTION],
        At(|view, epsilon| projected(view, 1, Lengths::Unit, epsilon));
    /// [`Quantity::OFFICIAL_RATE`] with an orthonormal basis of every learned subspace.
    OFFICIAL_RATE_ORTHONORMAL = "official_rate_orthonormal", "nats", [NORMALISED_INPUT],
        Plain(|view| with(view, view.operators().frames.view()));
    /// [`Quantity::OFFICIAL_RATE`] with the blocks of a random orthogonal matrix, which have learned nothing.
    OFFICIAL_RATE_RANDOM = "official_rate_random", "nats", [NORMALISED_INPUT],
        Plain(|view| with(view, view.random_bases()?.view()));
    /// [`Quantity::OFFICIAL_RATE`] with the bases of the next layer; the last layer has the first's.
    OFFICIAL_RATE_NEXT_LAYER = "official_rate_next_layer", "nats", [NORMALISED_INPUT],
        Plain(|view| with(view, view.next_bases()));
    /// The official measurement of `Z^l` in the place of `LN1(Z^l)`.
    STREAM_RATE_BEFORE_MSSA = "stream_rate_before_mssa", "nats", [LayerInput],
        Plain(|view| own_projections(view, view.tokens(Site::LayerInput)?.t()));
    /// The official measurement of `Z^{l+1/2}` in the place of `LN1(Z^l)`.
    STREAM_RATE_AFTER_MSSA = "stream_rate_after_mssa", "nats", [AFTER_MSSA],
        Plain(|view| own_projections(view, view.tokens(Site::AFTER_MSSA)?.t()));
}

/// Of the recorded projections, from the token `first` on.
fn projected(view: &View<'_>, first: usize, scaling: Lengths, epsilon: f64) -> Result<f64> {
    let tokens = view.recorded(Site::PROJECTION)?.slice_move(s![first.., ..]);
    let heads = view.operators().bases.dim().0;
    Ok(projection_rate(tokens, heads, scaling, epsilon)?.total)
}

/// Of `LN1(Z^l)`, with other bases.
fn with(view: &View<'_>, bases: ArrayView3<'_, f64>) -> Result<f64> {
    let tokens = view.tokens(Site::NORMALISED_INPUT)?;
    Ok(unit_projection_rate(tokens.t(), bases, OFFICIAL_EPSILON_SQUARED.sqrt())?.total)
}

/// Of other tokens (d, N), with the layer's own bases.
pub(super) fn own_projections(view: &View<'_>, tokens: ArrayView2<'_, f64>) -> Result<f64> {
    let (bases, epsilon) = (
        view.operators().bases.view(),
        OFFICIAL_EPSILON_SQUARED.sqrt(),
    );
    Ok(unit_projection_rate(tokens, bases, epsilon)?.total)
}
