//! The network against the papers' formulas in f64, its kernels against dfdx operations, its
//! gradients against finite differences.

use dfdx::prelude::*;
use ndarray::{concatenate, Array1, Array2, Axis};
use whitebox::exact::layer::{crate_layer, LayerParameters};
use whitebox::model::parameters::{Parameter, Values, Visitor};
use whitebox::model::probe::{NoProbe, Recorder, Site};
use whitebox::model::{Architecture, Classifier, Config, Execution, Pool};
use whitebox::vectorised::Instructions;

use crate::support::{config, loss_and_gradients, network, wave, ARCHITECTURES};

/// One head as wide as the token, several heads narrower together than the token, one patch, mean
/// pooling: the edge cases of the official code.
fn configurations() -> Vec<Config> {
    let mut one_patch = config(2, 3, 4, 12);
    one_patch.patch_size = [6, 9];
    let mut mean = config(2, 2, 5, 10);
    mean.pool = Pool::Mean;
    vec![
        config(1, 1, 7, 7),
        config(3, 3, 5, 11),
        config(2, 4, 16, 33),
        one_patch,
        mean,
    ]
}

/// The same in every architecture.
fn all_configurations() -> Vec<Config> {
    let of = |config: Config| {
        ARCHITECTURES.map(|architecture| Config {
            architecture,
            ..config
        })
    };
    configurations().into_iter().flat_map(of).collect()
}

fn images(config: &Config, count: usize) -> Vec<f64> {
    let size = config.channels * config.image_size[0] * config.image_size[1];
    wave(count * size, 0.71)
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

fn find<'a>(parameters: &'a [Values<f64>], name: &str) -> Option<&'a Values<f64>> {
    parameters.iter().find(|v| v.parameter.name == name)
}

fn vector(parameters: &[Values<f64>], name: &str) -> Array1<f64> {
    Array1::from(find(parameters, name).unwrap().values.clone())
}

fn matrix(parameters: &[Values<f64>], name: &str) -> Array2<f64> {
    let found = find(parameters, name).unwrap();
    let shape = (found.parameter.shape[0], found.parameter.shape[1]);
    Array2::from_shape_vec(shape, found.values.clone()).unwrap()
}

fn layer_parameters(network: &Classifier<f64, Cpu>, layer: usize) -> LayerParameters {
    let all = network.parameters();
    let config = network.config();
    let prefix = format!("transformer.layers.{layer}");
    let norm = |block: usize| {
        (
            vector(&all, &format!("{prefix}.{block}.norm.weight")),
            vector(&all, &format!("{prefix}.{block}.norm.bias")),
        )
    };
    let projection = matrix(&all, &format!("{prefix}.0.fn.qkv.weight"));
    let output = format!("{prefix}.0.fn.to_out.0");
    let bases: Vec<Array2<f64>> = projection
        .axis_chunks_iter(Axis(0), config.head_width)
        .map(|block| block.t().to_owned())
        .collect();
    let free = find(&all, &format!("{output}.weight")).map(|_| {
        (
            matrix(&all, &format!("{output}.weight")),
            vector(&all, &format!("{output}.bias")),
        )
    });
    let tied = find(&all, &format!("{prefix}.0.fn.to_out.scale")).map(|scale| {
        let blocks: Vec<_> = bases.iter().map(|basis| basis.view()).collect();
        let side_by_side = concatenate(Axis(1), &blocks).unwrap();
        (side_by_side * scale.values[0], Array1::zeros(config.d))
    });
    assert_eq!(config.architecture.has_tied_output(), tied.is_some());
    LayerParameters {
        norm1: norm(0),
        output: free.or(tied),
        bases,
        norm2: norm(1),
        dictionary: matrix(&all, &format!("{prefix}.1.fn.weight")),
        step_size: config.step_size,
        lambda: config.lambda,
    }
}

