//! Principal components of tokens over several images together, and how well the first one ranks the foreground (CPAL
//! 2024, figure 3; claim C-SEG-08). The paper shows the first three as colours, and cuts the first, brought to 0 to 1,
//! at one half.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::other_half;
use crate::error::{Error, Result};
use crate::exact::spectrum::symmetric_eigen;

/// The directions in which tokens vary most.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// The mean token (d,).
    pub mean: Array1<f64>,
    /// Orthonormal directions (count, d), by descending variance; the entry largest in size is positive.
    pub axes: Array2<f64>,
    /// Variance along each (count,), with the number of tokens under the fraction.
    pub variances: Array1<f64>,
}

impl Components {
    /// The first `count` eigenvectors of the covariance of tokens.
    ///
    /// # Shapes
    /// tokens (N, d), a token a row, of all images together and without their class tokens; N at least 2, count at
    /// most d.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are too few tokens or dimensions; [`Error::Domain`] if a token is not finite;
    /// [`Error::Lapack`] if the decomposition fails.
    pub fn of(tokens: ArrayView2<'_, f64>, count: usize) -> Result<Self> {
        let (n, d) = tokens.dim();
        if n < 2 || count > d || d == 0 {
            return Err(Error::shape(
                "tokens",
                format!("(at least 2, at least {})", count.max(1)),
                format!("({n}, {d})"),
                "pass the tokens of more images, or ask for fewer components",
            ));
        }
        if let Some(((token, _), value)) = tokens.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::domain(
                "tokens",
                "finite numbers",
                format!("{value} in token {token}"),
                "check the network that they come from",
            ));
        }
        let mean = tokens.sum_axis(Axis(0)) / n as f64;
        let centred = &tokens - &mean;
        let (values, vectors) = symmetric_eigen(centred.t().dot(&centred) / n as f64)?;
        // Ascending, as LAPACK orders them.
        let chosen: Vec<usize> = (d - count..d).rev().collect();
        let mut axes = vectors.select(Axis(1), &chosen).reversed_axes();
        for mut axis in axes.outer_iter_mut() {
            let largest = axis.iter().copied();
            let largest = largest.fold(
                0.0f64,
                |most, v| if v.abs() > most.abs() { v } else { most },
            );
            if largest < 0.0 {
                axis *= -1.0;
            }
        }
        Ok(Self {
            mean,
            axes,
            variances: values.select(Axis(0), &chosen),
        })
    }

    /// The components of tokens, these or others.
    ///
    /// # Shapes
    /// tokens (N, d); gives (N, count).
    ///
    /// # Errors
    /// [`Error::Shape`] if the tokens have another width.
    pub fn scores(&self, tokens: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        match tokens.ncols() == self.mean.len() {
            true => Ok((&tokens - &self.mean).dot(&self.axes.t())),
            false => Err(Error::shape(
                "tokens",
                format!("(N, {})", self.mean.len()),
                format!("{:?}", tokens.dim()),
                "pass tokens of the layer that the components are of",
            )),
        }
    }
}

/// Where the first component, brought to 0 to 1 over all of `scores`, is more than one half (CPAL 2024, figure 3):
/// above the middle between the smallest and the largest. Nowhere, if all are equal. One token far out moves it.
///
/// # Shapes
/// scores (N,), gives the same.
pub fn above_middle(scores: ArrayView1<'_, f64>) -> Array1<bool> {
    let smallest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = 0.5 * (smallest + largest);
    scores.mapv(|score| score > middle)
}

