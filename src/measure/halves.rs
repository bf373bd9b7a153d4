//! An autoencoder layer by layer, its encoder and its decoder: rates of what MSSA reads there, in the learned subspaces
//! and in random ones, and how well the states of one half tell those of the other (C-MAE-04, C-MAE-07).

use dfdx::prelude::Cpu;
use ndarray::{concatenate, Array2, Array3, ArrayView2, ArrayView3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::inversion::linear_agreement;
use crate::data::subspaces::orthogonal_bases;
use crate::error::{Error, Result};
use crate::exact::coding_rate;
use crate::exact::official_rate::OFFICIAL_EPSILON_SQUARED;
use crate::exact::scale_free::unit_projection_rate;
use crate::model::block::Layer;
use crate::model::probe::{Recorder, Site};
use crate::model::Autoencoder;

/// Images per forward pass.
const PIECE: usize = 10;

/// Pictures as an autoencoder reads them.
#[derive(Debug, Clone, Copy)]
pub struct Pictures<'a> {
    /// (b, channels, height, width), row-major, normalised.
    pub input: &'a [f32],
    /// (b, patches): which patches are masked.
    pub masked: &'a [bool],
}

/// A layer of either half; means over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerRates {
    /// The official `R^c` of what its MSSA reads, `LN(Z)`, in its own subspaces.
    pub official: f64,
    /// The same of the class token and the patches that are seen.
    pub visible: f64,
    /// [`LayerRates::official`] in the blocks of a random orthogonal matrix, which have learned nothing.
    pub random: f64,
    /// `R(LN(Z))` at the official precision.
    pub rate: f64,
    /// The share of nonzeros among the layer's outputs.
    pub nonzero: f64,
}

/// The layers of both halves, those of the decoder behind those of the encoder, with the step of each that is MSSA.
fn layers(network: &Autoencoder<f32, Cpu>) -> impl Iterator<Item = (&Layer<f32, Cpu>, usize)> {
    let encoder = network.encoder().layers().iter().map(|layer| (layer, 0));
    let decoder = network.decoder().layers().iter().map(|layer| (layer, 1));
    encoder.chain(decoder)
}

/// [`LayerRates`] of every layer, those of the decoder behind those of the encoder; `seed` draws the random subspaces.
///
/// # Errors
/// [`Error::Unsupported`] if a layer has no subspaces, [`Error::Shape`] if the pictures do not fit, [`Error::Domain`] if an
/// activation is not finite.
pub fn rates(
    network: &Autoencoder<f32, Cpu>,
    pictures: Pictures<'_>,
    seed: u64,
) -> Result<Vec<LayerRates>> {
    let subspaces: Vec<Subspaces> = layers(network)
        .enumerate()
        .map(|(index, (layer, step))| Subspaces::of(layer, step, seed, index))
        .collect::<Result<_>>()?;
    let sites = [Site::Normalised(0), Site::Normalised(1), Site::After(1)];
    let by_piece =
        pieces(network, pictures)?
            .into_par_iter()
            .map(|piece| -> Result<Vec<Vec<LayerRates>>> {
                let mut recorder = Recorder::new(sites);
                network.reconstruct_probed(piece.input, piece.masked, &mut recorder)?;
                let images = piece.masked.chunks_exact(network.config().tokens() - 1);
                let of = |(image, masked): (usize, &[bool])| {
                    let own = subspaces.iter().enumerate();
                    own.map(|(layer, own)| own.rates(&recorder, layer, image, masked))
                        .collect()
                };
                images.enumerate().map(of).collect()
            });
    let by_image: Vec<Vec<LayerRates>> = by_piece.collect::<Result<Vec<_>>>()?.concat();
    let count = by_image.len() as f64;
    let mean = |layer: usize, of: fn(&LayerRates) -> f64| {
        by_image.iter().map(|image| of(&image[layer])).sum::<f64>() / count
    };
    let layer = |layer| LayerRates {
        official: mean(layer, |own| own.official),
        visible: mean(layer, |own| own.visible),
        random: mean(layer, |own| own.random),
        rate: mean(layer, |own| own.rate),
        nonzero: mean(layer, |own| own.nonzero),
    };
    Ok((0..subspaces.len()).map(layer).collect())
}

