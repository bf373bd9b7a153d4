//! The sparse rate reduction of one layer's tokens as a term of the objective (C-CRIT-05; arXiv 2411.17182).

use dfdx::prelude::{HasShape, Tape};
use ndarray::{Array2, ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exact::coding_rate::{coding_rate_gradient, subspace_rate_gradient};
use crate::model::tensor::Tokens;
use crate::model::Runtime;

/// What of the tokens is penalised, per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// `(R^c(Z | U) - R(Z) + lambda ||Z||_1) / N`: the objective that a layer of CRATE unrolls, with the
    /// norm that ISTA puts in place of the number of nonzeros.
    SparseRateReduction,
    /// `R^c(Z | U) / N`.
    SubspaceRate,
    /// `||Z||_F^2 / (2 N)`: knows neither subspaces nor sparsity.
    Energy,
}

/// A term of the objective: `weight` times the mean over the images of a batch.
///
/// The bases `U` are those of the layer that the tokens enter, and are taken as they are: the penalty is on
/// the tokens, and does not ask the bases to shrink.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Penalty {
    /// What.
    pub term: Term,
    /// How much of it.
    pub weight: f64,
    /// The layer whose input `Z^l` is meant, from 1.
    pub layer: usize,
    /// Precision of the rates.
    pub epsilon: f64,
    /// `lambda` of the 1-norm.
    pub lambda: f64,
}

impl Penalty {
    /// Derivative of the term by the tokens `z` (d, N) of one image, without the weight; `bases` (K, d, p).
    ///
    /// # Errors
    /// [`Error::Domain`] if a token is not finite.
    pub fn gradient(
        &self,
        z: ArrayView2<'_, f64>,
        bases: ArrayView3<'_, f64>,
    ) -> Result<Array2<f64>> {
        let gradient = match self.term {
            Term::Energy => z.to_owned(),
            Term::SubspaceRate => subspace_rate_gradient(z, bases, self.epsilon)?,
            Term::SparseRateReduction => {
                // The subgradient at 0 that asks for nothing.
                let sign = |v: f64| if v == 0.0 { 0.0 } else { v.signum() };
                subspace_rate_gradient(z, bases, self.epsilon)?
                    - coding_rate_gradient(z, self.epsilon)?
                    + z.mapv(|v| self.lambda * sign(v))
            }
        };
        Ok(gradient / z.ncols() as f64)
    }

