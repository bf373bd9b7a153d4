//! Checkpoints: safetensors files whose keys are those of the official state dict, and the official
//! code's own files ([`super::pytorch`]).
//!
//! What is written here loads into the official model with two lines of Python:
//!
//! ```python
//! from safetensors.torch import load_file
//! model.load_state_dict(load_file("net.safetensors"))
//! ```
//!
//! Files written here also carry the configuration and a record of how the network was trained,
//! as JSON under the one metadata key `whitebox`. Files without it are read too: sizes follow from
//! the tensors' shapes.

use std::collections::HashMap;
use std::path::Path;

use dfdx::prelude::*;
use safetensors::tensor::{Dtype as FileType, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::backbone::Backbone;
use super::config::{CrateConfig, Pool, OFFICIAL_LAMBDA, OFFICIAL_STEP_SIZE};
use super::parameters::{Parameter, Visitor};
use super::{pytorch, CrateClassifier};
use crate::artefact;
use crate::error::{Error, Result};

/// One key only: safetensors keeps metadata in a hash map, so the order of several keys, and with
/// it the file's bytes, would change from run to run.
const METADATA_KEY: &str = "whitebox";

/// What the metadata key holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Metadata {
    config: CrateConfig,
    training: serde_json::Value,
}

/// A tensor as the file has it, converted to f32.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The contents of a checkpoint file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: std::path::PathBuf,
    tensors: HashMap<String, Entry>,
    /// The configuration the file carries, if this program wrote it.
    pub config: Option<CrateConfig>,
    /// The record of its training, if the file carries one.
    pub training: Option<serde_json::Value>,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

impl Checkpoint {
    /// Reads f32, f16, bf16 or f64 tensors from a safetensors file, or from one that `torch.save`
    /// wrote (`.pth`, `.pth.tar`).
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if the file is truncated, is of neither kind, holds a tensor
    /// of another type, or a pickle that calls for anything but tensors.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|e| Error::io("read", path, e, "name a checkpoint with --checkpoint"))?;
        let malformed = |got: String| {
            Error::file(
                path,
                "a complete safetensors file",
                got,
                "copy it again, or convert the checkpoint to safetensors",
            )
        };
        if pytorch::is_pytorch(&bytes) {
            let tensors = pytorch::read(&bytes).map_err(|got| {
                Error::file(
                    path,
                    "a checkpoint that torch.save wrote, with a state dict of tensors",
                    got,
                    "copy it again, or save the state dict alone",
                )
            })?;
            return Ok(Self {
                path: path.to_owned(),
                tensors,
                config: None,
                training: None,
                sha256: artefact::sha256(&bytes),
            });
        }
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| malformed(format!("{} bytes that are not one ({e})", bytes.len())))?;
        let metadata = SafeTensors::read_metadata(&bytes)
            .ok()
            .and_then(|(_, header)| header.metadata().clone())
            .unwrap_or_default();
        let own: Option<Metadata> = match metadata.get(METADATA_KEY) {
            Some(text) => Some(
                serde_json::from_str(text)
                    .map_err(|e| malformed(format!("a damaged configuration ({e})")))?,
            ),
            None => None,
        };
        let mut tensors = HashMap::new();
        for (name, view) in file.tensors() {
            let values = to_f32(view.dtype(), view.data()).ok_or_else(|| {
                Error::file(
                    path,
                    format!("tensor {name} of type F32, F16, BF16 or F64"),
                    format!("{:?}", view.dtype()),
                    "convert it to F32",
                )
            })?;
            let entry = Entry {
                shape: view.shape().to_vec(),
                values,
            };
            tensors.insert(name, entry);
        }
        Ok(Self {
            path: path.to_owned(),
            tensors,
            config: own.as_ref().map(|m| m.config),
            training: own.map(|m| m.training),
            sha256: artefact::sha256(&bytes),
        })
    }

    /// The configuration that the tensors' shapes imply; step size and lambda, which no shape
    /// shows, come from the file's own configuration or are the official ones.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the tensor that is missing or does not fit.
    pub fn infer(&self, heads: usize, pool: Pool, channels: usize) -> Result<CrateConfig> {
        let [_, tokens, d] = self.dimensions("pos_embedding")?;
        let [embedded, patch_width] = self.dimensions("to_patch_embedding.2.weight")?;
        let [inner, _] = self.dimensions("transformer.layers.0.0.fn.qkv.weight")?;
        let [classes, _] = self.dimensions("mlp_head.1.weight")?;
        if embedded != d {
            return Err(self.misfit("to_patch_embedding.2.weight", format!("[{d}, patch width]")));
        }
        if heads == 0 || inner % heads != 0 {
            return Err(Error::shape(
                "transformer.layers.0.0.fn.qkv.weight",
                format!("rows divisible by --heads {heads}"),
                format!("{inner} rows"),
                "give the number of heads the checkpoint was trained with",
            ));
        }
        let square = |n: usize| {
            let root = (n as f64).sqrt().round() as usize;
            (root * root == n && root > 0).then_some(root)
        };
        let Some(patch) = (channels > 0 && patch_width % channels == 0)
            .then(|| square(patch_width / channels))
            .flatten()
        else {
            return Err(self.misfit(
                "to_patch_embedding.2.weight",
                format!("[{d}, {channels} x a square patch] for --channels {channels}"),
            ));
        };
        let Some(grid) = square(tokens.saturating_sub(1)) else {
            return Err(self.misfit("pos_embedding", format!("[1, 1 + a square, {d}]")));
        };
        let depth = (0..)
            .take_while(|l| {
                self.tensors
                    .contains_key(&format!("transformer.layers.{l}.1.fn.weight"))
            })
            .count();
        let config = CrateConfig {
            image_size: [grid * patch; 2],
            patch_size: [patch; 2],
            channels,
            classes,
            d,
            depth,
            heads,
            head_width: inner / heads,
            pool,
            step_size: self.config.map_or(OFFICIAL_STEP_SIZE, |c| c.step_size),
            lambda: self.config.map_or(OFFICIAL_LAMBDA, |c| c.lambda),
        };
        config.check()?;
        Ok(config)
    }

    /// The configuration the file carries.
    ///
    /// # Errors
    /// [`Error::File`] if it carries none.
    pub fn own_config(&self) -> Result<CrateConfig> {
        self.config.ok_or_else(|| {
            Error::file(
                &self.path,
                "a checkpoint that names its configuration",
                "one without",
                "give --heads (and --pool, --channels if they are not cls and 3)",
            )
        })
    }

    /// The network of `config` with this file's parameters.
    ///
    /// # Errors
    /// [`Error::File`] listing every tensor that is missing, unexpected or mis-shaped.
    pub fn network<D: Backbone<f32>>(
        &self,
        config: CrateConfig,
        device: &D,
    ) -> Result<CrateClassifier<f32, D>> {
        let mut network = CrateClassifier::blank(config, device)?;
        let mut load = Load {
            file: self,
            used: Vec::new(),
            problems: Vec::new(),
        };
        network.visit_parameters(&mut load)?;
        let (used, mut problems) = (load.used, load.problems);
        let mut unexpected: Vec<_> = self.tensors.keys().filter(|n| !used.contains(n)).collect();
        unexpected.sort();
        problems.extend(unexpected.into_iter().map(|n| format!("{n} unexpected")));
        if problems.is_empty() {
            Ok(network)
        } else {
            Err(Error::file(
                &self.path,
                format!("the {} tensors of this CRATE classifier", used.len()),
                problems.join(", "),
                "check the flags that describe the network, or the file",
            ))
        }
    }

    fn dimensions<const R: usize>(&self, name: &str) -> Result<[usize; R]> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(Error::file(
                &self.path,
                format!("a tensor named {name}"),
                "none",
                "give the checkpoint of a CRATE classifier",
            ));
        };
        entry
            .shape
            .as_slice()
            .try_into()
            .map_err(|_| self.misfit(name, format!("{R} axes")))
    }

    fn misfit(&self, name: &str, wanted: String) -> Error {
        let shape = self.tensors.get(name).map(|e| e.shape.clone());
        Error::shape(
            format!("{}: tensor {name}", self.path.display()),
            wanted,
            format!("{:?}", shape.unwrap_or_default()),
            "check the flags that describe the network",
        )
    }
}

