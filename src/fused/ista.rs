//! The sparsification block (NeurIPS 2023 (17); [`crate::exact::ista::ista`]), `Z' = ReLU(X + η R D - η λ)`,
//! `R = X - X D^T`, `X = LN(Y)`: the ISTA step `x + η D^T (x - D x) - η λ` for tokens as rows. The official code spends
//! three products of `N d^2` on it; here it takes two, or one:
//!
//! * with the residual `R`, as written above;
//! * folded, `Z' = ReLU(X B - η λ)` with `B = I + η (D - D^T D)`, which costs `d^3` once per change
//!   of the weights and can serve any number of tokens.
//!
//! # Adjoint
//! With `G = dZ' ∘ 1[Z' > 0]`, in the residual's form: `dR = η G D^T`, `dD = η R^T G - dR^T X`, and
//! `dX = G + dR - dR D`. Folded: `dX = G B^T`, `dB = X^T G`, `dD = η (dB - D (dB + dB^T))`. Then
//! `dY = LN'(dX)`.
//!
//! # Which form
//! Forward and backward take `12 N d^2` multiplications with the residual and `6 N d^2 + 4 d^3`
//! folded: folding pays above `N = 2/3 d` tokens, and for a network that only runs forward always.
//! Both have the same error bound, of two sums over `d` terms.

use super::buffer::Buffer;
use super::layer_norm::{self, Weights as Norm};
use super::product::gradient::Sum;
use super::product::{add_transpose, product, Matrix, MatrixMut, Panels};
use super::rowwise::{Derivatives, Rows, Rowwise, Saved};
use crate::vectorised::vectorised;

/// Parameters and constants of the block.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// LayerNorm before the block.
    pub norm: Norm<'a>,
    /// The matrices of one of the forms.
    pub form: Form<'a>,
    /// `D`, (d, d), where the adjoint of the folded form reads it; else empty.
    pub dictionary: &'a [f32],
    /// `η`.
    pub step_size: f32,
    /// `η λ`.
    pub threshold: f32,
}

/// How the step is carried out. A forward pass reads a matrix as `X A`, the adjoint as `G A^T`.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// `B`, (d, d), from [`fold`]; for the adjoint `B^T`.
    Folded(&'a Panels<'static>),
    /// `D^T` and `D`, each (d, d); for the adjoint the same.
    Residual([&'a Panels<'static>; 2]),
}

/// The parameter: the dictionary `D`, (d, d). Kept for the adjoint in the residual's form: `R`; derived there: `dR`.
impl Rowwise for Weights<'_> {
    fn width(&self) -> usize {
        self.norm.gain.len()
    }

    fn kept_widths(&self) -> [usize; 2] {
        match self.form {
            Form::Folded(_) => [0, 0],
            Form::Residual(_) => [self.width(), 0],
        }
    }

    fn derived_width(&self) -> usize {
        self.kept_widths()[0]
    }

    fn bias_widths(&self) -> [usize; 2] {
        [0, 0]
    }

    fn folded_size(&self) -> usize {
        match self.form {
            Form::Folded(_) => self.width().pow(2),
            Form::Residual(_) => 0,
        }
    }

    fn forward(&self, y: &[f32], x: &mut [f32], [residual, _]: [&mut [f32]; 2], z: &mut [f32]) {
        forward(y, self, x, residual, z);
    }

    fn backward(
        &self,
        rows: Rows<'_>,
        dz: &mut [f32],
        dy: &mut [f32],
        derived: &mut [f32],
        [norm, ..]: [&mut [f32]; 3],
    ) {
        backward([rows.input, rows.output], self, dz, dy, derived, norm);
    }

    fn sums<'a>(
        &self,
        saved: &'a Saved,
        derivatives: &'a Derivatives,
        gradients: &'a mut [Vec<f32>],
        folded: &'a mut [f32],
        products: &mut Vec<Sum<'a>>,
    ) {
        let d = self.width();
        let rows = saved.normalised.len() / d;
        let x = Matrix::new(&saved.normalised, rows, d);
        let g = Matrix::new(&derivatives.output, rows, d);
        products.push(match self.form {
            Form::Folded(_) => Sum {
                gradient: folded,
                terms: vec![(x, Panels::in_place(g), 1.0)],
            },
            Form::Residual(_) => {
                let r = Matrix::new(&saved.kept[0], rows, d);
                let dr = Matrix::new(&derivatives.derived, rows, d);
                Sum {
                    gradient: &mut gradients[0],
                    terms: vec![
                        (r, Panels::in_place(g), self.step_size),
                        (dr, Panels::in_place(x), -1.0),
                    ],
                }
            }
        });
    }

    fn unfold(&self, folded: Buffer, gradients: &mut [Vec<f32>]) {
        unfold(self.dictionary, self.step_size, folded, &mut gradients[0]);
    }
}

