//! Agreement with the official PyTorch code, on checkpoints that it wrote: `tests/fixtures/official`,
//! and the folder that `WHITEBOX_PARITY` names. `tests/fixtures/make_official.py` makes both.

use std::path::{Path, PathBuf};

use dfdx::prelude::Cpu;
use ndarray::ArrayView2;
use safetensors::tensor::SafeTensors;
use serde_json::Value;
use whitebox::exact::official_rate;
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::probe::{Recorder, Site};
use whitebox::model::{Classifier, Config};
use whitebox::train;
use whitebox::train::optimiser::{Decay, Method, Optimiser};

/// Relative to the largest number of a tensor, or to its norm: what the project promises.
const FORWARD: f64 = 1e-5;
const BACKWARD: f64 = 1e-4;

struct Official {
    name: String,
    checkpoint: PathBuf,
    bytes: Vec<u8>,
    config: Config,
    settings: Value,
    smoothing: f64,
    drift: Value,
}

impl Official {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        let text: Value = serde_json::from_str(&metadata["parity"]).unwrap();
        let part = |key: &str| text[key].as_str().unwrap().to_owned();
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            checkpoint: path.with_extension("pth"),
            config: serde_json::from_str(&part("config")).unwrap(),
            settings: serde_json::from_str(&part("settings")).unwrap(),
            smoothing: part("smoothing").parse().unwrap(),
            drift: serde_json::from_str(&part("drift")).unwrap(),
            bytes,
        }
    }

    fn network(&self) -> Classifier<f32, Cpu> {
        let checkpoint = Checkpoint::read(&self.checkpoint).unwrap();
        checkpoint.network(self.config, &Cpu::default()).unwrap()
    }

    fn raw(&self, name: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let raw = self.raw(name);
        let chunks = raw.as_chunks::<4>().0.iter();
        chunks.map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        let raw = self.raw(name);
        let chunks = raw.as_chunks::<8>().0.iter();
        chunks.map(|chunk| f64::from_le_bytes(*chunk)).collect()
    }

    /// Inputs and labels of one step.
    fn batch(&self, step: usize) -> (Vec<f32>, Vec<usize>) {
        let (inputs, labels) = (self.f32("inputs"), self.raw("labels"));
        let labels: Vec<usize> = labels
            .as_chunks::<8>()
            .0
            .iter()
            .map(|c| u64::from_le_bytes(*c) as usize)
            .collect();
        let steps = 10;
        let (size, batch) = (inputs.len() / steps, labels.len() / steps);
        (
            inputs[step * size..(step + 1) * size].to_vec(),
            labels[step * batch..(step + 1) * batch].to_vec(),
        )
    }

    fn gradients(&self, network: &Classifier<f32, Cpu>, step: usize) -> (f64, Vec<Vec<f32>>) {
        let (input, labels) = self.batch(step);
        let image = input.len() / labels.len();
        let objective = train::Objective {
            smoothing: self.smoothing,
            penalty: None,
        };
        train::gradients(network, &labels, objective, 2, |range| {
            Ok(input[range.start * image..range.end * image].to_vec())
        })
        .unwrap()
    }

    /// What is allowed of `what`: [`BACKWARD`], or twice what the official code's own single precision
    /// differs by from its double precision, where that is more. In large networks it is, since some
    /// number is always within rounding of a ReLU's kink.
    fn backward(&self, what: &str) -> f64 {
        let drift = self.drift[what].as_f64().unwrap_or(0.0);
        BACKWARD.max(2.0 * drift)
    }

    /// The largest difference, relative to the largest number.
    fn compare(&self, what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
        assert_eq!(found.len(), expected.len(), "{}: {what}", self.name);
        let largest = expected.iter().fold(0.0f32, |a, v| a.max(v.abs()));
        let pairs = found.iter().zip(expected);
        let far = pairs.fold(0.0f32, |a, (x, y)| a.max((x - y).abs()));
        let far = f64::from(far) / f64::from(largest).max(f64::MIN_POSITIVE);
        println!("{}: {what}: {far:.1e}", self.name);
        assert!(far <= tolerance, "{}: {what} differs by {far:e}", self.name);
    }
}

fn all() -> Vec<Official> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/official");
    let folders = [
        Some(fixtures),
        std::env::var_os("WHITEBOX_PARITY").map(PathBuf::from),
    ];
    let mut files: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    assert!(files.len() >= 4);
    files.iter().map(|file| Official::read(file)).collect()
}