/// Area under the curve of the receiver (Hanley and McNeil 1982): the probability that a score drawn from those of
/// `positive` is larger than one drawn from the others, ties counted half. 1/2 for scores that say nothing; `1 -` it
/// for scores of the other sign.
///
/// # Shapes
/// Both of one length.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ; [`Error::Domain`] if all or none are positive, or a score is not a number.
pub fn area_under_curve(scores: &[f64], positive: &[bool]) -> Result<f64> {
    if scores.len() != positive.len() {
        return Err(Error::shape(
            "positive",
            format!("({},)", scores.len()),
            format!("({},)", positive.len()),
            "say of every score whether it is one of the foreground",
        ));
    }
    let count = positive.iter().filter(|&&is| is).count();
    let others = positive.len() - count;
    if count == 0 || others == 0 || scores.iter().any(|score| score.is_nan()) {
        return Err(Error::domain(
            "scores",
            "numbers, of the foreground and of the ground",
            format!("{count} and {others}, of which some may be no numbers"),
            "leave out images without an object or without a ground",
        ));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Mann and Whitney: the ranks of the positive, of equal scores the mean rank.
    let (mut rank_sum, mut before) = (0.0, 0usize);
    for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        rank_sum += rank * equal.iter().filter(|&&place| positive[place]).count() as f64;
        before += equal.len();
    }
    let (count, others) = (count as f64, others as f64);
    Ok((rank_sum - count * (count + 1.0) / 2.0) / (count * others))
}

/// What is ranked: "|PC1|" can be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The component itself: the object lies at one end of it.
    Signed,
    /// Its size: the object lies far from the mean, or near it.
    Absolute,
}

/// How well the first component ranks the foreground, its sign chosen without seeing the image it is measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// 1 or -1: the sign for images of the first half (`false`) and of the second (`true`).
    pub signs: [f64; 2],
    /// Area under the curve by image.
    pub images: Vec<f64>,
}

