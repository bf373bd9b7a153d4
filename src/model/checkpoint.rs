//! Checkpoints: safetensors files whose keys are those of the official state dict, the official code's own
//! files, and folders in the layout of the Hugging Face Hub.
//!
//! What is written here loads into the official model with two lines of Python:
//!
//! ```python
//! from safetensors.torch import load_file
//! model.load_state_dict(load_file("net.safetensors"))
//! ```
//!
//! Files written here also carry the configuration and a record of how the network was trained,
//! as JSON under the metadata key `whitebox`. Files without it are read too: sizes follow from
//! the tensors' shapes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dfdx::prelude::*;
use safetensors::tensor::{Dtype as FileType, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::config::{Config, Pool};
use super::container::{container, Container};
use super::description::Description;
use super::entry::{one_line, Entry, Unreadable};
use super::hub::{self, Beside, Index};
use super::parameters::{Parameter, Visitor};
use super::runtime::Runtime;
use super::{layout, names, pytorch, visit, Autoencoder, AutoencoderConfig, Classifier, Network};
use crate::artefact;
use crate::error::{Error, Result};

const METADATA_KEY: &str = "whitebox";

/// What other libraries ask of the metadata: that the layout of the tensors is PyTorch's.
const FORMAT: &str = r#""format":"pt","#;

/// Types of numbers that networks are read from.
pub(super) const READ: &str = "F32, F16, BF16 or F64";

const SAVED: &str = "a checkpoint: a safetensors file, or a state dict that torch.save wrote";

/// Numbers more than the file's that a configuration may ask for before its names are looked at.
const SPARE: usize = 1 << 20;

/// What the names of the tensors of a decoder's layers begin with.
const DECODER_LAYERS: &str = "decoder_blocks.";

/// The positions of an autoencoder's encoder.
const ENCODER_POSITIONS: &str = "pos_embed";

/// What the names of the LayerNorm of a mean of patches begin with, in timm.
const OWN_NORM: &str = "fc_norm";

/// What the metadata key holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Metadata {
    #[serde(flatten)]
    description: Description,
    training: serde_json::Value,
}

/// A network that files hold.
pub trait Stored: Network<f32, Cpu> + Send + Sync {
    /// What fixes it apart from its parameters.
    fn description(&self) -> Description;

    /// The network of a file that says itself what it is.
    ///
    /// # Errors
    /// [`Error::File`] if it does not, or is another network, and as [`Checkpoint::network`].
    fn of_file(checkpoint: &Checkpoint) -> Result<Self>;
}

impl Stored for Classifier<f32, Cpu> {
    fn description(&self) -> Description {
        Description::Classifier(*self.config())
    }

    fn of_file(checkpoint: &Checkpoint) -> Result<Self> {
        checkpoint.network(checkpoint.own_config()?, &Cpu::default())
    }
}

impl Stored for Autoencoder<f32, Cpu> {
    fn description(&self) -> Description {
        Description::Autoencoder(*self.config())
    }

    fn of_file(checkpoint: &Checkpoint) -> Result<Self> {
        match checkpoint.description {
            Some(Description::Autoencoder(config)) => {
                checkpoint.autoencoder(config, &Cpu::default())
            }
            _ => Err(Error::file(
                checkpoint.path(),
                "an autoencoder that names its configuration",
                match checkpoint.description {
                    Some(other) => format!("a {}", other.noun()),
                    None => "a checkpoint without".into(),
                },
                "take one that whitebox train --preset mae-demo wrote",
            )),
        }
    }
}

/// The contents of a checkpoint file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(super) path: PathBuf,
    /// The tensors that the prefix of the network's names is before, without it.
    pub(super) tensors: HashMap<String, Entry>,
    /// The other tensors of the state dict.
    pub(super) beside: HashMap<String, Entry>,
    /// What the file says that it holds, or the `config.json` beside it, if this program wrote it.
    pub description: Option<Description>,
    /// Whether that is the `config.json`.
    config_beside: bool,
    /// Heads, if a `config.json` beside the file names them.
    pub heads: Option<usize>,
    /// The record of its training, if the file carries one.
    pub training: Option<serde_json::Value>,
    /// SHA-256 of the file, hexadecimal; of several, of all in the order of the index.
    pub sha256: String,
    /// Whether tensors that are no parameter are left out instead of refused.
    pub allow_extra: bool,
    /// Other entries that hold a network.
    pub others: Vec<String>,
    /// What was found that is not as it would be in the plainest file, for people to read.
    pub notes: Vec<String>,
}

