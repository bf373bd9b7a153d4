//! Loops written so that the compiler vectorises them. Floating-point sums are not associative, so
//! the compiler may not reorder a plain sum: these keep [`LANES`] partial sums, in a fixed order.
//!
//! [`sum`], [`dot`] and the other functions of one row are inlined into loops over many, which
//! [`vectorised`](crate::vectorised) compiles for what the processor has.

use crate::vectorised::vectorised;

/// Partial sums kept by a reduction: two AVX-512 registers, or four of AVX2.
pub const LANES: usize = 32;

/// `sum_i f(x_i, y_i)` for `x` and `y` of one length.
#[inline(always)]
fn reduce(x: &[f32], y: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder());
    for (x, y) in xs.zip(ys) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane = f(*lane, *x, *y);
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(rest) {
        *lane = f(*lane, *x, *y);
    }
    total(lanes)
}

/// One number of many, always in the same order.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for index in 0..half {
            lanes[index] = f(lanes[index], lanes[index + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of all partial sums.
#[inline(always)]
pub fn total(lanes: [f32; LANES]) -> f32 {
    fold(lanes, |a, b| a + b)
}

/// `sum_i x_i`.
#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    reduce(x, x, |sum, x, _| sum + x)
}

/// `sum_i x_i y_i` for `x` and `y` of one length.
#[inline(always)]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    reduce(x, y, |sum, x, y| x.mul_add(y, sum))
}

/// `sum_i (x_i - centre)^2`.
#[inline(always)]
pub fn squared_distance(x: &[f32], centre: f32) -> f32 {
    reduce(x, x, |sum, x, _| (x - centre).mul_add(x - centre, sum))
}

/// The largest of `x`; minus infinity if there is none or all are NaN.
#[inline(always)]
pub fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = if value > *lane { value } else { *lane };
    }
    fold(lanes, |a, b| if b > a { b } else { a })
}

/// Turns the first `count` scores of a row into `exp(scale (x - max x))`, the rest, its padding, into zeros, and
/// returns the largest score and the sum: what a softmax is but for the division. A NaN anywhere makes the sum NaN.
///
/// # Panics
/// If the row is shorter than `count`.
#[inline(always)]
pub fn exponentials(row: &mut [f32], count: usize, scale: f32) -> (f32, f32) {
    row[count..].fill(f32::NEG_INFINITY);
    let largest = largest(row);
    for value in row.iter_mut() {
        *value = exponential((*value - largest) * scale);
    }
    row[count..].fill(0.0);
    (largest, sum(row))
}

vectorised! {
    /// `y += x`, both of one length.
    pub fn add_to(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

vectorised! {
    /// Adds the rows of `x`, (rows, width), to `y`, (width,), one after the other.
    ///
    /// # Panics
    /// If `y` is empty.
    pub fn add_rows_to(y: &mut [f32], x: &[f32]) {
        for x in x.chunks_exact(y.len()) {
            for (y, x) in y.iter_mut().zip(x) {
                *y += x;
            }
        }
    }
}

vectorised! {
    /// `sum <- x + bias`, the same for every row: sum and x (rows, width), bias (width,).
    ///
    /// # Panics
    /// If `bias` is empty.
    pub fn add_bias(sum: &mut [f32], x: &[f32], bias: &[f32]) {
        let rows = sum.chunks_exact_mut(bias.len()).zip(x.chunks_exact(bias.len()));
        for (sum, x) in rows {
            for (sum, (x, bias)) in sum.iter_mut().zip(x.iter().zip(bias)) {
                *sum = x + bias;
            }
        }
    }
}

/// `e^x` for `x <= 0`, relative error below 2.4e-7 (two units in the last place); for `x < -87` it is
/// `e^-87`, which a softmax cannot tell from zero. NaN stays NaN.
///
/// `e^x = 2^k e^r` with `k` the integer next to `x / ln 2`, so that `|r| <= ln 2 / 2`, where the
/// Taylor polynomial of degree 7 is exact to `r^8 / 8! < 6e-9`. `ln 2` is split in two so that
/// `k ln 2` is subtracted without rounding.
#[inline(always)]
pub fn exponential(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let bounded = if x < -87.0 { -87.0 } else { x };
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN2_LOW, k.mul_add(-LN2_HIGH, bounded));
    let mut polynomial: f32 = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        polynomial = polynomial.mul_add(r, coefficient);
    }
    // The last bits of `shifted` are those of `k`, and nine bits further up they are the exponent of a number. Those
    // of a NaN give any power of two, and the product keeps the NaN of the polynomial.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    polynomial * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_accurate_to_two_units_in_the_last_place() {
        for index in 0..870_000 {
            let x = -(index as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exponential(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}): relative error {error}");
        }
        assert!(exponential(f32::NAN).is_nan());
        assert!(exponential(f32::NEG_INFINITY) <= f32::MIN_POSITIVE * 2.0);
    }

    #[test]
    fn exponentials_of_large_scores_are_at_most_one_and_their_sum_tells_of_nan() {
        for length in [1, 2, 15, 16, 17, 50, 197] {
            let mut row: Vec<f32> = (0..length).map(|i| 1e4 * (i as f32).sin()).collect();
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (largest, total) = exponentials(&mut row, length, 0.125);
            assert_eq!(largest, most);
            assert!(row.iter().all(|v| (0.0..=1.0).contains(v)) && row.contains(&1.0));
            assert!(
                (f64::from(total) - row.iter().map(|&v| f64::from(v)).sum::<f64>()).abs() < 1e-4
            );
        }
        for place in [0, 33, 39] {
            let mut row = vec![0.0; 40];
            row[place] = f32::NAN;
            assert!(exponentials(&mut row, 40, 1.0).1.is_nan());
        }
    }

    #[test]
    fn sums_agree_with_f64() {
        let x: Vec<f32> = (0..103).map(|i| (i as f32 * 0.7).sin()).collect();
        let y: Vec<f32> = (0..103).map(|i| (i as f32 * 0.3).cos()).collect();
        let exact: f64 = x.iter().map(|&v| f64::from(v)).sum();
        assert!((f64::from(sum(&x)) - exact).abs() < 1e-5);
        let exact: f64 = x
            .iter()
            .zip(&y)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        assert!((f64::from(dot(&x, &y)) - exact).abs() < 1e-5);
        let exact: f64 = x.iter().map(|&a| (f64::from(a) - 0.5).powi(2)).sum();
        assert!((f64::from(squared_distance(&x, 0.5)) - exact).abs() < 1e-4);
    }
}
