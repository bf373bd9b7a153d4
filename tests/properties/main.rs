//! Properties that hold for every input: proptest over random sizes and numbers.
#![allow(missing_docs, clippy::unwrap_used)]

mod kernels;
mod rates;
#[path = "../support/strategies.rs"]
mod strategies;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tolerance.rs"]
mod tolerance;
