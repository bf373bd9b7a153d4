//! A folder of pictures with a mask each: `images/NAME.jpg` (or `.png`) and `masks/NAME.png`. All classes are one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::label_map::LabelMap;
use super::{by_value, Entry, Marks, MaskedPictures, Object};
use crate::data::image_folder::{self, entries, is_picture};
use crate::error::{Error, Result};

/// What the numbers of a mask mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// All but 0, and every colour but black, are one object.
    OneObject,
    /// Every number but 0 is an object of its own.
    OneEach,
}

/// The mask of a picture.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    pub(super) path: PathBuf,
    numbers: Numbers,
}

/// The pictures in `folder/images`, in the order of their names, with the masks in `folder/masks`.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if there is no picture, or one without a mask.
pub fn read(folder: &Path, numbers: Numbers) -> Result<MaskedPictures> {
    let remedy = "put pictures into images/NAME.jpg or .png, and their masks into masks/NAME.png";
    let (images, masks) = (folder.join("images"), folder.join("masks"));
    let pictures: Vec<PathBuf> = entries(&images, remedy)?
        .into_iter()
        .filter(|path| is_picture(path))
        .collect();
    let found = entries(&masks, remedy)?;
    let mask_of = |picture: &Path| {
        let name = picture.file_stem().unwrap_or_default();
        let mut file = name.to_owned();
        file.push(".png");
        masks.join(file)
    };
    let (paired, single): (Vec<&PathBuf>, Vec<&PathBuf>) = pictures
        .iter()
        .partition(|picture| mask_of(picture).is_file());
    let name_of = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    if let Some(first) = single.first() {
        let (count, first) = (single.len(), name_of(first));
        let got = format!("{count} pictures without one, the first {first}");
        let wanted = "masks/NAME.png for every picture images/NAME";
        return Err(Error::file(folder, wanted, got, remedy));
    }
    if paired.is_empty() {
        let wanted = "pictures, .jpg or .png";
        return Err(Error::file(&images, wanted, "none", remedy));
    }
    let used: BTreeSet<PathBuf> = paired.iter().map(|picture| mask_of(picture)).collect();
    let idle: Vec<&PathBuf> = found
        .iter()
        .filter(|path| is_picture(path) && !used.contains(*path))
        .collect();
    let note = idle.first().map(|first| {
        let (count, first) = (idle.len(), name_of(first));
        let place = masks.display();
        format!("{place}: passed over {count} masks without a picture, the first {first}")
    });
    Ok(MaskedPictures {
        name: folder.display().to_string(),
        class_names: vec!["object".to_owned()],
        normalisation: image_folder::normalisation(),
        notes: note.into_iter().collect(),
        entries: paired
            .into_iter()
            .map(|picture| Entry {
                picture: picture.clone(),
                masks: super::Masks::Pair(Mask {
                    path: mask_of(picture),
                    numbers,
                }),
            })
            .collect(),
    })
}

impl Mask {
    /// The objects, by their numbers.
    pub(super) fn read(&self, size: [usize; 2]) -> Result<Marks> {
        let objects = match self.numbers {
            Numbers::OneObject => {
                let map = LabelMap::read(&self.path)?;
                map.check_size(&self.path, size)?;
                vec![map.values.mapv(|value| value > 0)]
            }
            Numbers::OneEach => {
                let values = LabelMap::read_numbers(&self.path, size)?;
                by_value(&values, &[0], &self.path)?.into_values().collect()
            }
        };
        let ignored = ndarray::Array2::from_elem(size, false);
        let objects = objects.into_iter().map(|mask| Object { class: 0, mask });
        Ok(Marks::new(objects.collect(), ignored))
    }
}

#[cfg(test)]
mod tests {
    use super::super::label_map::tests::write;
    use super::super::tests::mask;
    use super::*;
    use image::RgbImage;
    use png::{BitDepth, ColorType};

    #[test]
    fn a_mask_is_one_object_or_one_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for below in ["images", "masks"] {
            std::fs::create_dir(at(below)).unwrap();
        }
        for name in ["b.jpg", "a.png", "c.PNG"] {
            RgbImage::new(3, 2).save(at("images").join(name)).unwrap();
        }
        let of = |numbers| read(folder.path(), numbers).unwrap();
        let put = |name: &str, colour, bytes: &[u8]| {
            write(
                &at("masks").join(name),
                [2, 3],
                colour,
                BitDepth::Eight,
                bytes,
            );
        };
        put("a.png", ColorType::Grayscale, &[0, 0, 200, 7, 0, 200]);
        put("b.png", ColorType::Indexed, &[0; 6]);
        let coloured = [[0, 0, 0], [0, 0, 1], [0; 3], [0; 3], [9, 9, 9], [0; 3]].concat();
        put("c.png", ColorType::Rgb, &coloured);
        let one = of(Numbers::OneObject);
        assert_eq!((one.len(), one.notes.len()), (3, 0));
        let masks = |index| -> Vec<_> {
            let objects = one.read(index).unwrap().marks.objects.into_iter();
            objects.map(|object| object.mask).collect()
        };
        assert_eq!(masks(0), [mask(&["..#", "#.#"])]);
        // A picture without an object is one too.
        assert_eq!(masks(1), Vec::<ndarray::Array2<bool>>::new());
        assert_eq!(masks(2), [mask(&[".#.", ".#."])]);
        let each = of(Numbers::OneEach);
        let objects = each.read(0).unwrap().marks.objects;
        assert_eq!(objects[0].mask, mask(&["...", "#.."]));
        assert_eq!(objects[1].mask, mask(&["..#", "..#"]));
        assert_eq!(objects.len(), 2);
        let error = each.read(2).unwrap_err().line();
        assert!(
            error.contains("c.png") && error.contains("in colour"),
            "{error}"
        );
    }

    #[test]
    fn pictures_and_masks_that_are_no_pairs_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let line = || read(folder.path(), Numbers::OneObject).unwrap_err().line();
        assert!(line().contains("images") && line().contains("masks/NAME.png"));
        for below in ["images", "masks"] {
            std::fs::create_dir(at(below)).unwrap();
        }
        assert!(line().contains("images: wanted pictures, .jpg or .png, got none"));
        for name in ["images/a.jpg", "images/b.jpg", "masks/b.png", "masks/z.png"] {
            RgbImage::new(3, 2).save(at(name)).unwrap();
        }
        assert!(line().contains("1 pictures without one, the first a.jpg"));
        std::fs::remove_file(at("images/a.jpg")).unwrap();
        let found = read(folder.path(), Numbers::OneObject).unwrap();
        assert!(found.notes[0].contains("1 masks without a picture, the first z.png"));
        RgbImage::new(2, 2).save(at("masks/b.png")).unwrap();
        let error = found.read(0).unwrap_err().line();
        assert!(error.contains("b.png: wanted 3 x 2 pixels"), "{error}");
    }
}
