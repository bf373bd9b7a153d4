//! Loops written so that the compiler vectorises them. Floating-point sums are not associative, so
//! the compiler may not reorder a plain sum: these keep [`LANES`] partial sums, in a fixed order.

use crate::vectorised::vectorised;

/// Partial sums kept by a reduction: two AVX2 registers.
pub const LANES: usize = 16;

vectorised! {
    /// `sum_i x_i`.
    pub fn sum(x: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value;
            }
        }
        fold(lanes, rest.iter().copied())
    }
}

vectorised! {
    /// `sum_i x_i y_i`.
    pub fn dot(x: &[f32], y: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
        let rest = xs.remainder().iter().zip(ys.remainder());
        for (x, y) in xs.zip(ys) {
            for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
                *lane += x * y;
            }
        }
        fold(lanes, rest.map(|(x, y)| x * y))
    }
}

vectorised! {
    /// `sum_i (x_i - centre)^2`.
    pub fn squared_distance(x: &[f32], centre: f32) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += (value - centre) * (value - centre);
            }
        }
        fold(lanes, rest.iter().map(|v| (v - centre) * (v - centre)))
    }
}

vectorised! {
    /// `y += x`.
    pub fn add_to(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

vectorised! {
    /// `sum <- a + b`.
    pub fn sum_into(sum: &mut [f32], a: &[f32], b: &[f32]) {
        for (sum, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
            *sum = a + b;
        }
    }
}

vectorised! {
    /// `row <- softmax(scale row)`: `exp(scale (x - max x)) / sum`, for rows of any size. A NaN
    /// anywhere makes the whole row NaN.
    pub fn softmax(row: &mut [f32], scale: f32) {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        let chunks = row.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &value) in lanes.iter_mut().zip(chunk) {
                *lane = lane.max(value);
            }
        }
        let largest = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        for value in row.iter_mut() {
            *value = exponential((*value - largest) * scale);
        }
        let mut lanes = [0.0f32; LANES];
        let chunks = row.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value;
            }
        }
        let factor = 1.0 / fold(lanes, rest.iter().copied());
        for value in row.iter_mut() {
            *value *= factor;
        }
    }
}

/// Adds up partial sums and what did not fill them, in a fixed order.
#[inline(always)]
fn fold(lanes: [f32; LANES], rest: impl Iterator<Item = f32>) -> f32 {
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for value in rest {
        total += value;
    }
    total
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
    let k = (bounded * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (bounded - k * LN2_HIGH) - k * LN2_LOW;
    let mut polynomial = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        polynomial = polynomial * r + coefficient;
    }
    // Casting a NaN gives 0, and the product keeps the NaN of the polynomial.
    let power = f32::from_bits(((k as i32 + 127) << 23) as u32);
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
    fn softmax_rows_sum_to_one_and_survive_large_scores() {
        for length in [1, 2, 15, 16, 17, 50, 197] {
            let mut row: Vec<f32> = (0..length).map(|i| 1e4 * (i as f32).sin()).collect();
            softmax(&mut row, 0.125);
            assert!((sum(&row) - 1.0).abs() < 1e-5);
        }
        let mut row = vec![0.0; 40];
        row[33] = f32::NAN;
        softmax(&mut row, 1.0);
        assert!(row.iter().all(|v| v.is_nan()));
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
