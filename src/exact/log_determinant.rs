//! `1/2 logdet(I + B^T B)` and its gradient for a real matrix `B`, to a relative error of about
//! 1e-12 wherever the problem itself allows it.
//!
//! # Which factorisation
//! Both Gram sides give the same number (Sylvester), so the smaller is used; write `B` for the
//! orientation with the fewer columns, (m, n), `A = I + B^T B`, `u = 2^-53`.
//!
//! 1. `||B||_F < 2^-30`: the value is `||B||_F^2 / 2` up to a relative `||B||_F^2 / 2 < 2^-61`.
//! 2. `||B||_F <= 1`: a Cholesky factorisation that carries the pivots minus one, so that
//!    `1/2 sum log1p(pivot - 1)` keeps its relative accuracy. With `A = I + G`, every reduced
//!    matrix minus `I` is between `G / (1 + ||G||)` and `G`: nothing cancels.
//! 3. Else Cholesky of `A` (LAPACK), if its error is provably small. Forming and factoring `A`
//!    gives `|dA_ij| <= (m + n + 10) u sqrt(A_ii A_jj)`, and
//!    `d(1/2 logdet A) = 1/2 tr(A^-1 dA)`, so the error is at most
//!    `(m + n + 10) u / 2 * sum_ij |A^-1_ij| sqrt(A_ii A_jj)`. Since `A^-1_ii <= 1` that sum is
//!    at most `(sum_i sqrt(A_ii))^2`, which often settles it; if not, the inverse does.
//! 4. Else QR of `[B; I]`, row-wise stable ([`super::householder`]): the condition number is never
//!    squared, and tokens whose sizes span many orders of magnitude lose nothing. The error is at
//!    most [`Sensitivity`](super::householder::Sensitivity) times `(m + 2 n) u` and its square.
//!    (That factor is the customary one; the proven constant is larger, and was never approached
//!    in tests.)
//! 5. Where that bound exceeds 5e-13, changing each number of `B` in its last digit can change the
//!    result by as much: the same QR in numbers of 32 digits ([`super::double_double`]), from the
//!    caller's own numbers, since `B` rounded to doubles is already too far away.
//!
//! The factor in `B` rounds every entry by `2 u` of its size; the constants above cover that. Where
//! `B` is a product, `U^T Z`, its rounding `dB` is not small entry by entry. It changes the value by
//! at most `||W||_F ||dB||_F + ||dB||_F^2`, `W = B A^-1`, `||W||_F^2 = tr(A^-1 - A^-2) <= n / 4`; where
//! that breaks the bound, the product is made again in 32 digits first.
//!
//! Every result carries its bound. Rows or columns may differ by any factor, and `B` may be as large
//! as `2^1000` or as small as doubles go: it is held as a matrix of entries up to 1 times a power of
//! two.

use ndarray::linalg::general_mat_mul;
use ndarray::{s, Array2, ArrayView1, ArrayView2, Axis};
use ndarray_linalg::{AllocatedArray, CholeskyFactorized, DeterminantC, InverseC, Lapack, UPLO};

use super::double_double::{DoubleDouble, Number};
use super::gram::{self, gram, largest_size, sum_of_squares, sums_over_inverse};
use super::householder::{norm, RowwiseQr};
use super::single_threaded_blas;
use crate::error::{Error, Result};

/// `u`, half the distance from 1 to the next double.
const UNIT_ROUNDOFF: f64 = <f64 as Number>::UNIT_ROUNDOFF;

/// A way is taken only where its relative error is provably below this.
const TOLERANCE: f64 = 5e-13;

/// Rows of `U` and `Z` whose products are summed in one go: shorter sums round less.
const BLOCK: usize = 32;

/// Up to this size the loops of [`super::gram`] beat the calls of LAPACK.
const SMALL: usize = 96;

/// Which of the five ways was taken; see the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The first term of the series.
    Series,
    /// Cholesky carrying pivots minus one.
    ShiftedCholesky,
    /// Cholesky with a proven bound.
    Cholesky,
    /// Row-wise stable QR.
    RowwiseQr,
    /// Row-wise stable QR in numbers of 32 digits.
    DoubleDoubleQr,
}

/// `1/2 logdet(I + B^T B)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogDeterminant {
    /// The value in nats, at least 0.
    pub value: f64,
    /// Bound on its relative error; 0 for the value 0.
    pub relative_error_bound: f64,
    /// How it was computed.
    pub method: Method,
}

