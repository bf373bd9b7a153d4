//! Masks and maps that know little or nothing of a picture: what a network's have to be better than.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};

/// Lloyd's rounds at most: they end by themselves, but for ties that rounding breaks anew.
const ROUNDS: usize = 100;

/// A disc in the middle of the picture: the `area` pixels nearest to its centre; of equally near ones the first.
///
/// # Shapes
/// Gives (rows, columns).
pub fn centre_disc([rows, columns]: [usize; 2], area: usize) -> Array2<bool> {
    let away = |place: usize| {
        // Twice the distance to the centre, which may lie between two pixels: a whole number.
        let (y, x) = (2 * (place / columns) + 1, 2 * (place % columns) + 1);
        y.abs_diff(rows).pow(2) + x.abs_diff(columns).pow(2)
    };
    let mut places: Vec<usize> = (0..rows * columns).collect();
    places.sort_by_key(|&place| away(place));
    let mut disc = Array2::from_elem((rows, columns), false);
    for &place in places.iter().take(area) {
        disc[[place / columns, place % columns]] = true;
    }
    disc
}

/// `count` maps that know nothing and are smooth: `exp(g)`, `g` normal noise smoothed by a Gaussian of deviation `scale`
/// patches and brought to mean 0 and deviation 1 over the map. Of several such maps the best covers an object far better than
/// their mean.
///
/// # Shapes
/// Gives (count, rows, columns).
pub fn smooth_maps(
    count: usize,
    [rows, columns]: [usize; 2],
    scale: f64,
    rng: &mut impl Rng,
) -> Array3<f64> {
    let weight = |from: usize, to: usize| {
        let away = from.abs_diff(to) as f64 / scale;
        (-0.5 * away * away).exp()
    };
    let along = |side: usize| Array2::from_shape_fn((side, side), |(to, from)| weight(from, to));
    let (down, across) = (along(rows), along(columns));
    let mut maps = Array3::zeros((count, rows, columns));
    for mut map in maps.outer_iter_mut() {
        let noise: Array2<f64> =
            Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng));
        let smooth = down.dot(&noise).dot(&across);
        let mean = smooth.sum() / smooth.len() as f64;
        let deviation = smooth.mapv(|v| (v - mean).powi(2)).sum() / smooth.len() as f64;
        map.assign(&smooth.mapv(|v| ((v - mean) / deviation.sqrt()).exp()));
    }
    maps
}

/// Two clusters of points by Lloyd's rounds (k-means, k = 2), the best of `starts` starts as k-means++ draws them (Arthur and
/// Vassilvitskii 2007): which points are in the second. All in one, if all points are equal.
///
/// # Shapes
/// points (N, d), N at least 2; gives (N,).
///
/// # Errors
/// [`Error::Shape`] for fewer than two points, [`Error::Domain`] if one is not finite.
pub fn two_means(
    points: ArrayView2<'_, f64>,
    starts: usize,
    rng: &mut impl Rng,
) -> Result<Array1<bool>> {
    let n = points.nrows();
    if n < 2 {
        return Err(Error::shape(
            "points",
            "(at least 2, d)",
            format!("{:?}", points.dim()),
            "cluster the pixels of a picture",
        ));
    }
    if let Some(value) = points.iter().find(|value| !value.is_finite()) {
        return Err(Error::domain(
            "points",
            "finite numbers",
            value.to_string(),
            "pass pixels",
        ));
    }
    let mut best = (f64::INFINITY, Array1::from_elem(n, false));
    for _ in 0..starts {
        let found = lloyd(points, rng);
        if found.0 < best.0 {
            best = found;
        }
    }
    Ok(best.1)
}

