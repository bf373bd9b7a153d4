//! RandAugment (Cubuk et al. 2020) with the operations and scales of torchvision's `RandAugment`, which
//! the official fine-tuning uses with two operations of magnitude 14 of 31.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::data::picture::Picture;

/// Steps from no change to the strongest, torchvision's `num_magnitude_bins`.
pub const MAGNITUDES: usize = 31;

/// So many operations, one after the other, each drawn from all fourteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugment {
    /// Operations per picture.
    pub operations: usize,
    /// Their strength, below [`MAGNITUDES`].
    pub magnitude: usize,
}

impl Default for RandAugment {
    /// The official `RandAugment(2, 14)`.
    fn default() -> Self {
        Self {
            operations: 2,
            magnitude: 14,
        }
    }
}

/// One operation with its strength.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Operation {
    Identity,
    /// Columns move by this fraction of their row.
    ShearX(f64),
    /// Rows move by this fraction of their column.
    ShearY(f64),
    /// Pixels.
    TranslateX(f64),
    /// Pixels.
    TranslateY(f64),
    /// Degrees, about the centre.
    Rotate(f64),
    /// 1 changes nothing, as for the next three.
    Brightness(f64),
    Colour(f64),
    Contrast(f64),
    Sharpness(f64),
    /// Bits kept.
    Posterize(u32),
    /// From here on values are inverted.
    Solarize(f64),
    AutoContrast,
    Equalize,
}

impl RandAugment {
    /// A changed copy.
    pub fn apply<'a>(&self, picture: Picture<'a>, rng: &mut impl Rng) -> Picture<'a> {
        (0..self.operations).fold(picture, |picture, _| {
            let size = [picture.shape[1], picture.shape[2]];
            apply(picture, self.draw(size, rng))
        })
    }

    fn draw(&self, [height, width]: [usize; 2], rng: &mut impl Rng) -> Operation {
        let strength = self.magnitude.min(MAGNITUDES - 1) as f64 / (MAGNITUDES - 1) as f64;
        let choice = rng.gen_range(0..14);
        // Only operations that have two directions draw one.
        let signed = |rng: &mut _, value: f64| if draw_sign(rng) { -value } else { value };
        match choice {
            0 => Operation::Identity,
            1 => Operation::ShearX(signed(rng, 0.3 * strength)),
            2 => Operation::ShearY(signed(rng, 0.3 * strength)),
            3 => {
                let far = 150.0 / 331.0 * width as f64 * strength;
                Operation::TranslateX(signed(rng, far).trunc())
            }
            4 => {
                let far = 150.0 / 331.0 * height as f64 * strength;
                Operation::TranslateY(signed(rng, far).trunc())
            }
            5 => Operation::Rotate(signed(rng, 30.0 * strength)),
            6 => Operation::Brightness(1.0 + signed(rng, 0.9 * strength)),
            7 => Operation::Colour(1.0 + signed(rng, 0.9 * strength)),
            8 => Operation::Contrast(1.0 + signed(rng, 0.9 * strength)),
            9 => Operation::Sharpness(1.0 + signed(rng, 0.9 * strength)),
            10 => Operation::Posterize(8 - (4.0 * strength).round_ties_even() as u32),
            11 => Operation::Solarize(255.0 * (1.0 - strength)),
            12 => Operation::AutoContrast,
            _ => Operation::Equalize,
        }
    }
}

fn draw_sign(rng: &mut impl Rng) -> bool {
    rng.gen()
}

