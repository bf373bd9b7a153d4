//! Kind, sizes and constants of a classifier, as in the papers' tables and the official code.

use serde::{Deserialize, Serialize};

pub use super::architecture::Architecture;
use super::block::{ista, mhsa, mlp, mssa, Plan, StepPlan};
use crate::error::{Error, Result};
use crate::mask::Mask;

/// What the head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The class token; all published sizes.
    Cls,
    /// The mean over all tokens, class token included, as in the official code; in a ViT over the
    /// patches, as in its official code.
    Mean,
}

/// Hidden width of a perceptron over the width of a token.
pub const MLP_RATIO: usize = 4;

/// Everything that fixes a classifier apart from its parameters.
///
/// `p` need not be `d / k`: the projection is `d -> k p`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Architecture::is_crate")]
    pub architecture: Architecture,
    /// Image height and width in pixels.
    pub image_size: [usize; 2],
    /// Patch height and width in pixels.
    pub patch_size: [usize; 2],
    /// Image channels.
    pub channels: usize,
    /// Classes of the head.
    pub classes: usize,
    /// Width of a token, `d`.
    pub d: usize,
    /// Layers, `L`.
    pub depth: usize,
    /// Heads, `K`.
    pub heads: usize,
    /// Width of a head, `p`.
    pub head_width: usize,
    /// What the head reads.
    pub pool: Pool,
    /// ISTA step size, `eta`. Official code: 0.1.
    pub step_size: f64,
    /// ISTA threshold weight, `lambda`. Official code: 0.1 for classifiers.
    pub lambda: f64,
}

/// Largest of any size: beyond it, products of sizes would no longer be numbers.
const LARGEST: usize = 1 << 20;

/// Names that [`Config::preset`] knows.
pub const PRESETS: [&str; 8] = [
    "demo",
    "crate-tiny",
    "crate-small",
    "crate-base",
    "crate-large",
    "vit-tiny",
    "vit-small",
    "vit-base",
];

