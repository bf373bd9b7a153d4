//! How well masks cover objects, and the choice of the head whose masks are taken. Means are over the objects of an
//! image first and over images then (DINO's protocol as its author gave it, facebookresearch/dino issue 54). A best head
//! is an oracle's choice: of six smooth random maps the best one too is far better than their mean.

use std::collections::BTreeMap;

use ndarray::{ArrayView, ArrayView2, ArrayView3, Dimension};

use super::other_half;
use crate::error::{Error, Result};

/// Intersection over union `|A and B| / |A or B|`, from 0 to 1; NaN if both are empty.
///
/// # Shapes
/// Both the same, of patches or pixels.
///
/// # Errors
/// [`Error::Shape`] if they differ.
pub fn intersection_over_union<D: Dimension>(
    a: ArrayView<'_, bool, D>,
    b: ArrayView<'_, bool, D>,
) -> Result<f64> {
    if a.shape() != b.shape() {
        return Err(Error::shape(
            "mask",
            format!("{:?}", a.shape()),
            format!("{:?}", b.shape()),
            "bring both masks to patches, or both to pixels",
        ));
    }
    let (mut both, mut either) = (0usize, 0usize);
    for (&a, &b) in a.iter().zip(&b) {
        both += usize::from(a && b);
        either += usize::from(a || b);
    }
    Ok(both as f64 / either as f64)
}

/// An object of an image, and what every head's mask has of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectOverlaps {
    /// Its class, from 0.
    pub class: usize,
    /// Intersection over union of each head's mask with the object's.
    pub heads: Vec<f64>,
}

