//! ISTA steps along the objective they are derived from (NeurIPS 2023, section 2.4; book, chapters 4 and 7),
//!
//! `F(X) = lambda ||X||_1 + 1/2 ||Z - D X||^2`, `X >= 0`,
//!
//! from several starts and with several step lengths, beside the solution. Objectives are divided by that of the
//! zero code, `1/2 ||Z||^2`.

use dfdx::prelude::Cpu;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::layerwise::tokens_at;
use crate::data::subspaces::orthonormal;
use crate::data::Images;
use crate::error::Result;
use crate::exact::coding_rate;
use crate::exact::ista::{ista, lasso_objective, lasso_solution, proximal_step};
use crate::exact::linear::frobenius;
use crate::exact::neumann::largest_eigenvalue;
use crate::model::operators::LayerOperators;
use crate::model::probe::Site;
use crate::model::Classifier;

/// Where a dictionary comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dictionary {
    /// A trained network's.
    Learned,
    /// The same network's before training.
    Initial,
    /// A random rotation.
    Rotation,
}

impl Dictionary {
    /// All.
    pub const ALL: [Self; 3] = [Self::Learned, Self::Initial, Self::Rotation];

    /// The step with which its codes are read back: a rotation's solution is one step of 1 away, networks take
    /// the official step.
    pub fn own_step(self) -> Step {
        match self {
            Self::Rotation => Step::Book,
            Self::Learned | Self::Initial => Step::Official,
        }
    }
}

/// How long a step is; `L = ||D||_2^2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// 0.1
    Official,
    /// 1 / L
    Inverse,
    /// 2 / L
    Limit,
    /// 4 / L
    Beyond,
    /// 1
    Book,
}

impl Step {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Official,
        Self::Inverse,
        Self::Limit,
        Self::Beyond,
        Self::Book,
    ];

    /// `eta`, for a dictionary with `L = lipschitz`.
    pub fn size(self, lipschitz: f64) -> f64 {
        match self {
            Self::Official => 0.1,
            Self::Inverse => 1.0 / lipschitz,
            Self::Limit => 2.0 / lipschitz,
            Self::Beyond => 4.0 / lipschitz,
            Self::Book => 1.0,
        }
    }
}

/// Where the steps begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// `Z`, as the block has it: not feasible.
    Warm,
    /// `max(0, Z)`.
    Clamped,
    /// The zero code.
    Zero,
}

impl Start {
    /// All.
    pub const ALL: [Self; 3] = [Self::Warm, Self::Clamped, Self::Zero];

    /// The code to begin with for tokens `z` (d, N); gives (d, N).
    pub fn of(self, z: ArrayView2<'_, f64>) -> Array2<f64> {
        match self {
            Self::Warm => z.to_owned(),
            Self::Clamped => z.mapv(|v| v.max(0.0)),
            Self::Zero => Array2::zeros(z.dim()),
        }
    }
}

/// The objective along the steps from one start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Of which dictionary.
    pub dictionary: Dictionary,
    /// Of the network.
    #[serde(default)]
    pub seed: u64,
    /// From 1.
    pub layer: usize,
    /// Where it begins.
    pub start: Start,
    /// Length of its steps.
    pub step: Step,
    /// `eta L`.
    pub eta_lipschitz: f64,
    /// `F / F(0)` before the first step and after each.
    pub objective: Vec<f64>,
}

impl Steps {
    /// Steps that raise the objective by more than rounding can, `rounding` relative.
    pub fn rises(&self, rounding: f64) -> usize {
        let pairs = self.objective.windows(2);
        pairs.filter(|w| w[1] > w[0] * (1.0 + rounding)).count()
    }
}

/// What does not depend on the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFacts {
    /// Of which dictionary.
    pub dictionary: Dictionary,
    /// Of the network.
    #[serde(default)]
    pub seed: u64,
    /// From 1.
    pub layer: usize,
    /// `||D||_2^2`, rounded up.
    pub lipschitz: f64,
    /// `F(max(0, Z)) / F(0)`.
    pub clamped: f64,
    /// That of the solution.
    pub solution: f64,
    /// `|R(D X) / R(X) - 1|`, `X` the block's output with [`Dictionary::own_step`].
    pub rate_change: f64,
    /// `||D X - Z|| / ||Z||`.
    pub reconstruction: f64,
}

