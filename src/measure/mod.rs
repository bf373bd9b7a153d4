//! What the papers measure, on a network image by image or on drawn tokens.
//!
//! | file | what |
//! |---|---|
//! | [`coherence`] | bases against orthogonal ones |
//! | [`descent`] | a compression step against the exact gradient of `R^c` |
//! | [`layerwise`] | rates and sparsity of every layer |
//! | [`linear`] | the linear classifier on pixels |
//! | [`statistics`] | mean, share and difference with their limits |
//! | [`rank_correlation`] | Kendall's tau, plain, partial, granulated |
//! | [`trend`] | the trend of a curve over layers |

pub mod coherence;
pub mod descent;
pub mod layerwise;
pub mod linear;
pub mod rank_correlation;
pub mod statistics;
pub mod trend;
