//! What networks are measured on, and what there is without a network.

use dfdx::prelude::Cpu;
use ndarray::{s, Array2, ArrayView2, ArrayView3, Axis};
use serde::{Deserialize, Serialize};
use whitebox::data::Images;
use whitebox::harness::run::Run;
use whitebox::measure::halves::Pictures;
use whitebox::measure::reconstruction::{
    constant, harmonic, masked_error, mean_image, mean_of, visible_mean, SecondMoments,
};
use whitebox::measure::softmax_regression::Probe;
use whitebox::model::Autoencoder;
use whitebox::parallel;
use whitebox::train::tasks::reconstruct::Masked;
use whitebox::train::Reconstruct;
use whitebox::{Error, Result};

use super::Settings;

/// Weight of the ridge of the linear probe.
const RIDGE: f64 = 1e-4;

/// Images per forward pass of features.
const PIECE: usize = 50;

/// Errors and accuracies without a network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Floors {
    /// The mean of the data for every pixel.
    pub(crate) constant: f64,
    /// The mean training picture.
    pub(crate) mean_image: f64,
    /// The mean of what is seen of the picture.
    pub(crate) visible_mean: f64,
    /// A harmonic surface through what is seen.
    pub(crate) harmonic: f64,
    /// The best linear guess from the covariance of training pictures.
    pub(crate) linear: f64,
    /// Accuracy of the linear probe on pixels.
    pub(crate) probe_pixels: f64,
    /// Length of the gradient where the fit of that ended.
    pub(crate) probe_gradient: f64,
}

/// What networks are measured on.
pub(crate) struct Material<'a> {
    pub(crate) run: &'a Run,
    settings: &'a Settings,
    pub(crate) task: &'a Reconstruct<'a>,
    pub(crate) training: &'a Images,
    pub(crate) held_out: &'a Images,
    measured: [Masked; 2],
}

impl<'a> Material<'a> {
    pub(crate) fn new(
        run: &'a Run,
        settings: &'a Settings,
        training: &'a Images,
        held_out: &'a Images,
        task: &'a Reconstruct<'a>,
    ) -> Result<Self> {
        let count = settings.measured_images.min(held_out.len() / 2);
        Ok(Self {
            run,
            settings,
            task,
            training,
            held_out,
            measured: [task.held_out(0..count)?, task.held_out(count..2 * count)?],
        })
    }

    /// So many images of a split, and their classes.
    fn probed<'b>(&self, images: &'b Images) -> (std::ops::Range<usize>, &'b [usize]) {
        let count = self.settings.probed_images.min(images.len());
        (0..count, &images.labels[..count])
    }

    fn size(&self) -> [usize; 2] {
        self.settings.crate_mae.image_size
    }

    fn pixels(&self, images: &Images) -> Result<Array2<f64>> {
        let (range, labels) = self.probed(images);
        let values = images.normalised(range, self.size())?;
        let width = values.len() / labels.len();
        let values = values.into_iter().map(f64::from).collect();
        Array2::from_shape_vec((labels.len(), width), values)
            .map_err(|e| Error::misfit("pixels", width, &e))
    }

    fn fit(&self, of: impl Fn(&Images) -> Result<Array2<f64>>) -> Result<(Probe, f64)> {
        let (training, held_out) = (of(self.training)?, of(self.held_out)?);
        parallel::within(self.run.threads, || {
            self.score(training.view(), held_out.view())
        })?
    }

    /// Two sets of held-out pictures with their masks.
    pub(crate) fn pictures(&self) -> [Pictures<'_>; 2] {
        self.measured.each_ref().map(|own| Pictures {
            input: &own.input,
            masked: &own.masked,
        })
    }

    /// A probe of features, and its accuracy on the held-out ones.
    pub(crate) fn score(
        &self,
        training: ArrayView2<'_, f64>,
        held_out: ArrayView2<'_, f64>,
    ) -> Result<(Probe, f64)> {
        let (_, labels) = self.probed(self.training);
        let probe = Probe::fit(training, labels, self.training.classes, RIDGE)?;
        let (_, labels) = self.probed(self.held_out);
        let accuracy = probe.accuracy(held_out, labels)?;
        Ok((probe, accuracy))
    }

    /// What there is without a network.
    pub(crate) fn floors(&self) -> Result<Floors> {
        let geometry = self.settings.crate_mae.predictions();
        let (count, width) = (geometry.count(), geometry.width());
        let shape = |numbers: usize| (numbers / (count * width), count, width);
        let cut = |images: &Images| {
            geometry.cut(&images.normalised(0..images.len(), geometry.image_size)?)
        };
        let training = cut(self.training)?;
        let training = ArrayView3::from_shape(shape(training.len()), &training)
            .map_err(|e| Error::misfit("training patches", training.len(), &e))?;
        let held_out = self.task.held_out(0..self.held_out.len())?;
        let patches = ArrayView3::from_shape(shape(held_out.targets.len()), &held_out.targets)
            .map_err(|e| Error::misfit("held-out patches", held_out.targets.len(), &e))?;
        let (images, ..) = patches.dim();
        let mask = ArrayView2::from_shape((images, count), &held_out.masked)
            .map_err(|e| Error::misfit("the mask", images, &e))?;
        let error = |found: ndarray::Array3<f32>| masked_error(found.view(), patches, mask);
        let (probe, probe_pixels) = self.fit(|images| self.pixels(images))?;
        Ok(Floors {
            constant: error(constant(patches))?,
            mean_image: error(mean_image(mean_of(training).view(), images))?,
            visible_mean: error(visible_mean(patches, mask, &geometry)?)?,
            harmonic: error(harmonic(patches, mask, &geometry)?)?,
            linear: error(SecondMoments::of(training)?.fill(patches, mask)?)?,
            probe_pixels,
            probe_gradient: probe.gradient_norm,
        })
    }
}

/// The class token and the mean of the patches' tokens behind the encoder, side by side, of whole pictures.
pub(crate) fn features(
    network: &Autoencoder<f32, Cpu>,
    images: &Images,
    material: &Material<'_>,
) -> Result<Array2<f64>> {
    let (range, labels) = material.probed(images);
    let (d, tokens) = (network.config().d, network.config().tokens());
    let pieces = range.len().div_ceil(PIECE);
    let made = parallel::map(pieces, material.run.threads, |piece| {
        let own = piece * PIECE..((piece + 1) * PIECE).min(range.len());
        let input = images.normalised(own, material.size())?;
        network.encode(&input, &[])
    })?;
    let mut features = Array2::zeros((labels.len(), 2 * d));
    let encoded = made.concat();
    for (mut row, image) in features
        .rows_mut()
        .into_iter()
        .zip(encoded.chunks_exact(tokens * d))
    {
        let image = ArrayView2::from_shape((tokens, d), image)
            .map_err(|e| Error::misfit("tokens", tokens, &e))?
            .mapv(f64::from);
        row.slice_mut(s![..d]).assign(&image.row(0));
        let patches = image.slice(s![1.., ..]);
        let mean = patches.sum_axis(Axis(0)) / (tokens - 1) as f64;
        row.slice_mut(s![d..]).assign(&mean);
    }
    Ok(features)
}
