//! The curves of the book's figure: what it prints, and what each candidate for `phi` gives.

use serde::{Deserialize, Serialize};
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::attention_only::Phi;
use whitebox::harness::run::Run;
use whitebox::measure::growth::ratios;
use whitebox::measure::statistics::Summary;
use whitebox::{parallel, Result};

use crate::settings::{AttentionOnly as Settings, HEADS};

/// Signal-to-noise ratios by layer, read off the book's figures SNR1 (noise 0.2) and SNR2 (0.5).
pub(crate) const PUBLISHED: [(f64, [f64; 13]); 2] = [
    (
        0.2,
        [
            1.55, 1.64, 1.735, 1.83, 1.92, 2.015, 2.11, 2.205, 2.30, 2.39, 2.485, 2.58, 2.62,
        ],
    ),
    (
        0.5,
        [
            1.635, 1.72, 1.81, 1.90, 1.985, 2.08, 2.17, 2.26, 2.355, 2.45, 2.54, 2.635, 2.73,
        ],
    ),
];

/// Whose curve: a candidate for `phi`, or the figure's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Curve {
    #[serde(rename = "thresholded softmax")]
    Thresholded,
    #[serde(rename = "softmax")]
    Softmax,
    #[serde(rename = "softmax, scale p^{-1/2}")]
    ScaledSoftmax,
    #[serde(rename = "ReLU / N")]
    Relu,
    #[serde(rename = "published")]
    Published,
}

impl Curve {
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::Thresholded, "thresholded softmax"),
        (Self::Softmax, "softmax"),
        (Self::ScaledSoftmax, "softmax, scale p^{-1/2}"),
        (Self::Relu, "ReLU / N"),
        (Self::Published, "published"),
    ];

    /// The ratio before each of 13 layers.
    pub(crate) fn values(
        self,
        settings: &Settings,
        run: &Run,
        noise: f64,
        published: &[f64; 13],
    ) -> Result<Vec<Summary>> {
        let theorem = settings.figure_theorem();
        let scale = (settings.figure_p as f64).powf(-0.5);
        let (phi, eta) = match self {
            Self::Thresholded => (Phi::Thresholded { tau: theorem.tau }, theorem.eta),
            Self::Softmax => (Phi::Softmax { scale: 1.0 }, theorem.eta),
            Self::ScaledSoftmax => (Phi::Softmax { scale }, theorem.eta),
            Self::Relu => (Phi::Relu, settings.figure_eta_relu),
            Self::Published => return Ok(published.map(|v| Summary::of(&[v])).to_vec()),
        };
        let model = UnionOfSubspaces::new(HEADS, settings.figure_p, settings.figure_tokens, noise);
        let draws = parallel::map(settings.figure_draws, run.threads, |draw| {
            Ok(ratios(
                &model.draw(run.seed, draw)?,
                eta,
                phi,
                published.len(),
            ))
        })?;
        let by_layer =
            |layer: usize| Summary::of(&draws.iter().map(|d| d[layer]).collect::<Vec<_>>());
        Ok((0..published.len()).map(by_layer).collect())
    }
}
