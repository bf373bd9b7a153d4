//! Loss and accuracy of a network on labelled images.

use serde::{Deserialize, Serialize};

use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::{Classifier, Runtime};

/// Images per piece of an evaluation.
pub const EVALUATION_PIECE: usize = 50;

/// Mean loss and accuracy over a set of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean cross-entropy, nats.
    pub loss: f64,
    /// Fraction of images of whose logits the largest is that of their class; see [`rank`].
    pub accuracy: f64,
    /// Fraction of images whose class is among the first five by [`rank`].
    #[serde(default)]
    pub top5: f64,
}

/// The place, from 0, of class `label` among the classes by falling score. Of equal scores the lower class
/// comes first, as for `argmax`: a network that gives all classes the same score finds class 0 alone.
pub fn rank<E: PartialOrd>(scores: &[E], label: usize) -> usize {
    let own = &scores[label];
    let ahead = scores
        .iter()
        .enumerate()
        .filter(|&(class, score)| score > own || (score == own && class < label));
    ahead.count()
}

/// Refuses logits (b, `classes`) of which one is NaN or infinite; `picture` names the picture of a row.
///
/// # Errors
/// [`Error::Domain`] naming the first such picture and class.
pub fn check_logits(
    logits: &[f32],
    classes: usize,
    picture: impl Fn(usize) -> String,
) -> Result<()> {
    let Some(index) = logits.iter().position(|x| !x.is_finite()) else {
        return Ok(());
    };
    let (row, class) = (index / classes, index % classes);
    Err(Error::domain(
        format!("logits of {}", picture(row)),
        "finite numbers",
        format!("{} for class {class}", logits[index]),
        "look for parameters of the network that are not finite, or far too large",
    ))
}

/// Loss (without smoothing) and accuracy; `done` is called after every [`EVALUATION_PIECE`] images.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the network, [`Error::Domain`] naming the first picture whose
/// logits are not finite, [`Error::Device`].
pub fn evaluate<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    images: &Images,
    threads: usize,
    done: impl Fn() + Sync,
) -> Result<Score> {
    network.check_fit(images)?;
    let classes = network.config().classes;
    let pieces = images.len().div_ceil(EVALUATION_PIECE);
    let range = |piece: usize| {
        let start = piece * EVALUATION_PIECE;
        start..(start + EVALUATION_PIECE).min(images.len())
    };
    let forward = |network: &Classifier<f32, D>, piece: usize| {
        let input = images.normalised(range(piece), network.config().image_size)?;
        Ok((piece, network.forward(&input)?))
    };
    let parts = D::run_pieces(network, pieces, threads, forward, |(piece, logits)| {
        let images_of = range(piece);
        check_logits(&logits, classes, |row| {
            images.describe(images_of.start + row)
        })?;
        let (mut loss, mut correct, mut among) = (0.0, 0, 0);
        for (row, &label) in logits
            .chunks_exact(classes)
            .zip(&images.labels[images_of.clone()])
        {
            let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            loss += largest + sum.ln() - row[label];
            let place = rank(&row, label);
            correct += usize::from(place == 0);
            among += usize::from(place < 5);
        }
        done();
        Ok((loss, correct, among))
    })?;
    let count = images.len() as f64;
    Ok(Score {
        loss: parts.iter().map(|part| part.0).sum::<f64>() / count,
        accuracy: parts.iter().map(|part| part.1).sum::<usize>() as f64 / count,
        top5: parts.iter().map(|part| part.2).sum::<usize>() as f64 / count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_stand_in_the_order_of_their_classes() {
        assert_eq!(rank(&[0.0, 2.0, 1.0], 1), 0);
        assert_eq!(rank(&[0.0, 2.0, 1.0], 0), 2);
        let places: Vec<usize> = (0..4).map(|label| rank(&[0.5; 4], label)).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        assert_eq!(rank(&[1.0, 3.0, 3.0], 2), 1);
    }

    #[test]
    fn a_logit_that_is_no_number_is_named_by_picture_and_class() {
        let picture = |row: usize| format!("picture {row}");
        check_logits(&[0.0, -1e38, 3.0, 4.0], 2, picture).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = check_logits(&[0.0, 1.0, 2.0, bad], 2, picture).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("logits of picture 1: "), "{message}");
            assert!(message.contains("for class 1"), "{message}");
            assert_eq!(error.exit_code(), 1);
        }
    }
}
