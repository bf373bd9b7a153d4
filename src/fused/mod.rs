//! CPU kernels in f32 for the embedding and whole layers, forward and backward: slices and sizes in, slices
//! out. No dfdx and no ndarray here; `model::backbone` puts them on dfdx's tape.
//!
//! | file | what |
//! |---|---|
//! | [`lanes`] | sums, exponentials and element-wise loops that the compiler vectorises |
//! | [`product`] | the one wrapper over the `gemm` crate |
//! | [`layer_norm`] | LayerNorm and its adjoint |
//! | [`embedding`] | patches to tokens, and its adjoint |
//! | [`attention`] | `Y = Z + MSSA(LN(Z))`, or MHSA, and its adjoint |
//! | [`ista`] | `Z' = ISTA(LN(Y))` and its adjoint |
//! | [`mlp`] | `Z' = Y + MLP(LN(Y))` and its adjoint |
//! | [`optimiser`] | AdamW and Lion, element by element |
//! | [`layer`] | both blocks, and what the backward pass keeps |
//!
//! # Contract
//! Matrices are row-major with tokens as rows: `(b n, features)`. A kernel shares its work out over
//! the rayon pool it is called in, and sums in an order that depends on the sizes alone: the number
//! of threads cannot change a result.
//! A slice of the wrong length is a programming error and panics.
//!
//! # Notation of the derivations
//! `dX` is the derivative of the loss by `X`; `∘` is the element-wise product.

pub mod attention;
pub mod embedding;
pub mod ista;
pub mod lanes;
pub mod layer;
pub mod layer_norm;
pub mod mlp;
pub mod optimiser;
pub mod product;
