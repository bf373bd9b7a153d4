//! Checkpoints that `torch.save` wrote, read without Python: the zip format of PyTorch 1.6 and later,
//! and the one before it.
//!
//! | | zip | before 1.6 |
//! |---|---|---|
//! | values | `NAME/data.pkl` | the fourth of five pickles: magic number, protocol, system, values, keys |
//! | numbers of storage `k` | `NAME/data/k` | after the pickles, in the order of the keys, each behind its length |
//!
//! The state dict may be the whole file, one of its entries, or what a whole pickled module holds; other
//! entries are not looked at, whatever they are. Nothing that the file says of sizes is believed beyond
//! what the file itself is long enough for.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read};

use safetensors::tensor::Dtype;

use super::entry::{Entry, Unreadable};
use super::layout::{self, Group};
use super::pickle::{Index, Node, Pickle};

/// The first of the pickles of the older format, as protocols from 2 and below 2 have it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const MAGIC_DIGITS: &str = "119547037146038801333356";

/// Elements of tensors that repeat their storage up to which they are believed.
const REPEATED: usize = 1 << 22;

/// Depth of dictionaries in dictionaries down to which tensors are looked for, and of modules in modules.
const ENTRIES_DEEP: usize = 4;
const MODULES_DEEP: usize = 64;

/// Names that are looked at in search of tensors, entries that are looked into, and bytes of a name; names
/// and values may be shared, so that a short file could have more of them than there is memory for.
const NAMES: usize = 1_000_000;
const ENTRIES: usize = 20_000;
const NAME: usize = 1000;

/// Axes of a tensor, as in PyTorch.
const AXES: usize = 64;

/// Attributes of a module.
const ATTRIBUTES: usize = 1000;

/// Whether a file begins like one of the older format, or like another pickle.
pub(super) fn is_pickle(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"L").unwrap_or_default();
    matches!(bytes, [0x80, 0..=5, ..]) || digits.starts_with(MAGIC_DIGITS.as_bytes())
}

/// The state dict of a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// Its tensors, under the names that the file has for them.
    pub(super) tensors: HashMap<String, Entry>,
    /// The entry it was in; empty for the whole file.
    pub(super) entry: String,
    /// Whether that is the entry that was asked for by name.
    pub(super) found_key: bool,
    /// Other entries that hold a network.
    pub(super) others: Vec<String>,
    /// Classes and functions that were carried along unread.
    pub(super) unread: Vec<String>,
}

/// The tensors of the state dict, of the entry `key` if there is one of that name; the error says what was
/// found instead.
pub(super) fn read(bytes: &[u8], key: Option<&str>) -> Result<Contents, Unreadable> {
    let (pickle, storages) = if bytes.starts_with(b"PK") {
        zip(bytes)?
    } else {
        legacy(bytes)?
    };
    let mut file = File {
        pickle: &pickle,
        storages,
        raw: HashMap::new(),
        raw_left: bytes.len(),
        elements_left: bytes.len().saturating_add(REPEATED),
    };
    let groups = file.groups()?;
    let names: Vec<Group<'_>> = groups.iter().map(NamedValues::names).collect();
    let chosen = layout::choose_entry(&names, key).map_err(|problem| match groups.is_empty() {
        true => file.without_tensors(),
        false => problem,
    })?;
    let mut tensors = HashMap::new();
    for (name, value) in &groups[chosen.index].values {
        let entry = match file.tensor(*value) {
            Some(Found::Tensor(description)) => description.and_then(|tensor| file.entry(&tensor)),
            Some(Found::Other(kind)) => Ok(Entry::other(kind, Vec::new())),
            None => continue,
        };
        let entry = entry.map_err(|e| format!("{name}: {e}"))?;
        tensors.insert(name.to_string(), entry);
    }
    Ok(Contents {
        tensors,
        entry: groups[chosen.index].path.clone(),
        found_key: chosen.found_key,
        others: chosen.others,
        unread: pickle.foreign().into_iter().map(str::to_owned).collect(),
    })
}

/// The raw numbers of storages, by key.
enum Storages<'a> {
    Zip {
        archive: zip::ZipArchive<Cursor<&'a [u8]>>,
        folder: String,
    },
    Legacy(HashMap<String, &'a [u8]>),
}

