//! Folders and files of pictures as people have them: what is read, what is passed over with a word, what is
//! refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use dfdx::prelude::Cpu;
use image::{ImageFormat, RgbImage};
use whitebox::data::picture::Picture;
use whitebox::model::{checkpoint, Classifier, Config};

use crate::{fail, succeed, text, whitebox};

/// A folder of pictures in four classes, and a network that takes them.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for class in ["a", "b", "c", "d"] {
            place.put(&format!("val/{class}/p.png"), &encoded(ImageFormat::Png));
        }
        place.network(&serde_json::json!({}));
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// A network for four classes, with this record of its training.
    fn network(&self, training: &serde_json::Value) {
        let config = Config {
            depth: 1,
            patch_size: [56; 2],
            ..Config::preset("demo").unwrap().with_width(8, 2).unwrap()
        };
        let config = config.for_images(3, [224; 2], 4);
        let network: Classifier<f32, Cpu> = Classifier::new(config, 0, &Cpu::default()).unwrap();
        checkpoint::write(&self.at("net.safetensors"), &network, training).unwrap();
    }

    fn evaluate(&self) -> Command {
        let mut command = whitebox();
        command
            .args(["evaluate", "--data", "image-folder", "--checkpoint"])
            .arg(self.at("net.safetensors"))
            .arg("--data-dir")
            .arg(self.folder.path());
        command
    }

    /// Number of pictures that are evaluated, and the warnings.
    fn counted(&self) -> (usize, String) {
        let output = self.evaluate().output().unwrap();
        let warnings = text(&output.stderr);
        assert!(output.status.success(), "{warnings}");
        let printed = text(&output.stdout);
        let count = printed.split(' ').next().unwrap().parse().unwrap();
        (count, warnings)
    }
}

