//! Seeded pictures made on the spot: ten classes of oriented gratings with noise. They let tests
//! and trials run where no data set is installed; no result is drawn from them.

use rand::Rng;

use super::{Images, Normalisation, Split};
use crate::error::Result;
use crate::seed;

/// `count` pictures of (channels, side, side): class `c` is a grating at angle `c pi / 10`, with a
/// random phase, wave length and noise per picture.
///
/// # Errors
/// [`crate::Error::Shape`] if `count` is 0.
pub fn gratings(
    count: usize,
    channels: usize,
    side: usize,
    split: Split,
    seed: u64,
) -> Result<Images> {
    let word = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    let name = format!("procedural {word}");
    let mut rng = seed::stream(seed, &name);
    let mut pixels = Vec::with_capacity(count * channels * side * side);
    let labels: Vec<usize> = (0..count).map(|index| index % 10).collect();
    for &class in &labels {
        let angle = class as f64 * std::f64::consts::PI / 10.0;
        let phase = rng.gen_range(0.0..std::f64::consts::TAU);
        let frequency = std::f64::consts::TAU / rng.gen_range(4.0..8.0);
        for _ in 0..channels {
            for y in 0..side {
                for x in 0..side {
                    let along = x as f64 * angle.cos() + y as f64 * angle.sin();
                    let value = (frequency * along + phase).sin() * 90.0
                        + 128.0
                        + rng.gen_range(-30.0..30.0);
                    pixels.push(value as u8);
                }
            }
        }
    }
    Images::new(
        name,
        [channels, side, side],
        10,
        pixels,
        labels,
        Normalisation {
            mean: vec![0.5; channels],
            deviation: vec![0.25; channels],
        },
    )
}
