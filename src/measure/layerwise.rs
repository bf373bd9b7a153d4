//! Rates and sparsity of every layer, image by image (NeurIPS 2023, section 3 and its figure of the
//! layers; official `vis_utils/crate_hook.py`).
//!
//! Layer `l` maps `Z^l` to `Z^{l+1/2} = Z^l + MSSA(LN1(Z^l))` and that to
//! `Z^{l+1} = ISTA(LN2(Z^{l+1/2}))`. `U^l` are the bases of layer `l`: the rows of its projection
//! weight, unconstrained as in the official code.

use dfdx::prelude::Cpu;
use ndarray::{Array2, Array3, ArrayView2};
use serde::{Deserialize, Serialize};

use super::trend::Summary;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::exact::coding_rate::{bases_from_projection, prepare_bases, subspace_rate_prepared};
use crate::exact::log_determinant::Prepared;
use crate::exact::{coding_rate, official_rate};
use crate::model::probe::{Recorder, Site};
use crate::model::{CrateClassifier, Real};
use crate::parallel;

/// Images per forward pass.
const PIECE: usize = 10;

/// A measured number per layer and image. Rates are in nats; fractions are of the `d N` entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// `R^c` in the official code's convention: [`mod@crate::exact::official_rate`].
    OfficialRate,
    /// Nonzero fraction of `Z^{l+1}`, the official sparsity measurement.
    NonzeroAfterIsta,
    /// `R^c(Z^{l+1/2} | U^l)`: the caption of the paper's figure.
    SubspaceRateAfterMssa,
    /// `R^c(Z^l | U^l)`: the same functional before the step.
    SubspaceRateBeforeMssa,
    /// `R^c` after the step with `Z^{l+1/2}` scaled to the Frobenius norm of `Z^l`: what is left of
    /// a change when mere growth is taken out.
    SubspaceRateAfterMssaNormMatched,
    /// `R^c(Z^{l+1/2} | U^l)` with every token scaled to length 1.
    UnitSubspaceRateAfterMssa,
    /// `R^c(Z^l | U^l)` with every token scaled to length 1.
    UnitSubspaceRateBeforeMssa,
    /// `R(Z^l)`.
    Rate,
    /// Nonzero fraction of `Z^{l+1/2}`, before the sparsification step.
    NonzeroBeforeIsta,
    /// Positive fraction of `LN2(Z^{l+1/2})`: what a plain ReLU in place of ISTA would leave.
    PositiveBeforeIsta,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::OfficialRate,
        Self::NonzeroAfterIsta,
        Self::SubspaceRateAfterMssa,
        Self::SubspaceRateBeforeMssa,
        Self::SubspaceRateAfterMssaNormMatched,
        Self::UnitSubspaceRateAfterMssa,
        Self::UnitSubspaceRateBeforeMssa,
        Self::Rate,
        Self::NonzeroBeforeIsta,
        Self::PositiveBeforeIsta,
    ];

    /// The two that the official code measures.
    pub const OFFICIAL: [Self; 2] = [Self::OfficialRate, Self::NonzeroAfterIsta];

    fn sites(self) -> &'static [Site] {
        match self {
            Self::OfficialRate => &[Site::Projection],
            Self::NonzeroAfterIsta => &[Site::AfterIsta],
            Self::SubspaceRateAfterMssaNormMatched => &[Site::LayerInput, Site::AfterMssa],
            Self::SubspaceRateAfterMssa
            | Self::UnitSubspaceRateAfterMssa
            | Self::NonzeroBeforeIsta => &[Site::AfterMssa],
            Self::SubspaceRateBeforeMssa | Self::UnitSubspaceRateBeforeMssa | Self::Rate => {
                &[Site::LayerInput]
            }
            Self::PositiveBeforeIsta => &[Site::NormalisedAfterMssa],
        }
    }
}

/// One quantity over all layers and images.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What was measured.
    pub quantity: Quantity,
    /// `values[layer][image]`.
    pub values: Vec<Vec<f64>>,
}

impl Curve {
    /// Mean and deviation over images, by layer.
    pub fn summaries(&self) -> Vec<Summary> {
        self.values.iter().map(|v| Summary::of(v)).collect()
    }

    /// Mean over images, by layer.
    pub fn means(&self) -> Vec<f64> {
        self.summaries().iter().map(|s| s.mean).collect()
    }
}

