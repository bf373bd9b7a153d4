//! The linear probe (C-MAE-02): multinomial logistic regression on features that stay as they are, solved to its
//! optimum, so that features are compared and not the courses of trainings.
//!
//! The objective is convex. L-BFGS (Nocedal 1980) minimises it, with steps that satisfy the strong Wolfe conditions,
//! found by bisection.

use std::collections::VecDeque;
use std::ops::Range;

use ndarray::{s, Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::exact::linear::{frobenius, inner};
use crate::exact::single_threaded_blas;
use crate::train::score::rank;

/// Rows per piece of the sums.
const PIECE: usize = 512;

/// Steps that L-BFGS remembers.
const MEMORY: usize = 10;

/// Iterations after which a fit ends whatever the gradient.
const MOST_ITERATIONS: usize = 500;

/// Length of the gradient at which it ends.
const TOLERANCE: f64 = 1e-6;

/// Trials of a length of a step: so many halvings leave nothing of it.
const TRIALS: usize = 60;

/// Share of the first-order decrease that a step has to make.
const DECREASE: f64 = 1e-4;

/// Share of the slope that it may leave, of either sign.
const CURVATURE: f64 = 0.9;

/// Rise of the objective that counts as none: near the optimum the decrease of a good step is below the rounding of a
/// mean of logarithms.
const ROUNDING: f64 = 1e-13;

/// A linear classifier on features.
#[derive(Debug, Clone)]
pub struct Probe {
    standardisation: Standardisation,
    /// Shape (d + 1, classes): `W^T`, and `b` in the last row.
    weights: Array2<f64>,
    /// Iterations of L-BFGS, at most 500.
    pub iterations: usize,
    /// Length of the objective's gradient where they ended: above 1e-6 if there were not enough of them, or rounding
    /// left nothing to descend.
    pub gradient_norm: f64,
    /// The objective there, in nats: mean cross-entropy and ridge.
    pub objective: f64,
}

impl Probe {
    /// The classifier `softmax(W x + b)` whose `W` and `b` minimise
    ///
    /// `-1/n sum_i ln softmax(W x_i + b)_{y_i} + r/2 |W|_F^2`,
    ///
    /// `x_i` features brought to mean 0 and deviation 1 (divisor n); a feature that is constant is left out, at 0. The
    /// result does not depend on the number of threads of the rayon pool that this is called in.
    ///
    /// # Shapes
    /// features (n, d), a label below `classes` for every row. `ridge` is `r`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no features, or not as many rows as labels; [`Error::Domain`] for a feature that
    /// is not finite, a label that is no class, a ridge that is negative or not finite.
    pub fn fit(
        features: ArrayView2<'_, f64>,
        labels: &[usize],
        classes: usize,
        ridge: f64,
    ) -> Result<Self> {
        single_threaded_blas();
        check(features, labels, classes)?;
        if !ridge.is_finite() || ridge < 0.0 {
            return Err(Error::domain(
                "ridge",
                "a finite number >= 0",
                ridge.to_string(),
                "give a weight to |W|^2 that is not negative",
            ));
        }
        let standardisation = Standardisation::of(features);
        let objective = Objective {
            design: standardisation.design(features),
            labels,
            ridge,
        };
        let mut point = objective.at(Array2::zeros((features.ncols() + 1, classes)));
        let mut memory = Memory::default();
        let mut iterations = 0;
        while iterations < MOST_ITERATIONS && point.gradient_norm() > TOLERANCE {
            let direction = memory.direction(&point.gradient);
            let Some(next) = objective.search(&point, &direction) else {
                break;
            };
            memory.remember(&point, &next);
            point = next;
            iterations += 1;
        }
        Ok(Self {
            standardisation,
            iterations,
            gradient_norm: point.gradient_norm(),
            objective: point.value,
            weights: point.weights,
        })
    }

    /// The share of rows whose score `W x + b` is largest for their label; see [`rank`] for equal scores. Features are
    /// standardised as those of the fit were.
    ///
    /// # Shapes
    /// features (n, d), a label for every row.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no features, not as many rows as labels, or another width than the fit had;
    /// [`Error::Domain`] for a feature that is not finite or a label that is no class of the fit.
    pub fn accuracy(&self, features: ArrayView2<'_, f64>, labels: &[usize]) -> Result<f64> {
        single_threaded_blas();
        check(features, labels, self.weights.ncols())?;
        let d = self.weights.nrows() - 1;
        if features.ncols() != d {
            return Err(Error::shape(
                "features",
                format!("(n, {d})"),
                format!("{:?}", features.dim()),
                "pass the features that the probe was fitted to",
            ));
        }
        let correct = |range: Range<usize>| {
            let rows = features.slice(s![range.clone(), ..]);
            let scores = self.standardisation.design(rows).dot(&self.weights);
            let rows = labels[range].iter().zip(scores.rows());
            rows.filter(|(label, scores)| rank(&scores.to_vec(), **label) == 0)
                .count()
        };
        let correct: usize = pieces(labels.len()).map(correct).sum();
        Ok(correct as f64 / labels.len() as f64)
    }
}

/// The ranges of rows that are worked on together: those of the last piece may be fewer.
fn pieces(count: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    let pieces = (0..count.div_ceil(PIECE)).into_par_iter();
    pieces.map(move |piece| piece * PIECE..count.min((piece + 1) * PIECE))
}

/// Refuses features and labels of which nothing can be made.
fn check(features: ArrayView2<'_, f64>, labels: &[usize], classes: usize) -> Result<()> {
    if features.is_empty() || features.nrows() != labels.len() {
        return Err(Error::shape(
            "features",
            format!("({}, d) without a 0", labels.len()),
            format!("{:?}", features.dim()),
            "pass one row of features for every label",
        ));
    }
    if let Some((position, value)) = features.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::domain(
            "features",
            "finite numbers",
            format!("{value} at {position:?}"),
            "find out where it comes from",
        ));
    }
    let foreign = labels.iter().position(|&label| label >= classes);
    if let Some(row) = foreign {
        return Err(Error::domain(
            "labels",
            format!("classes below {classes}"),
            format!("{} in row {row}", labels[row]),
            "give the number of classes of the data",
        ));
    }
    Ok(())
}

