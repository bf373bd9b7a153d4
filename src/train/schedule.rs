//! The course of learning rate and weight decay.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the learning rate goes from epoch to epoch. `E` is the number of epochs, `W` those of warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// By step: linear up to the end of the warm-up ([`Ramp`]), then half a cosine down to the floor.
    Cosine,
    /// By epoch `e` from 0, as the official `main.py`: `min((e + 1) / W, (1 + cos(pi e / E)) / 2)`, the
    /// smaller of a ramp and a cosine that does not wait for it.
    Official,
    /// By epoch `e` from 0, as the official `finetune.py`, which sets its cosine by the epoch before the
    /// one just finished: `(1 + cos(pi (e - 2) / E)) / 2`, and 1 at first. No warm-up.
    LaggingCosine,
}

/// The warm-up of a cosine by step: the factor at step `s` from 0 of `W` steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Ramp {
    /// `(s + 1) / (W + 1)`, as nanoGPT: neither 0 nor 1.
    #[default]
    Open,
    /// `s / W`, as MAE: from 0, and 1 is that of the first step after the warm-up.
    FromZero,
    /// `s / (W - 1)`, as DINO: from 0 to 1, which stands twice.
    Closed,
}

impl Ramp {
    /// The factor at `step` of `steps`.
    pub fn at(self, step: f64, steps: f64) -> f64 {
        match self {
            Self::Open => (step + 1.0) / (steps + 1.0),
            Self::FromZero => step / steps,
            Self::Closed => step / (steps - 1.0).max(1.0),
        }
    }
}

/// Half a cosine from `from` at progress 0 to `to` at 1, `to + (from - to) (1 + cos(pi progress)) / 2`: a learning
/// rate, a weight decay, the momentum of a teacher.
pub fn cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * (0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_teachers_momentum_is_that_of_dino() {
        // m = 1 - (1 - 0.996) (cos(pi k / T) + 1) / 2 at k = 0, T / 4, T / 2, T.
        let expected = [0.996, 0.996_585_786_437_626_9, 0.998, 1.0];
        for (progress, expected) in [0.0, 0.25, 0.5, 1.0].into_iter().zip(expected) {
            assert!((cosine(0.996, 1.0, progress) - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn ramps_begin_and_end_where_they_say() {
        let all = |ramp: Ramp| [0.0, 1.0, 3.0].map(|step| ramp.at(step, 4.0));
        assert_eq!(all(Ramp::Open), [0.2, 0.4, 0.8]);
        assert_eq!(all(Ramp::FromZero), [0.0, 0.25, 0.75]);
        assert_eq!(all(Ramp::Closed), [0.0, 1.0 / 3.0, 1.0]);
        assert_eq!(Ramp::Closed.at(0.0, 1.0), 0.0);
    }
}