/// `B = I + η (D - D^T D)`, by which the folded form multiplies.
///
/// # Shapes
/// dictionary (d, d); gives (d, d).
///
/// # Panics
/// If the dictionary is shorter.
pub fn fold(dictionary: &[f32], d: usize, step_size: f32) -> Buffer {
    let mut folded = Buffer::copy_of(dictionary);
    for value in folded.iter_mut() {
        *value *= step_size;
    }
    let matrix = Matrix::new(dictionary, d, d);
    let result = MatrixMut::new(&mut folded, d, d);
    product(result, matrix.t(), &Panels::of(matrix), -step_size, true);
    for i in 0..d {
        folded[i * d + i] += 1.0;
    }
    folded
}

/// `Z'` of some rows, with what the backward pass reads.
///
/// # Shapes
/// y, x and z (rows, d); residual the same, or empty in the folded form.
pub fn forward(
    y: &[f32],
    weights: &Weights<'_>,
    x: &mut [f32],
    residual: &mut [f32],
    z: &mut [f32],
) {
    let d = weights.norm.gain.len();
    let rows = y.len() / d;
    layer_norm::forward(y, weights.norm, x);
    match weights.form {
        Form::Folded(folded) => {
            let result = MatrixMut::new(z, rows, d);
            product(result, Matrix::new(x, rows, d), folded, 1.0, false);
        }
        Form::Residual([transposed, dictionary]) => {
            residual.copy_from_slice(x);
            let result = MatrixMut::new(residual, rows, d);
            product(result, Matrix::new(x, rows, d), transposed, -1.0, true);
            z.copy_from_slice(x);
            let result = MatrixMut::new(z, rows, d);
            let r = Matrix::new(residual, rows, d);
            product(result, r, dictionary, weights.step_size, true);
        }
    }
    shifted_relu(z, weights.threshold);
}

vectorised! {
    /// `z <- max(0, z - threshold)`; NaN stays NaN.
    pub fn shifted_relu(z: &mut [f32], threshold: f32) {
        for z in z.iter_mut() {
            let shifted = *z - threshold;
            *z = if shifted <= 0.0 { 0.0 } else { shifted };
        }
    }
}

vectorised! {
    /// `dz <- dz ∘ 1[z > 0]`, both of one length.
    pub fn mask(dz: &mut [f32], z: &[f32]) {
        for (dz, z) in dz.iter_mut().zip(z) {
            *dz = if *z > 0.0 { *dz } else { 0.0 };
        }
    }
}

vectorised! {
    /// `sum <- a + b`, all of one length.
    pub fn sum_into(sum: &mut [f32], a: &[f32], b: &[f32]) {
        for (sum, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
            *sum = a + b;
        }
    }
}

/// `dY` of some rows from `dZ'`, which becomes `G`; `z` is the block's output. In the residual's form `dresidual`
/// receives `dR`; `sums` the LayerNorm's, see [`layer_norm::backward`].
///
/// # Shapes
/// y, z, dz and dy (rows, d); dresidual the same, or empty in the folded form; sums (groups, 2 d).
///
/// # Panics
/// If a slice is shorter, or the form's matrices are not (d, d).
pub fn backward(
    [y, z]: [&[f32]; 2],
    adjoint: &Weights<'_>,
    dz: &mut [f32],
    dy: &mut [f32],
    dresidual: &mut [f32],
    sums: &mut [f32],
) {
    let d = adjoint.norm.gain.len();
    let rows = y.len() / d;
    mask(dz, z);
    let mut dx = Buffer::unfilled(y.len());
    let g = Matrix::new(dz, rows, d);
    match adjoint.form {
        Form::Folded(folded) => {
            product(MatrixMut::new(&mut dx, rows, d), g, folded, 1.0, false);
        }
        Form::Residual([transposed, dictionary]) => {
            let result = MatrixMut::new(dresidual, rows, d);
            product(result, g, transposed, adjoint.step_size, false);
            sum_into(&mut dx, dresidual, dz);
            let dr = Matrix::new(dresidual, rows, d);
            product(MatrixMut::new(&mut dx, rows, d), dr, dictionary, -1.0, true);
        }
    }
    layer_norm::backward(y, adjoint.norm, &dx, dy, false, sums);
}

/// Adds `dD = η (dB - D (dB + dB^T))` to `gradient`; `dfolded` is `dB`.
///
/// # Shapes
/// All (d, d).
///
/// # Panics
/// If one is shorter than the dictionary.
pub fn unfold(dictionary: &[f32], step_size: f32, mut dfolded: Buffer, gradient: &mut [f32]) {
    let d = dictionary.len().isqrt();
    for (dd, db) in gradient.iter_mut().zip(dfolded.iter()) {
        *dd += step_size * db;
    }
    add_transpose(&mut dfolded, d);
    let sum = Panels::of(Matrix::new(&dfolded, d, d));
    let dictionary = Matrix::new(dictionary, d, d);
    product(
        MatrixMut::new(gradient, d, d),
        dictionary,
        &sum,
        -step_size,
        true,
    );
}
