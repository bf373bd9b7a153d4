//! What networks are made of, by name.

use serde::{Deserialize, Serialize};

/// What a network is made of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// MSSA and ISTA.
    #[default]
    Crate,
    /// CRATE with multi-head self-attention in place of MSSA.
    CrateMhsa,
    /// CRATE with a two-layer perceptron and a skip around it in place of ISTA.
    CrateMlp,
    /// CRATE whose MSSA writes with the bases it reads with, up to a learned scale, as the derivation has it.
    CrateTied,
    /// CRATE whose dictionaries are orthogonal, as the derivation has them.
    CrateOrthogonal,
    /// Both.
    CrateTiedOrthogonal,
    /// The transformer that the papers compare with: multi-head self-attention and perceptrons, its
    /// embedding, its head.
    Vit,
}

impl Architecture {
    /// Whether the first block of a layer is multi-head self-attention.
    pub fn has_mhsa(self) -> bool {
        matches!(self, Self::CrateMhsa | Self::Vit)
    }

    /// Whether the second block of a layer is a perceptron.
    pub fn has_mlp(self) -> bool {
        matches!(self, Self::CrateMlp | Self::Vit)
    }

    /// Whether the output of MSSA is `s [U_1, ..., U_K]` instead of a linear map of its own.
    pub fn has_tied_output(self) -> bool {
        matches!(self, Self::CrateTied | Self::CrateTiedOrthogonal)
    }

    /// Whether the dictionaries are kept orthogonal.
    pub fn has_orthogonal_dictionary(self) -> bool {
        matches!(self, Self::CrateOrthogonal | Self::CrateTiedOrthogonal)
    }

    /// The name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crate => "crate",
            Self::CrateMhsa => "crate-mhsa",
            Self::CrateMlp => "crate-mlp",
            Self::CrateTied => "crate-tied",
            Self::CrateOrthogonal => "crate-orthogonal",
            Self::CrateTiedOrthogonal => "crate-tied-orthogonal",
            Self::Vit => "vit",
        }
    }

    /// Files leave CRATE's own out.
    pub(super) fn is_crate(&self) -> bool {
        *self == Self::Crate
    }
}