/// What one file holds.
struct Contents {
    tensors: HashMap<String, Entry>,
    found_key: bool,
    others: Vec<String>,
    own: Option<Metadata>,
    notes: Vec<String>,
}

/// What a name begins with, up to its first dot.
fn first_word(name: &str) -> &str {
    name.split_once('.').map_or(name, |(first, _)| first)
}

fn problem(path: &Path, wanted: impl Into<String>, found: Unreadable) -> Error {
    Error::file(path, wanted, one_line(&found.got), found.remedy)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|e| Error::io("read", path, e, "name a checkpoint with `checkpoint`"))
}

impl Checkpoint {
    /// Reads f32, f16, bf16 or f64 tensors from a safetensors file, from one that `torch.save` wrote
    /// (`.pth`, `.pth.tar`), or from a folder that holds one.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if the file is truncated or is no checkpoint, saying what it is.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_entry(path, None)
    }

    /// The same of the entry `key`, where a file holds several networks: one of its dictionaries, or what
    /// the names of one network begin with.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if the file is truncated or is no checkpoint, saying what it is; naming the entries
    /// there are if `key` is none of them.
    pub fn read_entry(path: &Path, key: Option<&str>) -> Result<Self> {
        let (file, beside) = match path.is_dir() {
            true => hub::find(path)?,
            false => (path.to_owned(), Beside::default()),
        };
        let bytes = read_file(&file)?;
        let kind = container(&bytes).map_err(|found| problem(&file, SAVED, found))?;
        let (contents, sha256) = match kind {
            Container::Index => shards(&file, &bytes)?,
            _ => (
                contents(&file, &bytes, kind, key)?,
                artefact::sha256(&bytes),
            ),
        };
        Self::assemble(file, contents, sha256, beside, key)
    }

    fn assemble(
        path: PathBuf,
        contents: Contents,
        sha256: String,
        beside: Beside,
        key: Option<&str>,
    ) -> Result<Self> {
        let Contents {
            tensors,
            found_key,
            others,
            own,
            mut notes,
        } = contents;
        let key = key.filter(|_| !found_key);
        let prefix = layout::choose_prefix(tensors.keys().map(String::as_str), key)
            .map_err(|found| problem(&path, "one network", found))?;
        if !prefix.is_empty() {
            notes.push(format!("names are without their prefix {prefix}"));
        }
        // A key that stands in the names is an entry: what is outside it is not looked at.
        let in_entry = |name: &str| {
            let rest = key.and_then(|key| name.strip_prefix(key));
            key.is_none() || rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let (inside, outside): (HashMap<_, _>, HashMap<_, _>) = tensors
            .into_iter()
            .filter(|(name, _)| in_entry(name))
            .partition(|(name, _)| name.starts_with(&prefix));
        let inside = inside
            .into_iter()
            .map(|(name, entry)| (name[prefix.len()..].to_owned(), entry));
        let description = own.as_ref().map(|own| own.description);
        if let (Some(own), Some(other)) = (description, beside.description) {
            if own != other {
                return Err(Error::file(
                    path.with_file_name("config.json"),
                    format!("the configuration of {}", path.display()),
                    "another one",
                    "delete it, or copy the two files together again",
                ));
            }
        }
        Ok(Self {
            path,
            tensors: inside.collect(),
            beside: outside,
            description: description.or(beside.description),
            config_beside: description.is_none() && beside.description.is_some(),
            heads: beside.heads,
            training: own.map(|own| own.training),
            sha256,
            allow_extra: false,
            others: others.iter().map(|name| one_line(name)).collect(),
            notes: notes.iter().map(|note| one_line(note)).collect(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration of the classifier that the file says it holds.
    pub fn config(&self) -> Option<Config> {
        match self.description {
            Some(Description::Classifier(config)) => Some(config),
            _ => None,
        }
    }

    /// The same, and of an autoencoder that of its encoder under a head of so many `classes`.
    pub fn encoder_config(&self, classes: usize) -> Option<Config> {
        Some(match self.description? {
            Description::Classifier(config) => config,
            Description::Autoencoder(config) => config.classifier(classes, Pool::Cls),
        })
    }

    /// [`Checkpoint::config`], where there has to be one.
    ///
    /// # Errors
    /// [`Error::File`] if it says nothing, or holds another network.
    pub fn own_config(&self) -> Result<Config> {
        if let Some(Description::Autoencoder(_)) = self.description {
            let found = self.instead().unwrap_or_else(|| Unreadable {
                got: "an autoencoder".into(),
                remedy: "give a classifier".into(),
            });
            return Err(self.problem("a classifier".into(), found));
        }
        self.config().ok_or_else(|| {
            Error::file(
                &self.path,
                "a checkpoint that names its configuration",
                "one without",
                "take one that whitebox train wrote, or give `heads` where that is a flag (and `pool`, \
                 `channels` if they are not cls and 3)",
            )
        })
    }

    /// The network of `config` with this file's parameters.
    ///
    /// # Errors
    /// [`Error::File`] listing every tensor that is missing, unexpected or mis-shaped, or naming a number
    /// that is not finite.
    pub fn network<D: Runtime<f32>>(
        &self,
        config: Config,
        device: &D,
    ) -> Result<Classifier<f32, D>> {
        self.fits(Description::Classifier(config))?;
        let differing = Differing::classifier(&config);
        self.fill(Classifier::blank(config, device)?, "classifier", differing)
    }

    /// The same for a network that gets another head: where the file has none, it is left blank. Of an autoencoder that
    /// is its encoder with the positions that the autoencoder adds, as the official notebooks read it; its decoder and its
    /// mask token are left out.
    ///
    /// # Errors
    /// [`Error::File`] listing every tensor of the encoder that is missing, unexpected or mis-shaped, or naming a number
    /// that is not finite.
    pub fn encoder<D: Runtime<f32>>(
        &self,
        config: Config,
        device: &D,
    ) -> Result<Classifier<f32, D>> {
        self.fits(Description::Classifier(config))?;
        let blank = Classifier::blank(config, device)?;
        let differing = Differing {
            new_head: true,
            ..Differing::classifier(&config)
        };
        self.fill(blank, "classifier", differing)
    }

    /// The autoencoder of `config` with this file's parameters.
    ///
    /// # Errors
    /// As [`Checkpoint::network`].
    pub fn autoencoder<D: Runtime<f32>>(
        &self,
        config: AutoencoderConfig,
        device: &D,
    ) -> Result<Autoencoder<f32, D>> {
        self.fits(Description::Autoencoder(config))?;
        let blank = Autoencoder::blank(config, device)?;
        self.fill(blank, "autoencoder", Differing::default())
    }

    /// Tensors of the file that are no parameter of `network`, with their type if it is one of integers; those of a
    /// decoder's layers are counted.
    pub fn left_out<D: Runtime<f32>>(&self, network: &impl Network<f32, D>) -> Vec<String> {
        let parameters = network.parameters();
        let used = parameters.iter().map(|p| p.parameter.name.as_str());
        let is_whole = used.clone().any(names::is_of_decoder);
        let differing = Differing {
            encoder: !is_whole && self.convolutional().is_encoder(),
            ..Differing::default()
        };
        let used: Vec<&str> = used.map(|name| differing.source(self, name)).collect();
        let unused = self
            .tensors
            .iter()
            .filter(|(name, _)| !used.contains(&name.as_str()));
        let (layers, unused): (Vec<_>, Vec<_>) = unused
            .chain(&self.beside)
            .partition(|(name, _)| name.starts_with(DECODER_LAYERS));
        let layers = match layers.len() {
            0 => None,
            count => Some(format!("{DECODER_LAYERS}* ({count} tensors)")),
        };
        let mut names: Vec<String> = unused
            .into_iter()
            .map(|(name, entry)| match entry.is_integer() {
                true => format!("{name} ({})", entry.other.as_deref().unwrap_or_default()),
                false => name.clone(),
            })
            .map(|name| one_line(&name))
            .chain(layers)
            .collect();
        names.sort();
        names
    }

    /// Refuses a configuration that asks for far more than the file holds: a damaged one could ask for more memory than
    /// there is.
    fn fits(&self, description: Description) -> Result<()> {
        description.check()?;
        let (held, wanted) = (self.numbers(), description.parameters());
        if wanted <= held.saturating_mul(2).saturating_add(SPARE) {
            return Ok(());
        }
        Err(Error::file(
            &self.path,
            match self.config_beside {
                true => format!("the {wanted} numbers that config.json asks for"),
                false => format!("the {wanted} numbers of its configuration"),
            },
            format!("{held}"),
            "check the flags that describe the network, or the file",
        ))
    }

    /// Whether the file is, or was made of, an autoencoder's.
    pub(super) fn has_mask_token(&self) -> bool {
        self.tensors.contains_key(names::MASK_TOKEN)
    }

    fn numbers(&self) -> usize {
        self.tensors.values().map(|entry| entry.values.len()).sum()
    }

    fn fill<N: Network<f32, D>, D: Runtime<f32>>(
        &self,
        mut network: N,
        noun: &str,
        differing: Differing,
    ) -> Result<N> {
        let may_be_missing = |name: &str| differing.may_be_missing(self, name);
        let mut load = Load {
            file: self,
            differing,
            used: Vec::new(),
            problems: Vec::new(),
            unfit: None,
        };
        network.visit_parameters(&mut load)?;
        let (used, mut problems) = (load.used, load.problems);
        // What is inside the network's own modules is a part that this program's network lacks: without it,
        // results would be those of another network.
        let modules: Vec<&str> = used.iter().map(|name| first_word(name)).collect();
        let is_part = |name: &str| modules.contains(&first_word(name)) && !may_be_missing(name);
        let inside = self.tensors.iter().filter(|(name, _)| !used.contains(name));
        let inside = inside.filter(|(name, _)| !differing.is_left_out(name));
        let unexpected = inside
            .map(|(name, entry)| (name, entry, is_part(name)))
            .chain(self.beside.iter().map(|(name, entry)| (name, entry, false)))
            .filter(|(_, entry, part)| *part || !(self.allow_extra || entry.is_integer()));
        let mut unexpected: Vec<(&str, bool)> = unexpected
            .map(|(name, _, part)| (name.as_str(), part))
            .collect();
        unexpected.sort_unstable();
        let only_extra = problems.is_empty() && unexpected.iter().all(|(_, part)| !part);
        problems.extend(
            unexpected
                .iter()
                .map(|(name, _)| format!("{name} unexpected")),
        );
        if !problems.is_empty() {
            let wanted = match self.config_beside {
                true => format!("the {} tensors that config.json describes", used.len()),
                false => format!("the {} tensors of this {noun}", used.len()),
            };
            let needs_head = used
                .iter()
                .any(|name| names::is_head(name) && !may_be_missing(name));
            let known = match only_extra {
                true => None,
                false => self
                    .instead()
                    .or_else(|| self.headless().filter(|_| needs_head)),
            };
            let found = known.unwrap_or_else(|| Unreadable {
                got: layout::list(&problems),
                remedy: match only_extra {
                    true => "leave the unexpected ones out with `allow_extra`".into(),
                    false => "check the flags that describe the network, or the file".into(),
                },
            });
            return Err(self.problem(wanted, found));
        }
        if let Some((name, number)) = load.unfit {
            return Err(Error::file(
                &self.path,
                format!("finite numbers in tensor {name}"),
                number,
                "take a checkpoint from before the training diverged",
            ));
        }
        Ok(network)
    }

    pub(super) fn problem(&self, wanted: String, found: Unreadable) -> Error {
        problem(&self.path, wanted, found)
    }
}

/// What the file `path` of one container holds.
fn contents(path: &Path, bytes: &[u8], kind: Container, key: Option<&str>) -> Result<Contents> {
    if kind == Container::Safetensors {
        return safetensors_contents(path, bytes);
    }
    let read = pytorch::read(bytes, key).map_err(|found| problem(path, SAVED, found))?;
    let mut notes = Vec::new();
    if !read.found_key && (!layout::is_usual(&read.entry) || !read.others.is_empty()) {
        notes.push(match read.entry.as_str() {
            "" => "read the whole file".to_owned(),
            entry => format!("read the entry {entry}"),
        });
    }
    if !read.unread.is_empty() {
        notes.push(format!("left unread: {}", layout::list(&read.unread)));
    }
    Ok(Contents {
        tensors: read.tensors,
        found_key: read.found_key,
        others: read.others,
        own: None,
        notes,
    })
}

fn safetensors_contents(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let malformed = |got: String| {
        Error::file(
            path,
            "a complete safetensors file",
            one_line(&got),
            "copy it again, or convert the checkpoint to safetensors",
        )
    };
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| malformed(format!("{} bytes that are not one ({e})", bytes.len())))?;
    let metadata = SafeTensors::read_metadata(bytes)
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
    if let Some(Err(e)) = own.as_ref().map(|own| own.description.check()) {
        return Err(malformed(format!("an impossible configuration ({e})")));
    }
    let entry = |view: &TensorView<'_>| match Entry::is_read(view.dtype()) {
        true => Entry::of(view.dtype(), view.data(), view.shape().to_vec()),
        false => Entry::other(format!("{:?}", view.dtype()), view.shape().to_vec()),
    };
    let tensors = file.tensors().into_iter();
    Ok(Contents {
        tensors: tensors.map(|(name, view)| (name, entry(&view))).collect(),
        found_key: false,
        others: Vec::new(),
        own,
        notes: Vec::new(),
    })
}

/// What the files of an index hold together, and their hash.
fn shards(path: &Path, bytes: &[u8]) -> Result<(Contents, String)> {
    let index = Index::read(path, bytes)?;
    let mut whole = Contents {
        tensors: HashMap::new(),
        found_key: false,
        others: Vec::new(),
        own: None,
        notes: Vec::new(),
    };
    let mut hashes = vec![artefact::sha256(bytes)];
    for name in index.names() {
        let shard = path.with_file_name(name);
        let bytes = std::fs::read(&shard).map_err(|e| {
            let remedy = format!("copy it beside {}, which names it", path.display());
            Error::io("read", &shard, e, remedy)
        })?;
        let kind = container(&bytes).map_err(|found| problem(&shard, SAVED, found))?;
        if kind == Container::Index {
            return Err(Error::file(
                &shard,
                SAVED,
                "another index",
                "name files with tensors in the index",
            ));
        }
        let part = contents(&shard, &bytes, kind, None)?;
        for (tensor, entry) in part.tensors {
            let place = index.files.get(&tensor);
            if place.is_some_and(|place| place != name) || whole.tensors.contains_key(&tensor) {
                return Err(Error::file(
                    &shard,
                    format!("the tensors that {} says are in it", path.display()),
                    one_line(&format!("{tensor}, which is in another file")),
                    "copy the files of one checkpoint together",
                ));
            }
            whole.tensors.insert(tensor, entry);
        }
        hashes.push(artefact::sha256(&bytes));
    }
    let mut missing = index
        .files
        .keys()
        .filter(|name| !whole.tensors.contains_key(*name));
    if let Some(name) = missing.next() {
        return Err(Error::file(
            path.with_file_name(&index.files[name]),
            format!("a tensor that {} says is in it", path.display()),
            one_line(&format!("no {name}")),
            "copy the files of one checkpoint together",
        ));
    }
    let sha256 = artefact::sha256_of(hashes.iter().map(|hash| hash.as_bytes()));
    Ok((whole, sha256))
}

/// How a file may differ from the network that is filled from it.
#[derive(Debug, Clone, Copy, Default)]
struct Differing {
    /// The network gets another head, and the file may have none.
    new_head: bool,
    /// The network is the encoder of an autoencoder, and the file may be of the whole one.
    encoder: bool,
    /// Its head reads a mean through a LayerNorm of its own, in place of the encoder's last.
    own_norm: bool,
}

impl Differing {
    /// How a file may differ from a classifier.
    fn classifier(config: &Config) -> Self {
        let encoder = config.architecture.is_encoder();
        Self {
            new_head: false,
            encoder,
            own_norm: encoder && visit::head_norm(config) == OWN_NORM,
        }
    }

    /// Whether the parameter `name` may be left as it is made.
    fn may_be_missing(self, file: &Checkpoint, name: &str) -> bool {
        let norm = self.own_norm && first_word(name) == OWN_NORM;
        self.new_head && (names::is_head(name) || (norm && file.has_mask_token()))
    }

    /// Whether the tensor `name` of the file is for another part of the network it is from.
    fn is_left_out(self, name: &str) -> bool {
        let norm = self.own_norm && first_word(name) == "norm";
        self.encoder && (names::is_of_decoder(name) || norm)
    }

    /// The tensor of the file that the parameter `name` is filled from.
    fn source<'a>(self, file: &Checkpoint, name: &'a str) -> &'a str {
        let added = self.encoder && name == ENCODER_POSITIONS && file.has_mask_token();
        match added && file.tensors.contains_key(names::ADDED_POSITIONS) {
            true => names::ADDED_POSITIONS,
            false => name,
        }
    }
}