impl LayerFacts {
    /// Share of the way from the clamped start to the solution after `steps` steps of `path`: 1 at the solution.
    ///
    /// # Panics
    /// If the path has fewer steps.
    pub fn gap_closed(&self, path: &Steps, steps: usize) -> f64 {
        (self.clamped - path.objective[steps]) / (self.clamped - self.solution)
    }
}

/// A layer's sparsification block: the tokens it reads, and what it codes them with.
#[derive(Debug, Clone)]
pub struct Block {
    /// Of which dictionary.
    pub dictionary: Dictionary,
    /// Of the network.
    pub seed: u64,
    /// From 1.
    pub layer: usize,
    /// Its tokens `Z`, (d, N).
    pub z: Array2<f64>,
    /// `D`, (d, d).
    pub matrix: Array2<f64>,
    /// `lambda`.
    pub lambda: f64,
}

/// How far to follow a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Length {
    /// Steps of every path.
    pub steps: usize,
    /// FISTA steps for the solution.
    pub solution_steps: usize,
    /// Precision of `R`.
    pub epsilon: f64,
}

/// The blocks of a network drawn from `seed`, with the tokens of some images, and its own dictionaries or rotations
/// drawn from `turned`.
///
/// # Errors
/// Those of reading the images and of the passes forward.
pub fn blocks(
    (network, seed): (&Classifier<f32, Cpu>, u64),
    (images, indices): (&Images, &[usize]),
    dictionary: Dictionary,
    turned: u64,
) -> Result<Vec<Block>> {
    let tokens = tokens_at(network, images, indices, Site::NORMALISED_AFTER_MSSA)?;
    let layers = tokens.into_iter().zip(network.layers()).enumerate();
    let blocks = layers.map(|(layer, (z, own))| {
        let operators = LayerOperators::of(own)?;
        let ista = operators.sparsifier()?;
        let d = z.nrows();
        let matrix = match dictionary {
            Dictionary::Rotation => orthonormal(turned, &format!("rotation {layer}"), d, d)?,
            Dictionary::Learned | Dictionary::Initial => ista.dictionary.clone(),
        };
        Ok(Block {
            dictionary,
            seed,
            layer: layer + 1,
            z,
            matrix,
            lambda: ista.lambda,
        })
    });
    blocks.collect()
}

