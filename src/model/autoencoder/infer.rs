//! The sizes of an autoencoder from the names and shapes of its parameters.

use super::config::{AutoencoderConfig, DecoderSign, Kind, OFFICIAL_STEP_SIZE};
use crate::error::{Error, Result};
use crate::model::architecture::Architecture;
use crate::model::checkpoint::Checkpoint;
use crate::model::description::Description;
use crate::model::entry::Unreadable;
use crate::model::names::{self, Dialect, Half, Part, StepNames};
use crate::model::sizes::no_lambda;

/// The positions that are added, in both halves.
const POSITIONS: &str = "decoder_pos_embed";

/// What no tensor of an autoencoder shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Unseen {
    /// Heads of the encoder.
    pub heads: Option<usize>,
    /// Heads of the decoder; none: those of the encoder.
    pub decoder_heads: Option<usize>,
    /// The weight of ISTA's threshold.
    pub lambda: Option<f64>,
}

impl Checkpoint {
    /// Whether the file holds a whole autoencoder, of those that this program has, by what it says or by its names.
    pub fn holds_autoencoder(&self) -> bool {
        if let Some(description) = self.description {
            return matches!(description, Description::Autoencoder(_));
        }
        let encoder = [Architecture::CrateEncoder, Architecture::VitEncoder];
        let decoder = [
            Dialect::CrateMae(Half::Decoder),
            Dialect::VitMae(Half::Decoder),
        ];
        encoder.contains(&self.convolutional())
            && self.has_mask_token()
            && decoder.into_iter().any(|dialect| self.depth(dialect) > 0)
    }

    /// The configuration that the file carries, or that the tensors' names and shapes imply with what they do not show;
    /// the step size is the official one.
    ///
    /// # Errors
    /// [`Error::File`] if it is a classifier's, or naming the tensor that is missing, [`Error::Shape`] naming one that does
    /// not fit, [`Error::Argument`] naming
    /// what has to be given because no file holds it, or contradicts what this one carries.
    pub fn autoencoder_config(&self, unseen: Unseen) -> Result<AutoencoderConfig> {
        if let Some(Description::Autoencoder(own)) = self.description {
            let given = [
                ("`heads`", unseen.heads.map(|k| k as f64), own.heads as f64),
                (
                    "`decoder-heads`",
                    unseen.decoder_heads.map(|k| k as f64),
                    own.decoder_heads as f64,
                ),
                ("`lambda`", unseen.lambda, own.lambda),
            ];
            let wrong = given
                .into_iter()
                .find(|(_, given, own)| given.is_some_and(|given| given != *own));
            return match wrong {
                None => Ok(own),
                Some((flag, given, own)) => Err(Error::argument(
                    flag,
                    format!("the {own} that {} names", self.path().display()),
                    given.unwrap_or_default().to_string(),
                    "leave it out",
                )),
            };
        }
        let is_head = |name: &String| names::is_head(name);
        if self.config().is_some() || self.tensors.keys().any(is_head) {
            let found = Unreadable {
                got: "a classifier (it has a head)".into(),
                remedy: "evaluate it with whitebox evaluate".into(),
            };
            return Err(self.problem("a masked autoencoder".into(), found));
        }
        let [_, _, d] = self.dimensions("mask_token")?;
        let [embedded, channels, p1, p2] = self.dimensions("patch_embed.proj.weight")?;
        if embedded != d {
            return Err(self.misfit("patch_embed.proj.weight", format!("[{d}, channels, p, p]")));
        }
        let [_, tokens, _] = self.dimensions(POSITIONS)?;
        let grid = self.grid(POSITIONS, tokens, d)?;
        let dialects = |half| [Dialect::CrateMae(half), Dialect::VitMae(half)];
        let [crate_mae, _] = dialects(Half::Encoder)
            .map(|dialect| StepNames::of_step(dialect, 0, 0).weight(Part::Projection));
        let kind = match self.tensors.contains_key(&crate_mae) {
            true => Kind::CrateMae,
            false => Kind::VitMae,
        };
        let depth = |half| self.depth(dialects(half)[usize::from(kind == Kind::VitMae)]);
        let heads = unseen.heads.ok_or_else(|| {
            let wanted = "the number of heads, which no tensor shows";
            Error::argument("`heads`", wanted, "none", "give `heads`")
        })?;
        let lambda = match (kind, unseen.lambda) {
            (_, Some(lambda)) => lambda,
            (Kind::VitMae, None) => 0.0,
            (Kind::CrateMae, None) => return Err(no_lambda()),
        };
        let config = AutoencoderConfig {
            kind,
            image_size: [p1, p2].map(|side| grid.saturating_mul(side)),
            patch_size: [p1, p2],
            channels,
            d,
            encoder_depth: depth(Half::Encoder),
            decoder_depth: depth(Half::Decoder),
            heads,
            decoder_heads: unseen.decoder_heads.unwrap_or(heads),
            decoder_sign: DecoderSign::Minus,
            step_size: OFFICIAL_STEP_SIZE,
            lambda,
        };
        config.check()?;
        Ok(config)
    }
}
