//! Average precision as COCO defines it, of one class (`pycocotools/cocoeval.py`; CPAL 2024, table 1, prints it for
//! masks at 0.5, 0.75 and over ten thresholds). Without its crowd regions and its ranges of area.
//!
//! Masks of a cut have no score. With the same score for all, order decides: that of the images and, within one, that
//! of the rounds, since both sorts are stable.

use ndarray::{Array2, ArrayView2};

use super::overlap::intersection_over_union;
use crate::error::{Error, Result};

/// Detections of an image that count, those with the largest scores.
pub const MOST: usize = 100;

/// What was found in an image, and what there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// How sure each detection is, comparable over images.
    pub scores: Vec<f64>,
    /// Intersection over union of detections (rows) and objects (columns), of masks or of boxes.
    pub overlaps: Array2<f64>,
}

impl Detections {
    /// Of masks, with a score for each.
    ///
    /// # Shapes
    /// All masks (rows, columns).
    ///
    /// # Errors
    /// [`Error::Shape`] if masks differ in shape.
    pub fn of_masks(
        found: &[(f64, ArrayView2<'_, bool>)],
        objects: &[ArrayView2<'_, bool>],
    ) -> Result<Self> {
        Self::of(found, objects, |a, b| {
            intersection_over_union(a.view(), b.view())
        })
    }

    /// Of the boxes round masks, with a score for each.
    ///
    /// # Shapes
    /// All masks (rows, columns).
    ///
    /// # Errors
    /// [`Error::Domain`] if an object's mask is empty. An empty mask that was found overlaps with nothing.
    pub fn of_boxes(
        found: &[(f64, ArrayView2<'_, bool>)],
        objects: &[ArrayView2<'_, bool>],
    ) -> Result<Self> {
        Self::of(found, objects, |a, b| {
            let Some(object) = Rectangle::around(*b) else {
                return Err(Error::domain(
                    "object",
                    "a mask with something in it",
                    "an empty one",
                    "leave objects out that the image does not show",
                ));
            };
            Ok(Rectangle::around(*a).map_or(0.0, |found| found.intersection_over_union(&object)))
        })
    }

    fn of(
        found: &[(f64, ArrayView2<'_, bool>)],
        objects: &[ArrayView2<'_, bool>],
        overlap: impl Fn(&ArrayView2<'_, bool>, &ArrayView2<'_, bool>) -> Result<f64>,
    ) -> Result<Self> {
        let mut overlaps = Array2::zeros((found.len(), objects.len()));
        for (mut row, (_, mask)) in overlaps.outer_iter_mut().zip(found) {
            for (value, object) in row.iter_mut().zip(objects) {
                *value = overlap(mask, object)?;
            }
        }
        Ok(Self {
            scores: found.iter().map(|(score, _)| *score).collect(),
            overlaps,
        })
    }

    /// Score of each detection, by descending score, and whether it is right: greedily, the detection with the larger
    /// score first, each takes the object left with the largest overlap of at least `threshold`. Equal scores keep
    /// their order; of equal overlaps the later object is taken.
    fn matched(&self, threshold: f64) -> Vec<(f64, bool)> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]));
        let mut taken = vec![false; self.overlaps.ncols()];
        let ranked = order.into_iter().take(MOST).map(|detection| {
            // As there, an overlap of 1 passes a threshold of 1 whatever was rounded.
            let mut best = (threshold.min(1.0 - 1e-10), None);
            for (object, &overlap) in self.overlaps.row(detection).iter().enumerate() {
                if !taken[object] && overlap >= best.0 {
                    best = (overlap, Some(object));
                }
            }
            if let Some(object) = best.1 {
                taken[object] = true;
            }
            (self.scores[detection], best.1.is_some())
        });
        ranked.collect()
    }
}

/// A box: rows from `top` to before `bottom`, columns from `left` to before `right`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Row after the last.
    pub bottom: usize,
    /// Column after the last.
    pub right: usize,
}

impl Rectangle {
    /// The smallest that holds a mask; none for an empty one.
    pub fn around(mask: ArrayView2<'_, bool>) -> Option<Self> {
        let inside = mask.indexed_iter().filter(|(_, &inside)| inside);
        inside.fold(None, |found: Option<Self>, ((y, x), _)| {
            let old = found.unwrap_or(Self {
                top: y,
                left: x,
                bottom: y,
                right: x,
            });
            Some(Self {
                top: old.top.min(y),
                left: old.left.min(x),
                bottom: old.bottom.max(y + 1),
                right: old.right.max(x + 1),
            })
        })
    }

    /// Area of what both have over area of what either has.
    pub fn intersection_over_union(&self, other: &Self) -> f64 {
        let height = self
            .bottom
            .min(other.bottom)
            .saturating_sub(self.top.max(other.top));
        let width = self
            .right
            .min(other.right)
            .saturating_sub(self.left.max(other.left));
        let both = height * width;
        both as f64 / (self.area() + other.area() - both) as f64
    }

    fn area(&self) -> usize {
        (self.bottom - self.top) * (self.right - self.left)
    }
}

/// Average precision at one threshold of overlap: the mean over the recalls `r = 0, 0.01, ..., 1` of the largest
/// precision at a recall of at least `r`, 0 where none is reached. Precision and recall are those of the first `m`
/// detections by score over all images, for every `m`; images in their order where scores are equal.
///
/// # Errors
/// [`Error::Domain`] if there is no object in any image, a score is not a number, or an overlap is not in [0, 1];
/// [`Error::Shape`] if an image has not as many scores as detections.
pub fn average_precision(images: &[Detections], threshold: f64) -> Result<f64> {
    let objects = check(images)?;
    let mut ranked: Vec<(f64, bool)> = images
        .iter()
        .flat_map(|image| image.matched(threshold))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = 0usize;
    // Recall and precision of the first m.
    let mut curve: Vec<(f64, f64)> = Vec::with_capacity(ranked.len());
    for (count, (_, hit)) in ranked.iter().enumerate() {
        right += usize::from(*hit);
        curve.push((
            right as f64 / objects as f64,
            right as f64 / (count + 1) as f64,
        ));
    }
    let mut largest = 0.0f64;
    for (_, precision) in curve.iter_mut().rev() {
        largest = largest.max(*precision);
        *precision = largest;
    }
    let at = |step: usize| {
        // As numpy spaces them: a multiple of 0.01, which now and then is not the double nearest to the hundredth.
        let recall = step as f64 * 0.01;
        let first = curve.partition_point(|(reached, _)| *reached < recall);
        curve.get(first).map_or(0.0, |(_, precision)| *precision)
    };
    Ok((0..=100).map(at).sum::<f64>() / 101.0)
}

/// COCO's AP: the mean of [`average_precision`] over the thresholds 0.5, 0.55, ..., 0.95.
///
/// # Errors
/// [`Error::Domain`] if there is no object in any image, a score is not a number, or an overlap is not in [0, 1];
/// [`Error::Shape`] if an image has not as many scores as detections.
pub fn mean_average_precision(images: &[Detections]) -> Result<f64> {
    let at = |step: u8| average_precision(images, 0.5 + 0.05 * f64::from(step));
    let values = (0..10).map(at).collect::<Result<Vec<_>>>()?;
    Ok(values.iter().sum::<f64>() / 10.0)
}

/// The number of objects in all images.
fn check(images: &[Detections]) -> Result<usize> {
    for (number, image) in images.iter().enumerate() {
        if image.scores.len() != image.overlaps.nrows() {
            return Err(Error::shape(
                format!("scores of image {number}"),
                format!("({},)", image.overlaps.nrows()),
                format!("({},)", image.scores.len()),
                "give every detection a score",
            ));
        }
        let score = image.scores.iter().find(|score| score.is_nan());
        let overlap = image.overlaps.iter().find(|v| !(0.0..=1.0).contains(*v));
        if let Some(value) = score.or(overlap) {
            return Err(Error::domain(
                format!("image {number}"),
                "scores that are numbers, and overlaps from 0 to 1",
                value.to_string(),
                "leave out empty masks; give masks without a score the score 1",
            ));
        }
    }
    match images.iter().map(|image| image.overlaps.ncols()).sum() {
        0 => Err(Error::domain(
            "objects",
            "one at least",
            "none in any image",
            "measure images with objects",
        )),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, Array2};

    fn image(scores: &[f64], overlaps: Array2<f64>) -> Detections {
        Detections {
            scores: scores.to_vec(),
            overlaps,
        }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }

    #[test]
    fn perfect_masks_have_precision_one() {
        let images = [
            image(&[1.0, 1.0], arr2(&[[1.0, 0.0], [0.0, 1.0]])),
            image(&[1.0], arr2(&[[1.0]])),
        ];
        near(average_precision(&images, 0.5).unwrap(), 1.0);
        near(mean_average_precision(&images).unwrap(), 1.0);
    }

    #[test]
    fn one_of_two_found_is_51_of_101_recalls() {
        let half = [image(&[1.0], arr2(&[[0.8, 0.0]]))];
        near(average_precision(&half, 0.5).unwrap(), 51.0 / 101.0);
        near(average_precision(&half, 0.75).unwrap(), 51.0 / 101.0);
        // .8 passes .5, .55, ..., .8 but for rounding of the last: six or seven of ten thresholds.
        let mean = mean_average_precision(&half).unwrap() * 101.0 / 51.0;
        assert!((0.6 - 1e-12..0.7 + 1e-12).contains(&mean), "{mean}");
        near(average_precision(&half, 0.85).unwrap(), 0.0);
        let nothing = [image(&[], Array2::zeros((0, 2)))];
        near(average_precision(&nothing, 0.5).unwrap(), 0.0);
    }

    #[test]
    fn a_duplicate_is_wrong_and_its_place_counts() {
        // The second detection of the first object is wrong, then the second object is found: precisions 1, 1/2, 2/3
        // at recalls 1/2, 1/2, 1; from the right 1, 2/3, 2/3. 51 recalls up to 1/2, 50 beyond.
        let overlaps = arr2(&[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7]]);
        let images = [image(&[0.9, 0.8, 0.7], overlaps.clone())];
        let expected = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
        near(average_precision(&images, 0.5).unwrap(), expected);
        // Last, it costs nothing: all recalls are reached before.
        let images = [image(&[0.9, 0.6, 0.7], overlaps.clone())];
        near(average_precision(&images, 0.5).unwrap(), 1.0);
        // First, it takes the object, and what covers that better is the duplicate.
        let images = [image(&[0.8, 0.9, 0.7], overlaps)];
        near(average_precision(&images, 0.5).unwrap(), expected);
    }

    #[test]
    fn a_wrong_detection_before_a_right_one_halves_the_precision() {
        // Over images: the wrong one of the second image has the larger score.
        let images = [
            image(&[0.5], arr2(&[[0.9]])),
            image(&[0.8], Array2::zeros((1, 0))),
        ];
        near(average_precision(&images, 0.5).unwrap(), 0.5);
        // With equal scores the first image comes first.
        let equal = [
            image(&[1.0], arr2(&[[0.9]])),
            image(&[1.0], Array2::zeros((1, 0))),
        ];
        near(average_precision(&equal, 0.5).unwrap(), 1.0);
        let turned = [equal[1].clone(), equal[0].clone()];
        near(average_precision(&turned, 0.5).unwrap(), 0.5);
    }

    #[test]
    fn the_surer_detection_takes_what_overlaps_most() {
        // The first prefers the second object (.7 over .6) and leaves the first to the other.
        let images = [image(&[0.9, 0.8], arr2(&[[0.6, 0.7], [0.55, 0.9]]))];
        near(average_precision(&images, 0.5).unwrap(), 1.0);
        // At .65 the other finds nothing left.
        near(average_precision(&images, 0.65).unwrap(), 51.0 / 101.0);
    }

    #[test]
    fn a_hundred_detections_count() {
        let mut overlaps = Array2::zeros((101, 1));
        overlaps[[100, 0]] = 1.0;
        let images = [image(&[1.0; 101], overlaps)];
        near(average_precision(&images, 0.5).unwrap(), 0.0);
    }

    #[test]
    fn masks_and_their_boxes_overlap_by_what_they_share() {
        let found = arr2(&[[true, false, false], [true, true, false]]);
        let object = arr2(&[[false, true, false], [false, true, false]]);
        let both = [(1.0, found.view())];
        let masks = Detections::of_masks(&both, &[object.view()]).unwrap();
        assert_eq!(masks.overlaps, arr2(&[[0.25]]));
        // A box of two by two against one of two by one.
        let boxes = Detections::of_boxes(&both, &[object.view()]).unwrap();
        assert_eq!(boxes.overlaps, arr2(&[[0.5]]));
        let empty = Array2::from_elem((2, 3), false);
        let none = Detections::of_boxes(&[(1.0, empty.view())], &[object.view()]).unwrap();
        assert_eq!(none.overlaps, arr2(&[[0.0]]));
        assert!(Detections::of_boxes(&both, &[empty.view()]).is_err());
        assert_eq!(Rectangle::around(empty.view()), None);
    }

    #[test]
    fn what_has_no_average_precision_is_refused() {
        let wrong = [
            image(&[1.0], Array2::zeros((1, 0))),
            image(&[], arr2(&[[1.0]])),
            image(&[f64::NAN], arr2(&[[1.0]])),
            image(&[1.0], arr2(&[[f64::NAN]])),
        ];
        for image in wrong {
            assert!(average_precision(&[image], 0.5).is_err());
        }
        assert!(average_precision(&[], 0.5).is_err());
    }
}
