//! What is trained, and what is read off it.

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::data::Images;
use whitebox::harness::comparison::BySeed;
use whitebox::harness::run::Run;
use whitebox::measure::features::Probed;
use whitebox::measure::halves::nonzeros;
use whitebox::model::autoencoder::{AutoencoderConfig, DecoderSign, OFFICIAL_LAMBDA};
use whitebox::model::Autoencoder;
use whitebox::parallel;
use whitebox::train::masking::Masking;
use whitebox::train::task::Task;
use whitebox::train::{Recipe, Reconstruct};
use whitebox::Result;

use super::Settings;

/// Shares of patches that are masked in training, rising.
pub(crate) const RATIOS: [f64; 4] = [0.25, 0.5, 0.75, 0.9];

/// Weights of ISTA's threshold, rising: of the book and the notebooks' class, of the code, of a published file.
pub(crate) const LAMBDAS: [f64; 3] = [0.1, OFFICIAL_LAMBDA, 5.0];

/// Held-out images whose codes are counted.
const FEW: usize = 100;

/// What sets networks apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Variant {
    pub(crate) ratio: f64,
    pub(crate) lambda: f64,
    pub(crate) sign: DecoderSign,
}

/// As the paper and its code have it.
pub(crate) const PLAIN: Variant = Variant {
    ratio: 0.75,
    lambda: OFFICIAL_LAMBDA,
    sign: DecoderSign::Minus,
};

/// The plain one, and all that differ from it in one respect.
pub(crate) fn variants() -> Vec<Variant> {
    let ratios = RATIOS.map(|ratio| Variant { ratio, ..PLAIN });
    let lambdas = LAMBDAS.map(|lambda| Variant { lambda, ..PLAIN });
    let sign = DecoderSign::Plus;
    let others = ratios.into_iter().chain(lambdas);
    let others = others.chain([Variant { sign, ..PLAIN }]);
    let others = others.filter(|variant| *variant != PLAIN);
    [PLAIN].into_iter().chain(others).collect()
}

impl Variant {
    /// `plain` as this variant has it.
    pub(crate) fn network(self, plain: AutoencoderConfig) -> AutoencoderConfig {
        AutoencoderConfig {
            lambda: self.lambda,
            decoder_sign: self.sign,
            ..plain
        }
    }

    /// `plain` with the share masked that this variant has.
    pub(crate) fn recipe(self, plain: &Recipe) -> Recipe {
        let masking = plain.masking.unwrap_or_default();
        Recipe {
            masking: Some(Masking {
                ratio: self.ratio,
                ..masking
            }),
            ..plain.clone()
        }
    }

    /// The name of its files from `seed`.
    pub(crate) fn file(self, seed: u64) -> String {
        let sign = match self.sign {
            DecoderSign::Minus => "minus",
            DecoderSign::Plus => "plus",
        };
        format!("{}-{}-{sign}-{seed}", self.ratio, self.lambda)
    }
}

/// What networks are measured on.
pub(crate) struct Material<'a> {
    probed: Probed<'a>,
    /// Three quarters masked.
    task: Reconstruct<'a>,
    /// The first held-out pictures.
    few: Vec<f32>,
}

impl<'a> Material<'a> {
    pub(crate) fn new(
        run: &Run,
        settings: &Settings,
        training: &'a Images,
        held_out: &'a Images,
    ) -> Result<Self> {
        let few = FEW.min(held_out.len());
        Ok(Self {
            probed: Probed {
                training,
                held_out,
                count: settings.probed_images,
                threads: run.threads,
            },
            task: Reconstruct::new(&settings.network, training, held_out, &settings.recipe)?,
            few: held_out.normalised(0..few, settings.network.image_size)?,
        })
    }

    pub(crate) fn few(&self) -> &[f32] {
        &self.few
    }
}

/// A network as it is measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    ratio: f64,
    lambda: f64,
    sign: DecoderSign,
    seed: u64,
    trained: bool,
    /// Mean square error of masked pixels of held-out images, three quarters of them masked.
    pub(crate) error: f64,
    /// Accuracy of the linear probe on the mean of the patches' tokens, per cent.
    pub(crate) probe_mean: f64,
    /// On the class token.
    pub(crate) probe_class: f64,
    /// Share of nonzeros among what leaves the layers of the encoder.
    pub(crate) nonzero: f64,
}

impl Row {
    pub(crate) fn of(
        variant: Variant,
        seed: u64,
        trained: bool,
        network: &Autoencoder<f32, Cpu>,
        material: &Material<'_>,
    ) -> Result<Self> {
        let probe = material.probed.tokens(network)?;
        let threads = material.probed.threads;
        let shares = parallel::within(threads, || nonzeros(network, &material.few))??;
        Ok(Self {
            ratio: variant.ratio,
            lambda: variant.lambda,
            sign: variant.sign,
            seed,
            trained,
            error: Task::<Cpu>::score(&material.task, network, threads)?,
            probe_mean: 100.0 * probe.mean.accuracy,
            probe_class: 100.0 * probe.class.accuracy,
            nonzero: shares.iter().sum::<f64>() / shares.len() as f64,
        })
    }
}

/// What `value` is of the networks of a variant, under their seeds.
pub(crate) fn by_seed(
    rows: &[Row],
    variant: Variant,
    trained: bool,
    value: impl Fn(&Row) -> f64,
) -> BySeed {
    let own = |row: &&Row| {
        let (ratio, lambda, sign) = (row.ratio, row.lambda, row.sign);
        row.trained == trained
            && variant
                == (Variant {
                    ratio,
                    lambda,
                    sign,
                })
    };
    let own = rows.iter().filter(own);
    own.map(|row| (row.seed, value(row))).collect()
}
