//! The sizes of a network from the names and shapes of its parameters, and what a file holds that is
//! another network.

use super::checkpoint::{Checkpoint, READ};
use super::config::{Architecture, Config, Pool, OFFICIAL_LAMBDA, OFFICIAL_STEP_SIZE};
use super::entry::{one_line, Unreadable};
use super::names::{Dialect, Part, StepNames};
use super::{layout, names};
use crate::error::{Error, Result};

/// The tensor that tells the file of a network that embeds by a convolution.
const CONVOLUTION: &str = "patch_embed.proj.weight";

impl Checkpoint {
    /// The configuration that the tensors' names and shapes imply; step size and lambda, which no
    /// shape shows, come from the file's own configuration or are the official ones, unless `lambda` is given: for the
    /// encoder of an autoencoder it has to be. A ViT's names are timm's; they show channels and pooling, so that `pool` and
    /// `channels` are not asked. An encoder without head gets one of `classes`, if that is given, and is refused otherwise.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Shape`] naming the tensor that is missing or does not fit; [`Error::Argument`] for a
    /// `lambda` that is needed, or not the file's own.
    pub fn infer(
        &self,
        heads: usize,
        pool: Pool,
        channels: usize,
        classes: Option<usize>,
        lambda: Option<f64>,
    ) -> Result<Config> {
        let config = if self.tensors.contains_key(CONVOLUTION) {
            self.infer_convolutional(heads, pool, classes)?
        } else {
            self.infer_crate(heads, pool, channels, classes)?
        };
        let own = self.encoder_config(1);
        let config = Config {
            step_size: own.map_or(config.step_size, |own| own.step_size),
            lambda: self.lambda(config.architecture, lambda)?,
            ..config
        };
        config.check().map_err(|e| {
            let found = Unreadable {
                got: format!("impossible sizes ({e})"),
                remedy: "check the flags that describe the network, or the file".into(),
            };
            self.problem("the tensors of a classifier".into(), found)
        })?;
        Ok(config)
    }

    /// Classes of the head whose weight is `name`.
    fn classes(&self, name: &str, headless: Option<usize>) -> Result<usize> {
        match (headless, self.tensors.contains_key(name)) {
            (Some(classes), false) => Ok(classes),
            _ => Ok(self.dimensions::<2>(name)?[0]),
        }
    }

    /// The weight of ISTA's threshold: the file's own, or the one that is `given`, or the official one.
    fn lambda(&self, architecture: Architecture, given: Option<f64>) -> Result<f64> {
        let own = self.encoder_config(1).map(|config| config.lambda);
        match (own, given) {
            (Some(own), Some(given)) if own != given => Err(Error::argument(
                "`lambda`",
                format!("the {own} that {} names", self.path().display()),
                given.to_string(),
                "leave it out",
            )),
            (own, given) => match own.or(given) {
                Some(lambda) => Ok(lambda),
                None if architecture == Architecture::CrateEncoder => Err(no_lambda()),
                None => Ok(OFFICIAL_LAMBDA),
            },
        }
    }

    /// Whose the layers of a network are that embeds by a convolution.
    pub(super) fn convolutional(&self) -> Architecture {
        let has = |name: String| self.tensors.contains_key(&name);
        let [own, vit] =
            [Dialect::CrateEncoder, Dialect::Vit].map(|dialect| StepNames::of_step(dialect, 0, 0));
        let described = self.encoder_config(1).map(|config| config.architecture);
        match described {
            Some(architecture) if architecture.embeds_by_convolution() => architecture,
            _ if has(own.weight(Part::Projection)) => Architecture::CrateEncoder,
            // Without a mask token it is a ViT of which tensors are missing.
            _ if self.has_mask_token() && !has(vit.bias(Part::Projection)) => {
                Architecture::VitEncoder
            }
            _ => Architecture::Vit,
        }
    }

