//! By how much a layer of the attention-only transformer multiplies the ratio of signal to noise, against the
//! `1 + eta tau` of the book's theorem 4.1, (4.3.5).

use ndarray::{Array2, Axis};

use super::denoising::{block_ratios, mean_ratio};
use crate::data::subspaces::SubspaceTokens;
use crate::exact::attention_only::{attention_only_layer, Phi};

/// A layer of the theorem: step `eta`, threshold `tau` of the softmax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theorem {
    /// Length of the step.
    pub eta: f64,
    /// Threshold.
    pub tau: f64,
}

impl Theorem {
    /// `1 + eta tau`, by which the theorem has a layer multiply the ratio.
    pub fn gain(self) -> f64 {
        1.0 + self.eta * self.tau
    }

    fn layer(self, drawn: &SubspaceTokens, z: &Array2<f64>) -> Array2<f64> {
        let phi = Phi::Thresholded { tau: self.tau };
        attention_only_layer(z.view(), drawn.bases.view(), self.eta, phi)
    }

    /// Relative deviation of the growth over one layer from the gain, largest over subspaces.
    fn deviation(self, before: &[f64], after: &[f64]) -> f64 {
        let pairs = before.iter().zip(after);
        let off = pairs.map(|(b, a)| (a / b / self.gain() - 1.0).abs());
        off.fold(0.0, f64::max)
    }

    /// Of each of `layers` layers how far the growth of the ratio is from [`Self::gain`], relative, the largest over
    /// subspaces; where `rescaled`, every token is brought to length `sqrt(p)` before the first and after each.
    pub fn deviations(self, drawn: &SubspaceTokens, layers: usize, rescaled: bool) -> Vec<f64> {
        let mut z = drawn.noisy.clone();
        let p = drawn.bases.dim().2;
        if rescaled {
            rescale(&mut z, p);
        }
        let mut found = Vec::with_capacity(layers);
        for _ in 0..layers {
            // The layer's own growth: rescaling weighs the tokens of a subspace anew, and so moves the
            // ratio of their sum without moving that of any token.
            let before = block_ratios(drawn, &z);
            z = self.layer(drawn, &z);
            found.push(self.deviation(&before, &block_ratios(drawn, &z)));
            if rescaled {
                rescale(&mut z, p);
            }
        }
        found
    }

    /// How far the growth over the first layer is from [`Self::gain`], relative, the largest over subspaces, with
    /// scores times `p^{-1/2}`, the network's scale.
    pub fn first_deviation_with_scaled_scores(self, drawn: &SubspaceTokens) -> f64 {
        // Scores scaled by p^{-1/2} are scores of tokens scaled by p^{-1/4}; the ratio ignores scale.
        let z = &drawn.noisy * (drawn.bases.dim().2 as f64).powf(-0.25);
        let before = block_ratios(drawn, &z);
        self.deviation(&before, &block_ratios(drawn, &self.layer(drawn, &z)))
    }
}

/// Every token to length `sqrt(p)`, what a clean token has on average.
fn rescale(z: &mut Array2<f64>, p: usize) {
    for mut token in z.axis_iter_mut(Axis(1)) {
        let length = token.dot(&token).sqrt();
        if length > 0.0 {
            token *= (p as f64).sqrt() / length;
        }
    }
}

/// Mean ratio of signal to noise over subspaces before each of `count` layers of step `eta` with any `phi`: the first
/// is that of the input.
pub fn ratios(drawn: &SubspaceTokens, eta: f64, phi: Phi, count: usize) -> Vec<f64> {
    let mut z = drawn.noisy.clone();
    let mut ratios = vec![mean_ratio(drawn, &z)];
    while ratios.len() < count {
        z = attention_only_layer(z.view(), drawn.bases.view(), eta, phi);
        ratios.push(mean_ratio(drawn, &z));
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::UnionOfSubspaces;

    const THEOREM: Theorem = Theorem { eta: 0.5, tau: 0.6 };

    #[test]
    fn little_noise_grows_as_the_theorem_has_it_and_much_does_not() {
        let drawn = |noise: f64| UnionOfSubspaces::new(2, 64, 24, noise).draw(1, 0).unwrap();
        let little = THEOREM.deviations(&drawn(1e-3), 3, false);
        assert!(little.iter().all(|&d| d < 1e-9), "{little:?}");
        let rescaled = THEOREM.deviations(&drawn(1e-3), 3, true);
        assert!(rescaled.iter().all(|&d| d < 1e-9), "{rescaled:?}");
        let much = THEOREM.deviations(&drawn(1.0), 1, false);
        assert!(much[0] > 1e-3, "{much:?}");
    }

    #[test]
    fn curves_begin_at_the_input_and_follow_the_gain() {
        let drawn = UnionOfSubspaces::new(2, 64, 24, 1e-3).draw(1, 0).unwrap();
        let curve = ratios(&drawn, 0.5, Phi::Thresholded { tau: 0.6 }, 3);
        assert_eq!(curve.len(), 3);
        assert_eq!(curve[0], mean_ratio(&drawn, &drawn.noisy));
        let growth = curve[2] / curve[0];
        assert!((growth - THEOREM.gain().powi(2)).abs() < 1e-9);
    }
}
