//! COCO's instances (`instances_val2017.json` and whatever has its layout): one file for all pictures, with polygons or
//! lengths of runs. A crowd, `iscrowd` 1, is no object: its pixels are ignored where no object is. pycocotools does less in
//! their favour: they are ground for all masks but those that lie mostly in the crowd, which do not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array2;
use serde::Deserialize;

use super::{polygon, run_lengths, Entry, Marks, MaskedPictures, Object};
use crate::data::{image_folder, picture};
use crate::error::{Error, Result};

const WANTED: &str = "COCO's instances: images, categories, and annotations with a segmentation";

/// What is read of the file.
#[derive(Debug, Deserialize)]
struct Instances {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Debug, Deserialize)]
struct Image {
    id: u64,
    file_name: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u64,
    segmentation: Segmentation,
    #[serde(default)]
    iscrowd: u8,
}

/// Where an object is.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Segmentation {
    /// In any of these, each `x, y, x, y, ...`.
    Polygons(Vec<Vec<f64>>),
    Runs {
        counts: Counts,
        /// Height, width.
        size: [usize; 2],
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Counts {
    Plain(Vec<u64>),
    Compressed(String),
}

/// The objects and crowds of a picture.
#[derive(Debug, Clone)]
pub(super) struct Masks {
    /// The file that they are from.
    file: Arc<Path>,
    /// With the place of its class each.
    annotations: Vec<(usize, Annotation)>,
}

/// The pictures of an instances file, in the order of their ids, as pycocotools goes through them: with masks that have no
/// score it is their order that decides. They lie in `pictures`. The file is held in memory: some hundred megabytes for
/// the training pictures.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if the file has another layout, or a category that it does not name.
pub fn read(instances: &Path, pictures: &Path) -> Result<MaskedPictures> {
    let wrong = |got: String, remedy: &str| Error::file(instances, WANTED, got, remedy);
    let bytes = picture::read(instances, WANTED)?;
    let remedy =
        "name the file of the masks, as instances_val2017.json, not of captions or keypoints";
    let found: Instances =
        serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string(), remedy))?;
    if found.images.is_empty() {
        return Err(wrong("no image".into(), remedy));
    }
    let named: BTreeMap<u64, String> = found
        .categories
        .into_iter()
        .map(|category| (category.id, category.name))
        .collect();
    let class_of: BTreeMap<u64, usize> = named.keys().copied().zip(0..).collect();
    let mut files: BTreeMap<u64, (PathBuf, Vec<(usize, Annotation)>)> = found
        .images
        .into_iter()
        .map(|image| (image.id, (image.file_name, Vec::new())))
        .collect();
    let mut strangers = 0;
    for annotation in found.annotations {
        let Some(class) = class_of.get(&annotation.category_id) else {
            return Err(wrong(
                format!(
                    "annotation {} of category {}, which is not there",
                    annotation.id, annotation.category_id
                ),
                "add the category",
            ));
        };
        match files.get_mut(&annotation.image_id) {
            Some((_, own)) => own.push((*class, annotation)),
            None => strangers += 1,
        }
    }
    let file: Arc<Path> = instances.into();
    let entries = files.into_values().map(|(name, annotations)| Entry {
        picture: pictures.join(name),
        masks: super::Masks::Coco(Masks {
            file: file.clone(),
            annotations,
        }),
    });
    let stem = instances.file_stem().unwrap_or_default();
    let note = format!(
        "{}: passed over {strangers} annotations of pictures that it does not list",
        instances.display()
    );
    Ok(MaskedPictures {
        name: stem.to_string_lossy().into_owned(),
        class_names: named.into_values().collect(),
        normalisation: image_folder::normalisation(),
        entries: entries.collect(),
        notes: (strangers > 0).then_some(note).into_iter().collect(),
    })
}

impl Masks {
    /// The objects, in the order of the file.
    pub(super) fn read(&self, picture: &Path, size: [usize; 2]) -> Result<Marks> {
        let mut crowd = Array2::from_elem(size, false);
        let mut objects = Vec::new();
        for (class, annotation) in &self.annotations {
            let mask = annotation.segmentation.inside(size).map_err(|got| {
                Error::file(
                    &self.file,
                    format!(
                        "a mask of annotation {} for {}, {} x {} pixels",
                        annotation.id,
                        picture.display(),
                        size[1],
                        size[0]
                    ),
                    got,
                    "take pictures and masks of the same release, as they are",
                )
            })?;
            match annotation.iscrowd {
                0 => objects.push(Object {
                    class: *class,
                    mask,
                }),
                _ => crowd |= &mask,
            }
        }
        let ignored = objects
            .iter()
            .fold(crowd, |ignored, object| ignored & !&object.mask);
        Ok(Marks::new(objects, ignored))
    }
}

