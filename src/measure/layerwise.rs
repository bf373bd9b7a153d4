//! Rates and sparsity of every layer, image by image (NeurIPS 2023, section 3 and its figure of the
//! layers; official `vis_utils/crate_hook.py`).
//!
//! Layer `l` maps `Z^l` to `Z^{l+1/2} = Z^l + MSSA(LN1(Z^l))` and that to
//! `Z^{l+1} = ISTA(LN2(Z^{l+1/2}))`. `U^l` are the bases of layer `l`: the rows of its projection
//! weight, unconstrained as in the official code.

use dfdx::prelude::Device;
use ndarray::{concatenate, s, Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::coherence::frame;
use super::statistics::Summary;
use crate::data::Images;
use crate::error::{Error, Result};
use crate::exact::coding_rate::{prepare_bases, subspace_rate_prepared};
use crate::exact::ista::{lasso_objective, lasso_solution};
use crate::exact::log_determinant::Prepared;
use crate::exact::mssa::attention_update;
use crate::exact::neumann::{largest_eigenvalue, scaled_energies};
use crate::exact::official_rate::{projection_rate, Tokens};
use crate::exact::{coding_rate, official_rate, subspace_rate_gradient};
use crate::model::bases::widened;
use crate::model::layers::{FeedForward, Layer};
use crate::model::probe::{Recorder, Site};
use crate::model::{Backbone, Classifier};

/// Images per forward pass.
const PIECE: usize = 10;

/// FISTA steps for the LASSO solution: its error falls as 1 / k^2, and after these the objective
/// moves by less than a thousandth of itself.
const LASSO_ITERATIONS: usize = 300;

/// Room for the rounding of the largest eigenvalue.
const LIPSCHITZ_MARGIN: f64 = 1.0001;

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
    /// The largest eigenvalue of `c (U_k^T X)(U_k^T X)^T` over heads, `X = LN1(Z^l)`, the tokens MSSA
    /// works on: the Neumann series behind MSSA converges below 1.
    NeumannRadius,
    /// Fraction of those eigenvalues over 1: directions along which the series' first order has
    /// the wrong sign.
    OutsideNeumannRadius,
    /// Cosine between what MSSA adds, `Z^{l+1/2} - Z^l`, and the exact `-grad R^c` at `X`.
    CosineMssaDescent,
    /// Cosine between the papers' convex step `M - X`, `M = sum_k U_k SSA(X | U_k)` with the code's
    /// scale `p^{-1/2}`, and the exact `-grad R^c` at `X`.
    CosineConvexDescent,
    /// LASSO objective of the block's input clamped to be feasible, per token.
    LassoClamped,
    /// LASSO objective of the block's output, per token.
    LassoAfterIsta,
    /// LASSO objective of the zero code, per token.
    LassoZero,
    /// LASSO objective of the solution, per token.
    LassoSolution,
    /// `R(LN2(Z^{l+1/2}))`.
    RateBeforeIsta,
    /// `R(Z^{l+1})`.
    RateAfterIsta,
    /// `R^c(Z^l | Q^l)`, `Q_k` an orthonormal basis of the span of `U_k`: what the derivation means by `U`.
    OrthonormalRateBeforeMssa,
    /// `R^c(Z^{l+1} | Q^l)`.
    OrthonormalRateAfterIsta,
    /// [`Self::OfficialRate`] at the run's precision.
    ProjectionRate,
    /// The same with the tokens' own lengths.
    ProjectionRateAsIs,
    /// [`Self::ProjectionRate`] without the class token.
    ProjectionRateWithoutClass,
}

