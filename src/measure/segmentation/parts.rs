//! Whether heads stand for parts of objects (CPAL 2024, figure 7; claim C-SEG-05): which head reads a patch more than the
//! others do, and whether that tells the patch's part in the same way in one picture as in another.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};
use rand::seq::SliceRandom;
use rand::Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::error::{Error, Result};

/// Parts of an object: an upper and a lower one.
const PARTS: usize = 2;

/// A head is stable if chance would favour one part so often with a probability below this.
const RARE: f64 = 0.01;

/// The part of each patch: 0 where less than half of its pixels are the object's, else the part, from 1, that has most of
/// them; of two that have as many the first.
///
/// # Shapes
/// parts (rows patch, columns patch), 0 the ground; gives (rows, columns).
///
/// # Errors
/// [`Error::Shape`] if patches do not divide the picture; [`Error::Domain`] if there is a part beyond the second.
pub fn of_patches(parts: ArrayView2<'_, u8>, patch: usize) -> Result<Array2<u8>> {
    let (height, width) = parts.dim();
    if patch == 0 || height % patch != 0 || width % patch != 0 {
        return Err(Error::shape(
            "parts",
            format!("sides that {patch} divides"),
            format!("{:?}", parts.dim()),
            "cut the picture as the network does",
        ));
    }
    if let Some(part) = parts.iter().find(|part| usize::from(**part) > PARTS) {
        return Err(Error::domain(
            "parts",
            format!("0 to {PARTS}"),
            part.to_string(),
            "name the parts of one object",
        ));
    }
    let mut found = Array2::zeros((height / patch, width / patch));
    for (own, pixels) in found.iter_mut().zip(parts.exact_chunks((patch, patch))) {
        let count = |part: u8| pixels.iter().filter(|&&p| p == part).count();
        let [first, second] = [count(1), count(2)];
        *own = match (2 * (first + second) >= pixels.len(), first >= second) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
    }
    Ok(found)
}

/// What the parts of objects and the heads have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartsOfHeads {
    /// [`mutual_information`] of a patch's part and the head that reads it most, over the patches of all objects, nats.
    pub information: f64,
    /// The mean of the same with the heads of every picture permuted for itself.
    pub permuted: f64,
    /// The share of those permutations, with the true order among them, that give as much.
    pub p_value: f64,
    /// The share of the heads that read one part more than the other, by patch, in so many pictures that chance would do
    /// it less than once in a hundred times (chi-square against one half, one degree of freedom).
    pub stable: f64,
}

/// Of heads and parts over pictures, with the information against `permutations` permutations. A head reads a patch most if
/// the patch has a larger share of what it reads than of what any other head reads; of equal heads the first.
///
/// The permutations keep how heads part one picture, and take away that they do so in the same way in the next. What they do
/// not take away is a head's taste for the top of the picture: for that, give each picture the maps of another one.
///
/// # Shapes
/// per picture maps (K, rows, columns) and the parts of the patches (rows, columns), as [`of_patches`] gives them.
///
/// # Errors
/// [`Error::Shape`] if shapes or numbers of heads differ; [`Error::Domain`] if no picture has a patch of an object, or a map
/// has a number that is not finite or no mass.
pub fn of_heads(
    pictures: &[(ArrayView3<'_, f64>, ArrayView2<'_, u8>)],
    permutations: usize,
    rng: &mut impl Rng,
) -> Result<PartsOfHeads> {
    let heads = pictures.first().map_or(0, |(maps, _)| maps.dim().0);
    let mut counts = Vec::with_capacity(pictures.len());
    let mut favours = vec![[0usize; PARTS]; heads];
    for (maps, parts) in pictures {
        let shares = shares(*maps, *parts, heads)?;
        counts.push(strongest(shares.view(), *parts));
        for (favours, favoured) in favours.iter_mut().zip(favoured(shares.view(), *parts)) {
            if let Some(part) = favoured {
                favours[part] += 1;
            }
        }
    }
    let sum = |of: &[Array2<usize>]| {
        let zero = Array2::zeros((PARTS, heads));
        of.iter().fold(zero, |sum, counts| sum + counts)
    };
    let information = mutual_information(sum(&counts).view());
    if !information.is_finite() {
        return Err(Error::domain(
            "patches of objects",
            "one at least",
            "none",
            "measure pictures with objects of the size of a patch",
        ));
    }
    let mut null = Vec::with_capacity(permutations);
    for _ in 0..permutations {
        let permuted = counts.iter().map(|own| {
            let mut order: Vec<usize> = (0..heads).collect();
            order.shuffle(rng);
            own.select(Axis(1), &order)
        });
        null.push(mutual_information(
            sum(&permuted.collect::<Vec<_>>()).view(),
        ));
    }
    // Sums in another order may differ by roundings.
    let as_much = null.iter().filter(|v| **v >= information - 1e-12).count();
    let stable = favours.iter().filter(|counts| is_rare(**counts)).count();
    Ok(PartsOfHeads {
        information,
        permuted: null.iter().sum::<f64>() / permutations as f64,
        p_value: (as_much + 1) as f64 / (permutations + 1) as f64,
        stable: stable as f64 / heads as f64,
    })
}

