//! A network on another device does what the fused one on the CPU does: on the CPU by dfdx's operations,
//! which are those that a GPU runs, and in a program built with `--features cuda` on the GPU itself.

use dfdx::prelude::Cpu;
use whitebox::data::{procedural, Split};
use whitebox::measure::layerwise::{measure_input, Quantity};
use whitebox::model::parameters::Values;
use whitebox::model::{Classifier, Config, Execution, Runtime};
use whitebox::train::optimiser::{Decay, Method, Optimiser};
use whitebox::train::{gradients, Objective};

use crate::support::ARCHITECTURES;

// ANCHOR: promised
// What the README promises of a GPU; two orders of summation in f32 stay far below it.
/// Of logits and rates.
const FORWARD: f64 = 1e-4;
/// Of gradients, and of parameters after ten steps.
const BACKWARD: f64 = 1e-3;
// ANCHOR_END: promised

const IMAGES: usize = 24;
const STEPS: usize = 10;
const OBJECTIVE: Objective = Objective {
    smoothing: 0.1,
    penalty: None,
};

/// Length of the difference over the length of the exact one.
fn distance(found: &[f32], exact: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let pairs = found.iter().zip(exact);
    let difference = length(&mut pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    difference / length(&mut exact.iter().map(|&v| f64::from(v)))
}

/// A key's bias adds the same to all logits of a softmax: its gradient is rounding, and Adam scales that up.
fn is_determined(parameter: &Values<f32>) -> bool {
    !parameter.parameter.name.contains("qkv.bias")
}

/// Largest distance over the parameters.
fn furthest<'a>(pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> f64 {
    pairs.map(|(a, b)| distance(a, b)).fold(0.0, f64::max)
}

fn agrees_with_the_cpu<D: Runtime<f32>>(device: &D) {
    let images = procedural::gratings(IMAGES, 1, 28, Split::Train, 3).unwrap();
    println!(
        "{:<16} {:>8} {:>8} {:>8} {:>8}",
        "", "logits", "rates", "gradient", "10 steps"
    );
    for architecture in ARCHITECTURES {
        let config = Config {
            depth: 3,
            ..Config::preset("demo").unwrap()
        };
        let config = config.with_width(32, 4).unwrap().of(architecture);
        let mut own: Classifier<f32, Cpu> = Classifier::new(config, 1, &Cpu::default()).unwrap();
        let mut other = own.on(device).unwrap().with_execution(Execution::Composed);
        let input = images.normalised(0..IMAGES, config.image_size).unwrap();

        let logits = distance(
            &other.forward(&input).unwrap(),
            &own.forward(&input).unwrap(),
        );

        let rate = Quantity::OFFICIAL_RATE;
        let exact = measure_input(&own, &input, &[rate], 0, 2).unwrap();
        let found = measure_input(&other, &input, &[rate], 0, 2).unwrap();
        let (found, exact) = (found.means(rate).unwrap(), exact.means(rate).unwrap());
        let pairs = found.iter().zip(&exact);
        let rates = pairs.map(|(a, b)| (a - b).abs() / b).fold(0.0, f64::max);

        let piece = |range: std::ops::Range<usize>| images.normalised(range, config.image_size);
        let labels = &images.labels;
        let new = || Optimiser::new(Method::AdamW, 0.05, Decay::All);
        let (mut own_optimiser, mut other_optimiser) = (new(), new());
        let mut gradient = 0.0;
        for step in 0..STEPS {
            let (_, exact) = gradients(&own, labels, OBJECTIVE, 2, piece).unwrap();
            let (_, found) = gradients(&other, labels, OBJECTIVE, 2, piece).unwrap();
            if step == 0 {
                let names = own.parameters();
                let pairs = names.iter().zip(found.iter().zip(&exact));
                let determined = pairs.filter(|(parameter, _)| is_determined(parameter));
                gradient = furthest(determined.map(|(_, (a, b))| (&a[..], &b[..])));
            }
            own_optimiser.step(&mut own, &exact, 1e-3).unwrap();
            other_optimiser.step(&mut other, &found, 1e-3).unwrap();
        }
        let (found, exact) = (other.parameters(), own.parameters());
        let pairs = found
            .iter()
            .zip(&exact)
            .filter(|(found, _)| is_determined(found));
        let trained = furthest(pairs.map(|(a, b)| (&a.values[..], &b.values[..])));

        let name = format!("{architecture:?}");
        println!("{name:<16} {logits:>8.1e} {rates:>8.1e} {gradient:>8.1e} {trained:>8.1e}");
        assert!(
            logits < FORWARD && rates < FORWARD,
            "{name}: {logits} {rates}"
        );
        assert!(
            gradient < BACKWARD && trained < BACKWARD,
            "{name}: {gradient} {trained}"
        );
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
