//! What the maps, keys and tokens of a layer are worth over several pictures with one object each, by every rule of this
//! folder; and the same maps on other pictures, which shows what smoothness, a taste for the middle and the choice of a head
//! are worth by themselves.

use ndarray::{concatenate, Array1, Array2, Array3, ArrayView2, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::components::{area_under_curve, foreground_ranking, Components, Reading};
use super::head_maps::HeadMaps;
use super::mask_cut::{Foreground, MaskCut, Rejection};
use super::overlap::{
    best_head_per_object, head_of_other_half, intersection_over_union, mean_over_heads,
    object_overlaps, ObjectOverlaps,
};
use super::threshold::{all_enlarged, area, enlarged, mass};
use crate::error::{Error, Result};

/// The share of mass or area that masks keep.
pub const SHARE: f64 = 0.6;

/// The cut of CPAL 2024, of which the first mask is taken.
const FIRST_CUT: MaskCut = MaskCut {
    tau: 0.15,
    rounds: 1,
    foreground: Foreground::SeedSideUnlessCorners,
    rejection: Rejection::Ends,
};

/// What is known of the pictures.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// The object of each, (height, width).
    pub masks: &'a [Array2<bool>],
    /// Which half each is in, see [`super::other_half::halves`].
    pub second: &'a [bool],
    /// Pixels a side of a patch.
    pub patch: usize,
}

/// A layer, mean over pictures. Overlaps are intersections over unions on pixels, areas are those under the curve of the
/// receiver.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerScores {
    /// Overlap of the mask that holds [`SHARE`] of the mass, of the head that is best on the other half.
    pub chosen: f64,
    /// Of the head that is best for the object: an oracle.
    pub best: f64,
    /// Mean over heads.
    pub mean: f64,
    /// [`Self::chosen`] with the maps of the next picture.
    pub chosen_elsewhere: f64,
    /// [`Self::best`] with the maps of the next picture.
    pub best_elsewhere: f64,
    /// [`Self::chosen`] with masks of [`SHARE`] of the patches.
    pub chosen_by_area: f64,
    /// [`Self::best`] with masks of [`SHARE`] of the patches.
    pub best_by_area: f64,
    /// How well the map ranks the object, without any threshold; head chosen on the other half.
    pub ranking: f64,
    /// Overlap of the first mask that MaskCut makes of the keys.
    pub cut: f64,
    /// How well the first component of the keys ranks the object; sign chosen on the other half.
    pub keys_component: f64,
    /// The same by its size.
    pub keys_component_size: f64,
    /// The same of the tokens after the layer, by the component itself.
    pub tokens_component: f64,
}

/// The overlaps of all heads of a layer with the object of each picture, by mass.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOverlaps {
    own: Vec<Vec<ObjectOverlaps>>,
    elsewhere: Vec<Vec<ObjectOverlaps>>,
}

/// What a layer shows of the pictures, in their order, held against their objects.
///
/// # Errors
/// [`Error::Shape`] if there is not one picture shown for each mask, or shapes do not fit; [`Error::Domain`] if an object is
/// empty or everything, a half has no picture, or a number is not finite; [`Error::Lapack`] if a decomposition fails.
pub fn of_layer(shown: &[HeadMaps], truth: &Truth<'_>) -> Result<(LayerScores, LayerOverlaps)> {
    check(shown.len(), truth)?;
    let here = || shown.iter().map(|own| own.maps.view());
    let next = || here().cycle().skip(1).take(shown.len());
    let by_mass = |map: ArrayView2<'_, f64>| mass(map, SHARE);
    let by_area = |map: ArrayView2<'_, f64>| area(map, SHARE);
    let overlaps = LayerOverlaps {
        own: overlaps(here(), by_mass, truth)?,
        elsewhere: overlaps(next(), by_mass, truth)?,
    };
    let areas = self::overlaps(here(), by_area, truth)?;
    let chosen = |of: &[Vec<ObjectOverlaps>]| {
        Ok::<_, Error>(mean(&head_of_other_half(of, truth.second)?.images))
    };
    let best = |of: &[Vec<ObjectOverlaps>]| Ok::<_, Error>(mean(&best_head_per_object(of)?));
    let keys: Vec<_> = shown.iter().map(|own| own.keys.view()).collect();
    let tokens: Vec<_> = shown.iter().map(|own| own.tokens.view()).collect();
    let scores = LayerScores {
        chosen: chosen(&overlaps.own)?,
        best: best(&overlaps.own)?,
        mean: mean(&mean_over_heads(&overlaps.own)?),
        chosen_elsewhere: chosen(&overlaps.elsewhere)?,
        best_elsewhere: best(&overlaps.elsewhere)?,
        chosen_by_area: chosen(&areas)?,
        best_by_area: best(&areas)?,
        ranking: chosen(&rankings(shown, truth)?)?,
        cut: first_cut(shown, truth)?,
        keys_component: component_ranking(&keys, truth, Reading::Signed)?,
        keys_component_size: component_ranking(&keys, truth, Reading::Absolute)?,
        tokens_component: component_ranking(&tokens, truth, Reading::Signed)?,
    };
    Ok((scores, overlaps))
}

