//! Kind, sizes and constants of an autoencoder, as in the paper's table and the official code.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::model::block::{dictionary, ista, mhsa, mlp, mssa, Plan, StepPlan};
use crate::model::config::{
    check_constants, check_patches, check_sizes, Architecture, Config, Pool, MLP_RATIO,
};
use crate::model::patches::{Order, Patches};

/// What an autoencoder is made of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// MSSA and ISTA in the encoder, a dictionary and MSSA taken away in the decoder (ICLR 2024).
    #[default]
    CrateMae,
    /// The same passage of tokens with a transformer's blocks: what the official file compares with. Not the MAE of He et
    /// al., whose encoder sees no mask tokens and whose decoder is narrower.
    VitMae,
}

/// What the decoder does with its attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderSign {
    /// It takes it away, as derived and as in the official code.
    #[default]
    Minus,
    /// It adds it: what C-MAE-08 holds the other against.
    Plus,
}

impl DecoderSign {
    /// `w` in `Y + w MSSA(LN(Y))`.
    fn weight(self) -> f64 {
        match self {
            Self::Minus => -1.0,
            Self::Plus => 1.0,
        }
    }

    /// Files leave the official one out.
    fn is_official(&self) -> bool {
        *self == Self::Minus
    }
}

/// Everything that fixes an autoencoder apart from its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderConfig {
    /// What it is made of.
    pub kind: Kind,
    /// Image height and width in pixels.
    pub image_size: [usize; 2],
    /// Patch height and width in pixels.
    pub patch_size: [usize; 2],
    /// Image channels.
    pub channels: usize,
    /// Width of a token, `d`, in both halves.
    pub d: usize,
    /// Layers of the encoder, `L`.
    pub encoder_depth: usize,
    /// Layers of the decoder.
    pub decoder_depth: usize,
    /// Heads of the encoder, `K`, which share `d`.
    pub heads: usize,
    /// Heads of the decoder, which share `d`.
    pub decoder_heads: usize,
    /// What the decoder of CRATE-MAE does with its attention.
    #[serde(default, skip_serializing_if = "DecoderSign::is_official")]
    pub decoder_sign: DecoderSign,
    /// ISTA step size, `eta`. Official code: 0.1.
    pub step_size: f64,
    /// ISTA threshold weight, `lambda`. Official code: 0.5; published files have 0.5 and 5.
    pub lambda: f64,
}

/// Names that [`AutoencoderConfig::preset`] knows.
pub const AUTOENCODER_PRESETS: [&str; 6] = [
    "mae-demo",
    "mae-crate-tiny",
    "mae-crate-small",
    "mae-crate-base",
    "mae-crate-large",
    "mae-vit-base",
];

/// Step size of the official autoencoders (`model/crate_ae/crate_encoder.py`).
pub const OFFICIAL_STEP_SIZE: f64 = 0.1;
/// Their threshold weight, if nothing else is asked for.
pub const OFFICIAL_LAMBDA: f64 = 0.5;

/// Additive constant of the LayerNorms within layers: PyTorch's default, also in the ViT of the official file.
const LAYER_EPSILON: f64 = 1e-5;
/// Of those behind encoder and decoder.
pub(super) const FINAL_EPSILON: f64 = 1e-6;

