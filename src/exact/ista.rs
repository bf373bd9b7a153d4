//! Sparse codes (NeurIPS 2023, section 2.4; book (4.2.17) to (4.2.19)): the non-negative LASSO
//!
//! `F(X) = lambda ||X||_1 + 1/2 ||Z - D X||_F^2` over `X >= 0`,
//!
//! its proximal-gradient step, two of them from zero, and its solution. Columns are tokens. `D` has no unit, `X` and
//! `lambda` that of `Z`.

use ndarray::{Array2, ArrayView2};

// ANCHOR: lasso_objective
/// `F(X) = lambda ||X||_1 + 1/2 ||Z - D X||_F^2`, in the squared unit of `Z`, for any sign of `X` (book (4.2.17)).
///
/// # Shapes
/// x (m, N), z (d, N), dictionary (d, m); in the papers `m = d`.
///
/// # Example
/// A quarter turn for `D`: the code (3/2, 0) is read as (0, 3/2), off by (1, 1/2).
/// ```
/// use ndarray::array;
/// use whitebox::exact::ista::lasso_objective;
///
/// let (z, x) = (array![[1.0], [2.0]], array![[1.5], [0.0]]);
/// let turn = array![[0.0, -1.0], [1.0, 0.0]];
/// let objective = lasso_objective(x.view(), z.view(), turn.view(), 0.5);
/// assert_eq!(objective, 0.5 * 1.5 + 0.5 * (1.0 + 0.25));
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn lasso_objective(
    x: ArrayView2<'_, f64>,
    z: ArrayView2<'_, f64>,
    dictionary: ArrayView2<'_, f64>,
    lambda: f64,
) -> f64 {
    let residual = &z - &dictionary.dot(&x);
    lambda * x.mapv(f64::abs).sum() + 0.5 * (&residual * &residual).sum()
}
// ANCHOR_END: lasso_objective

/// `argmin_{X >= 0} threshold sum(X) + 1/2 ||X - V||_F^2 = ReLU(V - threshold)`: the proximal map of the 1-norm and the
/// constraint (claim C-THY-16).
///
/// # Shapes
/// v of any shape, which is kept.
///
/// # Example
/// What is above a half moves down by it, the rest is zero.
/// ```
/// use ndarray::array;
/// use whitebox::exact::ista::nonnegative_shrinkage;
///
/// let codes = nonnegative_shrinkage(array![[3.0, 0.25, -1.0]].view(), 0.5);
/// assert_eq!(codes, array![[2.5, 0.0, 0.0]]);
/// ```
pub fn nonnegative_shrinkage(v: ArrayView2<'_, f64>, threshold: f64) -> Array2<f64> {
    v.mapv(|v| (v - threshold).max(0.0))
}

// ANCHOR: proximal_step
/// One proximal-gradient step on `F` from `x`: `ReLU(X + eta D^T (Z - D X) - eta lambda)`; it does not raise `F` for
/// `eta <= 1 / ||D||_2^2` (Beck and Teboulle 2009).
///
/// # Shapes
/// x (m, N), z (d, N), dictionary (d, m); gives (m, N).
///
/// # Example
/// From the zero code the step sees `D^T Z` alone: half of (2, -1), less half of lambda.
/// ```
/// use ndarray::array;
/// use whitebox::exact::ista::proximal_step;
///
/// let z = array![[1.0], [2.0]];
/// let turn = array![[0.0, -1.0], [1.0, 0.0]];
/// let zero = array![[0.0], [0.0]];
/// let x = proximal_step(zero.view(), z.view(), turn.view(), 0.5, 0.5);
/// assert_eq!(x, array![[0.75], [0.0]]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn proximal_step(
    x: ArrayView2<'_, f64>,
    z: ArrayView2<'_, f64>,
    dictionary: ArrayView2<'_, f64>,
    step_size: f64,
    lambda: f64,
) -> Array2<f64> {
    let residual = &z - &dictionary.dot(&x);
    let moved = &x + &(dictionary.t().dot(&residual) * step_size);
    nonnegative_shrinkage(moved.view(), step_size * lambda)
}
// ANCHOR_END: proximal_step

