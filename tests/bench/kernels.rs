//! `cargo bench`: attention over the number of tokens, matrix products, a training step, and the exact rates, at the
//! sizes of CRATE-Tiny. Timings of one machine against another's say little; the comparison with
//! PyTorch is `bench_vs_pytorch`.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use whitebox::exact::official_rate::official_rate;
use whitebox::fused::attention::{self, Roles};
use whitebox::fused::buffer::Buffer;
use whitebox::fused::layer_norm;
use whitebox::fused::product::{product, Matrix, MatrixMut, Panels};
use whitebox::mask::Mask;
use whitebox::model::{Classifier, Config};
use whitebox::train::optimiser::{Decay, Method, Optimiser};
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

/// MSSA of one sample, forward and the adjoint of its heads, over the number of tokens.
fn attention(c: &mut Criterion) {
    let square = || gaussian("square", D * D, (D as f32).powf(-0.5));
    let [bases, output] = [square(), square()].map(|m| Panels::of(Matrix::new(&m, D, D).t()));
    let (gain, bias) = (vec![1.0; D], vec![0.0; D]);
    let weights = attention::Weights {
        norm: layer_norm::Weights {
            gain: &gain,
            bias: &bias,
            epsilon: 1e-5,
        },
        projection: &bases,
        projection_bias: None,
        output: Some((&output, &bias)),
        heads: HEADS,
        head_width: D / HEADS,
        roles: Roles::One,
        mask: Mask::None,
    };
    let mut group = c.benchmark_group("MSSA");
    for tokens in [65, TOKENS, 785, 2048] {
        let z = gaussian("tokens", tokens * D, 1.0);
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_with_input(BenchmarkId::new("forward", tokens), &z, |b, z| {
            b.iter(|| attention::forward(z, tokens, &weights));
        });
        let (y, saved) = attention::forward(&z, tokens, &weights);
        let mut dw = Buffer::zeroed(saved.projection.len());
        group.bench_with_input(
            BenchmarkId::new("adjoint of the heads", tokens),
            &y,
            |b, y| {
                b.iter(|| attention::heads::backward_all(&saved, y, tokens, &weights, &mut dw));
            },
        );
    }
    group.finish();
}

/// The products of a layer: tokens by weights in order, and the gradient of the weights.
fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("product");
    for rows in [TOKENS, 8 * TOKENS] {
        let x = gaussian("tokens", rows * D, 1.0);
        let panels = Panels::of(Matrix::new(&gaussian("square", D * D, 1.0), D, D));
        let mut result = Buffer::zeroed(rows * D);
        group.throughput(Throughput::Elements((2 * rows * D * D) as u64));
        group.bench_function(BenchmarkId::new("tokens by weights", rows), |b| {
            b.iter(|| {
                let result = MatrixMut::new(&mut result, rows, D);
                product(result, Matrix::new(&x, rows, D), &panels, 1.0, false);
            });
        });
        let x = Matrix::new(&x, rows, D);
        let mut gradient = Buffer::zeroed(D * D);
        group.bench_function(BenchmarkId::new("gradient of weights", rows), |b| {
            b.iter(|| {
                let gradient = MatrixMut::new(&mut gradient, D, D);
                product(gradient, x.t(), &Panels::in_place(x), 1.0, false);
            });
        });
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

criterion_group!(benches, attention, products, step, rates);
criterion_main!(benches);
