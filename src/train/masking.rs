//! Which patches of a picture a masked autoencoder does not see.

use rand::seq::SliceRandom;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How pictures are masked, and what is to be found of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masking {
    /// The share of patches that is masked.
    pub ratio: f64,
    /// Whether the pixels to be found are those of patches brought to mean 0 and deviation 1, each by itself (official
    /// `norm_pix_loss`).
    pub normalised_targets: bool,
}

impl Default for Masking {
    /// The papers'.
    fn default() -> Self {
        Self {
            ratio: 0.75,
            normalised_targets: false,
        }
    }
}

/// Under the root, where patches are brought to deviation 1.
const EPSILON: f64 = 1e-6;

impl Masking {
    /// Of so many patches, how many stay: `floor(patches (1 - ratio))` in doubles, as in the official code, which keeps
    /// 9 of 100 at a ratio of 0.9.
    pub fn kept(&self, patches: usize) -> usize {
        // The product is between 0 and the number of patches.
        (patches as f64 * (1.0 - self.ratio)) as usize
    }

    /// Of each patch, whether it is masked: all choices of [`Masking::kept`] patches that stay are equally likely.
    pub fn draw(&self, patches: usize, rng: &mut impl Rng) -> Vec<bool> {
        let mut order: Vec<usize> = (0..patches).collect();
        let (stay, _) = order.partial_shuffle(rng, self.kept(patches));
        let mut masked = vec![true; patches];
        for &patch in stay.iter() {
            masked[patch] = false;
        }
        masked
    }

    /// The pixels that are to be found, made of those of patches `width` numbers each.
    pub fn targets(&self, mut patches: Vec<f32>, width: usize) -> Vec<f32> {
        if !self.normalised_targets {
            return patches;
        }
        for patch in patches.chunks_exact_mut(width) {
            let (mean, scale) = moments(patch);
            for x in patch.iter_mut() {
                *x = ((f64::from(*x) - mean) * scale) as f32;
            }
        }
        patches
    }

    /// Undoes [`Masking::targets`] with the true moments of each patch, for pictures of what a network found.
    pub fn restore(&self, patches: &[f32], found: &mut [f32], width: usize) {
        let pairs = patches
            .chunks_exact(width)
            .zip(found.chunks_exact_mut(width));
        for (patch, found) in pairs {
            let (mean, scale) = moments(patch);
            for x in found.iter_mut() {
                *x = (f64::from(*x) / scale + mean) as f32;
            }
        }
    }
}

/// Mean, and the inverse deviation by which a patch is scaled.
fn moments(patch: &[f32]) -> (f64, f64) {
    let count = patch.len() as f64;
    let mean = patch.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let squares = patch.iter().map(|&x| (f64::from(x) - mean).powi(2));
    // Unbiased, as PyTorch's.
    let variance = squares.sum::<f64>() / (count - 1.0).max(1.0);
    (mean, 1.0 / (variance + EPSILON).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    fn masking(ratio: f64) -> Masking {
        Masking {
            ratio,
            ..Masking::default()
        }
    }

    #[test]
    fn as_many_patches_stay_as_in_the_official_code() {
        for (patches, ratio, kept) in [
            (196, 0.75, 49),
            (49, 0.75, 12),
            (100, 0.9, 9),
            (49, 0.0, 49),
        ] {
            assert_eq!(masking(ratio).kept(patches), kept);
            let masked = masking(ratio).draw(patches, &mut seed::stream(1, "mask"));
            assert_eq!(masked.iter().filter(|&&m| !m).count(), kept);
        }
    }

    #[test]
    fn every_patch_is_as_likely_to_stay_as_any_other() {
        let mut rng = seed::stream(2, "mask");
        let (draws, patches) = (4000, 16);
        let mut stayed = vec![0usize; patches];
        for _ in 0..draws {
            let masked = masking(0.75).draw(patches, &mut rng);
            for (count, masked) in stayed.iter_mut().zip(masked) {
                *count += usize::from(!masked);
            }
        }
        // Binomial with p = 1/4: five deviations.
        let (mean, deviation) = (1000.0, (4000.0f64 * 0.25 * 0.75).sqrt());
        let far = stayed
            .iter()
            .any(|&c| (c as f64 - mean).abs() > 5.0 * deviation);
        assert!(!far, "{stayed:?}");
    }

    #[test]
    fn normalised_targets_have_mean_zero_and_unbiased_deviation_one() {
        let normalised = Masking {
            normalised_targets: true,
            ..Masking::default()
        };
        let targets = normalised.targets(vec![1.0, 2.0, 3.0, 7.0, 7.0, 7.0], 3);
        let wanted = [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let far = targets
            .iter()
            .zip(wanted)
            .any(|(t, w)| (t - w).abs() > 1e-6);
        assert!(!far, "{targets:?}");
        let mut restored = targets;
        normalised.restore(&[1.0, 2.0, 3.0, 7.0, 7.0, 7.0], &mut restored, 3);
        let far = restored
            .iter()
            .zip([1.0, 2.0, 3.0, 7.0, 7.0, 7.0])
            .any(|(t, w)| (t - w).abs() > 1e-6);
        assert!(!far, "{restored:?}");
        assert_eq!(masking(0.5).targets(vec![3.0, 4.0], 2), [3.0, 4.0]);
    }
}
