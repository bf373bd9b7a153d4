//! The sizes, for a record and for a trial.

use serde::{Deserialize, Serialize};
use whitebox::measure::growth::Theorem;

/// Subspaces, everywhere.
pub(crate) const HEADS: usize = 4;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) compression: Compression,
    pub(crate) membership: Membership,
    pub(crate) attention_only: AttentionOnly,
}

impl Settings {
    pub(crate) fn new(quick: bool) -> Self {
        Self {
            compression: Compression::new(quick),
            membership: Membership::new(quick),
            attention_only: AttentionOnly::new(quick),
        }
    }
}

/// The model: 4 subspaces of width 16. The fields after `sweep` are those of the signs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compression {
    pub(crate) heads: usize,
    pub(crate) p: usize,
    pub(crate) tokens: usize,
    pub(crate) noise: f64,
    pub(crate) draws: usize,
    pub(crate) sweep: Vec<f64>,
    pub(crate) sign_noise: f64,
    pub(crate) sign_tokens: usize,
    pub(crate) sign_epsilon: f64,
    pub(crate) region_draws: usize,
}

impl Compression {
    fn new(quick: bool) -> Self {
        Self {
            heads: HEADS,
            p: 16,
            tokens: 512,
            noise: 0.05,
            draws: if quick { 2 } else { 20 },
            sweep: vec![0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
            sign_noise: 0.3,
            sign_tokens: 400,
            sign_epsilon: 0.5,
            region_draws: if quick { 1 } else { 5 },
        }
    }

    /// `eps^2 = 10 p noise^2`: the filter's noise level is ten times the noise.
    pub(crate) fn epsilon(&self, noise: f64) -> f64 {
        (10.0 * self.p as f64).sqrt() * noise
    }
}

/// Two models, of 4 subspaces: widths 32 for the masses, 16 for the denoisers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) mass_p: usize,
    pub(crate) mass_tokens: usize,
    pub(crate) mass_noises: Vec<f64>,
    pub(crate) p: usize,
    pub(crate) tokens: usize,
    pub(crate) noises: Vec<f64>,
    pub(crate) draws: usize,
}

impl Membership {
    fn new(quick: bool) -> Self {
        Self {
            mass_p: 32,
            mass_tokens: 256,
            mass_noises: vec![0.0, 0.1, 0.3, 0.5],
            p: 16,
            tokens: 400,
            noises: vec![0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
            draws: if quick { 2 } else { 20 },
        }
    }
}

/// One size at which the theorem is tried.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) p: usize,
    pub(crate) tokens: usize,
    pub(crate) draws: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttentionOnly {
    eta: f64,
    tau: f64,
    /// Sizes with p >= 64, for which tau lies in the theorem's interval.
    pub(crate) sizes: Vec<Size>,
    /// Noise, in units of `p^{-1/2}`; the theorem asks for no more than a constant times that.
    pub(crate) noises: Vec<f64>,
    pub(crate) layers: usize,
    pub(crate) rescaled_layers: usize,
    pub(crate) first_off_noises: Vec<f64>,
    pub(crate) first_off_draws: usize,
    pub(crate) figure_p: usize,
    pub(crate) figure_tokens: usize,
    figure_eta: f64,
    pub(crate) figure_eta_relu: f64,
    pub(crate) figure_draws: usize,
}

impl AttentionOnly {
    fn new(quick: bool) -> Self {
        let size = |p, tokens, draws| Size { p, tokens, draws };
        let sizes = if quick {
            vec![size(64, 128, 1)]
        } else {
            vec![
                size(64, 128, 100),
                size(64, 512, 20),
                size(128, 512, 8),
                size(64, 2048, 1),
            ]
        };
        let powers = 0..if quick { 2 } else { 10 };
        Self {
            eta: 0.5,
            tau: 0.6,
            sizes,
            noises: vec![0.1, 0.25, 0.5],
            layers: 12,
            rescaled_layers: 20,
            first_off_noises: powers.map(|i| 2f64.powi(-2 - i)).collect(),
            first_off_draws: if quick { 1 } else { 10 },
            figure_p: 32,
            figure_tokens: 256,
            figure_eta: 0.1,
            figure_eta_relu: 0.02,
            figure_draws: if quick { 1 } else { 10 },
        }
    }

    pub(crate) fn theorem(&self) -> Theorem {
        Theorem {
            eta: self.eta,
            tau: self.tau,
        }
    }

    pub(crate) fn figure_theorem(&self) -> Theorem {
        Theorem {
            eta: self.figure_eta,
            tau: self.tau,
        }
    }

    /// Draws of all sizes.
    pub(crate) fn draws(&self) -> usize {
        self.sizes.iter().map(|size| size.draws).sum()
    }
}
