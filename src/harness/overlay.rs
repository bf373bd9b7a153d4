//! Maps, masks and components of patches laid on the picture they are of, in colour. A patch is a rectangle of pixels of
//! one value: nearest up-scaling by whole numbers, as DINO's figures have it.

use ndarray::{Array2, ArrayView2, ArrayView3};
use plotters::prelude::ViridisRGB;
use plotters::style::{Color, Palette, Palette99};

use crate::data::picture::Picture;

/// How much of a pixel's colour is the map's; the rest is the picture's.
const MAP: f64 = 0.6;
/// The same of a mask's colour.
const MASK: f64 = 0.5;
const WHITE: [u8; 3] = [255; 3];

/// The same picture with three channels.
pub fn in_colour(picture: &Picture<'_>) -> Picture<'static> {
    let [channels, height, width] = picture.shape;
    let plane = height * width;
    let planes = [0, 1, 2].map(|channel: usize| {
        let first = channel.min(channels - 1) * plane;
        &picture.planes[first..first + plane]
    });
    Picture {
        shape: [3, height, width],
        planes: planes.concat().into(),
    }
}

/// A map over a picture in the colours of viridis, from its own smallest number (violet) to its own largest (yellow), as
/// DINO scales it: colours of two maps do not compare. A flat map is violet.
///
/// # Shapes
/// map (rows, columns), of patches of `patch` height and width, which fill the picture.
pub fn map(picture: &Picture<'_>, map: ArrayView2<'_, f64>, patch: [usize; 2]) -> Picture<'static> {
    let smallest = map.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = map.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let colours = map.mapv(|value| {
        let share = match largest > smallest {
            true => (value - smallest) / (largest - smallest),
            false => 0.0,
        };
        // A number that is none is violet too.
        let colour = ViridisRGB::get_color(share.max(0.0));
        (MAP, [colour.0, colour.1, colour.2])
    });
    painted(picture, |y, x| Some(colours[[y / patch[0], x / patch[1]]]))
}

/// The picture with the inner border of a mask in white, a pixel wide; along the border of the picture there is none.
///
/// # Shapes
/// mask (rows, columns), of patches of `patch` height and width, which fill the picture.
pub fn outlined(
    picture: &Picture<'_>,
    mask: ArrayView2<'_, bool>,
    patch: [usize; 2],
) -> Picture<'static> {
    let [_, height, width] = picture.shape;
    let inside = |y: usize, x: usize| mask[[y / patch[0], x / patch[1]]];
    painted(picture, |y, x| {
        let beside = [
            [y.saturating_sub(1), x],
            [(y + 1).min(height - 1), x],
            [y, x.saturating_sub(1)],
            [y, (x + 1).min(width - 1)],
        ];
        let border = inside(y, x) && !beside.iter().all(|&[y, x]| inside(y, x));
        border.then_some((1.0, WHITE))
    })
}

