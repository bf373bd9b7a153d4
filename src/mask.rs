//! Which tokens an attention reads.

use serde::{Deserialize, Serialize};

/// What a token may read of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// All of them.
    #[default]
    None,
    /// Itself and those before it: what a model of language may know of a text.
    Causal,
}

impl Mask {
    /// Whether token `reader` reads token `read`, both from 0.
    pub fn allows(self, reader: usize, read: usize) -> bool {
        match self {
            Self::None => true,
            Self::Causal => read <= reader,
        }
    }

    /// How many of `n` tokens, the first ones, token `reader` reads.
    pub fn count(self, reader: usize, n: usize) -> usize {
        match self {
            Self::None => n,
            Self::Causal => n.min(reader + 1),
        }
    }
}
