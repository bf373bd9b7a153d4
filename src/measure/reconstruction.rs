//! Errors of pictures reconstructed from a part of their patches, and what reconstructs them without a network
//! (C-MAE-03): the floors that one has to be under. A floor sees of a picture what is visible, and is scored by
//! [`masked_error`] like a network; those that know nothing but the picture itself are in-painters, the others know
//! training pictures too.
//!
//! Patches are those of pictures that are standardised, so that an error is in units of the variance of a pixel. A mask
//! is true where a patch is removed. Between patches that lie anyhow there is no bilinear interpolation: [`harmonic`]
//! stands in its place, which is the straight line in one dimension.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, ArrayView3, Axis};
use ndarray_linalg::{FactorizeHInto, SolveH};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::exact::single_threaded_blas;
use crate::model::patches::{Order, Patches};
use crate::train::tasks::reconstruct::squared_error;

/// How far a pixel of [`harmonic`] is moved beyond the mean of its neighbours, over how far it was from it: what takes
/// the fewest sweeps over pictures of 28 pixels with three patches of four removed.
const OVER_RELAXATION: f64 = 1.8;

/// Change of every pixel, in units of its deviation, below which the sweeps of [`harmonic`] end: some ten times that is
/// missing.
const SETTLED: f64 = 1e-6;

/// Sweeps after which they end anyway.
const MOST_SWEEPS: usize = 10_000;

/// Weight of the ridge of [`SecondMoments::fill`] over the mean variance of a pixel.
const RIDGE: f64 = 1e-3;

/// Pictures per piece of the sums of [`SecondMoments`].
const PIECE: usize = 500;

/// The patch that has a pixel of the picture, and the place there of its number, the channels of a pixel side by side.
fn place(geometry: &Patches, y: usize, x: usize, channel: usize) -> (usize, usize) {
    let [height, width] = geometry.patch_size;
    let [_, columns] = geometry.grid();
    let patch = y / height * columns + x / width;
    let pixel = y % height * width + x % width;
    (patch, pixel * geometry.channels + channel)
}

/// The square of the distance of two patches, in patches.
fn square(geometry: &Patches, a: usize, b: usize) -> f64 {
    let [_, columns] = geometry.grid();
    let rows_apart = (a / columns).abs_diff(b / columns);
    let columns_apart = (a % columns).abs_diff(b % columns);
    (rows_apart * rows_apart + columns_apart * columns_apart) as f64
}

/// Refuses patches of other pictures, and an order in which channels are not side by side.
fn check_cut(geometry: &Patches, patches: ArrayView3<'_, f32>) -> Result<()> {
    let (_, count, width) = patches.dim();
    let wanted = (geometry.count(), geometry.width());
    if (count, width) == wanted && geometry.order == Order::ChannelLast {
        return Ok(());
    }
    Err(Error::shape(
        "patches",
        format!("(images, {}, {}), channel fastest", wanted.0, wanted.1),
        format!("{:?} {:?}", patches.dim(), geometry.order),
        "say how the pictures were cut",
    ))
}

/// Mean over the removed patches of all pictures of the mean over a patch of `(prediction - target)^2`: the loss of a
/// masked autoencoder. NaN if a number there is.
///
/// # Shapes
/// predictions and targets (images, patches, width), mask (images, patches), true for removed.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit or there is nothing; [`Error::Domain`] if no patch is removed.
pub fn masked_error(
    predictions: ArrayView3<'_, f32>,
    targets: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
) -> Result<f64> {
    check(targets, mask)?;
    if predictions.dim() != targets.dim() {
        return Err(Error::shape(
            "predictions",
            format!("{:?}", targets.dim()),
            format!("{:?}", predictions.dim()),
            "predict all patches of the same pictures",
        ));
    }
    let (found, wanted) = (
        predictions.as_standard_layout(),
        targets.as_standard_layout(),
    );
    let removed: Vec<bool> = mask.iter().copied().collect();
    // In standard layout an array is a slice.
    let slices = found.as_slice().zip(wanted.as_slice());
    let (sum, numbers) = slices.map_or((0.0, 0), |(found, wanted)| {
        squared_error(found, wanted, &removed, targets.dim().2)
    });
    if numbers == 0 {
        return Err(Error::domain(
            "mask",
            "a patch that is removed",
            "none",
            "remove a part of the patches",
        ));
    }
    Ok(sum / numbers as f64)
}

