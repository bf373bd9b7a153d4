//! What heads look at, from the command line: the files, their numbers and colours, and what is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::RgbImage;
use safetensors::tensor::SafeTensors;

use crate::{fail, succeed, tiny_training, whitebox};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A folder with a classifier of two layers, two heads and 2 x 2 patches of 14 pixels.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        succeed(&mut tiny_training(&folder.path().join("net.safetensors")));
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A look at two made-up pictures.
    fn attend(&self, out: &str) -> Command {
        let mut command = self.attend_with("net.safetensors", out);
        command.args(["--data", "procedural", "--count", "2"]);
        command
    }

    fn attend_with(&self, checkpoint: &str, out: &str) -> Command {
        of(&self.path(checkpoint), &self.path(out))
    }
}

fn of(checkpoint: &Path, out: &Path) -> Command {
    let mut command = whitebox();
    command.arg("attend").arg("--checkpoint").arg(checkpoint);
    command.arg("--out").arg(out);
    command
}

/// All files below a folder, by their path from it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let path = path.strip_prefix(folder).unwrap();
                    found.insert(path.to_str().unwrap().replace('\\', "/"));
                }
            }
        }
    }
    found
}

fn picture(path: &Path) -> RgbImage {
    image::open(path).unwrap().to_rgb8()
}

/// The columns of a table by name.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(path: &Path) -> Self {
        let mut reader = csv::Reader::from_path(path).unwrap();
        let words = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        Self {
            header: words(reader.headers().unwrap()),
            rows: reader.records().map(|row| words(&row.unwrap())).collect(),
        }
    }

    fn words(&self, column: &str) -> Vec<&str> {
        let at = self.header.iter().position(|name| name == column).unwrap();
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    fn numbers(&self, column: &str) -> Vec<f64> {
        let words = self.words(column).into_iter();
        words.map(|word| word.parse().unwrap()).collect()
    }
}

#[test]
fn every_layer_head_and_picture_has_its_figure_and_its_line() {
    let bench = Bench::new();
    let flags = [
        "--layer", "1,2", "--mass", "0.6", "--masks", "2", "--object", "above",
    ];
    let said = succeed(bench.attend("out").args(flags));
    assert!(
        said.contains("layer 2: the three components hold"),
        "{said}"
    );
    let mut expected = BTreeSet::from(["heads.csv", "masks.csv"].map(str::to_owned));
    for layer in 1..=2 {
        expected.insert(format!("layer-{layer}/sheet.png"));
        for number in 1..=2 {
            for what in ["head-1", "head-2", "masks", "components", "object"] {
                expected.insert(format!("layer-{layer}/picture-{number}-{what}.png"));
            }
        }
    }
    let out = bench.path("out");
    assert_eq!(files(&out), expected);
    for name in expected.iter().filter(|name| name.ends_with(".png")) {
        // 28 pixels are enlarged to 112; a sheet has a picture and two heads in each of two rows.
        let size = match name.ends_with("sheet.png") {
            true => (3 * 112 + 2 * 4, 2 * 112 + 4),
            false => (112, 112),
        };
        assert_eq!(picture(&out.join(name)).dimensions(), size, "{name}");
    }
    let heads = Table::read(&out.join("heads.csv"));
    let header = "picture name layer head own entropy smallest largest mask_area mask_mass";
    assert_eq!(heads.header.join(" "), header);
    assert_eq!(
        heads.words("layer"),
        ["1", "1", "1", "1", "2", "2", "2", "2"]
    );
    assert_eq!(
        heads.words("picture"),
        ["1", "1", "2", "2", "1", "1", "2", "2"]
    );
    assert_eq!(
        heads.words("head"),
        ["1", "2", "1", "2", "1", "2", "1", "2"]
    );
    let columns = ["own", "entropy", "smallest", "largest", "mask_area"];
    let columns = columns.map(|column| heads.numbers(column));
    let masses = heads.numbers("mask_mass");
    for (row, mass) in masses.into_iter().enumerate() {
        let [own, entropy, smallest, largest, area] = [0, 1, 2, 3, 4].map(|i| columns[i][row]);
        assert!((0.0..1.0).contains(&own) && (0.0..=1.0).contains(&entropy));
        // Four patches share what the class token does not read of itself.
        let mean = (1.0 - own) / 4.0;
        assert!(0.0 < smallest && smallest <= mean + 1e-6 && mean - 1e-6 <= largest);
        assert!(mass > 0.6 - 1e-9 && [0.25, 0.5, 0.75, 1.0].contains(&area));
    }
    let masks = Table::read(&out.join("masks.csv"));
    assert_eq!(masks.header.join(" "), "picture name layer round area gap");
    // A first mask is never rejected.
    let firsts = masks.words("round").iter().filter(|&&r| r == "1").count();
    assert_eq!(firsts, 4);
    // The same again has the same bytes.
    succeed(bench.attend("again").args(flags));
    for name in &expected {
        let [first, again] = ["out", "again"].map(|out| {
            let path = bench.path(out).join(name);
            std::fs::read(path).unwrap()
        });
        assert!(first == again, "{name}");
    }
}

