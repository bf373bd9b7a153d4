//! Random changes to training pictures: shift and flip, and those of the official programs
//! (`RandomResizedCrop`, `RandomHorizontalFlip` and `RandAugment` of torchvision).

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rand_augment::RandAugment;
use crate::data::picture::{Picture, Rectangle};

/// What is done to a training picture, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// A random rectangle, resized to the network's input; without, the whole picture.
    pub crop: Option<RandomResizedCrop>,
    /// Largest shift in each direction, pixels; what comes in is black.
    pub shift: usize,
    /// Whether to flip every second picture, on average.
    pub flip: bool,
    /// Random operations on colours and geometry.
    pub rand_augment: Option<RandAugment>,
}

/// A rectangle of random area, proportions and place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// Its area as a fraction of the picture's, from and to.
    pub scale: [f64; 2],
    /// Its width over its height, from and to.
    pub ratio: [f64; 2],
}

impl Default for RandomResizedCrop {
    /// torchvision's.
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        }
    }
}

impl Augmentation {
    /// A changed copy of `picture`, of the size `to`.
    pub fn apply<'a>(
        &self,
        picture: &Picture<'a>,
        to: [usize; 2],
        rng: &mut impl Rng,
    ) -> Picture<'a> {
        let picture = match self.crop {
            Some(crop) => crop.apply(picture, to, rng),
            None => picture.resize(to),
        };
        let shift = self.shift as isize;
        let down = rng.gen_range(-shift..=shift);
        let right = rng.gen_range(-shift..=shift);
        let flip = self.flip && rng.gen();
        let picture = move_and_flip(picture, down, right, flip);
        match self.rand_augment {
            Some(rand_augment) => rand_augment.apply(picture, rng),
            None => picture,
        }
    }
}

fn move_and_flip(picture: Picture<'_>, down: isize, right: isize, flip: bool) -> Picture<'_> {
    if (down, right, flip) == (0, 0, false) {
        return picture;
    }
    let [channels, height, width] = picture.shape;
    let mut changed = vec![0; picture.planes.len()];
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
                    picture.planes[(channel * height + from_y) * width + from_x];
            }
        }
    }
    Picture {
        shape: picture.shape,
        planes: changed.into(),
    }
}

impl RandomResizedCrop {
    fn apply<'a>(&self, picture: &Picture<'a>, to: [usize; 2], rng: &mut impl Rng) -> Picture<'a> {
        let [_, height, width] = picture.shape;
        picture.crop_and_resize(self.rectangle([height, width], rng), to)
    }

    /// Ten attempts to fit a random rectangle in, then the largest in the middle that has allowed
    /// proportions.
    fn rectangle(&self, [height, width]: [usize; 2], rng: &mut impl Rng) -> Rectangle {
        let area = (height * width) as f64;
        for _ in 0..10 {
            let target = area * rng.gen_range(self.scale[0]..=self.scale[1]);
            let ratio = rng.gen_range(self.ratio[0].ln()..=self.ratio[1].ln()).exp();
            let w = (target * ratio).sqrt().round_ties_even() as usize;
            let h = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return Rectangle {
                    top: rng.gen_range(0..=height - h),
                    left: rng.gen_range(0..=width - w),
                    height: h,
                    width: w,
                };
            }
        }
        let ratio = width as f64 / height as f64;
        let round = |length: f64| length.round_ties_even() as usize;
        let (h, w) = if ratio < self.ratio[0] {
            (round(width as f64 / self.ratio[0]), width)
        } else if ratio > self.ratio[1] {
            (height, round(height as f64 * self.ratio[1]))
        } else {
            (height, width)
        };
        let (h, w) = (h.clamp(1, height), w.clamp(1, width));
        Rectangle {
            top: (height - h) / 2,
            left: (width - w) / 2,
            height: h,
            width: w,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use proptest::prelude::*;

    #[test]
    fn nothing_asked_for_changes_nothing() {
        let picture = Picture {
            shape: [1, 3, 2],
            planes: vec![1, 2, 3, 4, 5, 6].into(),
        };
        let mut rng = seed::stream(0, "a");
        let same = Augmentation::default().apply(&picture, [3, 2], &mut rng);
        assert_eq!(same, picture);
        assert_eq!(
            move_and_flip(picture, 1, 0, true).planes.as_ref(),
            [0, 0, 2, 1, 4, 3]
        );
    }

    proptest! {
        #[test]
        fn a_random_rectangle_lies_in_the_picture(
            height in 1usize..200, width in 1usize..200, seed in any::<u64>()
        ) {
            let crop = RandomResizedCrop::default();
            let found = crop.rectangle([height, width], &mut seed::stream(seed, "crop"));
            prop_assert!(found.height >= 1 && found.top + found.height <= height);
            prop_assert!(found.width >= 1 && found.left + found.width <= width);
        }
    }

    #[test]
    fn random_rectangles_cover_the_areas_that_torchvision_draws_from() {
        // Of a large square nearly every attempt fits up to an area of 3/4, and the area is uniform.
        let mut rng = seed::stream(0, "areas");
        let crop = RandomResizedCrop {
            scale: [0.1, 0.7],
            ..RandomResizedCrop::default()
        };
        let areas = (0..4000).map(|_| crop.rectangle([1000, 1000], &mut rng));
        let areas: Vec<f64> = areas.map(|r| (r.height * r.width) as f64 * 1e-6).collect();
        let mean = areas.iter().sum::<f64>() / 4000.0;
        // Deviation of the mean: 0.6 / sqrt(12 * 4000) = 0.0027; five of them.
        assert!((mean - 0.4).abs() < 0.014, "{mean}");
        assert!(areas.iter().all(|a| (0.098..0.702).contains(a)));
    }
}