impl Segmentation {
    /// The pixels, or what is wrong.
    fn inside(&self, size: [usize; 2]) -> std::result::Result<Array2<bool>, String> {
        match self {
            Self::Polygons(polygons) => {
                let mut mask = Array2::from_elem(size, false);
                for corners in polygons {
                    mask |= &polygon::inside(corners, size)?;
                }
                Ok(mask)
            }
            Self::Runs { size: own, .. } if *own != size => {
                Err(format!("one for {} x {} pixels", own[1], own[0]))
            }
            Self::Runs { counts, .. } => match counts {
                Counts::Plain(lengths) => run_lengths::inside(lengths, size),
                Counts::Compressed(text) => {
                    run_lengths::inside(&run_lengths::decompressed(text)?, size)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mask;
    use super::*;
    use image::RgbImage;
    use serde_json::{json, Value};

    /// Reads two pictures of 7 x 6 pixels, ids 9 and 4, with these annotations.
    fn with(folder: &Path, annotations: &Value) -> Result<MaskedPictures> {
        for name in ["a.jpg", "b.jpg"] {
            RgbImage::new(7, 6).save(folder.join(name)).unwrap();
        }
        let instances = json!({
            "info": { "year": 2017 },
            "images": [
                { "id": 9, "file_name": "a.jpg", "height": 6, "width": 7, "license": 1 },
                { "id": 4, "file_name": "b.jpg", "height": 6, "width": 7 },
            ],
            "annotations": annotations,
            "categories": [{ "id": 18, "name": "dog" }, { "id": 3, "name": "car" }],
        });
        let path = folder.join("instances.json");
        std::fs::write(&path, instances.to_string()).unwrap();
        read(&path, folder)
    }

    fn square(id: u64) -> Value {
        json!({
            "id": id, "image_id": 9, "category_id": 18, "iscrowd": 0, "area": 12.0,
            "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]],
        })
    }

    #[test]
    fn polygons_and_both_kinds_of_runs_are_masks_and_a_crowd_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let runs = |id: u64, crowd: u8, counts: Value| {
            json!({
                "id": id, "image_id": 9, "category_id": 3, "iscrowd": crowd,
                "segmentation": { "size": [6, 7], "counts": counts },
            })
        };
        let two = json!({
            "id": 4, "image_id": 9, "category_id": 18,
            "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 4, 1, 4, 4, 1, 4]],
        });
        let speck = json!({
            "id": 5, "image_id": 9, "category_id": 3, "iscrowd": 0,
            "segmentation": [[0, 0, 0.3, 0, 0.3, 0.3]],
        });
        let annotations = json!([
            square(1),
            runs(2, 0, json!([0, 1, 12, 3, 3, 3, 3, 3, 13, 1])),
            runs(3, 1, json!("01<2G000:N")),
            two,
            speck,
        ]);
        let found = with(folder.path(), &annotations).unwrap();
        assert_eq!(found.class_names, ["car", "dog"]);
        found.check_files().unwrap();
        // By id: 4, the second of the file, comes first.
        assert!(found.file(0).ends_with("b.jpg") && found.file(1).ends_with("a.jpg"));
        assert!(found.read(0).unwrap().marks.objects.is_empty());
        let marks = found.read(1).unwrap().marks;
        let classes: Vec<usize> = marks.objects.iter().map(|object| object.class).collect();
        assert_eq!((classes.as_slice(), marks.empty), (&[1, 0, 1][..], 1));
        let rows = [
            ".......", ".####..", ".####..", ".####..", ".......", ".......",
        ];
        assert_eq!(marks.objects[0].mask, mask(&rows));
        let rows = [
            "#......", "..###..", "..###..", "..###..", ".......", "......#",
        ];
        assert_eq!(marks.objects[1].mask, mask(&rows));
        // Of two polygons, by pycocotools.
        let rows = [
            "##.....", "####...", ".###...", ".###...", ".......", ".......",
        ];
        assert_eq!(marks.objects[2].mask, mask(&rows));
        // The crowd has the pixels of the second object, all of which are an object's.
        assert_eq!(marks.ignored, mask(&["......."; 6]));
        let alone = json!([square(1), runs(3, 1, json!("01<2G000:N"))]);
        let marks = with(folder.path(), &alone).unwrap().read(1).unwrap().marks;
        let rows = [
            "#......", ".......", ".......", ".......", ".......", "......#",
        ];
        assert_eq!(marks.ignored, mask(&rows));
        assert_eq!(marks.objects.len(), 1);
    }

    #[test]
    fn a_file_or_a_mask_that_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let of = |change: &dyn Fn(&mut Value)| {
            let mut annotation = square(11);
            change(&mut annotation);
            with(folder.path(), &json!([annotation]))
        };
        let line = |result: Result<MaskedPictures>| {
            let error = result.and_then(|found| found.read(1)).unwrap_err().line();
            assert!(error.contains("instances.json: wanted"), "{error}");
            error
        };
        let unknown = line(of(&|a| a["category_id"] = json!(5)));
        assert!(unknown.contains("annotation 11 of category 5"), "{unknown}");
        let none = line(of(&|a| a["segmentation"] = Value::Null));
        assert!(
            none.contains("COCO's instances") && none.contains("line 1"),
            "{none}"
        );
        let short = line(of(&|a| a["segmentation"] = json!([[1, 2, 3, 4]])));
        assert!(
            short.contains("annotation 11") && short.contains("4 numbers"),
            "{short}"
        );
        let other = json!({ "size": [7, 6], "counts": [42] });
        let turned = line(of(&|a| a["segmentation"] = other.clone()));
        assert!(
            turned.contains("7 x 6 pixels, got one for 6 x 7"),
            "{turned}"
        );
        let other = json!({ "size": [6, 7], "counts": "0" });
        let cut = line(of(&|a| a["segmentation"] = other.clone()));
        assert!(cut.contains("runs of 0 pixels in all, of 42"), "{cut}");
        // An annotation of no picture is passed over with a word.
        let found = of(&|a| a["image_id"] = json!(5)).unwrap();
        assert!(
            found.notes[0].contains("passed over 1 annotations"),
            "{:?}",
            found.notes
        );
        std::fs::remove_file(folder.path().join("b.jpg")).unwrap();
        let missing = found.check_files().unwrap_err().line();
        assert!(
            missing.contains("b.jpg: wanted a file of instances"),
            "{missing}"
        );
    }
}
