//! Noise on finished pictures.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Adds normal noise of the standard `deviation`, in units of a byte, to a `share` of the pixels, drawn by `rng`, to every
/// channel for itself; what leaves the range of a byte is cut off (CPAL 2024, figures 11 and 12: 75 on half of the pixels).
///
/// # Shapes
/// planes (channels, pixels), row-major; gives the same.
pub fn speckled(
    planes: &[u8],
    channels: usize,
    (share, deviation): (f64, f64),
    rng: &mut impl Rng,
) -> Vec<u8> {
    let pixels = planes.len() / channels.max(1);
    let chosen: Vec<bool> = (0..pixels).map(|_| rng.gen::<f64>() < share).collect();
    let places = planes.iter().zip(chosen.iter().cycle());
    let moved = places.map(|(&value, &chosen)| {
        if !chosen {
            return value;
        }
        let noise: f64 = StandardNormal.sample(rng);
        // Cut off to a byte by the cast.
        (f64::from(value) + deviation * noise).round() as u8
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn noise_moves_its_share_of_the_pixels_by_its_deviation_in_every_channel() {
        let plain = vec![128u8; 3 * 10_000];
        let draw = |seed| speckled(&plain, 3, (0.5, 20.0), &mut seed::stream(seed, "test"));
        let noisy = draw(1);
        assert_eq!(noisy, draw(1));
        assert_ne!(noisy, draw(2));
        let moved =
            |channel: usize, pixel: usize| f64::from(noisy[channel * 10_000 + pixel]) - 128.0;
        // A normal number of deviation 20 rounds to 0 with probability .02.
        let touched = (0..10_000).filter(|&pixel| (0..3).any(|c| moved(c, pixel) != 0.0));
        let touched: Vec<usize> = touched.collect();
        let share = touched.len() as f64 / 10_000.0;
        // A standard error of .005.
        assert!((share - 0.5).abs() < 0.025, "{share}");
        for channel in 0..3 {
            let squares: f64 = touched.iter().map(|&p| moved(channel, p).powi(2)).sum();
            let deviation = (squares / touched.len() as f64).sqrt();
            // A standard error of 20 / sqrt(2 * 5000), .2.
            assert!((deviation - 20.0).abs() < 1.0, "{deviation}");
        }
        let together: f64 = touched.iter().map(|&p| moved(0, p) * moved(1, p)).sum();
        assert!((together / touched.len() as f64).abs() < 30.0, "{together}");
    }

    #[test]
    fn noise_of_nothing_changes_nothing_and_bytes_stay_bytes() {
        let mut rng = seed::stream(1, "test");
        let planes = [0u8, 255, 7, 250];
        assert_eq!(speckled(&planes, 1, (0.0, 75.0), &mut rng), planes);
        assert_eq!(speckled(&planes, 1, (1.0, 0.0), &mut rng), planes);
        let far = speckled(&planes, 1, (1.0, 1e9), &mut rng);
        assert!(far.iter().all(|&v| v == 0 || v == 255), "{far:?}");
    }
}
