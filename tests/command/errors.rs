//! Every mistake with files and folders that the programs promise to name.

use std::path::{Path, PathBuf};

use ndarray::Array4;

use crate::{exp_layerwise, fail, succeed, tiny_training, whitebox};

/// IDX files of `images` pictures and `labels` labels under `folder`.
fn write_idx(folder: &Path, images: u32, labels: u32) {
    for prefix in ["train", "t10k"] {
        let mut bytes = vec![0, 0, 8, 3];
        for axis in [images, 28, 28] {
            bytes.extend(axis.to_be_bytes());
        }
        bytes.extend((0..images * 784).map(|i| i as u8));
        std::fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), bytes).unwrap();
        let mut bytes = vec![0, 0, 8, 1];
        bytes.extend(labels.to_be_bytes());
        bytes.extend((0..labels).map(|i| (i % 10) as u8));
        std::fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), bytes).unwrap();
    }
}

fn trial(data: &str, folder: &Path, out: &Path) -> std::process::Command {
    let mut command = exp_layerwise();
    command.args(["--quick", "--preset", "demo", "--data", data]);
    command.arg("--data-dir").arg(folder).arg("--out").arg(out);
    command
}

#[test]
fn damaged_idx_files_are_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let data = folder.path();
    let images = data.join("train-images-idx3-ubyte");
    let run = || trial("mnist", data, &out);
    fail(&mut run(), 1, &["train-images-idx3-ubyte", "--data-dir"]);
    write_idx(data, 3, 3);
    let good = std::fs::read(&images).unwrap();
    std::fs::write(&images, &good[..good.len() - 1]).unwrap();
    fail(&mut run(), 1, &["train-images-idx3-ubyte", "2367 bytes"]);
    std::fs::write(&images, b"\x1f\x8b\x08\x00").unwrap();
    fail(&mut run(), 1, &["train-images-idx3-ubyte", "gzip"]);
    std::fs::write(&images, b"\x00\x00\x0c\x02....").unwrap();
    let words = ["train-images-idx3-ubyte", "magic number", "QMNIST"];
    fail(&mut run(), 1, &words);
    // Axes that no memory holds are not waited for.
    std::fs::write(
        &images,
        [0, 0, 8, 3]
            .iter()
            .copied()
            .chain([0xff; 12])
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    fail(
        &mut run(),
        1,
        &["train-images-idx3-ubyte", "at most", "4294967295"],
    );
    std::fs::remove_file(&images).unwrap();
    std::fs::write(data.join("train-images-idx3-ubyte.gz"), b"\x1f\x8b\x08\x00").unwrap();
    fail(&mut run(), 1, &["train-images-idx3-ubyte.gz", "gzip"]);
    write_idx(data, 3, 4);
    fail(&mut run(), 1, &["labels", "wanted 3", "got 4"]);
    assert!(!out.join("result.json").exists());
}

#[test]
fn missing_empty_and_undecodable_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("pictures");
    let out = folder.path().join("out");
    let run = || trial("image-folder", &data, &out);
    fail(&mut run(), 1, &["pictures", "--data-dir"]);
    std::fs::create_dir_all(data.join("train/cat")).unwrap();
    fail(&mut run(), 1, &["no picture"]);
    std::fs::write(data.join("train/cat/broken.jpg"), b"not a picture").unwrap();
    fail(&mut run(), 1, &["broken.jpg", "JPEG or PNG"]);
    fail(
        exp_layerwise().args(["--quick", "--preset", "demo", "--data", "mnist"]),
        2,
        &["--data-dir"],
    );
    fail(
        &mut trial("cifar10", folder.path(), &out),
        1,
        &["data_batch_1.bin"],
    );
    std::fs::write(folder.path().join("data_batch_1.bin"), [1u8; 100]).unwrap();
    fail(
        &mut trial("cifar10", folder.path(), &out),
        1,
        &["data_batch_1.bin", "3073", "100 bytes"],
    );
}

