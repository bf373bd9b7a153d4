//! One picture as planes of bytes, and what is done to its geometry. Interpolation is the image
//! crate's `Triangle`, which widens with the reduction as Pillow's bilinear filter does.

use std::borrow::Cow;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageDecoder, Luma};

use super::jpeg;
use crate::error::{Error, Result};

/// More than a byte of any file can hold: deflate makes of one at most 1032, each of eight pixels.
const PIXELS_PER_BYTE: u64 = 8 * 1032;

/// What is to be done about a file that is no picture.
pub(super) const REMEDY: &str = "replace or remove the file";

/// Bytes of a decoded picture, at most.
pub(super) const LARGEST: u64 = 512 << 20;

/// Longer over shorter side up to which a picture is resized whole.
const LONGEST: usize = 64;

/// Bytes (channels, height, width), row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture<'a> {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// The bytes.
    pub planes: Cow<'a, [u8]>,
}

/// A rectangle of a picture, in pixels from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// Pixels above it.
    pub top: usize,
    /// Pixels to the left of it.
    pub left: usize,
    /// At least 1.
    pub height: usize,
    /// At least 1.
    pub width: usize,
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io("read", path, error, "check the file's permissions")
}

/// The bytes of a file that should hold what is `wanted`.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if it is no file.
pub(super) fn read(path: &Path, wanted: &str) -> Result<Vec<u8>> {
    // What is no file may never come to an end.
    let about = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
    if !about.is_file() {
        let got = "something that is no file";
        return Err(Error::file(path, wanted, got, REMEDY));
    }
    std::fs::read(path).map_err(|e| unreadable(path, e))
}

/// Whether a picture of `(width, height)` pixels, `decoded` bytes in memory, can be in a file of `length` bytes. Else a
/// file of a few bytes could ask for any memory, and a JPEG get it, all grey.
///
/// # Errors
/// What the file says that it holds, for a message.
pub(super) fn check_size(
    (width, height): (u32, u32),
    decoded: u64,
    length: u64,
) -> std::result::Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_PER_BYTE * length || decoded > LARGEST {
        return Err(format!("{width} x {height} pixels in {length} bytes"));
    }
    Ok(())
}

