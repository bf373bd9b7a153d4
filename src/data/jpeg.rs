//! Whether a JPEG file is whole. Decoders fill what is missing of a file that was cut with grey, and say
//! nothing; Pillow, which the papers' pictures went through, refuses it.
//!
//! ITU-T T.81, annex B: segments that begin with `FF` and a marker and name their length; after a start of
//! scan, data in which `FF` is followed by 0, by a restart marker, or by the marker of the next segment.

const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Whether a file that begins as a JPEG does has a scan and the marker of its end. What comes after that is
/// no matter.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut scanned = false;
    let mut at = 2;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else {
            return false;
        };
        match marker {
            END_OF_IMAGE => return scanned,
            // Restarts, and the two others without a length.
            0xd0..=0xd8 | 0x01 => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
                scanned |= marker == START_OF_SCAN;
            }
        }
    }
}

/// The next byte after an `FF` that is neither 0 nor another `FF`, and moves `at` behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let rest = bytes.get(*at..)?;
    let pairs = rest.windows(2).enumerate();
    let mut markers = pairs.filter(|(_, pair)| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff));
    let (place, pair) = markers.next()?;
    *at += place + 2;
    Some(pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_only_with_the_end_after_its_scan() {
        // An end within a segment, as of a thumbnail, is not the file's.
        let head = [
            0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 0xff, 0xd9, 0xff, 0xda, 0, 3, 1,
        ];
        let data = [7, 0xff, 0, 0xff, 0xd0, 9];
        let end = [0xff, 0xff, 0xd9];
        let whole = [&head[..], &data, &end].concat();
        assert!(is_whole(&whole));
        for length in 2..whole.len() {
            assert!(!is_whole(&whole[..length]), "{length}");
        }
        assert!(is_whole(&[&whole[..], b"junk"].concat()));
        assert!(!is_whole(&[0xff, 0xd8, 0xff, 0xd9]));
    }
}