#[test]
fn bad_arguments_exit_with_two() {
    let quick = |arguments: &[&str]| {
        let mut command = exp_layerwise();
        command
            .args(["--quick", "--data", "procedural"])
            .args(arguments);
        command
    };
    fail(
        &mut quick(&["--preset", "huge"]),
        2,
        &["huge", "crate-tiny"],
    );
    let mut imaginary = exp_layerwise();
    imaginary.args(["--quick", "--data", "imaginary"]);
    fail(&mut imaginary, 2, &["imaginary", "fashion-mnist"]);
    fail(&mut quick(&["--images", "1"]), 2, &["--images"]);
    fail(&mut quick(&["--epsilon", "0"]), 2, &["--epsilon"]);
    let train = |arguments: &[&str]| {
        let mut command = whitebox();
        command.args([
            "train",
            "--data",
            "procedural",
            "--out",
            "never.safetensors",
        ]);
        command.args(arguments);
        command
    };
    fail(&mut train(&["--width", "10", "3"]), 2, &["--width", "10 3"]);
    fail(&mut train(&["--patch", "5"]), 2, &["patch", "28"]);
    fail(&mut train(&["--epochs", "0"]), 2, &["--epochs"]);
    fail(
        &mut train(&["--set", "label_smoothing=1"]),
        2,
        &["label_smoothing", "--set"],
    );
    fail(
        &mut train(&["--set", "learning_rate=nan"]),
        2,
        &["learning_rate"],
    );
}

struct Files {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

/// A tiny checkpoint and images that fit it.
fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    succeed(&mut tiny_training(&root.join("tiny.safetensors")));
    let images = Array4::from_shape_fn((3, 1, 28, 28), |(b, _, y, x)| {
        ((b * 784 + y * 28 + x) as f32 * 0.01).sin()
    });
    ndarray_npy::write_npy(root.join("x.npy"), &images).unwrap();
    Files {
        _folder: folder,
        root,
    }
}

#[test]
fn checkpoints_that_disagree_with_the_flags_name_the_tensor() {
    let files = files();
    let path = |name: &str| files.root.join(name);
    let forward = |checkpoint: &str, flags: &[&str]| {
        let mut command = whitebox();
        command
            .arg("forward")
            .arg("--checkpoint")
            .arg(path(checkpoint));
        command.arg("--input").arg(path("x.npy"));
        command.arg("--output").arg(path("y.npy")).args(flags);
        command
    };
    fail(
        &mut forward("tiny.safetensors", &["--heads", "3"]),
        1,
        &["qkv.weight", "--heads 3"],
    );
    fail(
        &mut forward("tiny.safetensors", &["--channels", "3"]),
        1,
        &["to_patch_embedding.2.weight", "--channels 3"],
    );
    let bytes = std::fs::read(path("tiny.safetensors")).unwrap();
    std::fs::write(path("short.safetensors"), &bytes[..bytes.len() - 7]).unwrap();
    fail(
        &mut forward("short.safetensors", &[]),
        1,
        &["short.safetensors"],
    );
    fail(&mut forward("absent.safetensors", &[]), 1, &["absent"]);
    let wide = Array4::<f32>::zeros((1, 1, 32, 32));
    ndarray_npy::write_npy(path("x.npy"), &wide).unwrap();
    fail(
        &mut forward("tiny.safetensors", &[]),
        1,
        &["pos_embedding", "(B, 1, 28, 28)", "(1, 1, 32, 32)"],
    );
    assert!(!path("y.npy").exists());
}

/// As root every folder can be written, so the folder is a file instead.
#[test]
fn an_output_that_cannot_be_written_is_named_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::write(&taken, b"").unwrap();
    let mut command = exp_layerwise();
    command.args([
        "--quick",
        "--preset",
        "demo",
        "--data",
        "procedural",
        "--out",
    ]);
    fail(command.arg(taken.join("below")), 1, &["taken", "--out"]);
    fail(&mut tiny_training(&taken.join("x")), 1, &["taken"]);
}

/// The shell's limit on file size stands in for a full disk.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_written_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let mut training = tiny_training(&out);
    let arguments: Vec<_> = training.get_args().map(|a| a.to_owned()).collect();
    training = std::process::Command::new("bash");
    training
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "bash"])
        .arg(env!("CARGO_BIN_EXE_whitebox"))
        .args(arguments);
    let output = training.output().unwrap();
    let message = crate::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("net.safetensors") && message.contains("space"),
        "{message}"
    );
    // The course of the training is small, and whole, as far as it went.
    let left = std::fs::read_dir(folder.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "net.safetensors.csv"));
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_gpu_that_this_program_was_not_built_for_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let words = ["--device", "--features cuda"];
    crate::fail(tiny_training(&out).args(["--device", "cuda"]), 2, &words);
    assert!(!out.exists());
    let mut layers = crate::exp_layerwise();
    layers
        .args(["--quick", "--data", "procedural", "--preset", "demo"])
        .args(["--device", "cuda", "--out"])
        .arg(folder.path());
    crate::fail(&mut layers, 2, &words);
    assert!(!folder.path().join("result.json").exists());
}
