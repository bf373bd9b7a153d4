//! What a run needs to go on after an interruption: parameters, both moments, steps taken, the
//! record of finished epochs. Order and augmentation follow from seed and epoch.

use std::collections::HashMap;
use std::path::Path;

use dfdx::prelude::Cpu;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::optimiser::Optimiser;
use super::{Epoch, Recipe};
use crate::artefact;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::CrateClassifier;

const METADATA_KEY: &str = "whitebox.state";
const REMEDY: &str = "delete the state file to start again";

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    identity: String,
    steps: i32,
    epochs: Vec<Epoch>,
}

/// A text that is equal for equal runs: network, data, recipe and seed.
pub(super) fn identity(
    network: &CrateClassifier<f32, Cpu>,
    images: &Images,
    held_out: &Images,
    recipe: &Recipe,
    seed: u64,
) -> String {
    let text = serde_json::json!({
        "config": network.config(),
        "images": images.sha256,
        "held_out": held_out.sha256,
        "recipe": recipe,
        "seed": seed,
    });
    text.to_string()
}

/// Takes up the state in `path`, if there is one, and returns the epochs it holds.
pub(super) fn restore(
    path: &Path,
    identity: &str,
    network: &mut CrateClassifier<f32, Cpu>,
    optimiser: &mut Optimiser,
) -> Result<Vec<Epoch>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", path, e, REMEDY)),
    };
    let damaged = |got: String| Error::file(path, "the state of a training run", got, REMEDY);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let header: Header = metadata
        .metadata()
        .as_ref()
        .and_then(|m| m.get(METADATA_KEY))
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| damaged("no header".into()))?;
    if header.identity != identity {
        return Err(Error::file(
            path,
            format!("the state of this run, {identity}"),
            format!("that of another, {}", header.identity),
            REMEDY,
        ));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
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
    network.set_parameters(&parameters)?;
    optimiser.restore(header.steps, moments);
    Ok(header.epochs)
}

/// Writes the state atomically.
pub(super) fn save(
    path: &Path,
    identity: &str,
    network: &CrateClassifier<f32, Cpu>,
    optimiser: &Optimiser,
    epochs: &[Epoch],
) -> Result<()> {
    let unwritable = |e: String| Error::file(path, "a state that can be kept", e, REMEDY);
    let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
    for (index, found) in network.parameters().into_iter().enumerate() {
        let name = found.parameter.name;
        for (number, moment) in optimiser.moments().iter().enumerate() {
            let key = format!("moment{}/{name}", number + 1);
            tensors.push((key, artefact::f32_to_bytes(&moment[index])));
        }
        tensors.push((name, artefact::f32_to_bytes(&found.values)));
    }
    let mut views = Vec::with_capacity(tensors.len());
    for (name, data) in &tensors {
        let view = TensorView::new(Dtype::F32, vec![data.len() / 4], data)
            .map_err(|e| unwritable(e.to_string()))?;
        views.push((name.as_str(), view));
    }
    let header = Header {
        identity: identity.to_owned(),
        steps: optimiser.steps(),
        epochs: epochs.to_vec(),
    };
    let header = serde_json::to_string(&header).map_err(|e| unwritable(e.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
    artefact::write(path, &file)
}
