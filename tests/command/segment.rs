//! Masks of a network against the objects of ten pictures, in every layout that people have them in.

use std::path::{Path, PathBuf};
use std::process::Command;

use dfdx::prelude::Cpu;
use image::{Rgb, RgbImage};
use ndarray::Array2;
use png::{BitDepth, ColorType};
use serde_json::json;
use whitebox::model::{checkpoint, Classifier, Config};

use crate::{fail, succeed, whitebox};

const PICTURES: usize = 10;
const HEIGHT: usize = 32;
const WIDTH: usize = 40;
/// What masks come from.
const SOURCES: usize = 5;

/// Top, left, height, width, class of VOC.
type Rectangle = [usize; 5];

/// One object in every picture, two in every other.
fn objects(picture: usize) -> Vec<Rectangle> {
    let mut objects = vec![[2 + picture, 3, 12, 10 + picture, 1 + picture % 3]];
    if picture.is_multiple_of(2) {
        objects.push([26, 25, 4, 12, 15]);
    }
    objects
}

fn inside([top, left, height, width, _]: Rectangle, y: usize, x: usize) -> bool {
    (top..top + height).contains(&y) && (left..left + width).contains(&x)
}

/// What numbers of the objects are, from 1, in a picture.
fn numbers(picture: usize, number: impl Fn(usize, Rectangle) -> u8) -> Array2<u8> {
    Array2::from_shape_fn((HEIGHT, WIDTH), |(y, x)| {
        let objects = objects(picture).into_iter().enumerate();
        let mut here = objects.filter(|(_, object)| inside(*object, y, x));
        here.next()
            .map_or(0, |(index, object)| number(index, object))
    })
}

fn write_png(path: &Path, colour: ColorType, values: &Array2<u8>) {
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    if colour == ColorType::Indexed {
        encoder.set_palette(vec![200; 768]);
    }
    let bytes: Vec<u8> = values.iter().copied().collect();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&bytes)
        .unwrap();
}

/// The same pictures and objects as VOC, COCO and pairs of files have them, and a network.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for below in [
            "VOC2012/JPEGImages",
            "VOC2012/SegmentationClass",
            "VOC2012/SegmentationObject",
            "VOC2012/ImageSets/Segmentation",
            "own/images",
            "own/masks",
        ] {
            std::fs::create_dir_all(place.at(below)).unwrap();
        }
        let mut names = String::new();
        for picture in 0..PICTURES {
            names += &format!("p{picture}\n");
            let jpeg = place.at(&format!("VOC2012/JPEGImages/p{picture}.jpg"));
            let image = RgbImage::from_fn(WIDTH as u32, HEIGHT as u32, |x, y| {
                let mut all = objects(picture).into_iter();
                let object = all.any(|object| inside(object, y as usize, x as usize));
                let bright = if object { 200 } else { 40 };
                Rgb([bright, (5 * x) as u8, (7 * y) as u8])
            });
            image.save(&jpeg).unwrap();
            std::fs::copy(&jpeg, place.at(&format!("own/images/p{picture}.jpg"))).unwrap();
            let png = |folder: &str| place.at(&format!("{folder}/p{picture}.png"));
            let classes = numbers(picture, |_, object| object[4] as u8);
            let own = numbers(picture, |index, _| index as u8 + 1);
            write_png(
                &png("VOC2012/SegmentationClass"),
                ColorType::Indexed,
                &classes,
            );
            write_png(&png("VOC2012/SegmentationObject"), ColorType::Indexed, &own);
            let grey = numbers(picture, |index, _| [7, 200][index]);
            write_png(&png("own/masks"), ColorType::Grayscale, &grey);
        }
        std::fs::write(place.at("VOC2012/ImageSets/Segmentation/val.txt"), names).unwrap();
        place.write_instances();
        place.network("net.safetensors", 3);
        place
    }

    /// The first object of a picture as lengths of runs, the second as a polygon.
    fn write_instances(&self) {
        let mut annotations = Vec::new();
        for picture in 0..PICTURES {
            for (index, object) in objects(picture).into_iter().enumerate() {
                let [top, left, height, width, class] = object;
                let (bottom, right) = (top + height, left + width);
                let segmentation = match index {
                    0 => {
                        // Column by column: outside, then a run of each column of the object.
                        let mut counts = vec![left * HEIGHT + top, height];
                        for _ in 1..width {
                            counts.extend([HEIGHT - height, height]);
                        }
                        counts.push(WIDTH * HEIGHT - counts.iter().sum::<usize>());
                        json!({ "size": [HEIGHT, WIDTH], "counts": counts })
                    }
                    _ => json!([[left, top, right, top, right, bottom, left, bottom]]),
                };
                annotations.push(json!({
                    "id": annotations.len(), "image_id": 100 + picture, "iscrowd": 0,
                    "category_id": 3 * class, "segmentation": segmentation,
                }));
            }
        }
        let images = (0..PICTURES)
            .map(|picture| json!({ "id": 100 + picture, "file_name": format!("p{picture}.jpg") }));
        let categories =
            (1..=20).map(|class| json!({ "id": 3 * class, "name": class.to_string() }));
        let instances = json!({
            "images": images.collect::<Vec<_>>(),
            "categories": categories.collect::<Vec<_>>(),
            "annotations": annotations,
        });
        std::fs::write(self.at("instances.json"), instances.to_string()).unwrap();
    }

    /// Two layers of two heads on patches of four pixels.
    fn network(&self, name: &str, channels: usize) {
        let demo = Config::preset("demo").unwrap().with_width(8, 2).unwrap();
        let config = Config { depth: 2, ..demo };
        let config = config.for_images(channels, [32, 32], 4);
        let network: Classifier<f32, Cpu> = Classifier::new(config, 3, &Cpu::default()).unwrap();
        checkpoint::write(&self.at(name), &network, &json!({})).unwrap();
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn segment(&self, truth: &[(&str, &str)]) -> Command {
        let mut command = whitebox();
        command
            .args(["segment", "--checkpoint"])
            .arg(self.at("net.safetensors"))
            .arg("--out")
            .arg(self.at("out.csv"));
        for (flag, path) in truth {
            command.arg(flag).arg(self.at(path));
        }
        command
    }

    fn table(&self) -> String {
        std::fs::read_to_string(self.at("out.csv")).unwrap()
    }
}

