//! The masked autoencoders against the official PyTorch code, on what `tests/fixtures/make_official_autoencoder.py` kept
//! of it, and kernels against dfdx operations.

use std::path::Path;

use dfdx::prelude::*;
use safetensors::tensor::SafeTensors;
use serde_json::Value;
use whitebox::exact::layer::{decoder_layer, LayerParameters};
use whitebox::measure::segmentation::head_maps;
use whitebox::model::autoencoder::{sine_positions, Autoencoder, AutoencoderConfig, Kind, Unseen};
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::positions::Positions;
use whitebox::model::probe::{Probe, Recorder, Site};
use whitebox::model::{Encoder, Execution, Network};
use whitebox::train::masking::Masking;
use whitebox::train::optimiser::{gradients_of, Decay, Method, Optimiser};
use whitebox::train::tasks::reconstruct::{loss, Masked};

use crate::support::wave;

/// Relative to the largest number of a tensor, or to its norm: what the project promises.
const FORWARD: f64 = 1e-5;
const BACKWARD: f64 = 1e-4;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/autoencoder")
}

struct Official {
    name: &'static str,
    bytes: Vec<u8>,
    settings: Value,
    network: Autoencoder<f32, Cpu>,
}

impl Official {
    fn read(name: &'static str, unseen: Unseen) -> Self {
        let bytes = std::fs::read(folder().join(format!("{name}.safetensors"))).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let text = &metadata.metadata().as_ref().unwrap()["parity"];
        let text: Value = serde_json::from_str(text).unwrap();
        let settings = text["settings"].as_str().unwrap();
        let checkpoint = Checkpoint::read(&folder().join(format!("{name}.pth"))).unwrap();
        let config = checkpoint.autoencoder_config(unseen).unwrap();
        let network = checkpoint.autoencoder(config, &Cpu::default()).unwrap();
        assert_eq!(checkpoint.left_out(&network), Vec::<String>::new());
        Self {
            name,
            settings: serde_json::from_str(settings).unwrap(),
            network,
            bytes,
        }
    }

