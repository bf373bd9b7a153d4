//! The linear classifier on pixels, the floor under every network: least squares to the classes,
//! solved exactly.

use ndarray::{s, Array2, Axis};
use ndarray_linalg::{FactorizeHInto, SolveH};

use crate::data::Images;
use crate::error::{Error, Result};
use crate::train::score::rank;

/// Weight of the ridge over the mean square of a pixel: enough to make the solution unique, too little
/// to be felt.
const RIDGE: f64 = 1e-3;

/// Images per piece of the sums.
const PIECE: usize = 500;

/// Accuracy on `held_out` of the classifier `argmax_c (W x + b)_c` whose `W` and `b` minimise
/// `sum_i |W x_i + b - e_{y_i}|^2 + r |W|^2` over `images`.
///
/// # Errors
/// [`Error::Io`] if an image cannot be read, [`Error::Domain`] if the equations have no solution.
pub fn accuracy(images: &Images, held_out: &Images) -> Result<f64> {
    let [channels, height, width] = images.shape;
    let size = channels * height * width;
    // One more column, of ones, carries `b`.
    let mut gram = Array2::<f64>::zeros((size + 1, size + 1));
    let mut targets = Array2::<f64>::zeros((size + 1, images.classes));
    each_piece(images, |x, labels| {
        gram += &x.t().dot(x);
        for (row, &label) in x.rows().into_iter().zip(labels) {
            targets.column_mut(label).scaled_add(1.0, &row);
        }
    })?;
    let diagonal = gram.diag().slice(s![..size]).sum() / size as f64;
    gram.diag_mut()
        .slice_mut(s![..size])
        .mapv_inplace(|g| g + RIDGE * diagonal);
    let unsolvable = |e: ndarray_linalg::error::LinalgError| {
        Error::domain(
            "the equations of least squares",
            "a solution",
            e.to_string(),
            "use more images",
        )
    };
    let factors = gram.factorizeh_into().map_err(unsolvable)?;
    let mut solution = Array2::zeros((size + 1, images.classes));
    for (class, target) in targets.axis_iter(Axis(1)).enumerate() {
        let column = factors.solveh(&target.to_owned()).map_err(unsolvable)?;
        solution.column_mut(class).assign(&column);
    }
    let mut correct = 0;
    each_piece(held_out, |x, labels| {
        for (scores, &label) in x.dot(&solution).rows().into_iter().zip(labels) {
            correct += usize::from(rank(&scores.to_vec(), label) == 0);
        }
    })?;
    Ok(correct as f64 / held_out.len() as f64)
}

/// Hands over images, one a row with a one at its end, and their classes.
fn each_piece(images: &Images, mut take: impl FnMut(&Array2<f64>, &[usize])) -> Result<()> {
    let [channels, height, width] = images.shape;
    let size = channels * height * width;
    for start in (0..images.len()).step_by(PIECE) {
        let end = (start + PIECE).min(images.len());
        let values = images.normalised(start..end, [height, width])?;
        let mut x = Array2::ones((end - start, size + 1));
        for (mut row, image) in x.rows_mut().into_iter().zip(values.chunks_exact(size)) {
            for (x, &v) in row.iter_mut().zip(image) {
                *x = f64::from(v);
            }
        }
        take(&x, &images.labels[start..end]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Normalisation;

    /// Three classes, told by which of three pixels is brightest.
    fn images(count: usize, phase: f64) -> Images {
        let mut pixels = Vec::new();
        let mut labels = Vec::new();
        for i in 0..count {
            let label = i % 3;
            for pixel in 0..4 {
                let noise = 20.0 * (phase + i as f64 * 1.7 + f64::from(pixel)).sin();
                let signal = if pixel as usize == label { 180.0 } else { 40.0 };
                pixels.push((signal + noise) as u8);
            }
            labels.push(label);
        }
        let normalisation = Normalisation {
            mean: vec![0.5],
            deviation: vec![0.25],
        };
        Images::new("spots", [1, 2, 2], 3, pixels, labels, normalisation).unwrap()
    }

    #[test]
    fn what_is_linearly_separable_is_separated_and_what_says_nothing_is_guessed() {
        let (training, held_out) = (images(300, 0.0), images(90, 0.5));
        assert_eq!(accuracy(&training, &held_out).unwrap(), 1.0);
        let blind = accuracy(&training.permuted(3), &held_out).unwrap();
        assert!(blind < 0.8, "{blind}");
    }
}