fn zip(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), Unreadable> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| format!("{} bytes of a damaged zip archive ({e})", bytes.len()))?;
    let names: Vec<String> = archive
        .file_names()
        .filter_map(Result::ok)
        .map(|name| name.into_owned())
        .collect();
    let values = names
        .iter()
        .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .min_by_key(|name| name.len());
    let Some(name) = values else {
        return Err(other_archive(&names));
    };
    let folder = name.trim_end_matches("data.pkl").to_owned();
    if names
        .iter()
        .any(|name| *name == format!("{folder}constants.pkl"))
    {
        return Err(Unreadable {
            got: "a TorchScript program (torch.jit.save)".into(),
            remedy: "load it in Python, and save its state_dict() with torch.save".into(),
        });
    }
    if let Ok(order) = member(&mut archive, &format!("{folder}byteorder"), bytes.len()) {
        if order != b"little" {
            return Err("numbers of a big-endian machine".to_owned().into());
        }
    }
    let (pickle, _) = Pickle::read(&member(&mut archive, name, bytes.len())?)?;
    Ok((pickle, Storages::Zip { archive, folder }))
}

/// What a zip archive is that `torch.save` did not write.
fn other_archive(names: &[String]) -> Unreadable {
    let ends = |name: &&String, endings: &[&str]| endings.iter().any(|end| name.ends_with(end));
    if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) {
        return Unreadable {
            got: "an .npz file of numpy arrays".into(),
            remedy: "save the arrays as tensors, with safetensors.numpy.save_file".into(),
        };
    }
    let checkpoints = [
        ".pth",
        ".pt",
        ".bin",
        ".ckpt",
        ".t7",
        ".tar",
        ".safetensors",
    ];
    match names.iter().find(|name| ends(name, &checkpoints)) {
        Some(name) => Unreadable {
            got: format!("a zip archive that holds {name}"),
            remedy: "unpack it, and name that file".into(),
        },
        None => Unreadable {
            got: "a zip archive without data.pkl, which torch.save writes".into(),
            remedy: "name a checkpoint".into(),
        },
    }
}

/// A member of an archive, of at most `limit` bytes.
fn member(
    archive: &mut zip::ZipArchive<Cursor<&[u8]>>,
    name: &str,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let damaged = |e: &dyn std::fmt::Display| format!("a damaged or missing {name} ({e})");
    let file = archive.by_name(name).map_err(|e| damaged(&e))?;
    if file.compression() != zip::CompressionMethod::Stored {
        return Err(format!(
            "a compressed {name}, where torch.save compresses nothing"
        ));
    }
    let mut bytes = Vec::new();
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    if read.map_err(|e| damaged(&e))? > limit {
        return Err(format!("members of more bytes than the file, as of {name}"));
    }
    Ok(bytes)
}

fn legacy(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), Unreadable> {
    let mut rest = bytes;
    let mut next = || {
        let (pickle, length) = Pickle::read(rest)?;
        rest = &rest[length..];
        Ok::<_, String>(pickle)
    };
    let magic = next()?;
    let is_magic = match &magic.nodes[magic.root] {
        Node::Bytes(bytes) => *bytes == MAGIC,
        Node::Text(digits) => digits == MAGIC_DIGITS,
        _ => false,
    };
    if !is_magic {
        return Err(plain_pickle(&magic));
    }
    let [_protocol, system, values, keys] = [next()?, next()?, next()?, next()?];
    let order = system.value(system.root, "little_endian");
    if order.is_some_and(|order| system.nodes[order] == Node::Bool(false)) {
        return Err("numbers of a big-endian machine".to_owned().into());
    }
    let width: HashMap<&str, usize> = values
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Persistent(id) => Storage::of(&values, *id).ok(),
            _ => None,
        })
        .map(|storage| (storage.key, storage.width()))
        .collect();
    let mut storages = HashMap::new();
    let names = keys.sequence(keys.root);
    for &key in names.ok_or_else(|| "no list of storages".to_owned())? {
        let key = keys
            .text(key)
            .ok_or_else(|| "a storage without a name".to_owned())?;
        let cut = || format!("a file that ends before storage {key}");
        let (length, numbers) = rest.split_at_checked(8).ok_or_else(cut)?;
        let length = length.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        let size = width
            .get(key)
            .and_then(|&width| usize::try_from(length).ok()?.checked_mul(width))
            .ok_or_else(|| format!("a storage {key} of {length} numbers of unknown type"))?;
        let (numbers, after) = numbers.split_at_checked(size).ok_or_else(cut)?;
        storages.insert(key.to_owned(), numbers);
        rest = after;
    }
    Ok((values, Storages::Legacy(storages)))
}

