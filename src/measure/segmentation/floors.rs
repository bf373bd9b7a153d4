//! Masks that know nothing of their picture, which any mask that was found has to beat: objects are large and in the
//! middle, an oracle's choice helps whatever it chooses from, and neighbouring patches belong together.

use ndarray::{Array1, Array2, Array3};
use rand::Rng;
use rand_distr::StandardNormal;

use super::threshold;
use crate::error::Result;

/// Standard deviation of the blur of [`smooth_fields`], as a share of the side.
pub const BLUR: f64 = 1.0 / 8.0;

/// The `round(t n)` patches nearest to the middle of the picture, each axis in units of its side: a disc on a square
/// grid.
///
/// # Shapes
/// Gives (rows, columns).
///
/// # Errors
/// [`crate::Error::Domain`] if `t` is not in (0, 1].
pub fn centre_disc([rows, columns]: [usize; 2], share: f64) -> Result<Array2<bool>> {
    let off = |place: usize, side: usize| (place as f64 + 0.5) / side as f64 - 0.5;
    let nearness = Array2::from_shape_fn((rows, columns), |(y, x)| {
        let (down, right) = (off(y, rows), off(x, columns));
        -(down * down + right * right)
    });
    threshold::area(nearness.view(), share)
}

/// Fields of normal numbers of variance 1 that are alike in neighbouring patches: white noise blurred by a Gaussian of
/// standard deviation [`BLUR`] of the side along each axis. They go round at the rims, so that no place differs from
/// another.
///
/// # Shapes
/// Gives (count, rows, columns).
pub fn smooth_fields(count: usize, [rows, columns]: [usize; 2], rng: &mut impl Rng) -> Array3<f64> {
    let (down, right) = (circulant_blur(rows), circulant_blur(columns));
    let mut fields = Array3::zeros((count, rows, columns));
    for mut field in fields.outer_iter_mut() {
        let noise: Array2<f64> =
            Array2::from_shape_simple_fn((rows, columns), || rng.sample(StandardNormal));
        field.assign(&down.dot(&noise).dot(&right));
    }
    fields
}

/// What heads would read of patches if they knew nothing: the softmax over the patches of [`smooth_fields`].
///
/// # Shapes
/// Gives (count, rows, columns), each map of sum 1.
pub fn smooth_maps(count: usize, grid: [usize; 2], rng: &mut impl Rng) -> Array3<f64> {
    let mut maps = smooth_fields(count, grid, rng).mapv(f64::exp);
    for mut map in maps.outer_iter_mut() {
        let mass = map.sum();
        map /= mass;
    }
    maps
}

/// Rows that are a Gaussian about their own place, going round, with squares that add up to 1: symmetric.
fn circulant_blur(side: usize) -> Array2<f64> {
    let deviation = BLUR * side as f64;
    let weights = Array1::from_shape_fn(side, |apart| {
        let apart = apart.min(side - apart) as f64 / deviation;
        (-0.5 * apart * apart).exp()
    });
    let weights = &weights / weights.dot(&weights).sqrt();
    Array2::from_shape_fn((side, side), |(i, j)| weights[i.abs_diff(j)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn a_disc_is_in_the_middle_and_as_large_as_it_should_be() {
        let disc = centre_disc([28, 28], 0.6).unwrap();
        assert_eq!(disc.iter().filter(|&&inside| inside).count(), 470);
        assert!(disc[[14, 14]] && disc[[14, 2]] && !disc[[0, 0]] && !disc[[27, 27]]);
        // Along either axis by its own side: turned, it is the same.
        let wide = centre_disc([4, 6], 0.5).unwrap();
        assert_eq!(wide.t(), centre_disc([6, 4], 0.5).unwrap());
        assert!(wide[[1, 2]] && wide[[2, 3]] && !wide[[0, 0]]);
        assert!(centre_disc([4, 4], 0.0).is_err());
    }

    #[test]
    fn fields_have_variance_one_and_neighbours_that_are_alike() {
        let mut rng = seed::stream(1, "fields");
        let fields = smooth_fields(400, [16, 12], &mut rng);
        let mean = |of: &dyn Fn(usize, usize, usize) -> f64| {
            let values = (0..400).map(|f| of(f, 3, 5));
            values.sum::<f64>() / 400.0
        };
        // The mean of 400 squares of variance 2 is off by .07, five of which are .35; that of products of neighbours,
        // whose correlation is exp(-1 / (4 sigma^2)) = .94 and .89, by no more.
        let variance = mean(&|f, y, x| fields[[f, y, x]].powi(2));
        assert!((variance - 1.0).abs() < 0.35, "{variance}");
        let below = mean(&|f, y, x| fields[[f, y, x]] * fields[[f, y + 1, x]]);
        let beside = mean(&|f, y, x| fields[[f, y, x]] * fields[[f, y, x + 1]]);
        assert!((below - 0.94).abs() < 0.35, "{below}");
        assert!((beside - 0.89).abs() < 0.35, "{beside}");
        // Half a side away it is exp(-4), from either side.
        let far = mean(&|f, y, x| fields[[f, y, x]] * fields[[f, y + 8, x]]);
        assert!(far.abs() < 0.35, "{far}");
        let same = smooth_fields(1, [16, 12], &mut seed::stream(1, "fields"));
        assert_eq!(
            same.index_axis(ndarray::Axis(0), 0),
            fields.index_axis(ndarray::Axis(0), 0)
        );
    }

    #[test]
    fn maps_are_masses() {
        let maps = smooth_maps(3, [5, 4], &mut seed::stream(1, "maps"));
        for map in maps.outer_iter() {
            assert!((map.sum() - 1.0).abs() < 1e-12 && map.iter().all(|&v| v > 0.0));
        }
        assert_ne!(
            maps.index_axis(ndarray::Axis(0), 0),
            maps.index_axis(ndarray::Axis(0), 1)
        );
    }
}