/// Refuses patches and masks that do not belong together.
fn check(patches: ArrayView3<'_, f32>, mask: ArrayView2<'_, bool>) -> Result<()> {
    let (images, count, _) = patches.dim();
    if !patches.is_empty() && mask.dim() == (images, count) {
        return Ok(());
    }
    Err(Error::shape(
        "patches",
        format!("({}, {}, width) without a 0", mask.nrows(), mask.ncols()),
        format!("{:?}", patches.dim()),
        "mask every patch of every picture, or not",
    ))
}

/// Zero everywhere: the mean pixel of standardised pictures.
///
/// # Shapes
/// Gives as many patches as it is given, of any shape.
pub fn constant(patches: ArrayView3<'_, f32>) -> Array3<f32> {
    Array3::zeros(patches.dim())
}

/// The mean of training pictures, number by number; NaN for none.
///
/// # Shapes
/// training (images, patches, width); gives (patches, width).
pub fn mean_of(training: ArrayView3<'_, f32>) -> Array2<f32> {
    mean(training).mapv(|v| v as f32)
}

fn mean(pictures: ArrayView3<'_, f32>) -> Array2<f64> {
    let (images, count, width) = pictures.dim();
    let mut sum = Array2::<f64>::zeros((count, width));
    for picture in pictures.outer_iter() {
        sum.zip_mut_with(&picture, |sum, &v| *sum += f64::from(v));
    }
    sum / images as f64
}

/// The same picture for each of so many, see [`mean_of`].
///
/// # Shapes
/// mean (patches, width); gives (images, patches, width).
pub fn mean_image(mean: ArrayView2<'_, f32>, images: usize) -> Array3<f32> {
    let (count, width) = mean.dim();
    Array3::from_shape_fn((images, count, width), |(_, patch, number)| {
        mean[(patch, number)]
    })
}

/// The mean of a picture's visible pixels, channel by channel; 0 in a picture without any. Visible patches stay as they
/// are.
///
/// # Shapes
/// patches (images, patches, width), mask (images, patches); gives (images, patches, width).
///
/// # Errors
/// [`Error::Shape`] if patches, mask and geometry do not fit.
pub fn visible_mean(
    patches: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
    geometry: &Patches,
) -> Result<Array3<f32>> {
    check_cut(geometry, patches)?;
    in_painted(patches, mask, |own, removed| {
        let flat = flattened(own, geometry.channels);
        Ok(weighted(&flat, removed, |_, _| 1.0))
    })
}

/// The mean of a picture's visible patches, number by number, each with the weight `exp(-r^2 / (2 sigma^2))`, `r` its
/// distance in patches: the pixel of the prediction is a mean of pixels at its own place in other patches. The nearest
/// patch for a small `sigma`; 0 in a picture without visible patches. Visible patches stay as they are.
///
/// # Shapes
/// patches (images, patches, width), mask (images, patches), sigma in patches; gives (images, patches, width).
///
/// # Errors
/// [`Error::Shape`] if patches, mask and geometry do not fit; [`Error::Domain`] if `sigma` is not positive.
pub fn gaussian_contents(
    patches: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
    geometry: &Patches,
    sigma: f64,
) -> Result<Array3<f32>> {
    check_cut(geometry, patches)?;
    check_sigma(sigma)?;
    in_painted(patches, mask, |own, removed| {
        Ok(near(&own.mapv(f64::from), removed, geometry, sigma))
    })
}

