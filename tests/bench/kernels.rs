//! `cargo bench`: the two blocks forward and backward, a training step, and the exact rates, at the
//! sizes of CRATE-Tiny. Timings of one machine against another's say little; the comparison with
//! PyTorch is `bench_vs_pytorch`.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use whitebox::exact::official_rate::official_rate;
use whitebox::fused::attention::{self, Keep, Roles};
use whitebox::fused::{ista, layer_norm};
use whitebox::model::{Classifier, Config};
use whitebox::train::optimiser::{Method, Optimiser};
use whitebox::train::recipe::Decay;
use whitebox::{parallel, seed, train};
/// Cross-entropy with the official label smoothing.
const OBJECTIVE: train::Objective = train::Objective {
    smoothing: 0.1,
    penalty: None,
};

const TOKENS: usize = 197;
const D: usize = 384;
const HEADS: usize = 6;

fn gaussian(name: &str, count: usize, scale: f32) -> Vec<f32> {
    let mut rng = seed::stream(0, name);
    (0..count)
        .map(|_| scale * rng.sample::<f32, _>(StandardNormal))
        .collect()
}

fn blocks(c: &mut Criterion) {
    let square = || gaussian("square", D * D, (D as f32).powf(-0.5));
    let (bases, output, dictionary) = (square(), square(), square());
    let (gain, bias) = (vec![1.0; D], vec![0.0; D]);
    let norm = layer_norm::Weights {
        gain: &gain,
        bias: &bias,
        epsilon: 1e-5,
    };
    let mssa = attention::Weights {
        norm,
        projection: &bases,
        projection_bias: None,
        output: Some((&output, &bias)),
        heads: HEADS,
        roles: Roles::One,
    };
    let folded = ista::fold(&dictionary, D, 0.1);
    let mut group = c.benchmark_group("block");
    for batch in [1, 8] {
        let z = gaussian("tokens", batch * TOKENS * D, 1.0);
        group.throughput(Throughput::Elements((batch * TOKENS) as u64));
        group.bench_with_input(BenchmarkId::new("mssa", batch), &z, |b, z| {
            b.iter(|| attention::forward(z, TOKENS, &mssa, Keep::Nothing));
        });
        group.bench_with_input(
            BenchmarkId::new("mssa there and back", batch),
            &z,
            |b, z| {
                b.iter(|| {
                    let (mut y, saved) = attention::forward(z, TOKENS, &mssa, Keep::Cheap);
                    let mut gradients = attention::Gradients {
                        norm: layer_norm::Gradients::zeros(D),
                        projection: vec![0.0; D * D],
                        projection_bias: None,
                        output: Some((vec![0.0; D * D], vec![0.0; D])),
                    };
                    attention::backward(z, TOKENS, &mssa, &saved, &mut y, &mut gradients);
                    gradients
                });
            },
        );
        for (form, folded) in [("residual", None), ("folded", Some(folded.as_slice()))] {
            let weights = ista::Weights {
                norm,
                dictionary: &dictionary,
                folded,
                step_size: 0.1,
                threshold: 0.01,
            };
            let name = format!("ista, {form}");
            group.bench_with_input(BenchmarkId::new(&name, batch), &z, |b, z| {
                b.iter(|| ista::forward(z, &weights));
            });
            let name = format!("ista there and back, {form}");
            group.bench_with_input(BenchmarkId::new(&name, batch), &z, |b, z| {
                b.iter(|| {
                    let (out, saved) = ista::forward(z, &weights);
                    let mut gradients = ista::Gradients {
                        norm: layer_norm::Gradients::zeros(D),
                        dictionary: vec![0.0; D * D],
                    };
                    let mut derivative = out.clone();
                    ista::backward(z, &out, &weights, &saved, &mut derivative, &mut gradients);
                    gradients
                });
            });
        }
    }
    group.finish();
}

fn step(c: &mut Criterion) {
    let config = Config::preset("crate-tiny").expect("a preset");
    let mut network =
        Classifier::new(config, 0, &dfdx::prelude::Cpu::default()).expect("memory for it");
    let mut optimiser = Optimiser::new(Method::AdamW, 0.1, Decay::All);
    let threads = parallel::default_threads();
    let image = 3 * 224 * 224;
    let mut group = c.benchmark_group("CRATE-Tiny");
    group.sample_size(10);
    for batch in [1usize, 8] {
        let images = gaussian("images", batch * image, 1.0);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("forward", batch), |b| {
            b.iter(|| {
                network
                    .forward_on(&images, threads)
                    .expect("images that fit")
            });
        });
        group.bench_function(BenchmarkId::new("training step", batch), |b| {
            b.iter(|| {
                let input = |range: std::ops::Range<usize>| {
                    Ok(images[range.start * image..range.end * image].to_vec())
                };
                let (_, gradients) =
                    train::gradients(&network, &vec![0; batch], OBJECTIVE, threads, input)
                        .expect("images that fit");
                parallel::within(threads, || optimiser.step(&mut network, &gradients, 1e-4))
                    .expect("threads")
                    .expect("gradients that fit");
            });
        });
    }
    group.finish();
}

fn rates(c: &mut Criterion) {
    let projections = Array2::from_shape_fn((TOKENS, 12 * 48), {
        let mut rng = seed::stream(0, "projections");
        move |_| rng.sample::<f64, _>(StandardNormal)
    });
    c.bench_function("exact rates, 12 heads of 48 x 197", |b| {
        b.iter(|| official_rate(projections.view(), 12).expect("numbers"));
    });
}

criterion_group!(benches, blocks, step, rates);
criterion_main!(benches);