/// What a pickle is that `torch.save` did not write.
fn plain_pickle(pickle: &Pickle) -> Unreadable {
    let numpy = pickle.foreign().iter().any(|name| is_numpy_array(name));
    Unreadable {
        got: match numpy {
            true => "a pickle of numpy arrays".into(),
            false => "a pickle that torch.save did not write".into(),
        },
        remedy: "save tensors with torch.save, or with safetensors".into(),
    }
}

fn is_numpy_array(function: &str) -> bool {
    function.starts_with("numpy.") && function.ends_with("._reconstruct")
}

/// What the numbers of a storage are.
#[derive(Debug, Clone, PartialEq)]
enum NumberType {
    Known(Dtype),
    /// Of a type that only the tensor says.
    Untyped,
    /// Of a type that is not read, by its name in PyTorch.
    Other(String),
}

/// What a persistent id says of a storage.
struct Storage<'a> {
    key: &'a str,
    dtype: NumberType,
    /// Where the view of it that is meant begins, in elements.
    offset: usize,
}

impl<'a> Storage<'a> {
    /// `("storage", type, key, device, elements[, (view key, offset, elements)])`.
    fn of(pickle: &'a Pickle, id: Index) -> Result<Self, String> {
        let unknown = || "a storage that it does not describe".to_owned();
        let items = pickle.sequence(id).ok_or_else(unknown)?;
        let [word, class, key, _device, _elements, view @ ..] = items else {
            return Err(unknown());
        };
        let class = pickle.global(*class).ok_or_else(unknown)?;
        if pickle.text(*word) != Some("storage") {
            return Err(unknown());
        }
        let dtype = match class {
            "torch.FloatStorage" => NumberType::Known(Dtype::F32),
            "torch.DoubleStorage" => NumberType::Known(Dtype::F64),
            "torch.HalfStorage" => NumberType::Known(Dtype::F16),
            "torch.BFloat16Storage" => NumberType::Known(Dtype::BF16),
            "torch.LongStorage" => NumberType::Known(Dtype::I64),
            "torch.IntStorage" => NumberType::Known(Dtype::I32),
            "torch.ShortStorage" => NumberType::Known(Dtype::I16),
            "torch.CharStorage" => NumberType::Known(Dtype::I8),
            "torch.ByteStorage" => NumberType::Known(Dtype::U8),
            "torch.BoolStorage" => NumberType::Known(Dtype::BOOL),
            "torch.storage.UntypedStorage" | "torch.UntypedStorage" => NumberType::Untyped,
            _ => NumberType::Other(class.trim_start_matches("torch.").to_owned()),
        };
        let view = view.first().and_then(|&view| pickle.sequence(view));
        let offset = match view {
            Some([_, offset, ..]) => index(pickle, *offset).ok_or_else(unknown)?,
            _ => 0,
        };
        Ok(Self {
            key: pickle.text(*key).ok_or_else(unknown)?,
            dtype,
            offset,
        })
    }

    /// Bytes of an element; of a type that is not read, as many as its name shows.
    fn width(&self) -> usize {
        match &self.dtype {
            NumberType::Known(dtype) => dtype.bitsize() / 8,
            NumberType::Untyped => 1,
            NumberType::Other(name) => match name.as_str() {
                "ComplexFloatStorage" => 8,
                "ComplexDoubleStorage" => 16,
                "QInt32Storage" => 4,
                _ => 1,
            },
        }
    }
}

fn index(pickle: &Pickle, node: Index) -> Option<usize> {
    usize::try_from(pickle.integer(node)?).ok()
}

