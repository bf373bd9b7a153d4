//! The parameters of an autoencoder, in order: where they are, their official names and first values (official
//! `model/crate_ae/crate_ae.py`). Those of a step are named by [`crate::model::names`].

use super::{Autoencoder, Kind};
use crate::error::Result;
use crate::model::names::{xavier, Dialect, Half, StepNames};
use crate::model::parameters::{
    visit, visit_linear_from, visit_norm, visit_untrained, Init, Visitor,
};
use crate::model::{Real, Runtime};

impl<E: Real, D: Runtime<E>> Autoencoder<E, D> {
    /// Takes every parameter in turn.
    pub(super) fn visit_all(&mut self, visitor: &mut impl Visitor<E, D>) -> Result<()> {
        let (d, tokens) = (self.config.d, self.config.tokens());
        let (patches, kind) = (self.config.patches(), self.config.kind);
        let names = |half| {
            move |layer, step| {
                let dialect = match kind {
                    Kind::CrateMae => Dialect::CrateMae(half),
                    Kind::VitMae => Dialect::VitMae(half),
                };
                StepNames::of_step(dialect, layer, step)
            }
        };
        let token = Init::Normal { deviation: 0.02 };
        let embedding = &mut self.embedding;
        visit(
            visitor,
            "cls_token".into(),
            &[1, 1, d],
            token,
            &mut embedding.class_token,
        )?;
        if let Some(tensor) = &mut embedding.mask_token {
            visit(visitor, "mask_token".into(), &[1, 1, d], token, tensor)?;
        }
        let table = [1, tokens, d];
        visit_untrained(
            visitor,
            "pos_embed",
            &table,
            Init::Given,
            &mut self.unused.position,
        )?;
        let position = &mut embedding.position;
        visit_untrained(visitor, "decoder_pos_embed", &table, Init::Given, position)?;
        // A convolution: the official code draws its weight as that of a linear map, and leaves its bias as PyTorch
        // makes it.
        let [p1, p2] = patches.patch_size;
        let fan_in = patches.width();
        let [weight, _] = xavier(fan_in, d);
        let shape = [d, patches.channels, p1, p2];
        let tensor = &mut embedding.linear.weight;
        visit(
            visitor,
            "patch_embed.proj.weight".into(),
            &shape,
            weight,
            tensor,
        )?;
        let bias = Init::Linear { fan_in };
        let tensor = &mut embedding.linear.bias;
        visit(visitor, "patch_embed.proj.bias".into(), &[d], bias, tensor)?;
        self.encoder.visit(names(Half::Encoder), visitor)?;
        visit_norm(visitor, "norm", &mut self.encoder_norm)?;
        let [weight, bias] = xavier(d, d);
        let map = &mut self.unused.map;
        visit_untrained(
            visitor,
            "decoder_embed.weight",
            &[d, d],
            weight,
            &mut map.weight,
        )?;
        visit_untrained(visitor, "decoder_embed.bias", &[d], bias, &mut map.bias)?;
        self.decoder.visit(names(Half::Decoder), visitor)?;
        visit_norm(visitor, "decoder_norm", &mut self.decoder_norm)?;
        let first = xavier(d, fan_in);
        visit_linear_from(visitor, "decoder_pred", first, &mut self.prediction)
    }
}
