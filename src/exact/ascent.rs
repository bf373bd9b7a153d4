//! Projected gradient ascent with the step lengths of Barzilai and Borwein (1988): the search behind the
//! claims on where a rate reduction is largest.

use ndarray::Array2;

use crate::error::Result;

/// Where a step moves the tokens by no more than this share of their squared size, the search is at its end.
const STILL: f64 = 1e-26;

/// From `start` along `gradient`, `project`ed after every step, until a step no longer moves the tokens or
/// `iterations` are used up. The first step has length `first_step`, later ones
/// `||dZ||^2 / -<dZ, dG>`, `dZ` and `dG` the last changes of tokens and gradient: the inverse of the
/// curvature along the last step. Where that is not positive it is `first_step` again, and never
/// more than a hundred times as long.
///
/// No line search: the objective may fall on the way. It ends at a critical point, where `gradient` is zero or
/// the projection takes all of it back, if it ends before its iterations.
///
/// # Shapes
/// start (d, N); `gradient` and `project` keep the shape.
///
/// # Example
/// `-4 sum (z - 1)^2` has the gradient `8 (1 - z)`. A first step of 1/16 goes half of the way, the second, of the
/// inverse curvature 1/8, the rest.
/// ```
/// use ndarray::array;
/// use whitebox::exact::ascent::ascend;
///
/// let start = array![[9.0, 1.0], [-3.0, 5.0]];
/// let slope = |z: &ndarray::Array2<f64>| Ok((1.0 - z) * 8.0);
/// let once = ascend(start.clone(), 1, 1.0 / 16.0, slope, Ok)?;
/// assert_eq!(once, array![[5.0, 1.0], [-1.0, 3.0]]);
/// let twice = ascend(start, 2, 1.0 / 16.0, slope, Ok)?;
/// assert_eq!(twice, array![[1.0, 1.0], [1.0, 1.0]]);
/// # Ok::<(), whitebox::Error>(())
/// ```
///
/// # Errors
/// Those of `gradient` and `project`.
///
/// # Panics
/// If one of them changes the shape.
pub fn ascend(
    start: Array2<f64>,
    iterations: usize,
    first_step: f64,
    gradient: impl Fn(&Array2<f64>) -> Result<Array2<f64>>,
    project: impl Fn(Array2<f64>) -> Result<Array2<f64>>,
) -> Result<Array2<f64>> {
    let mut z = start;
    let mut slope = gradient(&z)?;
    let mut step = first_step;
    for _ in 0..iterations {
        let next = project(&z + &(&slope * step))?;
        let new_slope = gradient(&next)?;
        let moved = &next - &z;
        let length = (&moved * &moved).sum();
        if length <= STILL * (&next * &next).sum() {
            return Ok(next);
        }
        let curvature = -(&moved * &(&new_slope - &slope)).sum();
        // Along a convex direction the step length says nothing: keep the first one.
        step = if curvature > 0.0 {
            (length / curvature).min(100.0 * first_step)
        } else {
            first_step
        };
        (z, slope) = (next, new_slope);
    }
    Ok(z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_concave_quadratic_is_climbed_to_its_top() {
        // -1/2 sum h (z - a)^2: gradient h (a - z), curvatures a factor of a hundred apart.
        let (top, curvature) = (
            array![[3.0, -2.0], [0.5, 7.0]],
            array![[1.0, 30.0], [100.0, 5.0]],
        );
        let gradient = |z: &Array2<f64>| Ok((&top - z) * &curvature);
        let found = ascend(Array2::zeros((2, 2)), 500, 1e-2, gradient, Ok).unwrap();
        for (found, top) in found.iter().zip(&top) {
            assert!((found - top).abs() < 1e-12, "{found} {top}");
        }
    }

    #[test]
    fn one_curvature_takes_two_steps() {
        // The second step has the inverse curvature as its length.
        let gradient = |z: &Array2<f64>| Ok((1.0 - z) * 8.0);
        let found = ascend(array![[9.0, -4.0]], 2, 1.0 / 16.0, gradient, Ok).unwrap();
        assert_eq!(found, array![[1.0, 1.0]]);
    }

    #[test]
    fn a_linear_form_is_largest_on_the_sphere_where_the_sphere_faces_it() {
        let form = array![[3.0], [-4.0]];
        let unit = |z: Array2<f64>| {
            let length = (&z * &z).sum().sqrt();
            Ok(z / length)
        };
        let found = ascend(array![[0.0], [1.0]], 200, 0.1, |_| Ok(form.clone()), unit).unwrap();
        for (found, exact) in found.iter().zip([0.6, -0.8]) {
            assert!((found - exact).abs() < 1e-12, "{found} {exact}");
        }
    }

    #[test]
    fn without_iterations_the_start_is_kept() {
        let start = array![[1.0, 2.0]];
        let found = ascend(start.clone(), 0, 1.0, |z| Ok(z.clone()), Ok).unwrap();
        assert_eq!(found, start);
    }
}