/// The share of nonzeros among what leaves each layer of the encoder, over all tokens of whole `pictures`.
///
/// # Shapes
/// pictures (b, channels, height, width), row-major and normalised; gives a number for every layer.
///
/// # Errors
/// [`Error::Shape`] if `pictures` is not a whole number of them, [`Error::Device`].
pub fn nonzeros(network: &Autoencoder<f32, Cpu>, pictures: &[f32]) -> Result<Vec<f64>> {
    let config = network.config();
    let images = config.patches().images(pictures.len())?;
    let count = |piece: &[f32]| -> Result<Vec<usize>> {
        let mut recorder = Recorder::new([Site::After(1)]);
        network.reconstruct_probed(piece, &[], &mut recorder)?;
        let of = |layer: usize| {
            let (_, values) = recorder.get(Site::After(1), layer).unwrap_or_default();
            values.iter().filter(|&&v| v != 0.0).count()
        };
        Ok((0..config.encoder_depth).map(of).collect())
    };
    let pieces = pictures.par_chunks(PIECE * config.patches().image());
    let counts: Vec<Vec<usize>> = pieces.map(count).collect::<Result<_>>()?;
    let numbers = (images * config.tokens() * config.d) as f64;
    let share = |layer: usize| {
        let nonzeros: usize = counts.iter().map(|piece| piece[layer]).sum();
        nonzeros as f64 / numbers
    };
    Ok((0..config.encoder_depth).map(share).collect())
}

/// What the rates of a layer are taken in.
struct Subspaces {
    /// Of the layer that is MSSA.
    step: usize,
    bases: Array3<f64>,
    random: Array3<f64>,
}

impl Subspaces {
    fn of(layer: &Layer<f32, Cpu>, step: usize, seed: u64, index: usize) -> Result<Self> {
        let bases = layer.bases()?;
        let (heads, _, p) = bases.dim();
        let name = format!("subspaces of layer {}", index + 1);
        Ok(Self {
            step,
            random: orthogonal_bases(seed, &name, heads, p)?,
            bases,
        })
    }

    fn rates(
        &self,
        recorder: &Recorder<f32>,
        layer: usize,
        image: usize,
        masked: &[bool],
    ) -> Result<LayerRates> {
        let x = tokens(recorder, Site::Normalised(self.step), layer, image)?;
        let after = tokens(recorder, Site::After(1), layer, image)?;
        let seen = masked.iter().enumerate();
        let seen = seen.filter_map(|(patch, masked)| (!masked).then_some(patch + 1));
        let seen: Vec<usize> = std::iter::once(0).chain(seen).collect();
        let epsilon = OFFICIAL_EPSILON_SQUARED.sqrt();
        let rate = |tokens: ArrayView2<'_, f64>, bases: ArrayView3<'_, f64>| {
            Ok::<_, Error>(unit_projection_rate(tokens, bases, epsilon)?.total)
        };
        let nonzeros = after.iter().filter(|&&v| v != 0.0).count();
        Ok(LayerRates {
            official: rate(x.t(), self.bases.view())?,
            visible: rate(x.select(Axis(0), &seen).t(), self.bases.view())?,
            random: rate(x.t(), self.random.view())?,
            rate: coding_rate(x.t(), epsilon)?.value,
            nonzero: nonzeros as f64 / after.len() as f64,
        })
    }
}

