//! Re-runs, claim by claim, the papers behind CRATE, the white-box transformer derived by
//! unrolling an optimiser of the sparse rate reduction.
//!
//! # Dimension letters
//! | letter | meaning |
//! |---|---|
//! | `b` | images in a batch |
//! | `n` | tokens of an image, class token included; the papers' `N` |
//! | `d` | width of a token |
//! | `k` | heads, or subspaces; the papers' `K` |
//! | `p` | width of a head, or dimension of a subspace |
//! | `l` | layer, from 0 in code, from 1 in tables and figures; `L` layers in all |
//!
//! # Floors, from the ground up
//! [`error`], [`mask`], [`seed`], [`parallel`], [`artefact`] <- [`exact`], [`fused`], [`data`] <-
//! [`model`] <- [`train`], [`measure`], [`claim`] <- [`harness`] <- experiments and the command line. A floor uses those
//! below it and never those above.

pub mod artefact;
pub mod claim;
pub mod data;
pub mod error;
pub mod exact;
pub mod fused;
pub mod harness;
pub mod mask;
pub mod measure;
pub mod memory;
pub mod model;
pub mod parallel;
pub mod seed;
pub mod train;
pub mod vectorised;

pub use error::{Error, Result};
