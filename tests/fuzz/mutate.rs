//! Changes to a file: those of wires and disks, and those of people who know the format.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Numbers at which lengths and counts go wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Words at which texts go wrong.
const WORDS: [&str; 16] = [
    "nan",
    "-1",
    "1e999",
    "0",
    "-0.0",
    "99999999999999999999",
    "inf",
    "null",
    "true",
    "[",
    "{",
    "\"",
    "'",
    "\n",
    "\u{e9}",
    "((((((((((((((((((((((((((((((((((((((((",
];

/// Files grow to this many bytes at most.
const LONGEST: usize = 1 << 16;

/// `file` with one to four changes; `other` is a second file of the format, to take a part of.
pub(crate) fn mutate(file: &[u8], other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..rng.gen_range(1..=4) {
        change(&mut bytes, other, rng);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    // Headers stand at the beginning: half of the changes fall there.
    let length = bytes.len();
    let near = if rng.gen() { length.min(128) } else { length };
    let at = if near == 0 { 0 } else { rng.gen_range(0..near) };
    let part = |of: &[u8], rng: &mut ChaCha8Rng| -> Vec<u8> {
        let start = rng.gen_range(0..=of.len());
        let end = (start + rng.gen_range(0..64)).min(of.len());
        of[start..end].to_vec()
    };
    match rng.gen_range(0..10) {
        0 if at < length => bytes[at] ^= 1 << rng.gen_range(0..8),
        1 if at < length => bytes[at] = rng.gen(),
        2 => bytes.truncate(at),
        3 => {
            let width = [1, 2, 4, 8][rng.gen_range(0..4)].min(length - at);
            let number = NUMBERS[rng.gen_range(0..NUMBERS.len())];
            let little = number.to_le_bytes();
            let mut big = little[..width].to_vec();
            big.reverse();
            let written = if rng.gen() { &little[..width] } else { &big };
            bytes[at..at + width].copy_from_slice(written);
        }
        4 => {
            let word = WORDS[rng.gen_range(0..WORDS.len())];
            let end = (at + rng.gen_range(0..6)).min(length);
            bytes.splice(at..end, word.bytes());
        }
        5 => {
            let end = (at + rng.gen_range(0..64)).min(length);
            bytes.drain(at..end);
        }
        6 => {
            let copied = part(bytes, rng);
            bytes.splice(at..at, copied);
        }
        7 => {
            let taken = part(other, rng);
            let end = (at + taken.len()).min(length);
            bytes.splice(at..end, taken);
        }
        8 => {
            // Another digit where one is.
            let digit = bytes[at..].iter().position(u8::is_ascii_digit);
            if let Some(place) = digit {
                bytes[at + place] = rng.gen_range(b'0'..=b'9');
            }
        }
        _ => bytes.extend((0..rng.gen_range(1..64)).map(|_| rng.gen::<u8>())),
    }
}