impl LogDeterminant {
    fn new(value: f64, error: f64, method: Method) -> Self {
        Self {
            value,
            // The last term stands for the logarithms and the rounding of the result.
            relative_error_bound: if value > 0.0 {
                error / value + 4.0 * UNIT_ROUNDOFF
            } else {
                0.0
            },
            method,
        }
    }
}

/// A matrix that was checked, and its entries divided by a power of two so that they are at most 1.
/// Preparing tokens once serves all heads; preparing bases once serves all tokens.
#[derive(Debug, Clone)]
pub struct Prepared {
    unit: Array2<f64>,
    exponent: i32,
    /// Frobenius norm of `unit`.
    size: f64,
}

impl Prepared {
    /// Of a matrix of any shape but empty. `name` is what an error message calls it.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is empty, [`Error::Domain`] if an entry is NaN or infinite.
    pub fn new(name: &str, matrix: ArrayView2<'_, f64>) -> Result<Self> {
        Self::of(name, matrix.to_owned())
    }

    /// [`Self::new`] of a matrix, of any shape but empty, that nobody else needs: it is scaled in place.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is empty, [`Error::Domain`] if an entry is NaN or infinite.
    pub fn of(name: &str, matrix: Array2<f64>) -> Result<Self> {
        if matrix.is_empty() {
            return Err(Error::shape(
                name,
                "at least one row and one column",
                format!("{:?}", matrix.dim()),
                "pass a matrix that holds something",
            ));
        }
        let largest = match matrix.as_slice_memory_order() {
            Some(entries) => largest_size(entries),
            None => largest_size(&matrix.iter().copied().collect::<Vec<_>>()),
        };
        if !largest.is_finite() {
            let found = matrix.indexed_iter().find(|(_, v)| !v.is_finite());
            let (position, value) = found.unwrap_or(((0, 0), &largest));
            return Err(Error::domain(
                name,
                "finite numbers",
                format!("{value} at {position:?}"),
                "find out where it comes from",
            ));
        }
        let exponent = if largest == 0.0 { 0 } else { split(largest).1 };
        let unit = scaled(matrix, -exponent);
        Ok(Self {
            size: frobenius(unit.view()),
            unit,
            exponent,
        })
    }

    /// Rows and columns.
    pub fn dim(&self) -> (usize, usize) {
        self.unit.dim()
    }
}

/// `B = sqrt(f / N) / eps * X` for `X = Z` (then `f = d`) or `X = U^T Z` (then `f = p`), so that
/// `1/2 logdet(I + B^T B)` is a coding rate.
#[derive(Debug, Clone)]
pub struct ScaledTokens<'a> {
    tokens: &'a Prepared,
    basis: Option<&'a Prepared>,
    epsilon: f64,
    /// `U^T Z` of the two units, where there is a basis.
    product: Option<Array2<f64>>,
    /// `B = factor * (product or tokens) * 2^exponent`, entries of the first two together up to
    /// about 1.
    factor: f64,
    exponent: i32,
    /// Bound on the Frobenius norm of what rounding the product changes in `B * 2^-exponent`.
    rounding: f64,
}

