//! All generators, with named ranges, and the tolerances that comparisons of rates are entitled to.

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use ndarray_linalg::{Eigh, UPLO};
use proptest::prelude::*;
use rand::Rng;
use whitebox::data::subspaces;
pub(crate) use whitebox::data::subspaces::gaussian;

/// Width of a subspace.
pub(crate) const WIDTHS: std::ops::Range<usize> = 1..7;
/// Number of subspaces.
pub(crate) const HEADS: std::ops::Range<usize> = 1..5;
/// Number of tokens: fewer and more than the width.
pub(crate) const TOKENS: std::ops::Range<usize> = 1..25;

/// A union-of-subspaces setting: complete, mutually orthogonal bases and tokens of some form.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// (d, N), d = K p.
    pub(crate) z: Array2<f64>,
    /// (K, d, p).
    pub(crate) bases: Array3<f64>,
    pub(crate) epsilon: f64,
    pub(crate) seed: u64,
}

impl Setting {
    pub(crate) fn heads(&self) -> usize {
        self.bases.dim().0
    }
    pub(crate) fn p(&self) -> usize {
        self.bases.dim().2
    }
    pub(crate) fn c(&self) -> f64 {
        self.p() as f64 / (self.z.ncols() as f64 * self.epsilon * self.epsilon)
    }
    /// Tokens scaled so that the largest `c sigma^2` over heads is `rho`.
    pub(crate) fn with_radius(mut self, rho: f64) -> Self {
        let found =
            whitebox::exact::neumann::radius(self.z.view(), self.bases.view(), self.epsilon);
        let found = found.unwrap();
        if found > 0.0 {
            self.z *= (rho / found).sqrt();
        }
        self
    }
}

pub(crate) fn uniform(seed: u64, name: &str, count: usize) -> Array1<f64> {
    let mut rng = whitebox::seed::stream(seed, name);
    Array1::from_shape_simple_fn(count, || rng.gen())
}

/// A matrix with orthonormal columns, rows >= columns.
pub(crate) fn orthonormal(seed: u64, name: &str, rows: usize, columns: usize) -> Array2<f64> {
    subspaces::orthonormal(seed, name, rows, columns).unwrap()
}

/// K blocks of p columns of one orthogonal matrix.
pub(crate) fn orthogonal_bases(seed: u64, heads: usize, p: usize) -> Array3<f64> {
    subspaces::orthogonal_bases(seed, "bases", heads, p).unwrap()
}

/// Bases with no structure at all: neither orthonormal nor mutually orthogonal.
pub(crate) fn coherent_bases(seed: u64, heads: usize, d: usize, p: usize) -> Array3<f64> {
    let shared = gaussian(seed, "shared", d, p);
    let own = gaussian(seed, "own", heads * d, p);
    Array3::from_shape_fn((heads, d, p), |(k, i, j)| {
        shared[(i, j)] + 0.3 * own[(k * d + i, j)]
    })
}

/// Gaussian tokens, and the hard corners: of low rank, repeated, graded over eight decades, zero.
pub(crate) fn tokens(seed: u64, d: usize, count: usize, form: usize) -> Array2<f64> {
    let z = gaussian(seed, "tokens", d, count);
    match form {
        1 => {
            let rank = 1.max(d.min(count) / 2);
            gaussian(seed, "left", d, rank).dot(&gaussian(seed, "right", rank, count))
        }
        2 => {
            let first = z.column(0).to_owned();
            Array2::from_shape_fn(
                (d, count),
                |(i, j)| {
                    if j % 2 == 0 {
                        first[i]
                    } else {
                        z[(i, j)]
                    }
                },
            )
        }
        3 => {
            let mut z = z;
            for (index, mut row) in z.outer_iter_mut().enumerate() {
                row *= 10f64.powf(4.0 - 8.0 * index as f64 / d as f64);
            }
            z
        }
        4 => Array2::zeros((d, count)),
        _ => z,
    }
}

