//! The parameters of a classifier, in order: where they are, their official names and first values. Those of a step are
//! named by [`super::names`].

use super::config::{Config, Pool};
use super::names::{Dialect, StepNames, VIT_LINEAR};
use super::parameters::{visit, visit_linear_from, visit_norm, Init, Visitor};
use super::runtime::Runtime;
use super::{Classifier, Real};
use crate::error::Result;

impl<E: Real, D: Runtime<E>> Classifier<E, D> {
    /// Takes every parameter in turn.
    pub(super) fn visit_all(&mut self, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        match Dialect::of(self.config.architecture) {
            Dialect::Crate => visit_crate(self, visitor),
            dialect => visit_convolutional(self, dialect, visitor),
        }
    }

    fn visit_layers(&mut self, dialect: Dialect, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let names = |layer, step| StepNames::of_step(dialect, layer, step);
        self.stack.visit(names, visitor)
    }
}

/// What the names of the LayerNorm before the head begin with.
pub(super) fn head_norm(config: &Config) -> &'static str {
    let architecture = config.architecture;
    match (architecture.embeds_by_convolution(), config.pool) {
        (false, _) => "mlp_head.0",
        (true, Pool::Mean) if architecture.is_vit() => "fc_norm",
        (true, _) => "norm",
    }
}

fn visit_crate<E: Real, D: Runtime<E>>(
    network: &mut Classifier<E, D>,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    let (d, tokens) = (network.config.d, network.config.tokens());
    let embedding = &mut network.embedding;
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
    network.visit_layers(Dialect::Crate, visitor)?;
    let norm = head_norm(&network.config);
    visit_norm(visitor, norm, &mut network.head_norm)?;
    visit_linear_from(visitor, "mlp_head.1", linear(d), &mut network.head)
}

/// A ViT, or the encoder of an autoencoder: the names of both around their layers are timm's.
fn visit_convolutional<E: Real, D: Runtime<E>>(
    network: &mut Classifier<E, D>,
    dialect: Dialect,
    visitor: &mut impl Visitor<E, D>,
) -> Result<()> {
    let config = network.config;
    let (d, tokens, vit) = (config.d, config.tokens(), config.architecture.is_vit());
    let deviations = if vit { [1e-6, 0.02] } else { [1.0, 1.0] };
    let [class, position] = deviations.map(|deviation| Init::Normal { deviation });
    let embedding = &mut network.embedding;
    visit(
        visitor,
        "cls_token".into(),
        &[1, 1, d],
        class,
        &mut embedding.class_token,
    )?;
    visit(
        visitor,
        "pos_embed".into(),
        &[1, tokens, d],
        position,
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
    network.visit_layers(dialect, visitor)?;
    visit_norm(visitor, head_norm(&config), &mut network.head_norm)?;
    let first = match vit {
        true => VIT_LINEAR,
        false => [Init::Linear { fan_in: d }; 2],
    };
    visit_linear_from(visitor, "head", first, &mut network.head)
}
