//! What networks are measured on, and what there is without a network.

use dfdx::prelude::Cpu;
use ndarray::{Array2, ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};
use whitebox::data::noise::speckled;
use whitebox::data::picture::Picture;
use whitebox::data::{Images, Split};
use whitebox::harness::run::Run;
use whitebox::measure::segmentation::components::Reading;
use whitebox::measure::segmentation::floors::{centre_disc, smooth_maps, two_means};
use whitebox::measure::segmentation::head_maps::{of_layers, HeadMaps};
use whitebox::measure::segmentation::layer_scores::{component_ranking, Truth, SHARE};
use whitebox::measure::segmentation::overlap::intersection_over_union;
use whitebox::measure::segmentation::threshold::{enlarged, mass};
use whitebox::measure::segmentation::{other_half, parts};
use whitebox::model::patches::Patches;
use whitebox::model::Classifier;
use whitebox::{parallel, seed, Error, Result};

use super::Settings;

/// Deviation of the Gaussian that random maps are smoothed by, in patches.
const SMOOTHNESS: f64 = 1.0;
/// Starts of the clusters of pixels.
const STARTS: usize = 4;

/// Overlaps and rankings without a network, means over the measured scenes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Floors {
    /// The whole picture.
    pub(crate) everything: f64,
    /// A disc in the middle, of the object's own area.
    pub(crate) disc: f64,
    /// Of as many smooth random maps as there are heads the best for the object, by mass.
    pub(crate) random_maps: f64,
    /// The better of two clusters of the pixels.
    pub(crate) clusters: f64,
    /// How well the first principal component of the patches' pixels ranks the object.
    pub(crate) pixels_component: f64,
}

/// What networks are trained and measured on.
pub(crate) struct Material<'a> {
    pub(crate) run: &'a Run,
    pub(crate) settings: &'a Settings,
    pub(crate) training: Images,
    pub(crate) held_out: Images,
    /// The measured scenes as networks read them, plain and noisy.
    pub(crate) pictures: [Vec<Vec<f32>>; 2],
    /// The part of every patch.
    pub(crate) parts: Vec<Array2<u8>>,
    masks: Vec<Array2<bool>>,
    second: Vec<bool>,
}

impl<'a> Material<'a> {
    pub(crate) fn new(run: &'a Run, settings: &'a Settings) -> Result<Self> {
        let (scenes, count) = (settings.scenes, settings.measured_scenes);
        let training = scenes.images(settings.training_scenes, Split::Train, run.seed)?;
        let held_out = scenes.images(settings.held_out_scenes, Split::Test, run.seed)?;
        run.reads(&training);
        run.reads(&held_out);
        let mut material = Self {
            run,
            settings,
            pictures: [Vec::new(), Vec::new()],
            parts: Vec::new(),
            masks: Vec::new(),
            second: other_half::halves(count, run.seed),
            training,
            held_out,
        };
        let [patch, _] = settings.arms[0].network.patch_size;
        for number in 0..count {
            let scene = scenes.draw(Split::Test, run.seed, number)?;
            let mut rng = seed::stream(run.seed, &format!("noise on scene {number}"));
            let plain: Vec<u8> = scene.pixels.iter().copied().collect();
            let noisy = speckled(&plain, 3, settings.noise, &mut rng);
            for (own, planes) in material.pictures.iter_mut().zip([plain, noisy]) {
                let picture = Picture {
                    shape: [3, scenes.side, scenes.side],
                    planes: planes.into(),
                };
                let mut input = Vec::new();
                material.training.normalise_into(&picture, &mut input);
                own.push(input);
            }
            material
                .parts
                .push(parts::of_patches(scene.parts.view(), patch)?);
            material.masks.push(scene.mask);
        }
        Ok(material)
    }

    pub(crate) fn truth(&self) -> Truth<'_> {
        Truth {
            masks: &self.masks,
            second: &self.second,
            patch: self.settings.arms[0].network.patch_size[0],
        }
    }

    /// What a layer, from 1, shows of the first `count` plain (0) or noisy (1) scenes.
    pub(crate) fn shown(
        &self,
        network: &Classifier<f32, Cpu>,
        layer: usize,
        kind: usize,
        count: usize,
    ) -> Result<Vec<HeadMaps>> {
        let pictures = self.pictures[kind].iter().take(count);
        let shown = pictures.map(|picture| of_layers(network, picture, &[layer]));
        Ok(shown.collect::<Result<Vec<_>>>()?.concat())
    }

    /// What there is without a network.
    pub(crate) fn floors(&self) -> Result<Floors> {
        let truth = self.truth();
        let patches = Patches::of(&self.settings.arms[0].network);
        let heads = self.settings.arms[0].network.heads;
        let made = parallel::map(self.masks.len(), self.run.threads, |number| {
            let (mask, picture) = (&self.masks[number], &self.pictures[0][number]);
            let (height, width) = mask.dim();
            let overlap = |other: ArrayView2<'_, bool>| intersection_over_union(mask.view(), other);
            let area = mask.iter().filter(|&&inside| inside).count();
            let mut rng = seed::stream(self.run.seed, &format!("floors of scene {number}"));
            let maps = smooth_maps(heads, patches.grid(), SMOOTHNESS, &mut rng);
            let mut best = 0.0f64;
            for map in maps.outer_iter() {
                best = best.max(overlap(
                    enlarged(mass(map, SHARE)?.view(), truth.patch).view(),
                )?);
            }
            let planes = ArrayView3::from_shape((3, height, width), picture)
                .map_err(|e| Error::misfit("a picture", mask.dim(), &e))?;
            let pixels = Array2::from_shape_fn((height * width, 3), |(pixel, channel)| {
                f64::from(planes[[channel, pixel / width, pixel % width]])
            });
            let side = two_means(pixels.view(), STARTS, &mut rng)?;
            let cluster = |which: bool| {
                overlap(
                    Array2::from_shape_fn((height, width), |(y, x)| side[y * width + x] == which)
                        .view(),
                )
            };
            let cut = patches.cut(picture)?.into_iter().map(f64::from).collect();
            let cut = Array2::from_shape_vec((patches.count(), patches.width()), cut)
                .map_err(|e| Error::misfit("patches", patches.count(), &e))?;
            let everything = Array2::from_elem(mask.dim(), true);
            let overlaps = [
                overlap(everything.view())?,
                overlap(centre_disc([height, width], area).view())?,
                best,
                cluster(false)?.max(cluster(true)?),
            ];
            Ok((overlaps, cut))
        })?;
        let (overlaps, cut): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let mean = |which: usize| {
            overlaps
                .iter()
                .map(|own: &[f64; 4]| own[which])
                .sum::<f64>()
                / overlaps.len() as f64
        };
        let features: Vec<_> = cut.iter().map(|own| own.view()).collect();
        Ok(Floors {
            everything: mean(0),
            disc: mean(1),
            random_maps: mean(2),
            clusters: mean(3),
            pixels_component: component_ranking(&features, &truth, Reading::Signed)?,
        })
    }
}
