//! The names, shapes and first values that a network's parameters have in the official code: CRATE's own
//! (`model/crate.py`), and for a ViT those of timm, whose class the official `model/vit.py` extends. The
//! blocks that the official code does not combine have names after the pattern of CRATE's.

use dfdx::prelude::*;

use super::block::Layer;
use super::config::{Architecture, Config, Pool};
use super::embedding::Embedding;
use super::linear::Linear;
use super::norm::LayerNorm;
use super::parameters::{visit, visit_linear_from, visit_norm, Init, Visitor};
use super::Real;
use crate::error::Result;

/// First values of a ViT's linear maps.
const VIT_LINEAR: [Init; 2] = [Init::Normal { deviation: 0.02 }, Init::Zero];

/// What the names of a head begin with: those parameters belong to the classes, not to the pictures.
pub fn is_head(name: &str) -> bool {
    name.starts_with("mlp_head.") || name.starts_with("head.")
}

/// The name of the positional embedding.
pub fn position(architecture: Architecture) -> &'static str {
    match Dialect::of(architecture) {
        Dialect::Crate => "pos_embedding",
        Dialect::Vit => "pos_embed",
    }
}

/// The parts of a network that have parameters, and what their names depend on.
pub(super) struct Parts<'a, E: Dtype, D: Device<E>> {
    pub(super) config: Config,
    pub(super) embedding: &'a mut Embedding<E, D>,
    pub(super) layers: &'a mut [Layer<E, D>],
    pub(super) head_norm: &'a mut LayerNorm<E, D>,
    pub(super) head: &'a mut Linear<E, D>,
}

/// Whose names a network's parameters have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// CRATE's own.
    Crate,
    /// timm's.
    Vit,
}

impl Dialect {
    /// That of an architecture's official code.
    pub fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Vit => Self::Vit,
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

    /// What the names of the LayerNorm's gain and bias begin with.
    pub fn norm(&self) -> String {
        let Self { layer, step, .. } = self;
        match self.dialect {
            Dialect::Crate => format!("transformer.layers.{layer}.{step}.norm"),
            Dialect::Vit => format!("blocks.{layer}.norm{}", step + 1),
        }
    }

    /// The name of a part that is one tensor, or what the names of its weight and bias begin with.
    pub fn of(&self, part: Part) -> String {
        let Self { layer, step, .. } = self;
        match self.dialect {
            Dialect::Crate => {
                let name = match part {
                    Part::Projection => ".qkv",
                    Part::Output => ".to_out.0",
                    Part::OutputScale => ".to_out.scale",
                    Part::Dictionary => "",
                    Part::Rise => ".net.0",
                    Part::Fall => ".net.2",
                    Part::Temperatures => ".temp",
                };
                format!("transformer.layers.{layer}.{step}.fn{name}")
            }
            Dialect::Vit => {
                let name = match part {
                    Part::Projection => "attn.qkv",
                    Part::Output => "attn.proj",
                    Part::OutputScale => "attn.scale",
                    Part::Dictionary => "dictionary",
                    Part::Rise => "mlp.fc1",
                    Part::Fall => "mlp.fc2",
                    Part::Temperatures => "attn.temp",
                };
                format!("blocks.{layer}.{name}")
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
    pub fn linear(&self, fan_in: usize) -> [Init; 2] {
        match self.dialect {
            Dialect::Crate => [Init::Linear { fan_in }; 2],
            Dialect::Vit => VIT_LINEAR,
        }
    }
}

fn visit_layers<E: Real, D: Device<E>>(
    layers: &mut [Layer<E, D>],
    dialect: Dialect,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    layers.iter_mut().enumerate().try_for_each(|(layer, own)| {
        own.visit(|step| StepNames::of_step(dialect, layer, step), visitor)
    })
}

/// Takes every parameter in turn.
pub(super) fn visit_all<E: Real, D: Device<E>>(
    network: Parts<'_, E, D>,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    match Dialect::of(network.config.architecture) {
        Dialect::Crate => visit_crate(network, visitor),
        Dialect::Vit => visit_vit(network, visitor),
    }
}

fn visit_crate<E: Real, D: Device<E>>(
    network: Parts<'_, E, D>,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    let (d, tokens) = (network.config.d, network.config.tokens());
    let embedding = network.embedding;
    let normal = Init::Normal { deviation: 1.0 };
    visit(
        visitor,
        "pos_embedding".into(),
        &[1, tokens, d],
        normal,
        &mut embedding.position,
    )?;
    visit(
        visitor,
        "cls_token".into(),
        &[1, 1, d],
        normal,
        &mut embedding.class_token,
    )?;
    if let Some(norm) = &mut embedding.patch_norm {
        visit_norm(visitor, "to_patch_embedding.1", norm)?;
    }
    let linear = |fan_in| [Init::Linear { fan_in }; 2];
    let first = linear(network.config.patch_width());
    visit_linear_from(
        visitor,
        "to_patch_embedding.2",
        first,
        &mut embedding.linear,
    )?;
    if let Some(norm) = &mut embedding.norm {
        visit_norm(visitor, "to_patch_embedding.3", norm)?;
    }
    visit_layers(network.layers, Dialect::Crate, visitor)?;
    visit_norm(visitor, "mlp_head.0", network.head_norm)?;
    visit_linear_from(visitor, "mlp_head.1", linear(d), network.head)
}

fn visit_vit<E: Real, D: Device<E>>(
    network: Parts<'_, E, D>,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    let config = network.config;
    let (d, tokens) = (config.d, config.tokens());
    let embedding = network.embedding;
    visit(
        visitor,
        "cls_token".into(),
        &[1, 1, d],
        Init::Normal { deviation: 1e-6 },
        &mut embedding.class_token,
    )?;
    visit(
        visitor,
        "pos_embed".into(),
        &[1, tokens, d],
        Init::Normal { deviation: 0.02 },
        &mut embedding.position,
    )?;
    // A convolution: timm leaves it as PyTorch makes it.
    let [p1, p2] = config.patch_size;
    let fan_in = config.patch_width();
    visit(
        visitor,
        "patch_embed.proj.weight".into(),
        &[d, config.channels, p1, p2],
        Init::Linear { fan_in },
        &mut embedding.linear.weight,
    )?;
    visit(
        visitor,
        "patch_embed.proj.bias".into(),
        &[d],
        Init::Linear { fan_in },
        &mut embedding.linear.bias,
    )?;
    visit_layers(network.layers, Dialect::Vit, visitor)?;
    let norm = match config.pool {
        Pool::Cls => "norm",
        Pool::Mean => "fc_norm",
    };
    visit_norm(visitor, norm, network.head_norm)?;
    visit_linear_from(visitor, "head", VIT_LINEAR, network.head)
}
