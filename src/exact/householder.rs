//! Householder QR that is stable row by row: rows sorted by size, columns chosen by size.
//!
//! With both (and the usual choice of sign), the computed factors are those of a matrix whose row
//! `i` differs from the given one by at most `O(m n u) max_k |row i of the k-th reduced matrix|`
//! (Powell and Reid 1969; Cox and Higham, BIT 38, 1998). Plain Householder QR promises this only
//! for columns, and forming the Gram matrix for neither. `[B; I]` with rows from 1e10 to 1e-5 is
//! exactly such a case: the small rows decide the small singular values.

use ndarray::{Array2, ArrayView2};

use super::double_double::Number;

/// `M = Q R` up to permutations of rows and columns.
pub struct RowwiseQr<T> {
    /// Reflectors below the diagonal and `R` above, column by column, in the permuted order.
    columns: Vec<Vec<T>>,
    diagonal: Vec<T>,
    tau: Vec<T>,
    row_order: Vec<usize>,
    column_order: Vec<usize>,
    /// Largest entry seen in each permuted row during the reduction.
    row_growth: Vec<f64>,
}

impl<T: Number> RowwiseQr<T> {
    /// Factors `matrix`, which has at least as many rows as columns. Entries should be at most
    /// about 1 in size; nothing overflows then, and products of entries below 1e-154 are lost.
    ///
    /// # Shapes
    /// matrix (m, n), `m >= n`.
    ///
    /// # Example
    /// Columns (3, 4) and (0, 5): the determinant is 15, the inverse `[[5, 0], [-4, 3]] / 15`.
    /// ```
    /// use ndarray::array;
    /// use whitebox::exact::householder::RowwiseQr;
    ///
    /// let qr = RowwiseQr::<f64>::new(array![[3.0, 0.0], [4.0, 5.0]].view());
    /// assert!((qr.ln_abs_det(1.0) - 15f64.ln()).abs() < 1e-15);
    /// let (inverse, _) = qr.pseudo_inverse();
    /// let exact = array![[5.0, 0.0], [-4.0, 3.0]] / 15.0;
    /// assert!((inverse - exact).iter().all(|v| v.abs() < 1e-15));
    /// ```
    ///
    /// # Panics
    /// In a debug build, if there are more columns than rows.
    pub fn new(matrix: ArrayView2<'_, T>) -> Self {
        let (m, n) = matrix.dim();
        debug_assert!(m >= n);
        let size = |row: usize| largest(matrix.row(row).iter());
        let sizes: Vec<f64> = (0..m).map(size).collect();
        let mut row_order: Vec<usize> = (0..m).collect();
        row_order.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]));
        let mut qr = Self {
            columns: (0..n)
                .map(|j| row_order.iter().map(|&i| matrix[(i, j)]).collect())
                .collect(),
            diagonal: vec![T::of(0.0); n],
            tau: vec![T::of(0.0); n],
            row_growth: row_order.iter().map(|&i| sizes[i]).collect(),
            row_order,
            column_order: (0..n).collect(),
        };
        for k in 0..n {
            qr.reduce(k);
        }
        qr
    }

    fn reduce(&mut self, k: usize) {
        let norms: Vec<T> = self.columns[k..].iter().map(|c| norm(&c[k..])).collect();
        let longest = (0..norms.len())
            .reduce(|a, b| {
                if norms[b].to_f64() > norms[a].to_f64() {
                    b
                } else {
                    a
                }
            })
            .unwrap_or(0);
        self.columns.swap(k, k + longest);
        self.column_order.swap(k, k + longest);
        let length = norms[longest];
        if length.to_f64() == 0.0 {
            return;
        }
        let (done, rest) = self.columns.split_at_mut(k + 1);
        let pivot = &mut done[k][k..];
        // The sign that makes `pivot[0] - beta` a sum of like signs.
        let beta = if pivot[0].to_f64() < 0.0 {
            length
        } else {
            -length
        };
        self.diagonal[k] = beta;
        self.row_growth[k] = self.row_growth[k].max(length.to_f64());
        self.tau[k] = (beta - pivot[0]) / beta;
        let head = pivot[0] - beta;
        pivot[0] = T::of(1.0);
        for value in &mut pivot[1..] {
            *value = *value / head;
        }
        for column in rest {
            reflect(&mut column[k..], pivot, self.tau[k]);
            for (growth, value) in self.row_growth[k..].iter_mut().zip(&column[k..]) {
                *growth = growth.max(value.to_f64().abs());
            }
        }
    }

    /// `ln |det R| = 1/2 logdet(M^T M)` of the matrix times `power`, a power of two; minus infinity without full rank.
    pub fn ln_abs_det(&self, power: f64) -> f64 {
        self.diagonal
            .iter()
            .map(|r| r.times_power_of_two(power).ln_abs())
            .sum()
    }

    /// The pseudo-inverse `M^+ = R^{-1} Q^T` of (m, n), which is (n, m), and how much `ln |det R|` can change with `M`.
    /// Zero pivots give zero rows.
    pub fn pseudo_inverse(&self) -> (Array2<f64>, Sensitivity) {
        let (n, m) = (self.columns.len(), self.row_order.len());
        // Q's first n columns, by running the reflectors backwards over unit vectors.
        let mut q: Vec<Vec<T>> = (0..n)
            .map(|j| {
                let mut unit = vec![T::of(0.0); m];
                unit[j] = T::of(1.0);
                unit
            })
            .collect();
        for k in (0..n).rev() {
            for column in &mut q[k..] {
                reflect(&mut column[k..], &self.columns[k][k..], self.tau[k]);
            }
        }
        let mut inverse = Array2::zeros((n, m));
        let mut first_order = 0.0;
        for row in 0..m {
            let x = self.solve(|j| q[j][row]);
            let size: f64 = x.iter().map(|x| x.to_f64().abs()).sum();
            first_order += size * self.row_growth[row];
            for (j, value) in x.iter().enumerate() {
                inverse[(self.column_order[j], self.row_order[row])] = value.to_f64();
            }
        }
        let growth: f64 = self.row_growth.iter().map(|g| g * g).sum();
        let columns = (0..n).map(|unit| {
            let x = self.solve(|j| T::of(if j == unit { 1.0 } else { 0.0 }));
            x.iter().map(|x| x.to_f64().abs()).sum::<f64>().powi(2)
        });
        let sensitivity = Sensitivity {
            first_order,
            second_order: growth * columns.sum::<f64>(),
        };
        (inverse, sensitivity)
    }

    /// `R^{-1} b`.
    fn solve(&self, b: impl Fn(usize) -> T) -> Vec<T> {
        let n = self.columns.len();
        let mut x = vec![T::of(0.0); n];
        for j in (0..n).rev() {
            if self.diagonal[j].to_f64() != 0.0 {
                let known = dot((j + 1..n).map(|i| (self.columns[i][j], x[i])));
                x[j] = (b(j) - known) / self.diagonal[j];
            }
        }
        x
    }
}