/// The overlap of each head's mask with each object of one image. Where objects of a class are not told apart, as in
/// the semantic masks of VOC, all of a class are one object.
///
/// # Shapes
/// masks (K, rows, columns), objects (rows, columns) each with its class.
///
/// # Errors
/// [`Error::Shape`] if an object's mask has another shape, [`Error::Domain`] if it is empty.
pub fn object_overlaps(
    masks: ArrayView3<'_, bool>,
    objects: &[(usize, ArrayView2<'_, bool>)],
) -> Result<Vec<ObjectOverlaps>> {
    let of = |(number, (class, object)): (usize, &(usize, ArrayView2<'_, bool>))| {
        if !object.iter().any(|&inside| inside) {
            return Err(Error::domain(
                format!("object {number}"),
                "a mask with something in it",
                "an empty one",
                "leave objects out that the image does not show",
            ));
        }
        let heads = masks.outer_iter();
        let heads = heads.map(|mask| intersection_over_union(mask, object.view()));
        Ok(ObjectOverlaps {
            class: *class,
            heads: heads.collect::<Result<_>>()?,
        })
    };
    objects.iter().enumerate().map(of).collect()
}

/// By image, the mean over its objects of the overlap with the head that covers each of them best (DINO): an oracle
/// that may take another head for every object.
///
/// # Errors
/// [`Error::Shape`] if objects have different numbers of heads, or none; [`Error::Domain`] if an image has no object.
pub fn best_head_per_object(images: &[Vec<ObjectOverlaps>]) -> Result<Vec<f64>> {
    check(images)?;
    let best = |object: &ObjectOverlaps| object.heads.iter().copied().fold(0.0, f64::max);
    Ok(over_objects(images, best))
}

/// By image, the mean over its objects with **one head per class** for all images: for class `c` the head with the
/// largest mean over all objects of class `c` (CPAL 2024, "best head per class", read thus: its code is not public).
/// An oracle too, with fewer choices. Of equal heads the first.
///
/// # Errors
/// [`Error::Shape`] if objects have different numbers of heads, or none; [`Error::Domain`] if an image has no object.
pub fn best_head_per_class(images: &[Vec<ObjectOverlaps>]) -> Result<Vec<f64>> {
    let heads = check(images)?;
    let mut sums = BTreeMap::<usize, Vec<f64>>::new();
    for object in images.iter().flatten() {
        let own = sums.entry(object.class).or_insert_with(|| vec![0.0; heads]);
        for (sum, overlap) in own.iter_mut().zip(&object.heads) {
            *sum += overlap;
        }
    }
    let chosen: BTreeMap<usize, usize> = sums
        .into_iter()
        .map(|(class, sums)| (class, largest(&sums)))
        .collect();
    Ok(over_objects(images, |object| {
        object.heads[chosen[&object.class]]
    }))
}

/// By image, the mean over its objects and over all heads: what a head taken blindly covers.
///
/// # Errors
/// [`Error::Shape`] if objects have different numbers of heads, or none; [`Error::Domain`] if an image has no object.
pub fn mean_over_heads(images: &[Vec<ObjectOverlaps>]) -> Result<Vec<f64>> {
    let heads = check(images)? as f64;
    Ok(over_objects(images, |object| {
        object.heads.iter().sum::<f64>() / heads
    }))
}

/// One head for all objects, chosen without seeing the image it is measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenHead {
    /// The head that images of the first half (`false`) and of the second (`true`) are measured with.
    pub heads: [usize; 2],
    /// By image, the mean over its objects.
    pub images: Vec<f64>,
}

/// By image, the mean over its objects with one head: that with the largest mean over the images of the **other** half.
/// No oracle, so that heads that differ by chance gain nothing. `second` says which half an image is in, as
/// [`other_half::halves`] draws it. Of equal heads the first.
///
/// # Errors
/// [`Error::Shape`] if `second` has not one entry per image, or objects have different numbers of heads, or none;
/// [`Error::Domain`] if an image has no object, or a half no image.
pub fn head_of_other_half(images: &[Vec<ObjectOverlaps>], second: &[bool]) -> Result<ChosenHead> {
    let heads = check(images)?;
    let others = other_half::others(second, images.len())?;
    let by_head: Vec<Vec<f64>> = (0..heads)
        .map(|head| over_objects(images, |object| object.heads[head]))
        .collect();
    let chosen = others.map(|other| {
        let sum = |of: &Vec<f64>| other.iter().map(|&image| of[image]).sum();
        largest(&by_head.iter().map(sum).collect::<Vec<f64>>())
    });
    let images = second.iter().enumerate();
    Ok(ChosenHead {
        heads: chosen,
        images: images
            .map(|(image, &half)| by_head[chosen[usize::from(half)]][image])
            .collect(),
    })
}

/// The number of heads, the same everywhere.
fn check(images: &[Vec<ObjectOverlaps>]) -> Result<usize> {
    if let Some(image) = images.iter().position(Vec::is_empty) {
        return Err(Error::domain(
            format!("image {image}"),
            "an object at least",
            "none",
            "leave out images without objects: there is nothing to cover",
        ));
    }
    let mut counts = images.iter().flatten().map(|object| object.heads.len());
    let Some(heads) = counts.next() else {
        return Err(Error::domain(
            "images",
            "one at least",
            "none",
            "measure some images",
        ));
    };
    match counts
        .find(|&other| other != heads)
        .or((heads == 0).then_some(0))
    {
        None => Ok(heads),
        Some(other) => Err(Error::shape(
            "heads of an object",
            format!("({},)", heads.max(1)),
            format!("({other},)"),
            "measure all images with the same heads",
        )),
    }
}

/// By image, the mean of `value` over objects.
fn over_objects(
    images: &[Vec<ObjectOverlaps>],
    value: impl Fn(&ObjectOverlaps) -> f64,
) -> Vec<f64> {
    let mean = |objects: &Vec<ObjectOverlaps>| {
        objects.iter().map(&value).sum::<f64>() / objects.len() as f64
    };
    images.iter().map(mean).collect()
}

/// The place of the largest number; the first of equal ones.
fn largest(values: &[f64]) -> usize {
    let better = |best: usize, (place, value): (usize, &f64)| match *value > values[best] {
        true => place,
        false => best,
    };
    values.iter().enumerate().fold(0, better)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, arr2, array};

    fn object(class: usize, heads: &[f64]) -> ObjectOverlaps {
        ObjectOverlaps {
            class,
            heads: heads.to_vec(),
        }
    }

    #[test]
    fn overlap_is_what_both_have_of_what_either_has() {
        let a = arr1(&[true, true, false, false]);
        let b = arr1(&[false, true, true, false]);
        let of = |a: &ndarray::Array1<bool>, b: &ndarray::Array1<bool>| {
            intersection_over_union(a.view(), b.view()).unwrap()
        };
        assert_eq!(of(&a, &b), 1.0 / 3.0);
        assert_eq!(of(&a, &a), 1.0);
        assert_eq!(of(&a, &arr1(&[false, false, true, true])), 0.0);
        assert!(of(&arr1(&[false; 4]), &arr1(&[false; 4])).is_nan());
        let shorter = arr1(&[true]);
        assert!(intersection_over_union(a.view(), shorter.view()).is_err());
    }

    #[test]
    fn every_object_meets_every_head() {
        let masks = array![[[true, true]], [[false, true]]];
        let left = arr2(&[[true, false]]);
        let right = arr2(&[[false, true]]);
        let found = object_overlaps(masks.view(), &[(3, left.view()), (0, right.view())]).unwrap();
        assert_eq!(found, [object(3, &[0.5, 0.0]), object(0, &[0.5, 1.0])]);
        let nothing = arr2(&[[false, false]]);
        assert!(object_overlaps(masks.view(), &[(0, nothing.view())]).is_err());
        let larger = arr2(&[[true, true, true]]);
        assert!(object_overlaps(masks.view(), &[(0, larger.view())]).is_err());
    }

    /// Two images, two classes, three heads. Head 0 is best for class 0 as a whole, though not for its second object.
    fn two_images() -> Vec<Vec<ObjectOverlaps>> {
        vec![
            vec![object(0, &[0.75, 0.5, 0.0]), object(1, &[0.0, 0.25, 0.5])],
            vec![object(0, &[0.25, 0.375, 0.125])],
        ]
    }

    #[test]
    fn means_are_over_objects_first_and_images_then() {
        let images = two_images();
        assert_eq!(best_head_per_object(&images).unwrap(), [0.625, 0.375]);
        assert_eq!(best_head_per_class(&images).unwrap(), [0.625, 0.25]);
        let mean = mean_over_heads(&images).unwrap();
        assert!((mean[0] - 2.0 / 6.0).abs() < 1e-15 && (mean[1] - 0.25).abs() < 1e-15);
    }

    #[test]
    fn a_head_is_chosen_by_the_images_that_it_is_not_measured_on() {
        // The second image prefers head 1, the first one head 0 (.375 against .375: the first of equals).
        let chosen = head_of_other_half(&two_images(), &[false, true]).unwrap();
        assert_eq!(chosen.heads, [1, 0]);
        assert_eq!(chosen.images, [0.375, 0.25]);
        assert!(head_of_other_half(&two_images(), &[true, true]).is_err());
        assert!(head_of_other_half(&two_images(), &[true]).is_err());
    }

    #[test]
    fn an_oracle_gains_by_chance_and_the_other_half_does_not() {
        use crate::seed;
        use rand::Rng;
        let mut rng = seed::stream(1, "overlaps");
        let mut draw = || object(0, &[(); 6].map(|()| rng.gen_range(0.0..1.0)));
        let images: Vec<_> = (0..400).map(|_| vec![draw()]).collect();
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let oracle = mean(best_head_per_object(&images).unwrap());
        let halves = other_half::halves(images.len(), 1);
        let chosen = mean(head_of_other_half(&images, &halves).unwrap().images);
        // The largest of six uniform numbers is 6/7 on average; 1/2 to four standard errors of .289 / 20.
        assert!((oracle - 6.0 / 7.0).abs() < 0.03, "{oracle}");
        assert!((chosen - 0.5).abs() < 0.06, "{chosen}");
    }

    #[test]
    fn images_without_objects_or_with_other_heads_are_refused() {
        for wrong in [
            vec![],
            vec![vec![]],
            vec![vec![object(0, &[])]],
            vec![vec![object(0, &[0.1])], vec![object(0, &[0.1, 0.2])]],
        ] {
            assert!(best_head_per_object(&wrong).is_err());
        }
    }
}
