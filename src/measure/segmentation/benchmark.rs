//! What masks of patches are worth on pictures whose objects are known, as CPAL 2024 measures it (C-SEG-01, C-SEG-02): mean
//! intersection over union of the masks of heads, average precision of masks that were found. Masks are enlarged to the
//! picture, pixel by pixel the value of the patch that the pixel's middle lies in; objects stay as they are, so that none
//! is too small to be there.
//!
//! Pixels that nobody labelled count for nothing: they are taken off the masks. A found mask that loses half of its pixels
//! by that, or more, is no detection. (pycocotools leaves one out that lies in a crowd by the share that it is to overlap
//! by, and takes nothing off the others.)

use ndarray::{stack, Array2, Array3, ArrayView2, Axis};

use super::average_precision::{average_precision, mean_average_precision, Detections};
use super::layer_scores::SHARE;
use super::overlap::{
    best_head_per_class, best_head_per_object, head_of_other_half, mean_over_heads,
    object_overlaps, ObjectOverlaps,
};
use super::{other_half, threshold};
use crate::data::masked::Marks;
use crate::error::{Error, Result};

/// Masks on the patches of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Of each head, by mass, [`SHARE`] of it (K, rows, columns).
    pub mass: Array3<bool>,
    /// Of each head, by area, [`SHARE`] of the patches (K, rows, columns).
    pub area: Array3<bool>,
    /// Of objects, none empty; all are equally sure.
    pub found: Vec<Array2<bool>>,
}

impl Predictions {
    /// Of the maps of heads, and of masks that were found, of which empty ones are left out.
    ///
    /// # Shapes
    /// maps (K, rows, columns).
    ///
    /// # Errors
    /// [`Error::Domain`] if a map is no mass; [`Error::Shape`] if there is none.
    pub fn of_maps(maps: &Array3<f64>, found: Vec<Array2<bool>>) -> Result<Self> {
        Ok(Self {
            mass: of_each(maps, |map| threshold::mass(map, SHARE))?,
            area: of_each(maps, |map| threshold::area(map, SHARE))?,
            found: found.into_iter().filter(any).collect(),
        })
    }

    /// The same mask in the place of all.
    pub fn of_mask(mask: Array2<bool>) -> Self {
        let one = mask.clone().insert_axis(Axis(0));
        Self {
            mass: one.clone(),
            area: one,
            found: vec![mask],
        }
    }

    /// Held against the objects of the picture.
    ///
    /// # Errors
    /// [`Error::Shape`] if objects differ in size.
    pub fn against(&self, marks: &Marks) -> Result<Compared> {
        let size = marks.ignored.dim();
        let shown = |mask: ArrayView2<'_, bool>| {
            let mut shown = enlarged_to(mask, size);
            shown.zip_mut_with(&marks.ignored, |inside, &ignored| *inside &= !ignored);
            shown
        };
        let objects: Vec<(usize, ArrayView2<'_, bool>)> = marks
            .objects
            .iter()
            .map(|object| (object.class, object.mask.view()))
            .collect();
        let overlaps = |masks: &Array3<bool>| {
            let masks = masks.outer_iter().map(shown);
            object_overlaps(stacked(&masks.collect::<Vec<_>>())?.view(), &objects)
        };
        let found: Vec<Array2<bool>> = self
            .found
            .iter()
            .filter_map(|mask| {
                let (whole, left) = (enlarged_to(mask.view(), size), shown(mask.view()));
                (2 * count(&left) > count(&whole)).then_some(left)
            })
            .collect();
        let found: Vec<(f64, ArrayView2<'_, bool>)> =
            found.iter().map(|mask| (1.0, mask.view())).collect();
        let objects: Vec<ArrayView2<'_, bool>> = objects.iter().map(|(_, mask)| *mask).collect();
        Ok(Compared {
            mass: overlaps(&self.mass)?,
            area: overlaps(&self.area)?,
            masks: Detections::of_masks(&found, &objects)?,
            boxes: Detections::of_boxes(&found, &objects)?,
        })
    }
}

/// What the masks of one picture have of its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The masks by mass; none if the picture has no object.
    pub mass: Vec<ObjectOverlaps>,
    /// The masks by area.
    pub area: Vec<ObjectOverlaps>,
    /// The masks that were found.
    pub masks: Detections,
    /// The boxes round them.
    pub boxes: Detections,
}

/// By picture with an object, in their order: the mean over its objects of the intersection over union with a head's mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Heads {
    /// See [`best_head_per_object`].
    pub per_object: Vec<f64>,
    /// See [`best_head_per_class`].
    pub per_class: Vec<f64>,
    /// See [`head_of_other_half`].
    pub other_half: Vec<f64>,
    /// See [`mean_over_heads`].
    pub all: Vec<f64>,
}