/// Largest difference relative to the largest entry.
fn relative_error(found: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let size = exact.iter().fold(1e-300f64, |a, x| a.max(x.abs()));
    let pairs = found.iter().zip(exact);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

/// Both compute the same sums of a few hundred terms in f64: 1e-12 is some 100 times the rounding
/// that these can collect over three layers.
#[test]
fn every_layer_follows_the_papers_formulas() {
    let of = |architecture| {
        configurations()
            .into_iter()
            .map(move |c| c.of(architecture))
    };
    for config in of(Architecture::Crate).chain(of(Architecture::CrateTied)) {
        let network = network::<f64>(config, 3);
        let mut recorder =
            Recorder::new([Site::LayerInput, Site::AFTER_MSSA, Site::AFTER_ISTA].to_vec());
        network
            .forward_probed(&images(&config, 2), &mut recorder)
            .unwrap();
        for layer in 0..config.depth {
            let parameters = layer_parameters(&network, layer);
            let at = |site| recorder.get(site, layer).unwrap();
            let (shape, input) = at(Site::LayerInput);
            let size = shape[1] * shape[2];
            for (image, input) in input.chunks_exact(size).enumerate() {
                let tokens = Array2::from_shape_vec((shape[1], shape[2]), input.to_vec()).unwrap();
                let (after_mssa, after_ista) = crate_layer(tokens.t(), &parameters);
                for (site, exact) in [
                    (Site::AFTER_MSSA, after_mssa),
                    (Site::AFTER_ISTA, after_ista),
                ] {
                    let found = &at(site).1[image * size..(image + 1) * size];
                    let exact: Vec<f64> = exact.t().iter().copied().collect();
                    let error = relative_error(found, &exact);
                    assert!(error < 1e-12, "{config:?} layer {layer} {site:?}: {error}");
                }
            }
        }
    }
}

/// Embedding and head, written out once more: patches channel-fastest, LayerNorm, linear, LayerNorm,
/// class token first, positions added; class token or mean, LayerNorm, linear.
#[test]
fn embedding_and_head_follow_the_official_code() {
    use whitebox::exact::layer::layer_norm;
    for config in configurations() {
        let network = network::<f64>(config, 4);
        let all = network.parameters();
        let input = images(&config, 1);
        let mut recorder = Recorder::new([Site::LayerInput, Site::AFTER_ISTA].to_vec());
        let logits = network.forward_probed(&input, &mut recorder).unwrap();

        let [height, width] = config.image_size;
        let [p1, p2] = config.patch_size;
        let mut patches = Array2::zeros((config.patch_width(), config.patches()));
        for patch in 0..config.patches() {
            let (row, column) = (patch / (width / p2) * p1, patch % (width / p2) * p2);
            let mut index = 0;
            for y in 0..p1 {
                for x in 0..p2 {
                    for c in 0..config.channels {
                        patches[(index, patch)] =
                            input[(c * height + row + y) * width + column + x];
                        index += 1;
                    }
                }
            }
        }
        let norm = |z: &Array2<f64>, name: &str| {
            let gain = vector(&all, &format!("{name}.weight"));
            let bias = vector(&all, &format!("{name}.bias"));
            layer_norm(z.view(), gain.view(), bias.view())
        };
        let linear = |z: &Array2<f64>, name: &str| {
            let bias = vector(&all, &format!("{name}.bias"));
            matrix(&all, &format!("{name}.weight")).dot(z) + bias.insert_axis(ndarray::Axis(1))
        };
        let embedded = norm(&patches, "to_patch_embedding.1");
        let embedded = linear(&embedded, "to_patch_embedding.2");
        let embedded = norm(&embedded, "to_patch_embedding.3");
        let mut tokens = Array2::zeros((config.d, config.tokens()));
        tokens.column_mut(0).assign(&vector(&all, "cls_token"));
        tokens.slice_mut(ndarray::s![.., 1..]).assign(&embedded);
        let positions = Array2::from_shape_vec(
            (config.tokens(), config.d),
            find(&all, "pos_embedding").unwrap().values.clone(),
        );
        tokens += &positions.unwrap().t();
        let (_, found) = recorder.get(Site::LayerInput, 0).unwrap();
        let exact: Vec<f64> = tokens.t().iter().copied().collect();
        assert!(relative_error(found, &exact) < 1e-13);

        let (_, last) = recorder.get(Site::AFTER_ISTA, config.depth - 1).unwrap();
        let last = Array2::from_shape_vec((config.tokens(), config.d), last.to_vec()).unwrap();
        let pooled = match config.pool {
            Pool::Cls => last.row(0).to_owned(),
            Pool::Mean => last.mean_axis(ndarray::Axis(0)).unwrap(),
        };
        let pooled = norm(&pooled.insert_axis(ndarray::Axis(1)), "mlp_head.0");
        let exact: Vec<f64> = linear(&pooled, "mlp_head.1").iter().copied().collect();
        assert!(relative_error(&logits, &exact) < 1e-13);
    }
}

/// The error model is the composed f32 network itself: against f64, the kernels may be at most four
/// times as far off, or a few units in the last place.
#[test]
fn kernels_are_as_accurate_as_dfdx_operations_forward_and_backward() {
    for config in all_configurations() {
        let input = images(&config, 3);
        let exact = network::<f64>(config, 5);
        let fused = network::<f32>(config, 5);
        let composed = network::<f32>(config, 5).with_execution(Execution::Composed);
        let widen = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
        let within = |what: &str, fused: Vec<f32>, composed: Vec<f32>, exact: &[f64]| {
            let (fused, composed) = (
                relative_error(&widen(fused), exact),
                relative_error(&widen(composed), exact),
            );
            assert!(
                fused <= 4.0 * composed + 4.0 * f64::from(f32::EPSILON),
                "{config:?} {what}: kernels {fused:e}, operations {composed:e}"
            );
        };
        let narrow = single(&input);
        let logits = exact.forward(&widen(narrow.clone())).unwrap();
        within(
            "logits",
            fused.forward(&narrow).unwrap(),
            composed.forward(&narrow).unwrap(),
            &logits,
        );

        let exact_gradients = f64_gradients(&exact, &widen(narrow.clone()));
        let (_, fused_gradients) = loss_and_gradients(&fused, &narrow);
        let (_, composed_gradients) = loss_and_gradients(&composed, &narrow);
        for (index, found) in fused.parameters().iter().enumerate() {
            within(
                &found.parameter.name,
                fused_gradients[index].clone(),
                composed_gradients[index].clone(),
                &exact_gradients[index],
            );
        }
    }
}

#[test]
fn kernels_show_the_same_intermediates_as_dfdx_operations() {
    let sites = [
        Site::LayerInput,
        Site::NORMALISED_INPUT,
        Site::PROJECTION,
        Site::Keys(0),
        Site::ATTENTION,
        Site::AFTER_MSSA,
        Site::NORMALISED_AFTER_MSSA,
        Site::AFTER_ISTA,
    ];
    for config in ARCHITECTURES.map(|architecture| Config {
        architecture,
        ..config(2, 3, 5, 11)
    }) {
        let input = single(&images(&config, 2));
        let record = |path| {
            let mut recorder = Recorder::new(sites.to_vec());
            network::<f32>(config, 6)
                .with_execution(path)
                .forward_probed(&input, &mut recorder)
                .unwrap();
            recorder
        };
        let (fused, composed) = (record(Execution::Fastest), record(Execution::Composed));
        assert_eq!(fused.records.len(), sites.len() * config.depth);
        for (site, layer, shape, values) in &composed.records {
            let (found_shape, found) = fused.get(*site, *layer).unwrap();
            assert_eq!(found_shape, shape);
            let widen = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            assert!(
                relative_error(&widen(found), &widen(values)) < 1e-5,
                "{site:?}"
            );
        }
    }
}

#[test]
fn a_nan_in_an_image_reaches_the_logits_of_that_image_alone() {
    let config = config(2, 3, 5, 11);
    let mut input = single(&images(&config, 2));
    input[0] = f32::NAN;
    let logits = network::<f32>(config, 6).forward(&input).unwrap();
    let (first, second) = logits.split_at(config.classes);
    assert!(first.iter().all(|x| x.is_nan()) && second.iter().all(|x| x.is_finite()));
}

/// Gradients in f64, composed.
fn f64_gradients(network: &Classifier<f64, Cpu>, input: &[f64]) -> Vec<Vec<f64>> {
    struct Copy<'a>(&'a Gradients<f64, Cpu>, Vec<Vec<f64>>);
    impl Visitor<f64, Cpu> for Copy<'_> {
        fn visit<S: Shape>(
            &mut self,
            _: &Parameter,
            tensor: &mut Tensor<S, f64, Cpu>,
        ) -> whitebox::Result<()> {
            self.1.push(self.0.get(tensor).as_vec());
            Ok(())
        }
    }
    let loss = f64_loss(network, input);
    let gradients = loss.backward();
    let mut copy = Copy(&gradients, Vec::new());
    network.clone().visit_parameters(&mut copy).unwrap();
    copy.1
}

