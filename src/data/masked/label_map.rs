//! PNG files whose pixels are numbers, of classes or of objects. What decodes pictures turns a palette into its colours,
//! and the numbers are gone; here they stay.

use std::io::Cursor;
use std::path::Path;

use ndarray::Array2;
use png::{ColorType, Transformations};

use crate::data::picture;
use crate::error::{Error, Result};

/// The numbers of the pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// (height, width): the place in the palette, or the grey value as it is in the file, 0 to 65,535; of a picture in
    /// colour 0 for black and 1 for all else. An alpha channel says nothing.
    pub values: Array2<u16>,
    /// Whether the file had colours rather than numbers.
    pub in_colour: bool,
}

impl LabelMap {
    /// Reads a PNG file of any kind.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::File`] if it does not decode.
    pub fn read(path: &Path) -> Result<Self> {
        let wanted = "a PNG picture of numbers";
        let undecodable =
            |e: String| Error::file(path, wanted, e.replace('\n', " "), picture::REMEDY);
        let refused = |e: png::DecodingError| undecodable(e.to_string());
        let bytes = picture::read(path, wanted)?;
        let length = bytes.len() as u64;
        let limits = png::Limits {
            bytes: picture::LARGEST as usize,
        };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
        decoder.set_transformations(Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(refused)?;
        let size = reader.info().size();
        let space = reader.output_buffer_size();
        let space = space.ok_or_else(|| undecodable("more pixels than memory holds".into()))?;
        let numbers = u64::from(size.0) * u64::from(size.1) * size_of::<u16>() as u64;
        let most = numbers.max(space as u64);
        picture::check_size(size, most, length).map_err(undecodable)?;
        let mut packed = vec![0; space];
        let frame = reader.next_frame(&mut packed).map_err(refused)?;
        if (frame.width, frame.height) != size {
            return Err(undecodable("an animation of parts of the picture".into()));
        }
        let in_colour = matches!(frame.color_type, ColorType::Rgb | ColorType::Rgba);
        let (samples, bits) = (frame.color_type.samples(), frame.bit_depth as usize);
        // Rows begin with a byte of their own; in a byte the first pixel has the upper bits.
        let sample = |row: &[u8], place: usize| match bits {
            16 => u16::from_be_bytes([row[2 * place], row[2 * place + 1]]),
            8 => u16::from(row[place]),
            _ => {
                let first = place * bits;
                let shift = 8 - bits - first % 8;
                u16::from(row[first / 8] >> shift) & ((1 << bits) - 1)
            }
        };
        let values = Array2::from_shape_fn((size.1 as usize, size.0 as usize), |(y, x)| {
            let row = &packed[y * frame.line_size..][..frame.line_size];
            let at = |channel: usize| sample(row, x * samples + channel);
            match in_colour {
                true => u16::from((0..3).any(|channel| at(channel) > 0)),
                false => at(0),
            }
        });
        Ok(Self { values, in_colour })
    }

    /// [`Self::read`] of a file of the size `[height, width]` that holds numbers.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if it does not decode, is in colour, or has another size.
    pub fn read_numbers(path: &Path, [height, width]: [usize; 2]) -> Result<Array2<u16>> {
        let map = Self::read(path)?;
        map.check_size(path, [height, width])?;
        match map.in_colour {
            false => Ok(map.values),
            true => Err(Error::file(
                path,
                "a PNG picture with a palette, or a grey one, whose values are numbers",
                "one in colour",
                "take the original file: a program has replaced its numbers by the colours of their palette",
            )),
        }
    }

    /// Refuses a map that is not of the size `[height, width]` of its picture.
    ///
    /// # Errors
    /// [`Error::File`] with both sizes.
    pub fn check_size(&self, path: &Path, [height, width]: [usize; 2]) -> Result<()> {
        let (rows, columns) = self.values.dim();
        match [rows, columns] == [height, width] {
            true => Ok(()),
            false => Err(Error::file(
                path,
                format!("{width} x {height} pixels, as its picture has"),
                format!("{columns} x {rows}"),
                "give it the size of the picture, without interpolation",
            )),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use png::BitDepth;

    /// Writes a PNG file of these bytes, rows of which are padded to whole bytes.
    pub(crate) fn write(
        path: &Path,
        [height, width]: [usize; 2],
        colour: ColorType,
        depth: BitDepth,
        bytes: &[u8],
    ) {
        let file = std::fs::File::create(path).unwrap();
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if colour == ColorType::Indexed {
            // All colours are the same: they say nothing.
            encoder.set_palette(vec![77; 3 << depth as u8]);
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(bytes).unwrap();
    }

    #[test]
    fn numbers_are_those_of_the_file_at_every_depth() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.png");
        let numbers = || LabelMap::read_numbers(&path, [2, 3]).unwrap();
        let bytes = [0, 1, 255, 20, 2, 0];
        let expected = Array2::from_shape_vec((2, 3), bytes.map(u16::from).to_vec()).unwrap();
        for colour in [ColorType::Indexed, ColorType::Grayscale] {
            write(&path, [2, 3], colour, BitDepth::Eight, &bytes);
            assert_eq!(numbers(), expected);
            // 0 1 3 and 2 0 1 in two bits each; the rest of a byte is nobody's.
            write(
                &path,
                [2, 3],
                colour,
                BitDepth::Two,
                &[0b0001_1111, 0b1000_0110],
            );
            assert_eq!(numbers(), ndarray::arr2(&[[0, 1, 3], [2, 0, 1]]));
            write(
                &path,
                [2, 3],
                colour,
                BitDepth::Four,
                &[0x0f, 0x50, 0x1a, 0x70],
            );
            assert_eq!(numbers(), ndarray::arr2(&[[0, 15, 5], [1, 10, 7]]));
            write(
                &path,
                [2, 3],
                colour,
                BitDepth::One,
                &[0b0110_0000, 0b1001_1111],
            );
            assert_eq!(numbers(), ndarray::arr2(&[[0, 1, 1], [1, 0, 0]]));
        }
        let wide: Vec<u8> = [0u16, 1, 256, 65_535, 7, 300]
            .iter()
            .flat_map(|v| v.to_be_bytes())
            .collect();
        write(
            &path,
            [2, 3],
            ColorType::Grayscale,
            BitDepth::Sixteen,
            &wide,
        );
        assert_eq!(numbers(), ndarray::arr2(&[[0, 1, 256], [65_535, 7, 300]]));
        // Alpha is left out.
        let alpha = [5, 255, 6, 0, 0, 9];
        write(
            &path,
            [1, 3],
            ColorType::GrayscaleAlpha,
            BitDepth::Eight,
            &alpha,
        );
        let found = LabelMap::read_numbers(&path, [1, 3]).unwrap();
        assert_eq!(found, ndarray::arr2(&[[5, 6, 0]]));
    }

    #[test]
    fn what_holds_no_numbers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.png");
        let refused = |size| LabelMap::read_numbers(&path, size).unwrap_err().line();
        write(
            &path,
            [1, 2],
            ColorType::Rgb,
            BitDepth::Eight,
            &[0, 0, 0, 0, 2, 0],
        );
        assert!(refused([1, 2]).contains("map.png: wanted a PNG picture with a palette"));
        let map = LabelMap::read(&path).unwrap();
        assert!(map.in_colour);
        assert_eq!(map.values, ndarray::arr2(&[[0, 1]]));
        assert!(refused([2, 1]).contains("wanted 1 x 2 pixels, as its picture has, got 2 x 1"));
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"GIF89a", b""] {
            std::fs::write(&path, damaged).unwrap();
            assert!(refused([1, 2]).contains("map.png: wanted a PNG picture of numbers"));
        }
    }
}