impl Heads {
    fn of(pictures: &[Vec<ObjectOverlaps>], seed: u64) -> Result<Self> {
        let halves = other_half::halves(pictures.len(), seed);
        Ok(Self {
            per_object: best_head_per_object(pictures)?,
            per_class: best_head_per_class(pictures)?,
            other_half: head_of_other_half(pictures, &halves)?.images,
            all: mean_over_heads(pictures)?,
        })
    }
}

/// Average precision at an overlap of 0.5 and of 0.75, and over the ten thresholds of COCO.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precision {
    /// AP50.
    pub half: f64,
    /// AP75.
    pub three_quarters: f64,
    /// AP.
    pub mean: f64,
}

impl Precision {
    fn of(pictures: &[Detections]) -> Result<Self> {
        Ok(Self {
            half: average_precision(pictures, 0.5)?,
            three_quarters: average_precision(pictures, 0.75)?,
            mean: mean_average_precision(pictures)?,
        })
    }
}

/// What masks are worth on all pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Of the masks by mass.
    pub mass: Heads,
    /// Of the masks by area.
    pub area: Heads,
    /// Of the masks that were found.
    pub masks: Precision,
    /// Of the boxes round them.
    pub boxes: Precision,
}

impl Scores {
    /// Of all pictures, those without an object too: what was found there is wrong. The halves are drawn by the seed.
    ///
    /// # Errors
    /// [`Error::Domain`] if fewer than two pictures have an object.
    pub fn of(pictures: &[Compared], seed: u64) -> Result<Self> {
        let heads = |of: fn(&Compared) -> &Vec<ObjectOverlaps>| {
            let shown = pictures.iter().map(of).filter(|own| !own.is_empty());
            Heads::of(&shown.cloned().collect::<Vec<_>>(), seed)
        };
        let precision = |of: fn(&Compared) -> &Detections| {
            Precision::of(&pictures.iter().map(of).cloned().collect::<Vec<_>>())
        };
        Ok(Self {
            mass: heads(|picture| &picture.mass)?,
            area: heads(|picture| &picture.area)?,
            masks: precision(|picture| &picture.masks)?,
            boxes: precision(|picture| &picture.boxes)?,
        })
    }
}

/// A mask of patches as one of the pixels of a picture, of whatever size: pixel `(y, x)` has the value of the patch that
/// its middle lies in when the grid is stretched over the picture.
///
/// # Shapes
/// mask (rows, columns); gives `size`, (height, width).
pub fn enlarged_to(mask: ArrayView2<'_, bool>, (height, width): (usize, usize)) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    let patch =
        |pixel: usize, pixels: usize, patches: usize| (2 * pixel + 1) * patches / (2 * pixels);
    Array2::from_shape_fn((height, width), |(y, x)| {
        mask[[patch(y, height, rows), patch(x, width, columns)]]
    })
}

