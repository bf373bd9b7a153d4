//! The checkpoints that people have, and what they take for one: `tests/fixtures/make_checkpoints.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::Array4;
use safetensors::tensor::SafeTensors;
use whitebox::model::checkpoint::Checkpoint;

use crate::{fail, succeed, text, tiny_training, whitebox};

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
    folder.join(name)
}

/// A folder with pictures that fit the network of the fixtures.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pictures = Array4::from_shape_fn((2, 1, 4, 4), |(b, _, y, x)| {
            ((16 * b + 4 * y + x) as f32).sin()
        });
        ndarray_npy::write_npy(folder.path().join("x.npy"), &pictures).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The command that runs a checkpoint, without what says how many heads it has.
    fn bare(&self, checkpoint: &Path) -> Command {
        let mut command = whitebox();
        command.arg("forward").arg("--checkpoint").arg(checkpoint);
        command.arg("--input").arg(self.path("x.npy"));
        command.arg("--output").arg(self.path("y.npy"));
        command
    }

    fn forward(&self, checkpoint: &Path, flags: &[&str]) -> Command {
        let mut command = self.bare(checkpoint);
        command
            .args(["--heads", "2", "--channels", "1"])
            .args(flags);
        command
    }

    /// Logits, and what was said on standard error.
    fn logits(&self, command: &mut Command) -> (Vec<u8>, String) {
        let output = command.output().unwrap();
        let message = text(&output.stderr);
        assert!(output.status.success(), "{message}");
        (std::fs::read(self.path("y.npy")).unwrap(), message)
    }

    fn plain(&self) -> Vec<u8> {
        self.logits(&mut self.forward(&fixture("plain.pth"), &[])).0
    }

    /// Refused, and nothing written.
    fn refuse(&self, checkpoint: &Path, flags: &[&str], words: &[&str]) {
        let _ = std::fs::remove_file(self.path("y.npy"));
        fail(&mut self.forward(checkpoint, flags), 1, words);
        assert!(!self.path("y.npy").exists());
    }
}

/// The tensors of the plain fixture by name: shape and numbers.
fn tensors() -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let read = Checkpoint::read(&fixture("plain.pth")).unwrap();
    let pool = whitebox::model::Pool::Cls;
    let config = read.infer(2, pool, 1, None, None).unwrap();
    let network = read.network(config, &dfdx::prelude::Cpu::default());
    let parameters = network.unwrap().parameters().into_iter();
    parameters
        .map(|p| {
            let bytes = whitebox::artefact::f32_to_bytes(&p.values);
            (p.parameter.name, p.parameter.shape, bytes)
        })
        .collect()
}

