//! Checkpoints that `torch.save` wrote, read without Python: the zip format of PyTorch 1.6 and later,
//! and the one before it.
//!
//! | | zip | before 1.6 |
//! |---|---|---|
//! | values | `NAME/data.pkl` | the fourth of five pickles: magic number, protocol, system, values, keys |
//! | numbers of storage `k` | `NAME/data/k` | after the pickles, in the order of the keys, each behind its length |
//!
//! The state dict may be the whole file or one of its entries; other entries are ignored. Names may
//! carry the prefixes of `DataParallel` and `torch.compile`.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use safetensors::tensor::Dtype;

use super::checkpoint::{to_f32, Entry};
use super::pickle::{Index, Node, Pickle};

/// Entries that hold the state dict, by the programs that write them: the official code; MAE, DeiT.
const STATE_DICTS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// What wrappers put before every name.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// The first of the pickles of the older format.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Elements of a tensor that repeats its storage up to which it is believed.
const REPEATED: usize = 1 << 24;

/// Whether a file starts like one of the two formats.
pub(super) fn is_pytorch(bytes: &[u8]) -> bool {
    // A safetensors file starts with a length, and its ninth byte opens the header.
    let safetensors = bytes.get(8) == Some(&b'{');
    bytes.starts_with(b"PK") || (bytes.starts_with(&[0x80]) && !safetensors)
}

/// The tensors of the state dict; the error says what was found instead.
pub(super) fn read(bytes: &[u8]) -> Result<HashMap<String, Entry>, String> {
    let (pickle, storages) = if bytes.starts_with(b"PK") {
        zip(bytes)?
    } else {
        legacy(bytes)?
    };
    let mut file = File {
        pickle: &pickle,
        storages,
        decoded: HashMap::new(),
    };
    let mut tensors: Vec<(String, Entry)> = Vec::new();
    for &(key, value) in file.state_dict()? {
        if let (Some(name), Some(description)) = (pickle.text(key), file.tensor(value)) {
            let tensor = description.and_then(|tensor| file.entry(&tensor));
            tensors.push((name.to_owned(), tensor.map_err(|e| format!("{name}: {e}"))?));
        }
    }
    while let Some(prefix) = PREFIXES
        .into_iter()
        .find(|prefix| tensors.iter().all(|(name, _)| name.starts_with(prefix)))
    {
        for (name, _) in &mut tensors {
            name.drain(..prefix.len());
        }
    }
    Ok(tensors.into_iter().collect())
}

/// The raw numbers of storages, by key.
enum Storages<'a> {
    Zip {
        archive: zip::ZipArchive<Cursor<&'a [u8]>>,
        folder: String,
    },
    Legacy(HashMap<String, &'a [u8]>),
}

fn zip(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| format!("{} bytes of a damaged zip archive ({e})", bytes.len()))?;
    let name = archive
        .file_names()
        .filter_map(Result::ok)
        .find(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
        .ok_or("a zip archive without data.pkl")?
        .into_owned();
    let folder = name.trim_end_matches("data.pkl").to_owned();
    if let Ok(order) = member(&mut archive, &format!("{folder}byteorder")) {
        if order != b"little" {
            return Err("numbers of a big-endian machine".into());
        }
    }
    let (pickle, _) = Pickle::read(&member(&mut archive, &name)?)?;
    Ok((pickle, Storages::Zip { archive, folder }))
}

fn member(archive: &mut zip::ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<u8>, String> {
    let damaged = |e: &dyn std::fmt::Display| format!("a damaged or missing {name} ({e})");
    let mut file = archive.by_name(name).map_err(|e| damaged(&e))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    Ok(bytes)
}

fn legacy(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), String> {
    let mut rest = bytes;
    let mut next = || {
        let (pickle, length) = Pickle::read(rest)?;
        rest = &rest[length..];
        Ok::<_, String>(pickle)
    };
    let magic = next()?;
    if magic.nodes[magic.root] != Node::Bytes(MAGIC.to_vec()) {
        return Err("a pickle that torch.save did not write".into());
    }
    let [_protocol, _system, values, keys] = [next()?, next()?, next()?, next()?];
    let width: HashMap<&str, usize> = values
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Persistent(id) => Storage::of(&values, *id).ok(),
            _ => None,
        })
        .map(|storage| (storage.key, storage.dtype.bitsize() / 8))
        .collect();
    let mut storages = HashMap::new();
    for &key in keys.sequence(keys.root).ok_or("no list of storages")? {
        let key = keys.text(key).ok_or("a storage without a name")?;
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

/// What a persistent id says of a storage.
struct Storage<'a> {
    key: &'a str,
    dtype: Dtype,
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
        let Node::Global(class) = &pickle.nodes[*class] else {
            return Err(unknown());
        };
        if pickle.text(*word) != Some("storage") {
            return Err(unknown());
        }
        let dtype = match class.as_str() {
            "torch.FloatStorage" => Dtype::F32,
            "torch.DoubleStorage" => Dtype::F64,
            "torch.HalfStorage" => Dtype::F16,
            "torch.BFloat16Storage" => Dtype::BF16,
            "torch.LongStorage" => Dtype::I64,
            "torch.IntStorage" => Dtype::I32,
            "torch.ShortStorage" => Dtype::I16,
            "torch.CharStorage" => Dtype::I8,
            "torch.ByteStorage" => Dtype::U8,
            "torch.BoolStorage" => Dtype::BOOL,
            _ => return Err(format!("a storage of type {class}")),
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
}

fn index(pickle: &Pickle, node: Index) -> Option<usize> {
    usize::try_from(pickle.integer(node)?).ok()
}

struct TensorDescription<'a> {
    storage: Storage<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

struct File<'a> {
    pickle: &'a Pickle,
    storages: Storages<'a>,
    /// Storages as f32: several tensors may share one.
    decoded: HashMap<String, Vec<f32>>,
}