/// `mask_of` every map.
fn of_each(
    maps: &Array3<f64>,
    mask_of: impl Fn(ArrayView2<'_, f64>) -> Result<Array2<bool>>,
) -> Result<Array3<bool>> {
    let masks = maps.outer_iter().map(mask_of);
    stacked(&masks.collect::<Result<Vec<_>>>()?)
}

fn stacked(masks: &[Array2<bool>]) -> Result<Array3<bool>> {
    let views: Vec<ArrayView2<'_, bool>> = masks.iter().map(|mask| mask.view()).collect();
    stack(Axis(0), &views).map_err(|e| Error::misfit("masks of heads", masks.len(), &e))
}

fn count(mask: &Array2<bool>) -> usize {
    mask.iter().filter(|&&inside| inside).count()
}

fn any(mask: &Array2<bool>) -> bool {
    count(mask) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::masked::Object;
    use ndarray::{arr2, arr3};

    fn rows(of: &[&str]) -> Array2<bool> {
        Array2::from_shape_fn((of.len(), of[0].len()), |(y, x)| {
            of[y].as_bytes()[x] == b'#'
        })
    }

    fn marks(objects: &[(usize, &[&str])], ignored: &[&str]) -> Marks {
        let objects = objects.iter().map(|(class, mask)| Object {
            class: *class,
            mask: rows(mask),
        });
        Marks {
            objects: objects.collect(),
            ignored: rows(ignored),
            empty: 0,
        }
    }

    #[test]
    fn patches_are_stretched_over_the_picture() {
        let mask = arr2(&[[true, false], [false, true]]);
        assert_eq!(enlarged_to(mask.view(), (2, 2)), mask);
        // The middle of the third of five pixels is that of the picture, where the second patch begins.
        let expected = rows(&["##...", "..###", "..###"]);
        assert_eq!(enlarged_to(mask.view(), (3, 5)), expected);
        // Smaller than the grid: every pixel is where it is.
        let fine = arr2(&[[true, false, true, true]]);
        assert_eq!(enlarged_to(fine.view(), (1, 2)), arr2(&[[false, true]]));
        let whole = super::super::threshold::enlarged(mask.view(), 3);
        assert_eq!(enlarged_to(mask.view(), (6, 6)), whole);
    }

    #[test]
    fn heads_and_found_masks_meet_the_objects_at_the_size_of_the_picture() {
        // Two heads on 2 x 2 patches, over 2 x 4 pixels. By mass, .6 of 1 is one patch of .7, or .35 and .3.
        let maps = arr3(&[[[0.7, 0.1], [0.1, 0.1]], [[0.1, 0.25], [0.3, 0.35]]]);
        let found = vec![
            rows(&["#.", ".."]),
            rows(&["..", ".."]),
            rows(&[".#", ".#"]),
        ];
        let predictions = Predictions::of_maps(&maps, found).unwrap();
        assert_eq!(predictions.found.len(), 2);
        let of_head = |masks: &Array3<bool>, head| masks.index_axis(Axis(0), head).to_owned();
        assert_eq!(of_head(&predictions.mass, 0), rows(&["#.", ".."]));
        assert_eq!(of_head(&predictions.mass, 1), rows(&["..", "##"]));
        // round(.6 4) = 2; of equal patches the later.
        assert_eq!(of_head(&predictions.area, 0), rows(&["#.", ".#"]));
        assert_eq!(of_head(&predictions.area, 1), rows(&["..", "##"]));
        let one = marks(&[(4, &["##..", "#..."])], &["....", "...."]);
        let compared = predictions.against(&one).unwrap();
        assert_eq!(compared.mass[0].class, 4);
        // Pixels: both 2 of 3; both 1 of 6. By area: 2 of 5; 1 of 6.
        assert_eq!(compared.mass[0].heads, [2.0 / 3.0, 1.0 / 6.0]);
        assert_eq!(compared.area[0].heads, [2.0 / 5.0, 1.0 / 6.0]);
        assert_eq!(compared.masks.overlaps, arr2(&[[2.0 / 3.0], [0.0]]));
        // Boxes of 1 x 2 and of 2 x 2 pixels; the other is beside it.
        assert_eq!(compared.boxes.overlaps, arr2(&[[0.5], [0.0]]));
    }

    #[test]
    fn pixels_that_nobody_labelled_count_for_nothing() {
        let predictions = Predictions::of_mask(rows(&["##"]));
        // Six pixels, of which two are ignored: four are left, of which the object is one.
        let few = marks(&[(0, &["#..", "..."])], &["..#", "..#"]);
        let compared = predictions.against(&few).unwrap();
        assert_eq!(compared.mass[0].heads, [0.25]);
        assert_eq!(compared.masks.overlaps, arr2(&[[0.25]]));
        // Half of the pixels: no detection.
        let half = marks(&[(0, &["#..", "..."])], &[".##", "..#"]);
        let compared = predictions.against(&half).unwrap();
        assert_eq!(compared.mass[0].heads, [1.0 / 3.0]);
        assert_eq!(compared.masks.overlaps.dim(), (0, 1));
    }

    #[test]
    fn pictures_without_objects_count_where_something_is_found() {
        let everything = Predictions::of_mask(rows(&["##", "##"]));
        let left = marks(&[(0, &["#...", "#..."])], &["....", "...."]);
        let all = marks(&[(1, &["####", "####"])], &["....", "...."]);
        let none = marks(&[], &["....", "...."]);
        let compared = |of: &[&Marks]| -> Vec<Compared> {
            of.iter()
                .map(|marks| everything.against(marks).unwrap())
                .collect()
        };
        let scores = Scores::of(&compared(&[&left, &none, &all]), 1).unwrap();
        assert_eq!(scores.mass.per_object, [0.25, 1.0]);
        assert_eq!(scores.area, scores.mass);
        assert_eq!(scores.mass.other_half, scores.mass.all);
        // In turn wrong, wrong, right: precision 1/3 up to a recall of 1/2, which is 51 of 101.
        let expected = 51.0 / 101.0 / 3.0;
        for value in [
            scores.masks.half,
            scores.masks.three_quarters,
            scores.boxes.mean,
        ] {
            assert!((value - expected).abs() < 1e-14, "{value}");
        }
        // First, it is right before anything is wrong.
        let first = Scores::of(&compared(&[&all, &none, &left]), 1).unwrap();
        assert!((first.masks.mean - 51.0 / 101.0).abs() < 1e-14);
        assert!(Scores::of(&compared(&[&all, &none]), 1).is_err());
    }
}