impl<'a> ScaledTokens<'a> {
    /// `B` for the tokens, or for their projection where there is a basis; `epsilon` in the units of the tokens.
    ///
    /// # Shapes
    /// tokens (d, N), basis (d, p).
    ///
    /// # Errors
    /// [`Error::Shape`] if the basis does not fit; [`Error::Domain`] if `epsilon` is not positive
    /// and finite, or `B` has entries over `2^1000`.
    pub fn new(tokens: &'a Prepared, basis: Option<&'a Prepared>, epsilon: f64) -> Result<Self> {
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(Error::domain(
                "epsilon",
                "a finite number > 0",
                epsilon.to_string(),
                "give a positive precision",
            ));
        }
        let (d, count) = tokens.dim();
        if let Some(basis) = basis.filter(|basis| basis.dim().0 != d) {
            return Err(Error::shape(
                "basis",
                format!("({d}, p)"),
                format!("{:?}", basis.dim()),
                "give a basis (d, p) for tokens (d, N)",
            ));
        }
        let features = basis.map_or(d, |basis| basis.dim().1);
        let mut b = Self {
            tokens,
            basis,
            epsilon,
            product: None,
            factor: 1.0,
            exponent: 0,
            rounding: 0.0,
        };
        if tokens.size == 0.0 || basis.is_some_and(|basis| basis.size == 0.0) {
            b.product = Some(Array2::zeros((features, count)));
            return Ok(b);
        }
        let (factor, factor_exponent) = b.factor();
        // Entries of U^T Z are sums of d products, each at most 1 after scaling.
        let room = if basis.is_some() {
            split(d as f64).1
        } else {
            0
        };
        b.exponent = tokens.exponent + basis.map_or(0, |basis| basis.exponent);
        b.exponent += factor_exponent + room;
        if b.exponent > 1000 {
            return Err(Error::domain(
                "tokens",
                "entries / epsilon up to 2^1000",
                format!("about 2^{}", b.exponent),
                "measure tokens and epsilon in a larger unit",
            ));
        }
        b.factor = factor.to_f64() * 2.0f64.powi(-room);
        if let Some(basis) = basis {
            let mut product = Array2::zeros((features, count));
            for (u, z) in basis
                .unit
                .axis_chunks_iter(Axis(0), BLOCK)
                .zip(tokens.unit.axis_chunks_iter(Axis(0), BLOCK))
            {
                general_mat_mul(1.0, &u.t(), &z, 1.0, &mut product);
            }
            b.product = Some(product);
            // Sums of BLOCK products, then of one number per block; each entry of |U|^T |Z| is
            // at most |u| |z|.
            let terms = BLOCK + d.div_ceil(BLOCK);
            b.rounding = terms as f64 * UNIT_ROUNDOFF * b.factor * basis.size * tokens.size;
        }
        Ok(b)
    }

    /// `sqrt(f / N) / eps` as a number in [1/4, 2) times a power of two.
    fn factor(&self) -> (DoubleDouble, i32) {
        let (d, tokens) = self.tokens.dim();
        let features = self.basis.map_or(d, |basis| basis.dim().1);
        let (ratio_scale, epsilon_scale) = (
            split(features as f64 / tokens as f64).1 / 2,
            split(self.epsilon).1,
        );
        let ratio = DoubleDouble::of(features as f64) / DoubleDouble::of(tokens as f64);
        let root = ratio.root().times_power_of_two(2.0f64.powi(-ratio_scale));
        let epsilon = DoubleDouble::of(scale(self.epsilon, -epsilon_scale));
        // root is in [1/2, sqrt 2) and epsilon in [1/2, 1).
        let factor = (root / epsilon).times_power_of_two(0.25);
        (factor, ratio_scale - epsilon_scale + 2)
    }

    /// `sqrt(f / N) / eps`, the factor between `B` and the tokens; `f` is `p` where there is a basis, else `d`.
    pub fn multiplier(&self) -> f64 {
        let (factor, exponent) = self.factor();
        scale(factor.to_f64(), exponent)
    }

    /// `B` without its factors, in doubles.
    fn numbers(&self) -> ArrayView2<'_, f64> {
        self.product.as_ref().unwrap_or(&self.tokens.unit).view()
    }

    /// `B * 2^-exponent` in 32 digits.
    fn precise(&self) -> Array2<DoubleDouble> {
        let (factor, factor_exponent) = self.factor();
        let basis_exponent = self.basis.map_or(0, |basis| basis.exponent);
        let shift = self.tokens.exponent + basis_exponent + factor_exponent - self.exponent;
        let factor = factor.times_power_of_two(2.0f64.powi(shift));
        let tokens = self.tokens.unit.mapv(DoubleDouble::of);
        let Some(basis) = self.basis else {
            return tokens.mapv(|z| z * factor);
        };
        let basis = basis.unit.mapv(DoubleDouble::of);
        Array2::from_shape_fn(self.numbers().dim(), |(i, j)| {
            let pairs = basis.column(i).into_iter().zip(tokens.column(j));
            let sum = pairs.fold(DoubleDouble::of(0.0), |sum, (u, z)| sum + *u * *z);
            sum * factor
        })
    }
}

/// `matrix * 2^exponent`.
fn scaled(mut matrix: Array2<f64>, exponent: i32) -> Array2<f64> {
    if exponent.abs() > 1000 {
        matrix.mapv_inplace(|v| scale(v, exponent));
        matrix
    } else if exponent != 0 {
        times(matrix, 2.0f64.powi(exponent))
    } else {
        matrix
    }
}