/// `ISTA(Z | D) = ReLU(Z + eta D^T (Z - D Z) - eta lambda)` (NeurIPS 2023 (17); book (4.2.19)): the step from
/// `X = Z`, which is not feasible where `Z` is negative.
///
/// # Shapes
/// z (d, N), dictionary (d, d); gives (d, N).
///
/// # Example
/// A quarter turn for `D` and step 1: `ReLU(D^T Z - lambda)`, `D^T Z = (2, -1)`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::ista::ista;
///
/// let z = array![[1.0], [2.0]];
/// let turn = array![[0.0, -1.0], [1.0, 0.0]];
/// let code = ista(z.view(), turn.view(), 1.0, 0.5);
/// assert_eq!(code, array![[1.5], [0.0]]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn ista(
    z: ArrayView2<'_, f64>,
    dictionary: ArrayView2<'_, f64>,
    step_size: f64,
    lambda: f64,
) -> Array2<f64> {
    proximal_step(z, z, dictionary, step_size, lambda)
}

/// `D_1 X_2`, where `X_1` and `X_2` are the first two steps from `X_0 = 0`: the overcomplete block of CRATE-alpha (arXiv
/// 2405.20299, official `models/crate.py`; claim C-VAR-04), `m = 4 d` there.
///
/// # Shapes
/// z (d, N), dictionary and output (d, m); gives (d, N).
///
/// # Example
/// Two atoms that point either way: the steps reach 3/4 and 9/8 of the first, which the second dictionary doubles.
/// ```
/// use ndarray::array;
/// use whitebox::exact::ista::overcomplete;
///
/// let (z, dictionary, second) = (array![[2.0]], array![[1.0, -1.0]], array![[2.0, 1.0]]);
/// let tied = overcomplete(z.view(), dictionary.view(), dictionary.view(), 0.5, 0.5);
/// assert_eq!(tied, array![[1.125]]);
/// let decoupled = overcomplete(z.view(), dictionary.view(), second.view(), 0.5, 0.5);
/// assert_eq!(decoupled, array![[2.25]]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn overcomplete(
    z: ArrayView2<'_, f64>,
    dictionary: ArrayView2<'_, f64>,
    output: ArrayView2<'_, f64>,
    step_size: f64,
    lambda: f64,
) -> Array2<f64> {
    let mut code = Array2::zeros((dictionary.ncols(), z.ncols()));
    for _ in 0..2 {
        code = proximal_step(code.view(), z, dictionary, step_size, lambda);
    }
    output.dot(&code)
}

/// The minimiser of `F` by accelerated proximal gradient (FISTA; Beck and Teboulle 2009) from zero,
/// with restarts, after `iterations` steps of `1 / lipschitz`, where `lipschitz >= ||D||_2^2` (book (4.2.17)).
///
/// # Shapes
/// z (d, N), dictionary (d, d); gives (d, N).
///
/// # Example
/// For a rotation one step of 1 is the solution.
/// ```
/// use ndarray::array;
/// use whitebox::exact::ista::lasso_solution;
///
/// let z = array![[1.0], [2.0]];
/// let turn = array![[0.0, -1.0], [1.0, 0.0]];
/// let code = lasso_solution(z.view(), turn.view(), 0.5, 1.0, 1);
/// assert_eq!(code, array![[1.5], [0.0]]);
/// ```
///
/// # Panics
/// If the shapes do not fit each other.
pub fn lasso_solution(
    z: ArrayView2<'_, f64>,
    dictionary: ArrayView2<'_, f64>,
    lambda: f64,
    lipschitz: f64,
    iterations: usize,
) -> Array2<f64> {
    let mut x = Array2::zeros(z.dim());
    let mut ahead = x.clone();
    let mut momentum = 1.0f64;
    for _ in 0..iterations {
        let next = proximal_step(ahead.view(), z, dictionary, 1.0 / lipschitz, lambda);
        let change = &next - &x;
        // Momentum that points uphill is dropped.
        if ((&ahead - &next) * &change).sum() > 0.0 {
            momentum = 1.0;
        }
        let grown = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
        ahead = &next + &(change * ((momentum - 1.0) / grown));
        momentum = grown;
        x = next;
    }
    x
}