    /// The tokens themselves, with the derivative of the penalty on the tape; `share` is that of one image
    /// in the batch.
    ///
    /// # Errors
    /// [`Error::Domain`] if a token is not finite, [`Error::Unsupported`] where the device has no penalties.
    pub(super) fn put_on<D: Runtime<f32>, T: Tape<f32, D>>(
        &self,
        z: Tokens<f32, D, T>,
        bases: ArrayView3<'_, f64>,
        share: f64,
    ) -> Result<Tokens<f32, D, T>> {
        let (_, n, d) = *z.shape();
        let mut derivative = Vec::with_capacity(z.shape().0 * n * d);
        for image in z.as_vec().chunks_exact(n * d) {
            let rows = image.iter().map(|&v| f64::from(v)).collect();
            let rows = Array2::from_shape_vec((n, d), rows)
                .map_err(|e| Error::misfit("tokens", (n, d), &e))?;
            let gradient = self.gradient(rows.t(), bases)?;
            let factor = self.weight * share;
            derivative.extend(gradient.t().iter().map(|&g| (factor * g) as f32));
        }
        D::add_derivative(z, derivative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{procedural, Split};
    use crate::exact::{coding_rate, subspace_rate};
    use crate::model::probe::{Recorder, Site};
    use crate::model::{Classifier, Config};
    use crate::train::{gradients, Objective};
    use dfdx::prelude::Cpu;

    const TERMS: [Term; 3] = [Term::SparseRateReduction, Term::SubspaceRate, Term::Energy];

    fn penalty(term: Term) -> Penalty {
        Penalty {
            term,
            weight: 3.0,
            layer: 2,
            epsilon: 0.5,
            lambda: 0.1,
        }
    }

    /// The term itself, as its definition says.
    fn value(term: Term, z: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>) -> f64 {
        let subspace = subspace_rate(z, bases, 0.5).unwrap().total;
        let value = match term {
            Term::SparseRateReduction => {
                let norm: f64 = z.iter().map(|v| v.abs()).sum();
                subspace - coding_rate(z, 0.5).unwrap().value + 0.1 * norm
            }
            Term::SubspaceRate => subspace,
            Term::Energy => 0.5 * z.iter().map(|v| v * v).sum::<f64>(),
        };
        value / z.ncols() as f64
    }

    #[test]
    fn the_derivative_of_every_term_is_that_of_its_definition() {
        let z = Array2::from_shape_fn((4, 7), |(i, j)| ((3 * i + 5 * j) as f64).sin() + 0.01);
        let bases = ndarray::Array3::from_shape_fn((2, 4, 2), |(k, i, j)| {
            (7.0 * (k + 2 * i + 5 * j) as f64).cos()
        });
        for term in TERMS {
            let gradient = penalty(term).gradient(z.view(), bases.view()).unwrap();
            for ((i, j), &found) in gradient.indexed_iter() {
                let at = |h: f64| {
                    let mut z = z.clone();
                    z[(i, j)] += h;
                    value(term, z.view(), bases.view())
                };
                let h = 1e-5;
                let expected = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (found - expected).abs() < 1e-8,
                    "{term:?} {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_penalised_network_is_differentiated_through_its_penalty() {
        let images = procedural::gratings(8, 1, 28, Split::Train, 1).unwrap();
        let config = Config {
            depth: 3,
            ..Config::preset("demo").unwrap().with_width(16, 2).unwrap()
        };
        let [channels, height, width] = images.shape;
        let config = config.for_images(channels, [height, width], images.classes);
        let network: Classifier<f32, Cpu> = Classifier::new(config, 1, &Cpu::default()).unwrap();
        let input = images.normalised(0..8, config.image_size).unwrap();
        let length = input.len() / 8;
        for term in TERMS {
            let penalty = penalty(term);
            // The bases are constants: those of the start, also when the parameters move.
            let bases = network.layers()[1].bases().unwrap();
            let added = |network: &Classifier<f32, Cpu>| -> f64 {
                let mut recorder = Recorder::new([Site::LayerInput]);
                network.forward_probed(&input, &mut recorder).unwrap();
                let (shape, values) = recorder.get(Site::LayerInput, 1).unwrap();
                let images = values.chunks_exact(shape[1] * shape[2]).map(|image| {
                    let rows = image.iter().map(|&v| f64::from(v)).collect();
                    let rows = Array2::from_shape_vec((shape[1], shape[2]), rows).unwrap();
                    value(term, rows.t(), bases.view())
                });
                penalty.weight * images.sum::<f64>() / 8.0
            };
            let run = |network: &Classifier<f32, Cpu>, penalty| {
                let objective = Objective {
                    smoothing: 0.1,
                    penalty,
                };
                gradients(network, &images.labels, objective, 1, |range| {
                    Ok(input[range.start * length..range.end * length].to_vec())
                })
                .unwrap()
            };
            let (loss, with) = run(&network, Some(penalty));
            let (same, without) = run(&network, None);
            assert_eq!(loss, same, "the loss that is reported is the cross-entropy");
            // The penalty's own gradient, and the change of the penalty along it.
            let own: Vec<Vec<f64>> = with
                .iter()
                .zip(&without)
                .map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(a - b)).collect())
                .collect();
            let square: f64 = own.iter().flatten().map(|g| g * g).sum();
            assert!(square > 0.0);
            let h = 2e-3 / square.sqrt();
            let moved = |sign: f64| {
                let mut values = network.parameters();
                for (parameter, own) in values.iter_mut().zip(&own) {
                    for (v, g) in parameter.values.iter_mut().zip(own) {
                        *v += (sign * h * g) as f32;
                    }
                }
                let mut moved = network.clone();
                moved.set_parameters(&values).unwrap();
                added(&moved)
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * h);
            assert!(
                (slope / square - 1.0).abs() < 0.02,
                "{term:?}: slope {slope}, expected {square}"
            );
        }
    }
}