impl AutoencoderConfig {
    /// A named size: the official ones (224 px, patch 16, 3 channels), and `mae-demo`, this project's own, for 28 px
    /// grey images.
    ///
    /// # Errors
    /// [`Error::Argument`] on an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let official = Self {
            kind: Kind::CrateMae,
            image_size: [224, 224],
            patch_size: [16, 16],
            channels: 3,
            d: 768,
            encoder_depth: 12,
            decoder_depth: 12,
            heads: 12,
            decoder_heads: 12,
            decoder_sign: DecoderSign::Minus,
            step_size: OFFICIAL_STEP_SIZE,
            lambda: OFFICIAL_LAMBDA,
        };
        let sized = |d, depth, heads| Self {
            d,
            encoder_depth: depth,
            decoder_depth: depth,
            heads,
            decoder_heads: heads,
            ..official
        };
        match name {
            "mae-demo" => Ok(Self {
                image_size: [28, 28],
                patch_size: [4, 4],
                channels: 1,
                ..sized(128, 6, 4)
            }),
            "mae-crate-tiny" => Ok(sized(384, 12, 6)),
            "mae-crate-small" => Ok(sized(576, 12, 12)),
            "mae-crate-base" => Ok(official),
            "mae-crate-large" => Ok(sized(1024, 24, 16)),
            "mae-vit-base" => Ok(Self {
                kind: Kind::VitMae,
                decoder_depth: 8,
                decoder_heads: 16,
                ..official
            }),
            _ => Err(Error::argument(
                "`preset`",
                AUTOENCODER_PRESETS.join(", "),
                name,
                "name one of these",
            )),
        }
    }

    /// The same network for images of another size or number of channels.
    pub fn for_images(self, channels: usize, image_size: [usize; 2]) -> Self {
        Self {
            channels,
            image_size,
            ..self
        }
    }

    /// The same network with the width, of the multiples of all heads up to `widest`, whose number of parameters is
    /// nearest to `wanted`; the smaller of two that are as near. A width is a multiple of four, which the positions need.
    pub fn with_parameters_near(self, wanted: usize, widest: usize) -> Self {
        let fits = |d: &usize| {
            [4, self.heads, self.decoder_heads]
                .iter()
                .all(|heads| d.is_multiple_of(*heads))
        };
        let widths = (1..=widest).filter(fits).map(|d| Self { d, ..self });
        let nearest = widths.min_by_key(|config| config.parameters().abs_diff(wanted));
        nearest.unwrap_or(self)
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("image height", self.image_size[0]),
            ("image width", self.image_size[1]),
            ("patch height", self.patch_size[0]),
            ("patch width", self.patch_size[1]),
            ("channels", self.channels),
            ("width d", self.d),
            ("encoder depth", self.encoder_depth),
            ("decoder depth", self.decoder_depth),
            ("heads", self.heads),
            ("decoder heads", self.decoder_heads),
        ];
        check_sizes(&sizes)?;
        check_patches(self.image_size, self.patch_size)?;
        let [rows, columns] = self.patches().grid();
        if rows != columns {
            return Err(Error::argument(
                "the grid of patches",
                "a square, which the fixed positions are for",
                format!("{rows} x {columns}"),
                "give square images and another `patch`",
            ));
        }
        for (name, heads) in [("heads", self.heads), ("decoder heads", self.decoder_heads)] {
            if !self.d.is_multiple_of(heads) {
                return Err(Error::argument(
                    name,
                    format!("a divisor of the width {}", self.d),
                    heads.to_string(),
                    "choose another `width`",
                ));
            }
        }
        if !self.d.is_multiple_of(4) {
            return Err(Error::argument(
                "width d",
                "a multiple of 4, for sines and cosines of rows and columns",
                self.d.to_string(),
                "choose another `width`",
            ));
        }
        let constants = [("step size eta", self.step_size), ("lambda", self.lambda)];
        check_constants(&constants, "the official values are 0.1 and 0.5")
    }

    /// How images are cut for the embedding, a convolution in the official code.
    pub fn patches(&self) -> Patches {
        Patches {
            channels: self.channels,
            image_size: self.image_size,
            patch_size: self.patch_size,
            order: Order::ChannelFirst,
        }
    }

    /// How predictions are laid out: channel fastest.
    pub fn predictions(&self) -> Patches {
        self.patches().in_order(Order::ChannelLast)
    }

    /// Tokens per image, `N`: the patches and the class token.
    pub fn tokens(&self) -> usize {
        self.patches().count() + 1
    }

    /// Its encoder under a head of so many `classes`, which reads its class token or, by `pool`, the mean of tokens: of
    /// ViT-MAE the mean of the patches through a LayerNorm of its own, as MAE is fine-tuned.
    pub fn classifier(&self, classes: usize, pool: Pool) -> Config {
        Config {
            architecture: match self.kind {
                Kind::CrateMae => Architecture::CrateEncoder,
                Kind::VitMae => Architecture::VitEncoder,
            },
            image_size: self.image_size,
            patch_size: self.patch_size,
            channels: self.channels,
            classes,
            d: self.d,
            depth: self.encoder_depth,
            heads: self.heads,
            head_width: self.d / self.heads,
            pool,
            step_size: self.step_size,
            lambda: self.lambda,
        }
    }

    /// The steps of a layer of the encoder: `Z + MSSA(LN(Z))`, then ISTA without skip (official
    /// `model/crate_ae/crate_encoder.py`).
    pub fn encoder_layer(&self) -> Vec<StepPlan> {
        let ista = Plan::Ista(ista::Plan {
            step_size: self.step_size,
            lambda: self.lambda,
            orthogonal: false,
        });
        match self.kind {
            Kind::CrateMae => vec![step(self.mssa(self.heads), Some(1.0)), step(ista, None)],
            Kind::VitMae => self.transformer_layer(self.heads),
        }
    }

    /// The steps of a layer of the decoder: `Y = A LN(Z)`, then `Y - MSSA(LN(Y))` (official
    /// `model/crate_ae/crate_decoder.py`), or the sum.
    pub fn decoder_layer(&self) -> Vec<StepPlan> {
        let dictionary = step(Plan::Dictionary(dictionary::Plan), None);
        match self.kind {
            Kind::CrateMae => {
                let weight = self.decoder_sign.weight();
                vec![
                    dictionary,
                    step(self.mssa(self.decoder_heads), Some(weight)),
                ]
            }
            Kind::VitMae => self.transformer_layer(self.decoder_heads),
        }
    }

    fn mssa(&self, heads: usize) -> Plan {
        Plan::Mssa(mssa::Plan {
            heads,
            head_width: self.d / heads,
            // The official code leaves the output projection out for a single head.
            output: match heads {
                1 => mssa::OutputKind::Identity,
                _ => mssa::OutputKind::Free,
            },
            mask: Mask::None,
        })
    }

    /// timm's, as the official file calls them: without bias of queries, keys and values.
    fn transformer_layer(&self, heads: usize) -> Vec<StepPlan> {
        let attention = Plan::Mhsa(mhsa::Plan {
            heads,
            head_width: self.d / heads,
            projection_bias: false,
            output: true,
            mask: Mask::None,
        });
        let hidden = MLP_RATIO * self.d;
        let perceptron = Plan::Mlp(mlp::Plan { hidden });
        vec![step(attention, Some(1.0)), step(perceptron, Some(1.0))]
    }

    /// Numbers in the official state dict: with the two tables of positions and the map that nothing goes through.
    /// Gives the 25.4, 44.6 and 143.8 million of the paper (ICLR 2024, tables 1 and 5) for CRATE-MAE-Small, -Base and
    /// its ViT.
    pub fn parameters(&self) -> usize {
        let d = self.d as u128;
        let tables = 2 * self.tokens() as u128 * d;
        let unused = usize::try_from(tables + d * d + d).unwrap_or(usize::MAX);
        self.trained_parameters().saturating_add(unused)
    }

    /// Numbers that training moves.
    pub fn trained_parameters(&self) -> usize {
        let (d, patch) = (self.d as u128, self.patches().width() as u128);
        let of = |plan: Vec<StepPlan>, depth: usize| -> u128 {
            let layer: u128 = plan.iter().map(|step| step.parameters(d)).sum();
            depth as u128 * layer
        };
        let layers = of(self.encoder_layer(), self.encoder_depth)
            + of(self.decoder_layer(), self.decoder_depth);
        let embedding = patch * d + d + 2 * d;
        let head = 4 * d + d * patch + patch;
        usize::try_from(embedding + layers + head).unwrap_or(usize::MAX)
    }
}