fn f64_loss(
    network: &Classifier<f64, Cpu>,
    input: &[f64],
) -> Tensor<Rank0, f64, Cpu, OwnedTape<f64, Cpu>> {
    let patches = network.patches(input).unwrap();
    let logits = network
        .try_forward_patches(patches.leaky_traced(), &mut NoProbe)
        .unwrap();
    let shape = *logits.shape();
    let weights = network
        .device()
        .tensor_from_vec(wave(shape.0 * shape.1, 1.3), shape);
    (logits * weights).sum::<Rank0, _>()
}

/// Central differences with h = 1e-6 are off by O(h^2) = 1e-12 of the third derivative and by the
/// rounding of the loss over h, about 1e-9; 1e-6 of the parameter's largest derivative leaves room
/// for large third derivatives. No ReLU changes side within h at these numbers.
#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for config in all_configurations() {
        let network = network::<f64>(config, 7);
        let input = images(&config, 2);
        let gradients = f64_gradients(&network, &input);
        let parameters = network.parameters();
        let h = 1e-6;
        for (index, gradient) in gradients.iter().enumerate() {
            let size = gradient.iter().fold(0.0f64, |a, g| a.max(g.abs()));
            for position in [0, gradient.len() / 3, gradient.len() - 1] {
                let value = |step: f64| {
                    let mut moved = parameters.clone();
                    moved[index].values[position] += step;
                    let mut network = network.clone();
                    network.set_parameters(&moved).unwrap();
                    f64_loss(&network, &input).as_vec()[0]
                };
                let slope = (value(h) - value(-h)) / (2.0 * h);
                let error = (slope - gradient[position]).abs();
                assert!(
                    error <= 1e-6 * size + 1e-8,
                    "{config:?} {} at {position}: slope {slope}, gradient {}",
                    parameters[index].parameter.name,
                    gradient[position]
                );
            }
        }
    }
}