/// `matrix * factor`.
fn times(mut matrix: Array2<f64>, factor: f64) -> Array2<f64> {
    match matrix.as_slice_memory_order_mut() {
        Some(entries) => gram::scale(entries, factor),
        None => matrix *= factor,
    }
    matrix
}

/// Frobenius norm; the plain sum of squares where nothing under- or overflows.
fn frobenius(matrix: ArrayView2<'_, f64>) -> f64 {
    let entries = || matrix.iter().copied().collect::<Vec<f64>>();
    let plain = match matrix.as_slice_memory_order() {
        Some(entries) => sum_of_squares(entries),
        None => sum_of_squares(&entries()),
    };
    if (1e-200..1e200).contains(&plain) {
        return plain.sqrt();
    }
    norm(&entries())
}

/// `1/2 logdet(I + B^T B)`, nats, with a bound on its error: see the module's documentation for the ways.
///
/// # Example
/// `B = Z` for two tokens of width 2 and `epsilon = 1`: `I + Z Z^T = [[3, 1], [1, 2]]` has the determinant 5.
/// ```
/// use ndarray::array;
/// use whitebox::exact::log_determinant::{half_log_determinant, Prepared, ScaledTokens};
///
/// let z = Prepared::new("tokens", array![[1.0, 1.0], [0.0, 1.0]].view())?;
/// let found = half_log_determinant(&ScaledTokens::new(&z, None, 1.0)?)?;
/// assert!((found.value - 0.5 * 5f64.ln()).abs() <= found.relative_error_bound * found.value);
/// assert!(found.relative_error_bound < 5e-13);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails on what is a positive definite matrix; [`Error::Size`] for a matrix too large for
/// BLAS.
pub fn half_log_determinant(b: &ScaledTokens<'_>) -> Result<LogDeterminant> {
    Ok(solve(b, false)?.0)
}

/// `1/2 logdet(I + B^T B)` in nats, and the resolvent `(I + B B^T)^{-1} B = B (I + B^T B)^{-1}`: the gradient of the
/// value with respect to `B`, in `B`'s own shape.
///
/// # Example
/// `I + B B^T = [[3, 1], [1, 2]]` has the inverse `[[2, -1], [-1, 3]] / 5`; that times `B` is `[[2, 1], [-1, 2]] / 5`.
/// ```
/// use ndarray::array;
/// use whitebox::exact::log_determinant::{half_log_determinant_with_gradient, Prepared, ScaledTokens};
///
/// let z = Prepared::new("tokens", array![[1.0, 1.0], [0.0, 1.0]].view())?;
/// let (_, gradient) = half_log_determinant_with_gradient(&ScaledTokens::new(&z, None, 1.0)?)?;
/// let exact = array![[2.0, 1.0], [-1.0, 2.0]] / 5.0;
/// assert!((gradient - exact).iter().all(|v| v.abs() < 1e-15));
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// [`Error::Lapack`] if LAPACK fails on what is a positive definite matrix; [`Error::Size`] for a matrix too large for
/// BLAS.
pub fn half_log_determinant_with_gradient(
    b: &ScaledTokens<'_>,
) -> Result<(LogDeterminant, Array2<f64>)> {
    let (value, resolvent) = solve(b, true)?;
    // `solve` returns a resolvent whenever it is asked to.
    let resolvent = resolvent.unwrap_or_else(|| Array2::zeros(b.numbers().dim()));
    Ok((value, resolvent))
}

type Solution = (LogDeterminant, Option<Array2<f64>>);

fn solve(b: &ScaledTokens<'_>, gradient: bool) -> Result<Solution> {
    // Both sides give the same determinant: work on the one with the fewer columns.
    let numbers = b.numbers();
    let wide = numbers.nrows() < numbers.ncols();
    let orient = |m: Array2<f64>| if wide { m.reversed_axes() } else { m };
    let within = |solution: &Solution| solution.0.relative_error_bound <= TOLERANCE;
    let tall = Tall {
        size: match &b.product {
            Some(product) => frobenius(product.view()),
            None => b.tokens.size,
        },
        numbers: if wide {
            numbers.reversed_axes()
        } else {
            numbers
        },
        factor: b.factor,
        exponent: b.exponent,
    };
    let mut solution = in_doubles(tall, b.rounding, gradient)?;
    if !within(&solution) {
        let precise = b.precise();
        if b.basis.is_some() {
            let tall = orient(precise.mapv(Number::to_f64));
            let tall = Tall {
                size: frobenius(tall.view()),
                numbers: tall.view(),
                factor: 1.0,
                exponent: b.exponent,
            };
            solution = in_doubles(tall, 0.0, gradient)?;
        }
        if !within(&solution) {
            let tall = if wide { precise.t() } else { precise.view() };
            solution = rowwise_qr(tall, b.exponent, 0.0, gradient, Method::DoubleDoubleQr);
        }
    }
    let (value, resolvent) = solution;
    Ok((value, resolvent.map(orient)))
}