impl<'a> Picture<'a> {
    /// Reads a JPEG or PNG file as three channels.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if it does not decode.
    pub fn decode(path: &Path) -> Result<Picture<'static>> {
        let wanted = "a JPEG or PNG picture";
        let undecodable = |e: String| Error::file(path, wanted, e, REMEDY);
        let bytes = read(path, wanted)?;
        let length = bytes.len() as u64;
        if bytes.starts_with(&[0xff, 0xd8]) && !jpeg::is_whole(&bytes) {
            return Err(undecodable(format!(
                "a JPEG cut off after {} bytes",
                bytes.len()
            )));
        }
        let reader = image::ImageReader::new(std::io::Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|e| unreadable(path, e))?;
        let refused = |e: image::ImageError| undecodable(e.to_string().replace('\n', " "));
        let decoder = reader.into_decoder().map_err(refused)?;
        let (size, decoded) = (decoder.dimensions(), decoder.total_bytes());
        check_size(size, decoded, length).map_err(undecodable)?;
        let picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
        let picture = picture.to_rgb8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if width == 0 || height == 0 {
            return Err(undecodable("an empty picture".into()));
        }
        let mut planes = vec![0; 3 * height * width];
        for (index, pixel) in picture.pixels().enumerate() {
            for (channel, value) in pixel.0.into_iter().enumerate() {
                planes[channel * height * width + index] = value;
            }
        }
        Ok(Picture {
            shape: [3, height, width],
            planes: planes.into(),
        })
    }

    /// A plane as the image crate holds it.
    fn plane(&self, channel: usize) -> ImageBuffer<Luma<u8>, &[u8]> {
        let [_, height, width] = self.shape;
        let plane = &self.planes[channel * height * width..][..height * width];
        // The buffer has the right length by the line above; an empty one could not be cut.
        ImageBuffer::from_raw(width as u32, height as u32, plane)
            .unwrap_or_else(|| unreachable!("a plane of {height} x {width}"))
    }

    /// The rectangle, resized to `[height, width]`.
    pub fn crop_and_resize(&self, from: Rectangle, [height, width]: [usize; 2]) -> Picture<'a> {
        let [channels, own_height, own_width] = self.shape;
        let whole = Rectangle {
            top: 0,
            left: 0,
            height: own_height,
            width: own_width,
        };
        if from == whole && [own_height, own_width] == [height, width] {
            return self.clone();
        }
        let mut planes = Vec::with_capacity(channels * height * width);
        for channel in 0..channels {
            let plane = self.plane(channel);
            let [left, top, w, h] =
                [from.left, from.top, from.width, from.height].map(|v| v as u32);
            let cut = imageops::crop_imm(&plane, left, top, w, h);
            let resized: GrayImage =
                imageops::resize(&*cut, width as u32, height as u32, FilterType::Triangle);
            planes.extend_from_slice(resized.as_raw());
        }
        Picture {
            shape: [channels, height, width],
            planes: planes.into(),
        }
    }

    /// The whole picture, resized to `[height, width]` without regard to its proportions.
    pub fn resize(&self, to: [usize; 2]) -> Picture<'a> {
        let [_, height, width] = self.shape;
        let whole = Rectangle {
            top: 0,
            left: 0,
            height,
            width,
        };
        self.crop_and_resize(whole, to)
    }

    /// Resized so that the shorter side is `shorter`, then cut to the square in the middle: the
    /// official evaluation, with torchvision's rounding.
    pub fn resize_and_centre(&self, shorter: usize, side: usize) -> Picture<'a> {
        let [_, height, width] = self.shape;
        let narrow = LONGEST * height.min(width);
        if height.max(width) > narrow {
            // Of a thread of a picture the middle alone, which is all that stays, or memory grows with
            // its length.
            let [tall, wide] = [height.min(narrow), width.min(narrow)];
            let middle = Rectangle {
                top: (height - tall) / 2,
                left: (width - wide) / 2,
                height: tall,
                width: wide,
            };
            let cut = self.crop_and_resize(middle, [tall, wide]);
            return cut.resize_and_centre(shorter, side);
        }
        // The longer side is truncated, the crop's corner rounded.
        let longer = |long: usize, short: usize| shorter * long / short;
        let resized = if width <= height {
            self.resize([longer(height, width), shorter])
        } else {
            self.resize([shorter, longer(width, height)])
        };
        let [_, height, width] = resized.shape;
        let corner = |length: usize| ((length - side) as f64 / 2.0).round_ties_even() as usize;
        let middle = Rectangle {
            top: corner(height),
            left: corner(width),
            height: side,
            width: side,
        };
        resized.crop_and_resize(middle, [side; 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(shape: [usize; 3]) -> Picture<'static> {
        let [_, height, width] = shape;
        let count: usize = shape.iter().product();
        let planes = (0..count).map(|i| (i % width + 10 * (i / width % height)) as u8);
        Picture {
            shape,
            planes: planes.collect(),
        }
    }

    #[test]
    fn a_crop_of_its_own_size_is_those_very_pixels() {
        let picture = ramp([2, 9, 7]);
        let from = Rectangle {
            top: 2,
            left: 1,
            height: 4,
            width: 5,
        };
        let cut = picture.crop_and_resize(from, [4, 5]);
        assert_eq!(cut.shape, [2, 4, 5]);
        for y in 0..4 {
            for x in 0..5 {
                let expected = picture.planes[(y + 2) * 7 + x + 1];
                assert_eq!(cut.planes[y * 5 + x], expected);
                assert_eq!(cut.planes[20 + y * 5 + x], expected);
            }
        }
    }

    #[test]
    fn the_centre_of_a_wide_picture_keeps_its_middle() {
        let picture = ramp([1, 10, 20]);
        let centre = picture.resize_and_centre(10, 8);
        assert_eq!(centre.shape, [1, 8, 8]);
        assert_eq!(centre.planes[0], picture.planes[20 + 6]);
    }
}
