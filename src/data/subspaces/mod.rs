//! Tokens drawn from a union of subspaces with noise, the model under which the papers derive attention
//! (book, chapter 4), and what they are held against.
//!
//! | file | what |
//! |---|---|
//! | [`union`] | tokens of a union of orthogonal subspaces, with noise |
//! | [`tokens`] | such tokens, or tokens without structure |
//! | [`spectral`] | groups of tokens whose energy falls along the directions of their subspace |
//! | [`bases`] | orthogonal bases, and ways to spoil them |
//! | [`matrices`] | random matrices |

pub mod bases;
pub mod matrices;
pub mod spectral;
pub mod tokens;
pub mod union;

pub use bases::Bases;
pub use matrices::{gaussian, orthogonal_bases, orthonormal};
pub use spectral::{Groups, SpectralGroups};
pub use tokens::TokenKind;
pub use union::{SubspaceTokens, UnionOfSubspaces};