impl Quantity {
    /// What the papers' figure of the layers is about.
    pub const LAYERWISE: [Self; 10] = [
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

    /// What each block does, against what it is derived to do.
    pub const BLOCKS: [Self; 10] = [
        Self::NeumannRadius,
        Self::OutsideNeumannRadius,
        Self::CosineMssaDescent,
        Self::CosineConvexDescent,
        Self::LassoClamped,
        Self::LassoAfterIsta,
        Self::LassoZero,
        Self::LassoSolution,
        Self::RateBeforeIsta,
        Self::RateAfterIsta,
    ];

    /// The parts of the objective before and after a layer, for its own subspaces.
    pub const OBJECTIVE: [Self; 5] = [
        Self::Rate,
        Self::RateAfterIsta,
        Self::OrthonormalRateBeforeMssa,
        Self::OrthonormalRateAfterIsta,
        Self::NonzeroAfterIsta,
    ];

    /// The official measurement at the run's precision, and what it leaves out.
    pub const PROJECTION: [Self; 3] = [
        Self::ProjectionRate,
        Self::ProjectionRateAsIs,
        Self::ProjectionRateWithoutClass,
    ];

    /// The two that the official code measures.
    pub const OFFICIAL: [Self; 2] = [Self::OfficialRate, Self::NonzeroAfterIsta];

    fn sites(self) -> &'static [Site] {
        match self {
            Self::OfficialRate
            | Self::ProjectionRate
            | Self::ProjectionRateAsIs
            | Self::ProjectionRateWithoutClass => &[Site::Projection],
            Self::NonzeroAfterIsta | Self::RateAfterIsta | Self::OrthonormalRateAfterIsta => {
                &[Site::AfterIsta]
            }
            Self::SubspaceRateAfterMssaNormMatched => &[Site::LayerInput, Site::AfterMssa],
            Self::SubspaceRateAfterMssa
            | Self::UnitSubspaceRateAfterMssa
            | Self::NonzeroBeforeIsta => &[Site::AfterMssa],
            Self::SubspaceRateBeforeMssa
            | Self::UnitSubspaceRateBeforeMssa
            | Self::OrthonormalRateBeforeMssa
            | Self::Rate => &[Site::LayerInput],
            Self::PositiveBeforeIsta
            | Self::LassoClamped
            | Self::LassoZero
            | Self::LassoSolution
            | Self::RateBeforeIsta => &[Site::NormalisedAfterMssa],
            Self::NeumannRadius | Self::OutsideNeumannRadius | Self::CosineConvexDescent => {
                &[Site::NormalisedInput]
            }
            Self::CosineMssaDescent => &[Site::NormalisedInput, Site::LayerInput, Site::AfterMssa],
            Self::LassoAfterIsta => &[Site::NormalisedAfterMssa, Site::AfterIsta],
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
pub fn measure<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    images: &Images,
    indices: &[usize],
    quantities: &[Quantity],
    epsilon: f64,
    threads: usize,
    done: impl Fn(usize) + Sync,
) -> Result<Layerwise> {
    crate::train::check_fit(network, images)?;
    let size = network.config().image_size;
    let pieces: Vec<&[usize]> = indices.chunks(PIECE).collect();
    measure_pieces(
        network,
        pieces.len(),
        quantities,
        epsilon,
        threads,
        |piece| {
            let input = images.normalised(pieces[piece].iter().copied(), size);
            done(pieces[piece].len());
            input
        },
    )
}

/// As [`measure`], for network input (b, channels, height, width) that is already normalised.
///
/// # Errors
/// As [`measure`].
pub fn measure_input<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
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
        |piece| Ok(pieces[piece].to_vec()),
    )
}

/// The tokens at `site` of every layer, (features, tokens of all images), as the papers write them.
///
/// # Errors
/// As [`measure`].
pub fn tokens_at<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    images: &Images,
    indices: &[usize],
    site: Site,
) -> Result<Vec<Array2<f64>>> {
    crate::train::check_fit(network, images)?;
    let mut recorder = Recorder::new([site]);
    let size = network.config().image_size;
    let input = images.normalised(indices.iter().copied(), size)?;
    network.forward_probed(&input, &mut recorder)?;
    let layers = 0..network.layers().len();
    layers
        .map(|layer| {
            let by_image = tokens_by_image(&recorder, site, layer);
            let views: Vec<ArrayView2<'_, f64>> = by_image.iter().map(|z| z.t()).collect();
            concatenate(Axis(1), &views)
                .map_err(|e| Error::misfit("tokens of a layer", views.len(), &e))
        })
        .collect()
}