/// `sum p(a, b) ln(p(a, b) / (p(a) p(b)))` of the distribution that counts have, nats: 0 if rows tell nothing of columns. NaN
/// if all are 0.
pub fn mutual_information(counts: ArrayView2<'_, usize>) -> f64 {
    let total = counts.sum() as f64;
    let (rows, columns) = (counts.sum_axis(Axis(1)), counts.sum_axis(Axis(0)));
    let term = |((row, column), &count): ((usize, usize), &usize)| match count {
        0 => 0.0,
        count => {
            let expected = rows[row] as f64 * columns[column] as f64 / total;
            count as f64 / total * (count as f64 / expected).ln()
        }
    };
    match total > 0.0 {
        true => counts.indexed_iter().map(term).sum(),
        false => f64::NAN,
    }
}

/// Each map over its sum.
fn shares(
    maps: ArrayView3<'_, f64>,
    parts: ArrayView2<'_, u8>,
    heads: usize,
) -> Result<Array3<f64>> {
    let (rows, columns) = parts.dim();
    if maps.dim() != (heads, rows, columns) || heads == 0 {
        return Err(Error::shape(
            "maps",
            format!("({}, {rows}, {columns})", heads.max(1)),
            format!("{:?}", maps.dim()),
            "give every picture the maps of the same heads, and its own parts",
        ));
    }
    let mut shares = maps.to_owned();
    for mut map in shares.outer_iter_mut() {
        let sum = map.sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Err(Error::domain(
                "map",
                "a mass, above 0 and finite",
                sum.to_string(),
                "check the network that it comes from",
            ));
        }
        map /= sum;
    }
    Ok(shares)
}

/// How many patches of each part each head reads most, (parts, K).
fn strongest(shares: ArrayView3<'_, f64>, parts: ArrayView2<'_, u8>) -> Array2<usize> {
    let heads = shares.dim().0;
    let mut counts = Array2::zeros((PARTS, heads));
    for ((y, x), &part) in parts.indexed_iter().filter(|(_, &part)| part > 0) {
        let better = |best: usize, head: usize| match shares[[head, y, x]] > shares[[best, y, x]] {
            true => head,
            false => best,
        };
        let head = (1..heads).fold(0, better);
        counts[[usize::from(part) - 1, head]] += 1;
    }
    counts
}

/// For each head the part, from 0, of which it reads more by patch; none if it reads as much of both, or one has no patch.
fn favoured(shares: ArrayView3<'_, f64>, parts: ArrayView2<'_, u8>) -> Vec<Option<usize>> {
    let of = |map: ArrayView2<'_, f64>| {
        let mean = |part: u8| {
            let own = map.iter().zip(parts).filter(|(_, &p)| p == part);
            let values: Vec<f64> = own.map(|(value, _)| *value).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let [upper, lower] = [mean(1), mean(2)];
        // Without patches of a part the mean is NaN.
        (upper > lower)
            .then_some(0)
            .or((lower > upper).then_some(1))
    };
    shares.outer_iter().map(of).collect()
}