/// The mean of the visible patches of a picture, weighted as in [`gaussian_contents`], each taken for a surface of its
/// mean pixel: a picture without detail. Visible patches stay as they are.
///
/// # Shapes
/// patches (images, patches, width), mask (images, patches), sigma in patches; gives (images, patches, width).
///
/// # Errors
/// [`Error::Shape`] if patches, mask and geometry do not fit; [`Error::Domain`] if `sigma` is not positive.
pub fn gaussian_means(
    patches: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
    geometry: &Patches,
    sigma: f64,
) -> Result<Array3<f32>> {
    check_cut(geometry, patches)?;
    check_sigma(sigma)?;
    in_painted(patches, mask, |own, removed| {
        let flat = flattened(own, geometry.channels);
        Ok(near(&flat, removed, geometry, sigma))
    })
}

/// The picture without curvature between what is visible of it: every removed pixel is the mean of its neighbours
/// above, below, left and right, those that there are, channel by channel (the discrete equation of Laplace, no flow
/// over the border of the picture). 0 in a picture without visible patches. Visible patches stay as they are.
///
/// By successive over-relaxation (Young 1954).
///
/// # Shapes
/// patches (images, patches, width), mask (images, patches); gives (images, patches, width).
///
/// # Errors
/// [`Error::Shape`] if patches, mask and geometry do not fit.
pub fn harmonic(
    patches: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
    geometry: &Patches,
) -> Result<Array3<f32>> {
    check_cut(geometry, patches)?;
    in_painted(patches, mask, |own, removed| {
        let mut painted = Array2::<f32>::zeros(own.dim());
        for channel in 0..geometry.channels {
            stretch(own, removed, geometry, channel, &mut painted);
        }
        Ok(painted)
    })
}

/// One channel of [`harmonic`].
fn stretch(
    own: ArrayView2<'_, f32>,
    removed: ArrayView1<'_, bool>,
    geometry: &Patches,
    channel: usize,
    painted: &mut Array2<f32>,
) {
    let [height, width] = [0, 1].map(|axis| geometry.image_size[axis]);
    let places: Vec<(usize, usize)> = (0..height * width)
        .map(|at| place(geometry, at / width, at % width, channel))
        .collect();
    let hidden: Vec<bool> = places.iter().map(|&(patch, _)| removed[patch]).collect();
    let shown = places.iter().filter(|(patch, _)| !removed[*patch]);
    let shown: Vec<f64> = shown.map(|&place| f64::from(own[place])).collect();
    if shown.is_empty() {
        return;
    }
    let start = shown.iter().sum::<f64>() / shown.len() as f64;
    let mut plane: Vec<f64> = places
        .iter()
        .map(|&place| match removed[place.0] {
            true => start,
            false => f64::from(own[place]),
        })
        .collect();
    for _ in 0..MOST_SWEEPS {
        let mut largest = 0.0f64;
        for at in (0..plane.len()).filter(|&at| hidden[at]) {
            let (y, x) = (at / width, at % width);
            let neighbours = [
                (y > 0).then(|| plane[at - width]),
                (y + 1 < height).then(|| plane[at + width]),
                (x > 0).then(|| plane[at - 1]),
                (x + 1 < width).then(|| plane[at + 1]),
            ];
            let (mut sum, mut count) = (0.0, 0.0);
            for neighbour in neighbours.into_iter().flatten() {
                sum += neighbour;
                count += 1.0;
            }
            // A picture with something hidden and something shown has two pixels, and each of them a neighbour.
            let change = OVER_RELAXATION * (sum / count - plane[at]);
            plane[at] += change;
            largest = largest.max(change.abs());
        }
        if largest < SETTLED {
            break;
        }
    }
    for (place, value) in places.into_iter().zip(plane) {
        painted[place] = value as f32;
    }
}

