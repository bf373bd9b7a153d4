//! The papers' theory as properties, one test (or a few with a shared prefix) per claim of the
//! catalogue. A theorem under its hypotheses must hold in every case; where a statement holds only in
//! a radius, one test states it there and another exhibits a counter-example outside. What is seen in
//! samples of fixed seeds alone stands apart, in `draws`.
#![allow(missing_docs, clippy::unwrap_used)]

mod attention;
mod critique;
mod decoder;
mod denoising;
mod draws;
mod generators;
mod gradients;
mod invariances;
mod linear;
mod optima;
mod rate_reduction;
mod scale_free;
mod sparse_codes;
#[path = "../support/strategies.rs"]
mod strategies;
mod token_statistics;
#[path = "../support/tolerance.rs"]
mod tolerance;