/// Brings features to mean 0 and deviation 1 over the rows that it was made of.
#[derive(Debug, Clone)]
struct Standardisation {
    mean: Array1<f64>,
    /// One over the deviation; 0 for a feature that is constant.
    scale: Array1<f64>,
}

impl Standardisation {
    /// Of (n, d), `n > 0`.
    fn of(features: ArrayView2<'_, f64>) -> Self {
        let count = features.nrows() as f64;
        // Sums of differences from the first row: those of a constant feature are exactly 0, as rounding would not have
        // it otherwise, and a large mean costs no digits.
        let first = features.row(0);
        let mut offset = Array1::<f64>::zeros(features.ncols());
        for row in features.rows() {
            offset += &(&row - &first);
        }
        let mean = &first + &(offset / count);
        let mut squares = Array1::<f64>::zeros(features.ncols());
        for row in features.rows() {
            squares += &(&row - &mean).mapv(|v| v * v);
        }
        let scale = squares.mapv(|sum| match sum > 0.0 {
            true => (sum / count).sqrt().recip(),
            false => 0.0,
        });
        Self { mean, scale }
    }

    /// Standardised features with a one at the end of every row, for the bias: (n, d) to (n, d + 1).
    fn design(&self, features: ArrayView2<'_, f64>) -> Array2<f64> {
        let (n, d) = features.dim();
        let mut design = Array2::<f64>::ones((n, d + 1));
        let mut standardised = design.slice_mut(s![.., ..d]);
        standardised.assign(&features);
        standardised -= &self.mean;
        standardised *= &self.scale;
        design
    }
}

/// What is minimised.
struct Objective<'a> {
    /// Shape (n, d + 1), see [`Standardisation::design`].
    design: Array2<f64>,
    labels: &'a [usize],
    ridge: f64,
}

/// The objective at some weights.
struct Point {
    weights: Array2<f64>,
    value: f64,
    gradient: Array2<f64>,
}

impl Point {
    fn gradient_norm(&self) -> f64 {
        frobenius(self.gradient.view())
    }
}

