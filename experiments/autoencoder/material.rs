//! What networks are measured on, and what there is without a network.

use ndarray::{ArrayView2, ArrayView3};
use serde::{Deserialize, Serialize};
use whitebox::data::Images;
use whitebox::harness::run::Run;
use whitebox::measure::features::Probed;
use whitebox::measure::halves::Pictures;
use whitebox::measure::reconstruction::{
    constant, harmonic, masked_error, mean_image, mean_of, visible_mean, SecondMoments,
};
use whitebox::train::tasks::reconstruct::Masked;
use whitebox::train::Reconstruct;
use whitebox::{Error, Result};

use super::Settings;

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

    /// What probes are fitted to and tried on.
    pub(crate) fn probed(&self) -> Probed<'_> {
        Probed {
            training: self.training,
            held_out: self.held_out,
            count: self.settings.probed_images,
            threads: self.run.threads,
        }
    }

    /// Two sets of held-out pictures with their masks.
    pub(crate) fn pictures(&self) -> [Pictures<'_>; 2] {
        self.measured.each_ref().map(|own| Pictures {
            input: &own.input,
            masked: &own.masked,
        })
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
        let probe = self.probed().pixels(geometry.image_size)?;
        Ok(Floors {
            constant: error(constant(patches))?,
            mean_image: error(mean_image(mean_of(training).view(), images))?,
            visible_mean: error(visible_mean(patches, mask, &geometry)?)?,
            harmonic: error(harmonic(patches, mask, &geometry)?)?,
            linear: error(SecondMoments::of(training)?.fill(patches, mask)?)?,
            probe_pixels: probe.accuracy,
            probe_gradient: probe.gradient_norm,
        })
    }
}