/// The mean overlap with one head of all layers, chosen on the other half: with the picture's own maps, and with those of the
/// next picture.
///
/// # Errors
/// [`Error::Shape`] if a layer has other pictures; [`Error::Domain`] if there are no layers or a half has no picture.
pub fn of_all_layers(layers: &[LayerOverlaps], truth: &Truth<'_>) -> Result<[f64; 2]> {
    let joined = |of: fn(&LayerOverlaps) -> &Vec<Vec<ObjectOverlaps>>| {
        let picture = |number: usize| {
            let own = layers.iter().filter_map(|layer| of(layer).get(number));
            let heads = own
                .flatten()
                .flat_map(|object| object.heads.iter().copied());
            vec![ObjectOverlaps {
                class: 0,
                heads: heads.collect(),
            }]
        };
        let pictures: Vec<_> = (0..truth.masks.len()).map(picture).collect();
        Ok::<_, Error>(mean(&head_of_other_half(&pictures, truth.second)?.images))
    };
    Ok([
        joined(|layer| &layer.own)?,
        joined(|layer| &layer.elsewhere)?,
    ])
}

/// By head, the mean overlap of the masks that hold [`SHARE`] of the mass with those of the same pictures changed, noisy for
/// instance.
///
/// # Errors
/// [`Error::Shape`] if the pictures are not as many, or of other heads or grids; [`Error::Domain`] if a map has no mass.
pub fn kept(shown: &[HeadMaps], changed: &[HeadMaps]) -> Result<Vec<f64>> {
    let shapes = |of: &[HeadMaps]| of.iter().map(|own| own.maps.dim()).collect::<Vec<_>>();
    let (wanted, got) = (shapes(shown), shapes(changed));
    if wanted != got || wanted.is_empty() || wanted.iter().any(|dim| dim.0 != wanted[0].0) {
        return Err(Error::shape(
            "changed pictures",
            format!("as many as {}, at least one", wanted.len()),
            format!("{}, or maps of another shape", got.len()),
            "show the same pictures twice",
        ));
    }
    let by_head = |head: usize| {
        let pairs = shown.iter().zip(changed);
        let overlaps = pairs.map(|(own, other)| {
            let [own, other] =
                [own, other].map(|of| mass(of.maps.index_axis(Axis(0), head), SHARE));
            intersection_over_union(own?.view(), other?.view())
        });
        Ok::<_, Error>(mean(&overlaps.collect::<Result<Vec<_>>>()?))
    };
    (0..wanted[0].0).map(by_head).collect()
}

