//! Random changes to training images.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::data::Images;

/// A random shift with zero padding and a random horizontal flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Augmentation {
    /// Largest shift in each direction, pixels.
    pub shift: usize,
    /// Whether to flip every second image, on average.
    pub flip: bool,
}

impl Augmentation {
    /// The changed bytes of image `index`, (channels, height, width).
    pub fn apply(&self, images: &Images, index: usize, rng: &mut impl Rng) -> Vec<u8> {
        let image = images.image(index);
        let [channels, height, width] = images.shape;
        let shift = self.shift as isize;
        let down = rng.gen_range(-shift..=shift);
        let right = rng.gen_range(-shift..=shift);
        let flip = self.flip && rng.gen();
        let mut changed = vec![0; image.len()];
        for channel in 0..channels {
            for y in 0..height {
                let Some(from_y) = y.checked_add_signed(-down).filter(|&y| y < height) else {
                    continue;
                };
                for x in 0..width {
                    let Some(from_x) = x.checked_add_signed(-right).filter(|&x| x < width) else {
                        continue;
                    };
                    let from_x = if flip { width - 1 - from_x } else { from_x };
                    changed[(channel * height + y) * width + x] =
                        image[(channel * height + from_y) * width + from_x];
                }
            }
        }
        changed
    }
}
