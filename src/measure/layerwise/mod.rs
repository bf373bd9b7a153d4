//! What the papers measure at every layer, image by image (NeurIPS 2023, section 3 and its figure of the
//! layers; official `vis_utils/crate_hook.py`), and what they might have measured.
//!
//! Layer `l` maps `Z^l` to `Z^{l+1/2} = Z^l + MSSA(LN1(Z^l))` and that to
//! `Z^{l+1} = ISTA(LN2(Z^{l+1/2}))`. `U^l` are the bases of layer `l`: the rows of its projection
//! weight, unconstrained as in the official code.
//!
//! | file | what |
//! |---|---|
//! | [`quantity`] | the table of what can be measured |
//! | [`view`] | one layer on one image, as a quantity sees it |
//! | [`engine`] | quantities over all layers and images |
//! | [`curves`] | what came of it |

pub mod curves;
pub mod engine;
pub mod quantity;
pub mod view;

pub use curves::{Curve, Layerwise};
pub use engine::{measure, measure_input, tokens_at};
pub use quantity::Quantity;
