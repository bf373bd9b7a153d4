//! What layers of a classifier, or of an autoencoder's encoder without masking, show of one picture: the map of every head,
//! the keys that MaskCut cuts by, the tokens whose principal components are looked at. All from the intermediates of one
//! pass forward.

use ndarray::{s, Array2, Array3, ArrayView3};

use super::threshold::class_maps;
use crate::error::{Error, Result};
use crate::model::block::Form;
use crate::model::probe::{Probe, Recorder, Site};
use crate::model::{Encoder, Runtime};

/// What a layer shows of a picture, patch by patch, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadMaps {
    /// What the class token reads of the patches in each head, (K, rows, columns): see [`class_maps`].
    pub maps: Array3<f64>,
    /// The keys of the patches, all heads side by side, (n, K p): `U_k^T LN(Z)` where queries, keys and values are one, the
    /// keys' own projection elsewhere.
    pub keys: Array2<f64>,
    /// The patches' tokens after the layer, (n, d).
    pub tokens: Array2<f64>,
}

/// What the layers with the numbers `layers`, from 1, show of one picture, in that order.
///
/// # Shapes
/// image (channels, height, width), normalised.
///
/// # Errors
/// [`Error::Shape`] if `image` is not one picture of the network's size; [`Error::Argument`] if there is no such layer;
/// [`Error::Unsupported`] if a layer has no attention maps; [`Error::Device`].
pub fn of_layers<D: Runtime<f32>, N: Encoder<D>>(
    network: &N,
    image: &[f32],
    layers: &[usize],
) -> Result<Vec<HeadMaps>> {
    let cut = network.cut();
    let [height, width] = cut.image_size;
    if image.len() != cut.image() {
        return Err(Error::shape(
            "picture",
            format!("({}, {height}, {width})", cut.channels),
            format!("({},)", image.len()),
            "pass one picture, of the size that the network reads",
        ));
    }
    let own = network.stack().layers();
    let depth = own.len();
    if let Some(layer) = layers.iter().find(|layer| !(1..=depth).contains(*layer)) {
        return Err(Error::argument(
            "`layer`",
            format!("1 to {depth}"),
            layer.to_string(),
            "name a layer that the network has",
        ));
    }
    // The layers of a stack have the same steps.
    let steps = own.first().map(|layer| &layer.steps).ok_or_else(no_maps)?;
    let attention = steps.iter().position(|step| step.block.heads().is_some());
    let attention = attention.ok_or_else(no_maps)?;
    let sites = [
        Site::Attention(attention),
        Site::Keys(attention),
        Site::After(steps.len() - 1),
    ];
    let mut chosen = Chosen {
        layers,
        recorder: Recorder::new(sites),
    };
    network.observe(image, &mut chosen)?;
    let shown = layers.iter().map(|layer| {
        let [maps, keys, tokens] = sites.map(|site| chosen.recorder.get(site, layer - 1));
        let (maps, keys) = (maps.ok_or_else(no_maps)?, keys.ok_or_else(no_maps)?);
        let tokens = tokens.ok_or_else(no_maps)?;
        Ok::<_, Error>(HeadMaps {
            maps: on_grid(maps, cut.grid())?,
            keys: of_patches(keys)?,
            tokens: of_patches(tokens)?,
        })
    });
    shown.collect()
}

/// Records chosen layers alone, and of their attention what the class token reads: the rest of a large picture takes much
/// memory.
struct Chosen<'a> {
    /// From 1.
    layers: &'a [usize],
    recorder: Recorder<f32>,
}

impl Probe<f32> for Chosen<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.layers.contains(&(layer + 1)) && self.recorder.wants(site, layer)
    }

    fn observe(&mut self, site: Site, layer: usize, shape: &[usize], values: Vec<f32>) {
        let Site::Attention(_) = site else {
            return self.recorder.observe(site, layer, shape, values);
        };
        // What has no maps is missed by who asks for them.
        let own: Option<[usize; 3]> = shape.get(1..).and_then(|own| own.try_into().ok());
        let attention = own.and_then(|own| ArrayView3::from_shape(own, &values).ok());
        if let Some(Ok(maps)) = attention.map(class_maps) {
            let (heads, patches) = maps.dim();
            let maps = maps.into_iter().collect();
            self.recorder
                .observe(site, layer, &[1, heads, patches], maps);
        }
    }
}

/// The class token's maps (1, K, n) of one picture as (K, rows, columns).
fn on_grid(
    (shape, values): (&[usize], &[f32]),
    [rows, columns]: [usize; 2],
) -> Result<Array3<f64>> {
    let own = (shape[1], rows, columns);
    let maps = Array3::from_shape_vec(own, widened(values));
    maps.map_err(|e| Error::misfit("class maps", own, &e))
}