/// The numbers of a column of the lines whose masks come from `source`.
fn column(table: &str, source: &str, name: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|own| own == name).unwrap();
    let (of, value) = (place("masks_of"), place(name));
    let records = reader.records().map(Result::unwrap);
    let own = records.filter(|record| &record[of] == source);
    own.map(|record| record[value].parse().unwrap()).collect()
}

#[test]
fn the_same_objects_give_the_same_table_in_every_layout() {
    let place = Place::new();
    let printed = succeed(&mut place.segment(&[("--voc", ".")]));
    let words = "10 pictures of VOC2012 val with 15 objects; layer 2 of 2, 2 heads, 8 x 8 patches";
    assert!(printed.starts_with(words), "{printed}");
    for words in ["mean IoU", "MaskCut", "centre disc", "see "] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let voc = place.table();
    assert_eq!(voc.lines().count(), 1 + SOURCES * PICTURES);
    let truth = [
        ("--coco", "instances.json"),
        ("--pictures", "VOC2012/JPEGImages"),
    ];
    let printed = succeed(place.segment(&truth).args(["--threads", "1"]));
    assert!(
        printed.starts_with("10 pictures of instances with 15 objects"),
        "{printed}"
    );
    assert_eq!(place.table(), voc);

    // A mask of everything has of an object what the object has of the picture.
    let shares: Vec<f64> = (0..PICTURES)
        .map(|picture| {
            let objects = objects(picture);
            let areas = objects
                .iter()
                .map(|[_, _, height, width, _]| height * width);
            areas.sum::<usize>() as f64 / objects.len() as f64 / (HEIGHT * WIDTH) as f64
        })
        .collect();
    for name in [
        "mass_head_per_object",
        "area_head_per_class",
        "area_head_of_other_half",
    ] {
        let found = column(&voc, "everything", name);
        assert_eq!(found.len(), PICTURES);
        for (found, share) in found.iter().zip(&shares) {
            assert!((found - share).abs() < 1e-12, "{name}: {found} {share}");
        }
    }
    // An oracle for every object covers no less than any other choice, up to the rounding of a mean.
    for source in ["network", "untrained network", "smooth random maps"] {
        for cut in ["mass", "area"] {
            let of = |choice: &str| column(&voc, source, &format!("{cut}_{choice}"));
            let best = of("head_per_object");
            for other in ["head_per_class", "head_of_other_half", "all_heads"] {
                for (best, other) in best.iter().zip(of(other)) {
                    assert!(*best > other - 1e-12, "{source} {cut}: {best} {other}");
                }
            }
        }
        let found = column(&voc, source, "found");
        assert!(
            found.iter().all(|count| (0.0..=3.0).contains(count)),
            "{found:?}"
        );
    }
    assert_eq!(column(&voc, "centre disc", "found"), [1.0; PICTURES]);

    let printed = succeed(place.segment(&[("--masks", "own")]).arg("--instances"));
    assert!(printed.contains("with 15 objects"), "{printed}");
    for name in ["mass_head_per_object", "area_all_heads", "found"] {
        let own = column(&place.table(), "network", name);
        assert_eq!(own, column(&voc, "network", name), "{name}");
    }
    let printed = succeed(&mut place.segment(&[("--masks", "own")]));
    assert!(printed.contains("with 10 objects"), "{printed}");
}