fn apply(mut picture: Picture<'_>, operation: Operation) -> Picture<'_> {
    let [channels, height, width] = picture.shape;
    let plane = height * width;
    match operation {
        Operation::Identity => {}
        Operation::ShearX(m) => return warp(&picture, |x, y| (x + m * y, y)),
        Operation::ShearY(m) => return warp(&picture, |x, y| (x, y + m * x)),
        Operation::TranslateX(m) => return warp(&picture, |x, y| (x - m, y)),
        Operation::TranslateY(m) => return warp(&picture, |x, y| (x, y - m)),
        Operation::Rotate(degrees) => {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let (cx, cy) = (width as f64 / 2.0, height as f64 / 2.0);
            return warp(&picture, |x, y| {
                let (x, y) = (x - cx, y - cy);
                (cos * x - sin * y + cx, sin * x + cos * y + cy)
            });
        }
        Operation::Brightness(factor) => {
            map(&mut picture, |v| blend(0.0, f64::from(v), factor));
        }
        Operation::Contrast(factor) => {
            let grey = grey(&picture);
            let mean = grey.iter().map(|&v| f64::from(v)).sum::<f64>() / plane as f64;
            let mean = (mean + 0.5).floor();
            map(&mut picture, |v| blend(mean, f64::from(v), factor));
        }
        Operation::Colour(factor) => {
            let grey = grey(&picture);
            for (index, v) in picture.planes.to_mut().iter_mut().enumerate() {
                *v = blend(f64::from(grey[index % plane]), f64::from(*v), factor);
            }
        }
        Operation::Sharpness(factor) => {
            for channel in 0..channels {
                let plane = &mut picture.planes.to_mut()[channel * plane..][..plane];
                let smooth = smooth(plane, height, width);
                for (v, smooth) in plane.iter_mut().zip(smooth) {
                    *v = blend(smooth, f64::from(*v), factor);
                }
            }
        }
        Operation::Posterize(bits) => {
            let mask = !(0xffu32 >> bits) as u8;
            map(&mut picture, |v| v & mask);
        }
        Operation::Solarize(threshold) => {
            map(&mut picture, |v| {
                if f64::from(v) < threshold {
                    v
                } else {
                    255 - v
                }
            });
        }
        Operation::AutoContrast => by_channel(&mut picture, auto_contrast),
        Operation::Equalize => by_channel(&mut picture, equalize),
    }
    picture
}

/// Pillow's `blend`, clipped: `from` at 0, `to` at 1, beyond `to` above.
fn blend(from: f64, to: f64, factor: f64) -> u8 {
    (from + factor * (to - from)).clamp(0.0, 255.0) as u8
}

fn map(picture: &mut Picture<'_>, change: impl Fn(u8) -> u8) {
    for v in picture.planes.to_mut() {
        *v = change(*v);
    }
}

/// Each pixel from where `source` says, coordinates of pixels' centres; black from outside.
fn warp<'a>(picture: &Picture<'_>, source: impl Fn(f64, f64) -> (f64, f64)) -> Picture<'a> {
    let [channels, height, width] = picture.shape;
    let mut planes = vec![0; picture.planes.len()];
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = source(x as f64 + 0.5, y as f64 + 0.5);
            let (from_x, from_y) = (from_x.floor(), from_y.floor());
            let inside =
                (0.0..width as f64).contains(&from_x) && (0.0..height as f64).contains(&from_y);
            if inside {
                for channel in 0..channels {
                    let plane = channel * height * width;
                    planes[plane + y * width + x] =
                        picture.planes[plane + from_y as usize * width + from_x as usize];
                }
            }
        }
    }
    Picture {
        shape: picture.shape,
        planes: planes.into(),
    }
}

/// Luma of a colour picture as Pillow rounds it; the first plane of any other.
fn grey(picture: &Picture<'_>) -> Vec<u8> {
    let plane = picture.shape[1] * picture.shape[2];
    let part = |channel: usize, index: usize| u32::from(picture.planes[channel * plane + index]);
    (0..plane)
        .map(|i| match picture.shape[0] {
            3 => {
                let luma = 19595 * part(0, i) + 38470 * part(1, i) + 7471 * part(2, i);
                ((luma + 0x8000) >> 16) as u8
            }
            _ => part(0, i) as u8,
        })
        .collect()
}

/// Pillow's `SMOOTH`: a 3 x 3 mean in which the centre counts five times; the border stays.
fn smooth(plane: &[u8], height: usize, width: usize) -> Vec<f64> {
    let at = |y: usize, x: usize| f64::from(plane[y * width + x]);
    (0..plane.len())
        .map(|index| {
            let (y, x) = (index / width, index % width);
            if y == 0 || x == 0 || y + 1 == height || x + 1 == width {
                return at(y, x);
            }
            let neighbours = (y - 1..=y + 1).flat_map(|y| (x - 1..=x + 1).map(move |x| (y, x)));
            let sum: f64 = neighbours.map(|(y, x)| at(y, x)).sum();
            ((sum + 4.0 * at(y, x)) / 13.0).round()
        })
        .collect()
}

/// Looks every value of a channel up in a table made from the channel's histogram.
fn by_channel(picture: &mut Picture<'_>, table: impl Fn(&[usize; 256]) -> [u8; 256]) {
    let plane = picture.shape[1] * picture.shape[2];
    for plane in picture.planes.to_mut().chunks_exact_mut(plane) {
        let mut histogram = [0; 256];
        for &v in plane.iter() {
            histogram[usize::from(v)] += 1;
        }
        let table = table(&histogram);
        for v in plane {
            *v = table[usize::from(*v)];
        }
    }
}

/// The smallest value to 0, the largest to 255, the others in proportion.
fn auto_contrast(histogram: &[usize; 256]) -> [u8; 256] {
    let first = histogram.iter().position(|&n| n > 0).unwrap_or(0);
    let last = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
    let scale = if last > first {
        255.0 / (last - first) as f64
    } else {
        1.0
    };
    let offset = if last > first {
        -(first as f64) * scale
    } else {
        0.0
    };
    std::array::from_fn(|v| (v as f64 * scale + offset).clamp(0.0, 255.0) as u8)
}