impl Objective<'_> {
    /// Value and gradient, with `P` the rows `softmax(W x_i + b)` and `Y` the rows `e_{y_i}`:
    /// `1/n X^T (P - Y) + r W`, the last row without `r`.
    fn at(&self, weights: Array2<f64>) -> Point {
        let parts: Vec<(f64, Array2<f64>)> = pieces(self.labels.len())
            .map(|range| self.part(range, &weights))
            .collect();
        // In the order of the pieces, whichever thread had them.
        let (mut value, mut gradient) = (0.0, Array2::<f64>::zeros(weights.dim()));
        for (loss, part) in &parts {
            value += loss;
            gradient += part;
        }
        let share = 1.0 / self.labels.len() as f64;
        value *= share;
        gradient *= share;
        let d = weights.nrows() - 1;
        let penalised = weights.slice(s![..d, ..]);
        value += 0.5 * self.ridge * inner(penalised, penalised);
        gradient
            .slice_mut(s![..d, ..])
            .scaled_add(self.ridge, &penalised);
        Point {
            weights,
            value,
            gradient,
        }
    }

    /// Sum of the cross-entropies of some rows, and `X^T (P - Y)` of them.
    fn part(&self, range: Range<usize>, weights: &Array2<f64>) -> (f64, Array2<f64>) {
        let x = self.design.slice(s![range.clone(), ..]);
        let mut residuals = x.dot(weights);
        let mut loss = 0.0;
        for (mut row, &label) in residuals.rows_mut().into_iter().zip(&self.labels[range]) {
            let own = row[label];
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.mapv_inplace(|score| (score - largest).exp());
            let sum = row.sum();
            loss += largest + sum.ln() - own;
            row /= sum;
            row[label] -= 1.0;
        }
        (loss, x.t().dot(&residuals))
    }

    /// The point at a length `t` along a descent direction, tried from 1, that satisfies the strong Wolfe conditions:
    /// with `f(t)` the objective there,
    ///
    /// `f(t) <= f(0) + 1e-4 t f'(0)`, `|f'(t)| <= 0.9 |f'(0)|`;
    ///
    /// none if rounding hides it. Between a length with the first condition whose slope is still too steep, and one
    /// without the first condition or with too much of a rise, there is a length with both, so that halving ends.
    fn search(&self, from: &Point, direction: &Array2<f64>) -> Option<Point> {
        let slope = inner(from.gradient.view(), direction.view());
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
        for _ in 0..TRIALS {
            let mut weights = from.weights.clone();
            weights.scaled_add(length, direction);
            let point = self.at(weights);
            let bound = from.value + DECREASE * length * slope + ROUNDING;
            let slope_there = inner(point.gradient.view(), direction.view());
            if point.value > bound || slope_there > -CURVATURE * slope {
                high = length;
            } else if slope_there < CURVATURE * slope {
                low = length;
            } else {
                return Some(point);
            }
            length = match f64::is_finite(high) {
                true => 0.5 * (low + high),
                false => 2.0 * low,
            };
        }
        None
    }
}

/// A step `s` and the change `y` of the gradient over it.
struct Pair {
    step: Array2<f64>,
    change: Array2<f64>,
    /// `<s, y>`, positive.
    product: f64,
}

/// The last steps, the oldest first, which stand for the inverse of the Hessian.
#[derive(Default)]
struct Memory {
    pairs: VecDeque<Pair>,
}