/// `R^2` on held-out pictures of the best affine map from the tokens that leave layer `l` of the decoder to those that
/// enter layer `i` of the encoder, for all `l` (rows) and `i` (columns), both from 1. Where the decoder undoes the encoder
/// layer by layer, those with `l + i = L + 1` are matched.
///
/// # Errors
/// [`Error::Shape`] if the pictures do not fit, [`Error::Domain`] if an activation is not finite.
pub fn agreement(
    network: &Autoencoder<f32, Cpu>,
    fitted: Pictures<'_>,
    held_out: Pictures<'_>,
) -> Result<Vec<Vec<f64>>> {
    let encoder = network.config().encoder_depth;
    let decoder = network.config().decoder_depth;
    let states = |pictures| -> Result<Vec<Array2<f64>>> {
        let enter = (0..encoder).map(|layer| (Site::LayerInput, layer));
        let leave = (encoder..encoder + decoder).map(|layer| (Site::After(1), layer));
        all_tokens(network, pictures, &enter.chain(leave).collect::<Vec<_>>())
    };
    let (fitted, held_out) = (states(fitted)?, states(held_out)?);
    let pairs: Vec<(usize, usize)> = (0..decoder)
        .flat_map(|l| (0..encoder).map(move |i| (encoder + l, i)))
        .collect();
    let found: Vec<f64> = pairs
        .into_par_iter()
        .map(|(l, i)| {
            linear_agreement(
                fitted[l].view(),
                fitted[i].view(),
                held_out[l].view(),
                held_out[i].view(),
            )
        })
        .collect::<Result<_>>()?;
    Ok(found.chunks(encoder).map(<[f64]>::to_vec).collect())
}

/// The matched entries of [`agreement`] less the others, each averaged over its row, and that over rows: whatever makes a
/// state of the decoder easy or hard to read is the same for both.
///
/// # Panics
/// If there is one layer alone.
pub fn matched_less_mismatched(agreement: &[Vec<f64>]) -> f64 {
    let depth = agreement.first().map_or(0, Vec::len);
    let row = |(l, row): (usize, &Vec<f64>)| {
        // Layer l + 1 leaves what layer L + 1 - (l + 1) + 1 enters with: at place L - 1 - l, from 0.
        let own = depth.checked_sub(l + 1)?;
        let others = row.iter().sum::<f64>() - row[own];
        Some(row[own] - others / (depth - 1) as f64)
    };
    let rows: Vec<f64> = agreement.iter().enumerate().filter_map(row).collect();
    assert!(depth > 1, "one layer has no other");
    rows.iter().sum::<f64>() / rows.len() as f64
}

/// The pictures in pieces of [`PIECE`].
fn pieces<'a>(
    network: &Autoencoder<f32, Cpu>,
    pictures: Pictures<'a>,
) -> Result<Vec<Pictures<'a>>> {
    let patches = network.config().patches();
    let images = patches.images(pictures.input.len())?;
    if pictures.masked.len() != images * patches.count() {
        return Err(Error::shape(
            "the mask",
            format!("({images}, {})", patches.count()),
            format!("{} patches", pictures.masked.len()),
            "say of every patch whether it is masked",
        ));
    }
    let input = pictures.input.chunks(PIECE * patches.image());
    let masked = pictures.masked.chunks(PIECE * patches.count());
    let piece = |(input, masked)| Pictures { input, masked };
    Ok(input.zip(masked).map(piece).collect())
}

/// The tokens at each of `places` (site and layer), of all pictures one below the other.
fn all_tokens(
    network: &Autoencoder<f32, Cpu>,
    pictures: Pictures<'_>,
    places: &[(Site, usize)],
) -> Result<Vec<Array2<f64>>> {
    let sites: Vec<Site> = places.iter().map(|(site, _)| *site).collect();
    let by_piece = pieces(network, pictures)?
        .into_par_iter()
        .map(|piece| -> Result<Vec<Vec<Array2<f64>>>> {
            let mut recorder = Recorder::new(sites.clone());
            network.reconstruct_probed(piece.input, piece.masked, &mut recorder)?;
            let images = piece.masked.len() / (network.config().tokens() - 1);
            let at = |&(site, layer): &(Site, usize)| {
                (0..images)
                    .map(|image| tokens(&recorder, site, layer, image))
                    .collect()
            };
            places.iter().map(at).collect()
        })
        .collect::<Result<Vec<_>>>()?;
    let place = |index: usize| {
        let images = by_piece.iter().flat_map(|piece| &piece[index]);
        let views: Vec<ArrayView2<'_, f64>> = images.map(|z| z.view()).collect();
        concatenate(Axis(0), &views).map_err(|e| Error::misfit("tokens", views.len(), &e))
    };
    (0..places.len()).map(place).collect()
}