/// Values spread so that each occurs about as often: Pillow's `equalize`.
fn equalize(histogram: &[usize; 256]) -> [u8; 256] {
    let total: usize = histogram.iter().sum();
    let last = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
    let step = (total - histogram[last]) / 255;
    if step == 0 {
        return std::array::from_fn(|v| v as u8);
    }
    let mut below = step / 2;
    std::array::from_fn(|v| {
        let value = (below / step).min(255) as u8;
        below += histogram[v];
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    fn picture(planes: &[u8], shape: [usize; 3]) -> Picture<'static> {
        Picture {
            shape,
            planes: planes.to_vec().into(),
        }
    }

    fn changed(planes: &[u8], operation: Operation) -> Vec<u8> {
        let size = [1, 1, planes.len()];
        apply(picture(planes, size), operation).planes.into_owned()
    }

    #[test]
    fn operations_on_values_are_pillows() {
        // What Pillow 13's ImageOps and ImageEnhance return.
        let row = [0, 10, 100, 127, 128, 200, 255];
        assert_eq!(
            changed(&row, Operation::Posterize(2)),
            [0, 0, 64, 64, 128, 192, 192]
        );
        assert_eq!(
            changed(&row, Operation::Solarize(128.0)),
            [0, 10, 100, 127, 127, 55, 0]
        );
        assert_eq!(
            changed(&row, Operation::Brightness(1.5)),
            [0, 15, 150, 190, 192, 255, 255]
        );
        assert_eq!(
            changed(&[10, 60, 110], Operation::AutoContrast),
            [0, 127, 255]
        );
        assert_eq!(
            changed(&[0, 100, 200], Operation::AutoContrast),
            [0, 127, 254]
        );
        assert_eq!(changed(&[7, 7, 7], Operation::AutoContrast), [7, 7, 7]);
        assert_eq!(
            changed(&row, Operation::Contrast(0.5)),
            [58, 63, 108, 122, 122, 158, 186]
        );
        let few = [0, 1, 1, 2].repeat(300);
        assert_eq!(changed(&few, Operation::Equalize)[..4], [0, 100, 100, 255]);
        let colours = picture(&[200, 10, 90, 60, 30, 250], [3, 1, 2]);
        let found = apply(colours, Operation::Colour(0.42));
        assert_eq!(found.planes.as_ref(), [151, 43, 105, 64, 79, 143]);
    }

    #[test]
    fn equalizing_a_ramp_of_every_value_changes_little() {
        let ramp: Vec<u8> = (0..=255).collect();
        let found = changed(&ramp, Operation::Equalize);
        assert!(found.iter().zip(&ramp).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn geometry_moves_pixels_and_leaves_black() {
        let moved = apply(
            picture(&[1, 2, 3, 4], [1, 2, 2]),
            Operation::TranslateX(1.0),
        );
        assert_eq!(moved.planes.as_ref(), [0, 1, 0, 3]);
        let turned = apply(picture(&[1, 2, 3, 4], [1, 2, 2]), Operation::Rotate(90.0));
        assert_eq!(turned.planes.as_ref(), [2, 4, 1, 3]);
        let sheared = apply(picture(&[1, 2, 3, 4], [1, 2, 2]), Operation::ShearX(0.5));
        assert_eq!(sheared.planes.as_ref(), [1, 2, 4, 0]);
    }

    #[test]
    fn colour_and_contrast_at_one_change_nothing_and_at_zero_leave_grey() {
        let colours = picture(&[200, 10, 30, 90, 60, 250], [3, 1, 2]);
        for operation in [
            Operation::Colour(1.0),
            Operation::Contrast(1.0),
            Operation::Sharpness(1.0),
        ] {
            assert_eq!(apply(colours.clone(), operation), colours);
        }
        let grey = apply(colours, Operation::Colour(0.0));
        assert_eq!(grey.planes[..2], grey.planes[2..4]);
        assert_eq!(grey.planes[..2], grey.planes[4..]);
    }

    #[test]
    fn every_operation_is_drawn_and_none_changes_the_shape() {
        let mut rng = seed::stream(0, "operations");
        let augment = RandAugment::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..500 {
            let operation = augment.draw([5, 4], &mut rng);
            seen.insert(std::mem::discriminant(&operation));
            let one = picture(&[9; 60], [3, 5, 4]);
            assert_eq!(apply(one, operation).shape, [3, 5, 4]);
        }
        assert_eq!(seen.len(), 14);
    }
}
