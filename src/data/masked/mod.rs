//! Pictures with the masks of their objects, to hold masks of a network against. Lists first, files when they are asked
//! for. All masks have the size of their picture.
//!
//! | file | what |
//! |---|---|
//! | [`voc`] | PASCAL VOC's layout: two PNG files a picture |
//! | [`coco`] | COCO's instances, one JSON file |
//! | [`pairs`] | a folder of pictures, a folder of masks |
//! | [`drawn`] | the held-out scenes of this project's own data set: no files |
//! | [`label_map`] | PNG files whose pixels are numbers |
//! | [`polygon`] | the pixels in a polygon |
//! | [`run_lengths`] | masks as COCO's lengths of runs |

pub mod coco;
pub mod drawn;
pub mod label_map;
pub mod pairs;
pub mod polygon;
pub mod run_lengths;
pub mod voc;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::picture::Picture;
use super::Normalisation;
use crate::error::{Error, Result};

/// Objects of a picture at most: a photograph in the place of a mask has more.
const MOST_OBJECTS: usize = 1000;

/// An object of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its place in [`MaskedPictures::class_names`].
    pub class: usize,
    /// Where it is (height, width); somewhere.
    pub mask: Array2<bool>,
}

/// What is known of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Its objects, in the order of their numbers or of the file; they may overlap if the file lets them. Perhaps none.
    pub objects: Vec<Object>,
    /// Pixels that are neither object nor ground (height, width): what lies there says nothing.
    pub ignored: Array2<bool>,
    /// Objects of the file that have no pixel, which are left out.
    pub empty: usize,
}

impl Marks {
    /// Leaves out the objects that have no pixel.
    fn new(objects: Vec<Object>, ignored: Array2<bool>) -> Self {
        let count = objects.len();
        let shown = |object: &Object| object.mask.iter().any(|&inside| inside);
        let objects: Vec<Object> = objects.into_iter().filter(shown).collect();
        Self {
            empty: count - objects.len(),
            objects,
            ignored,
        }
    }
}

/// A picture and what is known of it.
#[derive(Debug, Clone)]
pub struct MaskedPicture {
    /// Three channels, at its own size.
    pub picture: Picture<'static>,
    /// Its objects.
    pub marks: Marks,
}

/// A picture, and where its masks are.
#[derive(Debug, Clone)]
struct Entry {
    /// Its file, or what a scene is called.
    picture: PathBuf,
    masks: Masks,
}

#[derive(Debug, Clone)]
enum Masks {
    Scene(drawn::Scene),
    Voc(voc::Masks),
    Coco(coco::Masks),
    Pair(pairs::Mask),
}

/// Pictures with the masks of their objects.
#[derive(Debug, Clone)]
pub struct MaskedPictures {
    /// For people: "VOC2012 val".
    pub name: String,
    /// What the numbers of the classes mean.
    pub class_names: Vec<String>,
    /// How pictures become network input.
    pub normalisation: Normalisation,
    /// What the reader passed over, each a line for people.
    pub notes: Vec<String>,
    entries: Vec<Entry>,
}

impl MaskedPictures {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The file of picture `index`; of a scene, what it is called.
    pub fn file(&self, index: usize) -> &Path {
        &self.entries[index].picture
    }

    /// `limit` of the pictures drawn by the seed, in their order, or all of them if there are no more.
    pub fn limited(mut self, limit: usize, seed: u64) -> Self {
        let chosen = super::sample("pictures with masks", self.len(), limit, seed);
        self.entries = chosen
            .into_iter()
            .map(|index| self.entries[index].clone())
            .collect();
        self
    }

    /// Looks for the files of all pictures and masks, before work begins.
    ///
    /// # Errors
    /// [`Error::File`] naming the first that is not there, and how many are not.
    pub fn check_files(&self) -> Result<()> {
        let files = self.entries.iter().flat_map(|entry| match &entry.masks {
            Masks::Scene(_) => Vec::new(),
            Masks::Voc(masks) => vec![&entry.picture, &masks.classes, &masks.objects],
            Masks::Coco(_) => vec![&entry.picture],
            Masks::Pair(mask) => vec![&entry.picture, &mask.path],
        });
        let missing: Vec<&PathBuf> = files.filter(|path| !path.exists()).collect();
        match missing.first() {
            None => Ok(()),
            Some(first) => Err(Error::file(
                first,
                format!("a file of {}", self.name),
                match missing.len() {
                    1 => "nothing there".to_owned(),
                    more => format!("nothing there, as in {} other places", more - 1),
                },
                "complete the pictures and masks, or name the folder that has them all",
            )),
        }
    }

    /// Picture `index` and its objects.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if the picture or a mask does not decode, or they have different sizes.
    pub fn read(&self, index: usize) -> Result<MaskedPicture> {
        let Entry {
            picture: path,
            masks,
        } = &self.entries[index];
        let decoded = |marks: &dyn Fn([usize; 2]) -> Result<Marks>| {
            let picture = Picture::decode(path)?;
            let [_, height, width] = picture.shape;
            let marks = marks([height, width])?;
            Ok(MaskedPicture { picture, marks })
        };
        match masks {
            Masks::Scene(scene) => scene.draw(),
            Masks::Voc(masks) => decoded(&|size| masks.read(size)),
            Masks::Coco(masks) => decoded(&|size| masks.read(path, size)),
            Masks::Pair(mask) => decoded(&|size| mask.read(size)),
        }
    }
}

/// The pixels of every number in a map but `without`, by number.
///
/// # Errors
/// [`Error::File`] naming `path` if these are too many to be objects.
fn by_value(
    values: &Array2<u16>,
    without: &[u16],
    path: &Path,
) -> Result<BTreeMap<u16, Array2<bool>>> {
    let mut numbers: Vec<u16> = values.iter().copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.retain(|number| !without.contains(number));
    if numbers.len() > MOST_OBJECTS {
        return Err(Error::file(
            path,
            format!("at most {MOST_OBJECTS} objects, each of a number of its own"),
            format!("{} numbers", numbers.len()),
            "if every number but 0 is one object, do not ask for one object a number",
        ));
    }
    let mask = |number| (number, values.mapv(|value| value == number));
    Ok(numbers.into_iter().map(mask).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rows of `#` and other characters.
    pub(crate) fn mask(rows: &[&str]) -> Array2<bool> {
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(y, x)| {
            rows[y].as_bytes()[x] == b'#'
        })
    }

    #[test]
    fn every_number_is_an_object_unless_they_are_too_many() {
        let values = ndarray::arr2(&[[0, 7, 255], [7, 2, 0]]);
        let found = by_value(&values, &[0, 255], Path::new("m.png")).unwrap();
        let expected = [(2, mask(&["...", ".#."])), (7, mask(&[".#.", "#.."]))];
        assert_eq!(found, BTreeMap::from(expected));
        let photograph = Array2::from_shape_fn((40, 26), |(y, x)| (26 * y + x) as u16);
        let error = by_value(&photograph, &[0], Path::new("m.png")).unwrap_err();
        assert!(error
            .line()
            .starts_with("m.png: wanted at most 1000 objects"));
    }
}