/// Disjoint masks over a picture, each in a colour of its own.
///
/// # Shapes
/// masks (rows, columns) each, of patches of `patch` height and width, which fill the picture.
pub fn masks(picture: &Picture<'_>, masks: &[Array2<bool>], patch: [usize; 2]) -> Picture<'static> {
    painted(picture, |y, x| {
        let place = [y / patch[0], x / patch[1]];
        let own = masks.iter().position(|mask| mask[place])?;
        let (red, green, blue) = Palette99::pick(own).rgb();
        Some((MASK, [red, green, blue]))
    })
}

/// Red, green and blue of patches, from 0 to 1, as a picture.
///
/// # Shapes
/// colours (rows, columns, 3), of patches of `patch` height and width.
pub fn patches(colours: ArrayView3<'_, f64>, patch: [usize; 2]) -> Picture<'static> {
    let (rows, columns, _) = colours.dim();
    let [height, width] = [rows * patch[0], columns * patch[1]];
    let mut planes = Vec::with_capacity(3 * height * width);
    for channel in 0..3 {
        for y in 0..height {
            let row = (0..width).map(|x| colours[[y / patch[0], x / patch[1], channel]]);
            // Cut off to a byte by the cast.
            planes.extend(row.map(|share| (255.0 * share).round() as u8));
        }
    }
    Picture {
        shape: [3, height, width],
        planes: planes.into(),
    }
}

/// The picture with a share of a colour at the pixels that have one.
fn painted(
    picture: &Picture<'_>,
    colour: impl Fn(usize, usize) -> Option<(f64, [u8; 3])>,
) -> Picture<'static> {
    let mut made = in_colour(picture);
    let [_, height, width] = made.shape;
    let planes = made.planes.to_mut();
    for y in 0..height {
        for x in 0..width {
            let Some((share, colour)) = colour(y, x) else {
                continue;
            };
            for (channel, colour) in colour.into_iter().enumerate() {
                let pixel = &mut planes[channel * height * width + y * width + x];
                let mixed = share * f64::from(colour) + (1.0 - share) * f64::from(*pixel);
                *pixel = mixed.round() as u8;
            }
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, arr3};

    /// Grey of 4 by 6 pixels.
    fn grey() -> Picture<'static> {
        Picture {
            shape: [1, 4, 6],
            planes: vec![100; 24].into(),
        }
    }

    fn pixel(picture: &Picture<'_>, y: usize, x: usize) -> [u8; 3] {
        let [_, height, width] = picture.shape;
        [0, 1, 2].map(|channel| picture.planes[(channel * height + y) * width + x])
    }

    #[test]
    fn a_map_goes_from_violet_to_yellow_patch_by_patch() {
        let values = arr2(&[[0.25, 0.5], [0.25, 0.75]]);
        let made = map(&grey(), values.view(), [2, 3]);
        assert_eq!(made.shape, [3, 4, 6]);
        // Six tenths of (68, 1, 84) and of (254, 232, 37), four tenths of 100.
        let (low, high) = ([81, 41, 90], [192, 179, 62]);
        for (y, x) in [(0, 0), (1, 2), (2, 0), (3, 2)] {
            assert_eq!(pixel(&made, y, x), low);
        }
        for (y, x) in [(2, 3), (3, 5)] {
            assert_eq!(pixel(&made, y, x), high);
        }
        let middle = pixel(&made, 0, 3);
        assert!(middle != low && middle != high);
        assert_eq!(pixel(&made, 1, 5), middle);
        // Scaled by itself, and flat maps are violet.
        let tenth = map(&grey(), (&values * 0.1).view(), [2, 3]);
        assert_eq!(pixel(&tenth, 3, 5), high);
        let flat = map(&grey(), arr2(&[[0.5, 0.5], [0.5, 0.5]]).view(), [2, 3]);
        assert_eq!(pixel(&flat, 3, 5), low);
    }

    #[test]
    fn a_mask_has_a_white_line_inside_where_it_ends() {
        let mask = arr2(&[[true, false], [true, false]]);
        let made = outlined(&grey(), mask.view(), [2, 3]);
        for y in 0..4 {
            for x in 0..6 {
                let expected = if x == 2 { 255 } else { 100 };
                assert_eq!(pixel(&made, y, x), [expected; 3], "{y} {x}");
            }
        }
        let whole = arr2(&[[true, true], [true, true]]);
        let made = outlined(&grey(), whole.view(), [2, 3]);
        assert_eq!(made, in_colour(&grey()));
    }

    #[test]
    fn masks_are_told_apart_by_colour_and_the_ground_stays() {
        let first = arr2(&[[true, false], [false, false]]);
        let second = arr2(&[[false, false], [false, true]]);
        let made = masks(&grey(), &[first, second], [2, 3]);
        let [a, b] = [pixel(&made, 0, 0), pixel(&made, 3, 5)];
        assert_eq!(pixel(&made, 0, 3), [100; 3]);
        assert!(a != b && a != [100; 3] && b != [100; 3]);
    }

    #[test]
    fn components_are_red_green_and_blue() {
        let made = patches(arr3(&[[[1.0, 0.0, 0.4], [0.0, 1.0, 0.2]]]).view(), [1, 2]);
        assert_eq!(made.shape, [3, 1, 4]);
        assert_eq!(pixel(&made, 0, 1), [255, 0, 102]);
        assert_eq!(pixel(&made, 0, 2), [0, 255, 51]);
    }
}
