//! Scenes as a data set: they need no files.

use std::path::Path;

use whitebox::model::checkpoint::Checkpoint;

use crate::{succeed, whitebox};

#[test]
fn scenes_are_trained_on_evaluated_and_filled_in_like_any_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let [network, again, autoencoder, sheet] = [
        "net.safetensors",
        "again.safetensors",
        "mae.safetensors",
        "sheet.png",
    ]
    .map(|name| folder.path().join(name));
    let train = |out: &Path, flags: &[&str]| {
        let mut command = whitebox();
        command
            .args(["train", "--data", "scenes", "--limit", "48"])
            .args(["--epochs", "1", "--batch", "12", "--depth", "1"])
            .args(flags)
            .arg("--out")
            .arg(out);
        succeed(&mut command)
    };
    let classifier = ["--patch", "8", "--width", "16", "2"];
    let printed = train(&network, &classifier);
    let accuracy = printed.split_once('%').unwrap().0.trim().rsplit(' ').next();
    let mut evaluate = whitebox();
    evaluate
        .args([
            "evaluate", "--data", "scenes", "--limit", "48", "--seed", "7",
        ])
        .arg("--checkpoint")
        .arg(&network);
    let found = succeed(&mut evaluate);
    assert!(found.starts_with("48 images of scenes test"), "{found}");
    let words = format!("top-1 {} %", accuracy.unwrap());
    assert!(found.contains(&words), "{printed}{found}");
    let checkpoint = Checkpoint::read(&network).unwrap();
    let config = checkpoint.config().unwrap();
    assert_eq!((config.channels, config.image_size), (3, [32, 32]));
    assert_eq!(config.classes, 16);
    // Another seed is another training on the same pictures.
    train(&again, &[&classifier[..], &["--seed", "7"]].concat());
    let read = |path: &Path| Checkpoint::read(path).unwrap().training.unwrap();
    let (first, second) = (read(&network), read(&again));
    for split in ["images", "held_out"] {
        assert!(first[split]["sha256"].is_string(), "{first}");
        assert_eq!(first[split]["sha256"], second[split]["sha256"]);
    }

    train(
        &autoencoder,
        &["--preset", "mae-demo", "--width", "16", "4"],
    );
    let mut reconstruct = whitebox();
    reconstruct
        .args([
            "reconstruct",
            "--data",
            "scenes",
            "--count",
            "2",
            "--checkpoint",
        ])
        .arg(&autoencoder)
        .arg("--out")
        .arg(&sheet);
    succeed(&mut reconstruct);
    let picture = image::open(&sheet).unwrap();
    // Four pictures a row, each enlarged to 128 pixels.
    let size = (picture.width(), picture.height());
    assert_eq!(size, (4 * 128 + 3 * 4, 2 * 128 + 4));
}