#[test]
fn the_last_layer_and_all_heads_are_shown_unless_others_are_asked_for() {
    let bench = Bench::new();
    succeed(&mut bench.attend("out"));
    let all = files(&bench.path("out"));
    assert!(all.iter().all(|name| !name.starts_with("layer-1")));
    assert!(all.contains("layer-2/picture-2-head-2.png"));
    assert!(!all.iter().any(|name| name.contains("mask")));
    let heads = Table::read(&bench.path("out/heads.csv"));
    assert_eq!(heads.words("mask_area"), [""; 4]);
    succeed(
        bench
            .attend("few")
            .args(["--layer", "1", "2", "--head", "2", "--head", "2"]),
    );
    let few = files(&bench.path("few"));
    assert!(few.contains("layer-1/picture-1-head-2.png"));
    assert!(!few.iter().any(|name| name.contains("head-1")));
    // The second head is the same file, alone or beside the first.
    let name = "layer-2/picture-1-head-2.png";
    let [one, two] = ["out", "few"].map(|out| std::fs::read(bench.path(out).join(name)).unwrap());
    assert!(one == two);
}

#[test]
fn the_least_of_a_map_is_violet_and_the_most_is_yellow_over_the_picture() {
    let bench = Bench::new();
    succeed(bench.attend("out").args(["--head", "1"]));
    let sheet = picture(&bench.path("out/layer-2/sheet.png"));
    let shown = picture(&bench.path("out/layer-2/picture-1-head-1.png"));
    let over = |colour: [u8; 3], pixel: [u8; 3]| {
        [0, 1, 2].map(|channel: usize| {
            let (colour, pixel) = (f64::from(colour[channel]), f64::from(pixel[channel]));
            (0.6 * colour + 0.4 * pixel).round() as u8
        })
    };
    // A patch is 14 pixels, enlarged four times.
    let patches = [(0, 0), (56, 0), (0, 56), (56, 56)];
    let count = |colour: [u8; 3]| {
        let all = |(left, top): (u32, u32)| {
            let places = (0..56 * 56).map(|i| (left + i % 56, top + i / 56));
            let mut pixels =
                places.map(|(x, y)| (sheet.get_pixel(x, y).0, shown.get_pixel(x, y).0));
            pixels.all(|(pixel, shown)| shown == over(colour, pixel))
        };
        patches.into_iter().filter(|&patch| all(patch)).count()
    };
    assert!(count([68, 1, 84]) >= 1 && count([254, 232, 37]) >= 1);
    // The second column of the sheet is that file.
    for (x, y) in [(0, 0), (60, 10), (111, 111)] {
        assert_eq!(sheet.get_pixel(116 + x, y), shown.get_pixel(x, y));
    }
}

#[test]
fn at_another_size_the_two_conventions_of_positions_differ_and_at_its_own_they_do_not() {
    let bench = Bench::new();
    let table = |size: &str, positions: &str| {
        let out = format!("{size}-{positions}");
        let flags = ["--size", size, "--positions", positions];
        succeed(bench.attend(&out).args(flags));
        std::fs::read(bench.path(&out).join("heads.csv")).unwrap()
    };
    assert!(table("28", "official") == table("28", "timm"));
    assert!(table("140", "official") != table("140", "timm"));
    // Large enough not to be enlarged.
    let shown = picture(&bench.path("140-timm/layer-2/picture-1-head-1.png"));
    assert_eq!(shown.dimensions(), (140, 140));
}