/// Mean and covariance of the numbers of training pictures, all that a linear prediction can know of them.
#[derive(Debug, Clone)]
pub struct SecondMoments {
    /// Shape (patches * width,).
    pub mean: Array1<f64>,
    /// Shape (patches * width, patches * width), symmetric.
    pub covariance: Array2<f64>,
}

impl SecondMoments {
    /// Of pictures, with their number under the fraction.
    ///
    /// # Shapes
    /// training (images, patches, width).
    ///
    /// # Errors
    /// [`Error::Shape`] if there are none.
    pub fn of(training: ArrayView3<'_, f32>) -> Result<Self> {
        single_threaded_blas();
        let (images, count, width) = training.dim();
        if training.is_empty() {
            return Err(Error::shape(
                "training pictures",
                "(images, patches, width) without a 0",
                format!("{:?}", training.dim()),
                "pass at least one picture",
            ));
        }
        let size = count * width;
        let mean: Array1<f64> = mean(training).iter().copied().collect();
        let mut covariance = Array2::<f64>::zeros((size, size));
        for piece in training.axis_chunks_iter(Axis(0), PIECE) {
            let mut rows = Array2::<f64>::zeros((piece.dim().0, size));
            for (mut row, picture) in rows.rows_mut().into_iter().zip(piece.outer_iter()) {
                for ((place, &value), &mean) in row.iter_mut().zip(picture.iter()).zip(&mean) {
                    *place = f64::from(value) - mean;
                }
            }
            covariance += &rows.t().dot(&rows);
        }
        covariance /= images as f64;
        Ok(Self { mean, covariance })
    }

    /// The affine prediction of removed numbers `h` from visible ones `v` with the least mean square error over
    /// pictures of these moments: `m_h + C_hv (C_vv + r I)^{-1} (x_v - m_v)`, `r` a thousandth of the mean variance. It
    /// would be the best of all predictions if pictures were normal. The mean in a picture without visible patches;
    /// visible patches stay as they are.
    ///
    /// # Shapes
    /// patches (images, patches, width), mask (images, patches); gives (images, patches, width).
    ///
    /// # Errors
    /// [`Error::Shape`] if patches and mask do not fit each other or the moments; [`Error::Domain`] if the equations
    /// have no solution, since the moments are not finite or zero.
    pub fn fill(
        &self,
        patches: ArrayView3<'_, f32>,
        mask: ArrayView2<'_, bool>,
    ) -> Result<Array3<f32>> {
        single_threaded_blas();
        let (_, count, width) = patches.dim();
        let size = self.mean.len();
        if count * width != size {
            return Err(Error::shape(
                "patches",
                format!("(images, patches, width) with {size} numbers in a picture"),
                format!("{:?}", patches.dim()),
                "pass pictures like those of the training",
            ));
        }
        let ridge = RIDGE * self.covariance.diag().sum() / size as f64;
        let unsolvable = |e: ndarray_linalg::error::LinalgError| {
            Error::domain(
                "the equations of the best linear prediction",
                "a solution",
                e.to_string(),
                "use training pictures that differ",
            )
        };
        in_painted(patches, mask, |own, removed| {
            let mut painted = self.mean.mapv(|v| v as f32);
            let visible = |number: &usize| !removed[number / width];
            let shown: Vec<usize> = (0..size).filter(visible).collect();
            if !shown.is_empty() {
                let mut gram = Array2::from_shape_fn((shown.len(), shown.len()), |(i, j)| {
                    self.covariance[(shown[i], shown[j])]
                });
                gram.diag_mut().mapv_inplace(|g| g + ridge);
                let off = Array1::from_shape_fn(shown.len(), |i| {
                    let number = shown[i];
                    f64::from(own[(number / width, number % width)]) - self.mean[number]
                });
                let factors = gram.factorizeh_into().map_err(unsolvable)?;
                let shares = factors.solveh_into(off).map_err(unsolvable)?;
                for (number, place) in painted.iter_mut().enumerate() {
                    let row = self.covariance.row(number);
                    let terms = shown.iter().zip(&shares);
                    let sum: f64 = terms.map(|(&other, share)| row[other] * share).sum();
                    *place = (self.mean[number] + sum) as f32;
                }
            }
            Ok(Array2::from_shape_fn((count, width), |(patch, number)| {
                painted[patch * width + number]
            }))
        })
    }
}

