//! What the papers measure, on a network image by image or on drawn tokens.
//!
//! | file | what |
//! |---|---|
//! | [`coherence`] | bases against orthogonal ones |
//! | [`descent`] | a compression step against the exact gradient of `R^c` |
//! | [`layerwise`] | rates and sparsity of every layer |
//! | [`linear`] | the linear classifier on pixels |
//! | [`trend`] | mean, deviation, rank correlation |

pub mod coherence;
pub mod descent;
pub mod layerwise;
pub mod linear;
pub mod trend;
