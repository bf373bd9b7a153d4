//! What a network is, whichever it is.

use serde::{Deserialize, Serialize};

use super::autoencoder::AutoencoderConfig;
use super::config::Config;
use crate::error::Result;

/// What fixes a network apart from its parameters, as files and `config.json` have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Description {
    /// Of a classifier.
    #[serde(rename = "config")]
    Classifier(Config),
    /// Of an autoencoder.
    #[serde(rename = "autoencoder")]
    Autoencoder(AutoencoderConfig),
}

impl Description {
    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first setting that is out of range.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Classifier(config) => config.check(),
            Self::Autoencoder(config) => config.check(),
        }
    }

    /// Numbers that a file of such a network holds.
    pub(super) fn parameters(&self) -> usize {
        match self {
            Self::Classifier(config) => config.parameters(),
            Self::Autoencoder(config) => config.parameters(),
        }
    }

    /// What such a network is called.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Classifier(_) => "classifier",
            Self::Autoencoder(_) => "autoencoder",
        }
    }
}
