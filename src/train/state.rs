//! What a run needs to go on after an interruption: parameters, their average, moments, steps taken, the record of
//! finished epochs and how far the running one has come. Learning rate, order and augmentation follow
//! from recipe, seed, epoch and batch.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::optimiser::Optimiser;
use super::{Epoch, Recipe};
use crate::artefact;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::{Backbone, Classifier};

const METADATA_KEY: &str = "whitebox.state";
const REMEDY: &str = "delete the state file to start again";

/// How far a run has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) epochs: Vec<Epoch>,
    /// Batches done of the epoch after those.
    pub(super) batches: usize,
    /// Sum of their images' losses.
    pub(super) loss: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    identity: serde_json::Value,
    steps: i32,
    progress: Progress,
    /// SHA-256 of steps, progress and all tensors with their names, in the order of those.
    sha256: String,
}

/// See [`Header::sha256`].
fn digest<'a>(
    steps: i32,
    progress: &Progress,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> std::result::Result<String, serde_json::Error> {
    let head = serde_json::to_vec(&(steps, progress))?;
    let tensors: Vec<_> = tensors.collect();
    let parts = tensors
        .iter()
        .flat_map(|(name, data)| [name.as_bytes(), data]);
    Ok(artefact::sha256_of(
        std::iter::once(head.as_slice()).chain(parts),
    ))
}

/// A value that is equal for equal runs: network and its start, data, recipe and seed.
pub(super) fn identity<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    images: &Images,
    held_out: &Images,
    recipe: &Recipe,
    seed: u64,
) -> serde_json::Value {
    let start = network.parameters().into_iter();
    let start: Vec<Vec<u8>> = start.map(|p| artefact::f32_to_bytes(&p.values)).collect();
    serde_json::json!({
        "config": network.config(),
        "start": artefact::sha256_of(start.iter().map(Vec::as_slice)),
        "images": images.sha256,
        "held_out": held_out.sha256,
        "recipe": recipe,
        "seed": seed,
    })
}

/// The settings in which two runs differ, "recipe.epochs 10 (here 20)".
pub fn differences(theirs: &serde_json::Value, own: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_differences(theirs, own, "", &mut found);
    found
}

fn collect_differences(
    theirs: &serde_json::Value,
    own: &serde_json::Value,
    at: &str,
    to: &mut Vec<String>,
) {
    if let (Some(a), Some(b)) = (theirs.as_object(), own.as_object()) {
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let at = if at.is_empty() {
                key.clone()
            } else {
                format!("{at}.{key}")
            };
            let null = serde_json::Value::Null;
            let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
            collect_differences(a, b, &at, to);
        }
    } else if theirs != own {
        to.push(format!("{at} {theirs} (here {own})"));
    }
}

/// Where the state of a run is kept, if it is, and what tells it from other runs.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) path: Option<&'a Path>,
    /// See [`identity`].
    pub(super) identity: serde_json::Value,
}

impl State<'_> {
    /// Takes up the state, if there is one, and returns how far it had come.
    pub(super) fn restore<D: Backbone<f32>>(
        &self,
        network: &mut Classifier<f32, D>,
        optimiser: &mut Optimiser,
        average: Option<&mut Average>,
    ) -> Result<Progress> {
        let Some(path) = self.path else {
            return Ok(Progress::default());
        };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Progress::default()),
            Err(e) => return Err(Error::io("read", path, e, REMEDY)),
        };
        let damaged = |got: String| Error::file(path, "the state of a training run", got, REMEDY);
        let (_, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let header: Header = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get(METADATA_KEY))
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| damaged("no header".into()))?;
        let differing = differences(&header.identity, &self.identity);
        if !differing.is_empty() {
            return Err(Error::file(
                path,
                "the state of this run",
                format!("that of another: {}", differing.join(", ")),
                REMEDY,
            ));
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let mut tensors = file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let numbers = tensors
            .iter()
            .map(|(name, view)| (name.as_str(), view.data()));
        let sha256 =
            digest(header.steps, &header.progress, numbers).map_err(|e| damaged(e.to_string()))?;
        if sha256 != header.sha256 {
            return Err(damaged(format!(
                "numbers of SHA-256 {sha256}, not {}",
                header.sha256
            )));
        }
        let read = |name: &str| -> Result<Vec<f32>> {
            let view = file.tensor(name).map_err(|e| damaged(e.to_string()))?;
            Ok(artefact::f32_from_bytes(view.data()))
        };
        let mut parameters = network.parameters();
        let mut moments = vec![Vec::new(); optimiser.moments().len()];
        for found in &mut parameters {
            let name = &found.parameter.name;
            found.values = read(name)?;
            for (index, moment) in moments.iter_mut().enumerate() {
                moment.push(read(&format!("moment{}/{name}", index + 1))?);
            }
        }
        if let Some(average) = average {
            let names = parameters.iter().map(|found| &found.parameter.name);
            let values: Result<_> = names.map(|name| read(&format!("average/{name}"))).collect();
            average.restore(values?);
        }
        network.set_parameters(&parameters)?;
        optimiser.restore(header.steps, moments);
        Ok(header.progress)
    }

    /// Writes the state atomically, if there is a place for it.
    pub(super) fn save<D: Backbone<f32>>(
        &self,
        network: &Classifier<f32, D>,
        optimiser: &Optimiser,
        average: Option<&Average>,
        progress: &Progress,
    ) -> Result<()> {
        let Some(path) = self.path else { return Ok(()) };
        let unwritable = |e: String| Error::file(path, "a state that can be kept", e, REMEDY);
        let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
        let mut averages = average.map(Average::values);
        for (index, found) in network.parameters().into_iter().enumerate() {
            let name = found.parameter.name;
            // The state that is there is good; this one would never be again.
            if let Some(value) = found.values.iter().find(|value| !value.is_finite()) {
                return Err(Error::Diverged {
                    epoch: progress.epochs.len() + usize::from(progress.batches > 0),
                    step: usize::try_from(optimiser.steps()).unwrap_or_default(),
                    what: format!("a number of {name} is {value}"),
                });
            }
            if let Some(values) = averages.as_mut().and_then(Iterator::next) {
                let key = format!("average/{name}");
                tensors.push((key, artefact::f32_to_bytes(values)));
            }
            for (number, moment) in optimiser.moments().iter().enumerate() {
                let key = format!("moment{}/{name}", number + 1);
                tensors.push((key, artefact::f32_to_bytes(&moment[index])));
            }
            tensors.push((name, artefact::f32_to_bytes(&found.values)));
        }
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut views = Vec::with_capacity(tensors.len());
        for (name, data) in &tensors {
            let view = TensorView::new(Dtype::F32, vec![data.len() / 4], data)
                .map_err(|e| unwritable(e.to_string()))?;
            views.push((name.as_str(), view));
        }
        let header = Header {
            identity: self.identity.clone(),
            steps: optimiser.steps(),
            progress: progress.clone(),
            sha256: digest(
                optimiser.steps(),
                progress,
                tensors
                    .iter()
                    .map(|(name, data)| (name.as_str(), data.as_slice())),
            )
            .map_err(|e| unwritable(e.to_string()))?,
        };
        let header = serde_json::to_string(&header).map_err(|e| unwritable(e.to_string()))?;
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
        let file =
            safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
        artefact::write(path, &file)
    }
}