/// Whether so uneven counts of two equally likely cases are rare.
fn is_rare([first, second]: [usize; PARTS]) -> bool {
    let (difference, sum) = (first.abs_diff(second) as f64, (first + second) as f64);
    let chi_square = ChiSquared::new((PARTS - 1) as f64);
    sum > 0.0 && chi_square.is_ok_and(|d| d.sf(difference * difference / sum) < RARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use ndarray::{arr2, Array3};

    #[test]
    fn a_patch_is_of_the_part_that_has_most_of_it_or_of_the_ground() {
        let parts = arr2(&[
            [0, 0, 0, 1, 1, 1],
            [0, 1, 1, 1, 2, 2],
            [2, 2, 1, 2, 0, 2],
            [2, 2, 2, 2, 0, 0],
        ]);
        let found = of_patches(parts.view(), 2).unwrap();
        assert_eq!(found, arr2(&[[0, 1, 1], [2, 2, 0]]));
        assert!(of_patches(parts.view(), 4).is_err());
        assert!(of_patches(arr2(&[[3u8]]).view(), 1).is_err());
    }

    #[test]
    fn information_is_that_of_the_textbook() {
        // Rows that are columns: the entropy of a half.
        let same = arr2(&[[5, 0], [0, 5]]);
        assert!((mutual_information(same.view()) - 2f64.ln()).abs() < 1e-15);
        // Products of margins tell nothing.
        let independent = arr2(&[[2, 4, 6], [3, 6, 9]]);
        assert!(mutual_information(independent.view()).abs() < 1e-15);
        // 3/8 ln(3/2) twice, 1/8 ln(1/2) twice.
        let some = arr2(&[[3, 1], [1, 3]]);
        let exact = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((mutual_information(some.view()) - exact).abs() < 1e-15);
        assert!(mutual_information(arr2(&[[0, 0]]).view()).is_nan());
    }

    /// An object of three patches above and three below, and the maps of three heads: the one called `upper` reads the
    /// upper part, the next the lower one, the third the ground.
    fn picture(upper: usize) -> (Array3<f64>, Array2<u8>) {
        let parts = arr2(&[[1, 1, 1], [2, 2, 2], [0, 0, 0]]);
        let maps = Array3::from_shape_fn((3, 3, 3), |(head, y, _)| {
            // A head that reads more of everything reads no more of a patch than its share.
            let scale = 1.0 + head as f64;
            scale
                * if (head + 3 - upper) % 3 == y {
                    0.6
                } else {
                    0.1
                }
        });
        (maps, parts)
    }

    fn measured(pictures: &[(Array3<f64>, Array2<u8>)]) -> PartsOfHeads {
        let views: Vec<_> = pictures.iter().map(|(m, p)| (m.view(), p.view())).collect();
        of_heads(&views, 199, &mut seed::stream(1, "test")).unwrap()
    }

    #[test]
    fn heads_that_read_the_same_part_everywhere_are_found() {
        let found = measured(&vec![picture(1); 30]);
        assert!((found.information - 2f64.ln()).abs() < 1e-12);
        // Thirty pictures in one order of heads by chance: 6^-29.
        assert_eq!(found.p_value, 1.0 / 200.0);
        assert!(found.permuted < 0.1, "{found:?}");
        // The third head reads as much of both parts.
        assert_eq!(found.stable, 2.0 / 3.0);
    }

    #[test]
    fn heads_that_change_their_parts_from_picture_to_picture_are_not() {
        // Each head reads each part equally often, though every picture is parted sharply.
        let pictures: Vec<_> = (0..30).map(|number| picture(number % 3)).collect();
        let found = measured(&pictures);
        assert!(found.information.abs() < 1e-12);
        assert_eq!(found.p_value, 1.0);
        assert!(found.permuted > 0.0);
        // Ten pictures for the one part, ten for the other.
        assert_eq!(found.stable, 0.0);
    }

    #[test]
    fn a_head_is_stable_beyond_the_printed_quantile() {
        // 6.635 at one degree of freedom and one in a hundred: 25 of 34 gives 7.53, 24 of 34 gives 5.76.
        assert!(is_rare([25, 9]) && is_rare([9, 25]));
        assert!(!is_rare([24, 10]) && !is_rare([0, 0]));
    }

    #[test]
    fn maps_that_do_not_fit_and_pictures_without_objects_are_refused() {
        let (maps, parts) = picture(0);
        let mut rng = seed::stream(1, "test");
        let mut refused = |maps: &Array3<f64>, parts: &Array2<u8>| {
            of_heads(&[(maps.view(), parts.view())], 9, &mut rng).is_err()
        };
        assert!(!refused(&maps, &parts));
        assert!(refused(&maps, &Array2::zeros((3, 3))));
        assert!(refused(&maps, &Array2::ones((3, 2))));
        assert!(refused(&Array3::zeros((3, 3, 3)), &parts));
        assert!(refused(&Array3::zeros((0, 3, 3)), &parts));
        assert!(of_heads(&[], 9, &mut rng).is_err());
    }
}
