//! What a run needs to go on after an interruption: parameters and buffers of the network, their average, moments,
//! steps taken, the record of finished epochs and how far the running one has come. Learning rate, order and what is
//! drawn at random follow from recipe, seed, epoch and batch.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::optimiser::Optimiser;
use super::task::Scored;
use super::{Epoch, Recipe};
use crate::artefact;
use crate::error::{Error, Result};
use crate::model::{Network, Runtime};

const METADATA_KEY: &str = "whitebox.state";
const REMEDY: &str = "delete the state file to start again";

/// How far a run has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Progress<S> {
    pub(super) epochs: Vec<Epoch<S>>,
    /// Batches done of the epoch after those.
    pub(super) batches: usize,
    /// Sum of their examples' losses.
    pub(super) loss: f64,
}

impl<S> Default for Progress<S> {
    fn default() -> Self {
        Self {
            epochs: Vec::new(),
            batches: 0,
            loss: 0.0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header<S> {
    identity: serde_json::Value,
    #[serde(flatten)]
    counts: Counts<S>,
    /// SHA-256 of the counts and all tensors with their names, in the order of those.
    sha256: String,
}

/// What is counted in the course of a run.
#[derive(Debug, Serialize, Deserialize)]
struct Counts<S> {
    steps: i32,
    progress: Progress<S>,
    /// Steps that a parameter took part in, where they are not all of them.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    own_steps: BTreeMap<String, i32>,
}

/// See [`Header::sha256`].
fn digest<'a, S: Serialize>(
    counts: &Counts<S>,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> std::result::Result<String, serde_json::Error> {
    let head = if counts.own_steps.is_empty() {
        serde_json::to_vec(&(counts.steps, &counts.progress))?
    } else {
        serde_json::to_vec(&(counts.steps, &counts.progress, &counts.own_steps))?
    };
    let tensors: Vec<_> = tensors.collect();
    let parts = tensors
        .iter()
        .flat_map(|(name, data)| [name.as_bytes(), data]);
    Ok(artefact::sha256_of(
        std::iter::once(head.as_slice()).chain(parts),
    ))
}

/// A value that is equal for equal runs: the task's own, the network's start, recipe and seed.
pub(super) fn identity<D: Runtime<f32>>(
    network: &impl Network<f32, D>,
    task: serde_json::Value,
    recipe: &Recipe,
    seed: u64,
) -> serde_json::Value {
    let parameters = network.parameters().into_iter().map(|found| found.values);
    let buffers = network.buffers().into_iter().map(|(_, values)| values);
    let start = parameters.chain(buffers);
    let start: Vec<Vec<u8>> = start
        .map(|values| artefact::f32_to_bytes(&values))
        .collect();
    let mut identity = serde_json::json!({
        "start": artefact::sha256_of(start.iter().map(Vec::as_slice)),
        "recipe": recipe,
        "seed": seed,
    });
    match (identity.as_object_mut(), task) {
        (Some(identity), serde_json::Value::Object(task)) => identity.extend(task),
        (_, task) => identity["task"] = task,
    }
    identity
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
    pub(super) fn restore<N: Network<f32, D>, D: Runtime<f32>, S: Scored>(
        &self,
        network: &mut N,
        optimiser: &mut Optimiser,
        average: Option<&mut Average>,
    ) -> Result<Progress<S>> {
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
        let header: Header<S> = metadata
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
        let counts = header.counts;
        let sha256 = digest(&counts, numbers).map_err(|e| damaged(e.to_string()))?;
        if sha256 != header.sha256 {
            return Err(damaged(format!(
                "numbers of SHA-256 {sha256}, not {}",
                header.sha256
            )));
        }
        let read = |name: &str, length: usize| -> Result<Vec<f32>> {
            let view = file.tensor(name).map_err(|e| damaged(e.to_string()))?;
            let values = artefact::f32_from_bytes(view.data());
            if values.len() != length {
                return Err(damaged(format!(
                    "{} numbers of {name}, not {length}",
                    values.len()
                )));
            }
            Ok(values)
        };
        let mut parameters = network.parameters();
        for found in &mut parameters {
            found.values = read(&found.parameter.name, found.values.len())?;
        }
        let buffers = network.buffers().into_iter();
        let buffers = buffers.map(|(name, values)| read(&buffer(&name), values.len()));
        let buffers: Result<Vec<_>> = buffers.collect();
        if let Some(average) = average {
            average.restore(|name, length| read(&format!("average/{name}"), length))?;
        }
        let kept = optimiser.kept();
        optimiser.restore(counts.steps, |name, length| {
            let moments = (0..kept).map(|index| read(&moment(index, name), length));
            let steps = counts.own_steps.get(name).copied();
            Ok((
                steps.unwrap_or(counts.steps),
                moments.collect::<Result<_>>()?,
            ))
        })?;
        network.set_parameters(&parameters)?;
        network.set_buffers(buffers?)?;
        Ok(counts.progress)
    }

    /// Writes the state atomically, if there is a place for it.
    pub(super) fn save<D: Runtime<f32>, S: Scored>(
        &self,
        network: &impl Network<f32, D>,
        optimiser: &Optimiser,
        average: Option<&Average>,
        progress: &Progress<S>,
    ) -> Result<()> {
        let Some(path) = self.path else { return Ok(()) };
        let unwritable = |e: String| Error::file(path, "a state that can be kept", e, REMEDY);
        let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
        let parameters = network.parameters().into_iter();
        let parameters = parameters.map(|found| (found.parameter.name, found.values));
        let buffers = network.buffers().into_iter();
        let buffers = buffers.map(|(name, values)| (buffer(&name), values));
        for (name, values) in parameters.chain(buffers) {
            // The state that is there is good; this one would never be again.
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Error::Diverged {
                    epoch: progress.epochs.len() + usize::from(progress.batches > 0),
                    step: usize::try_from(optimiser.steps()).unwrap_or_default(),
                    what: format!("a number of {name} is {value}"),
                });
            }
            tensors.push((name, artefact::f32_to_bytes(&values)));
        }
        for (name, values) in average.iter().flat_map(|average| average.values()) {
            let key = format!("average/{name}");
            tensors.push((key, artefact::f32_to_bytes(values)));
        }
        let mut own_steps = BTreeMap::new();
        for (name, steps, moments) in optimiser.state() {
            for (index, values) in moments.iter().enumerate() {
                tensors.push((moment(index, name), artefact::f32_to_bytes(values)));
            }
            if steps != optimiser.steps() {
                own_steps.insert(name.to_owned(), steps);
            }
        }
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut views = Vec::with_capacity(tensors.len());
        for (name, data) in &tensors {
            let view = TensorView::new(Dtype::F32, vec![data.len() / 4], data)
                .map_err(|e| unwritable(e.to_string()))?;
            views.push((name.as_str(), view));
        }
        let counts = Counts {
            steps: optimiser.steps(),
            progress: progress.clone(),
            own_steps,
        };
        let numbers = tensors
            .iter()
            .map(|(name, data)| (name.as_str(), data.as_slice()));
        let sha256 = digest(&counts, numbers).map_err(|e| unwritable(e.to_string()))?;
        let header = Header {
            identity: self.identity.clone(),
            counts,
            sha256,
        };
        let header = serde_json::to_string(&header).map_err(|e| unwritable(e.to_string()))?;
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
        let file =
            safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
        artefact::write(path, &file)
    }
}

/// Key of a buffer of the network in the file.
fn buffer(name: &str) -> String {
    format!("buffer/{name}")
}

/// Key of a moment of a parameter in the file.
fn moment(index: usize, name: &str) -> String {
    format!("moment{}/{name}", index + 1)
}