fn step(block: Plan, skip: Option<f64>) -> StepPlan {
    StepPlan {
        epsilon: LAYER_EPSILON,
        block,
        skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_parameters_of_the_official_code() {
        for (name, all, trained) in [
            ("mae-crate-tiny", 11_555_328, 11_404_032 - 147_840),
            ("mae-crate-small", 25_405_824, 25_178_880 - 332_352),
            ("mae-crate-base", 44_638_464, 44_335_872 - 590_592),
            ("mae-crate-large", 154_274_560, 153_871_104 - 1_049_600),
            ("mae-vit-base", 143_790_336, 143_790_336 - 302_592 - 590_592),
            ("mae-demo", 631_824, 631_824 - 12_800 - 16_512),
        ] {
            let config = AutoencoderConfig::preset(name).unwrap();
            assert_eq!(config.parameters(), all, "{name}");
            assert_eq!(config.trained_parameters(), trained, "{name}");
            config.check().unwrap();
        }
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        let coloured = demo.for_images(3, [32, 32]);
        assert_eq!(coloured.parameters(), 643_888);
        assert_eq!(
            AutoencoderConfig { d: 192, ..coloured }.parameters(),
            1_420_464
        );
    }

    #[test]
    fn a_classifier_has_the_layers_and_the_patches_of_the_encoder() {
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        for (kind, heads) in [
            (Kind::CrateMae, 4),
            (Kind::CrateMae, 1),
            (Kind::VitMae, 4),
            (Kind::VitMae, 1),
        ] {
            let own = AutoencoderConfig {
                kind,
                heads,
                lambda: 5.0,
                ..demo
            };
            let classifier = own.classifier(10, Pool::Cls);
            assert_eq!(classifier.layer(), own.encoder_layer(), "{kind:?} {heads}");
            assert_eq!(Patches::of(&classifier), own.patches());
            assert_eq!(classifier.head_norm_epsilon(), FINAL_EPSILON);
            classifier.check().unwrap();
        }
    }

    #[test]
    fn a_transformer_of_as_many_parameters_is_found() {
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        let vit = AutoencoderConfig {
            kind: Kind::VitMae,
            ..demo
        };
        let near = vit.with_parameters_near(demo.trained_parameters(), 256);
        let ratio = near.parameters() as f64 / demo.parameters() as f64;
        assert!((ratio - 1.0).abs() < 0.05, "{} is {ratio}", near.d);
    }

    #[test]
    fn impossible_sizes_are_named() {
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        let refused = |config: AutoencoderConfig| config.check().unwrap_err().to_string();
        let patch = refused(AutoencoderConfig {
            patch_size: [5, 5],
            ..demo
        });
        assert!(
            patch.contains("a divisor of the image height 28"),
            "{patch}"
        );
        let grid = refused(AutoencoderConfig {
            patch_size: [4, 7],
            ..demo
        });
        assert!(grid.contains("7 x 4"), "{grid}");
        let width = refused(AutoencoderConfig {
            d: 126,
            heads: 2,
            decoder_heads: 2,
            ..demo
        });
        assert!(width.contains("a multiple of 4"), "{width}");
        let heads = refused(AutoencoderConfig { heads: 3, ..demo });
        assert!(heads.contains("a divisor of the width 128"), "{heads}");
        assert!(AutoencoderConfig::preset("mae").is_err());
    }
}