impl<'a> File<'a> {
    fn state_dict(&self) -> Result<&'a [(Index, Index)], String> {
        let pickle = self.pickle;
        let root = pickle.pairs(pickle.root);
        let root = root.ok_or("a value that is no dictionary")?;
        let entry = |wanted: &str| {
            let mut entries = root.iter();
            let (_, value) = entries.find(|(key, _)| pickle.text(*key) == Some(wanted))?;
            pickle.pairs(*value)
        };
        let inner = STATE_DICTS.iter().find_map(|name| entry(name));
        let pairs = inner.unwrap_or(root);
        if pairs.iter().any(|(_, value)| self.tensor(*value).is_some()) {
            return Ok(pairs);
        }
        let names: Vec<&str> = root
            .iter()
            .filter_map(|(key, _)| pickle.text(*key))
            .collect();
        Err(format!("no tensors, but entries {names:?}"))
    }

    /// What a value says of a tensor, `None` if it is something else.
    fn tensor(&self, value: Index) -> Option<Result<TensorDescription<'a>, String>> {
        let (function, arguments) = self.pickle.call(value)?;
        match (function, arguments) {
            ("torch._utils._rebuild_parameter", [data, ..]) => self.tensor(*data),
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => Some(self.describe(*storage, *offset, *shape, *strides)),
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
            let items = items?.iter().map(|&item| index(pickle, item));
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

    /// Gathers a tensor's numbers, row-major.
    fn entry(&mut self, tensor: &TensorDescription<'_>) -> Result<Entry, String> {
        let key = tensor.storage.key;
        if !self.decoded.contains_key(key) {
            let raw = match &mut self.storages {
                Storages::Zip { archive, folder } => {
                    member(archive, &format!("{folder}data/{key}"))?
                }
                Storages::Legacy(storages) => storages
                    .get(key)
                    .ok_or_else(|| format!("no storage {key}"))?
                    .to_vec(),
            };
            let dtype = tensor.storage.dtype;
            let numbers = to_f32(dtype, &raw)
                .ok_or_else(|| format!("type {dtype:?} instead of F32, F16, BF16 or F64"))?;
            self.decoded.insert(key.to_owned(), numbers);
        }
        let numbers = &self.decoded[key];
        let TensorDescription { shape, strides, .. } = tensor;
        let start = tensor.storage.offset.checked_add(tensor.offset);
        let reach = || {
            let sizes = shape.iter().zip(strides);
            let last = sizes.clone().try_fold(start?, |last, (&size, &stride)| {
                last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
            })?;
            let count = shape
                .iter()
                .try_fold(1usize, |n, &size| n.checked_mul(size))?;
            (last < numbers.len() && count <= numbers.len().max(REPEATED)).then_some(count)
        };
        let Some(count) = (if shape.contains(&0) { Some(0) } else { reach() }) else {
            return Err(format!(
                "shape {shape:?} and strides {strides:?} from {start:?} in a storage of {}",
                numbers.len()
            ));
        };
        let mut values = Vec::with_capacity(count);
        let mut position = vec![0; shape.len()];
        let mut at = start.unwrap_or_default();
        for _ in 0..count {
            values.push(numbers[at]);
            for axis in (0..shape.len()).rev() {
                position[axis] += 1;
                at += strides[axis];
                if position[axis] < shape[axis] {
                    break;
                }
                at -= strides[axis] * shape[axis];
                position[axis] = 0;
            }
        }
        Ok(Entry {
            shape: shape.clone(),
            values,
        })
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

    #[test]
    fn both_formats_every_type_and_strided_views_give_named_tensors() {
        for (name, parameter, shape) in [
            ("rectangles.pth", "cls_token", vec![1, 1, 12]),
            (
                "one-head.pth",
                "transformer.layers.0.1.fn.weight",
                vec![10, 10],
            ),
            ("grey-mean.pth", "mlp_head.1.weight", vec![10, 16]),
            ("deep.pth", "to_patch_embedding.2.weight", vec![8, 192]),
        ] {
            let bytes = fixture(name);
            assert!(is_pytorch(&bytes));
            let tensors = read(&bytes).unwrap();
            let entry = &tensors[parameter];
            assert_eq!(entry.shape, shape, "{name}");
            assert_eq!(entry.values.len(), shape.iter().product::<usize>());
            assert!(!tensors.keys().any(|key| key.starts_with("module.")));
        }
    }

    #[test]
    fn a_file_that_was_cut_says_so() {
        for name in ["rectangles.pth", "one-head.pth"] {
            let bytes = fixture(name);
            for length in [1, 9, 100, bytes.len() / 2, bytes.len() - 1] {
                let cut = &bytes[..length];
                assert!(
                    !is_pytorch(cut) || read(cut).is_err(),
                    "{name} cut to {length}"
                );
            }
        }
    }

    #[test]
    fn files_without_a_state_dict_say_what_they_hold() {
        // pickle.dumps({"epoch": 1}, 2) behind the older format's magic number.
        let error = |values: &[u8]| {
            let magic = [&b"\x80\x02\x8a\x0a"[..], &MAGIC, b"."].concat();
            let small = &b"\x80\x02K\x01."[..];
            let file = [&magic, small, small, values, &b"\x80\x02]."[..]].concat();
            read(&file).unwrap_err()
        };
        assert!(error(b"\x80\x02}X\x05\x00\x00\x00epochK\x01s.").contains("epoch"));
        assert!(error(b"\x80\x02K\x01.").contains("no dictionary"));
        assert!(error(b"\x80\x02cos\nsystem\n.").contains("os.system"));
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
            let _ = read(&bytes);
        }
    }
}