/// `B = factor * numbers * 2^exponent`, with at least as many rows as columns.
#[derive(Debug, Clone, Copy)]
struct Tall<'a> {
    numbers: ArrayView2<'a, f64>,
    /// Frobenius norm of `numbers`.
    size: f64,
    factor: f64,
    exponent: i32,
}

impl Tall<'_> {
    /// `B * 2^-exponent`.
    fn mantissa(&self) -> Array2<f64> {
        times(self.numbers.to_owned(), self.factor)
    }

    /// `B`.
    fn plain(&self) -> Array2<f64> {
        scaled(self.mantissa(), self.exponent)
    }
}

/// Ways 1 to 4, for a `B` whose rounding has a Frobenius norm of up to `rounding * 2^exponent`.
fn in_doubles(tall: Tall<'_>, rounding: f64, gradient: bool) -> Result<Solution> {
    let (m, n) = tall.numbers.dim();
    let exponent = tall.exponent;
    let size = scale(tall.size * tall.factor, exponent);
    let b_rounding = scale(rounding, exponent);
    if size < 2.0f64.powi(-30) {
        let value = 0.5 * size * size;
        let error = (m * n + 4) as f64 * UNIT_ROUNDOFF * value + size * b_rounding;
        let value = LogDeterminant::new(value, error, Method::Series);
        return Ok((value, gradient.then(|| tall.plain())));
    }
    // Squares of entries must neither overflow nor be lost where they matter.
    if size < 1e70 {
        // The factor enters after the products: B^T B is rounded no more than by rounding B first.
        let gram = times(gram(tall.numbers)?, tall.factor * tall.factor);
        let mut a = scaled(gram, 2 * exponent);
        if size <= 1.0 {
            let value = shifted_cholesky(&a, m, size * b_rounding + b_rounding * b_rounding);
            let resolvent = if gradient {
                a.diag_mut().mapv_inplace(|g| g + 1.0);
                Some(resolvent(&factor(a)?, &tall.plain())?)
            } else {
                None
            };
            return Ok((value, resolvent));
        }
        a.diag_mut().mapv_inplace(|g| g + 1.0);
        if let Some((value, factor)) = certified_cholesky(a, m, b_rounding)? {
            let resolvent = if gradient {
                Some(resolvent(&factor, &tall.plain())?)
            } else {
                None
            };
            return Ok((value, resolvent));
        }
    }
    let mantissa = tall.mantissa();
    Ok(rowwise_qr(
        mantissa.view(),
        exponent,
        rounding,
        gradient,
        Method::RowwiseQr,
    ))
}

type Factor = CholeskyFactorized<ndarray::OwnedRepr<f64>>;

/// `A = L L^T`; what stands above the diagonal of the result is not part of it.
fn factor(a: Array2<f64>) -> Result<Factor> {
    single_threaded_blas();
    let shape = format!("{} x {}", a.nrows(), a.ncols());
    let failed = |message: String| Error::Lapack {
        operation: "Cholesky factorisation",
        shape,
        message,
    };
    let layout = match a.square_layout() {
        Ok(layout) => layout,
        Err(e) => return Err(failed(e.to_string())),
    };
    let mut factor = a;
    let Some(numbers) = factor.as_slice_memory_order_mut() else {
        return Err(failed("it is not stored in one piece".into()));
    };
    let uplo = UPLO::Lower;
    f64::cholesky(layout, uplo, numbers).map_err(|e| failed(e.to_string()))?;
    Ok(CholeskyFactorized { factor, uplo })
}

fn inverse(factor: &Factor) -> Result<Array2<f64>> {
    factor.invc().map_err(|e| Error::Lapack {
        operation: "Cholesky inverse",
        shape: format!("{0} x {0}", factor.factor.nrows()),
        message: e.to_string(),
    })
}

/// `B A^{-1}`.
fn resolvent(factor: &Factor, b: &Array2<f64>) -> Result<Array2<f64>> {
    Ok(b.dot(&inverse(factor)?))
}

