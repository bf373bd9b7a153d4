//! Quantities over all layers and images: a pass forward records the sites that they name, piece by piece,
//! and the CPU makes numbers of them, in doubles, the same on every device.

use ndarray::{concatenate, Array2, ArrayView2, Axis};

use super::curves::{Curve, Layerwise};
use super::quantity::Quantity;
use super::view::{Layers, Shared};
use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::operators::LayerOperators;
use crate::model::probe::{Recorder, Site};
use crate::model::{Classifier, Runtime};

/// Images per forward pass.
const PIECE: usize = 10;

/// Measures `quantities` on the images `indices`; what is random in them depends on `seed`, the image and
/// the layer. `done` is called with the number of images finished.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit, [`Error::Domain`] if an activation is not finite.
pub fn measure<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    images: &Images,
    indices: &[usize],
    quantities: &[Quantity],
    seed: u64,
    threads: usize,
    done: impl Fn(usize) + Sync,
) -> Result<Layerwise> {
    network.check_fit(images)?;
    let size = network.config().image_size;
    let input = |own: &[usize]| {
        let input = images.normalised(own.iter().copied(), size);
        done(own.len());
        input
    };
    let pieces: Vec<&[usize]> = indices.chunks(PIECE).collect();
    measure_pieces(network, &pieces, quantities, seed, threads, input)
}

/// Measures `quantities` on network input that is already normalised, image by image; what is random in them depends on
/// `seed`, the image's number and the layer.
///
/// # Shapes
/// input (b, channels, height, width).
///
/// # Errors
/// [`Error::Shape`] if the input does not fit, [`Error::Domain`] if an activation is not finite.
pub fn measure_input<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    input: &[f32],
    quantities: &[Quantity],
    seed: u64,
    threads: usize,
) -> Result<Layerwise> {
    let config = network.config();
    let image: usize = config.channels * config.image_size.iter().product::<usize>();
    let numbers: Vec<usize> = (0..input.len() / image).collect();
    let pieces: Vec<&[usize]> = numbers.chunks(PIECE).collect();
    measure_pieces(network, &pieces, quantities, seed, threads, |own| {
        let values = own.iter().flat_map(|&i| &input[i * image..(i + 1) * image]);
        Ok(values.copied().collect())
    })
}

/// The tokens at `site` of every layer, as the papers write them.
///
/// # Shapes
/// Gives for every layer (features, tokens of all images).
///
/// # Errors
/// [`Error::Shape`] if the images do not fit or the site has no tokens; those of reading the images.
pub fn tokens_at<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    images: &Images,
    indices: &[usize],
    site: Site,
) -> Result<Vec<Array2<f64>>> {
    network.check_fit(images)?;
    let mut recorder = Recorder::new([site]);
    let size = network.config().image_size;
    let input = images.normalised(indices.iter().copied(), size)?;
    network.forward_probed(&input, &mut recorder)?;
    let layers = 0..network.layers().len();
    layers
        .map(|layer| {
            let (shape, values) = recorder.get(site, layer).unwrap_or_default();
            let &[_, n, features] = shape else {
                return Err(Error::shape(
                    format!("{site:?} of layer {}", layer + 1),
                    "(images, tokens, features)",
                    format!("{shape:?}"),
                    "ask for another site",
                ));
            };
            let by_image = values.chunks_exact(n * features).map(|image| {
                let tokens = ArrayView2::from_shape((n, features), image);
                let tokens = tokens.map_err(|e| Error::misfit("tokens of an image", shape, &e))?;
                Ok(tokens.mapv(f64::from))
            });
            let by_image = by_image.collect::<Result<Vec<_>>>()?;
            let columns: Vec<ArrayView2<'_, f64>> = by_image.iter().map(|z| z.t()).collect();
            concatenate(Axis(1), &columns)
                .map_err(|e| Error::misfit("tokens of a layer", columns.len(), &e))
        })
        .collect()
}

/// `pieces` hold the numbers of the images; `input` makes network input of a piece.
fn measure_pieces<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    pieces: &[&[usize]],
    quantities: &[Quantity],
    seed: u64,
    threads: usize,
    input: impl Fn(&[usize]) -> Result<Vec<f32>> + Sync,
) -> Result<Layerwise> {
    let operators = network.layers().iter().map(LayerOperators::of);
    let layers = Layers::new(operators.collect::<Result<_>>()?, seed);
    let mut sites: Vec<Site> = quantities.iter().flat_map(|q| q.sites()).copied().collect();
    sites.sort();
    sites.dedup();
    let forward = |network: &Classifier<f32, D>, piece: usize| {
        let mut recorder = Recorder::new(sites.clone());
        let logits = network.forward_probed(&input(pieces[piece])?, &mut recorder)?;
        Ok((piece, recorder, logits))
    };
    let numbers = |(piece, recorder, logits): (usize, Recorder<f32>, Vec<f32>)| {
        let (mut zero_tokens, mut values) = (0, Vec::new());
        for layer in 0..layers.len() {
            for (position, &image) in pieces[piece].iter().enumerate() {
                let shared = Shared::new(&recorder, &layers, layer, position, image);
                let own = quantities.iter().map(|q| q.of(&shared.view(q.sites())));
                values.push(own.collect::<Result<Vec<f64>>>()?);
                zero_tokens += shared.zero_tokens();
            }
        }
        Ok((values, zero_tokens, logits))
    };
    let parts = D::run_pieces(network, pieces.len(), threads, forward, numbers)?;
    let curve = |&quantity| Curve {
        quantity,
        values: vec![Vec::new(); layers.len()],
    };
    let mut result = Layerwise {
        curves: quantities.iter().map(curve).collect(),
        zero_tokens: 0,
        logits: Vec::new(),
    };
    for ((values, zero_tokens, logits), piece) in parts.into_iter().zip(pieces) {
        result.zero_tokens += zero_tokens;
        result.logits.extend(logits);
        for (layer, by_image) in values.chunks_exact(piece.len()).enumerate() {
            for by_quantity in by_image {
                for (curve, &value) in result.curves.iter_mut().zip(by_quantity) {
                    curve.values[layer].push(value);
                }
            }
        }
    }
    Ok(result)
}
