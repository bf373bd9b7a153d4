//! What the papers measure, on a network image by image or on drawn tokens.
//!
//! | file | what |
//! |---|---|
//! | [`coherence`] | bases against orthogonal ones |
//! | [`controls`] | steps and attention without what a claim credits |
//! | [`descent`] | a compression step against the exact gradient of `R^c` |
//! | [`layerwise`] | what there is to measure at every layer |
//! | [`linear`] | the linear classifier on pixels |
//! | [`trend`] | mean, deviation, rank correlation |

pub mod coherence;
pub mod controls;
pub mod descent;
pub mod layerwise;
pub mod linear;
pub mod trend;