/// Way 2: `gram` is `G`, and `rounding` what the rounding of `B` can change.
fn shifted_cholesky(gram: &Array2<f64>, m: usize, rounding: f64) -> LogDeterminant {
    let n = gram.nrows();
    let mut reduced = gram.clone();
    let mut value = 0.0;
    let mut spread = 0.0;
    for j in 0..n {
        let excess = reduced[(j, j)].max(0.0);
        value += 0.5 * excess.ln_1p();
        spread += gram[(j, j)].max(0.0).sqrt();
        let pivot_row = reduced.row(j).to_owned();
        for i in j + 1..n {
            let multiplier = pivot_row[i] / (1.0 + excess);
            for k in j + 1..n {
                reduced[(i, k)] -= multiplier * pivot_row[k];
            }
        }
    }
    // 1/2 sum_ij |A^-1_ij| |dG_ij| with |A^-1_ij| <= 1 and |dG_ij| <= c u sqrt(G_ii G_jj).
    let error = 0.5 * (m + 3 * n + 10) as f64 * UNIT_ROUNDOFF * spread * spread + rounding;
    LogDeterminant::new(value, error, Method::ShiftedCholesky)
}

/// Way 3, or `None` where its error cannot be shown to be small.
fn certified_cholesky(
    a: Array2<f64>,
    m: usize,
    rounding: f64,
) -> Result<Option<(LogDeterminant, Factor)>> {
    let n = a.nrows();
    let diagonal: Vec<f64> = a.diag().iter().map(|x| x.sqrt()).collect();
    let Ok(factor) = factor(a) else {
        // Rounding made the matrix indefinite: exactly what the other way is for.
        return Ok(None);
    };
    let value = 0.5 * factor.ln_detc();
    let constant = 0.5 * (m + n + 10) as f64 * UNIT_ROUNDOFF;
    let logarithms = n as f64 * UNIT_ROUNDOFF * value;
    let certify = |sum: f64, resolvent_square: f64| {
        let of_b = (resolvent_square.sqrt() + rounding) * rounding;
        let error = constant * sum + of_b + logarithms;
        let found = LogDeterminant::new(value, error, Method::Cholesky);
        (found.relative_error_bound <= TOLERANCE).then_some(found)
    };
    let spread: f64 = diagonal.iter().sum();
    let quarter = n as f64 / 4.0;
    if let Some(found) = certify(spread * spread, quarter) {
        return Ok(Some((found, factor)));
    }
    let (sum, resolvent_square) = match factor.factor.t().to_slice() {
        Some(by_column) if n <= SMALL => sums_over_inverse(by_column, &diagonal),
        _ => {
            let inverse = inverse(&factor)?;
            let d = ArrayView1::from(&diagonal);
            let squares = frobenius(inverse.view()).powi(2);
            let trace = inverse.diag().sum() - squares;
            (d.dot(&inverse.mapv_into(f64::abs).dot(&d)), trace)
        }
    };
    // The difference may come out slightly negative; n u covers its own rounding.
    let resolvent_square = resolvent_square.max(0.0) + n as f64 * UNIT_ROUNDOFF;
    Ok(certify(sum, resolvent_square.min(quarter)).map(|found| (found, factor)))
}

/// Ways 4 and 5.
fn rowwise_qr<T: Number>(
    tall: ArrayView2<'_, T>,
    exponent: i32,
    rounding: f64,
    gradient: bool,
    method: Method,
) -> Solution {
    let (m, n) = tall.dim();
    // Entries up to 1: B and I are both divided by 2^exponent where that is positive.
    let lift = exponent.max(0);
    let lowered = 2.0f64.powi(-lift);
    let plain = if exponent < lift {
        // Numbers of 32 digits far below 1 are below anything that I leaves visible.
        let power = 2.0f64.powi(exponent.max(-1000));
        tall.mapv(|v| v.times_power_of_two(power))
    } else {
        tall.to_owned()
    };
    let mut stacked = Array2::from_elem((m + n, n), T::of(0.0));
    stacked.slice_mut(s![..m, ..]).assign(&plain);
    for j in 0..n {
        stacked[(m + j, j)] = T::of(lowered);
    }
    let qr = RowwiseQr::new(stacked.view());
    let value = qr.ln_abs_det(2.0f64.powi(lift)).max(0.0);
    let (inverse, sensitivity) = qr.pseudo_inverse();
    // M^+ = (I + B^T B)^{-1} [B^T, I]: its first m columns are the transposed resolvent.
    let resolvent = inverse.slice(s![.., ..m]).t().mapv(|v| v * lowered);
    let constant = (m + 2 * n) as f64 * T::UNIT_ROUNDOFF;
    let error = constant * (sensitivity.first_order + constant * sensitivity.second_order)
        + (frobenius(resolvent.view()) + rounding) * rounding;
    let value = LogDeterminant::new(value, error, method);
    let resolvent = gradient.then_some(resolvent);
    (value, resolvent)
}