/// Step size and threshold weight of the official classifiers (`model/crate.py`).
pub const OFFICIAL_STEP_SIZE: f64 = 0.1;
/// See [`OFFICIAL_STEP_SIZE`].
pub const OFFICIAL_LAMBDA: f64 = 0.1;
impl Config {
    /// A named size. `crate-*` are those of NeurIPS 2023 and `vit-*` those they are compared with (224
    /// px, patch 16, 3 channels); `demo` is this project's own, for 28 px grey images.
    ///
    /// # Errors
    /// [`Error::Argument`] on an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let (d, depth, heads) = match name {
            "demo" => {
                return Ok(Self {
                    architecture: Architecture::Crate,
                    image_size: [28, 28],
                    patch_size: [4, 4],
                    channels: 1,
                    classes: 10,
                    d: 128,
                    depth: 12,
                    heads: 4,
                    head_width: 32,
                    pool: Pool::Cls,
                    step_size: OFFICIAL_STEP_SIZE,
                    lambda: OFFICIAL_LAMBDA,
                })
            }
            "crate-tiny" => (384, 12, 6),
            "crate-small" => (576, 12, 12),
            "crate-base" => (768, 12, 12),
            "crate-large" => (1024, 24, 16),
            "vit-tiny" => (192, 12, 3),
            "vit-small" => (384, 12, 6),
            "vit-base" => (768, 12, 12),
            _ => {
                return Err(Error::argument(
                    "`preset`",
                    PRESETS.join(", "),
                    name,
                    "name one of these",
                ))
            }
        };
        let architecture = match name.starts_with("vit") {
            true => Architecture::Vit,
            false => Architecture::Crate,
        };
        Ok(Self {
            architecture: Architecture::Crate,
            image_size: [224, 224],
            patch_size: [16, 16],
            channels: 3,
            classes: 1000,
            d,
            depth,
            heads,
            head_width: d / heads,
            pool: Pool::Cls,
            step_size: OFFICIAL_STEP_SIZE,
            lambda: OFFICIAL_LAMBDA,
        }
        .of(architecture))
    }

    /// The same network for images of another size, number of channels or classes. Images whose
    /// sides the patch does not divide are refused by [`Config::check`].
    pub fn for_images(mut self, channels: usize, size: [usize; 2], classes: usize) -> Self {
        self.channels = channels;
        self.image_size = size;
        self.classes = classes;
        self
    }

    /// The same sizes in another architecture, with the head that belongs to it.
    pub fn of(mut self, architecture: Architecture) -> Self {
        if architecture.is_vit() != self.architecture.is_vit() {
            self.pool = match architecture.is_vit() {
                true => Pool::Mean,
                false => Pool::Cls,
            };
        }
        self.architecture = architecture;
        self
    }

    /// The same network with another width, whose heads share it equally.
    ///
    /// # Errors
    /// [`Error::Argument`] if `heads` does not divide `d`.
    pub fn with_width(mut self, d: usize, heads: usize) -> Result<Self> {
        if heads == 0 || !d.is_multiple_of(heads) {
            return Err(Error::argument(
                "`width`",
                "a width that the number of heads divides",
                format!("{d} {heads}"),
                "choose another pair",
            ));
        }
        (self.d, self.heads, self.head_width) = (d, heads, d / heads);
        Ok(self)
    }

    /// The same network with the width, of the multiples of the number of heads up to `widest`, whose number of
    /// parameters is nearest to `wanted`; the smaller of two that are as near.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of heads is 0.
    pub fn with_parameters_near(self, wanted: usize, widest: usize) -> Result<Self> {
        let mut best = self.with_width(self.heads, self.heads)?;
        for width in (2 * self.heads..=widest).step_by(self.heads) {
            let config = self.with_width(width, self.heads)?;
            if config.parameters().abs_diff(wanted) < best.parameters().abs_diff(wanted) {
                best = config;
            }
        }
        Ok(best)
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("image height", self.image_size[0]),
            ("image width", self.image_size[1]),
            ("patch height", self.patch_size[0]),
            ("patch width", self.patch_size[1]),
            ("channels", self.channels),
            ("classes", self.classes),
            ("width d", self.d),
            ("depth", self.depth),
            ("heads", self.heads),
            ("head width p", self.head_width),
        ];
        check_sizes(&positive)?;
        check_patches(self.image_size, self.patch_size)?;
        let constants = [("step size eta", self.step_size), ("lambda", self.lambda)];
        check_constants(&constants, "the official value is 0.1")
    }

    /// Patches per image.
    pub fn patches(&self) -> usize {
        (self.image_size[0] / self.patch_size[0]) * (self.image_size[1] / self.patch_size[1])
    }

    /// Tokens per image, `N`: the patches and the class token.
    pub fn tokens(&self) -> usize {
        self.patches() + 1
    }

    /// Numbers in a patch.
    pub fn patch_width(&self) -> usize {
        self.channels * self.patch_size[0] * self.patch_size[1]
    }

    /// Output width of the projection, `K p`.
    pub fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    /// The steps of a layer.
    pub fn layer(&self) -> Vec<StepPlan> {
        let (kind, vit) = (self.architecture, self.architecture.is_vit());
        let (heads, head_width) = (self.heads, self.head_width);
        // The official code leaves the output projection out for a single head as wide as the token, but not in a ViT.
        let output = vit || !(heads == 1 && head_width == self.d);
        let attention = if kind.has_mhsa() {
            Plan::Mhsa(mhsa::Plan {
                heads,
                head_width,
                projection_bias: kind == Architecture::Vit,
                output,
                mask: Mask::None,
            })
        } else {
            Plan::Mssa(mssa::Plan {
                heads,
                head_width,
                output: match (kind.has_tied_output(), output) {
                    (true, _) => mssa::OutputKind::Tied,
                    (false, true) => mssa::OutputKind::Free,
                    (false, false) => mssa::OutputKind::Identity,
                },
                mask: Mask::None,
            })
        };
        let step = |block, skip| StepPlan {
            epsilon: self.layer_norm_epsilon(),
            block,
            skip,
        };
        let second = if kind.has_mlp() {
            let hidden = MLP_RATIO * self.d;
            step(Plan::Mlp(mlp::Plan { hidden }), Some(1.0))
        } else {
            let plan = ista::Plan {
                step_size: self.step_size,
                lambda: self.lambda,
                orthogonal: kind.has_orthogonal_dictionary(),
            };
            step(Plan::Ista(plan), None)
        };
        vec![step(attention, Some(1.0)), second]
    }

    /// The additive constant of the LayerNorms of embedding and layers: PyTorch's default, and in a ViT timm's.
    pub fn layer_norm_epsilon(&self) -> f64 {
        match self.architecture {
            Architecture::Vit => 1e-6,
            _ => 1e-5,
        }
    }

    /// That of the LayerNorm before the head: PyTorch's default, and timm's where the official code asks for it.
    pub fn head_norm_epsilon(&self) -> f64 {
        match self.architecture.embeds_by_convolution() {
            true => 1e-6,
            false => 1e-5,
        }
    }

    /// Number of parameters. Gives the published 6.09, 13.12, 22.80 and 77.64 million
    /// (NeurIPS 2023, table 1) for the four presets of CRATE, 5.72 and 22.05 for ViT-Tiny and -Small.
    pub fn parameters(&self) -> usize {
        let wide = |size: usize| size as u128;
        let (d, patch) = (wide(self.d), wide(self.patch_width()));
        let (tokens, classes) = (wide(self.tokens()), wide(self.classes));
        let layer: u128 = self.layer().iter().map(|step| step.parameters(d)).sum();
        let norms = match self.architecture.embeds_by_convolution() {
            true => 0,
            false => 2 * patch + 2 * d,
        };
        let embedding = norms + (patch * d + d) + tokens * d + d;
        let head = 2 * d + d * classes + classes;
        let all = embedding + wide(self.depth) * layer + head;
        usize::try_from(all).unwrap_or(usize::MAX)
    }

    /// Multiplications, each with an addition, of the matrix products for one picture: of patch embedding, layers and
    /// head, as the official code forms them. What is done number by number is not counted.
    pub fn multiply_adds(&self) -> usize {
        let wide = |size: usize| size as u128;
        let (d, n) = (wide(self.d), wide(self.tokens()));
        let layer: u128 = self
            .layer()
            .iter()
            .map(|step| step.multiply_adds(d, n))
            .sum();
        let embedding = (n - 1) * wide(self.patch_width()) * d;
        let all = embedding + wide(self.depth) * layer + d * wide(self.classes);
        usize::try_from(all).unwrap_or(usize::MAX)
    }

    /// The published network that has this one's width, depth and projections but other heads, which no
    /// tensor's shape would show: its name and its number of heads.
    pub fn published_with_other_heads(&self) -> Option<(&'static str, usize)> {
        let demo = (self.patch_size, self.classes, self.d) == ([8, 8], 21_842, 768);
        let published = |name: &'static str| {
            let of_name = Self::preset(name).ok()?;
            let sizes = |c: &Self| (c.architecture, c.d, c.inner(), c.depth);
            // The authors' notebook trained CRATE-Base with half as many heads, on smaller patches.
            let (name, heads) = match demo && name == "crate-base" {
                true => ("crate-demo.pth", 6),
                false => (name, of_name.heads),
            };
            (sizes(&of_name) == sizes(self)).then_some((name, heads))
        };
        let found = PRESETS.into_iter().find_map(published);
        found.filter(|&(_, heads)| heads != self.heads)
    }
}

