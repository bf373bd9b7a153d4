//! Implementations against each other and against references from outside: exact rates against
//! 1200-digit arithmetic, the network against an f64 transcription of the papers, kernels against
//! dfdx operations, checkpoints, training and MaskCut against the official code, gradients against finite differences.
#![allow(missing_docs, clippy::unwrap_used)]

mod autoencoder;
mod device;
mod network;
mod official;
mod optimiser;
mod rates;
mod segmentation;
#[path = "../support/mod.rs"]
mod support;