/// The mean over pictures of how well the first principal component of all their features together ranks the object, pixel by
/// pixel; its sign chosen on the other half.
///
/// # Shapes
/// features: per picture (n, d), a patch a row, row-major.
///
/// # Errors
/// [`Error::Shape`] if there are not features for each picture, or shapes do not fit; [`Error::Domain`] if a feature is not
/// finite, an object is empty or everything, or a half has no picture; [`Error::Lapack`] if the decomposition fails.
pub fn component_ranking(
    features: &[ArrayView2<'_, f64>],
    truth: &Truth<'_>,
    reading: Reading,
) -> Result<f64> {
    check(features.len(), truth)?;
    let all = concatenate(Axis(0), features)
        .map_err(|e| Error::misfit("features of all pictures", features.len(), &e))?;
    let scores = Components::of(all.view(), 1)?.scores(all.view())?;
    let mut first = 0;
    let mut pixels = Vec::with_capacity(features.len());
    for (own, mask) in features.iter().zip(truth.masks) {
        let patches = scores.column(0);
        let patches = patches.slice(ndarray::s![first..first + own.nrows()]);
        first += own.nrows();
        let columns = mask.ncols() / truth.patch;
        check_grid(patches.len(), mask, truth.patch)?;
        let on_pixels = mask.indexed_iter().map(|((y, x), &inside)| {
            let patch = y / truth.patch * columns + x / truth.patch;
            (patches[patch], inside)
        });
        let (values, inside): (Vec<f64>, Vec<bool>) = on_pixels.unzip();
        pixels.push((Array1::from(values), Array1::from(inside)));
    }
    let pixels: Vec<_> = pixels.iter().map(|(v, m)| (v.view(), m.view())).collect();
    Ok(mean(
        &foreground_ranking(&pixels, truth.second, reading)?.images,
    ))
}

fn overlaps<'a>(
    maps: impl Iterator<Item = ArrayView3<'a, f64>>,
    rule: impl Fn(ArrayView2<'_, f64>) -> Result<Array2<bool>>,
    truth: &Truth<'_>,
) -> Result<Vec<Vec<ObjectOverlaps>>> {
    let of = |(maps, object): (ArrayView3<'_, f64>, &Array2<bool>)| {
        let mut masks = Array3::from_elem(maps.dim(), false);
        for (mut mask, map) in masks.outer_iter_mut().zip(maps.outer_iter()) {
            mask.assign(&rule(map)?);
        }
        let pixels = all_enlarged(masks.view(), truth.patch);
        object_overlaps(pixels.view(), &[(0, object.view())])
    };
    maps.zip(truth.masks).map(of).collect()
}

/// The area under the curve of every head, in the place of overlaps.
fn rankings(shown: &[HeadMaps], truth: &Truth<'_>) -> Result<Vec<Vec<ObjectOverlaps>>> {
    let of = |(own, mask): (&HeadMaps, &Array2<bool>)| {
        let inside: Vec<bool> = mask.iter().copied().collect();
        let heads = own.maps.outer_iter().map(|map| {
            check_grid(map.len(), mask, truth.patch)?;
            let pixels = mask.indexed_iter();
            let pixels = pixels.map(|((y, x), _)| map[[y / truth.patch, x / truth.patch]]);
            area_under_curve(&pixels.collect::<Vec<_>>(), &inside)
        });
        Ok(vec![ObjectOverlaps {
            class: 0,
            heads: heads.collect::<Result<_>>()?,
        }])
    };
    shown.iter().zip(truth.masks).map(of).collect()
}

fn first_cut(shown: &[HeadMaps], truth: &Truth<'_>) -> Result<f64> {
    let of = |(own, object): (&HeadMaps, &Array2<bool>)| {
        let (_, rows, columns) = own.maps.dim();
        let found = FIRST_CUT.masks(own.keys.view(), [rows, columns])?;
        let mask = found
            .first()
            .map(|round| enlarged(round.mask.view(), truth.patch));
        // The first round is never rejected.
        mask.map_or(Ok(0.0), |mask| {
            intersection_over_union(mask.view(), object.view())
        })
    };
    let overlaps: Vec<f64> = shown
        .iter()
        .zip(truth.masks)
        .map(of)
        .collect::<Result<_>>()?;
    Ok(mean(&overlaps))
}

fn check(shown: usize, truth: &Truth<'_>) -> Result<()> {
    match shown == truth.masks.len() && truth.patch > 0 {
        true => Ok(()),
        false => Err(Error::shape(
            "pictures",
            format!("{}, in patches of a pixel at least", truth.masks.len()),
            format!("{shown}, in patches of {}", truth.patch),
            "show every picture whose object is known, and no other",
        )),
    }
}

fn check_grid(patches: usize, mask: &Array2<bool>, patch: usize) -> Result<()> {
    let (height, width) = mask.dim();
    match patches * patch * patch == height * width && width % patch == 0 {
        true => Ok(()),
        false => Err(Error::shape(
            "patches",
            format!("those of {height} x {width} pixels, {patch} a side"),
            patches.to_string(),
            "give the mask of the picture that the network saw",
        )),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr2;

    /// A picture of 2 x 2 patches of 2 pixels a side, whose object is the patch `object`; of two heads the first reads the
    /// patch `first` and the second the patch `second`, and only that one. The key of the object's patch is another one.
    fn shown([object, first, second]: [usize; 3]) -> HeadMaps {
        let reads = [first, second];
        let features = |values: [f64; 2]| {
            Array2::from_shape_fn((4, 2), |(patch, feature)| {
                let own = feature == usize::from(patch == object);
                values[usize::from(own)]
            })
        };
        HeadMaps {
            maps: Array3::from_shape_fn((2, 2, 2), |(head, y, x)| {
                f64::from(u8::from(reads[head] == 2 * y + x))
            }),
            keys: features([0.0, 1.0]),
            tokens: features([3.0, -1.0]),
        }
    }

    fn mask(object: usize) -> Array2<bool> {
        Array2::from_shape_fn((4, 4), |(y, x)| y / 2 * 2 + x / 2 == object)
    }

    fn masks() -> Vec<Array2<bool>> {
        (0..8).map(|picture| mask(picture % 4)).collect()
    }

    const SECOND: [bool; 8] = [false, true, true, false, true, false, false, true];

    fn truth(masks: &[Array2<bool>]) -> Truth<'_> {
        Truth {
            masks,
            second: &SECOND,
            patch: 2,
        }
    }

    #[test]
    fn a_head_that_reads_the_object_is_found_and_worth_nothing_on_other_pictures() {
        let masks = masks();
        let truth = truth(&masks);
        let pictures: Vec<HeadMaps> = (0..8)
            .map(|picture| {
                let object = picture % 4;
                shown([object, object, (object + 2) % 4])
            })
            .collect();
        let (scores, overlaps) = of_layer(&pictures, &truth).unwrap();
        assert_eq!(scores.chosen, 1.0);
        assert_eq!(scores.best, 1.0);
        assert_eq!(scores.mean, 0.5);
        // The next picture's object is one on, and its heads read that and the one three on.
        assert_eq!(scores.chosen_elsewhere, 0.0);
        assert_eq!(scores.best_elsewhere, 0.0);
        // Two of four patches, the object's among them.
        assert_eq!(scores.chosen_by_area, 0.5);
        assert_eq!(scores.best_by_area, 0.5);
        assert_eq!(scores.ranking, 1.0);
        assert_eq!(scores.cut, 1.0);
        assert_eq!(scores.keys_component, 1.0);
        assert_eq!(scores.keys_component_size, 1.0);
        assert_eq!(scores.tokens_component, 1.0);
        // Of another layer that reads past every object, nothing is taken.
        let past: Vec<HeadMaps> = (0..8)
            .map(|picture| {
                let object = picture % 4;
                shown([object, (object + 1) % 4, (object + 2) % 4])
            })
            .collect();
        let (scores, blind) = of_layer(&past, &truth).unwrap();
        assert_eq!([scores.chosen, scores.best, scores.mean], [0.0; 3]);
        // A map of one patch beside the object: all patches but one are equal to the object's, that one is above.
        assert!(
            (scores.ranking - 1.0 / 3.0).abs() < 1e-15,
            "{}",
            scores.ranking
        );
        let both = of_all_layers(&[blind.clone(), overlaps], &truth).unwrap();
        assert_eq!(both, [1.0, 0.0]);
    }

    #[test]
    fn an_oracle_takes_the_better_head_of_each_picture_and_a_choice_on_others_cannot() {
        let masks = masks();
        let truth = truth(&masks);
        // In each half the first head reads the object in two pictures of four, the second in the other two.
        let right = [true, true, false, false, true, true, false, false];
        for half in [false, true] {
            let own = (0..8).filter(|&picture| SECOND[picture] == half);
            assert_eq!(own.filter(|&picture| right[picture]).count(), 2);
        }
        let pictures: Vec<HeadMaps> = (0..8)
            .map(|picture| {
                let object = picture % 4;
                let other = (object + 2) % 4;
                match right[picture] {
                    true => shown([object, object, other]),
                    false => shown([object, other, object]),
                }
            })
            .collect();
        let (scores, _) = of_layer(&pictures, &truth).unwrap();
        assert_eq!([scores.best, scores.chosen, scores.mean], [1.0, 0.5, 0.5]);
    }

    #[test]
    fn masks_that_stay_are_told_from_those_that_move() {
        let clean: Vec<HeadMaps> = (0..4).map(|object| shown([object, 0, 1])).collect();
        let noisy: Vec<HeadMaps> = (0..4)
            .map(|object| shown([object, 0, if object == 3 { 1 } else { 2 }]))
            .collect();
        assert_eq!(kept(&clean, &noisy).unwrap(), [1.0, 0.25]);
        assert!(kept(&clean, &noisy[1..]).is_err());
        assert!(kept(&[], &[]).is_err());
    }

    #[test]
    fn components_rank_by_pixels_and_what_does_not_fit_is_refused() {
        // Features that say nothing: the first component is the same everywhere.
        let masks = masks();
        let truth = truth(&masks);
        let flat = arr2(&[[1.0], [1.0], [1.0], [1.0]]);
        let features = vec![flat.view(); 8];
        let area = component_ranking(&features, &truth, Reading::Signed).unwrap();
        assert_eq!(area, 0.5);
        assert!(component_ranking(&features[1..], &truth, Reading::Signed).is_err());
        let few = flat.slice(ndarray::s![..3, ..]);
        assert!(component_ranking(&[few; 8], &truth, Reading::Signed).is_err());
        let pictures = vec![shown([0, 0, 0]); 7];
        assert!(of_layer(&pictures, &truth).is_err());
    }
}