impl Block {
    /// The paths from every start with every step, by start, and what does not depend on them.
    ///
    /// # Errors
    /// [`crate::Error::Domain`] for tokens that are not finite or a precision `<= 0`; [`crate::Error::Lapack`] if a
    /// factorisation fails.
    pub fn follow(&self, length: Length) -> Result<(LayerFacts, Vec<Steps>)> {
        let (z, matrix, lambda) = (self.z.view(), self.matrix.view(), self.lambda);
        // Room for the rounding of the eigenvalue, so that 1 / L is never too long.
        let lipschitz = largest_eigenvalue(matrix.t().dot(&matrix))? * (1.0 + 1e-12);
        let nothing = lasso_objective(Start::Zero.of(z).view(), z, matrix, lambda);
        let objective = |x: &Array2<f64>| lasso_objective(x.view(), z, matrix, lambda) / nothing;
        let mut paths = Vec::new();
        for start in Start::ALL {
            for step in Step::ALL {
                let eta = step.size(lipschitz);
                let mut x = start.of(z);
                let mut along = vec![objective(&x)];
                for _ in 0..length.steps {
                    x = proximal_step(x.view(), z, matrix, eta, lambda);
                    along.push(objective(&x));
                }
                paths.push(Steps {
                    dictionary: self.dictionary,
                    seed: self.seed,
                    layer: self.layer,
                    start,
                    step,
                    eta_lipschitz: eta * lipschitz,
                    objective: along,
                });
            }
        }
        let solution = lasso_solution(z, matrix, lambda, lipschitz, length.solution_steps);
        let code = ista(
            z,
            matrix,
            self.dictionary.own_step().size(lipschitz),
            lambda,
        );
        let read = matrix.dot(&code);
        let rate = coding_rate(code.view(), length.epsilon)?.value;
        let facts = LayerFacts {
            dictionary: self.dictionary,
            seed: self.seed,
            layer: self.layer,
            lipschitz,
            clamped: objective(&Start::Clamped.of(z)),
            solution: objective(&solution),
            rate_change: (coding_rate(read.view(), length.epsilon)?.value / rate - 1.0).abs(),
            reconstruction: frobenius((&read - &z).view()) / frobenius(z),
        };
        Ok((facts, paths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use ndarray::array;

    const LENGTH: Length = Length {
        steps: 8,
        solution_steps: 200,
        epsilon: 0.5,
    };

    fn path(paths: &[Steps], start: Start, step: Step) -> &Steps {
        let found = paths.iter().find(|p| (p.start, p.step) == (start, step));
        found.unwrap()
    }

    /// `z = 3`, `D = 2`, `lambda = 1/2`: the solution is `(D z - lambda) / D^2 = 11/8`, and a step multiplies the
    /// distance to it by `1 - eta D^2` as long as no threshold is met.
    #[test]
    fn one_number_goes_to_its_solution_geometrically() {
        let block = Block {
            dictionary: Dictionary::Learned,
            seed: 0,
            layer: 3,
            z: array![[3.0]],
            matrix: array![[2.0]],
            lambda: 0.5,
        };
        let (facts, paths) = block.follow(LENGTH).unwrap();
        let objective = |x: f64| (0.5 * x.abs() + 0.5 * (3.0 - 2.0 * x).powi(2)) / 4.5;
        let solution = 11.0 / 8.0;
        assert!((facts.lipschitz - 4.0).abs() < 1e-11);
        assert!((facts.solution - objective(solution)).abs() < 1e-14);
        assert!((facts.clamped - objective(3.0)).abs() < 1e-14);
        let slow = path(&paths, Start::Warm, Step::Official);
        for (steps, found) in slow.objective.iter().enumerate() {
            let x = solution + (3.0 - solution) * 0.6f64.powi(steps as i32);
            assert!((found - objective(x)).abs() < 1e-13, "{steps}: {found}");
        }
        assert_eq!(slow.rises(1e-12), 0);
        assert!((facts.gap_closed(slow, 0)).abs() < 1e-14);
        // The excess over the solution is quadratic in the distance.
        assert!((facts.gap_closed(slow, 2) - (1.0 - 0.6f64.powi(4))).abs() < 1e-13);
        let once = path(&paths, Start::Zero, Step::Inverse);
        assert!((once.objective[0] - 1.0).abs() < 1e-15);
        assert!((facts.gap_closed(once, 1) - 1.0).abs() < 1e-10);
        // Two thirds of the way there and back: 4 / L multiplies the distance by -3, up to the threshold.
        let wild = path(&paths, Start::Zero, Step::Beyond);
        assert!((wild.objective[1] - objective(4.0 * solution)).abs() < 1e-10);
        assert_eq!(wild.objective[2], 1.0);
        assert_eq!(wild.rises(1e-12), 4);
        assert!((wild.eta_lipschitz - 4.0).abs() < 1e-15);
    }

    /// For a rotation `F` falls apart into numbers: `F = sum_i lambda x_i + (v_i - x_i)^2 / 2`, `v = D^T z`.
    #[test]
    fn a_rotation_is_solved_by_one_step_and_keeps_the_rate() {
        let (d, lambda) = (5, 0.3);
        let z = gaussian(2, "z", d, 7);
        let matrix = orthonormal(2, "rotation", d, d).unwrap();
        let v = matrix.t().dot(&z);
        let half = 0.5 * (&z * &z).sum();
        let exact: f64 = v
            .iter()
            .map(|&v| match v > lambda {
                true => lambda * (v - lambda) + 0.5 * lambda * lambda,
                false => 0.5 * v * v,
            })
            .sum();
        let left: f64 = v.iter().map(|&v| v.min(lambda).powi(2)).sum();
        let block = Block {
            dictionary: Dictionary::Rotation,
            seed: 0,
            layer: 1,
            z,
            matrix,
            lambda,
        };
        let (facts, paths) = block.follow(LENGTH).unwrap();
        assert!((facts.solution - exact / half).abs() < 1e-12);
        for start in Start::ALL {
            let found = path(&paths, start, Step::Inverse);
            assert!(
                (found.objective[1] - exact / half).abs() < 1e-10,
                "{start:?}"
            );
        }
        assert!(facts.rate_change < 1e-12);
        assert!((facts.reconstruction - (left / (2.0 * half)).sqrt()).abs() < 1e-13);
    }
}
