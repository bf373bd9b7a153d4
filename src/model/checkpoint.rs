//! Checkpoints: safetensors files whose keys are those of the official state dict, and the official
//! code's own files.
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
use super::config::{Architecture, Config, Pool, OFFICIAL_LAMBDA, OFFICIAL_STEP_SIZE};
use super::parameters::{Parameter, Visitor};
use super::{pytorch, Classifier};
use crate::artefact;
use crate::error::{Error, Result};

/// One key only: safetensors keeps metadata in a hash map, so the order of several keys, and with
/// it the file's bytes, would change from run to run.
const METADATA_KEY: &str = "whitebox";

/// The tensor that tells a ViT's file.
const VIT_PATCHES: &str = "patch_embed.proj.weight";

/// What the metadata key holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Metadata {
    config: Config,
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
    pub config: Option<Config>,
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

    /// The configuration that the tensors' names and shapes imply; step size and lambda, which no
    /// shape shows, come from the file's own configuration or are the official ones. A ViT's names are
    /// timm's; they show channels and pooling, so that `pool` and `channels` are not asked.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the tensor that is missing or does not fit.
    pub fn infer(&self, heads: usize, pool: Pool, channels: usize) -> Result<Config> {
        let config = if self.tensors.contains_key(VIT_PATCHES) {
            self.infer_vit(heads)?
        } else {
            self.infer_crate(heads, pool, channels)?
        };
        config.check()?;
        Ok(config)
    }

    fn infer_vit(&self, heads: usize) -> Result<Config> {
        let [embedded, channels, p1, p2] = self.dimensions(VIT_PATCHES)?;
        let [_, tokens, d] = self.dimensions("pos_embed")?;
        let projection = "blocks.0.attn.qkv.weight";
        let [rows, _] = self.dimensions(projection)?;
        let [classes, _] = self.dimensions("head.weight")?;
        if embedded != d {
            return Err(self.misfit(VIT_PATCHES, format!("[{d}, channels, p, p]")));
        }
        let grid = self.grid("pos_embed", tokens, d)?;
        Ok(Config {
            architecture: Architecture::Vit,
            image_size: [grid * p1, grid * p2],
            patch_size: [p1, p2],
            channels,
            classes,
            d,
            depth: self.depth(|layer| format!("blocks.{layer}.norm1.weight")),
            heads,
            head_width: self.head_width(projection, rows, 3, heads)?,
            pool: if self.tensors.contains_key("fc_norm.weight") {
                Pool::Mean
            } else {
                Pool::Cls
            },
            step_size: OFFICIAL_STEP_SIZE,
            lambda: OFFICIAL_LAMBDA,
        })
    }

    fn infer_crate(&self, heads: usize, pool: Pool, channels: usize) -> Result<Config> {
        let [_, tokens, d] = self.dimensions("pos_embedding")?;
        let [embedded, patch_width] = self.dimensions("to_patch_embedding.2.weight")?;
        let projection = "transformer.layers.0.0.fn.qkv.weight";
        let [rows, _] = self.dimensions(projection)?;
        let [classes, _] = self.dimensions("mlp_head.1.weight")?;
        if embedded != d {
            return Err(self.misfit("to_patch_embedding.2.weight", format!("[{d}, patch width]")));
        }
        let Some(patch) = (channels > 0 && patch_width % channels == 0)
            .then(|| square_root(patch_width / channels))
            .flatten()
        else {
            return Err(self.misfit(
                "to_patch_embedding.2.weight",
                format!("[{d}, {channels} x a square patch] for --channels {channels}"),
            ));
        };
        // What a head reads of its projection shows how many projections there are.
        let output = "transformer.layers.0.0.fn.to_out.0.weight";
        let inner = match self.tensors.contains_key(output) {
            true => self.dimensions::<2>(output)?[1],
            false => rows,
        };
        let mhsa = rows == 3 * inner;
        let mlp = self
            .tensors
            .contains_key("transformer.layers.0.1.fn.net.0.weight");
        let architecture = match (mhsa, mlp) {
            (false, false) => Architecture::Crate,
            (true, false) => Architecture::CrateMhsa,
            (false, true) => Architecture::CrateMlp,
            (true, true) => {
                return Err(self.misfit(projection, format!("[{inner}, {d}] beside a perceptron")))
            }
        };
        let grid = self.grid("pos_embedding", tokens, d)?;
        Ok(Config {
            architecture,
            image_size: [grid * patch; 2],
            patch_size: [patch; 2],
            channels,
            classes,
            d,
            depth: self.depth(|layer| format!("transformer.layers.{layer}.1.norm.weight")),
            heads,
            head_width: self.head_width(projection, rows, if mhsa { 3 } else { 1 }, heads)?,
            pool,
            step_size: self.config.map_or(OFFICIAL_STEP_SIZE, |c| c.step_size),
            lambda: self.config.map_or(OFFICIAL_LAMBDA, |c| c.lambda),
        })
    }

    /// Patches along a side.
    fn grid(&self, positions: &str, tokens: usize, d: usize) -> Result<usize> {
        square_root(tokens.saturating_sub(1))
            .ok_or_else(|| self.misfit(positions, format!("[1, 1 + a square, {d}]")))
    }

    /// Layers whose tensor `name` is there.
    fn depth(&self, name: impl Fn(usize) -> String) -> usize {
        (0..)
            .take_while(|&layer| self.tensors.contains_key(&name(layer)))
            .count()
    }

    fn head_width(&self, name: &str, rows: usize, parts: usize, heads: usize) -> Result<usize> {
        if heads == 0 || !rows.is_multiple_of(parts * heads) {
            return Err(Error::shape(
                name,
                format!("rows divisible by --heads {heads}"),
                format!("{} rows", rows / parts),
                "give the number of heads the checkpoint was trained with",
            ));
        }
        Ok(rows / parts / heads)
    }

    /// The configuration the file carries.
    ///
    /// # Errors
    /// [`Error::File`] if it carries none.
    pub fn own_config(&self) -> Result<Config> {
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
        config: Config,
        device: &D,
    ) -> Result<Classifier<f32, D>> {
        let mut network = Classifier::blank(config, device)?;
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
                format!("the {} tensors of this classifier", used.len()),
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
                "give the checkpoint of a CRATE or ViT classifier",
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

/// The side of a square of `n`.
fn square_root(n: usize) -> Option<usize> {
    let root = (n as f64).sqrt().round() as usize;
    (root * root == n && root > 0).then_some(root)
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
    network: &Classifier<f32, D>,
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
