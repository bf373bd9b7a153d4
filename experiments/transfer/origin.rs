//! Where a network comes from.

use serde::{Deserialize, Serialize};
use whitebox::harness::comparison::Labels;

/// Where a network comes from before it sees the new classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    Scratch,
    Pretrained,
    PermutedLabels,
}

impl Origin {
    pub(super) const ALL: [Self; 3] = [Self::Scratch, Self::Pretrained, Self::PermutedLabels];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Scratch => "from scratch",
            Self::Pretrained => "pre-trained",
            Self::PermutedLabels => "pre-trained on permuted labels",
        }
    }

    /// The labels that it was pre-trained on.
    pub(super) fn labels(self) -> Option<Labels> {
        match self {
            Self::Scratch => None,
            Self::Pretrained => Some(Labels::True),
            Self::PermutedLabels => Some(Labels::Permuted),
        }
    }
}
