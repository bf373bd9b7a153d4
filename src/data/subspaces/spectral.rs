//! Groups of tokens whose energy falls along the directions of their subspace.

use ndarray::{s, Array2, Array3, Axis};
use ndarray_linalg::SVD;

use super::matrices::{gaussian, orthogonal_bases};
use crate::error::{Error, Result};

/// How many groups, how wide and how large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpectralGroups {
    /// Groups, each in a subspace of its own, K.
    pub heads: usize,
    /// Width of the subspaces, p.
    pub p: usize,
    /// Tokens in all, N, as many in each group.
    pub tokens: usize,
    /// Deviation of the noise in every coordinate of all of space.
    pub noise: f64,
}

/// Groups with the bases that diagonalise them.
#[derive(Debug, Clone)]
pub struct Groups {
    /// The tokens, (d, N), group by group.
    pub z: Array2<f64>,
    /// 1 for the group that a token belongs to, else 0, (K, N).
    pub labels: Array2<f64>,
    /// Left singular vectors of each group without its noise, (K, d, p).
    pub aligned: Array3<f64>,
}

impl SpectralGroups {
    /// Draw number `draw` of the seed: `N(0, 2^{-i})` along direction `i` of a random basis of the group's
    /// subspace, `i` from 0.
    ///
    /// # Errors
    /// [`Error::Lapack`] if the bases or the singular vectors cannot be found.
    pub fn draw(&self, seed: u64, draw: usize) -> Result<Groups> {
        let (heads, p, n) = (self.heads, self.p, self.tokens);
        let bases = orthogonal_bases(seed, &format!("bases {draw}"), heads, p)?;
        let each = n / heads;
        let mut z = gaussian(seed, &format!("leak {draw}"), heads * p, n) * self.noise;
        let mut labels = Array2::zeros((heads, n));
        let mut aligned = Array3::zeros(bases.dim());
        for (k, basis) in bases.outer_iter().enumerate() {
            let members = k * each..(k + 1) * each;
            let mut inside = gaussian(seed, &format!("group {k} of {draw}"), p, each);
            for (index, mut row) in inside.outer_iter_mut().enumerate() {
                row *= 2f64.powf(-0.5 * index as f64);
            }
            let directions = left_singular_vectors(&inside)?;
            aligned
                .index_axis_mut(Axis(0), k)
                .assign(&basis.dot(&directions));
            let mut block = z.slice_mut(s![.., members.clone()]);
            block += &basis.dot(&inside);
            labels.slice_mut(s![k, members]).fill(1.0);
        }
        Ok(Groups { z, labels, aligned })
    }
}

/// All of them, (rows, rows).
fn left_singular_vectors(matrix: &Array2<f64>) -> Result<Array2<f64>> {
    let failed = |message: String| Error::Lapack {
        operation: "singular values",
        shape: format!("{:?}", matrix.dim()),
        message,
    };
    let (left, _, _) = matrix.svd(true, false).map_err(|e| failed(e.to_string()))?;
    left.ok_or_else(|| failed("no left singular vectors".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_bases_diagonalise_their_groups_and_hold_all_of_them() {
        let model = SpectralGroups {
            heads: 3,
            p: 4,
            tokens: 30,
            noise: 0.0,
        };
        let Groups { z, labels, aligned } = model.draw(1, 0).unwrap();
        assert_eq!(labels.sum_axis(Axis(0)), ndarray::Array1::<f64>::ones(30));
        for (k, basis) in aligned.outer_iter().enumerate() {
            let group = z.slice(s![.., k * 10..(k + 1) * 10]);
            let inside = basis.t().dot(&group);
            let moments = inside.dot(&inside.t());
            let off = &moments - &Array2::from_diag(&moments.diag());
            assert!(off.iter().all(|v| v.abs() < 1e-12));
            assert!(moments[(0, 0)] > moments[(3, 3)]);
            let outside = &group - &basis.dot(&inside);
            assert!(outside.iter().all(|v| v.abs() < 1e-13));
        }
        let noisy = SpectralGroups {
            noise: 0.5,
            ..model
        }
        .draw(1, 0)
        .unwrap();
        assert_eq!(noisy.aligned, aligned);
        assert_ne!(noisy.z, z);
    }
}
