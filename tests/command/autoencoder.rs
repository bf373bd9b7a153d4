//! Masked autoencoders from the command line: trained, interrupted, shown, refused.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{fail, succeed, text, whitebox};

fn training(out: &Path) -> Command {
    let mut command = training_of(out);
    command.args(["--width", "16", "4"]);
    command
}

/// The same of another width.
fn training_of(out: &Path) -> Command {
    let mut command = whitebox();
    command
        .args(["train", "--preset", "mae-demo", "--depth", "1"])
        .args(["--data", "procedural"])
        .args(["--limit", "60", "--epochs", "2", "--batch", "12"])
        .arg("--out")
        .arg(out);
    command
}

fn reconstruction(checkpoint: &Path, out: &Path) -> Command {
    let mut command = whitebox();
    command
        .args(["reconstruct", "--data", "procedural", "--count", "2"])
        .arg("--checkpoint")
        .arg(checkpoint)
        .arg("--out")
        .arg(out);
    command
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/autoencoder")
        .join(name)
}

#[test]
fn an_autoencoder_that_is_killed_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] =
        ["whole", "killed"].map(|name| folder.path().join(format!("{name}.safetensors")));
    succeed(training(&whole).args(["--threads", "1"]));
    let mut child = training(&killed)
        .args(["--threads", "2", "--save-every", "0"])
        .spawn()
        .unwrap();
    let state = folder.path().join("killed.safetensors.state");
    while !state.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    succeed(training(&killed).args(["--threads", "2"]));
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&killed).unwrap());
    // The same again has nothing to do, another lambda is another training.
    let again = training(&whole).output().unwrap();
    assert!(text(&again.stderr).contains("nothing to do"));
    fail(training(&whole).args(["--lambda", "5"]), 2, &["lambda"]);
}

#[test]
fn what_was_trained_is_shown_with_what_was_masked() {
    let folder = tempfile::tempdir().unwrap();
    let [network, sheet, hub] =
        ["net.safetensors", "sheet.png", "hub/"].map(|name| folder.path().join(name));
    for kind in ["crate", "vit"] {
        succeed(training(&network).args(["--architecture", kind, "--replace"]));
        assert!(succeed(&mut reconstruction(&network, &sheet)).contains("error of masked pixels"));
        let picture = image::open(&sheet).unwrap();
        // Four pictures a row, each enlarged to 112 pixels.
        let size = (picture.width(), picture.height());
        assert_eq!(size, (4 * 112 + 3 * 4, 2 * 112 + 4));
    }
    let whole = succeed(reconstruction(&network, &sheet).args(["--ratio", "0"]));
    assert!(whole.contains("nothing is masked"));
    // A folder in the layout of the Hub is read back as what it is.
    succeed(&mut training(&hub));
    succeed(&mut reconstruction(&hub, &sheet));
}

#[test]
fn an_official_checkpoint_fills_in_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let sheet = folder.path().join("sheet.png");
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures");
    let mut command = whitebox();
    command
        .args([
            "reconstruct",
            "--heads",
            "3",
            "--lambda",
            "0.5",
            "--checkpoint",
        ])
        .arg(fixture("crate-mae.pth"))
        .arg("--out")
        .arg(&sheet)
        .arg("--pictures")
        .arg(pictures.join("cmyk.jpg"))
        .arg(pictures.join("grey.jpg"));
    succeed(&mut command);
    assert!(sheet.exists());
}

#[test]
fn one_kind_of_network_in_the_place_of_another_is_called_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [network, sheet] = ["net.safetensors", "sheet.png"].map(|name| folder.path().join(name));
    succeed(&mut training(&network));
    let mut evaluate = whitebox();
    evaluate
        .args([
            "evaluate",
            "--data",
            "procedural",
            "--limit",
            "4",
            "--checkpoint",
        ])
        .arg(&network);
    fail(&mut evaluate, 1, &["masked autoencoder", "reconstruct"]);
    let classifier = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("reports/checkpoints/crate-demo-mnist.safetensors");
    fail(
        &mut reconstruction(&classifier, &sheet),
        1,
        &["a masked autoencoder", "a classifier", "evaluate"],
    );
    for (flags, words) in [
        (&["--ratio", "1"][..], ["--ratio", "[0, 1)"]),
        (&["--ratio", "-0.1"], ["--ratio", "[0, 1)"]),
        (&["--lambda", "5"], ["--lambda", "0.5"]),
        (&["--heads", "2"], ["--heads", "4"]),
    ] {
        fail(reconstruction(&network, &sheet).args(flags), 2, &words);
    }
    assert!(!sheet.exists());
}

#[test]
fn sizes_that_no_autoencoder_has_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    for (flags, words) in [
        (&["--patch", "5"][..], ["patch height", "28"]),
        (&["--width", "18", "2"], ["width d", "multiple of 4"]),
        (&["--width", "20", "3"], ["heads", "divisor"]),
        (
            &["--architecture", "crate-mlp"],
            ["--architecture", "crate or vit"],
        ),
        (&["--set", "masking.ratio=0"], ["masking.ratio", "0 of 49"]),
        (&["--recipe", "demo"], ["masking.ratio", "none"]),
        (&["--lambda", "-1"], ["lambda", ">= 0"]),
    ] {
        fail(training_of(&out).args(flags), 2, &words);
        assert!(!out.exists());
    }
}
