//! What the papers measure on a network, exactly and image by image.
//!
//! | file | what |
//! |---|---|
//! | [`layerwise`] | rates and sparsity of every layer |
//! | [`trend`] | mean, deviation, rank correlation |

pub mod layerwise;
pub mod trend;