/// Refuses a size of 0, and one beyond [`LARGEST`].
pub(super) fn check_sizes(sizes: &[(&str, usize)]) -> Result<()> {
    for &(name, value) in sizes {
        if value == 0 {
            return Err(Error::argument(name, "at least 1", "0", "give a size"));
        }
        if value > LARGEST {
            return Err(Error::argument(
                name,
                format!("at most {LARGEST}"),
                value.to_string(),
                "give a smaller size",
            ));
        }
    }
    Ok(())
}

/// Refuses images whose sides the patch does not divide.
pub(super) fn check_patches(image_size: [usize; 2], patch_size: [usize; 2]) -> Result<()> {
    for (axis, side) in ["height", "width"].into_iter().enumerate() {
        let (image, patch) = (image_size[axis], patch_size[axis]);
        if !image.is_multiple_of(patch) {
            return Err(Error::argument(
                format!("patch {side}"),
                format!("a divisor of the image {side} {image}"),
                patch.to_string(),
                "choose another `patch`",
            ));
        }
    }
    Ok(())
}

/// Refuses a constant of the papers that is negative or no number.
pub(super) fn check_constants(constants: &[(&str, f64)], remedy: &str) -> Result<()> {
    for &(name, value) in constants {
        if !(value.is_finite() && value >= 0.0) {
            let wanted = "a finite number >= 0";
            return Err(Error::argument(name, wanted, value.to_string(), remedy));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_published_parameter_counts() {
        for (name, count) in [
            ("crate-tiny", 6_090_856),
            ("crate-small", 13_116_328),
            ("crate-base", 22_796_008),
            ("crate-large", 77_641_192),
            ("vit-tiny", 5_717_416),
            ("vit-small", 22_050_664),
        ] {
            assert_eq!(Config::preset(name).unwrap().parameters(), count);
        }
    }

    #[test]
    fn presets_have_the_published_multiply_adds() {
        // In billions, as the tables of DeiT (arXiv 2012.12877) and timm print them: 1.3, 4.6, 17.6.
        for (name, published) in [("vit-tiny", 1.26), ("vit-small", 4.61), ("vit-base", 17.58)] {
            let found = Config::preset(name).unwrap().multiply_adds() as f64 * 1e-9;
            assert!((found / published - 1.0).abs() < 0.01, "{name}: {found}");
        }
        // By hand for one layer of two tokens of width 4 in two heads of width 3: projection and way back 48 each, scores
        // and mixing 24 each, ISTA 96; a patch of 2 x 2 to a token 16, a head of 5 classes 20.
        let config = Config {
            image_size: [2, 2],
            patch_size: [2, 2],
            channels: 1,
            classes: 5,
            d: 4,
            depth: 1,
            heads: 2,
            head_width: 3,
            ..Config::preset("demo").unwrap()
        };
        assert_eq!(config.multiply_adds(), 48 + 48 + 24 + 24 + 96 + 16 + 20);
    }

    #[test]
    fn an_encoder_under_a_head_has_the_parameters_of_its_layers_and_its_convolution() {
        let with = |preset: &str, architecture| {
            let config = Config::preset(preset).unwrap();
            let config = Config {
                architecture,
                ..config
            };
            config.parameters()
        };
        // Two LayerNorms less than CRATE-Base: of patches and of tokens, 768 numbers wide both.
        let encoder = with("crate-base", Architecture::CrateEncoder);
        assert_eq!(encoder, 22_796_008 - 4 * 768);
        // Twelve layers with 2304 biases less than ViT-Base.
        let [whole, encoder] =
            [Architecture::Vit, Architecture::VitEncoder].map(|kind| with("vit-base", kind));
        assert_eq!(whole - encoder, 12 * 3 * 768);
    }

    #[test]
    fn a_width_is_found_for_a_number_of_parameters() {
        let vit = Config::preset("vit-small").unwrap();
        let found = |wanted, widest| vit.with_parameters_near(wanted, widest).unwrap();
        assert_eq!(found(22_050_664, 1024), vit);
        // A parameter more or fewer changes nothing; the widest that is allowed does.
        assert_eq!(found(22_050_665, 1024).d, 384);
        assert_eq!(found(22_050_664, 192).d, 192);
        let tiny = vit.with_width(6, 6).unwrap();
        assert_eq!(found(0, 1024), tiny);
        // Equal parameters with CRATE-Base: ViT-Small by the papers, a little wider by the count.
        let wanted = Config::preset("crate-base").unwrap().parameters();
        let near = found(wanted, 1024);
        let distance = |c: Config| c.parameters().abs_diff(wanted);
        assert_eq!(near.d, 390);
        assert!(distance(near) < distance(vit.with_width(384, 6).unwrap()));
        assert!(distance(near) < distance(vit.with_width(396, 6).unwrap()));
        let headless = Config { heads: 0, ..vit };
        assert!(headless.with_parameters_near(1, 8).is_err());
    }

    #[test]
    fn every_named_preset_is_consistent() {
        for name in PRESETS {
            Config::preset(name).unwrap().check().unwrap();
        }
        assert_eq!(Config::preset("huge").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn other_heads_than_the_published_are_noticed() {
        let base = Config::preset("crate-base").unwrap();
        assert_eq!(base.published_with_other_heads(), None);
        let with = |heads, config: Config| Config {
            heads,
            head_width: config.inner() / heads,
            ..config
        };
        let found = |config: Config| config.published_with_other_heads();
        assert_eq!(found(with(6, base)), Some(("crate-base", 12)));
        let vit = Config::preset("vit-tiny").unwrap();
        assert_eq!(found(with(12, vit)), Some(("vit-tiny", 3)));
        let demo = Config {
            patch_size: [8, 8],
            classes: 21_842,
            ..base
        };
        assert_eq!(found(with(6, demo)), None);
        assert_eq!(found(demo), Some(("crate-demo.pth", 6)));
        assert_eq!(
            found(Config {
                depth: 11,
                ..with(6, base)
            }),
            None
        );
    }

    #[test]
    fn sizes_whose_products_are_no_numbers_are_refused() {
        let config = Config::preset("demo").unwrap();
        for larger in [
            Config {
                d: usize::MAX,
                ..config
            },
            Config {
                depth: 1 << 21,
                ..config
            },
        ] {
            let message = larger.check().unwrap_err().to_string();
            assert!(message.contains("at most"), "{message}");
        }
        let all = Config {
            d: LARGEST,
            depth: LARGEST,
            image_size: [LARGEST; 2],
            patch_size: [1, 1],
            ..config
        };
        assert!(all.parameters() > 1 << 60);
    }

    #[test]
    fn a_patch_that_does_not_divide_the_image_is_refused_by_name() {
        let mut config = Config::preset("demo").unwrap();
        config.patch_size = [5, 4];
        let message = config.check().unwrap_err().to_string();
        assert!(
            message.contains("patch height") && message.contains("28"),
            "{message}"
        );
    }
}