/// What `predict` makes of every picture, of which it is given the patches and which of them are removed; patches that
/// are not stay as they are. The thread count cannot change it, since pictures do not meet.
fn in_painted(
    patches: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
    predict: impl Fn(ArrayView2<'_, f32>, ArrayView1<'_, bool>) -> Result<Array2<f32>> + Sync,
) -> Result<Array3<f32>> {
    check(patches, mask)?;
    let pictures = (0..patches.dim().0)
        .into_par_iter()
        .map(|image| -> Result<Array2<f32>> {
            let own = patches.index_axis(Axis(0), image);
            let removed = mask.index_axis(Axis(0), image);
            let mut painted = predict(own, removed)?;
            for (patch, _) in removed.iter().enumerate().filter(|(_, &removed)| !removed) {
                painted.row_mut(patch).assign(&own.row(patch));
            }
            Ok(painted)
        });
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    let mut all = Array3::<f32>::zeros(patches.dim());
    for (mut place, picture) in all.outer_iter_mut().zip(&pictures) {
        place.assign(picture);
    }
    Ok(all)
}

fn check_sigma(sigma: f64) -> Result<()> {
    if sigma > 0.0 {
        return Ok(());
    }
    Err(Error::domain(
        "sigma",
        "a number > 0",
        sigma.to_string(),
        "give a width in patches",
    ))
}

/// Every number of a patch replaced by the mean of its channel over the patch.
fn flattened(patches: ArrayView2<'_, f32>, channels: usize) -> Array2<f64> {
    let (count, width) = patches.dim();
    let mut sums = Array2::<f64>::zeros((count, channels));
    for ((patch, number), &value) in patches.indexed_iter() {
        sums[(patch, number % channels)] += f64::from(value);
    }
    let pixels = (width / channels) as f64;
    Array2::from_shape_fn((count, width), |(patch, number)| {
        sums[(patch, number % channels)] / pixels
    })
}

/// [`weighted`] by the Gaussian of the distance.
fn near(
    contents: &Array2<f64>,
    removed: ArrayView1<'_, bool>,
    geometry: &Patches,
    sigma: f64,
) -> Array2<f32> {
    let shown: Vec<usize> = (0..removed.len()).filter(|&j| !removed[j]).collect();
    let squares = |i: usize| shown.iter().map(move |&j| square(geometry, i, j));
    // What all weights of a patch have in common drops out: the nearest one gets 1, so that they never all vanish.
    let nearest: Vec<f64> = (0..removed.len())
        .map(|i| squares(i).fold(f64::INFINITY, f64::min))
        .collect();
    weighted(contents, removed, |i, j| {
        let excess = square(geometry, i, j) - nearest[i];
        (-0.5 * excess / sigma / sigma).exp()
    })
}

