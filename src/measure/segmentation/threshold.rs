//! Masks from the maps of the class token: what it reads of the patches, cut off at a share. Two papers mean two things
//! by "the top 60 %": a share of the mass (DINO, Caron et al. 2021, official `visualize_attention.py`) and a share of
//! the entries (CPAL 2024). Neither is better; they do not compare.

use ndarray::{s, Array, Array2, Array3, ArrayView, ArrayView2, ArrayView3, Dimension};

use crate::error::{Error, Result};

/// What the class token reads of the patches, per head: **row** 0 of the attention without its own entry,
/// `A[k, 0, 1..]`, as it is (DINO does not renormalise). Column 0 is what the patches read of the class token: another
/// map wherever `A` is not symmetric.
///
/// # Shapes
/// attention (K, n + 1, n + 1), token 0 the class token, rows the readers (`softmax` over each); gives (K, n).
///
/// # Errors
/// [`Error::Shape`] if an attention is not square, or has no patch.
pub fn class_maps<E: Clone>(attention: ArrayView3<'_, E>) -> Result<Array2<E>> {
    let (heads, readers, read) = attention.dim();
    if readers != read || read < 2 {
        return Err(Error::shape(
            "attention",
            "(K, n + 1, n + 1), n at least 1",
            format!("({heads}, {readers}, {read})"),
            "pass the attention of all tokens, the class token first",
        ));
    }
    Ok(attention.slice(s![.., 0, 1..]).to_owned())
}

/// The smallest set of patches that holds at least the share `t` of the mass (DINO). In ascending order with
/// cumulative sums `c_i`, patch `i` is kept if `c_i > (1 - t) c_n`: with the one at the border, and without it less
/// than `t` would be held. Of equal patches the later ones are kept. DINO divides by the sum first, which is the same
/// up to rounding. The threshold depends on the map: a flat one gives a large mask.
///
/// # Shapes
/// map: any, of patches; the mask has the same.
///
/// # Errors
/// [`Error::Domain`] if `t` is not in (0, 1], or the map has a negative or no finite number, or no mass.
pub fn mass<D: Dimension>(map: ArrayView<'_, f64, D>, share: f64) -> Result<Array<bool, D>> {
    check_share(share)?;
    let order = ascending(&map)?;
    let values: Vec<f64> = map.iter().copied().collect();
    if let Some(value) = values.iter().find(|value| **value < 0.0) {
        return Err(Error::domain(
            "map",
            "numbers that are a mass, at least 0",
            value.to_string(),
            "pass the attention itself, not its logarithm",
        ));
    }
    let cumulative: Vec<f64> = order
        .iter()
        .scan(0.0, |sum, &patch| {
            *sum += values[patch];
            Some(*sum)
        })
        .collect();
    let total = cumulative.last().copied().unwrap_or(0.0);
    if total <= 0.0 || !total.is_finite() {
        return Err(Error::domain(
            "map",
            "a mass, above 0 and finite",
            total.to_string(),
            "pass a map of at least one patch that is read",
        ));
    }
    let border = (1.0 - share) * total;
    let mut kept = vec![false; values.len()];
    for (&patch, &sum) in order.iter().zip(&cumulative) {
        kept[patch] = sum > border;
    }
    Ok(arranged(&map, &kept))
}

/// The `round(t n)` patches with the largest entries (CPAL 2024, "top 60 % of the entries"): a mask of one area
/// whatever the map, which scores by itself on large objects. Of equal patches the later ones are kept.
///
/// # Shapes
/// map: any, of `n` patches; the mask has the same.
///
/// # Errors
/// [`Error::Domain`] if `t` is not in (0, 1], or the map has a number that is not finite.
pub fn area<D: Dimension>(map: ArrayView<'_, f64, D>, share: f64) -> Result<Array<bool, D>> {
    check_share(share)?;
    let order = ascending(&map)?;
    // Half a patch rounds up.
    let count = (share * order.len() as f64).round() as usize;
    let mut kept = vec![false; order.len()];
    for &patch in order.iter().rev().take(count) {
        kept[patch] = true;
    }
    Ok(arranged(&map, &kept))
}