fn picture() -> RgbImage {
    RgbImage::from_fn(90, 70, |x, y| {
        image::Rgb([(x * 2) as u8, (y * 3) as u8, (x * y) as u8])
    })
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn a_picture_that_is_damaged_is_named_and_one_with_more_than_it_needs_is_read() {
    let place = Place::new();
    let (jpeg, png) = (encoded(ImageFormat::Jpeg), encoded(ImageFormat::Png));
    let put = |bytes: &[u8]| place.put("val/a/q.jpg", bytes);
    for whole in [
        jpeg.clone(),
        [&jpeg[..], b"junk"].concat(),
        // By content, whatever its name.
        png.clone(),
    ] {
        put(&whole);
        assert_eq!(place.counted(), (5, String::new()));
    }
    for (damaged, words) in [
        (&jpeg[..jpeg.len() / 2], "a JPEG cut off after"),
        (&jpeg[..jpeg.len() - 2], "a JPEG cut off after"),
        (&jpeg[..2], "a JPEG cut off after 2 bytes"),
        (&png[..png.len() / 2], "wanted a JPEG or PNG picture"),
        (b"", "wanted a JPEG or PNG picture"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "wanted a JPEG or PNG picture"),
        (b"GIF89a\x01\0\x01\0", "wanted a JPEG or PNG picture"),
    ] {
        put(damaged);
        fail(
            &mut place.evaluate(),
            1,
            &["q.jpg", words, "replace or remove"],
        );
    }
    std::fs::remove_file(place.at("val/a/q.jpg")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.jpg", place.at("val/a/q.jpg")).unwrap();
        fail(&mut place.evaluate(), 1, &["q.jpg", "No such file"]);
        std::fs::remove_file(place.at("val/a/q.jpg")).unwrap();
        // A pipe would be waited for until somebody writes.
        succeed(Command::new("mkfifo").arg(place.at("val/a/q.jpg")));
        fail(&mut place.evaluate(), 1, &["q.jpg", "no file"]);
    }
}

#[test]
fn every_kind_of_picture_in_use_is_read() {
    let place = Place::new();
    let mut seen = 0;
    let kinds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pictures");
    for kind in std::fs::read_dir(kinds).unwrap() {
        let kind = kind.unwrap().path();
        let name = kind.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".rgb") {
            continue;
        }
        seen += 1;
        let bytes = std::fs::read(&kind).unwrap();
        // As Pillow reads it: exactly, or as nearly as JPEG decoders agree.
        let expected = std::fs::read(kind.with_file_name(format!("{name}.rgb"))).unwrap();
        let found = Picture::decode(&kind).unwrap();
        assert_eq!(found.shape, [3, 20, 24], "{name}");
        let apart = |(i, &value): (usize, &u8)| {
            let (channel, pixel) = (i / 480, i % 480);
            value.abs_diff(expected[pixel * 3 + channel])
        };
        let apart: Vec<u8> = found.planes.iter().enumerate().map(apart).collect();
        let (most, sum) = (
            apart.iter().max().unwrap(),
            apart.iter().map(|&d| u32::from(d)),
        );
        let mean = f64::from(sum.sum::<u32>()) / 1440.0;
        let bounds = if name.ends_with(".png") {
            (0, 0.0)
        } else {
            (24, 1.0)
        };
        assert!(
            *most <= bounds.0 && mean <= bounds.1,
            "{name}: {most}, mean {mean}"
        );
        place.put(&format!("val/a/{name}"), &bytes);
        assert_eq!(place.counted(), (5, String::new()), "{name}");
        place.put(&format!("val/a/{name}"), &bytes[..bytes.len() * 2 / 3]);
        fail(
            &mut place.evaluate(),
            1,
            &[name, "wanted a JPEG or PNG picture"],
        );
        std::fs::remove_file(place.at(&format!("val/a/{name}"))).unwrap();
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn a_thread_of_a_picture_is_cut_before_it_is_enlarged() {
    let place = Place::new();
    let long = RgbImage::from_fn(1, 60_000, |_, y| image::Rgb([y as u8; 3]));
    long.save(place.at("val/a/q.png")).unwrap();
    assert_eq!(place.counted().0, 5);
}

#[test]
fn what_is_below_a_class_counts_and_what_is_passed_over_is_said() {
    let place = Place::new();
    let png = encoded(ImageFormat::Png);
    place.put("val/a/deep/er/q.PNG", &png);
    place.put("val/b/x.Jpeg", &encoded(ImageFormat::Jpeg));
    assert_eq!(place.counted(), (6, String::new()));
    // Hidden files are nobody's pictures; hidden folders no classes.
    place.put("val/a/._p.png", b"Mac OS X");
    place.put("val/a/@eaDir/p.png", b"no picture");
    assert_eq!(place.counted(), (6, String::new()));
    for hidden in [".ipynb_checkpoints", ".git", "__MACOSX"] {
        place.put(&format!("val/{hidden}/p.png"), &png);
    }
    let (count, warnings) = place.counted();
    assert_eq!(count, 6);
    let words = "passed over 3 hidden folders, which are no classes, the first val/.git";
    assert!(warnings.contains(words), "{warnings}");
    place.put("val/c/q.webp", b"RIFF");
    place.put("val/c/r.tif", b"II");
    place.put("val/stray.png", &png);
    let (count, warnings) = place.counted();
    assert_eq!(count, 6);
    for words in [
        "passed over 2 files that are no .jpg or .png, the first c/q.webp",
        "passed over 1 pictures beside the class folders, the first val/stray.png",
    ] {
        assert!(warnings.contains(words), "{warnings}");
    }
    assert_eq!(warnings.lines().count(), 3, "{warnings}");
    #[cfg(unix)]
    {
        // A link back to where it lies.
        std::os::unix::fs::symlink(place.at("val/a"), place.at("val/a/deep/loop")).unwrap();
        assert_eq!(place.counted().0, 6);
    }
}

#[test]
fn classes_that_are_not_those_of_the_network_are_refused() {
    let place = Place::new();
    let remove = |class: &str| std::fs::remove_dir_all(place.at(&format!("val/{class}"))).unwrap();
    // An empty class would keep its number, and its absence shift the others.
    std::fs::remove_file(place.at("val/a/p.png")).unwrap();
    fail(
        &mut place.evaluate(),
        1,
        &["val/a", "no picture", "convert", "class"],
    );
    place.put("val/a/q.webp", b"RIFF");
    fail(
        &mut place.evaluate(),
        1,
        &["val/a", "no picture", "1 files", "q.webp"],
    );
    remove("a");
    remove("b");
    let words = ["classes of", "wanted 4", "got 2 (c, d)"];
    fail(&mut place.evaluate(), 1, &words);
    // As many, but others: known from the record of the training.
    place.network(&serde_json::json!({ "class_names": ["c", "d", "x", "y"] }));
    fail(&mut place.evaluate(), 1, &["missing x, y"]);
    place.put("val/e/p.png", &encoded(ImageFormat::Png));
    place.put("val/f/p.png", &encoded(ImageFormat::Png));
    fail(
        &mut place.evaluate(),
        1,
        &["missing x, y", "not known to it e, f"],
    );
    place.network(&serde_json::json!({ "class_names": ["c", "d", "e", "f"] }));
    assert_eq!(place.counted().0, 4);
}

#[test]
fn a_split_that_lacks_a_class_is_refused_before_the_training_and_names_are_kept() {
    let place = Place::new();
    let png = encoded(ImageFormat::Png);
    let out = place.at("new.safetensors");
    let train = || {
        let mut command = whitebox();
        command
            .args([
                "train",
                "--data",
                "image-folder",
                "--depth",
                "1",
                "--patch",
                "56",
            ])
            .args(["--width", "8", "2", "--epochs", "1", "--data-dir"])
            .arg(place.folder.path())
            .arg("--out")
            .arg(&out);
        command
    };
    // A validation split alone: its pictures are not those to train on.
    fail(&mut train(), 1, &["sub-folder train", "val alone"]);
    for class in ["a", "b", "c", "d", "e"] {
        place.put(&format!("train/{class}/p.png"), &png);
    }
    fail(&mut train(), 1, &["classes of", "missing e"]);
    assert!(!out.exists());
    place.put("val/e/p.png", &png);
    succeed(&mut train());
    let mut evaluate = whitebox();
    evaluate.args(["evaluate", "--data", "image-folder", "--checkpoint"]);
    evaluate
        .arg(&out)
        .arg("--data-dir")
        .arg(place.folder.path());
    succeed(&mut evaluate);
    std::fs::rename(place.at("val/b"), place.at("val/bb")).unwrap();
    fail(&mut evaluate, 1, &["missing b; not known to it bb"]);
}

#[test]
fn folders_that_are_no_class_folders_are_explained() {
    let place = Place::new();
    for class in ["a", "b", "c", "d"] {
        let class = place.at(&format!("val/{class}"));
        std::fs::rename(class.join("p.png"), place.at("p.png")).unwrap();
        std::fs::remove_dir(class).unwrap();
    }
    place.put(
        "val/ILSVRC2012_val_00000001.JPEG",
        &encoded(ImageFormat::Jpeg),
    );
    fail(
        &mut place.evaluate(),
        1,
        &["1 pictures in no sub-folder", "valprep.sh"],
    );
    std::fs::remove_dir_all(place.at("val")).unwrap();
    place.put("train/a/p.png", &encoded(ImageFormat::Png));
    fail(&mut place.evaluate(), 1, &["val or test", "train alone"]);
    std::fs::remove_dir_all(place.at("train")).unwrap();
    // The order of text, and a word about it.
    for class in ["0", "1", "10", "2"] {
        place.put(&format!("val/{class}/p.png"), &encoded(ImageFormat::Png));
    }
    let (count, warnings) = place.counted();
    assert_eq!(count, 4);
    assert!(warnings.contains("class 3 is folder 2"), "{warnings}");
    std::fs::rename(place.at("val/10"), place.at("val/3")).unwrap();
    assert_eq!(place.counted(), (4, String::new()));
    // One folder for both splits: what is held out is then what was trained on.
    let mut whole = whitebox();
    whole.args(["evaluate", "--data", "image-folder", "--checkpoint"]);
    whole.arg(place.at("net.safetensors"));
    let output = whole
        .arg("--data-dir")
        .arg(place.at("val"))
        .output()
        .unwrap();
    let warnings = text(&output.stderr);
    assert!(warnings.contains("taken for both"), "{warnings}");
}

/// IDX files of 40 pictures whose labels run through `classes`.
fn idx(classes: usize) -> [Vec<u8>; 2] {
    let header = |axes: &[u32]| {
        let mut bytes = vec![0, 0, 8, axes.len() as u8];
        bytes.extend(axes.iter().flat_map(|axis| axis.to_be_bytes()));
        bytes
    };
    let mut images = header(&[40, 28, 28]);
    images.extend((0..40 * 784).map(|i| (i * 7) as u8));
    let mut labels = header(&[40]);
    labels.extend((0..40).map(|i| (i % classes) as u8));
    [images, labels]
}

fn train_on(data: &str, folder: &Path) -> Command {
    let mut command = whitebox();
    command
        .args(["train", "--data", data, "--depth", "1", "--width", "8", "2"])
        .args(["--epochs", "1", "--limit", "20", "--replace", "--data-dir"])
        .arg(folder)
        .arg("--out")
        .arg(folder.join("net.safetensors"));
    command
}

#[test]
fn idx_files_are_found_under_every_name_that_they_go_by() {
    let packed = |bytes: &[u8]| {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    type Name = fn(&str) -> String;
    let names: [(Name, bool); 6] = [
        (|name| name.to_owned(), false),
        (|name| name.replace("-idx", ".idx"), false),
        (|name| format!("{name}.gz"), true),
        (|name| format!("{name}/{name}"), false),
        // What the name says and what it is are not the same.
        (|name| format!("{name}.gz"), false),
        (|name| name.to_owned(), true),
    ];
    for (name, gzip) in names {
        let folder = tempfile::tempdir().unwrap();
        for split in ["train", "t10k"] {
            for (kind, bytes) in ["images-idx3", "labels-idx1"].iter().zip(idx(10)) {
                let path = folder.path().join(name(&format!("{split}-{kind}-ubyte")));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, if gzip { packed(&bytes) } else { bytes }).unwrap();
            }
        }
        succeed(&mut train_on("mnist", folder.path()));
    }
}

#[test]
fn more_classes_than_ten_have_to_be_said() {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "t10k"] {
        for (kind, bytes) in ["images-idx3", "labels-idx1"].iter().zip(idx(26)) {
            std::fs::write(folder.path().join(format!("{split}-{kind}-ubyte")), bytes).unwrap();
        }
    }
    let words = [
        "labels 0 to 9",
        "got 10 at position 10",
        "--classes",
        "EMNIST",
        "transposed",
    ];
    fail(&mut train_on("mnist", folder.path()), 1, &words);
    succeed(train_on("mnist", folder.path()).args(["--classes", "26"]));
    let mut evaluate = whitebox();
    evaluate.args([
        "evaluate",
        "--data",
        "mnist",
        "--classes",
        "26",
        "--data-dir",
    ]);
    evaluate.arg(folder.path()).arg("--checkpoint");
    succeed(evaluate.arg(folder.path().join("net.safetensors")));
    // A network of other classes has nothing to say about them.
    let mut other = whitebox();
    other.args(["evaluate", "--data", "procedural", "--checkpoint"]);
    let words = ["classes of procedural", "wanted 26", "got 10"];
    fail(other.arg(folder.path().join("net.safetensors")), 1, &words);
    let mut elsewhere = train_on("cifar10", folder.path());
    fail(
        elsewhere.args(["--classes", "26"]),
        2,
        &["--classes", "cifar10"],
    );
}

#[test]
fn cifar_is_read_in_its_binary_layout_and_every_other_is_named() {
    let records = |labels: &[u8]| -> Vec<u8> {
        let record = |i: u8| {
            let labels = labels.iter().map(move |&most| i * 4 % most);
            labels.chain((0..3072u32).map(move |p| (p * u32::from(i)) as u8))
        };
        (0..20).flat_map(record).collect()
    };
    let put = |folder: &Path, names: &[&str], bytes: &[u8]| {
        std::fs::create_dir_all(folder).unwrap();
        for name in names {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    };
    let ten: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
    let mut ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    ten.push("test_batch.bin");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fail(
        &mut train_on("cifar10", root),
        1,
        &["data_batch_1.bin", "No such file"],
    );
    // The published archive's folder, and the one above it.
    let inside = root.join("cifar-10-batches-bin");
    put(&inside, &ten, &records(&[10]));
    succeed(&mut train_on("cifar10", root));
    succeed(&mut train_on("cifar10", &inside));
    let hundred = root.join("cifar-100-binary");
    put(&hundred, &["train.bin", "test.bin"], &records(&[20, 100]));
    for data in ["cifar100", "cifar100-coarse"] {
        succeed(&mut train_on(data, root));
        succeed(&mut train_on(data, &hundred));
    }
    fail(
        &mut train_on("cifar10", &hundred),
        1,
        &["CIFAR-100", "--data cifar100"],
    );
    fail(
        &mut train_on("cifar100", &inside),
        1,
        &["CIFAR-10;", "--data cifar10"],
    );
    let pickled = tempfile::tempdir().unwrap();
    put(
        &pickled.path().join("cifar-10-batches-py"),
        &["data_batch_1"],
        b"\x80\x02",
    );
    let words = ["the Python version", "download the binary version"];
    fail(&mut train_on("cifar10", pickled.path()), 1, &words);
    put(pickled.path(), &["train", "test", "meta"], b"\x80\x02");
    fail(&mut train_on("cifar100", pickled.path()), 1, &words);
    // Records of another set under these names.
    put(&inside, &ten, &records(&[20, 100]));
    fail(
        &mut train_on("cifar10", root),
        1,
        &["data_batch_1.bin", "3073", "61480 bytes"],
    );
}