struct Load<'a> {
    file: &'a Checkpoint,
    used: Vec<String>,
    problems: Vec<String>,
}

impl<D: Device<f32>> Visitor<f32, D> for Load<'_> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, D>,
    ) -> Result<()> {
        let Parameter { name, shape, .. } = parameter;
        self.used.push(name.clone());
        match self.file.tensors.get(name) {
            Some(entry) if entry.shape == *shape => tensor.copy_from(&entry.values),
            Some(entry) => self.problems.push(format!(
                "{name} of shape {:?} instead of {shape:?}",
                entry.shape
            )),
            None => self.problems.push(format!("{name} missing")),
        }
        Ok(())
    }
}

/// Writes a network, with its configuration and `training` as metadata, atomically.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub fn write<D: Backbone<f32>>(
    path: &Path,
    network: &CrateClassifier<f32, D>,
    training: &serde_json::Value,
) -> Result<()> {
    let parameters = network.parameters();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = parameters
        .into_iter()
        .map(|found| {
            let data = artefact::f32_to_bytes(&found.values);
            (found.parameter.name, found.parameter.shape, data)
        })
        .collect();
    let unwritable = |message: String| {
        Error::file(
            path,
            "a network that safetensors can hold",
            message,
            "please report this",
        )
    };
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, data) in &bytes {
        let view = TensorView::new(FileType::F32, shape.clone(), data)
            .map_err(|e| unwritable(e.to_string()))?;
        views.push((name.as_str(), view));
    }
    let metadata = Metadata {
        config: *network.config(),
        training: training.clone(),
    };
    let metadata = serde_json::to_string(&metadata).map_err(|e| unwritable(e.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
    artefact::write(path, &file)
}

/// Little-endian numbers of a floating-point type, as f32.
pub(super) fn to_f32(dtype: FileType, data: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        FileType::F32 => artefact::f32_from_bytes(data),
        FileType::F64 => data
            .chunks_exact(8)
            .map(|c| f64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]) as f32)
            .collect(),
        FileType::F16 => data
            .chunks_exact(2)
            .map(|c| half::f16::from_le_bytes([c[0], c[1]]).to_f32())
            .collect(),
        FileType::BF16 => data
            .chunks_exact(2)
            .map(|c| half::bf16::from_le_bytes([c[0], c[1]]).to_f32())
            .collect(),
        _ => return None,
    })
}