/// Tokens (1, n + 1, features) of one picture without the class token, (n, features).
fn of_patches((shape, values): (&[usize], &[f32])) -> Result<Array2<f64>> {
    let own: [usize; 2] = shape[1..].try_into().map_err(|_| no_maps())?;
    let tokens = Array2::from_shape_vec(own, widened(values));
    let tokens = tokens.map_err(|e| Error::misfit("tokens", shape, &e))?;
    Ok(tokens.slice_move(s![1.., ..]))
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn no_maps() -> Error {
    Error::unsupported(
        "a look at attention maps",
        "on a layer that makes none",
        "look at a network whose layers have MSSA or multi-head self-attention",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::coding_rate::bases_from_projection;
    use crate::exact::layer::{crate_layer, layer_norm, LayerParameters};
    use crate::exact::mssa::{attention_map, softmax_columns};
    use crate::model::block::{mssa, Block};
    use crate::model::doubles::widened as matrix;
    use crate::model::norm::LayerNorm;
    use crate::model::tensor::Vector;
    use crate::model::{Architecture, Classifier, Config, Execution, Pool};
    use dfdx::prelude::Cpu;
    use ndarray::{Array1, ArrayView1, ArrayView2};

    const HEADS: usize = 2;
    const HEAD_WIDTH: usize = 3;

    /// On 2 by 4 patches; weights large enough for maps that are far from uniform.
    fn network(architecture: Architecture) -> Classifier<f32, Cpu> {
        let config = Config {
            architecture,
            image_size: [6, 8],
            patch_size: [3, 2],
            channels: 2,
            classes: 3,
            d: 7,
            depth: 3,
            heads: HEADS,
            head_width: HEAD_WIDTH,
            pool: Pool::Cls,
            step_size: 0.1,
            lambda: 0.1,
        };
        let mut network = Classifier::new(config, 1, &Cpu::default()).unwrap();
        let mut values = network.parameters();
        for (index, own) in values.iter_mut().enumerate() {
            for (place, value) in own.values.iter_mut().enumerate() {
                *value = (0.37 * (place as f32 + 0.5) + index as f32).sin();
            }
        }
        network.set_parameters(&values).unwrap();
        network
    }

    fn picture() -> Vec<f32> {
        (0..96).map(|i| (0.71 * i as f32).cos()).collect()
    }

    /// The tokens at a site of a layer, from 0, as columns.
    fn columns(network: &Classifier<f32, Cpu>, site: Site, layer: usize) -> Array2<f64> {
        let mut recorder = Recorder::new([site]);
        network.forward_probed(&picture(), &mut recorder).unwrap();
        let (shape, values) = recorder.get(site, layer).unwrap();
        let tokens = Array2::from_shape_vec((shape[1], shape[2]), widened(values)).unwrap();
        tokens.reversed_axes()
    }

    fn vector(of: &Vector<f32, Cpu>) -> Array1<f64> {
        of.as_vec().into_iter().map(f64::from).collect()
    }

    fn norm(of: &LayerNorm<f32, Cpu>) -> (Array1<f64>, Array1<f64>) {
        (vector(&of.gain), vector(&of.bias))
    }

    /// The layer takes sums of some ten terms of size 1 in f32, whose roundings, of 6e-8 each, the softmax multiplies by
    /// scores of some ten.
    fn near<'a>(
        found: impl IntoIterator<Item = &'a f64>,
        exact: impl IntoIterator<Item = &'a f64>,
    ) {
        let (found, exact) = (found.into_iter(), exact.into_iter());
        let (found, exact): (Vec<&f64>, Vec<&f64>) = (found.collect(), exact.collect());
        assert_eq!(found.len(), exact.len());
        let size = exact.iter().fold(1.0f64, |most, v| most.max(v.abs()));
        for (found, exact) in found.into_iter().zip(exact) {
            assert!((found - exact).abs() < 2e-5 * size, "{found} {exact}");
        }
    }

    /// A row of the map of a head: row-major patches.
    fn flat(maps: &Array3<f64>, head: usize) -> Vec<f64> {
        maps.slice(s![head, .., ..]).iter().copied().collect()
    }

    #[test]
    fn crates_maps_keys_and_tokens_are_those_of_the_exact_layer() {
        for execution in [Execution::Fastest, Execution::Composed] {
            let network = network(Architecture::Crate).with_execution(execution);
            let shown = of_layers(&network, &picture(), &[3, 1]).unwrap();
            for (layer, found) in [2, 0].into_iter().zip(&shown) {
                assert_eq!(found.maps.dim(), (HEADS, 2, 4));
                let steps = &network.layers()[layer].steps;
                let (Block::Mssa(own), Block::Ista(ista)) = (&steps[0].block, &steps[1].block)
                else {
                    panic!("not CRATE");
                };
                let mssa::Output::Free(output) = &own.output else {
                    panic!("no output projection");
                };
                let bases =
                    bases_from_projection(matrix(&own.subspace_bases).unwrap().view(), HEADS)
                        .unwrap();
                let exact = LayerParameters {
                    norm1: norm(&steps[0].norm),
                    bases: bases.outer_iter().map(|basis| basis.to_owned()).collect(),
                    output: Some((matrix(&output.weight).unwrap(), vector(&output.bias))),
                    norm2: norm(&steps[1].norm),
                    dictionary: matrix(&ista.dictionary).unwrap(),
                    step_size: 0.1,
                    lambda: 0.1,
                };
                let z = columns(&network, Site::LayerInput, layer);
                let (gain, bias) = &exact.norm1;
                let x = layer_norm(z.view(), gain.view(), bias.view());
                for (head, basis) in exact.bases.iter().enumerate() {
                    // Column 0 of the exact map is what the class token reads.
                    let scale = (HEAD_WIDTH as f64).powf(-0.5);
                    let map = attention_map(x.view(), basis.view(), scale);
                    near(&flat(&found.maps, head), map.slice(s![1.., 0]));
                    let keys = basis.t().dot(&x);
                    let own = s![.., head * HEAD_WIDTH..(head + 1) * HEAD_WIDTH];
                    near(found.keys.slice(own), keys.slice(s![.., 1..]).t());
                }
                let (_, after) = crate_layer(z.view(), &exact);
                near(&found.tokens, after.slice(s![.., 1..]).t());
            }
        }
    }

    /// The part of a ViT's projection that makes queries (0) or keys (1) of `x`, (K p, n + 1).
    fn part(
        network: &Classifier<f32, Cpu>,
        layer: usize,
        part: usize,
        x: ArrayView2<'_, f64>,
    ) -> Array2<f64> {
        let Block::Mhsa(own) = &network.layers()[layer].steps[0].block else {
            panic!("not a ViT");
        };
        let inner = HEADS * HEAD_WIDTH;
        let rows = part * inner..(part + 1) * inner;
        let weight = matrix(&own.projection).unwrap();
        let bias = vector(own.projection_bias.as_ref().unwrap());
        let made = weight.slice(s![rows.clone(), ..]).dot(&x);
        made + bias.slice(s![rows]).insert_axis(ndarray::Axis(1))
    }

    #[test]
    fn a_transformers_map_is_the_class_tokens_row_and_not_its_column() {
        for execution in [Execution::Fastest, Execution::Composed] {
            let network = network(Architecture::Vit).with_execution(execution);
            let found = &of_layers(&network, &picture(), &[2]).unwrap()[0];
            let x = columns(&network, Site::NORMALISED_INPUT, 1);
            let [queries, keys] = [0, 1].map(|index| part(&network, 1, index, x.view()));
            near(&found.keys, keys.slice(s![.., 1..]).t());
            for head in 0..HEADS {
                let own = s![head * HEAD_WIDTH..(head + 1) * HEAD_WIDTH, ..];
                let scores = keys.slice(own).t().dot(&queries.slice(own));
                // Column j is what token j reads.
                let map = softmax_columns((scores * (HEAD_WIDTH as f64).powf(-0.5)).view());
                let map_of_row = flat(&found.maps, head);
                near(&map_of_row, map.slice(s![1.., 0]));
                // What the patches read of the class token is another map.
                let other: ArrayView1<'_, f64> = map.slice(s![0, 1..]);
                let differs = map_of_row.iter().zip(&other);
                let largest = differs.fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
                assert!(largest > 0.03, "{largest}");
                // Without its own entry, and not brought to 1 again.
                let sum: f64 = map_of_row.iter().sum();
                assert!(
                    (sum - (1.0 - map[[0, 0]])).abs() < 1e-4 && sum < 0.999,
                    "{sum}"
                );
            }
            let after = columns(&network, Site::AFTER_ISTA, 1);
            near(&found.tokens, after.slice(s![.., 1..]).t());
        }
    }

    #[test]
    fn a_layer_that_is_not_there_and_a_picture_of_another_size_are_refused() {
        let network = network(Architecture::CrateMlp);
        for layer in [0, 4] {
            let error = of_layers(&network, &picture(), &[1, layer]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("1 to 3"), "{error}");
        }
        let error = of_layers(&network, &picture()[1..], &[1]).unwrap_err();
        assert!(error.to_string().contains("(2, 6, 8)"), "{error}");
        assert!(of_layers(&network, &picture(), &[]).unwrap().is_empty());
    }
}
