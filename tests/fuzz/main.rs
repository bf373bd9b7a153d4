//! Valid files with damage: whatever the bytes, reading ends soon, in little memory, without a panic, and says
//! what is wrong in one line.
//!
//! Every case follows from its number, so that one that fails can be run again. `WHITEBOX_FUZZ` is the number
//! of cases of each kind of file; `WHITEBOX_FUZZ_FROM` the first.
#![allow(missing_docs, clippy::unwrap_used)]

mod checkpoints;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

const CASES: u64 = 1500;

/// Bytes that all readings of one moment may hold together, in MiB, and the time that one may take.
const MEMORY_LIMIT: f32 = 512.0;
const TIME_LIMIT: Duration = Duration::from_secs(5);

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Numbers that lengths, counts and offsets go wrong at.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// `bytes` with a few pieces of damage.
fn damaged(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.gen_range(1..=4) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = rng.gen_range(0..bytes.len());
        let longest = (bytes.len() - at).min(64);
        let length = rng.gen_range(1..=longest);
        match rng.gen_range(0..9) {
            0 => bytes[at] ^= 1 << rng.gen_range(0..8),
            1 => bytes[at] = rng.gen(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let again = bytes[at..at + length].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                // A number in binary, of one to eight bytes.
                let edge = EDGES[rng.gen_range(0..EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][rng.gen_range(0..4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            6 => {
                // A number in digits, where there is one.
                let start = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit());
                let Some(start) = start else { continue };
                let digits = bytes[start..].iter().take_while(|b| b.is_ascii_digit());
                let end = start + digits.count();
                let edge = EDGES[rng.gen_range(0..EDGES.len())].to_string();
                bytes.splice(start..end, edge.into_bytes());
            }
            7 => {
                let to = rng.gen_range(0..bytes.len());
                let piece = bytes[at..at + length].to_vec();
                let end = (to + piece.len()).min(bytes.len());
                bytes.splice(to..end, piece);
            }
            _ => bytes[at..at + length].fill([0, 0xff, b'\n', b'N', b'('][rng.gen_range(0..5)]),
        }
    }
    bytes
}

/// Runs the cases of one kind of file. `make` damages something, `read` reads it and returns the error's
/// message, if there is one. Returns how many were read without an error.
fn run(
    kind: &str,
    mut make: impl FnMut(&mut ChaCha8Rng) -> Vec<u8>,
    mut read: impl FnMut(&[u8]) -> Result<(), String>,
) -> u64 {
    let first = number("WHITEBOX_FUZZ_FROM", 0);
    let mut sound = 0;
    let cases = number("WHITEBOX_FUZZ", CASES);
    for case in first..first + cases {
        let bytes = make(&mut ChaCha8Rng::seed_from_u64(case));
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        let took = start.elapsed();
        let Ok(outcome) = outcome else {
            panic!("{kind}: a panic in case {case}");
        };
        assert!(took < TIME_LIMIT, "{kind}: {took:?} in case {case}");
        let peak = MEMORY.peak_usage_as_mb();
        assert!(peak < MEMORY_LIMIT, "{kind}: {peak} MiB in case {case}");
        match outcome {
            Ok(()) => sound += 1,
            Err(message) => {
                let lines = message.lines().count();
                assert_eq!(lines, 1, "{kind}: case {case} says {message:?}");
                assert!(message.len() < 4000, "{kind}: case {case} says {message}");
            }
        }
    }
    println!("{kind}: {sound} of {cases} cases were harmless");
    sound
}
