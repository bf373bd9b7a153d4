//! The table of formats.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::ImageFormat;
use ndarray::{Array2, Array3};
use ndarray_npy::WriteNpyExt;
use whitebox::data::cifar::{self, Cifar};
use whitebox::data::masked::coco;
use whitebox::data::masked::label_map::LabelMap;
use whitebox::data::picture::Picture;
use whitebox::data::{idx, image_folder, npy, Images, Normalisation, Split};
use whitebox::train::Recipe;
use whitebox::Result;

use crate::{state, Format, Reader};

const MIB: usize = 1 << 20;

/// Reader of a file with `name` in the folder that it is given.
fn reader(name: &'static str, read: impl Fn(PathBuf) -> Result<()> + 'static) -> Reader {
    Box::new(move |folder| read(folder.join(name)))
}

/// Every format that the program reads.
pub(crate) fn formats() -> Vec<Format> {
    vec![
        Format {
            name: "npy",
            file: "x.npy",
            valid: arrays(),
            read: reader("x.npy", |path| npy::read_any(&path).map(|_| ())),
            memory: 4 * MIB,
        },
        Format {
            name: "idx images",
            file: "t10k-images-idx3-ubyte",
            valid: vec![idx_images(), gzip(&idx_images())],
            read: Box::new(|folder| {
                std::fs::write(folder.join("t10k-labels-idx1-ubyte"), idx_labels()).unwrap();
                digits(folder)
            }),
            memory: 128 * MIB,
        },
        Format {
            name: "idx labels",
            file: "t10k-labels-idx1-ubyte.gz",
            valid: vec![idx_labels(), gzip(&idx_labels())],
            read: Box::new(|folder| {
                std::fs::write(folder.join("t10k-images-idx3-ubyte"), idx_images()).unwrap();
                digits(folder)
            }),
            memory: 128 * MIB,
        },
        Format {
            name: "cifar10",
            file: "test_batch.bin",
            valid: vec![records(&[10], 3)],
            read: Box::new(|folder| whole(cifar::read(folder, Cifar::Ten, Split::Test)?)),
            memory: 4 * MIB,
        },
        Format {
            name: "cifar100",
            file: "test.bin",
            valid: vec![records(&[20, 100], 2)],
            read: Box::new(|folder| {
                whole(cifar::read(folder, Cifar::Hundred, Split::Test)?)?;
                whole(cifar::read(folder, Cifar::HundredCoarse, Split::Test)?)
            }),
            memory: 4 * MIB,
        },
        Format {
            name: "jpeg",
            file: "p.jpg",
            valid: pictures("jpg"),
            read: reader("p.jpg", decode),
            memory: 256 * MIB,
        },
        Format {
            name: "png",
            file: "p.png",
            valid: pictures("png"),
            read: reader("p.png", decode),
            memory: 256 * MIB,
        },
        Format {
            name: "label map",
            file: "m.png",
            valid: pictures("png"),
            read: reader("m.png", |path| {
                let map = LabelMap::read(&path)?;
                assert!(!map.in_colour || map.values.iter().all(|&value| value < 2));
                Ok(())
            }),
            memory: 256 * MIB,
        },
        Format {
            name: "coco instances",
            file: "instances.json",
            valid: instances(),
            read: Box::new(|folder| {
                image::RgbImage::new(7, 6)
                    .save(folder.join("a.png"))
                    .unwrap();
                let found = coco::read(&folder.join("instances.json"), folder)?;
                for index in (0..found.len()).filter(|&index| found.file(index).is_file()) {
                    for object in found.read(index)?.marks.objects {
                        assert_eq!(object.mask.dim(), (6, 7));
                        assert!(object.class < found.class_names.len());
                    }
                }
                Ok(())
            }),
            memory: 64 * MIB,
        },
        Format {
            name: "image folder",
            file: "val/b/p.jpg",
            valid: [pictures("png"), pictures("jpg")].concat(),
            read: Box::new(|folder| {
                std::fs::create_dir_all(folder.join("val/a")).unwrap();
                std::fs::write(folder.join("val/a/p.png"), &pictures("png")[0]).unwrap();
                let images = image_folder::read(folder, Split::Test, None)?;
                let input = images.normalised(0..2, [32, 32])?;
                assert!(input.iter().all(|x| x.is_finite()));
                Ok(())
            }),
            memory: 256 * MIB,
        },
        Format {
            name: "recipe",
            file: "own.toml",
            valid: recipes(),
            read: reader("own.toml", |path| {
                let recipe = Recipe::read(path.to_str().unwrap(), &[])?;
                // What is taken can be used.
                let rate = recipe.learning_rate_at(0, 0, 10);
                assert!(rate.is_finite(), "a learning rate of {rate}");
                Ok(())
            }),
            memory: 16 * MIB,
        },
        Format {
            name: "change of a recipe",
            file: "change.txt",
            valid: changes(),
            read: reader("change.txt", |path| {
                let bytes = std::fs::read(path).unwrap();
                let change = String::from_utf8_lossy(&bytes).into_owned();
                Recipe::read("finetune", &[change]).map(|_| ())
            }),
            memory: 16 * MIB,
        },
        state::format(),
    ]
}