#[test]
fn an_image_gets_the_same_logits_alone_and_in_a_batch() {
    let config = config(2, 3, 5, 11);
    let network = network::<f64>(config, 8);
    let input = images(&config, 3);
    let size = input.len() / 3;
    let logits = network.forward(&input).unwrap();
    for (image, logits) in logits.chunks_exact(config.classes).enumerate() {
        let alone = network.forward(&input[image * size..(image + 1) * size]);
        assert!(relative_error(&alone.unwrap(), logits) < 1e-14);
    }
}

#[test]
fn logits_and_gradients_have_the_same_bits_with_avx2_and_avx512() {
    let mut wide = config(2, 2, 64, 128);
    wide.image_size = [24, 27];
    for config in all_configurations().into_iter().chain([wide]) {
        let images = single(&images(&config, 3));
        let network = network::<f32>(config, 5);
        let mut all = [Instructions::Avx2, Instructions::Avx512].map(|limit| {
            Instructions::limit(limit);
            // A copy of its own: parameters are put in order for the instructions at hand.
            let mut network = network.clone();
            network.set_parameters(&network.parameters()).unwrap();
            let logits = network.forward(&images).unwrap();
            (logits, loss_and_gradients(&network, &images))
        });
        let [narrow, wide] = &mut all;
        assert_eq!(narrow.0, wide.0, "{config:?}");
        assert_eq!(narrow.1, wide.1, "{config:?}");
    }
}
