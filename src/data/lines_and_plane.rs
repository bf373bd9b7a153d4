//! Two lines and a plane through the origin of space, with noise: the example by which the book (chapter 3)
//! shows that a lossy code finds clusters of different dimensions.

use ndarray::{s, Array2, Axis};
use rand::Rng;

use super::subspaces::{gaussian, orthogonal_bases};
use crate::error::Result;
use crate::seed;

/// How many points, and how noisy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinesAndPlane {
    /// On each of the two lines.
    pub line_points: usize,
    /// On the plane.
    pub plane_points: usize,
    /// Standard deviation of every coordinate.
    pub noise: f64,
}

impl LinesAndPlane {
    /// Points (3, N) in the order of their groups, and the group of each: 0 and 1 the lines, 2 the plane.
    /// Coordinates along lines and plane are uniform on -1 to 1. The lines are neither in the plane nor
    /// orthogonal to it.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if the frame cannot be orthogonalised.
    pub fn draw(&self, seed: u64, draw: usize) -> Result<(Array2<f64>, Vec<usize>)> {
        let frame = orthogonal_bases(seed, &format!("frame {draw}"), 3, 1)?;
        let axis = |k: usize| frame.slice(s![k, .., 0]).to_owned();
        let lines = [&axis(2) + &(axis(0) * 0.5), &axis(2) - &(axis(1) * 0.5)];
        let total = 2 * self.line_points + self.plane_points;
        let mut rng = seed::stream(seed, &format!("points {draw}"));
        let mut points = gaussian(seed, &format!("jitter {draw}"), 3, total) * self.noise;
        let mut group = Vec::with_capacity(total);
        for (j, mut point) in points.axis_iter_mut(Axis(1)).enumerate() {
            let k = (j / self.line_points).min(2);
            group.push(k);
            let mut uniform = || rng.gen_range(-1.0..1.0f64);
            if k < 2 {
                point.scaled_add(uniform(), &lines[k]);
            } else {
                point.scaled_add(uniform(), &axis(0));
                point.scaled_add(uniform(), &axis(1));
            }
        }
        Ok((points, group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::low_rank::singular_values;

    #[test]
    fn groups_have_the_dimensions_of_lines_and_planes_up_to_the_noise() {
        for noise in [0.0, 1e-3] {
            let model = LinesAndPlane {
                line_points: 40,
                plane_points: 60,
                noise,
            };
            let (points, group) = model.draw(3, 0).unwrap();
            assert_eq!(group.iter().filter(|&&k| k == 2).count(), 60);
            for (k, rank) in [(0, 1), (1, 1), (2, 2)] {
                let members: Vec<usize> = (0..group.len()).filter(|&j| group[j] == k).collect();
                let own = points.select(Axis(1), &members);
                let values = singular_values(&own).unwrap();
                assert!(values[rank - 1] > 3.0, "{values}");
                assert!(values[rank] < 12.0 * noise + 1e-14, "{values}");
            }
            // All of space together.
            assert!(singular_values(&points).unwrap()[2] > 1.0);
        }
    }
}