/// The (n, d) tokens of one image at a site of a layer, in doubles.
fn tokens(recorder: &Recorder<f32>, site: Site, layer: usize, image: usize) -> Result<Array2<f64>> {
    let (shape, values) = recorder.get(site, layer).unwrap_or_default();
    let &[_, n, features] = shape else {
        return Err(Error::shape(
            format!("{site:?} of layer {}", layer + 1),
            "(images, tokens, features)",
            format!("{shape:?}"),
            "ask for another site",
        ));
    };
    let own = values[image * n * features..][..n * features].iter();
    let own = own.map(|&v| f64::from(v)).collect();
    Array2::from_shape_vec((n, features), own).map_err(|e| Error::misfit("tokens", shape, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::autoencoder::AutoencoderConfig;

    fn network() -> Autoencoder<f32, Cpu> {
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        let config = AutoencoderConfig {
            d: 16,
            encoder_depth: 2,
            decoder_depth: 2,
            ..demo
        };
        Autoencoder::new(config, 3, &Cpu::default()).unwrap()
    }

    fn pictures(count: usize, phase: f32) -> (Vec<f32>, Vec<bool>) {
        let input = (0..count * 784).map(|i| (phase + 0.37 * i as f32).sin());
        let masked = (0..count * 49).map(|i| i % 4 != 0);
        (input.collect(), masked.collect())
    }

    #[test]
    fn every_layer_of_both_halves_is_measured_and_pieces_do_not_matter() {
        let network = network();
        let (input, masked) = pictures(12, 0.0);
        let all = |input: &[f32], masked: &[bool]| {
            rates(&network, Pictures { input, masked }, 5).unwrap()
        };
        let found = all(&input, &masked);
        assert_eq!(found.len(), 4);
        let parts = [0, 1].map(|half| {
            let (a, b) = (half * 6 * 784, half * 6 * 49);
            all(&input[a..a + 6 * 784], &masked[b..b + 6 * 49])
        });
        for (layer, own) in found.iter().enumerate() {
            assert!(own.official > 0.0 && own.rate > 0.0 && own.random > 0.0);
            // Fewer tokens.
            assert!(own.visible != own.official);
            let mean = (parts[0][layer].official + parts[1][layer].official) / 2.0;
            assert!((mean - own.official).abs() < 1e-9 * mean);
        }
        // ISTA leaves zeros, the decoder does not.
        assert!(found[1].nonzero < 0.9 && found[3].nonzero > 0.99);
    }

    #[test]
    fn nonzeros_are_those_that_the_rates_count_where_nothing_is_masked() {
        let network = network();
        let (input, _) = pictures(12, 0.0);
        let masked = vec![false; 12 * 49];
        let found = nonzeros(&network, &input).unwrap();
        let input = &input;
        let masked = &masked;
        let rates = rates(&network, Pictures { input, masked }, 5).unwrap();
        assert_eq!(found.len(), 2);
        for (share, rates) in found.iter().zip(&rates) {
            assert!((share - rates.nonzero).abs() < 1e-12, "{share} {rates:?}");
            assert!(*share > 0.0 && *share < 0.9);
        }
        assert!(nonzeros(&network, &input[1..]).is_err());
    }

    #[test]
    fn every_state_of_the_decoder_is_held_against_every_one_of_the_encoder() {
        let network = network();
        let ((input, masked), (other, other_masked)) = (pictures(8, 0.0), pictures(8, 0.2));
        let (fitted, held_out) = (
            Pictures {
                input: &input,
                masked: &masked,
            },
            Pictures {
                input: &other,
                masked: &other_masked,
            },
        );
        let found = agreement(&network, fitted, held_out).unwrap();
        assert_eq!((found.len(), found[0].len()), (2, 2));
        assert!(found.concat().iter().all(|r| *r <= 1.0));
    }

    #[test]
    fn matched_layers_stand_on_the_other_diagonal() {
        let agreement = [
            vec![0.1, 0.3, 0.8],
            vec![0.2, 0.9, 0.4],
            vec![0.7, 0.1, 0.1],
        ];
        let found = matched_less_mismatched(&agreement);
        let wanted = ((0.8 - 0.2) + (0.9 - 0.3) + (0.7 - 0.1)) / 3.0;
        assert!((found - wanted).abs() < 1e-15, "{found}");
    }
}