impl Memory {
    fn remember(&mut self, from: &Point, to: &Point) {
        let step = &to.weights - &from.weights;
        let change = &to.gradient - &from.gradient;
        let product = inner(step.view(), change.view());
        // Positive by the second Wolfe condition, but for rounding.
        if product > 0.0 {
            if self.pairs.len() == MEMORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair {
                step,
                change,
                product,
            });
        }
    }

    /// `-H g`, `H` the approximation to the inverse Hessian; `-g` without steps. By the two loops of Nocedal and
    /// Wright, Numerical Optimization, algorithm 7.4, from `<s, y> / <y, y>` times the identity.
    fn direction(&self, gradient: &Array2<f64>) -> Array2<f64> {
        let mut direction = -gradient;
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = inner(pair.step.view(), direction.view()) / pair.product;
            direction.scaled_add(-share, &pair.change);
            shares.push(share);
        }
        if let Some(last) = self.pairs.back() {
            direction *= last.product / inner(last.change.view(), last.change.view());
        }
        for (pair, share) in self.pairs.iter().zip(shares.iter().rev()) {
            let back = inner(pair.change.view(), direction.view()) / pair.product;
            direction.scaled_add(share - back, &pair.step);
        }
        direction
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use crate::{parallel, seed};
    use ndarray::{array, concatenate, Axis};
    use rand::seq::SliceRandom;

    const CLASSES: usize = 3;

    /// Three clouds of deviation `spread` in four dimensions, each at 2 along an axis of its own.
    fn clouds(name: &str, count: usize, spread: f64) -> (Array2<f64>, Vec<usize>) {
        let mut features = gaussian(1, name, count, 4) * spread;
        let labels: Vec<usize> = (0..count).map(|i| i % CLASSES).collect();
        for (row, &label) in labels.iter().enumerate() {
            features[(row, label)] += 2.0;
        }
        (features, labels)
    }

    #[test]
    fn a_gradient_is_the_slope_of_the_objective() {
        let (features, labels) = clouds("slope", 600, 1.0);
        let objective = Objective {
            design: Standardisation::of(features.view()).design(features.view()),
            labels: &labels,
            ridge: 0.3,
        };
        let weights = gaussian(2, "weights", 5, CLASSES);
        let found = objective.at(weights.clone()).gradient;
        // Central differences over 1e-5 miss its square times the third derivative, and 1e-16 / 1e-5 by rounding.
        let moved = |index: (usize, usize), by: f64| {
            let mut weights = weights.clone();
            weights[index] += by;
            objective.at(weights).value
        };
        for (index, slope) in found.indexed_iter() {
            let difference = (moved(index, 1e-5) - moved(index, -1e-5)) / 2e-5;
            assert!(
                (difference - slope).abs() < 1e-8,
                "{index:?}: {slope} {difference}"
            );
        }
    }

    #[test]
    fn at_the_optimum_the_gradient_written_out_is_zero() {
        let (features, labels) = clouds("optimum", 1100, 1.0);
        let probe = Probe::fit(features.view(), &labels, CLASSES, 0.01).unwrap();
        assert!(probe.gradient_norm <= TOLERANCE && probe.iterations < MOST_ITERATIONS);
        let (n, d) = features.dim();
        let mut standardised = Array2::<f64>::ones((n, d + 1));
        for j in 0..d {
            let column = features.column(j);
            let mean = column.sum() / n as f64;
            let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            for i in 0..n {
                standardised[(i, j)] = (features[(i, j)] - mean) / variance.sqrt();
            }
        }
        let weights = &probe.weights;
        let mut gradient = weights * 0.01;
        gradient.row_mut(d).fill(0.0);
        for (i, &label) in labels.iter().enumerate() {
            let x = standardised.row(i);
            let powers: Vec<f64> = (0..CLASSES)
                .map(|c| x.dot(&weights.column(c)).exp())
                .collect();
            for c in 0..CLASSES {
                let own = f64::from(u8::from(c == label));
                let miss = powers[c] / powers.iter().sum::<f64>() - own;
                gradient.column_mut(c).scaled_add(miss / n as f64, &x);
            }
        }
        assert!(gradient.iter().all(|g| g.abs() < 2e-6), "{gradient}");
    }

    #[test]
    fn three_of_four_on_either_side_have_odds_of_three() {
        let features = array![[1.0], [1.0], [1.0], [1.0], [-1.0], [-1.0], [-1.0], [-1.0]];
        let labels = [1, 1, 1, 0, 0, 0, 0, 1];
        let probe = Probe::fit(features.view(), &labels, 2, 0.0).unwrap();
        let weights = &probe.weights;
        // Mean 0 and deviation 1 already. Curvature 3/16 makes 4e-6 of a gradient of 1e-6.
        let found = weights[(0, 1)] - weights[(0, 0)];
        assert!((found - 3f64.ln()).abs() < 1e-5, "{found}");
        assert!((weights[(1, 1)] - weights[(1, 0)]).abs() < 1e-5);
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((probe.objective - entropy).abs() < 1e-10);
        assert_eq!(probe.accuracy(features.view(), &labels).unwrap(), 0.75);
    }

    #[test]
    fn two_classes_have_the_solution_of_newtons_method() {
        let features = array![[0.3], [-1.2], [2.0], [0.7], [-0.4], [1.1], [-2.2], [0.1]];
        let labels = [0, 0, 1, 1, 0, 0, 0, 1];
        let probe = Probe::fit(features.view(), &labels, 2, 0.2).unwrap();
        let mean = features.sum() / 8.0;
        let deviation = (features.mapv(|v| (v - mean).powi(2)).sum() / 8.0).sqrt();
        // The difference w of the two rows of W, each half of it: r/2 |W|^2 = r/4 w^2. b is that of the biases.
        let (mut w, mut b) = (0.0, 0.0);
        for _ in 0..30 {
            let (mut slope, mut hessian) = ([0.1 * w, 0.0], [0.1, 0.0, 0.0]);
            for (x, &label) in features.iter().zip(&labels) {
                let x = (x - mean) / deviation;
                let share = 1.0 / (1.0 + f64::exp(-(w * x + b)));
                let (miss, weight) = (share - label as f64, share * (1.0 - share));
                for (sum, term) in slope.iter_mut().zip([x, 1.0]) {
                    *sum += miss * term / 8.0;
                }
                for (sum, term) in hessian.iter_mut().zip([x * x, x, 1.0]) {
                    *sum += weight * term / 8.0;
                }
            }
            let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
            w -= (hessian[2] * slope[0] - hessian[1] * slope[1]) / determinant;
            b -= (hessian[0] * slope[1] - hessian[1] * slope[0]) / determinant;
        }
        assert!(w > 0.5 && b < -0.5, "{w} {b}");
        let difference = |row: usize| probe.weights[(row, 1)] - probe.weights[(row, 0)];
        assert!((difference(0) - w).abs() < 1e-5, "{w} {}", difference(0));
        assert!((difference(1) - b).abs() < 1e-5, "{b} {}", difference(1));
    }

    #[test]
    fn what_is_separable_is_separated_with_a_ridge_and_without() {
        let (features, labels) = clouds("far", 300, 0.1);
        let (held_out, held_out_labels) = clouds("far too", 90, 0.1);
        for ridge in [0.0, 1e-4] {
            let probe = Probe::fit(features.view(), &labels, CLASSES, ridge).unwrap();
            assert_eq!(probe.accuracy(features.view(), &labels).unwrap(), 1.0);
            let found = probe.accuracy(held_out.view(), &held_out_labels);
            assert_eq!(found.unwrap(), 1.0);
        }
    }

    #[test]
    fn permuted_labels_are_guessed() {
        let (features, mut labels) = clouds("near", 900, 1.0);
        let (held_out, mut held_out_labels) = clouds("near too", 1200, 1.0);
        let accuracy = |labels: &[usize], held_out_labels: &[usize]| {
            let probe = Probe::fit(features.view(), labels, CLASSES, 1e-3).unwrap();
            probe.accuracy(held_out.view(), held_out_labels).unwrap()
        };
        assert!(accuracy(&labels, &held_out_labels) > 0.8);
        let mut rng = seed::stream(3, "permute");
        labels.shuffle(&mut rng);
        held_out_labels.shuffle(&mut rng);
        // The share of 1200 guesses of one in three has a deviation of 0.014.
        let guessed = accuracy(&labels, &held_out_labels);
        assert!((guessed - 1.0 / 3.0).abs() < 0.06, "{guessed}");
    }

    #[test]
    fn neither_scale_nor_origin_nor_a_constant_feature_changes_a_probe() {
        let (features, labels) = clouds("scale", 700, 1.0);
        let own = Probe::fit(features.view(), &labels, CLASSES, 0.01).unwrap();
        let moved = &features * &array![1e-3, 7.0, 1.0, 250.0] + &array![5.0, -3.0, 1e4, 0.0];
        let other = Probe::fit(moved.view(), &labels, CLASSES, 0.01).unwrap();
        // Two points with gradients of 1e-6 are within 2e-6 over the ridge of each other.
        let off = &own.weights - &other.weights;
        assert!(off.iter().all(|v| v.abs() < 2e-4), "{off}");
        assert!((own.objective - other.objective).abs() < 1e-9);
        let accuracy = own.accuracy(features.view(), &labels).unwrap();
        assert_eq!(accuracy, other.accuracy(moved.view(), &labels).unwrap());
        // 0.1 is no sum of powers of two: a mean of many would be off.
        let constant = Array2::from_elem((700, 1), 0.1);
        let wider = concatenate(Axis(1), &[features.view(), constant.view()]).unwrap();
        let other = Probe::fit(wider.view(), &labels, CLASSES, 0.01).unwrap();
        assert!((own.objective - other.objective).abs() < 1e-9);
        assert!(other.weights.row(4).iter().all(|&v| v == 0.0));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (features, labels) = clouds("threads", 3 * PIECE + 7, 1.0);
        let fit = |threads: usize| {
            let fit = || Probe::fit(features.view(), &labels, CLASSES, 1e-3);
            parallel::within(threads, fit).unwrap().unwrap()
        };
        let (one, three) = (fit(1), fit(3));
        assert_eq!(one.weights, three.weights);
        assert_eq!(one.iterations, three.iterations);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let (mut features, labels) = clouds("refused", 30, 1.0);
        let refused = |features: &Array2<f64>, labels: &[usize], classes: usize, ridge: f64| {
            let error = Probe::fit(features.view(), labels, classes, ridge).unwrap_err();
            error.to_string()
        };
        assert!(refused(&features, &labels[1..], 3, 0.0).contains("(29, d)"));
        assert!(refused(&features, &labels, 2, 0.0).contains("2 in row 2"));
        assert!(refused(&features, &labels, 3, -1.0).starts_with("ridge"));
        let probe = Probe::fit(features.view(), &labels, 3, 0.1).unwrap();
        let narrow = features.slice(s![.., ..3]);
        assert!(probe.accuracy(narrow, &labels).is_err());
        features[(4, 1)] = f64::NAN;
        assert!(refused(&features, &labels, 3, 0.1).contains("NaN at (4, 1)"));
        // A score that is no number would be beaten by none.
        assert!(probe.accuracy(features.view(), &labels).is_err());
    }
}
