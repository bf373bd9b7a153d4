//! Tokens of a union of orthogonal subspaces, with noise.
//!
//! `Z = sum_k U_k (A_k + E_k)`: token `j` belongs to one subspace, has coefficients `N(0, I_p)` there
//! and `N(0, noise^2 I_p)` in every other one. The bases are the blocks of one orthogonal matrix,
//! `d = K p`, so that its expected ratio of signal to noise is `1 / (noise sqrt(K - 1))`.

use ndarray::{Array2, Array3};
use rand::Rng;
use rand_distr::StandardNormal;

use super::matrices::orthogonal_bases;
use crate::error::Result;
use crate::seed;

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnionOfSubspaces {
    /// Subspaces, K.
    pub heads: usize,
    /// Width of each, p.
    pub p: usize,
    /// Tokens, N.
    pub tokens: usize,
    /// Standard deviation of the coefficients in the subspaces a token does not belong to.
    pub noise: f64,
    /// How many of the subspaces have tokens, from the first.
    pub populated: usize,
}

/// Tokens with what they were made of.
#[derive(Debug, Clone)]
pub struct SubspaceTokens {
    /// `U_[K]`, (K, d, p).
    pub bases: Array3<f64>,
    /// The tokens without noise, (d, N).
    pub clean: Array2<f64>,
    /// The tokens, (d, N), in the order of their subspaces.
    pub noisy: Array2<f64>,
    /// To which subspace each belongs.
    pub subspace: Vec<usize>,
}

impl UnionOfSubspaces {
    /// All subspaces populated.
    pub fn new(heads: usize, p: usize, tokens: usize, noise: f64) -> Self {
        Self {
            heads,
            p,
            tokens,
            noise,
            populated: heads,
        }
    }

    /// Draw number `draw` of the seed.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if the bases cannot be orthogonalised.
    pub fn draw(&self, seed: u64, draw: usize) -> Result<SubspaceTokens> {
        let bases = orthogonal_bases(seed, &format!("bases {draw}"), self.heads, self.p)?;
        let mut rng = seed::stream(seed, &format!("tokens {draw}"));
        let subspace: Vec<usize> = (0..self.tokens)
            .map(|j| j * self.populated / self.tokens)
            .collect();
        let d = self.heads * self.p;
        let (mut clean, mut noisy) = (
            Array2::zeros((d, self.tokens)),
            Array2::zeros((d, self.tokens)),
        );
        for (k, basis) in bases.outer_iter().enumerate() {
            let mut coefficients: Array2<f64> =
                Array2::from_shape_simple_fn((self.p, self.tokens), || rng.sample(StandardNormal));
            let mut own = coefficients.clone();
            for (j, &home) in subspace.iter().enumerate() {
                if home == k {
                    continue;
                }
                own.column_mut(j).fill(0.0);
                coefficients.column_mut(j).mapv_inplace(|v| v * self.noise);
            }
            clean += &basis.dot(&own);
            noisy += &basis.dot(&coefficients);
        }
        Ok(SubspaceTokens {
            bases,
            clean,
            noisy,
            subspace,
        })
    }
}

impl SubspaceTokens {
    /// The range of token numbers of subspace `k`.
    pub fn members(&self, k: usize) -> std::ops::Range<usize> {
        let start = self.subspace.partition_point(|&home| home < k);
        let end = self.subspace.partition_point(|&home| home <= k);
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_lie_in_their_subspace_up_to_the_noise() {
        let model = UnionOfSubspaces {
            populated: 2,
            ..UnionOfSubspaces::new(3, 5, 40, 0.1)
        };
        let drawn = model.draw(7, 0).unwrap();
        assert_eq!(drawn.members(0), 0..20);
        assert_eq!(drawn.members(2), 40..40);
        for (k, basis) in drawn.bases.outer_iter().enumerate() {
            let inside = basis.t().dot(&drawn.clean);
            let energy = (&inside * &inside).sum();
            let own = drawn.members(k).len() as f64 * 5.0;
            assert!((energy - own).abs() <= 0.5 * own + 1e-20, "{energy} {own}");
        }
        let noise = &drawn.noisy - &drawn.clean;
        let energy = (&noise * &noise).sum() / (40.0 * 10.0 * 0.01);
        assert!((energy - 1.0).abs() < 0.3, "{energy}");
        assert_ne!(drawn.noisy, model.draw(7, 1).unwrap().noisy);
    }
}
