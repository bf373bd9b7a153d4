//! CRATE-alpha's overcomplete block ([`crate::exact::ista::overcomplete`]), tokens as rows: two ISTA steps from zero
//! towards the non-negative code of `X = LN(Y)` in `D`, (d, h), read with a second dictionary `D_1` or with `D` itself:
//!
//! `A_1 = ReLU(η X D - η λ)`, `R = X - A_1 D^T`, `A_2 = ReLU(A_1 + η R D - η λ)`, and
//! `Z' = A_2 D_1^T` or, beside a skip, `Z' = Y + w A_2 D_1^T`.
//!
//! # Adjoint
//! With `G = w dZ'`: `P = (G D_1) ∘ 1[A_2 > 0]`, `dR = η P D^T`, `Q = (P - dR D) ∘ 1[A_1 > 0]`, `dX = dR + η Q D^T`;
//! `dD_1 = G^T A_2`, `dD = η (R^T P + X^T Q) - dR^T A_1`, to which `dD_1` is added where `D` is both; and
//! `dY = LN'(dX)`, beside a skip `dZ'` more.
//!
//! Forward and backward are twelve products of `N d h` multiplications each: four forward, four of the adjoint, four of
//! the gradients.

use super::buffer::Buffer;
use super::ista::{mask, shifted_relu};
use super::layer_norm::{self, Weights as Norm};
use super::product::gradient::Sum;
use super::product::{product, Matrix, MatrixMut, Panels};
use super::rowwise::{Derivatives, Rows, Rowwise, Saved};

/// Parameters and constants of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// `D`, (d, h), and `D^T`; for the adjoint the same.
    pub dictionary: [&'a Panels<'static>; 2],
    /// `D_1^T`, (h, d); for the adjoint `D_1`.
    pub output: &'a Panels<'static>,
    /// `η`.
    pub step_size: f32,
    /// `η λ`.
    pub threshold: f32,
    /// `w`; none without skip.
    pub skip: Option<f32>,
}

impl Weights<'_> {
    /// `h`.
    fn hidden(&self) -> usize {
        self.dictionary[0].columns()
    }

    /// `w`, or 1.
    fn weight(&self) -> f32 {
        self.skip.unwrap_or(1.0)
    }
}