    fn infer_convolutional(
        &self,
        heads: usize,
        pool: Pool,
        classes: Option<usize>,
    ) -> Result<Config> {
        let [embedded, channels, p1, p2] = self.dimensions(CONVOLUTION)?;
        let [_, tokens, d] = self.dimensions("pos_embed")?;
        let architecture = self.convolutional();
        let dialect = Dialect::of(architecture);
        let projection = &StepNames::of_step(dialect, 0, 0).weight(Part::Projection);
        let [rows, _] = self.dimensions(projection)?;
        let classes = self.classes("head.weight", classes)?;
        if embedded != d {
            return Err(self.misfit(CONVOLUTION, format!("[{d}, channels, p, p]")));
        }
        let grid = self.grid("pos_embed", tokens, d)?;
        let projections = if architecture.has_mhsa() { 3 } else { 1 };
        let mean = self.tensors.contains_key("fc_norm.weight");
        Ok(Config {
            architecture,
            image_size: [p1, p2].map(|side| grid.saturating_mul(side)),
            patch_size: [p1, p2],
            channels,
            classes,
            d,
            depth: self.depth(dialect),
            heads,
            head_width: self.head_width(projection, rows, projections, heads)?,
            pool: match (architecture, mean) {
                (Architecture::Vit, false) => Pool::Cls,
                (_, true) => Pool::Mean,
                (_, false) => pool,
            },
            step_size: OFFICIAL_STEP_SIZE,
            lambda: OFFICIAL_LAMBDA,
        })
    }

    fn infer_crate(
        &self,
        heads: usize,
        pool: Pool,
        channels: usize,
        classes: Option<usize>,
    ) -> Result<Config> {
        let [_, tokens, d] = self.dimensions("pos_embedding")?;
        let [embedded, patch_width] = self.dimensions("to_patch_embedding.2.weight")?;
        let [first, second] = [0, 1].map(|step| StepNames::of_step(Dialect::Crate, 0, step));
        let projection = &first.weight(Part::Projection);
        let [rows, _] = self.dimensions(projection)?;
        let classes = self.classes("mlp_head.1.weight", classes)?;
        if embedded != d {
            return Err(self.misfit("to_patch_embedding.2.weight", format!("[{d}, patch width]")));
        }
        let Some(patch) = (channels > 0 && patch_width % channels == 0)
            .then(|| square_root(patch_width / channels))
            .flatten()
        else {
            return Err(self.misfit(
                "to_patch_embedding.2.weight",
                format!("[{d}, {channels} x a square patch] for `channels` {channels}"),
            ));
        };
        let tied = self.tensors.contains_key(&first.of(Part::OutputScale));
        // No shape shows that a dictionary is kept orthogonal.
        let own = self.config().map(|c| c.architecture);
        let orthogonal = own.is_some_and(Architecture::has_orthogonal_dictionary);
        // What a head reads of its projection shows how many projections there are.
        let output = &first.weight(Part::Output);
        let inner = match self.tensors.contains_key(output) {
            true => self.dimensions::<2>(output)?[1],
            false => rows,
        };
        let mhsa = rows == inner.saturating_mul(3);
        let mlp = self.tensors.contains_key(&second.weight(Part::Rise));
        let architecture = match (mhsa, mlp) {
            (false, false) => match (tied, orthogonal) {
                (false, false) => Architecture::Crate,
                (true, false) => Architecture::CrateTied,
                (false, true) => Architecture::CrateOrthogonal,
                (true, true) => Architecture::CrateTiedOrthogonal,
            },
            (true, false) => Architecture::CrateMhsa,
            (false, true) => Architecture::CrateMlp,
            (true, true) => {
                return Err(self.misfit(projection, format!("[{inner}, {d}] beside a perceptron")))
            }
        };
        let grid = self.grid("pos_embedding", tokens, d)?;
        Ok(Config {
            architecture,
            image_size: [grid.saturating_mul(patch); 2],
            patch_size: [patch; 2],
            channels,
            classes,
            d,
            depth: self.depth(Dialect::Crate),
            heads,
            head_width: self.head_width(projection, rows, if mhsa { 3 } else { 1 }, heads)?,
            pool,
            step_size: OFFICIAL_STEP_SIZE,
            lambda: OFFICIAL_LAMBDA,
        })
    }

    /// Patches along a side.
    pub(super) fn grid(&self, positions: &str, tokens: usize, d: usize) -> Result<usize> {
        square_root(tokens.saturating_sub(1))
            .ok_or_else(|| self.misfit(positions, format!("[1, 1 + a square, {d}]")))
    }

    /// Layers whose first LayerNorm is there.
    pub(super) fn depth(&self, dialect: Dialect) -> usize {
        let norm = |layer| StepNames::of_step(dialect, layer, 0).norm();
        (0..)
            .take_while(|&layer| {
                self.tensors
                    .contains_key(&format!("{}.weight", norm(layer)))
            })
            .count()
    }