/// Everything measured on one network and set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Layerwise {
    /// One per quantity asked for, in that order.
    pub curves: Vec<Curve>,
    /// Head-token pairs of length zero that the official convention had to guard.
    pub zero_tokens: usize,
    /// Logits, (images, classes).
    pub logits: Vec<f32>,
}

impl Layerwise {
    /// The curve of `quantity`, if it was asked for.
    pub fn curve(&self, quantity: Quantity) -> Option<&Curve> {
        self.curves.iter().find(|curve| curve.quantity == quantity)
    }

    /// Means by layer of `quantity`; empty if it was not asked for.
    pub fn means(&self, quantity: Quantity) -> Vec<f64> {
        self.curve(quantity).map(Curve::means).unwrap_or_default()
    }
}

/// Measures `quantities` on the images `indices`; `epsilon` is the precision of all rates but the
/// official one. `done` is called with the number of images finished.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit, [`Error::Domain`] if an activation is not finite.
pub fn measure(
    network: &CrateClassifier<f32, Cpu>,
    images: &Images,
    indices: &[usize],
    quantities: &[Quantity],
    epsilon: f64,
    threads: usize,
    done: impl Fn(usize) + Sync,
) -> Result<Layerwise> {
    crate::train::check_fit(network, images)?;
    let pieces: Vec<&[usize]> = indices.chunks(PIECE).collect();
    measure_pieces(
        network,
        pieces.len(),
        quantities,
        epsilon,
        threads,
        |piece| {
            let input = images.normalised(pieces[piece].iter().copied());
            done(pieces[piece].len());
            input
        },
    )
}

/// As [`measure`], for network input (b, channels, height, width) that is already normalised.
///
/// # Errors
/// As [`measure`].
pub fn measure_input(
    network: &CrateClassifier<f32, Cpu>,
    input: &[f32],
    quantities: &[Quantity],
    epsilon: f64,
    threads: usize,
) -> Result<Layerwise> {
    let config = network.config();
    let image: usize = config.channels * config.image_size.iter().product::<usize>();
    let pieces: Vec<&[f32]> = input.chunks(PIECE * image).collect();
    measure_pieces(
        network,
        pieces.len(),
        quantities,
        epsilon,
        threads,
        |piece| pieces[piece].to_vec(),
    )
}

fn measure_pieces(
    network: &CrateClassifier<f32, Cpu>,
    pieces: usize,
    quantities: &[Quantity],
    epsilon: f64,
    threads: usize,
    input: impl Fn(usize) -> Vec<f32> + Sync,
) -> Result<Layerwise> {
    let bases = network_bases(network)?;
    let bases = bases
        .iter()
        .map(|bases| prepare_bases(bases.view()))
        .collect::<Result<Vec<_>>>()?;
    let mut sites: Vec<Site> = quantities.iter().flat_map(|q| q.sites()).copied().collect();
    sites.sort();
    sites.dedup();
    let parts = parallel::map(pieces, threads, |piece| {
        let mut recorder = Recorder::new(sites.clone());
        let logits = network.forward_probed(&input(piece), &mut recorder)?;
        let mut zero_tokens = 0;
        let mut values = Vec::with_capacity(bases.len());
        for (layer, bases) in bases.iter().enumerate() {
            values.push(measure_layer(
                &recorder,
                layer,
                bases,
                quantities,
                epsilon,
                &mut zero_tokens,
            )?);
        }
        Ok((values, zero_tokens, logits))
    })?;
    let mut result = Layerwise {
        curves: quantities
            .iter()
            .map(|&quantity| Curve {
                quantity,
                values: vec![Vec::new(); bases.len()],
            })
            .collect(),
        zero_tokens: 0,
        logits: Vec::new(),
    };
    for (values, zero_tokens, logits) in parts {
        result.zero_tokens += zero_tokens;
        result.logits.extend(logits);
        for (layer, by_quantity) in values.into_iter().enumerate() {
            for (curve, images) in result.curves.iter_mut().zip(by_quantity) {
                curve.values[layer].extend(images);
            }
        }
    }
    Ok(result)
}