/// How much `ln |det R| = 1/2 logdet M^T M` can change with `M`: if row `i` of `M` changes by at most
/// `t g_i` in each entry, `g_i` its largest entry during the reduction, then
/// `1/2 logdet((M + dM)^T (M + dM)) - 1/2 logdet M^T M = tr(M^+ dM) + O(||dM R^{-1}||_F^2)` is at most
/// `t first_order + t^2 second_order`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// `sum_ij |M^+_ji| g_i`.
    pub first_order: f64,
    /// `sum_i g_i^2 sum_j (sum_k |R^{-1}_kj|)^2`. It takes over where noise fills directions that
    /// `M` leaves empty: large tokens of low rank.
    pub second_order: f64,
}

/// `sum x y`.
fn dot<T: Number>(pairs: impl Iterator<Item = (T, T)>) -> T {
    pairs.fold(T::of(0.0), |sum, (x, y)| sum + x * y)
}

/// `x <- (I - tau v v^T) x`.
fn reflect<T: Number>(x: &mut [T], v: &[T], tau: T) {
    let factor = tau * dot(x.iter().copied().zip(v.iter().copied()));
    if factor.to_f64() != 0.0 {
        for (x, v) in x.iter_mut().zip(v) {
            *x = *x - factor * *v;
        }
    }
}

/// Size of the largest number.
fn largest<'a, T: Number + 'a>(x: impl Iterator<Item = &'a T>) -> f64 {
    x.fold(0.0, |a, x| a.max(x.to_f64().abs()))
}

/// Euclidean length without overflow or underflow of the squares.
pub(super) fn norm<T: Number>(x: &[T]) -> T {
    let largest = largest(x.iter());
    if largest == 0.0 {
        return T::of(0.0);
    }
    // Dividing by a power of two is exact.
    let power = 2.0f64.powi(-(largest.log2() as i32).clamp(-1000, 1000));
    let scaled = x.iter().map(|v| v.times_power_of_two(power));
    dot(scaled.map(|v| (v, v)))
        .root()
        .times_power_of_two(1.0 / power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::double_double::DoubleDouble;
    use ndarray::{array, Array2};

    #[test]
    fn the_pseudo_inverse_inverts_and_the_determinant_is_that_of_the_gram_matrix() {
        let m: Array2<f64> = array![[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [1e-8, 3e-9]];
        let qr = RowwiseQr::new(m.view());
        let (inverse, _) = qr.pseudo_inverse();
        let identity = inverse.dot(&m) - Array2::<f64>::eye(2);
        assert!(identity.iter().all(|e| e.abs() < 1e-14), "{identity}");
        let g = m.t().dot(&m);
        let det: f64 = g[(0, 0)] * g[(1, 1)] - g[(0, 1)] * g[(1, 0)];
        assert!((qr.ln_abs_det(1.0) - 0.5 * det.ln()).abs() < 1e-14);
        let shifted = qr.ln_abs_det(8.0) - 2.0 * 3.0 * std::f64::consts::LN_2;
        assert!((shifted - qr.ln_abs_det(1.0)).abs() < 1e-14);
        let precise = RowwiseQr::new(m.mapv(DoubleDouble::of).view());
        assert!((precise.ln_abs_det(1.0) - qr.ln_abs_det(1.0)).abs() < 1e-14);
    }
}
