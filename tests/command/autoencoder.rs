//! Masked autoencoders from the command line: trained, interrupted, shown, refused.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use whitebox::model::checkpoint::Checkpoint;

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
    let words = ["masked autoencoder", "reconstruct", "finetune"];
    fail(&mut evaluate, 1, &words);
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

fn tuning(checkpoint: &Path, out: &Path, data: &str) -> Command {
    let mut command = whitebox();
    command
        .args(["finetune", "--epochs", "1", "--batch", "20", "--replace"])
        .args(["--data", data, "--limit", "40", "--checkpoint"])
        .arg(checkpoint)
        .arg("--out")
        .arg(out);
    command
}

/// Three pictures of three channels in each of two classes, to train on and to hold out.
fn pictures(folder: &Path) {
    for (split, class) in [("train", 1u8), ("train", 2), ("val", 1), ("val", 2)] {
        let place = folder.join(split).join(class.to_string());
        std::fs::create_dir_all(&place).unwrap();
        for number in 0..3u8 {
            let pixel = |x: u32, y: u32| [80 * class, 7 * x as u8, y as u8 + number];
            let picture = image::RgbImage::from_fn(30, 30, |x, y| image::Rgb(pixel(x, y)));
            picture.save(place.join(format!("{number}.png"))).unwrap();
        }
    }
}

#[test]
fn an_autoencoder_is_fine_tuned_from_its_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let [network, tuned] =
        ["net.safetensors", "tuned.safetensors"].map(|name| folder.path().join(name));
    for (kind, architecture) in [("crate", "crate-encoder"), ("vit", "vit-encoder")] {
        succeed(training(&network).args(["--architecture", kind, "--lambda", "0.4", "--replace"]));
        for (flags, side) in [
            (&[][..], 28),
            (&["--pool", "mean"], 28),
            (&["--size", "32"], 32),
        ] {
            let output = tuning(&network, &tuned, "procedural")
                .args(flags)
                .output()
                .unwrap();
            let message = text(&output.stderr);
            assert!(output.status.success(), "{message}");
            assert!(message.contains("left out decoder_blocks.*"), "{message}");
            let config = Checkpoint::read(&tuned).unwrap().config().unwrap();
            assert_eq!(serde_json::json!(config.architecture), architecture);
            assert_eq!((config.classes, config.lambda), (10, 0.4));
            assert_eq!((config.depth, config.image_size), (1, [side; 2]));
            let mut evaluate = whitebox();
            evaluate
                .args(["evaluate", "--data", "procedural", "--limit", "40"])
                .arg("--checkpoint")
                .arg(&tuned);
            assert!(succeed(&mut evaluate).contains("top-1"));
        }
        let mut other = tuning(&network, &tuned, "procedural");
        fail(other.args(["--lambda", "5"]), 2, &["--lambda", "0.4"]);
    }
}

#[test]
fn an_official_autoencoder_is_fine_tuned_once_it_is_said_what_no_tensor_shows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tuned.safetensors");
    pictures(folder.path());
    let tune = |flags: &[&str]| {
        let mut command = tuning(&fixture("crate-mae.pth"), &out, "image-folder");
        command.arg("--data-dir").arg(folder.path()).args(flags);
        command
    };
    fail(&mut tune(&["--lambda", "5"]), 1, &["heads"]);
    let words = ["--lambda", "0.5 or 5.0"];
    fail(&mut tune(&["--heads", "3"]), 2, &words);
    assert!(!out.exists());
    succeed(&mut tune(&["--heads", "3", "--lambda", "5"]));
    let config = Checkpoint::read(&out).unwrap().config().unwrap();
    assert_eq!((config.classes, config.lambda, config.d), (2, 5.0, 12));
}

fn probe(checkpoint: &Path, data: &str) -> Command {
    let mut command = whitebox();
    command
        .args(["probe", "--data", data, "--images", "30", "--checkpoint"])
        .arg(checkpoint);
    command
}

/// The per cent of a line, in the order of their columns.
fn cells(printed: &str, line: &str) -> Vec<f64> {
    let own = printed.lines().find(|own| own.trim().starts_with(line));
    let cells = own.expect(printed).split('|').skip(1);
    cells.map(|cell| cell.trim().parse().unwrap()).collect()
}

#[test]
fn both_kinds_of_features_are_probed_beside_pixels_and_an_untrained_network() {
    let folder = tempfile::tempdir().unwrap();
    let [network, tuned] =
        ["net.safetensors", "tuned.safetensors"].map(|name| folder.path().join(name));
    succeed(&mut training(&network));
    succeed(&mut tuning(&network, &tuned, "procedural"));
    // An autoencoder, and a classifier.
    for checkpoint in [&network, &tuned] {
        let printed = succeed(&mut probe(checkpoint, "procedural"));
        assert!(printed.contains("pixels, 28 x 28: "), "{printed}");
        let columns = printed.find("class token").zip(printed.find("mean token"));
        assert!(columns.is_some_and(|(class, mean)| class < mean));
        for line in ["trained", "untrained"] {
            let cells = cells(&printed, line);
            let shares = cells.iter().all(|cell| (0.0..=100.0).contains(cell));
            assert!(cells.len() == 2 && shares, "{printed}");
        }
        // One kind of them, on any number of threads: the same numbers.
        for (word, place) in [("class", 0), ("mean", 1)] {
            let mut command = probe(checkpoint, "procedural");
            let one = succeed(command.args(["--features", word, "--threads", "1"]));
            for line in ["trained", "untrained"] {
                assert_eq!(cells(&one, line), [cells(&printed, line)[place]]);
            }
        }
    }
    fail(
        probe(&network, "procedural").args(["--lambda", "5"]),
        2,
        &["--lambda", "0.5"],
    );
}

#[test]
fn an_official_autoencoder_is_probed() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let official = fixture("crate-mae.pth");
    let mut command = probe(&official, "image-folder");
    command.args(["--heads", "3", "--lambda", "0.5", "--data-dir"]);
    let printed = succeed(command.arg(folder.path()));
    assert!(printed.contains("pixels, 24 x 24: "), "{printed}");
    fail(
        probe(&official, "procedural").args(["--heads", "3", "--lambda", "0.5"]),
        1,
        &["procedural", "3 channels"],
    );
    fail(
        probe(&official, "procedural").args(["--heads", "3"]),
        2,
        &["--lambda", "0.5 or 5.0"],
    );
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