/// A mask of patches as one of pixels: each patch becomes `patch x patch` pixels of its value (nearest up-scaling by a
/// whole number, as DINO's).
///
/// # Shapes
/// mask (rows, columns); gives (rows patch, columns patch).
pub fn enlarged(mask: ArrayView2<'_, bool>, patch: usize) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    Array2::from_shape_fn((rows * patch, columns * patch), |(y, x)| {
        mask[[y / patch, x / patch]]
    })
}

/// [`enlarged`] for a stack of masks, one per head.
///
/// # Shapes
/// masks (K, rows, columns); gives (K, rows patch, columns patch).
pub fn all_enlarged(masks: ArrayView3<'_, bool>, patch: usize) -> Array3<bool> {
    let (heads, rows, columns) = masks.dim();
    Array3::from_shape_fn((heads, rows * patch, columns * patch), |(k, y, x)| {
        masks[[k, y / patch, x / patch]]
    })
}

fn check_share(share: f64) -> Result<()> {
    match share > 0.0 && share <= 1.0 {
        true => Ok(()),
        false => Err(Error::domain(
            "share",
            "more than 0 and at most 1",
            share.to_string(),
            "the papers keep 0.6",
        )),
    }
}

/// The places of the map, in row-major order, by ascending value; of equal ones the earlier first.
fn ascending<D: Dimension>(map: &ArrayView<'_, f64, D>) -> Result<Vec<usize>> {
    let values: Vec<f64> = map.iter().copied().collect();
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::domain(
            "map",
            "finite numbers",
            format!("{} at {place}", values[place]),
            "check the network that it comes from",
        ));
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    // `partial_cmp`, for -0.0 is not less than 0.0; the sort is stable.
    order.sort_by(|&i, &j| {
        values[i]
            .partial_cmp(&values[j])
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(order)
}

/// Row-major values in the shape of `map`.
fn arranged<D: Dimension>(map: &ArrayView<'_, f64, D>, values: &[bool]) -> Array<bool, D> {
    let mut mask = Array::from_elem(map.raw_dim(), false);
    for (to, from) in mask.iter_mut().zip(values) {
        *to = *from;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use ndarray::{arr1, arr2, array, Array1};
    use rand::Rng;

    #[test]
    fn the_patch_at_the_border_of_the_mass_is_kept() {
        // Ascending .1 .2 .3 .4, sums .1 .3 .6 1: above .4 are .6 and 1.
        let map = arr1(&[0.4, 0.1, 0.3, 0.2]);
        assert_eq!(
            mass(map.view(), 0.6).unwrap(),
            arr1(&[true, false, true, false])
        );
        // Two fifths and a little more need the second patch; a quarter and a little more does not.
        assert_eq!(
            mass(map.view(), 0.25).unwrap().map(|&k| u8::from(k)).sum(),
            1
        );
        assert_eq!(
            mass(map.view(), 0.45).unwrap().map(|&k| u8::from(k)).sum(),
            2
        );
        // What holds nothing is not needed to hold everything.
        let sparse = arr2(&[[0.0, 2.0], [1.0, 0.0]]);
        assert_eq!(
            mass(sparse.view(), 1.0).unwrap(),
            arr2(&[[false, true], [true, false]])
        );
    }

    #[test]
    fn the_mass_kept_is_the_smallest_that_suffices() {
        let mut rng = seed::stream(1, "maps");
        for draw in 0..200 {
            let n = rng.gen_range(1..40);
            // Every other map has ties.
            let map = Array1::from_shape_simple_fn(n, || match draw % 2 {
                0 => rng.gen_range(0.0..1.0),
                _ => f64::from(rng.gen_range(1..5)),
            });
            let share = rng.gen_range(0.05..1.0);
            let kept = mass(map.view(), share).unwrap();
            let values = || map.iter().zip(&kept).filter(|(_, k)| **k).map(|(v, _)| *v);
            let (held, total) = (values().sum::<f64>(), map.sum());
            let smallest = values().fold(f64::INFINITY, f64::min);
            let rounding = n as f64 * f64::EPSILON * total;
            assert!(held >= share * total - rounding, "{map} {share}");
            assert!(held - smallest < share * total + rounding, "{map} {share}");
            // Nothing left out is larger than anything kept.
            let left = map.iter().zip(&kept).filter(|(_, k)| !**k);
            assert!(left.map(|(v, _)| *v).all(|v| v <= smallest));
        }
    }

    #[test]
    fn the_area_kept_is_the_share_of_the_patches_whatever_the_map() {
        let mut rng = seed::stream(2, "maps");
        for n in 1..40 {
            let map = Array1::from_shape_simple_fn(n, || f64::from(rng.gen_range(-3..3)));
            let kept = area(map.view(), 0.6).unwrap();
            let count = kept.iter().filter(|k| **k).count();
            assert_eq!(count, (0.6 * n as f64).round() as usize);
            let value = |kept_or_not: bool| {
                let own = map
                    .iter()
                    .zip(&kept)
                    .filter(move |(_, k)| **k == kept_or_not);
                own.map(|(v, _)| *v)
            };
            let smallest = value(true).fold(f64::INFINITY, f64::min);
            assert!(value(false).all(|v| v <= smallest));
        }
        // Of equal patches the later ones, in both conventions.
        let flat = arr1(&[1.0; 5]);
        let late = arr1(&[false, false, true, true, true]);
        assert_eq!(area(flat.view(), 0.6).unwrap(), late);
        assert_eq!(mass(flat.view(), 0.6).unwrap(), late);
    }

    #[test]
    fn the_class_token_reads_along_its_row() {
        let attention = array![[[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.7, 0.2, 0.1]]];
        let maps = class_maps(attention.view()).unwrap();
        assert_eq!(maps, arr2(&[[0.3, 0.5]]));
        // The column is another map, with another mask.
        let column = attention.slice(s![0, 1.., 0]).to_owned();
        assert_ne!(maps.row(0), column);
        let wide = Array3::<f64>::zeros((1, 2, 3));
        assert!(class_maps(wide.view()).is_err());
    }

    #[test]
    fn a_mask_does_not_depend_on_the_layout_in_memory() {
        let map = arr2(&[[3.0, 1.0, 2.0], [0.5, 4.0, 0.1]]);
        for cut in [mass, area] {
            let turned = cut(map.t(), 0.5).unwrap();
            assert_eq!(turned.t(), cut(map.view(), 0.5).unwrap());
        }
    }

    #[test]
    fn patches_become_squares_of_pixels() {
        let mask = arr2(&[[true, false]]);
        let large = enlarged(mask.view(), 2);
        let row = [true, true, false, false];
        assert_eq!(large, arr2(&[row, row]));
        let stack = mask.insert_axis(ndarray::Axis(0));
        assert_eq!(
            all_enlarged(stack.view(), 2).index_axis(ndarray::Axis(0), 0),
            large
        );
    }

    #[test]
    fn what_has_no_mask_is_refused() {
        for (map, share) in [
            (arr1(&[1.0]), 0.0),
            (arr1(&[1.0]), 1.1),
            (arr1(&[1.0]), f64::NAN),
            (arr1(&[f64::NAN]), 0.6),
            (arr1(&[-1.0, 2.0]), 0.6),
            (arr1(&[0.0, 0.0]), 0.6),
            (arr1(&[]), 0.6),
        ] {
            assert!(mass(map.view(), share).is_err(), "{map} {share}");
        }
    }
}
