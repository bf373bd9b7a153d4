//! PASCAL VOC's segmentations, in the layout of its archive (VOCdevkit):
//!
//! `VOC2012/JPEGImages/NAME.jpg`, `VOC2012/SegmentationClass/NAME.png` and `VOC2012/SegmentationObject/NAME.png` for every
//! NAME of `VOC2012/ImageSets/Segmentation/val.txt`. The PNG files have palettes, whose places are meant: 0 the ground, 1 to
//! 20 a class or 1 to 254 an object, 255 the rims of objects and what nobody labelled, which is ignored.

use std::path::{Path, PathBuf};

use super::label_map::LabelMap;
use super::{by_value, Entry, Marks, MaskedPictures, Object};
use crate::data::image_folder;
use crate::error::{Error, Result};

/// The classes, in the order of their numbers from 1.
pub const CLASSES: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// Pixels that are neither object nor ground.
const IGNORED: u16 = 255;

/// The files of the masks of a picture.
#[derive(Debug, Clone)]
pub(super) struct Masks {
    /// Which class a pixel is of.
    pub(super) classes: PathBuf,
    /// Which object.
    pub(super) objects: PathBuf,
}

/// The pictures of `ImageSets/Segmentation/SPLIT.txt`, in its order. `folder` is that of the year, VOC2012, or has it, or
/// has VOCdevkit with it.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if `folder` has no such layout, or the list no name.
pub fn read(folder: &Path, split: &str) -> Result<MaskedPictures> {
    let places = ["", "VOC2012", "VOCdevkit/VOC2012"].map(|below| folder.join(below));
    let root = places
        .iter()
        .find(|place| place.join("JPEGImages").is_dir());
    let root = root.ok_or_else(|| {
        Error::file(
            folder,
            "the folder VOC2012 of the archive, with JPEGImages and SegmentationObject",
            "no JPEGImages in it, nor in VOC2012 or VOCdevkit/VOC2012 below it",
            "name the folder that VOCtrainval_11-May-2012.tar was unpacked to",
        )
    })?;
    let list = root.join(format!("ImageSets/Segmentation/{split}.txt"));
    let remedy = "unpack the whole archive: this list says which pictures have masks";
    let text = std::fs::read_to_string(&list).map_err(|e| Error::io("read", &list, e, remedy))?;
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if names.is_empty() {
        return Err(Error::file(
            &list,
            "a picture's name a line",
            "none",
            remedy,
        ));
    }
    let entry = |name: &&str| Entry {
        picture: root.join(format!("JPEGImages/{name}.jpg")),
        masks: super::Masks::Voc(Masks {
            classes: root.join(format!("SegmentationClass/{name}.png")),
            objects: root.join(format!("SegmentationObject/{name}.png")),
        }),
    };
    let year = root.file_name().unwrap_or_default().to_string_lossy();
    Ok(MaskedPictures {
        name: format!("{year} {split}"),
        class_names: CLASSES.map(str::to_owned).to_vec(),
        normalisation: image_folder::normalisation(),
        notes: Vec::new(),
        entries: names.iter().map(entry).collect(),
    })
}

impl Masks {
    /// The objects, by their numbers. Of the classes of an object's pixels the most frequent is its own, for the two files
    /// differ by a pixel here and there.
    pub(super) fn read(&self, size: [usize; 2]) -> Result<Marks> {
        let classes = LabelMap::read_numbers(&self.classes, size)?;
        let numbers = LabelMap::read_numbers(&self.objects, size)?;
        let most = CLASSES.len();
        let other = |class: &&u16| usize::from(**class) > most && **class != IGNORED;
        if let Some(class) = classes.iter().find(other) {
            return Err(Error::file(
                &self.classes,
                format!("classes from 0 to {most}, and {IGNORED}"),
                class.to_string(),
                "take the masks of the archive, as they are",
            ));
        }
        let mut objects = Vec::new();
        for (number, mask) in by_value(&numbers, &[0, IGNORED], &self.objects)? {
            let mut counts = [0usize; CLASSES.len()];
            for (class, _) in classes.iter().zip(&mask).filter(|(_, &inside)| inside) {
                // The ground is no class, and ignored pixels are beyond them.
                if let Some(count) = counts.get_mut(usize::from(*class).wrapping_sub(1)) {
                    *count += 1;
                }
            }
            // The last of equally frequent ones.
            let class = (0..most).max_by_key(|&class| counts[class]);
            let Some(class) = class.filter(|&class| counts[class] > 0) else {
                return Err(Error::file(
                    &self.classes,
                    format!("a class for object {number} of SegmentationObject"),
                    "the ground, wherever the object is",
                    "take both masks of a picture from the same archive",
                ));
            };
            objects.push(Object { class, mask });
        }
        let ignored = numbers.mapv(|number| number == IGNORED);
        Ok(Marks::new(objects, ignored))
    }
}