fn measure_pieces<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    pieces: usize,
    quantities: &[Quantity],
    epsilon: f64,
    threads: usize,
    input: impl Fn(usize) -> Result<Vec<f32>> + Sync,
) -> Result<Layerwise> {
    let layers = network
        .layers()
        .iter()
        .map(LayerOperators::of)
        .collect::<Result<Vec<_>>>()?;
    let mut sites: Vec<Site> = quantities.iter().flat_map(|q| q.sites()).copied().collect();
    sites.sort();
    sites.dedup();
    let forward = |network: &Classifier<f32, D>, piece: usize| {
        let mut recorder = Recorder::new(sites.clone());
        let logits = network.forward_probed(&input(piece)?, &mut recorder)?;
        Ok((recorder, logits))
    };
    // On copied tokens, in doubles: the same on every device.
    let rates = |(recorder, logits): (Recorder<f32>, Vec<f32>)| {
        let mut zero_tokens = 0;
        let mut values = Vec::with_capacity(layers.len());
        for (layer, operators) in layers.iter().enumerate() {
            values.push(measure_layer(
                &recorder,
                layer,
                operators,
                quantities,
                epsilon,
                &mut zero_tokens,
            )?);
        }
        Ok((values, zero_tokens, logits))
    };
    let parts = D::run_pieces(network, pieces, threads, forward, rates)?;
    let mut result = Layerwise {
        curves: quantities
            .iter()
            .map(|&quantity| Curve {
                quantity,
                values: vec![Vec::new(); layers.len()],
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

/// A layer's bases and dictionary in f64, as the papers write them.
#[derive(Debug, Clone)]
pub struct LayerOperators {
    /// `U^l`, (K, d, p); of a layer with MHSA, the projections of the values.
    pub bases: Array3<f64>,
    prepared: Vec<Prepared>,
    /// Orthonormal bases of the same subspaces.
    orthonormal: Vec<Prepared>,
    sparsifier: Option<Sparsifier>,
}

/// What a layer's ISTA block works with.
#[derive(Debug, Clone)]
pub struct Sparsifier {
    /// `D^l`, (d, d).
    pub dictionary: Array2<f64>,
    /// `eta`.
    pub step_size: f64,
    /// `lambda`.
    pub lambda: f64,
    lipschitz: f64,
}

impl LayerOperators {
    /// Copies them out of a layer.
    ///
    /// # Errors
    /// [`Error::Domain`] if a weight is not finite.
    pub fn of<D: Device<f32>>(layer: &Layer<f32, D>) -> Result<Self> {
        let bases = layer.attention.bases()?;
        let sparsifier = match &layer.feed_forward {
            FeedForward::Ista(ista) => {
                let dictionary = widened(&ista.dictionary)?;
                Some(Sparsifier {
                    lipschitz: largest_eigenvalue(dictionary.t().dot(&dictionary))?,
                    dictionary,
                    step_size: ista.step_size,
                    lambda: ista.lambda,
                })
            }
            FeedForward::Mlp(_) => None,
        };
        let frames = bases.outer_iter().map(frame);
        let orthonormal = frames.map(|frame| Prepared::of("bases", frame?));
        Ok(Self {
            prepared: prepare_bases(bases.view())?,
            orthonormal: orthonormal.collect::<Result<_>>()?,
            bases,
            sparsifier,
        })
    }

    /// Of the ISTA block.
    ///
    /// # Errors
    /// [`Error::Argument`] if the layer has a perceptron in its place.
    pub fn sparsifier(&self) -> Result<&Sparsifier> {
        self.sparsifier.as_ref().ok_or_else(|| {
            Error::argument(
                "`checkpoint`",
                "a network with ISTA blocks, which have a dictionary",
                "one with perceptrons",
                "choose a CRATE",
            )
        })
    }
}

impl Sparsifier {
    /// `L = ||D||_2^2`, the constant of the descent lemma.
    pub fn lipschitz(&self) -> f64 {
        self.lipschitz
    }

    /// `||D^T D - alpha I||_F / ||D^T D||_F` with the best `alpha`: 0 for a scaled rotation.
    pub fn incoherence(&self) -> f64 {
        let gram = self.dictionary.t().dot(&self.dictionary);
        let alpha = gram.diag().sum() / gram.nrows() as f64;
        let mut off = gram.clone();
        off.diag_mut().mapv_inplace(|g| g - alpha);
        frobenius(off.view()) / frobenius(gram.view())
    }
}

/// Values of one layer, `[quantity][image]`.
fn measure_layer(
    recorder: &Recorder<f32>,
    layer: usize,
    operators: &LayerOperators,
    quantities: &[Quantity],
    epsilon: f64,
    zero_tokens: &mut usize,
) -> Result<Vec<Vec<f64>>> {
    let at = |site: Site| tokens_by_image(recorder, site, layer);
    let fraction = |site: Site, counts: fn(f32) -> bool| fractions(recorder, site, layer, counts);
    let (before, after) = (at(Site::LayerInput), at(Site::AfterMssa));
    let bases = operators.bases.view();
    let energies = |x: &Array2<f64>| -> Result<Vec<f64>> {
        Ok(scaled_energies(x.t(), bases, epsilon)?.concat())
    };
    // Cosine with the direction of steepest descent of R^c at the tokens x (rows).
    let with_descent = |x: &Array2<f64>, step: ArrayView2<'_, f64>| -> Result<f64> {
        let gradient = subspace_rate_gradient(x.t(), bases, epsilon)?;
        let product = -(&gradient * &step).sum();
        Ok(product / (frobenius(gradient.view()) * frobenius(step)))
    };
    // LASSO objective per token of a code (rows) for the block's input (rows).
    let lasso = |code: ArrayView2<'_, f64>, x: &Array2<f64>| -> Result<f64> {
        let ista = operators.sparsifier()?;
        let sum = lasso_objective(code, x.t(), ista.dictionary.view(), ista.lambda);
        Ok(sum / x.nrows() as f64)
    };
    let rate_for = |z: &Array2<f64>, bases: &[Prepared]| -> Result<f64> {
        let tokens = Prepared::new("tokens", z.t())?;
        Ok(subspace_rate_prepared(&tokens, bases, epsilon)?.total)
    };
    let subspace = |z: &Array2<f64>| rate_for(z, &operators.prepared);
    let orthonormal = |z: &Array2<f64>| rate_for(z, &operators.orthonormal);
    // The official convention at this precision, from the token `first` on.
    let projected = |first: usize, scaling: Tokens| -> Result<Vec<f64>> {
        by_image(recorder, Site::Projection, layer)
            .map(|x| {
                let tokens = x.slice_move(s![first.., ..]);
                Ok(projection_rate(tokens, operators.bases.dim().0, scaling, epsilon)?.total)
            })
            .collect()
    };
    quantities
        .iter()
        .map(|quantity| match quantity {
            Quantity::OfficialRate => by_image(recorder, Site::Projection, layer)
                .map(|x| {
                    let found = official_rate(x, operators.prepared.len())?;
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
            Quantity::NeumannRadius => at(Site::NormalisedInput)
                .iter()
                .map(|x| Ok(energies(x)?.into_iter().fold(0.0, f64::max)))
                .collect(),
            Quantity::OutsideNeumannRadius => at(Site::NormalisedInput)
                .iter()
                .map(|x| {
                    let energies = energies(x)?;
                    let outside = energies.iter().filter(|&&s| s > 1.0).count();
                    Ok(outside as f64 / energies.len() as f64)
                })
                .collect(),
            Quantity::CosineMssaDescent => at(Site::NormalisedInput)
                .iter()
                .zip(before.iter().zip(&after))
                .map(|(x, (before, after))| with_descent(x, (after - before).t()))
                .collect(),
            Quantity::CosineConvexDescent => at(Site::NormalisedInput)
                .iter()
                .map(|x| {
                    let scale = (bases.dim().2 as f64).powf(-0.5);
                    let step = attention_update(x.t(), bases, scale) - x.t();
                    with_descent(x, step.view())
                })
                .collect(),
            Quantity::LassoClamped => at(Site::NormalisedAfterMssa)
                .iter()
                .map(|x| lasso(x.mapv(|v| v.max(0.0)).t(), x))
                .collect(),
            Quantity::LassoAfterIsta => at(Site::NormalisedAfterMssa)
                .iter()
                .zip(&at(Site::AfterIsta))
                .map(|(x, code)| lasso(code.t(), x))
                .collect(),
            Quantity::LassoZero => at(Site::NormalisedAfterMssa)
                .iter()
                .map(|x| lasso(Array2::zeros(x.t().dim()).view(), x))
                .collect(),
            Quantity::LassoSolution => at(Site::NormalisedAfterMssa)
                .iter()
                .map(|x| {
                    let ista = operators.sparsifier()?;
                    let bound = ista.lipschitz * LIPSCHITZ_MARGIN;
                    let (dictionary, steps) = (ista.dictionary.view(), LASSO_ITERATIONS);
                    let code = lasso_solution(x.t(), dictionary, ista.lambda, bound, steps);
                    lasso(code.view(), x)
                })
                .collect(),
            Quantity::RateBeforeIsta => at(Site::NormalisedAfterMssa)
                .iter()
                .map(|x| Ok(coding_rate(x.t(), epsilon)?.value))
                .collect(),
            Quantity::RateAfterIsta => at(Site::AfterIsta)
                .iter()
                .map(|x| Ok(coding_rate(x.t(), epsilon)?.value))
                .collect(),
            Quantity::OrthonormalRateBeforeMssa => before.iter().map(orthonormal).collect(),
            Quantity::OrthonormalRateAfterIsta => {
                at(Site::AfterIsta).iter().map(orthonormal).collect()
            }
            Quantity::ProjectionRate => projected(0, Tokens::Unit),
            Quantity::ProjectionRateAsIs => projected(0, Tokens::AsTheyAre),
            Quantity::ProjectionRateWithoutClass => projected(1, Tokens::Unit),
        })
        .collect()
}

/// One matrix (n, features) per image; none if the site was not recorded.
fn by_image(
    recorder: &Recorder<f32>,
    site: Site,
    layer: usize,
) -> impl Iterator<Item = ArrayView2<'_, f32>> {
    let (shape, values) = recorder.get(site, layer).unwrap_or((&[1, 1, 1], &[]));
    let (n, features) = (shape[1], shape[2]);
    // The length is right by the chunks' own.
    values
        .chunks_exact(n * features)
        .filter_map(move |image| ArrayView2::from_shape((n, features), image).ok())
}

/// [`by_image`] in doubles.
fn tokens_by_image(recorder: &Recorder<f32>, site: Site, layer: usize) -> Vec<Array2<f64>> {
    by_image(recorder, site, layer)
        .map(|tokens| tokens.mapv(f64::from))
        .collect()
}

/// By image, the fraction of entries that count.
fn fractions(
    recorder: &Recorder<f32>,
    site: Site,
    layer: usize,
    counts: fn(f32) -> bool,
) -> Vec<f64> {
    by_image(recorder, site, layer)
        .map(|tokens| tokens.iter().filter(|&&v| counts(v)).count() as f64 / tokens.len() as f64)
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