#[test]
fn logits_and_every_intermediate_are_those_of_the_official_code() {
    for official in all() {
        let sites = [
            (Site::LayerInput, "layer_input"),
            (Site::NORMALISED_INPUT, "normalised_input"),
            (Site::PROJECTION, "projection"),
            (Site::ATTENTION, "attention"),
            (Site::AFTER_MSSA, "after_mssa"),
            (Site::NORMALISED_AFTER_MSSA, "normalised_after_mssa"),
            (Site::AFTER_ISTA, "after_ista"),
        ];
        let mut recorder = Recorder::new(sites.map(|(site, _)| site));
        let network = official.network();
        let (input, _) = official.batch(0);
        let logits = network.forward_probed(&input, &mut recorder).unwrap();
        official.compare("logits", &logits, &official.f32("logits"), FORWARD);
        for (site, word) in sites {
            for layer in 0..official.config.depth {
                let name = format!("site/{layer}/{word}");
                let (_, found) = recorder.get(site, layer).unwrap();
                official.compare(&name, found, &official.f32(&name), FORWARD);
            }
        }
    }
}

#[test]
fn the_layer_wise_measurement_is_that_of_the_official_code() {
    for official in all() {
        let network = official.network();
        let mut recorder = Recorder::new([Site::PROJECTION, Site::AFTER_ISTA]);
        let (input, labels) = official.batch(0);
        network.forward_probed(&input, &mut recorder).unwrap();
        let (rates, nonzeros) = (official.f64("rate"), official.f64("nonzero"));
        let (tokens, inner) = (official.config.tokens(), official.config.inner());
        let batch = labels.len();
        for layer in 0..official.config.depth {
            let (_, projection) = recorder.get(Site::PROJECTION, layer).unwrap();
            let (_, after) = recorder.get(Site::AFTER_ISTA, layer).unwrap();
            for image in 0..batch {
                let own = &projection[image * tokens * inner..][..tokens * inner];
                let own = ArrayView2::from_shape((tokens, inner), own).unwrap();
                let found = official_rate(own, official.config.heads).unwrap().total;
                let expected = rates[layer * batch + image];
                let far = (found - expected).abs() / expected;
                assert!(
                    far <= FORWARD,
                    "{}: rate of layer {layer}: {far:e}",
                    official.name
                );
                let size = after.len() / batch;
                let own = &after[image * size..][..size];
                let found = own.iter().filter(|&&v| v != 0.0).count() as f64;
                // A number within rounding of the threshold may fall on either side.
                let far = (found - nonzeros[layer * batch + image] * size as f64).abs();
                let allowed = (FORWARD * size as f64).max(1.0);
                assert!(
                    far <= allowed,
                    "{}: {far} nonzeros in layer {layer}",
                    official.name
                );
            }
        }
    }
}

#[test]
fn the_gradient_of_every_parameter_is_that_of_the_official_code() {
    for official in all() {
        let network = official.network();
        let (loss, gradients) = official.gradients(&network, 0);
        official.compare("loss", &[loss as f32], &official.f32("loss"), FORWARD);
        for (values, gradient) in network.parameters().iter().zip(gradients) {
            let name = format!("gradient/{}", values.parameter.name);
            let allowed = official.backward("gradient");
            official.compare(&name, &gradient, &official.f32(&name), allowed);
        }
    }
}

#[test]
fn ten_steps_of_either_optimiser_end_where_the_official_ones_do() {
    for official in all() {
        for (method, word) in [(Method::AdamW, "adamw"), (Method::Lion, "lion")] {
            let settings = &official.settings[word];
            let number = |key: &str| settings[key].as_f64().unwrap();
            let mut network = official.network();
            let mut optimiser = Optimiser::new(method, number("decay"), Decay::All);
            for step in 0..10 {
                let (_, gradients) = official.gradients(&network, step);
                optimiser
                    .step(&mut network, &gradients, number("rate"))
                    .unwrap();
            }
            for values in network.parameters() {
                let name = format!("{word}/{}", values.parameter.name);
                let expected = official.f32(&name);
                let (found, expected) = (felt(&name, &values.values), felt(&name, &expected));
                official.compare(&name, &found, &expected, official.backward(word));
            }
        }
    }
}

/// The numbers of a parameter that the loss depends on. A softmax does not see what a bias of the keys
/// adds to a whole row of scores: its gradient is zero but for rounding, of which Lion takes the sign.
fn felt(name: &str, values: &[f32]) -> Vec<f32> {
    let third = values.len() / 3;
    match name.ends_with("attn.qkv.bias") {
        true => [&values[..third], &values[2 * third..]].concat(),
        false => values.to_vec(),
    }
}
