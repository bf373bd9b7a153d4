//! The names, shapes and first values that a network's parameters have in the official code: CRATE's own
//! (`model/crate.py`), and for a ViT those of timm, whose class the official `model/vit.py` extends; the autoencoders'
//! stacks have names of the same two kinds. The blocks that the official code does not combine have names after the pattern of CRATE's.

use dfdx::prelude::*;

use super::architecture::Architecture;
use super::linear::Linear;
use super::parameters::{visit_linear_from, Init, Visitor};
use super::Real;
use crate::error::Result;

/// First values of a ViT's linear maps.
pub(super) const VIT_LINEAR: [Init; 2] = [Init::Normal { deviation: 0.02 }, Init::Zero];

/// What the names of a head begin with: those parameters belong to the classes, not to the pictures.
pub fn is_head(name: &str) -> bool {
    name.starts_with("mlp_head.") || name.starts_with("head.")
}

/// The name of the positional embedding.
pub fn position(architecture: Architecture) -> &'static str {
    match architecture.embeds_by_convolution() {
        true => "pos_embed",
        false => "pos_embedding",
    }
}

/// What an autoencoder's encoder does without: the names of the other tensors of the autoencoder.
pub(super) fn is_of_decoder(name: &str) -> bool {
    name == MASK_TOKEN || name.starts_with("decoder_")
}

/// What stands in place of a masked patch in an autoencoder.
pub(super) const MASK_TOKEN: &str = "mask_token";

/// The positions that an autoencoder adds, to the encoder's tokens in spite of their name.
pub(super) const ADDED_POSITIONS: &str = "decoder_pos_embed";

/// Whose names a network's parameters have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// CRATE's own.
    Crate,
    /// timm's.
    Vit,
    /// CRATE-MAE's encoder alone, whose first values are as CRATE's.
    CrateEncoder,
    /// A stack of CRATE-MAE (official `model/crate_ae/crate_ae.py`).
    CrateMae(Half),
    /// A stack of the ViT-MAE that it is compared with (`mae_vit_base` of the same file).
    VitMae(Half),
}

/// A stack of an autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The first.
    Encoder,
    /// The second.
    Decoder,
}

impl Half {
    /// What the names of its layers begin with.
    fn blocks(self) -> &'static str {
        match self {
            Self::Encoder => "blocks",
            Self::Decoder => "decoder_blocks",
        }
    }
}

impl Dialect {
    /// That of an architecture's official code.
    pub fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Vit | Architecture::VitEncoder => Self::Vit,
            Architecture::CrateEncoder => Self::CrateEncoder,
            _ => Self::Crate,
        }
    }
}

/// A part of a block that has parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the heads read.
    Projection,
    /// What takes the heads back to a token.
    Output,
    /// The scale of an output that is tied to the bases.
    OutputScale,
    /// The dictionary of an ISTA step.
    Dictionary,
    /// A perceptron's map up.
    Rise,
    /// And down.
    Fall,
    /// What weighs the heads in token statistics attention.
    Temperatures,
    /// The dictionary `D` of CRATE-alpha's overcomplete block (official `torch_inference/model/crate_alpha.py`).
    OvercompleteDictionary,
    /// `D1`, what its codes are read with.
    CodeOutput,
}

/// Where a step's parameters are named: layer and step from 0.
#[derive(Debug, Clone, Copy)]
pub struct StepNames {
    /// Whose names they are.
    pub dialect: Dialect,
    /// Of the network.
    pub layer: usize,
    /// Of the layer.
    pub step: usize,
}

impl StepNames {
    /// Those of a step, layer and step from 0.
    pub fn of_step(dialect: Dialect, layer: usize, step: usize) -> Self {
        Self {
            dialect,
            layer,
            step,
        }
    }

    /// What the names of the layer's, or in CRATE the step's, parameters begin with.
    fn before(&self) -> String {
        let Self { layer, step, .. } = self;
        match self.dialect {
            Dialect::Crate => format!("transformer.layers.{layer}.{step}"),
            // A layer is one pair of steps in a list of pairs.
            Dialect::CrateMae(half) => format!("{}.{layer}.layers.0.{step}", half.blocks()),
            Dialect::CrateEncoder => format!("blocks.{layer}.layers.0.{step}"),
            Dialect::Vit => format!("blocks.{layer}"),
            Dialect::VitMae(half) => format!("{}.{layer}", half.blocks()),
        }
    }

    /// What the names of the LayerNorm's gain and bias begin with.
    pub fn norm(&self) -> String {
        let before = self.before();
        match self.dialect {
            Dialect::Crate | Dialect::CrateEncoder | Dialect::CrateMae(_) => {
                format!("{before}.norm")
            }
            Dialect::Vit | Dialect::VitMae(_) => format!("{before}.norm{}", self.step + 1),
        }
    }

    /// The name of a part that is one tensor, or what the names of its weight and bias begin with.
    pub fn of(&self, part: Part) -> String {
        let before = self.before();
        match self.dialect {
            Dialect::Crate | Dialect::CrateEncoder | Dialect::CrateMae(_) => {
                let name = match part {
                    Part::Projection => ".qkv",
                    Part::Output => ".to_out.0",
                    Part::OutputScale => ".to_out.scale",
                    Part::Dictionary => "",
                    Part::Rise => ".net.0",
                    Part::Fall => ".net.2",
                    Part::Temperatures => ".temp",
                    Part::OvercompleteDictionary => ".D",
                    Part::CodeOutput => ".D1",
                };
                format!("{before}.fn{name}")
            }
            Dialect::Vit | Dialect::VitMae(_) => {
                let name = match part {
                    Part::Projection => "attn.qkv",
                    Part::Output => "attn.proj",
                    Part::OutputScale => "attn.scale",
                    Part::Dictionary => "dictionary",
                    Part::Rise => "mlp.fc1",
                    Part::Fall => "mlp.fc2",
                    Part::Temperatures => "attn.temp",
                    Part::OvercompleteDictionary => "dictionary.D",
                    Part::CodeOutput => "dictionary.D1",
                };
                format!("{before}.{name}")
            }
        }
    }

    /// The name of a part's matrix.
    pub fn weight(&self, part: Part) -> String {
        format!("{}.weight", self.of(part))
    }

    /// The name of a part's bias.
    pub fn bias(&self, part: Part) -> String {
        format!("{}.bias", self.of(part))
    }

    /// First values of weight and bias of a linear map.
    pub fn linear(&self, fan_in: usize, fan_out: usize) -> [Init; 2] {
        match self.dialect {
            Dialect::Crate | Dialect::CrateEncoder => [Init::Linear { fan_in }; 2],
            Dialect::Vit => VIT_LINEAR,
            Dialect::CrateMae(_) | Dialect::VitMae(_) => xavier(fan_in, fan_out),
        }
    }
}

/// First values of an autoencoder's linear maps.
pub(super) fn xavier(fan_in: usize, fan_out: usize) -> [Init; 2] {
    [Init::XavierUniform { fan_in, fan_out }, Init::Zero]
}

/// Visits weight and bias of a linear map that is a part of a step.
pub(super) fn visit_linear<E: Real, D: Device<E>>(
    visitor: &mut impl Visitor<E, D>,
    names: &StepNames,
    part: Part,
    linear: &mut Linear<E, D>,
) -> Result<()> {
    let (fan_out, fan_in) = *linear.weight.shape();
    let first = names.linear(fan_in, fan_out);
    visit_linear_from(visitor, &names.of(part), first, linear)
}