/// The parameters: `D`, and `D_1` if it is another, each (d, h). Kept for the adjoint: `A_1` and `A_2` side by side, and
/// `R`; derived: `P`, `Q` and `dR` side by side.
impl Rowwise for Weights<'_> {
    fn width(&self) -> usize {
        self.norm.gain.len()
    }

    fn kept_widths(&self) -> [usize; 2] {
        [2 * self.hidden(), self.width()]
    }

    fn derived_width(&self) -> usize {
        2 * self.hidden() + self.width()
    }

    fn bias_widths(&self) -> [usize; 2] {
        [0, 0]
    }

    fn forward(&self, y: &[f32], x: &mut [f32], [codes, residual]: [&mut [f32]; 2], z: &mut [f32]) {
        let (d, hidden) = (self.width(), self.hidden());
        let rows = y.len() / d;
        let [dictionary, transposed] = self.dictionary;
        layer_norm::forward(y, self.norm, x);
        let first = MatrixMut::strided(codes, rows, hidden, 2 * hidden);
        let input = Matrix::new(x, rows, d);
        product(first, input, dictionary, self.step_size, false);
        for row in codes.chunks_exact_mut(2 * hidden) {
            let (first, second) = row.split_at_mut(hidden);
            shifted_relu(first, self.threshold);
            second.copy_from_slice(first);
        }
        residual.copy_from_slice(x);
        let first = Matrix::strided(codes, rows, hidden, 2 * hidden);
        let result = MatrixMut::new(residual, rows, d);
        product(result, first, transposed, -1.0, true);
        let second = MatrixMut::strided(&mut codes[hidden..], rows, hidden, 2 * hidden);
        let r = Matrix::new(residual, rows, d);
        product(second, r, dictionary, self.step_size, true);
        for row in codes.chunks_exact_mut(2 * hidden) {
            shifted_relu(&mut row[hidden..], self.threshold);
        }
        if self.skip.is_some() {
            z.copy_from_slice(y);
        }
        let second = Matrix::new(codes, rows, 2 * hidden).column_block(hidden, hidden);
        let result = MatrixMut::new(z, rows, d);
        let accumulate = self.skip.is_some();
        product(result, second, self.output, self.weight(), accumulate);
    }

    fn backward(
        &self,
        rows: Rows<'_>,
        dz: &mut [f32],
        dy: &mut [f32],
        derived: &mut [f32],
        [norm, ..]: [&mut [f32]; 3],
    ) {
        let (d, hidden) = (self.width(), self.hidden());
        let count = dz.len() / d;
        let stride = self.derived_width();
        let [dictionary, transposed] = self.dictionary;
        let codes = || rows.kept[0].chunks_exact(2 * hidden);
        let p = MatrixMut::strided(derived, count, hidden, stride);
        let g = Matrix::new(dz, count, d);
        product(p, g, self.output, self.weight(), false);
        for (row, codes) in derived.chunks_exact_mut(stride).zip(codes()) {
            let (p, rest) = row.split_at_mut(hidden);
            mask(p, &codes[hidden..]);
            rest[..hidden].copy_from_slice(p);
        }
        // `dR` first, then `dX`.
        let mut dx = Buffer::unfilled(dz.len());
        let p = Matrix::strided(derived, count, hidden, stride);
        let result = MatrixMut::new(&mut dx, count, d);
        product(result, p, transposed, self.step_size, false);
        let q = MatrixMut::strided(&mut derived[hidden..], count, hidden, stride);
        product(q, Matrix::new(&dx, count, d), dictionary, -1.0, true);
        let dr = dx.chunks_exact(d);
        for ((row, codes), dr) in derived.chunks_exact_mut(stride).zip(codes()).zip(dr) {
            let (codings, residual) = row.split_at_mut(2 * hidden);
            mask(&mut codings[hidden..], &codes[..hidden]);
            residual.copy_from_slice(dr);
        }
        let q = Matrix::new(derived, count, stride).column_block(hidden, hidden);
        let result = MatrixMut::new(&mut dx, count, d);
        product(result, q, transposed, self.step_size, true);
        if self.skip.is_some() {
            dy.copy_from_slice(dz);
        }
        layer_norm::backward(rows.input, self.norm, &dx, dy, self.skip.is_some(), norm);
    }

    fn sums<'a>(
        &self,
        saved: &'a Saved,
        derivatives: &'a Derivatives,
        gradients: &'a mut [Vec<f32>],
        _folded: &'a mut [f32],
        products: &mut Vec<Sum<'a>>,
    ) {
        let (d, hidden) = (self.width(), self.hidden());
        let rows = saved.normalised.len() / d;
        let tokens = |values: &'a Buffer| Matrix::new(values, rows, d);
        let [x, r, dz] = [&saved.normalised, &saved.kept[1], &derivatives.output].map(tokens);
        let codes = Matrix::new(&saved.kept[0], rows, 2 * hidden);
        let [first, second] = [0, hidden].map(|start| codes.column_block(start, hidden));
        let derived = Matrix::new(&derivatives.derived, rows, self.derived_width());
        let [p, q] = [0, hidden].map(|start| derived.column_block(start, hidden));
        let dr = derived.column_block(2 * hidden, d);
        let mut of_dictionary = vec![
            (r, Panels::in_place(p), self.step_size),
            (x, Panels::in_place(q), self.step_size),
            (dr, Panels::in_place(first), -1.0),
        ];
        let of_output = (dz, Panels::in_place(second), self.weight());
        let gradient = match gradients {
            [dictionary] => {
                of_dictionary.push(of_output);
                dictionary
            }
            [dictionary, output] => {
                products.push(Sum {
                    gradient: output,
                    terms: vec![of_output],
                });
                dictionary
            }
            _ => panic!("an overcomplete block has one dictionary or two"),
        };
        products.push(Sum {
            gradient,
            terms: of_dictionary,
        });
    }
}
