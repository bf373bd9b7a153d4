//! Masks as COCO's lengths of runs: down the first column, then the second; pixels outside, pixels inside, pixels outside,
//! and so on, beginning with those outside, of which there may be none.

use ndarray::Array2;

/// What runs of these lengths hold.
///
/// # Shapes
/// Gives (height, width).
///
/// # Errors
/// For a message: the runs together are not as long as the picture has pixels.
pub fn inside(
    lengths: &[u64],
    [height, width]: [usize; 2],
) -> std::result::Result<Array2<bool>, String> {
    let pixels = height as u64 * width as u64;
    let total = lengths
        .iter()
        .try_fold(0u64, |sum, &length| sum.checked_add(length));
    if total != Some(pixels) {
        let total = total.map_or("more than there are numbers".to_owned(), |sum| {
            sum.to_string()
        });
        return Err(format!("runs of {total} pixels in all, of {pixels}"));
    }
    let mut mask = Array2::from_elem((height, width), false);
    let mut place = 0;
    for (run, &length) in lengths.iter().enumerate() {
        // At most as many as there are pixels.
        let end = place + length as usize;
        if run % 2 == 1 {
            for pixel in place..end {
                mask[[pixel % height, pixel / height]] = true;
            }
        }
        place = end;
    }
    Ok(mask)
}

/// The lengths that a compressed text stands for (pycocotools' `rleFrString`): a character from `0` to `o` holds five bits of
/// a number, the lowest first, and one that says whether more follow; the highest bit of all is the sign. From the fourth
/// number on it is how much longer the run is than the last but one.
///
/// # Errors
/// For a message: another character, a number cut off or too large, a length below 0.
pub fn decompressed(text: &str) -> std::result::Result<Vec<u64>, String> {
    let mut lengths: Vec<i64> = Vec::new();
    let mut characters = text.bytes();
    while let Some(first) = characters.next() {
        let (mut number, mut bits, mut character) = (0i64, 0, first);
        loop {
            let part = match character {
                b'0'..=b'o' => i64::from(character - b'0'),
                _ => {
                    return Err(format!(
                        "the byte {character} among compressed lengths of runs"
                    ))
                }
            };
            number |= (part & 31) << bits;
            bits += 5;
            if part & 32 == 0 {
                if part & 16 != 0 {
                    number |= -1 << bits;
                }
                break;
            }
            // Twice as many bits as any length of a run has.
            character = match characters.next() {
                Some(next) if bits < 60 => next,
                _ => return Err("a length of a run that does not end".into()),
            };
        }
        if lengths.len() > 2 {
            number += lengths[lengths.len() - 2];
        }
        if !(0..1 << 60).contains(&number) {
            return Err(format!("a run of {number} pixels"));
        }
        lengths.push(number);
    }
    // None is below 0.
    Ok(lengths.into_iter().map(|length| length as u64).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::mask;
    use super::*;

    /// By pycocotools 2.0.11.
    #[test]
    fn compressed_and_plain_lengths_are_one_mask() {
        let lengths = decompressed("01<2G000:N").unwrap();
        assert_eq!(lengths, [0, 1, 12, 3, 3, 3, 3, 3, 13, 1]);
        let rows = [
            "#......", "..###..", "..###..", "..###..", ".......", "......#",
        ];
        assert_eq!(inside(&lengths, [6, 7]).unwrap(), mask(&rows));
    }

    /// An ellipse of 40 x 50 pixels, by pycocotools: lengths above 15 and differences below 0.
    #[test]
    fn lengths_of_more_than_five_bits_are_read() {
        let text = "\\41S18J4M2N2N2N2O0O2N2O000O2O000O2O00000000000O20N1000000000001N10001N10001N2N101N2N2N2N3L6HP2";
        let lengths = decompressed(text).unwrap();
        assert_eq!(lengths[..6], [140, 1, 35, 9, 29, 13]);
        assert_eq!(lengths[lengths.len() - 3..], [35, 1, 99]);
        let ellipse = inside(&lengths, [40, 50]).unwrap();
        let formula = |(y, x): (usize, usize)| {
            let (down, right) = ((y as f64 - 20.0) / 15.0, (x as f64 - 25.0) / 22.0);
            down * down + right * right <= 1.0
        };
        assert_eq!(ellipse, Array2::from_shape_fn((40, 50), formula));
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        assert!(inside(&[3, 2], [2, 3])
            .unwrap_err()
            .contains("5 pixels in all, of 6"));
        assert!(inside(&[u64::MAX, 7], [2, 3]).is_err());
        for (text, words) in [
            ("01\u{20}", "the byte 32"),
            ("01p", "the byte 112"),
            ("0o", "does not end"),
            ("oooooooooooooooo0", "does not end"),
            ("O", "a run of -1"),
        ] {
            let error = decompressed(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
