//! Checkpoints: safetensors, both formats of `torch.save`, an index of several files, a configuration.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use dfdx::prelude::Cpu;
use safetensors::SafeTensors;
use whitebox::model::checkpoint::{self, Checkpoint};
use whitebox::model::description::Description;
use whitebox::model::{hub, Classifier, Config, Pool};
use whitebox::Result;

use crate::Format;

const MIB: usize = 1 << 20;

/// Every format of checkpoints. Where a checksum or a length would find every change, what is behind it is
/// changed, and the checksum made anew.
pub(crate) fn formats() -> Vec<Format> {
    let whole = written();
    let (header, numbers) = parts(&whole);
    let (header, numbers) = (header.to_vec(), numbers.to_vec());
    let names = ["plain", "beside", "whole", "twins", "protocol-1"];
    let archives = names.map(|name| fixture(&format!("checkpoints/{name}.pth")));
    let index = serde_json::json!({"metadata": {}, "weight_map": shard_of_each(&whole)});
    let bare = safetensors::serialize(SafeTensors::deserialize(&whole).unwrap().tensors(), None);
    let bare = bare.unwrap();
    let (shard, beside) = (whole.clone(), whole.clone());
    vec![
        Format {
            name: "safetensors",
            file: "net.safetensors",
            valid: vec![whole],
            read: Box::new(|folder| read(&folder.join("net.safetensors"))),
            memory: 128 * MIB,
        },
        Format {
            name: "safetensors header",
            file: "net.safetensors",
            valid: vec![header],
            read: Box::new(move |folder| {
                let path = folder.join("net.safetensors");
                let header = std::fs::read(&path).unwrap();
                let length = (header.len() as u64).to_le_bytes();
                std::fs::write(&path, [&length, header.as_slice(), &numbers].concat()).unwrap();
                read(&path)
            }),
            memory: 128 * MIB,
        },
        Format {
            name: "pth zip",
            file: "net.pth",
            valid: archives.to_vec(),
            read: Box::new(|folder| read_torch(&folder.join("net.pth"))),
            memory: 128 * MIB,
        },
        values("pth values", &archives[0]),
        values("pth values beside others", &archives[1]),
        values("pth values of a module", &archives[2]),
        values("pth values of twins", &archives[3]),
        Format {
            name: "pth legacy",
            file: "net.pth",
            valid: vec![fixture("checkpoints/legacy-1.pth")],
            read: Box::new(|folder| read(&folder.join("net.pth"))),
            memory: 128 * MIB,
        },
        Format {
            name: "index.json",
            file: "model.safetensors.index.json",
            valid: vec![index.to_string().into_bytes()],
            read: Box::new(move |folder| {
                std::fs::write(folder.join(SHARD), &shard).unwrap();
                read(folder)
            }),
            memory: 128 * MIB,
        },
        // Beside a network that has its configuration in itself, and beside one that has not.
        Format {
            name: "config.json",
            file: "config.json",
            valid: vec![configuration()],
            read: Box::new(move |folder| {
                for network in [&beside, &bare] {
                    std::fs::write(folder.join("model.safetensors"), network).unwrap();
                    read(folder)?;
                }
                Ok(())
            }),
            memory: 128 * MIB,
        },
    ]
}

/// The pickle in a zip archive, which is put in again behind a right checksum.
fn values(name: &'static str, archive: &[u8]) -> Format {
    let archive = archive.to_vec();
    Format {
        name,
        file: "net.pth",
        valid: vec![values_of(&archive)],
        read: Box::new(move |folder| {
            let path = folder.join("net.pth");
            let values = std::fs::read(&path).unwrap();
            std::fs::write(&path, with_values(&archive, &values)).unwrap();
            read_torch(&path)
        }),
        memory: 128 * MIB,
    }
}

const SHARD: &str = "model-00001-of-00001.safetensors";

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

/// Reads a checkpoint as the programs do: contents, sizes, network. What comes of it has numbers that are
/// finite, and is described in single lines.
fn read(path: &Path) -> Result<()> {
    read_entry(path, None)
}

/// The same of a file with two networks too.
fn read_torch(path: &Path) -> Result<()> {
    read_entry(path, None).or_else(|_| read_entry(path, Some("teacher")))
}

fn read_entry(path: &Path, key: Option<&str>) -> Result<()> {
    let checkpoint = Checkpoint::read_entry(path, key)?;
    let config = match checkpoint.config() {
        Some(config) => config,
        None => checkpoint.infer(2, Pool::Cls, 1, Some(3), None)?,
    };
    let network = checkpoint.network(config, &Cpu::default())?;
    let parameters = network.parameters();
    let mut values = parameters.iter().flat_map(|p| &p.values);
    assert!(values.all(|value| value.is_finite()));
    for note in checkpoint
        .notes
        .iter()
        .chain(&checkpoint.left_out(&network))
    {
        assert!(!note.contains(char::is_control), "{note:?}");
    }
    Ok(())
}

fn config() -> Config {
    let demo = Config::preset("demo").unwrap();
    let config = Config { depth: 1, ..demo }.for_images(1, [8, 8], 3);
    config.with_width(8, 2).unwrap()
}

/// A network of a thousand numbers as this program writes it.
fn written() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let network = Classifier::<f32, Cpu>::new(config(), 0, &Cpu::default()).unwrap();
    let path = folder.path().join("net.safetensors");
    checkpoint::write(&path, &network, &serde_json::json!({"seed": 0})).unwrap();
    std::fs::read(path).unwrap()
}

fn configuration() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    hub::write_config(&path, &Description::Classifier(config())).unwrap();
    std::fs::read(path).unwrap()
}

/// Header and numbers of a safetensors file.
fn parts(file: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    rest.split_at(u64::from_le_bytes(*length) as usize)
}

fn shard_of_each(file: &[u8]) -> serde_json::Value {
    let file = SafeTensors::deserialize(file).unwrap();
    let names = file.names().into_iter();
    let shard = || serde_json::Value::from(SHARD);
    names.map(|name| (name.to_owned(), shard())).collect()
}

/// Members of a zip archive, by name.
fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let count = archive.len();
    let read = |index| {
        let mut member = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        (member.name().unwrap().into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

/// The pickle of a zip archive.
fn values_of(archive: &[u8]) -> Vec<u8> {
    let mut members = members(archive).into_iter();
    let found = members.find(|(name, _)| name.ends_with("data.pkl"));
    found.unwrap().1
}

/// The archive with other values.
fn with_values(archive: &[u8], values: &[u8]) -> Vec<u8> {
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in members(archive) {
        to.start_file(&name, stored).unwrap();
        let is_values = name.ends_with("data.pkl");
        to.write_all(if is_values { values } else { &bytes })
            .unwrap();
    }
    to.finish().unwrap().into_inner()
}