fn squared_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The sum of squared distances to the nearer centre at the end of one start, and who is nearer to the second.
fn lloyd(points: ArrayView2<'_, f64>, rng: &mut impl Rng) -> (f64, Array1<bool>) {
    let n = points.nrows();
    let first = points.row(rng.gen_range(0..n)).to_owned();
    let squares: Vec<f64> = points
        .outer_iter()
        .map(|point| squared_distance(point, first.view()))
        .collect();
    let mut left = rng.gen::<f64>() * squares.iter().sum::<f64>();
    let second = squares.iter().position(|square| {
        left -= square;
        left < 0.0
    });
    let mut centres = [first, points.row(second.unwrap_or(n - 1)).to_owned()];
    let mut side = Array1::from_elem(n, false);
    let mut sum = 0.0;
    for _ in 0..ROUNDS {
        sum = 0.0;
        let nearer = points.outer_iter().map(|point| {
            let [one, other] = [0, 1].map(|c: usize| squared_distance(point, centres[c].view()));
            sum += one.min(other);
            other < one
        });
        let next: Array1<bool> = nearer.collect();
        if next == side {
            break;
        }
        side = next;
        for (which, centre) in [false, true].into_iter().zip(&mut centres) {
            let own: Vec<usize> = (0..n).filter(|&point| side[point] == which).collect();
            if let Some(mean) = points.select(Axis(0), &own).mean_axis(Axis(0)) {
                *centre = mean;
            }
        }
    }
    (sum, side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use ndarray::arr2;

    #[test]
    fn a_disc_has_its_area_and_lies_in_the_middle() {
        let disc = centre_disc([4, 4], 4);
        let middle = arr2(&[
            [false, false, false, false],
            [false, true, true, false],
            [false, true, true, false],
            [false, false, false, false],
        ]);
        assert_eq!(disc, middle);
        // Of four pixels that are as near the first.
        let plus = centre_disc([3, 5], 2);
        assert!(plus[[1, 2]] && plus[[0, 2]]);
        let large = centre_disc([32, 32], 200);
        assert_eq!(large.iter().filter(|&&inside| inside).count(), 200);
        // The radius of 200 pixels is 7.98.
        for ((y, x), &inside) in large.indexed_iter() {
            let away = ((y as f64 - 15.5).powi(2) + (x as f64 - 15.5).powi(2)).sqrt();
            assert!(if inside { away < 8.6 } else { away > 7.4 }, "{y} {x}");
        }
        assert!(centre_disc([2, 2], 9).iter().all(|&inside| inside));
    }

    #[test]
    fn smooth_maps_are_positive_smooth_and_different() {
        let mut rng = seed::stream(1, "test");
        let maps = smooth_maps(50, [8, 8], 1.0, &mut rng);
        assert_eq!(maps.dim(), (50, 8, 8));
        let logarithms = maps.mapv(f64::ln);
        let mut neighbours = 0.0;
        for map in logarithms.outer_iter() {
            assert!((map.sum() / 64.0).abs() < 1e-12);
            assert!((map.mapv(|v| v * v).sum() / 64.0 - 1.0).abs() < 1e-12);
            for y in 0..8 {
                neighbours += (0..7).map(|x| map[[y, x]] * map[[y, x + 1]]).sum::<f64>() / 56.0;
            }
        }
        // Noise smoothed by a Gaussian has the correlation exp(-1/4) one deviation on, .78; less the mean of the map.
        assert!((0.6..0.85).contains(&(neighbours / 50.0)), "{neighbours}");
        assert_ne!(maps.index_axis(Axis(0), 0), maps.index_axis(Axis(0), 1));
    }

    #[test]
    fn two_means_part_two_clouds_and_no_better_parting_exists() {
        let mut rng = seed::stream(2, "test");
        let clouds = Array2::from_shape_fn((60, 3), |(point, _)| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            noise + if point % 3 == 0 { 8.0 } else { 0.0 }
        });
        let side = two_means(clouds.view(), 3, &mut rng).unwrap();
        let first = side[0];
        assert!((0..60).all(|point| (side[point] == first) == (point % 3 == 0)));
        // Few points: of all partings none has a smaller sum of squares.
        let few = arr2(&[[0.0], [1.0], [3.5], [4.0], [7.5], [8.0]]);
        let cost = |side: &dyn Fn(usize) -> bool| {
            let of = |which: bool| {
                let own: Vec<f64> = (0..6)
                    .filter(|&i| side(i) == which)
                    .map(|i| few[[i, 0]])
                    .collect();
                let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
                own.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
            };
            of(false) + of(true)
        };
        let found = two_means(few.view(), 20, &mut rng).unwrap();
        let least = (0..64).map(|bits| cost(&|i| (bits >> i) & 1 == 1));
        let least = least.fold(f64::INFINITY, f64::min);
        assert!((cost(&|i| found[i]) - least).abs() < 1e-12);
    }

    #[test]
    fn equal_points_are_one_cluster_and_what_is_no_point_is_refused() {
        let mut rng = seed::stream(3, "test");
        let equal = Array2::from_elem((5, 2), 1.0);
        let side = two_means(equal.view(), 2, &mut rng).unwrap();
        assert!(side.iter().all(|&second| !second));
        let mut wrong = equal.clone();
        wrong[[2, 1]] = f64::NAN;
        assert!(two_means(wrong.view(), 2, &mut rng).is_err());
        assert!(two_means(equal.slice(ndarray::s![..1, ..]), 2, &mut rng).is_err());
    }
}