/// Counts names that are looked at.
fn count(looked: &mut usize, names: usize) -> Result<(), String> {
    *looked += names;
    match *looked > NAMES {
        true => Err(format!("a pickle of more than {NAMES} names")),
        false => Ok(()),
    }
}

/// What every `torch.nn.Module` has.
const TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

struct TensorDescription<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// What a value of a state dict is.
enum Found<'a> {
    Tensor(Result<TensorDescription<'a>, String>),
    /// Something that holds numbers in another way.
    Other(String),
}

/// A dictionary that holds tensors.
struct NamedValues<'a> {
    path: String,
    values: Vec<(Cow<'a, str>, Index)>,
}

impl NamedValues<'_> {
    fn names(&self) -> Group<'_> {
        Group {
            path: self.path.clone(),
            names: self.values.iter().map(|(name, _)| &**name).collect(),
        }
    }
}

struct File<'a> {
    pickle: &'a Pickle,
    storages: Storages<'a>,
    /// Storages that were read: several tensors may share one.
    raw: HashMap<String, Vec<u8>>,
    /// Bytes of storages, and elements of tensors, that may still be read.
    raw_left: usize,
    elements_left: usize,
}

impl<'a> File<'a> {
    /// Every dictionary of tensors, outermost first.
    fn groups(&self) -> Result<Vec<NamedValues<'a>>, Unreadable> {
        let pickle = self.pickle;
        let mut groups = Vec::new();
        let mut level = vec![(String::new(), pickle.root)];
        let mut looked = 0;
        for _ in 0..ENTRIES_DEEP {
            let mut below = Vec::new();
            for (path, node) in level {
                let values = match self.is_module(node) {
                    true => self.module(node, &mut looked)?,
                    false => self.entries(node, &mut looked)?,
                };
                let (tensors, others): (Vec<_>, Vec<_>) = values
                    .into_iter()
                    .partition(|(_, value)| self.tensor(*value).is_some());
                for (name, value) in others {
                    let has_names = pickle.pairs(value).is_some() || self.is_module(value);
                    if !has_names || path.len() + name.len() > NAME {
                        continue;
                    }
                    below.push(match path.is_empty() {
                        true => (name.into_owned(), value),
                        false => (format!("{path}.{name}"), value),
                    });
                    if below.len() > ENTRIES {
                        return Err(format!("more than {ENTRIES} entries with names").into());
                    }
                }
                if !tensors.is_empty() {
                    groups.push(NamedValues {
                        path,
                        values: tensors,
                    });
                }
            }
            level = below;
        }
        Ok(groups)
    }

    /// Names and values of a dictionary.
    fn entries(
        &self,
        node: Index,
        looked: &mut usize,
    ) -> Result<Vec<(Cow<'a, str>, Index)>, String> {
        let pairs = self.pickle.pairs(node).unwrap_or_default();
        count(looked, pairs.len())?;
        let named = pairs.iter().filter_map(|(key, value)| {
            let name = self.pickle.text(*key)?;
            (name.len() <= NAME).then_some((Cow::Borrowed(name), *value))
        });
        Ok(named.collect())
    }

    /// Whether a value is a `torch.nn.Module`: an object with the three tables that each has.
    fn is_module(&self, node: Index) -> bool {
        self.pickle.state(node).is_some_and(|state| {
            let few = |pairs: &[_]| pairs.len() <= ATTRIBUTES;
            let table = |name| self.pickle.value(state, name);
            self.pickle.pairs(state).is_some_and(few)
                && TABLES.into_iter().all(|name| table(name).is_some())
        })
    }

    /// What `state_dict()` of a pickled module gives: parameters and buffers, by their path.
    fn module(
        &self,
        node: Index,
        looked: &mut usize,
    ) -> Result<Vec<(Cow<'a, str>, Index)>, String> {
        let pickle = self.pickle;
        let mut values = Vec::new();
        let mut level = vec![(String::new(), node)];
        for _ in 0..MODULES_DEEP {
            let mut below = Vec::new();
            for (path, module) in level {
                let Some(state) = pickle.state(module).filter(|_| self.is_module(module)) else {
                    continue;
                };
                let passing = pickle.value(state, "_non_persistent_buffers_set");
                let passing = passing.map_or_else(HashSet::new, |set| self.set(set));
                count(looked, passing.len())?;
                for table in TABLES {
                    let Some(table_values) = pickle.value(state, table) else {
                        continue;
                    };
                    for (name, value) in self.entries(table_values, looked)? {
                        if path.len() + name.len() > NAME || values.len() + below.len() > ENTRIES {
                            return Err("a module of too many or too long names".into());
                        }
                        match table {
                            "_modules" => below.push((format!("{path}{name}."), value)),
                            "_buffers" if passing.contains(&*name) => {}
                            _ => values.push((Cow::Owned(format!("{path}{name}")), value)),
                        }
                    }
                }
            }
            level = below;
        }
        Ok(values)
    }

    /// The texts of a set, which is a list or a call with one.
    fn set(&self, node: Index) -> HashSet<&'a str> {
        let pickle = self.pickle;
        let items = match pickle.call(node) {
            Some((_, [items])) => pickle.sequence(*items),
            _ => pickle.sequence(node),
        };
        let items = items.unwrap_or_default().iter();
        items.filter_map(|&item| pickle.text(item)).collect()
    }

    /// What a file holds that has no tensors.
    fn without_tensors(&self) -> Unreadable {
        let pickle = self.pickle;
        let root = pickle.root;
        let Some(pairs) = pickle.pairs(root) else {
            let got = match (&pickle.nodes[root], pickle.call(root)) {
                _ if self.tensor(root).is_some() => "a single tensor without a name".to_owned(),
                (_, Some((function, _))) => format!("a call of {function}"),
                (Node::Global(name), _) => format!("the name {name}"),
                _ => "a value that is no dictionary".to_owned(),
            };
            return got.into();
        };
        let names: Vec<&str> = pairs
            .iter()
            .filter_map(|(key, _)| pickle.text(*key))
            .collect();
        let got = match names.is_empty() {
            true => "an empty dictionary".to_owned(),
            false => format!("no tensors, but entries {}", layout::list(&names)),
        };
        got.into()
    }

    /// What a value says of a tensor, `None` if it is something else.
    fn tensor(&self, value: Index) -> Option<Found<'a>> {
        let pickle = self.pickle;
        let mut call = pickle.call(value)?;
        // A parameter, or a tensor of another class, is made of a plain tensor.
        for _ in 0..ENTRIES_DEEP {
            call = match call {
                (
                    "torch._utils._rebuild_parameter"
                    | "torch._utils._rebuild_parameter_with_state",
                    [data, ..],
                ) => pickle.call(*data)?,
                ("torch._tensor._rebuild_from_type_v2", [function, _, arguments, ..]) => {
                    (pickle.global(*function)?, pickle.sequence(*arguments)?)
                }
                _ => break,
            };
        }
        let (function, arguments) = call;
        match (function, arguments) {
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => Some(Found::Tensor(
                self.describe(*storage, *offset, *shape, *strides),
            )),
            ("torch._utils._rebuild_tensor_v3", [_, _, _, _, _, _, dtype, ..]) => {
                let name = pickle.global(*dtype).unwrap_or("an unknown type");
                Some(Found::Other(name.trim_start_matches("torch.").to_owned()))
            }
            (name, _) if is_numpy_array(name) => Some(Found::Other("a numpy array".into())),
            (name, _) if name.starts_with("torch._utils._rebuild_") => {
                let name = name.trim_start_matches("torch._utils._rebuild_");
                Some(Found::Other(format!("a {}", name.replace('_', " "))))
            }
            _ => None,
        }
    }

    fn describe(
        &self,
        storage: Index,
        offset: Index,
        shape: Index,
        strides: Index,
    ) -> Result<TensorDescription<'a>, String> {
        let pickle = self.pickle;
        let unknown = || "a tensor that it does not describe".to_owned();
        let Node::Persistent(id) = pickle.nodes[storage] else {
            return Err(unknown());
        };
        // A shape is a tuple, or a call that makes one.
        let numbers = |node: Index| {
            let items = match pickle.call(node) {
                Some((_, [items])) => pickle.sequence(*items),
                _ => pickle.sequence(node),
            };
            let items = items
                .filter(|items| items.len() <= AXES)?
                .iter()
                .map(|&item| index(pickle, item));
            items.collect::<Option<Vec<usize>>>()
        };
        let (shape, strides) = (numbers(shape), numbers(strides));
        let (shape, strides) = shape.zip(strides).ok_or_else(unknown)?;
        if shape.len() != strides.len() {
            return Err(unknown());
        }
        Ok(TensorDescription {
            storage: Storage::of(pickle, id)?,
            offset: index(pickle, offset).ok_or_else(unknown)?,
            shape,
            strides,
        })
    }

    /// Reads a storage, unless it was read before.
    fn load(&mut self, key: &str) -> Result<(), String> {
        if self.raw.contains_key(key) {
            return Ok(());
        }
        let raw = match &mut self.storages {
            Storages::Zip { archive, folder } => {
                member(archive, &format!("{folder}data/{key}"), self.raw_left)?
            }
            Storages::Legacy(storages) => storages
                .get(key)
                .ok_or_else(|| format!("no storage {key}"))?
                .to_vec(),
        };
        self.raw_left = self.raw_left.saturating_sub(raw.len());
        self.raw.insert(key.to_owned(), raw);
        Ok(())
    }

    /// Gathers a tensor's numbers, row-major.
    fn entry(&mut self, tensor: &TensorDescription<'_>) -> Result<Entry, String> {
        let TensorDescription { shape, strides, .. } = tensor;
        let dtype = match &tensor.storage.dtype {
            NumberType::Known(dtype) if Entry::is_read(*dtype) => *dtype,
            NumberType::Known(dtype) => {
                return Ok(Entry::other(format!("{dtype:?}"), shape.clone()))
            }
            NumberType::Other(name) => return Ok(Entry::other(name.clone(), shape.clone())),
            NumberType::Untyped => return Ok(Entry::other("no type".into(), shape.clone())),
        };
        let key = tensor.storage.key;
        self.load(key)?;
        let raw = &self.raw[key];
        let held = raw.len() / (dtype.bitsize() / 8);
        let start = tensor.storage.offset.checked_add(tensor.offset);
        let reach = || {
            let sizes = shape.iter().zip(strides);
            let last = sizes.clone().try_fold(start?, |last, (&size, &stride)| {
                last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
            })?;
            let count = shape
                .iter()
                .try_fold(1usize, |n, &size| n.checked_mul(size))?;
            (last < held && count <= self.elements_left).then_some(count)
        };
        let Some(count) = (if shape.contains(&0) { Some(0) } else { reach() }) else {
            let start = start.unwrap_or(usize::MAX);
            return Err(format!(
                "shape {shape:?} and strides {strides:?} from {start} in a storage of {held}"
            ));
        };
        self.elements_left -= count;
        let places = Places {
            shape,
            strides,
            position: vec![0; shape.len()],
            at: start.unwrap_or_default(),
            left: count,
        };
        Ok(Entry::gather(dtype, raw, shape.clone(), places))
    }
}