/// An orthogonal (d, d) matrix as a product of d (d - 1) / 2 plane rotations: angles of 0 give the identity,
/// so that it shrinks.
pub(crate) fn rotations(d: usize, angles: &[f64]) -> Array2<f64> {
    let mut q = Array2::eye(d);
    let planes = (0..d).flat_map(|i| (i + 1..d).map(move |j| (i, j)));
    for ((i, j), angle) in planes.zip(angles) {
        let (sine, cosine) = angle.sin_cos();
        for mut row in q.outer_iter_mut() {
            let (a, b) = (row[i], row[j]);
            row[i] = cosine * a - sine * b;
            row[j] = sine * a + cosine * b;
        }
    }
    q
}

/// K blocks of p columns of the matrix of [`rotations`], (K, K p, p).
pub(crate) fn turned_bases(heads: usize, p: usize, angles: &[f64]) -> Array3<f64> {
    let q = rotations(heads * p, angles);
    Array3::from_shape_fn((heads, heads * p, p), |(k, i, j)| q[(i, k * p + j)])
}

pub(crate) fn settings() -> impl Strategy<Value = Setting> {
    (HEADS, WIDTHS, TOKENS, 0usize..5, -3.0f64..2.0, any::<u64>()).prop_map(
        |(heads, p, count, form, power, seed)| Setting {
            z: tokens(seed, heads * p, count, form),
            bases: orthogonal_bases(seed, heads, p),
            epsilon: 10f64.powf(power),
            seed,
        },
    )
}

/// Settings whose tokens are not zero and not extreme: for statements about directions.
pub(crate) fn ordinary_settings() -> impl Strategy<Value = Setting> {
    (HEADS, WIDTHS, TOKENS, 0usize..3, 0.3f64..3.0, any::<u64>()).prop_map(
        |(heads, p, count, form, epsilon, seed)| Setting {
            z: tokens(seed, heads * p, count, form),
            bases: orthogonal_bases(seed, heads, p),
            epsilon,
            seed,
        },
    )
}

/// What rounding of the tokens by `operations` units in the last place of the largest can change in
/// a rate, `||grad R||_F ||dZ||_F <= sqrt(a rank) / 2 * operations u ||Z||_F`, on top of two rates
/// known to 1e-12 each.
pub(crate) fn rate_tolerance(
    z: ArrayView2<'_, f64>,
    epsilon: f64,
    operations: f64,
    rate: f64,
) -> f64 {
    let (d, count) = z.dim();
    let a = d as f64 / count as f64 / (epsilon * epsilon);
    let rank = d.min(count) as f64;
    let size = norm(z);
    // Second order: noise of size ||dZ|| fills empty directions with a ||dZ||^2 / 2.
    let noise = operations * f64::EPSILON * size;
    2e-12 * rate + 0.5 * (a * rank).sqrt() * noise + a * noise * noise
}

pub(crate) fn norm(z: ArrayView2<'_, f64>) -> f64 {
    z.iter().map(|v| v * v).sum::<f64>().sqrt()
}

pub(crate) fn inner(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (a * b).sum()
}

/// Inverse of a symmetric positive definite matrix, by its eigenvalues.
pub(crate) fn inverse(matrix: &Array2<f64>) -> Array2<f64> {
    let (values, vectors) = matrix.eigh(UPLO::Lower).unwrap();
    let scaled = &vectors / &values;
    scaled.dot(&vectors.t())
}

pub(crate) fn eigenvalues(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.eigh(UPLO::Lower).unwrap().0
}

/// Largest singular value.
pub(crate) fn spectral_norm(matrix: &Array2<f64>) -> f64 {
    let gram = matrix.t().dot(matrix);
    eigenvalues(&gram).fold(0.0f64, |a, &v| a.max(v)).sqrt()
}

/// `U_k^T Z` of every head, stacked.
pub(crate) fn project(bases: &Array3<f64>, k: usize, z: &Array2<f64>) -> Array2<f64> {
    bases.index_axis(Axis(0), k).t().dot(z)
}
