//! A network on another device does what the fused one on the CPU does: on the CPU by dfdx's operations,
//! which are those that a GPU runs, and in a program built with `--features cuda` on the GPU itself.

use dfdx::prelude::Cpu;
use whitebox::data::{procedural, Split};
use whitebox::measure::layerwise::{measure_input, Quantity};
use whitebox::model::{Backbone, Classifier, Config, Path};
use whitebox::train::optimiser::{Method, Optimiser};
use whitebox::train::recipe::Decay;
use whitebox::train::{gradients, Objective};

use crate::support::ARCHITECTURES;

/// Largest difference of logits over the largest logit.
// Both bounds are what the README promises of a GPU; two orders of summation in f32 stay far below them.
const FORWARD: f64 = 1e-4;
/// Length of the difference of a gradient or parameter over its own.
const BACKWARD: f64 = 1e-3;

fn far(found: &[f32], exact: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let pairs = found.iter().zip(exact);
    let difference = length(&mut pairs.map(|(&a, &b)| f64::from(a - b)));
    difference / length(&mut exact.iter().map(|&v| f64::from(v)))
}

fn agrees_with_the_cpu<D: Backbone<f32>>(device: &D) {
    let images = procedural::gratings(24, 1, 28, Split::Train, 3).unwrap();
    for architecture in ARCHITECTURES {
        let config = Config {
            depth: 3,
            ..Config::preset("demo").unwrap()
        };
        let config = config.with_width(32, 4).unwrap().of(architecture);
        let mut own: Classifier<f32, Cpu> = Classifier::new(config, 1, &Cpu::default()).unwrap();
        let mut other = own.on(device).unwrap().with_path(Path::Composed);
        let input = images.normalised(0..24, config.image_size).unwrap();
        let exact = own.forward(&input).unwrap();
        let found = other.forward(&input).unwrap();
        let largest = exact.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        for (a, b) in found.iter().zip(&exact) {
            assert!(
                f64::from((a - b).abs() / largest) < FORWARD,
                "{architecture:?}"
            );
        }
        let quantities = [Quantity::OfficialRate];
        let rate =
            |layers: &whitebox::measure::layerwise::Layerwise| layers.means(Quantity::OfficialRate);
        let exact = measure_input(&own, &input, &quantities, 0.1, 2).unwrap();
        let found = measure_input(&other, &input, &quantities, 0.1, 2).unwrap();
        for (a, b) in rate(&found).iter().zip(rate(&exact)) {
            assert!((a - b).abs() < FORWARD * b, "{architecture:?}");
        }
        let image = input.len() / 24;
        let piece = |range: std::ops::Range<usize>| {
            Ok(input[range.start * image..range.end * image].to_vec())
        };
        let objective = Objective {
            smoothing: 0.1,
            penalty: None,
        };
        let new = || Optimiser::new(Method::AdamW, 0.05, Decay::All);
        let (mut own_optimiser, mut other_optimiser) = (new(), new());
        for step in 0..10 {
            let labels = &images.labels;
            let (exact_loss, exact) = gradients(&own, labels, objective, 2, piece).unwrap();
            let (loss, found) = gradients(&other, labels, objective, 2, piece).unwrap();
            assert!((loss - exact_loss).abs() < BACKWARD * exact_loss);
            if step == 0 {
                for (parameter, (a, b)) in own.parameters().iter().zip(found.iter().zip(&exact)) {
                    let name = &parameter.parameter.name;
                    // Mathematically zero: what is left of a key's bias is rounding.
                    if b.iter().all(|v| v.abs() < 1e-6) {
                        continue;
                    }
                    assert!(
                        far(a, b) < BACKWARD,
                        "{architecture:?} {name}: {}",
                        far(a, b)
                    );
                }
            }
            own_optimiser.step(&mut own, &exact, 1e-3).unwrap();
            other_optimiser.step(&mut other, &found, 1e-3).unwrap();
        }
        for (found, exact) in other.parameters().iter().zip(own.parameters()) {
            let name = &exact.parameter.name;
            if name.contains("qkv.bias") {
                continue;
            }
            let distance = far(&found.values, &exact.values);
            assert!(distance < BACKWARD, "{architecture:?} {name}: {distance}");
        }
    }
}

#[test]
fn the_operations_that_a_gpu_runs_agree_with_the_kernels() {
    agrees_with_the_cpu(&Cpu::default());
}

#[cfg(feature = "cuda")]
#[test]
fn a_gpu_agrees_with_the_cpu() {
    agrees_with_the_cpu(&dfdx::prelude::Cuda::default());
}
