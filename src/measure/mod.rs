//! What the papers measure, on a network image by image or on drawn tokens, and the statistics of the results. A
//! measurement takes numbers and gives numbers: no flags, files or verdicts. Imports [`crate::exact`], [`crate::data`],
//! [`crate::model`], [`crate::train`] and [`crate::fused`] (for [`cost`]), never [`crate::harness`]. Begin with
//! [`descent`] for drawn tokens, with [`layerwise`] for networks.
//!
//! | file | what |
//! |---|---|
//! | [`clusters`] | clusters that shorten a lossy code |
//! | [`coherence`] | bases against orthogonal ones |
//! | [`controls`] | steps and attention without what a claim credits |
//! | [`convex`] | the convex form of a step against shrinking alone |
//! | [`cost`] | time and memory of an attention |
//! | [`denoising`] | what takes noise off drawn tokens |
//! | [`descent`] | a compression step against the exact gradient of `R^c` |
//! | [`entropy`] | entropy of a density from points |
//! | [`features`] | what a linear probe finds in tokens and pixels |
//! | [`growth`] | growth of the ratio of signal to noise over layers |
//! | [`halves`] | an autoencoder's encoder and decoder, layer by layer |
//! | [`inversion`] | whether layers of a decoder undo those of an encoder |
//! | [`layerwise`] | what there is to measure at every layer |
//! | [`linear`] | the linear classifier on pixels |
//! | [`maxima`] | where ascent on the rate reduction with labels ends |
//! | [`membership`] | attention's weights against memberships |
//! | [`rank_correlation`] | Kendall's tau, plain, partial, granulated |
//! | [`reconstruction`] | errors of reconstructed pictures, and their floors |
//! | [`segmentation`] | masks from attention and features, against the objects' own |
//! | [`sign`] | which sign of the step compresses |
//! | [`softmax_regression`] | the linear probe: logistic regression to its optimum |
//! | [`statistics`] | mean, share and difference with their limits |
//! | [`sweep`] | drawn tokens with one setting moved |
//! | [`token_statistics`] | token statistics attention against its derivation |
//! | [`trend`] | the trend of a curve over layers |
//! | [`unrolled`] | ISTA steps against the objective they descend from |

pub mod clusters;
pub mod coherence;
pub mod controls;
pub mod convex;
pub mod cost;
pub mod denoising;
pub mod descent;
pub mod entropy;
pub mod features;
pub mod growth;
pub mod halves;
pub mod inversion;
pub mod layerwise;
pub mod linear;
pub mod maxima;
pub mod membership;
pub mod rank_correlation;
pub mod reconstruction;
pub mod segmentation;
pub mod sign;
pub mod softmax_regression;
pub mod statistics;
pub mod sweep;
pub mod token_statistics;
pub mod trend;
pub mod unrolled;
