//! Checkpoints: safetensors, both formats of `torch.save`, an index of several files, a configuration.

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use dfdx::prelude::Cpu;
use whitebox::model::checkpoint::{self, Checkpoint};
use whitebox::model::{Classifier, Config, Pool};

use crate::{damaged, run};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

/// Reads a checkpoint as the programs do: contents, sizes, network.
fn read(path: &Path) -> Result<(), String> {
    let checkpoint = Checkpoint::read(path).map_err(|e| e.to_string())?;
    let config = match checkpoint.config {
        Some(config) => config,
        None => {
            let inferred = checkpoint.infer(2, Pool::Cls, 1, Some(3));
            inferred.map_err(|e| e.to_string())?
        }
    };
    let network = checkpoint.network(config, &Cpu::default());
    let network = network.map_err(|e| e.to_string())?;
    let odd = |value: &f32| !value.is_finite();
    let found = network
        .parameters()
        .iter()
        .any(|p| p.values.iter().any(odd));
    assert!(!found, "a network with numbers that are not finite");
    for note in checkpoint
        .notes
        .iter()
        .chain(&checkpoint.left_out(&network))
    {
        assert_eq!(note.lines().count(), 1, "{note:?}");
    }
    Ok(())
}

/// A folder with a network of four thousand numbers as this program writes it.
fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        depth: 1,
        ..Config::preset("demo").unwrap()
    };
    let config = config.with_width(16, 2).unwrap();
    let network = Classifier::<f32, Cpu>::new(config, 0, &Cpu::default()).unwrap();
    let path = folder.path().join("model.safetensors");
    checkpoint::write(&path, &network, &serde_json::json!({"seed": 0})).unwrap();
    whitebox::model::hub::write_config(&folder.path().join("config.json"), &config).unwrap();
    (folder, path)
}

#[test]
fn damaged_safetensors_are_refused_in_one_line() {
    let (_folder, path) = written();
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let sound = run(
        "safetensors",
        |rng| {
            // Every other time the header alone, behind its right length.
            if rand::Rng::gen(rng) {
                return damaged(&whole, rng);
            }
            let text = damaged(&whole[8..header], rng);
            let length = (text.len() as u64).to_le_bytes();
            [&length, text.as_slice(), &whole[header..]].concat()
        },
        |bytes| {
            std::fs::write(&path, bytes).unwrap();
            read(&path)
        },
    );
    assert!(sound > 0, "no damage was harmless");
}

/// A zip archive of the members of `archive`, with `values` as the pickle.
fn with_values(archive: &[u8], values: &[u8]) -> Vec<u8> {
    let mut from = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..from.len() {
        let mut member = from.by_index(index).unwrap();
        let name = member.name().unwrap().into_owned();
        to.start_file(&name, stored).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        let is_values = name.ends_with("data.pkl");
        to.write_all(if is_values { values } else { &bytes })
            .unwrap();
    }
    to.finish().unwrap().into_inner()
}

/// The pickle of a zip archive.
fn values(archive: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let index = (0..archive.len()).find(|&index| {
        let member = archive.by_index(index).unwrap();
        let name = member.name().unwrap().into_owned();
        name.ends_with("data.pkl")
    });
    let mut bytes = Vec::new();
    let mut member = archive.by_index(index.unwrap()).unwrap();
    member.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn damaged_zip_checkpoints_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    let names = ["plain", "beside", "whole", "twins", "protocol-1"];
    let archives = names.map(|name| fixture(&format!("checkpoints/{name}.pth")));
    let pickles = archives.each_ref().map(|archive| values(archive));
    let sound = run(
        "zip",
        |rng| {
            let which = rand::Rng::gen_range(rng, 0..names.len());
            // Mostly the pickle, behind a right checksum.
            match rand::Rng::gen_range(rng, 0..4) {
                0 => damaged(&archives[which], rng),
                _ => with_values(&archives[which], &damaged(&pickles[which], rng)),
            }
        },
        |bytes| {
            std::fs::write(&path, bytes).unwrap();
            read(&path)
        },
    );
    assert!(sound > 0, "no damage was harmless");
}

#[test]
fn damaged_checkpoints_of_the_older_format_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    let files = ["official/one-head.pth", "checkpoints/legacy-1.pth"].map(fixture);
    let sound = run(
        "legacy",
        |rng| {
            let which = rand::Rng::gen_range(rng, 0..files.len());
            damaged(&files[which], rng)
        },
        |bytes| {
            std::fs::write(&path, bytes).unwrap();
            read(&path)
        },
    );
    assert!(sound > 0, "no damage was harmless");
}

#[test]
fn damaged_indices_are_refused_in_one_line() {
    let (folder, path) = written();
    let shard = "model-00001-of-00001.safetensors";
    std::fs::rename(&path, path.with_file_name(shard)).unwrap();
    let bytes = std::fs::read(path.with_file_name(shard)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let names = file.names().into_iter();
    let map: std::collections::BTreeMap<&str, &str> = names.map(|name| (name, shard)).collect();
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    let path = folder.path().join("model.safetensors.index.json");
    let sound = run(
        "index",
        |rng| damaged(index.as_bytes(), rng),
        |bytes| {
            std::fs::write(&path, bytes).unwrap();
            read(folder.path())
        },
    );
    assert!(sound > 0, "no damage was harmless");
}

#[test]
fn damaged_configurations_are_refused_in_one_line() {
    let (folder, _) = written();
    let path = folder.path().join("config.json");
    let config = std::fs::read(&path).unwrap();
    let sound = run(
        "config",
        |rng| damaged(&config, rng),
        |bytes| {
            std::fs::write(&path, bytes).unwrap();
            read(folder.path())
        },
    );
    assert!(sound > 0, "no damage was harmless");
}