    fn head_width(&self, name: &str, rows: usize, parts: usize, heads: usize) -> Result<usize> {
        if heads == 0 || !rows.is_multiple_of(parts * heads) {
            return Err(Error::shape(
                format!("{}: tensor {name}", self.path.display()),
                format!("rows divisible by `heads` {heads}"),
                format!("{} rows", rows / parts),
                "give the number of heads the checkpoint was trained with",
            ));
        }
        Ok(rows / parts / heads)
    }

    pub(super) fn dimensions<const R: usize>(&self, name: &str) -> Result<[usize; R]> {
        let Some(entry) = self.tensors.get(name) else {
            let known = self.instead().or_else(|| self.headless());
            let unreadable = known.unwrap_or_else(|| Unreadable {
                got: match self.tensors.is_empty() {
                    true => "no tensors".into(),
                    false => format!("none among {}", layout::list(&self.names())),
                },
                remedy: "give the checkpoint of a CRATE or a ViT".into(),
            });
            return Err(self.problem(format!("a tensor named {name}"), unreadable));
        };
        if let Some(kind) = &entry.other {
            let found = Unreadable {
                got: kind.clone(),
                remedy: "save it as a plain tensor of 32 bits".into(),
            };
            return Err(self.problem(format!("tensor {name} of {READ}"), found));
        }
        entry
            .shape
            .as_slice()
            .try_into()
            .map_err(|_| self.misfit(name, format!("{R} axes")))
    }

    pub(super) fn misfit(&self, name: &str, wanted: String) -> Error {
        let shape = self.tensors.get(name).map(|e| e.shape.clone());
        Error::shape(
            format!("{}: tensor {name}", self.path.display()),
            wanted,
            one_line(&format!("{:?}", shape.unwrap_or_default())),
            "check the flags that describe the network",
        )
    }

    /// All names of tensors, in order.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        names.extend(self.beside.keys().map(String::as_str));
        names.sort_unstable();
        names
    }

    /// What the file holds instead of a classifier, if its names tell.
    pub(super) fn instead(&self) -> Option<Unreadable> {
        let names = self.names();
        let ends = |end: &str| names.iter().any(|name| name.ends_with(end));
        let begins = |start: &str| names.iter().any(|name| name.starts_with(start));
        let unreadable = |got: &str, remedy: &str| {
            Some(Unreadable {
                got: got.to_owned(),
                remedy: remedy.to_owned(),
            })
        };
        if ends(".fn.D1") || (begins("conv1.") && ends(".fn.D")) {
            return unreadable(
                "a CRATE-alpha network (conv1, D, D1)",
                "its blocks are not those of CRATE, and are not supported",
            );
        }
        if ends("decoder_pos_embed") {
            return unreadable(
                "a masked autoencoder (mask_token, decoder)",
                "reconstruct pictures with whitebox reconstruct, or give its encoder a head with whitebox finetune",
            );
        }
        if ends("mask_token") || begins("decoder") {
            return unreadable(
                "a masked autoencoder (mask_token, decoder)",
                "give its encoder a head with whitebox finetune `allow_extra`",
            );
        }
        if ends("embeddings.cls_token") || ends("embeddings.position_embeddings") {
            return unreadable(
                "a ViT under the names of the Transformers library",
                "save it under the names of timm",
            );
        }
        None
    }

    /// What to say of an encoder without head, if the file holds one.
    pub(super) fn headless(&self) -> Option<Unreadable> {
        let encoder = ["pos_embedding", "pos_embed"];
        let is_encoder = encoder.iter().any(|&name| self.tensors.contains_key(name));
        let has_head = self.tensors.keys().any(|name| names::is_head(name));
        (is_encoder && !has_head).then(|| Unreadable {
            got: "an encoder without head".into(),
            remedy: "give it one with whitebox finetune".into(),
        })
    }
}

/// What to say where no lambda is given for an autoencoder's file, which does not show it.
pub(super) fn no_lambda() -> Error {
    let wanted =
        "the weight of ISTA's threshold (of published files 0.5 or 5.0), which no tensor shows";
    Error::argument("`lambda`", wanted, "none", "give `lambda`")
}

/// The side of a square of `n`.
fn square_root(n: usize) -> Option<usize> {
    let root = (n as f64).sqrt().round() as usize;
    (root.checked_mul(root) == Some(n) && root > 0).then_some(root)
}
