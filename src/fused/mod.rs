//! CPU kernels in f32 for the embedding and whole layers, forward and backward: slices and sizes in, slices
//! out. Imports [`crate::vectorised`] alone, neither dfdx nor ndarray; the models put the
//! kernels on dfdx's tape. What a kernel computes is defined in [`crate::exact`], and `tests/agreement` holds the two
//! together. Begin with [`layer_norm`], the smallest one with an adjoint; then [`ista`]. How to read a file: the
//! formula and its adjoint at the head, the parameters, what is saved, forward, backward.
//!
//! | file | what |
//! |---|---|
//! | [`buffer`] | memory that passes from one operation to the next of its size |
//! | [`lanes`] | sums, exponentials and element-wise loops that the compiler vectorises |
//! | [`product`] | matrix products on the inner loops of the `gemm` crates |
//! | [`rows`] | work on blocks of tokens, and sums over tokens |
//! | [`layer_norm`] | LayerNorm and its adjoint |
//! | [`embedding`] | patches to tokens, and its adjoint |
//! | [`attention`] | `Y = Z + MSSA(LN(Z))`, or MHSA, and its adjoint |
//! | [`ista`] | `Z' = ISTA(LN(Y))` and its adjoint |
//! | [`dictionary`] | `Z' = A LN(Y)` and its adjoint |
//! | [`overcomplete`] | `Z' = Y + D_1 A_2`, `A_2` two ISTA steps from zero towards `LN(Y)`, and its adjoint |
//! | [`mlp`] | `Z' = Y + MLP(LN(Y))` and its adjoint |
//! | [`rowwise`] | what all blocks have in common that know one token at a time |
//! | [`stack`] | any sequence of blocks, shared out over threads |
//! | [`optimiser`] | AdamW and Lion, element by element |
//!
//! # Contract
//! Matrices are row-major with tokens as rows: `(b n, features)`. A kernel shares its work out over
//! the rayon pool it is called in, and sums in an order that depends on the sizes alone: neither the number
//! of threads nor the processor's instructions or caches can change a result.
//! A slice of another length than `# Shapes` says is a programming error: one that is too short panics where a matrix
//! is made of it, and elsewhere what has no partner is left out. There are no other errors.
//!
//! # Notation of the derivations
//! `dX` is the derivative of the loss by `X`; `∘` is the element-wise product.

pub mod attention;
pub mod buffer;
pub mod dictionary;
pub mod embedding;
pub mod ista;
pub mod lanes;
pub mod layer_norm;
pub mod mlp;
pub mod optimiser;
pub mod overcomplete;
pub mod product;
pub mod rows;
pub mod rowwise;
pub mod stack;