/// `x = mantissa 2^exponent` with the mantissa in [1/2, 1), for finite `x > 0`.
fn split(x: f64) -> (f64, i32) {
    // Subnormal numbers are first made normal.
    let (x, shift) = if x < f64::MIN_POSITIVE {
        (x * 2.0f64.powi(60), -60)
    } else {
        (x, 0)
    };
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1022;
    let mantissa = f64::from_bits((x.to_bits() & !(0x7ff << 52)) | (1022 << 52));
    (mantissa, exponent + shift)
}

/// `x 2^exponent`, rounded once where the result is subnormal, infinite where it overflows.
fn scale(x: f64, exponent: i32) -> f64 {
    // Two factors reach every exponent that matters; the halves keep intermediate results normal.
    let exponent = exponent.clamp(-2000, 2000);
    if exponent.abs() <= 1000 {
        return x * 2.0f64.powi(exponent);
    }
    let half = exponent / 2;
    x * 2.0f64.powi(half) * 2.0f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn value(matrix: ArrayView2<'_, f64>) -> LogDeterminant {
        let prepared = Prepared::new("b", matrix).unwrap();
        half_log_determinant(&ScaledTokens::new(&prepared, None, 1.0).unwrap()).unwrap()
    }

    #[test]
    fn a_single_number_gives_half_log1p_of_its_square_by_every_method() {
        for (x, method) in [
            (1e-20, Method::Series),
            (1e-3, Method::ShiftedCholesky),
            (0.9, Method::ShiftedCholesky),
            (3.0, Method::Cholesky),
            (1e100, Method::RowwiseQr),
        ] {
            let found = value(array![[x]].view());
            let exact = if x > 1e10 {
                f64::ln(x)
            } else {
                0.5 * (x * x).ln_1p()
            };
            assert_eq!(found.method, method, "{x}");
            assert!(
                (found.value - exact).abs() <= 4e-16 * exact,
                "{x}: {found:?}"
            );
        }
    }

    #[test]
    fn the_zero_matrix_has_value_zero_and_gradient_zero() {
        let zeros = Array2::zeros((3, 5));
        let prepared = Prepared::new("b", zeros.view()).unwrap();
        let b = ScaledTokens::new(&prepared, None, 1.0).unwrap();
        let (value, gradient) = half_log_determinant_with_gradient(&b).unwrap();
        assert_eq!((value.value, value.relative_error_bound), (0.0, 0.0));
        assert_eq!(gradient, Array2::<f64>::zeros((3, 5)));
    }

    #[test]
    fn splitting_and_scaling_undo_each_other_down_to_the_smallest_number() {
        for x in [5e-324, 1e-310, 1e-160, 0.1, 1.0, 1.5, 1e150, f64::MAX] {
            let (mantissa, exponent) = split(x);
            assert!((0.5..1.0).contains(&mantissa), "{x}");
            assert_eq!(scale(mantissa, exponent), x);
        }
    }

    #[test]
    fn input_that_has_no_rate_is_refused_by_position() {
        let refused = |matrix: Array2<f64>, epsilon: f64| {
            let error = match Prepared::new("tokens", matrix.view()) {
                Ok(prepared) => ScaledTokens::new(&prepared, None, epsilon).err(),
                Err(error) => Some(error),
            };
            error.unwrap().to_string()
        };
        assert!(refused(array![[1.0, f64::NAN]], 1.0).contains("NaN at (0, 1)"));
        assert!(refused(array![[f64::INFINITY]], 1.0).contains("inf at (0, 0)"));
        assert!(refused(array![[1.0]], 0.0).contains("epsilon"));
        assert!(refused(array![[1.0]], -1.0).contains("-1"));
        assert!(refused(array![[1.0]], f64::NAN).contains("NaN"));
        assert!(refused(array![[1e300]], 1e-100).contains("2^"));
    }
}
