//! Gradients of matrices of weights: sums over all tokens of one factor's columns times another's.

use rayon::prelude::*;

use super::{product, Matrix, MatrixMut, Panels};

/// One term `alpha A^T B`, the rows of `A` and `B` being tokens.
pub type Term<'a> = (Matrix<'a>, Panels<'a>, f32);

/// A gradient, row-major, and the terms that are to be added to it.
#[derive(Debug)]
pub struct Sum<'a> {
    /// (columns of `A`, columns of `B`).
    pub gradient: &'a mut [f32],
    /// One or more.
    pub terms: Vec<Term<'a>>,
}

/// Rows of a gradient that one task makes.
const ROWS: usize = 96;

impl Sum<'_> {
    /// The work in pieces: rows of the gradient, the first of them, and the terms.
    fn tasks(&mut self) -> Vec<(&mut [f32], usize, &[Term<'_>])> {
        let columns = self.terms.first().map_or(1, |(_, b, _)| b.columns());
        let pieces = self.gradient.chunks_mut(ROWS * columns).enumerate();
        pieces
            .map(|(index, piece)| (piece, index * ROWS, &self.terms[..]))
            .collect()
    }
}

/// Adds all terms to their gradients, `G <- G + sum_t alpha_t A_t^T B_t`, in parallel.
///
/// # Shapes
/// `A_t` (rows, m), `B_t` (rows, n), `G` (m, n); `m` may differ from sum to sum, rows from term to term.
///
/// # Panics
/// If the shapes of a term do not fit each other and its gradient.
pub fn add_products(sums: &mut [Sum<'_>]) {
    let tasks: Vec<_> = sums.iter_mut().flat_map(Sum::tasks).collect();
    let tasks = tasks.into_par_iter().with_max_len(1);
    tasks.for_each(|(piece, first, terms)| {
        for (a, b, alpha) in terms {
            let rows = piece.len() / b.columns();
            let part = a.column_block(first, rows);
            let result = MatrixMut::new(piece, rows, b.columns());
            product(result, part.t(), b, *alpha, true);
        }
    });
}
