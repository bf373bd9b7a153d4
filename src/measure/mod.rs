//! What the papers measure, on a network image by image or on drawn tokens.
//!
//! | file | what |
//! |---|---|
//! | [`clusters`] | clusters that shorten a lossy code |
//! | [`coherence`] | bases against orthogonal ones |
//! | [`controls`] | steps and attention without what a claim credits |
//! | [`descent`] | a compression step against the exact gradient of `R^c` |
//! | [`entropy`] | entropy of a density from points |
//! | [`layerwise`] | what there is to measure at every layer |
//! | [`linear`] | the linear classifier on pixels |
//! | [`maxima`] | where ascent on the rate reduction with labels ends |
//! | [`trend`] | mean, deviation, rank correlation |
//! | [`unrolled`] | ISTA steps against the objective they descend from |

pub mod clusters;
pub mod coherence;
pub mod controls;
pub mod descent;
pub mod entropy;
pub mod layerwise;
pub mod linear;
pub mod maxima;
pub mod trend;
pub mod unrolled;