#[cfg(test)]
mod tests {
    use super::super::label_map::tests::write;
    use super::super::tests::mask;
    use super::*;
    use image::RgbImage;
    use png::{BitDepth, ColorType};

    /// One picture, `a`, of 2 x 4 pixels, with these numbers.
    fn voc(classes: [u8; 8], objects: [u8; 8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("VOCdevkit/VOC2012");
        for below in [
            "JPEGImages",
            "SegmentationClass",
            "SegmentationObject",
            "ImageSets/Segmentation",
        ] {
            std::fs::create_dir_all(root.join(below)).unwrap();
        }
        RgbImage::new(4, 2)
            .save(root.join("JPEGImages/a.jpg"))
            .unwrap();
        for (below, bytes) in [
            ("SegmentationClass", classes),
            ("SegmentationObject", objects),
        ] {
            let path = root.join(below).join("a.png");
            write(&path, [2, 4], ColorType::Indexed, BitDepth::Eight, &bytes);
        }
        std::fs::write(root.join("ImageSets/Segmentation/val.txt"), "a\n\n").unwrap();
        folder
    }

    #[test]
    fn objects_have_the_class_of_most_of_their_pixels() {
        let folder = voc([0, 20, 20, 255, 1, 1, 0, 9], [0, 3, 3, 255, 1, 1, 3, 3]);
        for root in ["", "VOCdevkit", "VOCdevkit/VOC2012"] {
            let found = read(&folder.path().join(root), "val").unwrap();
            assert_eq!((found.len(), found.name.as_str()), (1, "VOC2012 val"));
            found.check_files().unwrap();
            let read = found.read(0).unwrap();
            assert_eq!(read.picture.shape, [3, 2, 4]);
            let marks = read.marks;
            let names: Vec<&str> = marks
                .objects
                .iter()
                .map(|object| found.class_names[object.class].as_str())
                .collect();
            assert_eq!(names, ["aeroplane", "tvmonitor"]);
            assert_eq!(marks.objects[0].mask, mask(&["....", "##.."]));
            assert_eq!(marks.objects[1].mask, mask(&[".##.", "..##"]));
            assert_eq!(marks.ignored, mask(&["...#", "...."]));
            assert_eq!(marks.empty, 0);
        }
    }

    #[test]
    fn what_is_not_vocs_is_named_with_the_file() {
        let first = |folder: &tempfile::TempDir| read(folder.path(), "val").unwrap();
        let line = |result: Result<()>| result.unwrap_err().line();
        let folder = voc([21, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]);
        let found = line(first(&folder).read(0).map(|_| ()));
        assert!(
            found.contains("SegmentationClass/a.png: wanted classes from 0 to 20"),
            "{found}"
        );
        let folder = voc([0, 255, 3, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]);
        let found = line(first(&folder).read(0).map(|_| ()));
        assert!(found.contains("a class for object 1"), "{found}");
        let root = folder.path().join("VOCdevkit/VOC2012");
        std::fs::remove_file(root.join("SegmentationObject/a.png")).unwrap();
        let found = line(first(&folder).check_files());
        assert!(
            found.contains("SegmentationObject/a.png: wanted a file of VOC2012 val"),
            "{found}"
        );
        std::fs::write(root.join("ImageSets/Segmentation/val.txt"), "\n").unwrap();
        let found = line(read(folder.path(), "val").map(|_| ()));
        assert!(
            found.contains("val.txt: wanted a picture's name a line"),
            "{found}"
        );
        let found = line(read(folder.path(), "trainval").map(|_| ()));
        assert!(found.contains("trainval.txt"), "{found}");
        let empty = tempfile::tempdir().unwrap();
        let found = line(read(empty.path(), "val").map(|_| ()));
        assert!(found.contains("VOCtrainval_11-May-2012.tar"), "{found}");
    }
}
