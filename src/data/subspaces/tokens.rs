//! Tokens with the structure that the papers assume, or with none.

use serde::{Deserialize, Serialize};

use super::matrices::gaussian;
use super::union::{SubspaceTokens, UnionOfSubspaces};
use crate::error::Result;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenKind {
    /// Of a union of subspaces.
    #[serde(rename = "union of subspaces")]
    Union,
    /// Entries `N(0, 1)`, whatever the subspaces.
    #[serde(rename = "no structure")]
    Isotropic,
}

impl TokenKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Union, Self::Isotropic];

    /// Draw number `draw` of the seed, with the bases of `model` and as many tokens; those without structure
    /// come from the stream `name`, and their `clean` tokens and `subspace` are the union's.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if the bases cannot be orthogonalised.
    pub fn draw(
        self,
        model: &UnionOfSubspaces,
        seed: u64,
        draw: usize,
        name: &str,
    ) -> Result<SubspaceTokens> {
        let mut drawn = model.draw(seed, draw)?;
        if self == Self::Isotropic {
            let (d, n) = drawn.noisy.dim();
            drawn.noisy = gaussian(seed, &format!("{name} {draw}"), d, n);
        }
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_without_structure_share_the_bases_and_nothing_else() {
        let model = UnionOfSubspaces::new(2, 4, 200, 0.0);
        let [union, isotropic] = TokenKind::ALL.map(|t| t.draw(&model, 5, 1, "isotropic").unwrap());
        assert_eq!(union.bases, isotropic.bases);
        let foreign = |drawn: &SubspaceTokens| {
            let other = union.bases.index_axis(ndarray::Axis(0), 1);
            let first = drawn.noisy.slice(ndarray::s![.., drawn.members(0)]);
            other.t().dot(&first).iter().map(|v| v * v).sum::<f64>() / 400.0
        };
        assert!(foreign(&union) < 1e-28);
        assert!((foreign(&isotropic) - 1.0).abs() < 0.3);
    }
}