struct Load<'a> {
    file: &'a Checkpoint,
    differing: Differing,
    used: Vec<String>,
    problems: Vec<String>,
    /// The first tensor with a number that is not finite, and that number.
    unfit: Option<(String, String)>,
}

impl<D: Device<f32>> Visitor<f32, D> for Load<'_> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, D>,
    ) -> Result<()> {
        let Parameter { name, shape, .. } = parameter;
        self.used.push(name.clone());
        let source = self.differing.source(self.file, name);
        match self.file.tensors.get(source) {
            Some(Entry {
                other: Some(kind), ..
            }) => self
                .problems
                .push(format!("{name} is {kind} instead of {READ}")),
            Some(entry) if entry.shape == *shape => {
                if let (None, Some(number)) = (&self.unfit, entry.unfit()) {
                    self.unfit = Some((name.clone(), number));
                }
                tensor.copy_from(&entry.values);
            }
            Some(entry) => self.problems.push(format!(
                "{name} of shape {:?} instead of {shape:?}",
                entry.shape
            )),
            None if self.differing.may_be_missing(self.file, name) => {}
            None => self.problems.push(format!("{name} missing")),
        }
        Ok(())
    }
}

/// Writes a network, with its configuration and `training` as metadata, atomically.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub fn write<N: Stored>(path: &Path, network: &N, training: &serde_json::Value) -> Result<()> {
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
        description: network.description(),
        training: training.clone(),
    };
    let metadata = serde_json::to_string(&metadata).map_err(|e| unwritable(e.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
    let file =
        safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(e.to_string()))?;
    let file = with_format(&file).ok_or_else(|| unwritable("an unknown header".into()))?;
    artefact::write(path, &file)
}