/// Where in its storage a tensor's elements are, row-major.
struct Places<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    position: Vec<usize>,
    at: usize,
    left: usize,
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let found = self.at;
        for axis in (0..self.shape.len()).rev() {
            self.position[axis] += 1;
            self.at += self.strides[axis];
            if self.position[axis] < self.shape[axis] {
                break;
            }
            self.at -= self.strides[axis] * self.shape[axis];
            self.position[axis] = 0;
        }
        Some(found)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixture(name: &str) -> Vec<u8> {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/official");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn state_dict(bytes: &[u8]) -> Result<Contents, String> {
        read(bytes, None).map_err(|e| e.got)
    }

    #[test]
    fn both_formats_every_type_and_strided_views_give_named_tensors() {
        for (name, parameter, shape) in [
            ("rectangles.pth", "module.cls_token", vec![1, 1, 12]),
            (
                "one-head.pth",
                "module.transformer.layers.0.1.fn.weight",
                vec![10, 10],
            ),
            ("grey-mean.pth", "mlp_head.1.weight", vec![10, 16]),
            ("deep.pth", "to_patch_embedding.2.weight", vec![8, 192]),
        ] {
            let contents = state_dict(&fixture(name)).unwrap();
            let entry = &contents.tensors[parameter];
            assert_eq!(entry.shape, shape, "{name}");
            assert_eq!(entry.values.len(), shape.iter().product::<usize>());
            assert_eq!(contents.unread, Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn a_file_that_was_cut_says_so() {
        for name in ["rectangles.pth", "one-head.pth"] {
            let bytes = fixture(name);
            for length in [9, 100, bytes.len() / 2, bytes.len() - 1] {
                assert!(
                    state_dict(&bytes[..length]).is_err(),
                    "{name} cut to {length}"
                );
            }
        }
    }

    /// A file of the older format with one pickled value and no storages.
    fn file_of(values: &[u8]) -> Vec<u8> {
        let magic = [&b"\x80\x02\x8a\x0a"[..], &MAGIC, b"."].concat();
        let small = &b"\x80\x02K\x01."[..];
        [&magic, small, small, values, &b"\x80\x02]."[..]].concat()
    }

    #[test]
    fn files_without_a_state_dict_say_what_they_hold() {
        // pickle.dumps({"epoch": 1}, 2) and others behind the older format's magic number.
        let error = |values: &[u8]| state_dict(&file_of(values)).unwrap_err();
        assert!(error(b"\x80\x02}X\x05\x00\x00\x00epochK\x01s.").contains("epoch"));
        assert!(error(b"\x80\x02K\x01.").contains("no dictionary"));
        assert!(error(b"\x80\x02}.").contains("empty dictionary"));
        assert!(error(b"\x80\x02cos\nsystem\n.").contains("os.system"));
        assert!(error(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").contains("os.system"));
    }

    /// A dictionary whose tensor `w` has a storage of one float, and the shape and strides given.
    fn repeated(shape: &[u32], stride: u8) -> Vec<u8> {
        let mut values = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0\
            storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0("
            .to_vec();
        for size in shape {
            values.push(b'J');
            values.extend(size.to_le_bytes());
        }
        values.extend(b"t(");
        values.extend([b'K', stride].repeat(shape.len()));
        values.extend(b"t\x89}tRs.");
        // The list of storages names the one, whose length and number follow.
        let file = file_of(&values);
        let file = file.strip_suffix(b"].").unwrap();
        let storage = [&1u64.to_le_bytes()[..], &2.5f32.to_le_bytes()].concat();
        [file, b"]X\x01\0\0\x000a.", &storage].concat()
    }

    #[test]
    fn a_tensor_that_repeats_its_storage_is_believed_up_to_a_bound() {
        let contents = state_dict(&repeated(&[3], 0)).unwrap();
        assert_eq!(contents.tensors["w"].values, [2.5; 3]);
        for (shape, stride, words) in [
            (&[1 << 30][..], 0, "w: shape [1073741824]"),
            (&[2], 1, "in a storage of 1"),
            (&[1; 65], 0, "does not describe"),
        ] {
            let error = state_dict(&repeated(shape, stride)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    /// Names and dictionaries that are shared cost a file two bytes each time.
    #[test]
    fn names_that_are_shared_are_not_multiplied() {
        let mut values = b"\x80\x02}(X\0\0\x01\0".to_vec();
        values.extend([b'a'; 1 << 16]);
        values.extend(b"q\0}q\x01X\x01\0\0\0bq\x02h\x01");
        values.extend(b"h\0h\x01h\x02h\x01".repeat(100_000));
        values.extend(b"u.");
        let error = state_dict(&file_of(&values)).unwrap_err();
        assert!(error.contains("more than 20000 entries"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_byte_is_damaged_reading_ends(
            place in 0.0f64..1.0, value in any::<u8>(), legacy in any::<bool>()
        ) {
            let mut bytes = fixture(if legacy { "one-head.pth" } else { "grey-mean.pth" });
            let index = (place * bytes.len() as f64) as usize;
            bytes[index] = value;
            let _ = state_dict(&bytes);
        }
    }
}