    fn numbers(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file
            .tensor(name)
            .unwrap_or_else(|_| panic!("{}: no {name}", self.name));
        let chunks = view.data().as_chunks::<4>().0.iter();
        chunks.map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    /// The images under the masks of one step.
    fn batch(&self, step: usize, masking: Masking) -> Masked {
        let masks = self.numbers("masks");
        let input = self.numbers("images");
        let predictions = self.network.config().predictions();
        let patches = predictions.cut(&input).unwrap();
        let size = masks.len() / 10;
        let masked = masks[step * size..(step + 1) * size].iter();
        Masked {
            targets: masking.targets(patches, predictions.width()),
            masked: masked.map(|&m| m == 1.0).collect(),
            input,
        }
    }

    /// The largest difference, relative to the largest number.
    fn compare(&self, what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
        assert_eq!(found.len(), expected.len(), "{}: {what}", self.name);
        let far = relative(found, expected);
        println!("{}: {what}: {far:.1e}", self.name);
        assert!(far <= tolerance, "{}: {what} differs by {far:e}", self.name);
    }
}

fn relative(found: &[f32], expected: &[f32]) -> f64 {
    let largest = expected.iter().fold(0.0f32, |a, v| a.max(v.abs()));
    let pairs = found.iter().zip(expected);
    let far = pairs.fold(0.0f32, |a, (x, y)| a.max((x - y).abs()));
    f64::from(far) / f64::from(largest).max(f64::MIN_POSITIVE)
}

fn all() -> [Official; 2] {
    let crate_mae = Unseen {
        heads: Some(3),
        decoder_heads: None,
        lambda: Some(0.5),
    };
    let vit_mae = Unseen {
        heads: Some(3),
        decoder_heads: Some(2),
        lambda: None,
    };
    [
        Official::read("crate-mae", crate_mae),
        Official::read("vit-mae", vit_mae),
    ]
}

#[test]
fn a_larger_picture_has_the_tokens_maps_and_keys_of_the_official_code() {
    let [crate_mae, _] = all();
    let official = Official {
        name: "larger",
        bytes: std::fs::read(folder().join("larger.safetensors")).unwrap(),
        ..crate_mae
    };
    let image = official.numbers("image");
    let tokens = |positions: Positions| {
        let network = official.network.at_size([32, 32], positions).unwrap();
        let mut recorder = Recorder::new([Site::LayerInput]);
        network.observe(&image, &mut recorder).unwrap();
        recorder.get(Site::LayerInput, 0).unwrap().1.to_vec()
    };
    let expected = official.numbers("tokens");
    let found = tokens(Positions::Official);
    official.compare("tokens", &found, &expected, FORWARD);
    // Read where timm reads them they are others: 1.4e-2 in PyTorch.
    assert!(relative(&tokens(Positions::Timm), &expected) > 1e-2);
    let network = official.network.at_size([32, 32], Positions::Official);
    let shown = head_maps::of_layers(&network.unwrap(), &image, &[2]).unwrap();
    let single = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<_>>();
    // Without the class token: its own entry in each head's row, its own row among the keys.
    let expected = official.numbers("class_attention");
    let expected = expected.chunks_exact(65).flat_map(|row| &row[1..]);
    let maps = single(shown[0].maps.iter().copied().collect());
    official.compare(
        "maps",
        &maps,
        &expected.copied().collect::<Vec<_>>(),
        FORWARD,
    );
    let keys = single(shown[0].keys.iter().copied().collect());
    let expected = official.numbers("keys").split_off(12);
    official.compare("keys", &keys, &expected, FORWARD);
}

fn value_and_gradients(network: &Autoencoder<f32, Cpu>, batch: &Masked) -> (f32, Vec<Vec<f32>>) {
    let loss = loss(network, batch, 1.0).unwrap().value;
    let value = loss.as_vec()[0];
    (value, gradients_of(network, loss.backward()).unwrap())
}

#[test]
fn latent_prediction_and_every_intermediate_are_those_of_the_official_code() {
    for official in all() {
        let network = &official.network;
        let sites = [
            (Site::LayerInput, "input"),
            (Site::After(0), "after.0"),
            (Site::After(1), "after.1"),
        ];
        let mut recorder = Recorder::new(sites.map(|(site, _)| site));
        let batch = official.batch(0, Masking::default());
        let found = network.reconstruct_probed(&batch.input, &batch.masked, &mut recorder);
        let expected = official.numbers("prediction");
        official.compare("prediction", &found.unwrap(), &expected, FORWARD);
        let latent = network.encode(&batch.input, &batch.masked).unwrap();
        official.compare("latent", &latent, &official.numbers("latent"), FORWARD);
        let config = network.config();
        let encoder = (0..config.encoder_depth).map(|layer| (layer, "encoder", layer));
        let decoder =
            (0..config.decoder_depth).map(|layer| (config.encoder_depth + layer, "decoder", layer));
        for (layer, half, own) in encoder.chain(decoder) {
            for (site, word) in sites {
                let name = format!("{half}.{own}.{word}");
                let (_, found) = recorder.get(site, layer).unwrap();
                official.compare(&name, found, &official.numbers(&name), FORWARD);
            }
        }
        // Without a mask, as for features.
        let features = network.encode(&batch.input, &[]).unwrap();
        let expected = official.numbers("features_tokens");
        official.compare("features", &features, &expected, FORWARD);
        assert_eq!(batch.targets, official.numbers("target"));
    }
}

#[test]
fn both_losses_and_the_gradient_of_every_parameter_are_those_of_the_official_code() {
    for official in all() {
        let network = &official.network;
        let batch = official.batch(0, Masking::default());
        let (value, gradients) = value_and_gradients(network, &batch);
        official.compare("loss", &[value], &official.numbers("loss"), FORWARD);
        let normalised = Masking {
            normalised_targets: true,
            ..Masking::default()
        };
        let (value, _) = value_and_gradients(network, &official.batch(0, normalised));
        let expected = official.numbers("loss_norm_pix");
        official.compare("normalised loss", &[value], &expected, FORWARD);
        for (values, gradient) in network.parameters().iter().zip(gradients) {
            if values.parameter.trained {
                let name = format!("gradient/{}", values.parameter.name);
                official.compare(&name, &gradient, &official.numbers(&name), BACKWARD);
            }
        }
    }
}

#[test]
fn ten_steps_of_adamw_end_where_the_official_ones_do_and_leave_alone_what_is_not_trained() {
    for official in all() {
        let number = |key: &str| official.settings[key].as_f64().unwrap();
        let (rate, decay) = (number("rate"), number("decay"));
        let mut network = official.network.clone();
        let mut optimiser =
            Optimiser::new(Method::AdamW, decay, Decay::TwoAxes).with_betas([0.9, 0.95]);
        let mut losses = Vec::new();
        for step in 0..10 {
            let batch = official.batch(step, Masking::default());
            let (value, gradients) = value_and_gradients(&network, &batch);
            losses.push(value);
            optimiser.step(&mut network, &gradients, rate).unwrap();
        }
        official.compare("losses", &losses, &official.numbers("losses"), BACKWARD);
        let mut untrained = 0;
        for values in network.parameters() {
            let name = format!("stepped/{}", values.parameter.name);
            let expected = official.numbers(&name);
            official.compare(&name, &values.values, &expected, BACKWARD);
            if !values.parameter.trained {
                assert_eq!(values.values, expected, "{name}");
                untrained += 1;
            }
        }
        assert_eq!(untrained, 4);
    }
}

#[test]
fn the_table_of_positions_is_the_official_one_and_not_its_transpose() {
    let bytes = std::fs::read(folder().join("positions.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (d, side) in [(12, 6), (128, 7)] {
        let view = file.tensor(&format!("d{d}.grid{side}.with_class")).unwrap();
        let chunks = view.data().as_chunks::<8>().0.iter();
        let official: Vec<f64> = chunks.map(|chunk| f64::from_le_bytes(*chunk)).collect();
        let far = |table: &[f64]| {
            let pairs = table.iter().zip(&official);
            pairs.fold(0.0f64, |far, (a, b)| far.max((a - b).abs()))
        };
        let own = sine_positions(d, side);
        assert_eq!(own.len(), official.len());
        assert!(far(&own) < 1e-6, "{}", far(&own));
        let mut transposed = own.clone();
        for patch in 0..side * side {
            let other = patch % side * side + patch / side;
            transposed[(1 + patch) * d..(2 + patch) * d]
                .copy_from_slice(&own[(1 + other) * d..(2 + other) * d]);
        }
        assert!(far(&transposed) > 0.5);
    }
}

/// Small, with sizes that share no factor by accident.
fn config(kind: Kind) -> AutoencoderConfig {
    AutoencoderConfig {
        kind,
        image_size: [12, 9],
        patch_size: [4, 3],
        channels: 2,
        d: 24,
        encoder_depth: 2,
        decoder_depth: 3,
        heads: 3,
        decoder_heads: 4,
        step_size: 0.1,
        lambda: 0.5,
    }
}

fn batch(config: &AutoencoderConfig, images: usize) -> Masked {
    let predictions = config.predictions();
    let input = wave(images * predictions.image(), 1.7);
    let input: Vec<f32> = input.into_iter().map(|x| x as f32).collect();
    let masked = wave(images * predictions.count(), 2.9);
    Masked {
        targets: predictions.cut(&input).unwrap(),
        masked: masked.into_iter().map(|x| x > -0.2).collect(),
        input,
    }
}

#[test]
fn kernels_and_dfdx_operations_agree_on_loss_and_gradients() {
    for kind in [Kind::CrateMae, Kind::VitMae] {
        let config = config(kind);
        let network = Autoencoder::new(config, 3, &Cpu::default()).unwrap();
        // Few tokens: the residual's form of ISTA; many: the folded one.
        for images in [2, 7] {
            let batch = batch(&config, images);
            let composed = network.clone().with_execution(Execution::Composed);
            let (ours, gradients) = value_and_gradients(&network, &batch);
            let (oracle, expected) = value_and_gradients(&composed, &batch);
            assert!((ours - oracle).abs() <= 1e-5 * oracle, "{ours} {oracle}");
            let names = network.parameters().into_iter();
            for ((found, expected), values) in gradients.iter().zip(&expected).zip(names) {
                let name = values.parameter.name;
                // No kernel looks for the gradient of what is not trained.
                if !values.parameter.trained {
                    assert!(found.iter().all(|&v| v == 0.0), "{kind:?}: {name}");
                    continue;
                }
                let far = relative(found, expected);
                assert!(far <= 1e-4, "{kind:?}, {images} images: {name} {far}");
                let some = expected.iter().any(|&v| v != 0.0);
                assert!(some, "{kind:?}: {name} has no gradient");
            }
        }
    }
}

#[test]
fn a_layer_of_the_decoder_is_that_of_the_papers_in_doubles() {
    let config = config(Kind::CrateMae);
    let single = Autoencoder::<f32, Cpu>::new(config, 3, &Cpu::default()).unwrap();
    let mut network = Autoencoder::<f64, Cpu>::new(config, 3, &Cpu::default()).unwrap();
    let moved = crate::support::convert(&single.parameters());
    network.set_parameters(&moved).unwrap();
    let named = |name: String| {
        let mut found = moved.iter().filter(|found| found.parameter.name == name);
        found.next().unwrap().values.clone()
    };
    let predictions = config.predictions();
    let mut recorder = Recorder::new([Site::LayerInput, Site::After(0), Site::After(1)]);
    let image = wave(predictions.image(), 1.7);
    network
        .reconstruct_probed(&image, &[], &mut recorder)
        .unwrap();
    let (d, tokens) = (config.d, config.tokens());
    let columns = |values: &[f64]| {
        let rows = ndarray::ArrayView2::from_shape((tokens, d), values).unwrap();
        rows.t().to_owned()
    };
    for layer in 0..config.decoder_depth {
        let before = format!("decoder_blocks.{layer}.layers.0");
        let vector = |name: &str| ndarray::Array1::from(named(format!("{before}.{name}")));
        let matrix = |name: &str| {
            let values = named(format!("{before}.{name}"));
            ndarray::Array2::from_shape_vec((d, d), values).unwrap()
        };
        let projection = matrix("1.fn.qkv.weight");
        let p = d / config.decoder_heads;
        let heads = (0..config.decoder_heads).map(|k| {
            let rows = projection.slice(ndarray::s![k * p..(k + 1) * p, ..]);
            rows.t().to_owned()
        });
        let parameters = LayerParameters {
            norm1: (vector("0.norm.weight"), vector("0.norm.bias")),
            bases: heads.collect(),
            output: Some((matrix("1.fn.to_out.0.weight"), vector("1.fn.to_out.0.bias"))),
            norm2: (vector("1.norm.weight"), vector("1.norm.bias")),
            dictionary: matrix("0.fn.weight"),
            step_size: 0.0,
            lambda: 0.0,
        };
        let at = |site| {
            let (_, values) = recorder.get(site, config.encoder_depth + layer).unwrap();
            columns(values)
        };
        let (read, next) = decoder_layer(at(Site::LayerInput).view(), &parameters);
        for (found, expected) in [(at(Site::After(0)), read), (at(Site::After(1)), next)] {
            let largest = expected.iter().fold(0.0f64, |a, v| a.max(v.abs()));
            let far = (found - expected)
                .iter()
                .fold(0.0f64, |a, v| a.max(v.abs()));
            assert!(far <= 1e-12 * largest, "layer {layer}: {far}");
        }
    }
}

#[test]
fn what_is_masked_changes_no_prediction_and_what_is_seen_changes_no_loss() {
    for kind in [Kind::CrateMae, Kind::VitMae] {
        let config = config(kind);
        let network = Autoencoder::new(config, 5, &Cpu::default()).unwrap();
        let batch = batch(&config, 2);
        let predictions = config.predictions();
        let width = predictions.width();
        let changed = |masked: bool| {
            let mut patches = batch.targets.clone();
            let own = patches.chunks_exact_mut(width).zip(&batch.masked);
            for (patch, _) in own.filter(|(_, m)| **m == masked) {
                patch.iter_mut().for_each(|x| *x += 1.0);
            }
            patches
        };
        let reconstruct = |patches: &[f32]| {
            let input = predictions.join(patches).unwrap();
            network.reconstruct(&input, &batch.masked).unwrap()
        };
        let found = reconstruct(&batch.targets);
        assert_eq!(reconstruct(&changed(true)), found);
        assert_ne!(reconstruct(&changed(false)), found);
        let (value, _) = value_and_gradients(&network, &batch);
        let with_targets = |targets| {
            let other = Masked {
                input: batch.input.clone(),
                masked: batch.masked.clone(),
                targets,
            };
            value_and_gradients(&network, &other).0
        };
        assert_eq!(with_targets(changed(false)), value);
        assert_ne!(with_targets(changed(true)), value);
    }
}

#[test]
fn a_probe_sees_the_decoder_behind_the_encoder() {
    struct Layers(Vec<usize>);
    impl Probe<f32> for Layers {
        fn wants(&self, site: Site, _: usize) -> bool {
            site == Site::LayerInput
        }
        fn observe(&mut self, _: Site, layer: usize, _: &[usize], _: Vec<f32>) {
            self.0.push(layer);
        }
    }
    let config = config(Kind::CrateMae);
    let network = Autoencoder::new(config, 5, &Cpu::default()).unwrap();
    let batch = batch(&config, 1);
    let mut seen = Layers(Vec::new());
    network
        .reconstruct_probed(&batch.input, &batch.masked, &mut seen)
        .unwrap();
    assert_eq!(seen.0, [0, 1, 2, 3, 4]);
}

#[test]
fn what_no_tensor_shows_is_asked_for_and_not_guessed() {
    let checkpoint = Checkpoint::read(&folder().join("crate-mae.pth")).unwrap();
    let refused = |unseen: Unseen| {
        let error = checkpoint.autoencoder_config(unseen).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let heads = Some(3);
    let lambda = refused(Unseen {
        heads,
        ..Unseen::default()
    });
    assert!(
        lambda.contains("lambda") && lambda.contains("5.0"),
        "{lambda}"
    );
    let without = Unseen {
        lambda: Some(0.5),
        ..Unseen::default()
    };
    assert!(refused(without).contains("heads"));
    let unseen = Unseen {
        heads,
        lambda: Some(5.0),
        decoder_heads: Some(1),
    };
    let config = checkpoint.autoencoder_config(unseen).unwrap();
    assert_eq!((config.lambda, config.decoder_heads), (5.0, 1));
    assert_eq!((config.encoder_depth, config.decoder_depth), (2, 3));
    assert_eq!((config.image_size, config.patch_size), ([24; 2], [4; 2]));
}
