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
    /// The encoder of CRATE-MAE under a head (official `crate_encoder.py` of the notebooks on emergent segmentation):
    /// CRATE whose embedding is a convolution without LayerNorms.
    CrateEncoder,
    /// The encoder of the ViT-MAE that CRATE-MAE is compared with, under a head: a ViT without biases of queries, keys and
    /// values.
    VitEncoder,
}

impl Architecture {
    /// Whether the first block of a layer is multi-head self-attention.
    pub fn has_mhsa(self) -> bool {
        matches!(self, Self::CrateMhsa) || self.is_vit()
    }

    /// Whether the second block of a layer is a perceptron.
    pub fn has_mlp(self) -> bool {
        matches!(self, Self::CrateMlp) || self.is_vit()
    }

    /// Whether it is a transformer's throughout.
    pub fn is_vit(self) -> bool {
        matches!(self, Self::Vit | Self::VitEncoder)
    }

    /// Whether it is an autoencoder's encoder under a head.
    pub fn is_encoder(self) -> bool {
        matches!(self, Self::CrateEncoder | Self::VitEncoder)
    }

    /// Whether patches are embedded by a convolution, as in timm, with no LayerNorm before the layers.
    pub fn embeds_by_convolution(self) -> bool {
        self.is_vit() || self.is_encoder()
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
            Self::CrateEncoder => "crate-encoder",
            Self::VitEncoder => "vit-encoder",
        }
    }

    /// Files leave CRATE's own out.
    pub(super) fn is_crate(&self) -> bool {
        *self == Self::Crate
    }
}