/// For every patch the mean of the contents of those that are not removed, `weight(own, other)` the weights; 0 if there
/// are none.
fn weighted(
    contents: &Array2<f64>,
    removed: ArrayView1<'_, bool>,
    weight: impl Fn(usize, usize) -> f64,
) -> Array2<f32> {
    let mut means = Array2::<f32>::zeros(contents.dim());
    for (i, mut mean) in means.rows_mut().into_iter().enumerate() {
        let (mut sum, mut total) = (Array1::<f64>::zeros(contents.ncols()), 0.0);
        for (j, content) in contents.rows().into_iter().enumerate() {
            if !removed[j] {
                let weight = weight(i, j);
                sum.scaled_add(weight, &content);
                total += weight;
            }
        }
        if total > 0.0 {
            mean.assign(&sum.mapv(|v| (v / total) as f32));
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use ndarray::{array, s};

    fn cut(grid: [usize; 2], patch_size: [usize; 2], channels: usize) -> Patches {
        Patches {
            channels,
            image_size: [0, 1].map(|axis| grid[axis] * patch_size[axis]),
            patch_size,
            order: Order::ChannelLast,
        }
    }

    /// A row of patches, each of one number.
    fn row(numbers: &[f32]) -> (Array3<f32>, Patches) {
        let count = numbers.len();
        let patches = Array3::from_shape_fn((1, count, 1), |(_, j, _)| numbers[j]);
        let geometry = cut([1, count], [1, 1], 1);
        (patches, geometry)
    }

    /// Two pictures of 3 x 3 patches of 2 x 2 pixels of two channels, of noise, and patches to remove.
    fn noise() -> (Array3<f32>, Array2<bool>, Patches) {
        let numbers = gaussian(1, "noise", 18, 8);
        let patches = Array3::from_shape_fn((2, 9, 8), |(i, j, k)| numbers[(9 * i + j, k)] as f32);
        let mask =
            Array2::from_shape_fn((2, 9), |(i, j)| (i + j).is_multiple_of(2) || j == 3 * i + 1);
        let geometry = cut([3, 3], [2, 2], 2);
        (patches, mask, geometry)
    }

    fn in_painters(
        patches: &Array3<f32>,
        mask: &Array2<bool>,
        geometry: &Patches,
    ) -> Vec<Array3<f32>> {
        let (view, mask) = (patches.view(), mask.view());
        let training = gaussian(2, "training", 60, 72);
        let training =
            Array3::from_shape_fn((60, 9, 8), |(i, j, k)| training[(i, 8 * j + k)] as f32);
        let moments = SecondMoments::of(training.view()).unwrap();
        vec![
            visible_mean(view, mask, geometry).unwrap(),
            gaussian_contents(view, mask, geometry, 1.0).unwrap(),
            gaussian_means(view, mask, geometry, 1.0).unwrap(),
            harmonic(view, mask, geometry).unwrap(),
            moments.fill(view, mask).unwrap(),
        ]
    }

    #[test]
    fn the_error_is_that_of_the_removed_patches() {
        let targets = array![[[1.0f32, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]];
        let mut predictions = targets.clone();
        let mask = array![[true, false], [true, true]];
        // Missed by 1 and 3 of the first patch and by 2 of the last: (1 + 9 + 4) / 6. The second is visible.
        predictions[(0, 0, 0)] += 1.0;
        predictions[(0, 0, 1)] -= 3.0;
        predictions[(1, 1, 0)] += 2.0;
        predictions[(0, 1, 0)] = f32::NAN;
        let found = masked_error(predictions.view(), targets.view(), mask.view()).unwrap();
        assert!((found - 14.0 / 6.0).abs() < 1e-15, "{found}");
        let zero = constant(targets.view());
        let found = masked_error(zero.view(), targets.view(), mask.view()).unwrap();
        assert!((found - (1.0 + 4.0 + 25.0 + 36.0 + 49.0 + 64.0) / 6.0).abs() < 1e-14);
        predictions[(1, 0, 0)] = f32::NAN;
        let found = masked_error(predictions.view(), targets.view(), mask.view());
        assert!(found.unwrap().is_nan());
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (patches, mask, geometry) = noise();
        let view = patches.view();
        let none = Array2::from_elem((2, 9), false);
        assert!(masked_error(view, view, none.view()).is_err());
        assert!(masked_error(view, view, mask.slice(s![..1, ..])).is_err());
        assert!(masked_error(view.slice(s![.., .., ..4]), view, mask.view()).is_err());
        let other = Patches {
            channels: 1,
            ..geometry
        };
        assert!(harmonic(view, mask.view(), &other).is_err());
        assert!(visible_mean(view, mask.slice(s![.., ..4]), &geometry).is_err());
        for sigma in [0.0, -1.0, f64::NAN] {
            assert!(gaussian_means(view, mask.view(), &geometry, sigma).is_err());
        }
        let moments = SecondMoments::of(view).unwrap();
        assert!(moments
            .fill(view.slice(s![.., ..8, ..]), none.view())
            .is_err());
        assert!(SecondMoments::of(view.slice(s![..0, .., ..])).is_err());
    }

    #[test]
    fn in_painters_neither_read_what_is_removed_nor_touch_what_is_not() {
        let (patches, mask, geometry) = noise();
        let mut other = patches.clone();
        for ((i, j, _), value) in other.indexed_iter_mut() {
            if mask[(i, j)] {
                *value = 1e6;
            }
        }
        let found = in_painters(&patches, &mask, &geometry);
        assert_eq!(found, in_painters(&other, &mask, &geometry));
        for (which, painted) in found.iter().enumerate() {
            for ((i, j, k), &value) in painted.indexed_iter() {
                let kept = value == patches[(i, j, k)];
                assert_eq!(kept, !mask[(i, j)], "{which}: {:?}", (i, j, k));
            }
        }
    }

    #[test]
    fn without_anything_visible_the_prediction_is_the_mean() {
        let (patches, _, geometry) = noise();
        let all = Array2::from_elem((2, 9), true);
        let found = in_painters(&patches, &all, &geometry);
        for painted in &found[..4] {
            assert!(painted.iter().all(|&v| v == 0.0));
        }
        let [first, second] = [0, 1].map(|i| found[4].index_axis(Axis(0), i));
        assert!(first == second && first.iter().any(|&v| v != 0.0));
    }

    #[test]
    fn the_mean_image_is_the_same_for_all() {
        let training = array![[[1.0f32, 2.0], [3.0, 4.0]], [[3.0, 2.0], [1.0, 8.0]]];
        let mean = mean_of(training.view());
        assert_eq!(mean, array![[2.0f32, 2.0], [2.0, 6.0]]);
        let found = mean_image(mean.view(), 3);
        assert_eq!(found.dim(), (3, 2, 2));
        assert!(found.outer_iter().all(|picture| picture == mean));
    }

    #[test]
    fn the_visible_mean_is_that_of_each_channel() {
        let geometry = cut([1, 3], [1, 2], 2);
        let patches = array![[
            [1.0f32, 10.0, 2.0, 20.0],
            [3.0, 30.0, 6.0, 60.0],
            [9.0, 9.0, 9.0, 9.0]
        ]];
        let mask = array![[false, false, true]];
        let found = visible_mean(patches.view(), mask.view(), &geometry).unwrap();
        assert_eq!(found.slice(s![0, 2, ..]), array![3.0f32, 30.0, 3.0, 30.0]);
        // At one and two patches, with weights e^{-1/2} and e^{-2}; means of a patch 4.5, 45 and 1.5, 15.
        let [one, two] = [(-0.5f64).exp(), (-2.0f64).exp()];
        let of = |near: f64, far: f64| ((one * near + two * far) / (one + two)) as f32;
        let close = |found: &Array3<f32>, wanted: [f32; 4]| {
            let pairs = found.slice(s![0, 2, ..]).to_vec().into_iter().zip(wanted);
            for (found, wanted) in pairs {
                assert!((found / wanted - 1.0).abs() < 1e-6, "{found} {wanted}");
            }
        };
        let found = gaussian_means(patches.view(), mask.view(), &geometry, 1.0).unwrap();
        let wanted = [of(4.5, 1.5), of(45.0, 15.0)];
        close(&found, [wanted[0], wanted[1], wanted[0], wanted[1]]);
        let found = gaussian_contents(patches.view(), mask.view(), &geometry, 1.0).unwrap();
        let wanted = [of(3.0, 1.0), of(30.0, 10.0), of(6.0, 2.0), of(60.0, 20.0)];
        close(&found, wanted);
    }

    #[test]
    fn a_narrow_gaussian_takes_the_nearest_patch_and_a_wide_one_the_mean() {
        let (patches, geometry) = row(&[1.0, 0.0, 0.0, 0.0, 0.0, 4.0, 7.0]);
        let mask = array![[false, true, true, true, true, false, false]];
        let with = |sigma: f64| {
            let found = gaussian_contents(patches.view(), mask.view(), &geometry, sigma).unwrap();
            found.iter().copied().collect::<Vec<f32>>()
        };
        for sigma in [1e-200, 0.01] {
            assert_eq!(with(sigma), [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 7.0]);
        }
        assert_eq!(with(1e200), [1.0, 4.0, 4.0, 4.0, 4.0, 4.0, 7.0]);
    }

    #[test]
    fn between_two_pixels_lies_a_line_and_beyond_them_nothing_changes() {
        let (patches, geometry) = row(&[0.0, 1.0, 0.0, 0.0, 4.0, 0.0, 0.0]);
        let mask = array![[true, false, true, true, false, true, true]];
        let found = harmonic(patches.view(), mask.view(), &geometry).unwrap();
        for (found, wanted) in found.iter().zip([1.0f32, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0]) {
            assert!((*found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }

    #[test]
    fn a_slope_is_painted_into_the_hole_in_it() {
        // The value of a pixel by its place: patches, numbers and channels in another order would not do.
        let geometry = cut([3, 3], [2, 3], 2);
        let mut patches = Array3::<f32>::zeros((1, 9, 12));
        for (y, x) in (0..6).flat_map(|y| (0..9).map(move |x| (y, x))) {
            for channel in 0..2 {
                let (patch, number) = place(&geometry, y, x, channel);
                let slopes = [[0.25f32, -0.5], [1.0, 0.125]][channel];
                patches[(0, patch, number)] = slopes[0] * y as f32 + slopes[1] * x as f32;
            }
        }
        // Row 3, column 4 of the picture, second channel: row 1, column 1 of the middle patch, its fifth pixel.
        assert_eq!(place(&geometry, 3, 4, 1), (4, 9));
        assert_eq!(patches[(0, 4, 9)], 3.0 + 0.5);
        let mask = Array2::from_shape_fn((1, 9), |(_, patch)| patch == 4);
        let found = harmonic(patches.view(), mask.view(), &geometry).unwrap();
        let error = masked_error(found.view(), patches.view(), mask.view()).unwrap();
        assert!(error < 1e-8, "{error}");
    }

    #[test]
    fn the_best_linear_prediction_is_the_line_of_regression() {
        // (1, 3), (-1, -1): means 0 and 1, covariance [[1, 2], [2, 4]], and 2.5e-3 for the ridge.
        let training = array![[[1.0f32], [3.0]], [[-1.0], [-1.0]]];
        let moments = SecondMoments::of(training.view()).unwrap();
        assert_eq!(moments.mean, array![0.0, 1.0]);
        assert_eq!(moments.covariance, array![[1.0, 2.0], [2.0, 4.0]]);
        let patches = array![[[0.5f32], [0.0]], [[0.0], [5.0]]];
        let mask = array![[false, true], [true, false]];
        let found = moments.fill(patches.view(), mask.view()).unwrap();
        let wanted = array![
            [[0.5], [1.0 + 2.0 * 0.5 / 1.0025]],
            [[2.0 * 4.0 / 4.0025], [5.0]]
        ];
        for (found, wanted) in found.iter().zip(wanted.iter()) {
            assert!(
                (f64::from(*found) - wanted).abs() < 1e-6,
                "{found} {wanted}"
            );
        }
    }
}