/// The safetensors file with `format` in its metadata beside the one key it has. The library keeps metadata
/// in a hash map: from there, two keys would come in an order, and the file in bytes, that change from run
/// to run.
fn with_format(file: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = file.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    let start = br#"{"__metadata__":{"#;
    let metadata = header.strip_prefix(start)?.trim_ascii_end();
    let mut header = [start, FORMAT.as_bytes(), metadata].concat();
    // Numbers begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = (header.len() as u64).to_le_bytes();
    Some([&length, header.as_slice(), data].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_has_the_same_bytes_each_time_and_names_its_format() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::preset("demo").unwrap();
        let config = Config { depth: 1, ..config };
        let network = Classifier::new(config, 3, &Cpu::default()).unwrap();
        let bytes = |name: &str| {
            let path = folder.path().join(name);
            write(&path, &network, &serde_json::json!({"seed": 3})).unwrap();
            std::fs::read(path).unwrap()
        };
        let first = bytes("a.safetensors");
        for name in ["b.safetensors", "c.safetensors"] {
            assert!(bytes(name) == first);
        }
        let (length, header) = SafeTensors::read_metadata(&first).unwrap();
        assert_eq!(length % 8, 0);
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
        let read = Checkpoint::read(&folder.path().join("a.safetensors")).unwrap();
        assert_eq!(read.config(), Some(config));
        let again = read.network(config, &Cpu::default()).unwrap();
        assert_eq!(again.parameters(), network.parameters());
        assert_eq!(read.left_out(&again), Vec::<String>::new());
    }

    #[test]
    fn a_configuration_that_asks_for_more_than_the_file_holds_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let config = Config::preset("demo").unwrap();
        let network = Classifier::new(Config { depth: 1, ..config }, 3, &Cpu::default()).unwrap();
        write(&path, &network, &serde_json::json!(null)).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        for larger in [
            Config {
                d: 1 << 20,
                ..config
            },
            Config {
                depth: usize::MAX,
                ..config
            },
        ] {
            let message = read
                .network(larger, &Cpu::default())
                .unwrap_err()
                .to_string();
            assert!(message.contains("wanted"), "{message}");
        }
    }
}
