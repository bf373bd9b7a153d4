//! What several test targets share.
#![allow(dead_code)]

use dfdx::prelude::*;
use whitebox::model::parameters::Values;
use whitebox::model::probe::NoProbe;
use whitebox::model::{Architecture, Classifier, Config, Pool, Real, Runtime};
use whitebox::train::optimiser::gradients_of;

/// A small network whose sizes share no factor by accident.
pub(crate) fn config(depth: usize, heads: usize, head_width: usize, d: usize) -> Config {
    Config {
        architecture: Architecture::Crate,
        image_size: [6, 9],
        patch_size: [2, 3],
        channels: 2,
        classes: 5,
        d,
        depth,
        heads,
        head_width,
        pool: Pool::Cls,
        step_size: 0.1,
        lambda: 0.1,
    }
}

/// Every kind of network.
pub(crate) const ARCHITECTURES: [Architecture; 8] = [
    Architecture::Crate,
    Architecture::CrateMhsa,
    Architecture::CrateMlp,
    Architecture::CrateTied,
    Architecture::CrateOrthogonal,
    Architecture::Vit,
    Architecture::CrateEncoder,
    Architecture::VitEncoder,
];

/// `count` numbers between -1 and 1 that no structure of a network lines up with.
pub(crate) fn wave(count: usize, frequency: f64) -> Vec<f64> {
    (0..count)
        .map(|i| (frequency * (i as f64 + 0.5) + 0.1 * (i as f64).sqrt()).sin())
        .collect()
}

/// The same parameters in another number type. Gains and biases of norms, which start at 1 and 0,
/// are moved away from there.
pub(crate) fn convert<E: Real>(values: &[Values<f32>]) -> Vec<Values<E>> {
    values
        .iter()
        .enumerate()
        .map(|(index, found)| {
            let is_norm = found.parameter.shape.len() == 1;
            let moved = wave(found.values.len(), 0.37 + index as f64);
            Values {
                parameter: found.parameter.clone(),
                values: found
                    .values
                    .iter()
                    .zip(moved)
                    .map(|(&v, w)| {
                        // Rounded to f32 first, so that both networks hold the same numbers.
                        let v = if is_norm { v + (0.2 * w) as f32 } else { v };
                        num_traits::NumCast::from(v).unwrap()
                    })
                    .collect(),
            }
        })
        .collect()
}

/// The network of `config` with the parameters of `convert`.
pub(crate) fn network<E: Real>(config: Config, seed: u64) -> Classifier<E, Cpu>
where
    Cpu: Runtime<E>,
{
    let single = Classifier::<f32, Cpu>::new(config, seed, &Cpu::default()).unwrap();
    let mut network = Classifier::<E, Cpu>::new(config, seed, &Cpu::default()).unwrap();
    network
        .set_parameters(&convert(&single.parameters()))
        .unwrap();
    network
}

/// A loss that touches every logit differently, `sum_i c_i logit_i`, and its gradients.
pub(crate) fn loss_and_gradients(
    network: &Classifier<f32, Cpu>,
    images: &[f32],
) -> (f64, Vec<Vec<f32>>) {
    let patches = network.patches(images).unwrap();
    let logits = network
        .try_forward_patches(patches.leaky_traced(), &mut NoProbe)
        .unwrap();
    let shape = *logits.shape();
    let weights: Vec<f32> = wave(shape.0 * shape.1, 1.3)
        .iter()
        .map(|&w| w as f32)
        .collect();
    let weights = network.device().tensor_from_vec(weights, shape);
    let loss = (logits * weights).sum::<Rank0, _>();
    let value = f64::from(loss.as_vec()[0]);
    (value, gradients_of(network, loss.backward()).unwrap())
}