/// `U^l` of every layer, (K, d, p) in f64.
///
/// # Errors
/// None on a network that was built.
pub fn network_bases<E: Real>(network: &CrateClassifier<E, Cpu>) -> Result<Vec<Array3<f64>>>
where
    Cpu: crate::model::Backbone<E>,
{
    let heads = network.config().heads;
    let layers = network.layers().iter();
    layers
        .map(|layer| {
            let weight = &layer.mssa.subspace_bases;
            let values = weight.as_vec().into_iter();
            let values: Vec<f64> = values.filter_map(|v| v.to_f64()).collect();
            let shape = dfdx::prelude::HasShape::shape(weight);
            let matrix = Array2::from_shape_vec(*shape, values).map_err(Error::device)?;
            bases_from_projection(matrix.view(), heads)
        })
        .collect()
}

/// Values of one layer, `[quantity][image]`.
fn measure_layer(
    recorder: &Recorder<f32>,
    layer: usize,
    bases: &[Prepared],
    quantities: &[Quantity],
    epsilon: f64,
    zero_tokens: &mut usize,
) -> Result<Vec<Vec<f64>>> {
    let at = |site: Site| tokens_by_image(recorder, site, layer);
    let fraction = |site: Site, counts: fn(f32) -> bool| fractions(recorder, site, layer, counts);
    let (before, after) = (at(Site::LayerInput), at(Site::AfterMssa));
    let subspace = |z: &Array2<f64>| -> Result<f64> {
        let tokens = Prepared::new("tokens", z.t())?;
        Ok(subspace_rate_prepared(&tokens, bases, epsilon)?.total)
    };
    quantities
        .iter()
        .map(|quantity| match quantity {
            Quantity::OfficialRate => at(Site::Projection)
                .iter()
                .map(|x| {
                    let found = official_rate(x.view(), bases.len())?;
                    *zero_tokens += found.zero_tokens;
                    Ok(found.total)
                })
                .collect(),
            Quantity::NonzeroAfterIsta => Ok(fraction(Site::AfterIsta, |v| v != 0.0)),
            Quantity::SubspaceRateAfterMssa => after.iter().map(subspace).collect(),
            Quantity::SubspaceRateBeforeMssa => before.iter().map(subspace).collect(),
            Quantity::SubspaceRateAfterMssaNormMatched => before
                .iter()
                .zip(&after)
                .map(|(before, after)| {
                    let ratio = frobenius(before.view()) / frobenius(after.view());
                    subspace(&(after * ratio))
                })
                .collect(),
            Quantity::UnitSubspaceRateAfterMssa => {
                after.iter().map(|z| subspace(&unit_tokens(z))).collect()
            }
            Quantity::UnitSubspaceRateBeforeMssa => {
                before.iter().map(|z| subspace(&unit_tokens(z))).collect()
            }
            Quantity::Rate => before
                .iter()
                .map(|z| Ok(coding_rate(z.t(), epsilon)?.value))
                .collect(),
            Quantity::NonzeroBeforeIsta => Ok(fraction(Site::AfterMssa, |v| v != 0.0)),
            Quantity::PositiveBeforeIsta => Ok(fraction(Site::NormalisedAfterMssa, |v| v > 0.0)),
        })
        .collect()
}

/// One matrix (n, features) per image; none if the site was not recorded.
fn tokens_by_image(recorder: &Recorder<f32>, site: Site, layer: usize) -> Vec<Array2<f64>> {
    let Some((shape, values)) = recorder.get(site, layer) else {
        return Vec::new();
    };
    let (n, features) = (shape[1], shape[2]);
    values
        .chunks_exact(n * features)
        .filter_map(|image| {
            let values = image.iter().map(|&v| f64::from(v)).collect();
            // The length is right by the line above.
            Array2::from_shape_vec((n, features), values).ok()
        })
        .collect()
}

/// By image, the fraction of entries that count.
fn fractions(
    recorder: &Recorder<f32>,
    site: Site,
    layer: usize,
    counts: fn(f32) -> bool,
) -> Vec<f64> {
    let Some((shape, values)) = recorder.get(site, layer) else {
        return Vec::new();
    };
    let size = shape[1] * shape[2];
    values
        .chunks_exact(size)
        .map(|image| image.iter().filter(|&&v| counts(v)).count() as f64 / size as f64)
        .collect()
}

fn frobenius(z: ArrayView2<'_, f64>) -> f64 {
    z.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Every token (row) scaled to length 1; zero tokens stay zero.
fn unit_tokens(z: &Array2<f64>) -> Array2<f64> {
    let mut unit = z.clone();
    for mut token in unit.outer_iter_mut() {
        let length = token.dot(&token).sqrt();
        if length > 0.0 {
            token /= length;
        }
    }
    unit
}