#[test]
fn layer_size_rounds_and_limit_are_what_is_asked_for() {
    let place = Place::new();
    let segment = |flags: &[&str]| {
        let printed = succeed(place.segment(&[("--voc", "VOC2012")]).args(flags));
        (printed, place.table())
    };
    let (printed, last) = segment(&["--rounds", "0"]);
    assert!(!printed.contains("MaskCut"), "{printed}");
    assert_eq!(column(&last, "network", "found"), [0.0; PICTURES]);
    let (printed, first) = segment(&["--rounds", "0", "--layer", "1"]);
    assert!(printed.contains("layer 1 of 2"), "{printed}");
    assert_ne!(first, last);
    // What knows no network is the same in both.
    for source in ["smooth random maps", "centre disc", "everything"] {
        let of = |table: &str| column(table, source, "mass_head_per_object");
        assert_eq!(of(&first), of(&last), "{source}");
    }
    let (printed, _) = segment(&["--rounds", "1", "--size", "48"]);
    assert!(printed.contains("12 x 12 patches"), "{printed}");
    let (printed, few) = segment(&["--limit", "4"]);
    assert!(printed.starts_with("4 pictures"), "{printed}");
    assert_eq!(few.lines().count(), 1 + SOURCES * 4);
    let printed = succeed(place.segment(&[]).args(["--scenes", "--limit", "3"]));
    assert!(
        printed.starts_with("3 pictures of scenes test with 3 objects"),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_held_against_objects_is_refused() {
    let place = Place::new();
    let voc = || place.segment(&[("--voc", ".")]);
    fail(
        &mut place.segment(&[]),
        2,
        &["--voc", "--coco", "--masks", "--scenes"],
    );
    fail(voc().arg("--scenes"), 2, &["--voc", "--scenes"]);
    fail(
        &mut place.segment(&[("--coco", "instances.json")]),
        2,
        &["--pictures"],
    );
    fail(voc().arg("--instances"), 2, &["--instances", "--voc"]);
    fail(
        voc().args(["--layer", "3"]),
        2,
        &["--layer", "1 to 2", "got 3"],
    );
    fail(voc().args(["--tau", "1"]), 2, &["--tau", "cosine"]);
    fail(
        voc().args(["--size", "30"]),
        2,
        &["--size", "give 28 or 32"],
    );
    place.network("net.safetensors", 1);
    let words = ["pictures of VOC2012 val", "1 channels", "in colour"];
    fail(&mut voc(), 1, &words);
    std::fs::remove_file(place.at("VOC2012/JPEGImages/p3.jpg")).unwrap();
    fail(&mut voc(), 1, &["p3.jpg", "wanted a file of VOC2012 val"]);
    fail(
        &mut place.segment(&[("--voc", "own")]),
        1,
        &["own: wanted the folder VOC2012"],
    );
    assert!(!place.at("out.csv").exists());
}
