//! Numbers of about 32 decimal digits as unevaluated sums of two doubles (Dekker 1971; Hida, Li and
//! Bailey 2001), and the few operations that a QR factorisation needs, for them and for f64.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// What the factorisation asks of its numbers.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// Largest relative error of one operation.
    const UNIT_ROUNDOFF: f64;
    /// `x`, exactly.
    fn of(x: f64) -> Self;
    /// The nearest f64.
    fn to_f64(self) -> f64;
    /// Square root of a number `>= 0`.
    fn root(self) -> Self;
    /// Multiplied by a power of two: exact.
    fn times_power_of_two(self, power: f64) -> Self;
    /// Natural logarithm of the absolute value, rounded to f64, also next to 1.
    fn ln_abs(self) -> f64;
}

impl Number for f64 {
    const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;
    fn of(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn root(self) -> Self {
        self.sqrt()
    }
    fn times_power_of_two(self, power: f64) -> Self {
        self * power
    }
    fn ln_abs(self) -> f64 {
        self.abs().ln()
    }
}

/// `high + low`, with `low` at most half a unit in the last place of `high`: about 32 decimal digits.
///
/// # Example
/// A third three times, and what is lost beside 1 in doubles.
/// ```
/// use whitebox::exact::double_double::{DoubleDouble, Number};
///
/// let [one, three, tiny] = [1.0, 3.0, 1e-25].map(DoubleDouble::of);
/// assert!((one / three * three - one).to_f64().abs() < 1e-31);
/// assert!((one + tiny - one).to_f64() == 1e-25 && 1.0 + 1e-25 - 1.0 == 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubleDouble {
    high: f64,
    low: f64,
}

/// `a + b` exactly, as rounded sum and error.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// `a + b` exactly, as rounded sum and error, for `|a| >= |b|`.
fn renormalise(a: f64, b: f64) -> DoubleDouble {
    let high = a + b;
    DoubleDouble {
        high,
        low: b - (high - a),
    }
}

impl Add for DoubleDouble {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let (sum, error) = two_sum(self.high, other.high);
        let (low_sum, low_error) = two_sum(self.low, other.low);
        let first = renormalise(sum, error + low_sum);
        renormalise(first.high, first.low + low_error)
    }
}

impl Neg for DoubleDouble {
    type Output = Self;
    fn neg(self) -> Self {
        Self {
            high: -self.high,
            low: -self.low,
        }
    }
}

impl Sub for DoubleDouble {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for DoubleDouble {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let product = self.high * other.high;
        let error = self.high.mul_add(other.high, -product);
        renormalise(
            product,
            error + (self.high * other.low + self.low * other.high),
        )
    }
}

impl Div for DoubleDouble {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let first = self.high / other.high;
        let rest = self - other * Self::of(first);
        let second = rest.high / other.high;
        let rest = rest - other * Self::of(second);
        let third = rest.high / other.high;
        renormalise(first, second) + Self::of(third)
    }
}

impl Number for DoubleDouble {
    // 2^-106 per operation in theory; the sloppier steps above lose a few bits.
    const UNIT_ROUNDOFF: f64 = 1.0 / (1u128 << 102) as f64;
    fn of(x: f64) -> Self {
        Self { high: x, low: 0.0 }
    }
    fn to_f64(self) -> f64 {
        self.high + self.low
    }
    fn root(self) -> Self {
        if self.high <= 0.0 {
            return Self::of(0.0);
        }
        // One Newton step from the double's root doubles its digits.
        let root = self.high.sqrt();
        let rest = self - Self::of(root) * Self::of(root);
        renormalise(root, rest.high / (2.0 * root))
    }
    fn times_power_of_two(self, power: f64) -> Self {
        Self {
            high: self.high * power,
            low: self.low * power,
        }
    }
    fn ln_abs(self) -> f64 {
        let (high, low) = if self.high < 0.0 {
            (-self.high, -self.low)
        } else {
            (self.high, self.low)
        };
        if (0.5..2.0).contains(&high) {
            // high - 1 is exact here.
            ((high - 1.0) + low).ln_1p()
        } else {
            high.ln() + low / high
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_keep_the_digits_that_doubles_lose() {
        let third = DoubleDouble::of(1.0) / DoubleDouble::of(3.0);
        let rest = third * DoubleDouble::of(3.0) - DoubleDouble::of(1.0);
        assert!(rest.to_f64().abs() < 1e-31);
        let root = DoubleDouble::of(2.0).root();
        let rest = root * root - DoubleDouble::of(2.0);
        assert!(rest.to_f64().abs() < 1e-30);
        let tiny = DoubleDouble::of(1e-25);
        let sum = (DoubleDouble::of(1.0) + tiny) - DoubleDouble::of(1.0);
        assert!((sum.to_f64() - 1e-25).abs() < 1e-31);
        assert!(((DoubleDouble::of(1.0) + tiny).ln_abs() - 1e-25).abs() < 1e-31);
        assert_eq!((-DoubleDouble::of(3.0)).ln_abs(), 3f64.ln());
    }
}
