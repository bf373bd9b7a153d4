//! The first block of a layer of CRATE-MAE's decoder: a linear map without bias and without skip, `Z' = X A^T`,
//! `X = LN(Y)` (official `model/crate_ae/crate_decoder.py`).
//!
//! # Adjoint
//! With `G = dZ'`: `dA = G^T X`, `dX = G A`, `dY = LN'(dX)`.

use super::buffer::Buffer;
use super::layer_norm::{self, Weights as Norm};
use super::product::gradient::Sum;
use super::product::{product, Matrix, MatrixMut, Panels};
use super::rowwise::{Derivatives, Rows, Rowwise, Saved};

/// Parameters of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `A^T`, (d, d); for the adjoint `A`.
    pub matrix: &'a Panels<'static>,
}

/// The parameter: `A`, (d, d). Nothing is kept for the adjoint but `X`.
impl Rowwise for Weights<'_> {
    fn width(&self) -> usize {
        self.norm.gain.len()
    }

    fn kept_widths(&self) -> [usize; 2] {
        [0, 0]
    }

    fn derived_width(&self) -> usize {
        0
    }

    fn bias_widths(&self) -> [usize; 2] {
        [0, 0]
    }

    fn forward(&self, y: &[f32], x: &mut [f32], _kept: [&mut [f32]; 2], z: &mut [f32]) {
        let d = self.width();
        let rows = y.len() / d;
        layer_norm::forward(y, self.norm, x);
        let result = MatrixMut::new(z, rows, d);
        product(result, Matrix::new(x, rows, d), self.matrix, 1.0, false);
    }

    fn backward(
        &self,
        rows: Rows<'_>,
        dz: &mut [f32],
        dy: &mut [f32],
        _derived: &mut [f32],
        [norm, ..]: [&mut [f32]; 3],
    ) {
        let d = self.width();
        let count = dz.len() / d;
        let mut dx = Buffer::unfilled(dz.len());
        let result = MatrixMut::new(&mut dx, count, d);
        product(result, Matrix::new(dz, count, d), self.matrix, 1.0, false);
        layer_norm::backward(rows.input, self.norm, &dx, dy, false, norm);
    }

    fn sums<'a>(
        &self,
        saved: &'a Saved,
        derivatives: &'a Derivatives,
        gradients: &'a mut [Vec<f32>],
        _folded: &'a mut [f32],
        products: &mut Vec<Sum<'a>>,
    ) {
        let d = self.width();
        let rows = saved.normalised.len() / d;
        let x = Matrix::new(&saved.normalised, rows, d);
        let g = Matrix::new(&derivatives.output, rows, d);
        products.push(Sum {
            gradient: &mut gradients[0],
            terms: vec![(g, Panels::in_place(x), 1.0)],
        });
    }
}