#[test]
fn an_official_autoencoder_shows_its_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let crate_mae = || {
        let mut command = of(&fixture("autoencoder/crate-mae.pth"), &out);
        command.args(["--heads", "3", "--pictures"]);
        command
            .arg(fixture("pictures/cmyk.jpg"))
            .arg(fixture("pictures/grey.jpg"));
        command
    };
    fail(&mut crate_mae(), 2, &["--lambda", "0.5 or 5.0"]);
    // The encoder has two layers, the decoder three more.
    let words = ["--layer", "1 to 2", "got 3"];
    fail(
        crate_mae().args(["--lambda", "0.5", "--layer", "3"]),
        2,
        &words,
    );
    assert!(!out.exists());
    succeed(crate_mae().args(["--lambda", "0.5", "--area", "0.25"]));
    // 24 pixels are enlarged to 120.
    let sheet = picture(&out.join("layer-2/sheet.png"));
    assert_eq!(sheet.dimensions(), (4 * 120 + 3 * 4, 2 * 120 + 4));
    let heads = Table::read(&out.join("heads.csv"));
    // Nine of 36 patches.
    assert_eq!(heads.numbers("mask_area"), [0.25; 6]);
    assert!(heads.words("name")[3].ends_with("grey.jpg"));
    let mut larger = of(
        &fixture("autoencoder/vit-mae.pth"),
        &folder.path().join("vit"),
    );
    larger.args(["--heads", "3", "--size", "32", "--pictures"]);
    succeed(larger.arg(fixture("pictures/cmyk.jpg")));
}

#[test]
fn a_checkpoint_without_head_will_do_and_one_without_class_token_will_not() {
    let bench = Bench::new();
    let grey = ["--heads", "2", "--channels", "1"];
    let data = ["--data", "procedural", "--count", "1"];
    let mut headless = of(&fixture("checkpoints/encoder.pth"), &bench.path("headless"));
    succeed(headless.args(grey).args(data));
    let bytes = std::fs::read(bench.path("net.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let rest = tensors.tensors().into_iter();
    let rest = rest.filter(|(name, _)| name != "cls_token");
    let rest = safetensors::serialize(rest.collect::<Vec<_>>(), None).unwrap();
    std::fs::write(bench.path("rest.safetensors"), rest).unwrap();
    let mut without = bench.attend_with("rest.safetensors", "out");
    fail(
        without.args(grey).args(data),
        1,
        &["rest.safetensors", "cls_token missing"],
    );
    assert!(!bench.path("out").exists());
}

#[test]
fn what_cannot_be_shown_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    for (flags, words) in [
        (&["--layer", "3"][..], ["--layer", "1 to 2"]),
        (&["--layer", "1,0"], ["--layer", "1 to 2"]),
        (&["--head", "3"], ["--head", "1 to 2"]),
        (&["--mass", "0"], ["--mass", "(0, 1]"]),
        (&["--mass", "1.5"], ["--mass", "(0, 1]"]),
        (&["--area", "-0.1"], ["--area", "(0, 1]"]),
        (&["--mass", "0.6", "--area", "0.6"], ["--mass", "--area"]),
        (&["--masks", "1", "--tau", "1"], ["--tau", "[0, 1)"]),
        (&["--tau", "0.2"], ["--masks", "required"]),
        (&["--size", "30"], ["multiple of the patch", "28 or 42"]),
        (&["--size", "13"], ["multiple of the patch", "give 14"]),
        (&["--lambda", "5"], ["--lambda", "classifier"]),
    ] {
        fail(bench.attend("out").args(flags), 2, &words);
    }
    let large = ["--size", "1400000"];
    let words = ["attention maps", "--size"];
    fail(bench.attend("out").args(large), 1, &words);
    // Three channels for a network that reads one.
    let mut coloured = bench.attend_with("net.safetensors", "out");
    coloured.arg("--pictures").arg(fixture("pictures/cmyk.jpg"));
    fail(&mut coloured, 1, &["images of pictures", "1 channels"]);
    // A good picture before one that is none.
    let broken = bench.path("broken.png");
    std::fs::write(&broken, b"no picture").unwrap();
    let mut two = of(&fixture("autoencoder/vit-mae.pth"), &bench.path("out"));
    two.args(["--heads", "3", "--pictures"])
        .arg(fixture("pictures/cmyk.jpg"))
        .arg(&broken);
    fail(&mut two, 1, &["broken.png", "JPEG or PNG"]);
    assert!(!bench.path("out").exists());
}