/// By image, [`area_under_curve`] of the first component of its patches against the foreground, with the sign for
/// which the mean area over the **other** half is at least 1/2: a component has no sign, and an object is not always
/// where it is large. `second` says which half an image is in, as [`other_half::halves`] draws it.
///
/// # Shapes
/// images: per image the first component of its patches (n,) and whether each is of the foreground (n,).
///
/// # Errors
/// [`Error::Shape`] if lengths differ; [`Error::Domain`] if an image is all foreground or has none, a component is not
/// a number, or a half has no image.
pub fn foreground_ranking(
    images: &[(ArrayView1<'_, f64>, ArrayView1<'_, bool>)],
    second: &[bool],
    reading: Reading,
) -> Result<Ranking> {
    let others = other_half::others(second, images.len())?;
    let area = |(scores, foreground): &(ArrayView1<'_, f64>, ArrayView1<'_, bool>)| {
        let scores = scores.iter().map(|&score| match reading {
            Reading::Signed => score,
            Reading::Absolute => score.abs(),
        });
        area_under_curve(&scores.collect::<Vec<_>>(), &foreground.to_vec())
    };
    let areas = images.iter().map(area).collect::<Result<Vec<_>>>()?;
    let signs = others.map(|other| {
        let mean = other.iter().map(|&image| areas[image]).sum::<f64>() / other.len() as f64;
        if mean < 0.5 {
            -1.0
        } else {
            1.0
        }
    });
    let signed = |(image, &half): (usize, &bool)| match signs[usize::from(half)] < 0.0 {
        true => 1.0 - areas[image],
        false => areas[image],
    };
    Ok(Ranking {
        signs,
        images: second.iter().enumerate().map(signed).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use ndarray::{arr1, arr2};

    #[test]
    fn components_are_the_directions_of_most_variance() {
        // Variances 9, 4 and 0 along turned axes, about (1, 2, 3).
        let axes = arr2(&[[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]]);
        let along = arr2(&[[3.0, 2.0], [3.0, -2.0], [-3.0, 2.0], [-3.0, -2.0]]);
        let mean = arr1(&[1.0, 2.0, 3.0]);
        let tokens = along.dot(&axes) + &mean;
        let found = Components::of(tokens.view(), 2).unwrap();
        assert!((&found.mean - &mean).iter().all(|v| v.abs() < 1e-14));
        let variances = &found.variances - &arr1(&[9.0, 4.0]);
        assert!(variances.iter().all(|v| v.abs() < 1e-13));
        // The largest entries, .8 and -.8, are positive.
        let expected = arr2(&[[0.6, 0.8, 0.0], [0.8, -0.6, 0.0]]);
        assert!((&found.axes - &expected).iter().all(|v| v.abs() < 1e-13));
        let scores = found.scores(tokens.view()).unwrap();
        assert!((scores.column(0).to_owned() - along.column(0))
            .iter()
            .all(|v| v.abs() < 1e-13));
        assert!((scores.column(1).to_owned() + along.column(1))
            .iter()
            .all(|v| v.abs() < 1e-13));
        assert!(found.scores(along.view()).is_err());
        assert!(Components::of(tokens.view(), 4).is_err());
        assert!(Components::of(arr2(&[[1.0], [f64::NAN]]).view(), 1).is_err());
    }

    #[test]
    fn the_area_is_the_share_of_pairs_in_order() {
        // Positive 2 and 4 against 1 and 3: (2, 1), (4, 1), (4, 3) of four pairs.
        let positive = [false, true, false, true];
        let area = |scores: &[f64]| area_under_curve(scores, &positive).unwrap();
        assert_eq!(area(&[1.0, 2.0, 3.0, 4.0]), 0.75);
        assert_eq!(area(&[-1.0, -2.0, -3.0, -4.0]), 0.25);
        // A tie is half a pair: (2, 2) 1/2, (2, 1), (4, 2), (4, 1).
        assert_eq!(area(&[2.0, 2.0, 1.0, 4.0]), 0.875);
        assert_eq!(area(&[5.0; 4]), 0.5);
        // -0.0 and 0.0 are equal.
        assert_eq!(area(&[0.0, -0.0, 0.0, -0.0]), 0.5);
    }

    #[test]
    fn the_area_agrees_with_counting_all_pairs() {
        let values = gaussian(1, "scores", 40, 1).mapv(|v| (v * 3.0).round());
        let scores: Vec<f64> = values.iter().copied().collect();
        let positive: Vec<bool> = (0..40).map(|i| i % 3 == 0).collect();
        let (mut sum, mut pairs) = (0.0, 0.0);
        for i in (0..40).filter(|&i| positive[i]) {
            for j in (0..40).filter(|&j| !positive[j]) {
                pairs += 1.0;
                sum += match scores[i].total_cmp(&scores[j]) {
                    _ if scores[i] == scores[j] => 0.5,
                    std::cmp::Ordering::Greater => 1.0,
                    _ => 0.0,
                };
            }
        }
        let found = area_under_curve(&scores, &positive).unwrap();
        assert!((found - sum / pairs).abs() < 1e-14);
    }

    #[test]
    fn the_sign_is_chosen_by_images_that_are_not_measured_with_it() {
        let foreground = arr1(&[true, false, false]);
        let low = arr1(&[-2.0, 1.0, 0.5]);
        let high = arr1(&[2.0, -1.0, 0.5]);
        let of = |values: [&Array1<f64>; 3], reading| {
            let images = values.map(|values| (values.view(), foreground.view()));
            foreground_ranking(&images, &[false, false, true], reading).unwrap()
        };
        // Low everywhere: turned for both halves.
        let turned = of([&low, &low, &low], Reading::Signed);
        assert_eq!(turned.signs, [-1.0, -1.0]);
        assert_eq!(turned.images, [1.0; 3]);
        // The third image says high, the others low: each half is judged by the other, and wrongly.
        let mixed = of([&low, &low, &high], Reading::Signed);
        assert_eq!(mixed.signs, [1.0, -1.0]);
        assert_eq!(mixed.images, [0.0; 3]);
        // In size the object is far out in all of them.
        let absolute = of([&low, &low, &high], Reading::Absolute);
        assert_eq!(absolute.signs, [1.0, 1.0]);
        assert_eq!(absolute.images, [1.0; 3]);
    }

    #[test]
    fn the_middle_is_between_the_smallest_and_the_largest() {
        let found = above_middle(arr1(&[-1.0, 0.9, 1.1, 3.0]).view());
        assert_eq!(found, arr1(&[false, false, true, true]));
        assert!(!above_middle(arr1(&[2.0, 2.0]).view())
            .iter()
            .any(|&above| above));
    }

    #[test]
    fn what_cannot_be_ranked_is_refused() {
        assert!(area_under_curve(&[1.0], &[true, false]).is_err());
        assert!(area_under_curve(&[1.0, 2.0], &[true, true]).is_err());
        assert!(area_under_curve(&[1.0, 2.0], &[false, false]).is_err());
        assert!(area_under_curve(&[1.0, f64::NAN], &[true, false]).is_err());
    }
}