/// A safetensors file of those `tensors` that `keep` wants.
fn safetensors(tensors: &[(String, Vec<usize>, Vec<u8>)], keep: impl Fn(usize) -> bool) -> Vec<u8> {
    use safetensors::tensor::{Dtype, TensorView};
    let kept = tensors.iter().enumerate().filter(|(index, _)| keep(*index));
    let views = kept.map(|(_, (name, shape, bytes))| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn whatever_wrappers_put_around_a_network_it_is_the_same_network() {
    let bench = Bench::new();
    let plain = bench.plain();
    let cases: [(&str, &[&str], &[&str]); 13] = [
        ("module.pth", &[], &["prefix module._orig_mod."]),
        (
            "average.pth",
            &[],
            &["read the entry model\n", "--key: model_ema"],
        ),
        (
            "counter.pth",
            &[],
            &["prefix module.", "left out n_averaged (I64)"],
        ),
        ("alone.pth", &[], &["read the entry net"]),
        ("whole.pth", &[], &["left unread", "__main__.Net"]),
        ("protocol-1.pth", &[], &[]),
        ("legacy-1.pth", &[], &[]),
        (
            "twins.pth",
            &["--key", "teacher"],
            &["prefix module.backbone."],
        ),
        (
            "flat-twins.pth",
            &["--key", "teacher"],
            &["prefix teacher."],
        ),
        ("average.pth", &["--key", "model"], &[]),
        (
            "lightning.pth",
            &["--allow-extra"],
            &["prefix model.", "left out criterion.weight"],
        ),
        (
            "beside.pth",
            &[],
            &[
                "left unread",
                "pathlib.PosixPath",
                "collections.deque",
                "__main__.Easy",
            ],
        ),
        (
            "module.pth",
            &["--key", "state_dict"],
            &["prefix module._orig_mod."],
        ),
    ];
    for (name, flags, words) in cases {
        let (found, said) = bench.logits(&mut bench.forward(&fixture(name), flags));
        assert!(found == plain, "{name} {flags:?}: other logits");
        for word in words {
            assert!(said.contains(word), "{name}: {word:?} is not in {said}");
        }
        assert!(!words.is_empty() || said.is_empty(), "{name}: {said}");
    }
    for name in ["twins.pth", "flat-twins.pth"] {
        let (found, _) = bench.logits(&mut bench.forward(&fixture(name), &["--key", "student"]));
        assert!(found != plain, "{name}");
    }
}

#[test]
fn a_choice_that_the_program_cannot_make_is_left_to_the_flag() {
    let bench = Bench::new();
    let words = ["several networks", "teacher", "student", "--key"];
    bench.refuse(&fixture("twins.pth"), &[], &words);
    bench.refuse(&fixture("flat-twins.pth"), &[], &words);
    let words = ["no entry ema", "teacher", "--key"];
    bench.refuse(&fixture("flat-twins.pth"), &["--key", "ema"], &words);
    let words = ["criterion.weight unexpected", "--allow-extra"];
    bench.refuse(&fixture("lightning.pth"), &[], &words);
    // A part of the network is no extra: without it the network would be another one.
    let one_head = ["--heads", "1", "--allow-extra"];
    let mut command = bench.bare(&fixture("plain.pth"));
    command.args(one_head).args(["--channels", "1"]);
    fail(
        &mut command,
        1,
        &["to_out.0.weight unexpected", "check the flags"],
    );
}

#[test]
fn a_number_that_is_not_finite_is_named_with_its_tensor() {
    let bench = Bench::new();
    let words = ["nan.pth", "mlp_head.1.bias", "NaN at [1]"];
    bench.refuse(&fixture("nan.pth"), &[], &words);
    let words = ["large.pth", "mlp_head.1.bias", "1e300 at [2]"];
    bench.refuse(&fixture("large.pth"), &[], &words);
    let mut broken = tensors();
    let dictionary = broken
        .iter_mut()
        .find(|(name, ..)| name.ends_with("1.fn.weight"));
    let (name, _, bytes) = dictionary.unwrap();
    bytes[4 * 8..4 * 9].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    let name = name.clone();
    let path = bench.write("infinite.safetensors", safetensors(&broken, |_| true));
    bench.refuse(&path, &[], &[&name, "-inf at [1, 2]"]);
    let out = bench.path("tuned.safetensors");
    let mut tune = whitebox();
    tune.args([
        "finetune",
        "--data",
        "procedural",
        "--limit",
        "40",
        "--heads",
        "2",
    ])
    .args(["--channels", "1", "--size", "4"])
    .arg("--checkpoint")
    .arg(&path)
    .arg("--out")
    .arg(&out);
    fail(&mut tune, 1, &[&name, "-inf at [1, 2]"]);
    assert!(!out.exists());
}

#[test]
fn tensors_that_cannot_be_read_are_named_where_they_are_needed() {
    let bench = Bench::new();
    for (name, words) in [
        ("float8.pth", ["pos_embedding", "float8_e4m3fn"]),
        ("count.pth", ["mlp_head.1.bias", "I64"]),
        ("sparse.pth", ["mlp_head.1.weight", "sparse tensor"]),
        ("numpy.pth", ["pos_embedding", "numpy array"]),
    ] {
        bench.refuse(&fixture(name), &[], &[name, words[0], words[1]]);
    }
}

#[test]
fn other_networks_are_called_what_they_are() {
    let bench = Bench::new();
    for (name, words) in [
        ("alpha.pth", ["CRATE-alpha", "not supported"]),
        ("mae.pth", ["masked autoencoder", "finetune --allow-extra"]),
        ("encoder.pth", ["encoder without head", "finetune"]),
        ("linear.pth", ["pos_embedding", "bias, weight"]),
    ] {
        bench.refuse(&fixture(name), &[], &[name, words[0], words[1]]);
    }
}

#[test]
fn an_encoder_without_head_is_given_one() {
    let bench = Bench::new();
    let out = bench.path("tuned.safetensors");
    let tune = |name: &str, flags: &[&str]| {
        let mut command = whitebox();
        command
            .args(["finetune", "--data", "procedural", "--limit", "40"])
            .args(["--size", "28", "--epochs", "1", "--batch", "20"])
            .args(["--heads", "2", "--channels", "1"])
            .args(flags)
            .arg("--checkpoint")
            .arg(fixture(name))
            .arg("--out")
            .arg(&out);
        command
    };
    let words = ["mae.pth", "mask_token unexpected", "--allow-extra"];
    fail(&mut tune("mae.pth", &[]), 1, &words);
    assert!(!out.exists());
    // The head of the last is for three classes, and is replaced.
    for (name, flags) in [
        ("encoder.pth", &[][..]),
        ("mae.pth", &["--allow-extra"]),
        ("plain.pth", &[]),
    ] {
        succeed(&mut tune(name, flags));
        let tuned = Checkpoint::read(&out).unwrap().config().unwrap();
        assert_eq!((tuned.classes, tuned.d), (10, 6), "{name}");
        std::fs::remove_file(&out).unwrap();
    }
}

#[test]
fn files_that_are_no_checkpoint_are_called_what_they_are() {
    let bench = Bench::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 52300000\n";
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("run/a.pth", stored).unwrap();
    let archive = archive.finish().unwrap().into_inner();
    let cases: [(&str, &[u8], &[&str]); 9] = [
        (
            "lfs.pth",
            pointer.as_bytes(),
            &["Git LFS pointer", "git lfs pull"],
        ),
        (
            "page.safetensors",
            b"<!DOCTYPE html><html>",
            &["HTML page", "download"],
        ),
        ("empty.pth", b"", &["empty file"]),
        (
            "wrapped.zip",
            &archive,
            &["zip archive that holds run/a.pth", "unpack"],
        ),
        (
            "a.pth.gz",
            b"\x1f\x8b\x08\0\0\0\0",
            &["gzip archive", "unpack"],
        ),
        (
            "config.json",
            b"{\"hidden_size\": 6}",
            &["JSON document", "folder"],
        ),
        ("PK.bin", b"PK\x01 is not enough", &["504b01206973206e"]),
        (
            "answer.pth",
            b"Entry not found",
            &["text", "Entry not found", "download"],
        ),
        (
            "two.pth",
            b"\x80\x02K\x01.",
            &["pickle that torch.save did not write"],
        ),
    ];
    for (name, bytes, words) in cases {
        bench.refuse(&bench.write(name, bytes), &[], &[&[name], words].concat());
    }
    for (name, words) in [
        ("script.pt", ["TorchScript", "state_dict()"]),
        ("numpy.npz", [".npz", "tensors"]),
        ("numpy.pkl", ["pickle of numpy arrays", "tensors"]),
        ("protocol-0.pth", ["protocol 0", "save"]),
    ] {
        bench.refuse(&fixture(name), &[], &[name, words[0], words[1]]);
    }
}

#[test]
fn a_header_length_that_looks_like_another_format_does_not_mislead() {
    let bench = Bench::new();
    let plain = bench.plain();
    let bytes = safetensors(&tensors(), |_| true);
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // "PK" and the first byte of a pickle.
    for length in [0x4b50u64, 0x4b80] {
        let mut text = bytes[8..8 + header].to_vec();
        text.resize(length as usize, b' ');
        let file = [&length.to_le_bytes()[..], &text, &bytes[8 + header..]].concat();
        let path = bench.write("net.safetensors", file);
        assert!(bench.logits(&mut bench.forward(&path, &[])).0 == plain);
    }
}

#[test]
fn a_folder_of_the_hub_is_read_whole_or_in_parts() {
    let bench = Bench::new();
    let plain = bench.plain();
    let all = tensors();
    bench.write("hub/model.safetensors", safetensors(&all, |_| true));
    let hub = bench.path("hub");
    assert!(bench.logits(&mut bench.forward(&hub, &[])).0 == plain);
    // The heads are in no tensor, but may be beside it.
    fail(&mut bench.bare(&hub), 1, &["model.safetensors", "--heads"]);
    bench.write(
        "hub/config.json",
        r#"{"num_attention_heads": 2, "hidden_size": 6}"#,
    );
    let mut command = bench.bare(&hub);
    assert!(bench.logits(command.args(["--channels", "1"])).0 == plain);
    let mut other = bench.bare(&hub);
    other.args(["--channels", "1", "--heads", "3"]);
    fail(&mut other, 2, &["--heads", "the 2 that", "got 3"]);

    let parts = bench.path("parts");
    let first = "model-00001-of-00002.safetensors";
    let second = "model-00002-of-00002.safetensors";
    bench.write(&format!("parts/{first}"), safetensors(&all, |i| i % 2 == 0));
    let names = all.iter().enumerate();
    let map: std::collections::BTreeMap<&str, &str> = names
        .map(|(i, (name, ..))| (name.as_str(), if i % 2 == 0 { first } else { second }))
        .collect();
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    let index = bench.write("parts/model.safetensors.index.json", index.to_string());
    bench.refuse(&parts, &[], &[second, "model.safetensors.index.json"]);
    bench.write(
        &format!("parts/{second}"),
        safetensors(&all, |i| i % 2 == 1 && i > 1),
    );
    bench.refuse(&parts, &[], &[second, &all[1].0]);
    bench.write(
        &format!("parts/{second}"),
        safetensors(&all, |i| i % 2 == 1),
    );
    for path in [parts.as_path(), index.as_path()] {
        assert!(bench.logits(&mut bench.forward(path, &[])).0 == plain);
    }
    bench.write(&format!("parts/{second}"), safetensors(&all, |i| i < 2));
    bench.refuse(&parts, &[], &[second, &all[0].0, "another file"]);
    std::fs::create_dir(bench.path("empty")).unwrap();
    bench.refuse(&bench.path("empty"), &[], &["model.safetensors", "nothing"]);
}

#[test]
fn a_training_into_a_folder_leaves_what_the_hub_expects() {
    let bench = Bench::new();
    let out = bench.path("net");
    std::fs::create_dir(&out).unwrap();
    let printed = succeed(&mut tiny_training(&out));
    assert!(printed.contains("held-out accuracy"), "{printed}");
    let mut names: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["config.json", "model.safetensors", "model.safetensors.csv"]
    );
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(
        (&config["model_type"], &config["heads"]),
        (&"whitebox".into(), &2.into())
    );
    let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let evaluate = |path: &Path| {
        let mut command = whitebox();
        command.args([
            "evaluate",
            "--data",
            "procedural",
            "--limit",
            "40",
            "--checkpoint",
        ]);
        succeed(command.arg(path))
    };
    assert_eq!(evaluate(&out), evaluate(&out.join("model.safetensors")));
    // A configuration that is not of this network, or not of this program.
    let mut other = config.clone();
    other["heads"] = 4.into();
    bench.write("net/config.json", other.to_string());
    let mut command = whitebox();
    command.args(["evaluate", "--data", "procedural", "--checkpoint"]);
    fail(command.arg(&out), 1, &["config.json", "another one"]);
    bench.write("net/config.json", r#"{"model_type": "vit"}"#);
    fail(
        &mut tiny_training(&out),
        1,
        &["config.json", "another program", "--out"],
    );
    let kept = std::fs::read(out.join("config.json")).unwrap();
    assert_eq!(kept, br#"{"model_type": "vit"}"#);
}

#[test]
fn a_number_of_heads_that_is_not_the_published_one_is_warned_of() {
    let bench = Bench::new();
    let config = whitebox::model::Config::preset("crate-tiny").unwrap();
    let config = config.for_images(1, [4, 4], 3);
    let config = whitebox::model::Config {
        patch_size: [2, 2],
        ..config
    };
    let network = whitebox::model::Classifier::new(config, 0, &dfdx::prelude::Cpu::default());
    let parameters = network.unwrap().parameters().into_iter();
    let all: Vec<_> = parameters
        .map(|p| {
            let bytes = whitebox::artefact::f32_to_bytes(&p.values);
            (p.parameter.name, p.parameter.shape, bytes)
        })
        .collect();
    let path = bench.write("tiny.safetensors", safetensors(&all, |_| true));
    let said = |heads: &str| {
        let mut command = bench.bare(&path);
        command.args(["--channels", "1", "--heads", heads]);
        bench.logits(&mut command).1
    };
    assert_eq!(said("6"), "");
    let warning = said("12");
    for word in ["warning", "crate-tiny", "6 heads, not 12"] {
        assert!(warning.contains(word), "{warning}");
    }
}
