//! Gradients that are too long are scaled down.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The gradients whose length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClipBy {
    /// Those of all parameters, as one vector: PyTorch's `clip_grad_norm_`.
    #[default]
    Norm,
    /// That of every parameter by itself: DINO's `clip_gradients`.
    Tensor,
}

impl ClipBy {
    /// Scales gradients, by parameter, down to the length `longest` where they are longer.
    pub fn clip(self, gradients: &mut [Vec<f32>], longest: f64) {
        match self {
            Self::Norm => clip(gradients, longest),
            Self::Tensor => gradients.chunks_mut(1).for_each(|one| clip(one, longest)),
        }
    }
}

fn clip(gradients: &mut [Vec<f32>], longest: f64) {
    let square = |gradient: &Vec<f32>| gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    let factor = longest / (norm + 1e-6);
    if factor < 1.0 {
        for gradient in gradients.iter_mut().flatten() {
            *gradient *= factor as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[Vec<f32>], expected: [f32; 3]) {
        let pairs = found.iter().flatten().zip(expected);
        let far = pairs.filter(|(found, expected)| (*found - expected).abs() > 1e-6);
        assert_eq!(far.count(), 0, "{found:?}");
    }

    #[test]
    fn gradients_are_clipped_as_one_vector() {
        let mut gradients = vec![vec![3.0, 0.0], vec![4.0]];
        ClipBy::Norm.clip(&mut gradients, 10.0);
        assert_eq!(gradients, [vec![3.0, 0.0], vec![4.0]]);
        ClipBy::Norm.clip(&mut gradients, 1.0);
        close(&gradients, [0.6, 0.0, 0.8]);
    }

    #[test]
    fn gradients_are_clipped_one_by_one() {
        let mut gradients = vec![vec![0.3, 0.4], Vec::new(), vec![4.0]];
        ClipBy::Tensor.clip(&mut gradients, 1.0);
        close(&gradients, [0.3, 0.4, 1.0]);
        assert_eq!(gradients[0], [0.3, 0.4], "short enough");
        assert!(gradients[1].is_empty());
        ClipBy::Norm.clip(&mut gradients, 1.0);
        // The length was sqrt(1.25).
        close(&gradients, [0.268_328_16, 0.357_770_9, 0.894_427_2]);
    }
}