fn whole(images: Images) -> Result<()> {
    assert!(images.labels.iter().all(|&label| label < images.classes));
    let [_, height, width] = images.shape;
    images.normalised([images.len() - 1], [height, width])?;
    Ok(())
}

fn digits(folder: &Path) -> Result<()> {
    let normalisation = Normalisation {
        mean: vec![0.5],
        deviation: vec![0.5],
    };
    whole(idx::mnist_like(
        folder,
        "digits",
        Split::Test,
        10,
        normalisation,
    )?)
}

fn decode(path: PathBuf) -> Result<()> {
    let picture = Picture::decode(&path)?;
    let [channels, height, width] = picture.shape;
    assert_eq!(picture.planes.len(), channels * height * width);
    let centre = image_folder::prepare(&picture, 8);
    assert_eq!(centre.shape, [3, 8, 8]);
    Ok(())
}

fn arrays() -> Vec<Vec<u8>> {
    let of = |array: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        array(&mut bytes);
        bytes
    };
    let matrix = Array2::from_shape_fn((5, 7), |(i, j)| (i * 7 + j) as f64 * 0.3 - 4.0);
    let cube = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (i + j * k) as f32);
    let version_two = |bytes: &[u8]| {
        let mut longer = bytes[..10].to_vec();
        longer[6] = 2;
        longer.extend([0, 0]);
        longer.extend(&bytes[10..]);
        longer
    };
    let first = of(&|bytes| matrix.write_npy(bytes).unwrap());
    vec![
        of(&|bytes| cube.write_npy(bytes).unwrap()),
        of(&|bytes| matrix.t().write_npy(bytes).unwrap()),
        version_two(&first),
        first,
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_images() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6];
    bytes.extend(0..120);
    bytes
}

fn idx_labels() -> Vec<u8> {
    vec![0, 0, 8, 1, 0, 0, 0, 4, 0, 9, 3, 5]
}

/// `count` records of CIFAR with labels below these.
fn records(labels: &[u8], count: u8) -> Vec<u8> {
    let record = |i: u8| {
        let labels = labels.iter().map(move |&most| i * 3 % most);
        labels.chain((0..3072u32).map(move |p| (p * u32::from(i)) as u8))
    };
    (0..count).flat_map(record).collect()
}

/// Pictures of every kind with this ending.
fn pictures(ending: &str) -> Vec<Vec<u8>> {
    let kinds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pictures");
    let kinds = std::fs::read_dir(kinds).unwrap();
    let paths = kinds.map(|kind| kind.unwrap().path());
    let own = |path: &PathBuf| path.extension().is_some_and(|e| e == ending);
    let mut paths: Vec<PathBuf> = paths.filter(own).collect();
    paths.sort();
    let mut files: Vec<Vec<u8>> = paths.iter().map(|p| std::fs::read(p).unwrap()).collect();
    let format = ImageFormat::from_extension(ending).unwrap();
    let plain = image::RgbImage::from_fn(19, 13, |x, y| image::Rgb([x as u8, 9 * y as u8, 200]));
    let mut bytes = Cursor::new(Vec::new());
    plain.write_to(&mut bytes, format).unwrap();
    files.push(bytes.into_inner());
    files
}

/// One picture of 7 x 6 pixels, with a mask of every kind.
fn instances() -> Vec<Vec<u8>> {
    let masks = [
        serde_json::json!([[1, 1, 5, 1, 5, 4, 1, 4], [0.5, 0.5, 6.2, 1.4, 3.3, 5.7]]),
        serde_json::json!({ "size": [6, 7], "counts": [0, 1, 12, 3, 3, 3, 3, 3, 13, 1] }),
        serde_json::json!({ "size": [6, 7], "counts": "01<2G000:N" }),
    ];
    let file = |masks: &[serde_json::Value]| {
        let annotation = |(id, mask): (usize, &serde_json::Value)| {
            serde_json::json!({
                "id": id, "image_id": 1, "category_id": 2, "iscrowd": id % 2, "segmentation": mask,
            })
        };
        let annotations: Vec<_> = masks.iter().enumerate().map(annotation).collect();
        let instances = serde_json::json!({
            "images": [{ "id": 1, "file_name": "a.png" }],
            "categories": [{ "id": 2, "name": "car" }],
            "annotations": annotations,
        });
        instances.to_string().into_bytes()
    };
    vec![
        file(&masks),
        file(&masks[..1]),
        file(&masks[1..]),
        file(&[]),
    ]
}

fn recipes() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/recipes");
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn changes() -> Vec<Vec<u8>> {
    let changes = [
        "learning_rate=1e-4",
        "augmentation.flip=false",
        "augmentation.crop=none",
        "schedule=cosine",
        "freeze=[\"qkv.weight\"]",
    ];
    changes.map(|change| change.as_bytes().to_vec()).to_vec()
}
