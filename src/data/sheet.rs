//! Pictures side by side, as a PNG file.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

use super::picture::Picture;
use super::Normalisation;
use crate::artefact;
use crate::error::{Error, Result};

/// Pixels between two pictures.
const GAP: u32 = 4;
/// Pictures smaller than this are enlarged by a whole number, pixel by pixel.
const LEAST: usize = 112;
const WHITE: Rgb<u8> = Rgb([255; 3]);

/// Rows of pictures of one size.
#[derive(Debug, Clone)]
pub struct Sheet<'a> {
    /// Channels, one or three, height, width.
    pub shape: [usize; 3],
    /// How the pictures are normalised.
    pub normalisation: &'a Normalisation,
    /// Pictures (channels, height, width), row by row.
    pub rows: Vec<Vec<Vec<f32>>>,
}

impl Sheet<'_> {
    /// Writes the sheet as a PNG file, atomically. Pixels outside black and white are cut off.
    ///
    /// # Errors
    /// [`Error::Shape`] if a picture is not of the shape, or has another number of channels than one or three;
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let [channels, height, width] = self.shape;
        let size = channels * height * width;
        let fits = |picture: &Vec<f32>| picture.len() == size;
        if !matches!(channels, 1 | 3) || !self.rows.iter().flatten().all(fits) {
            return Err(refused(self.shape));
        }
        let bytes = |picture: &Vec<f32>| {
            let planes = picture.chunks(height * width).enumerate();
            let bytes = planes.flat_map(|(channel, plane)| {
                plane.iter().map(move |&value| self.byte(value, channel))
            });
            Picture {
                shape: self.shape,
                planes: bytes.collect(),
            }
        };
        let rows = self.rows.iter().map(|row| row.iter().map(bytes).collect());
        artefact::write(path, &png(&rows.collect::<Vec<Vec<_>>>())?)
    }

    fn byte(&self, value: f32, channel: usize) -> u8 {
        let Normalisation { mean, deviation } = self.normalisation;
        let share = value * deviation[channel] + mean[channel];
        // Cut off to a byte by the cast; NaN is black.
        (share * 255.0).round().clamp(0.0, 255.0) as u8
    }
}

/// Rows of pictures of one size as the bytes of one PNG file. What is missing in a shorter row stays white.
///
/// # Errors
/// [`Error::Shape`] if a picture has another size than the first, or another number of channels than one or three;
/// [`Error::Unsupported`] if they are more than a PNG file holds.
pub fn png(rows: &[Vec<Picture<'_>>]) -> Result<Vec<u8>> {
    let first = rows.iter().flatten().next();
    let shape = first.map_or([1, 1, 1], |picture| picture.shape);
    let [channels, height, width] = shape;
    let fits = |picture: &Picture<'_>| picture.shape == shape;
    if !matches!(channels, 1 | 3) || height * width == 0 || !rows.iter().flatten().all(fits) {
        return Err(refused(shape));
    }
    let times = LEAST.div_ceil(height.min(width)).max(1);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let extent = |count: usize, side: usize| {
        (count * side * times) as u32 + GAP * count.saturating_sub(1) as u32
    };
    let mut sheet = RgbImage::from_pixel(
        extent(columns, width).max(1),
        extent(rows.len(), height).max(1),
        WHITE,
    );
    for (row, pictures) in rows.iter().enumerate() {
        let top = row as u32 * ((height * times) as u32 + GAP);
        for (column, picture) in pictures.iter().enumerate() {
            let left = column as u32 * ((width * times) as u32 + GAP);
            for y in 0..height * times {
                for x in 0..width * times {
                    let pixel = y / times * width + x / times;
                    let colour = [0, 1, 2].map(|channel: usize| {
                        let plane = channel.min(channels - 1) * height * width;
                        picture.planes[plane + pixel]
                    });
                    sheet.put_pixel(left + x as u32, top + y as u32, Rgb(colour));
                }
            }
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    let written = sheet.write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|e| {
        let what = format!("a sheet of so many pictures ({e})");
        Error::unsupported(what, "in a PNG file", "choose fewer")
    })?;
    Ok(bytes.into_inner())
}

fn refused([channels, height, width]: [usize; 3]) -> Error {
    Error::shape(
        "the pictures of a sheet",
        format!("one or three channels of {height} x {width} pixels"),
        format!("{channels} channels, or another size"),
        "take pictures of one size, grey or in colour",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_side_by_side_with_the_pixels_they_were_normalised_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        let normalisation = Normalisation {
            mean: vec![0.5],
            deviation: vec![0.25],
        };
        // Black, mid grey, white, beyond white.
        let pixels = vec![-2.0, 0.0, 2.0, 3.0];
        let sheet = Sheet {
            shape: [1, 2, 2],
            normalisation: &normalisation,
            rows: vec![vec![pixels.clone(), pixels.clone()], vec![pixels]],
        };
        sheet.write(&path).unwrap();
        let read = image::open(&path).unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (228, 228));
        let at = |x, y| read.get_pixel(x, y).0[0];
        assert_eq!(
            [at(0, 0), at(111, 0), at(0, 111), at(111, 111)],
            [0, 128, 255, 255]
        );
        assert_eq!([at(112, 0), at(116, 0)], [255, 0]);
        assert_eq!(at(172, 172), 255);
        let short = Sheet {
            shape: [1, 3, 2],
            ..sheet
        };
        assert!(short.write(&path).is_err());
    }
}
