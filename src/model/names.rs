//! The names, shapes and first values that a network's parameters have in the official code: CRATE's own
//! (`model/crate.py`), and for a ViT those of timm, whose class the official `model/vit.py` extends. The
//! blocks that the official code does not combine have names after the pattern of CRATE's.

use dfdx::prelude::*;

use super::config::{Architecture, Config, Pool};
use super::embedding::Embedding;
use super::layers::{Attention, FeedForward, Layer, LayerNorm, Linear, Output};
use super::parameters::{visit, visit_linear, visit_linear_from, visit_norm, Init, Visitor};
use super::{tied, Real};
use crate::error::Result;

/// First values of a ViT's linear maps.
const VIT_LINEAR: [Init; 2] = [Init::Normal { deviation: 0.02 }, Init::Zero];

/// What the names of a head begin with: those parameters belong to the classes, not to the pictures.
pub fn is_head(name: &str) -> bool {
    name.starts_with("mlp_head.") || name.starts_with("head.")
}

/// The name of the positional embedding.
pub fn position(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Vit => "pos_embed",
        _ => "pos_embedding",
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

/// Takes every parameter in turn.
pub(super) fn visit_all<E: Real, D: Device<E>>(
    network: Parts<'_, E, D>,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    match network.config.architecture {
        Architecture::Vit => visit_vit(network, visitor),
        _ => visit_crate(network, visitor),
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
    visit_linear(visitor, "to_patch_embedding.2", &mut embedding.linear)?;
    if let Some(norm) = &mut embedding.norm {
        visit_norm(visitor, "to_patch_embedding.3", norm)?;
    }
    let dictionary = match network.config.architecture.has_orthogonal_dictionary() {
        true => Init::Orthogonal { fan_in: d },
        false => Init::KaimingUniform { fan_in: d },
    };
    for (index, layer) in network.layers.iter_mut().enumerate() {
        let prefix = format!("transformer.layers.{index}");
        visit_crate_layer(visitor, &prefix, layer, dictionary)?;
    }
    visit_norm(visitor, "mlp_head.0", network.head_norm)?;
    visit_linear(visitor, "mlp_head.1", network.head)
}

fn visit_crate_layer<E: Real, D: Device<E>>(
    visitor: &mut impl Visitor<E, D>,
    prefix: &str,
    layer: &mut Layer<E, D>,
    dictionary: Init,
) -> Result<()> {
    visit_norm(visitor, &format!("{prefix}.0.norm"), &mut layer.norm1)?;
    let (projection, output, scale) = match &mut layer.attention {
        Attention::Mssa(mssa) => {
            let (output, scale) = match &mut mssa.output {
                Output::Identity => (None, None),
                Output::Free(output) => (Some(output), None),
                Output::Tied(scale) => (None, Some(scale)),
            };
            (&mut mssa.subspace_bases, output, scale)
        }
        Attention::Mhsa(mhsa) => (&mut mhsa.projection, mhsa.output.as_mut(), None),
    };
    let (rows, fan_in) = *projection.shape();
    visit(
        visitor,
        format!("{prefix}.0.fn.qkv.weight"),
        &[rows, fan_in],
        Init::Linear { fan_in },
        projection,
    )?;
    if let Some(output) = output {
        visit_linear(visitor, &format!("{prefix}.0.fn.to_out.0"), output)?;
    }
    if let Some(scale) = scale {
        let first = Init::Constant(tied::initial_scale(rows, fan_in));
        let name = format!("{prefix}.0.fn.to_out.scale");
        visit(visitor, name, &[1], first, scale)?;
    }
    visit_norm(visitor, &format!("{prefix}.1.norm"), &mut layer.norm2)?;
    match &mut layer.feed_forward {
        FeedForward::Ista(ista) => {
            let (d, fan_in) = *ista.dictionary.shape();
            visit(
                visitor,
                format!("{prefix}.1.fn.weight"),
                &[d, fan_in],
                dictionary,
                &mut ista.dictionary,
            )
        }
        FeedForward::Mlp(mlp) => {
            visit_linear(visitor, &format!("{prefix}.1.fn.net.0"), &mut mlp.rise)?;
            visit_linear(visitor, &format!("{prefix}.1.fn.net.2"), &mut mlp.fall)
        }
    }
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
    for (index, layer) in network.layers.iter_mut().enumerate() {
        visit_vit_layer(visitor, &format!("blocks.{index}"), layer)?;
    }
    let norm = match config.pool {
        Pool::Cls => "norm",
        Pool::Mean => "fc_norm",
    };
    visit_norm(visitor, norm, network.head_norm)?;
    visit_linear_from(visitor, "head", VIT_LINEAR, network.head)
}

fn visit_vit_layer<E: Real, D: Device<E>>(
    visitor: &mut impl Visitor<E, D>,
    prefix: &str,
    layer: &mut Layer<E, D>,
) -> Result<()> {
    visit_norm(visitor, &format!("{prefix}.norm1"), &mut layer.norm1)?;
    if let Attention::Mhsa(mhsa) = &mut layer.attention {
        let (rows, d) = *mhsa.projection.shape();
        let [weight, bias] = VIT_LINEAR;
        let name = |part: &str| format!("{prefix}.attn.qkv.{part}");
        let projection = &mut mhsa.projection;
        visit(visitor, name("weight"), &[rows, d], weight, projection)?;
        if let Some(tensor) = &mut mhsa.projection_bias {
            visit(visitor, name("bias"), &[rows], bias, tensor)?;
        }
        if let Some(output) = &mut mhsa.output {
            let name = format!("{prefix}.attn.proj");
            visit_linear_from(visitor, &name, VIT_LINEAR, output)?;
        }
    }
    visit_norm(visitor, &format!("{prefix}.norm2"), &mut layer.norm2)?;
    if let FeedForward::Mlp(mlp) = &mut layer.feed_forward {
        let (rise, fall) = (format!("{prefix}.mlp.fc1"), format!("{prefix}.mlp.fc2"));
        visit_linear_from(visitor, &rise, VIT_LINEAR, &mut mlp.rise)?;
        visit_linear_from(visitor, &fall, VIT_LINEAR, &mut mlp.fall)?;
    }
    Ok(())
}
