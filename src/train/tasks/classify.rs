//! Pictures with labels: the cross-entropy of changed pictures with smoothed labels, and what a recipe adds to it.

use std::ops::Range;

use dfdx::prelude::*;
use rayon::prelude::*;

use crate::data::Images;
use crate::error::{Error, Result};
use crate::model::probe::NoProbe;
use crate::model::{Classifier, Config, Runtime};
use crate::seed;
use crate::train::augment::Augmentation;
use crate::train::penalty::Penalty;
use crate::train::recipe::Recipe;
use crate::train::score::{evaluate, Score};
use crate::train::shards::{self, Cut, Found};
use crate::train::task::{elsewhere, Draw, Figure, Loss, Portable, Scored, Task};
use crate::train::{train, Circumstances, Epoch, Observer};

/// Images per shard.
const SHARD: usize = 16;

/// To tell pictures of some classes apart.
#[derive(Debug, Clone, Copy)]
pub struct Classify<'a> {
    images: &'a Images,
    held_out: &'a Images,
    augmentation: Augmentation,
    objective: Objective,
    /// Height and width that the network takes.
    size: [usize; 2],
}

/// What training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Objective {
    /// Label smoothing of the cross-entropy.
    pub smoothing: f64,
    /// What is added to it.
    pub penalty: Option<Penalty>,
}

/// Pictures as they enter the network, with their labels.
#[derive(Debug)]
pub struct Labelled {
    /// (b, channels, height, width), row-major, normalised.
    input: Vec<f32>,
    labels: Vec<usize>,
}

impl<'a> Classify<'a> {
    /// For a network of `config`, with the augmentation, the smoothing and the penalty of `recipe`.
    pub fn new(config: &Config, images: &'a Images, held_out: &'a Images, recipe: &Recipe) -> Self {
        Self {
            images,
            held_out,
            augmentation: recipe.augmentation,
            objective: Objective {
                smoothing: recipe.label_smoothing,
                penalty: recipe.penalty,
            },
            size: config.image_size,
        }
    }
}

impl<D: Runtime<f32>> Task<D> for Classify<'_> {
    type Network = Classifier<f32, D>;
    type Batch = Labelled;
    type Score = Score;

    fn examples(&self) -> usize {
        self.images.len()
    }

    fn shard(&self) -> usize {
        SHARD
    }

    fn numbers(&self, network: &Self::Network) -> usize {
        network.config().tokens() * network.config().d
    }

    fn check(&self, network: &Self::Network) -> Result<()> {
        network.check_fit(self.images)?;
        network.check_fit(self.held_out)?;
        self.held_out.check_classes(&self.images.class_names)
    }

    fn batch(&self, indices: &[usize], draw: Draw) -> Result<Labelled> {
        // Shared out as the kernels are.
        let inputs = indices.par_iter().map(|&image| {
            let mut rng = seed::stream(draw.seed, &format!("augment/{}/{image}", draw.epoch));
            let picture = self.images.picture(image)?;
            let changed = self.augmentation.apply(&picture, self.size, &mut rng);
            let mut input = Vec::new();
            self.images.normalise_into(&changed, &mut input);
            Ok(input)
        });
        let labels = indices.iter().map(|&image| self.images.labels[image]);
        Ok(Labelled {
            input: inputs.collect::<Result<Vec<_>>>()?.concat(),
            labels: labels.collect(),
        })
    }

    fn loss(&self, network: &Self::Network, batch: &Labelled, weight: f64) -> Result<Loss<D>> {
        loss(network, &batch.input, &batch.labels, self.objective, weight)
    }

    fn score(&self, network: &Self::Network, threads: usize) -> Result<Score> {
        evaluate(network, self.held_out, threads, || {})
    }

    fn identity(&self, network: &Self::Network) -> serde_json::Value {
        serde_json::json!({
            "config": network.config(),
            "images": self.images.sha256,
            "held_out": self.held_out.sha256,
        })
    }
}

impl Portable for Classify<'_> {
    fn train_on<D: Runtime<f32>>(
        &self,
        device: &D,
        network: &mut Classifier<f32, Cpu>,
        recipe: &Recipe,
        run: &Circumstances<'_>,
        observer: &mut impl Observer<Classifier<f32, Cpu>, Score>,
    ) -> Result<Vec<Epoch<Score>>> {
        let moved = network.on(device)?;
        let back = |network: &Classifier<f32, D>| network.on(&Cpu::default());
        elsewhere(network, moved, back, observer, |network, watched| {
            train(network, self, recipe, run, watched)
        })
    }
}

impl Scored for Score {
    fn figures(&self) -> Vec<Figure> {
        let figure = |column, series, value| Figure {
            column,
            series,
            value,
        };
        vec![
            figure("held_out_loss", "loss/held_out", self.loss),
            figure("held_out_accuracy", "accuracy/top1", self.accuracy),
            figure("held_out_top5", "accuracy/top5", self.top5),
        ]
    }

    fn line(&self) -> String {
        format!(
            "held-out loss {:.4}, held-out accuracy {:.2} %",
            self.loss,
            100.0 * self.accuracy
        )
    }
}

/// Mean smoothed cross-entropy of a batch, and the gradient of the objective by parameter. `input` makes the images
/// (b, channels, height, width), normalised, of a range of the batch.
///
/// # Errors
/// [`Error::Shape`] if the images do not fit the network, [`Error::Argument`] if it has no such layer as the
/// penalty names, [`Error::Device`].
pub fn gradients<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    labels: &[usize],
    objective: Objective,
    threads: usize,
    input: impl Fn(Range<usize>) -> Result<Vec<f32>> + Sync,
) -> Result<(f64, Vec<Vec<f32>>)> {
    let config = network.config();
    let cut = Cut {
        examples: labels.len(),
        shard: SHARD,
        numbers: config.tokens() * config.d,
    };
    let found = shards::sum(network, cut, threads, |network, range, weight| {
        let labels = &labels[range.clone()];
        let loss = loss(network, &input(range)?, labels, objective, weight)?;
        Found::of(network, loss)
    })?;
    Ok((found.loss, found.gradients))
}

/// `weight` times the mean smoothed cross-entropy of the images `input`, on a tape that the penalty is on too.
fn loss<D: Runtime<f32>>(
    network: &Classifier<f32, D>,
    input: &[f32],
    labels: &[usize],
    objective: Objective,
    weight: f64,
) -> Result<Loss<D>> {
    let classes = network.config().classes;
    let off = (objective.smoothing / classes as f64) as f32;
    let on = off + (1.0 - objective.smoothing) as f32;
    let mut targets = vec![off; labels.len() * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        row[label] = on;
    }
    let patches = network.patches(input)?;
    let targets = network
        .device()
        .try_tensor_from_vec(targets, (labels.len(), classes))
        .map_err(Error::device)?;
    let patches = patches.leaky_traced();
    let logits = match objective.penalty {
        None => network.try_forward_patches(patches, &mut NoProbe),
        Some(penalty) => {
            let layers = network.layers();
            let index = penalty.layer.wrapping_sub(1);
            let layer = layers.get(index).ok_or_else(|| {
                Error::argument(
                    "penalty.layer",
                    format!("one of the {} layers of the network", layers.len()),
                    penalty.layer.to_string(),
                    "change it with `set` penalty.layer=LAYER",
                )
            })?;
            let bases = layer.bases()?;
            let z = network.try_tokens(patches, index, &mut NoProbe);
            let share = weight / labels.len() as f64;
            let z = penalty.put_on(z.map_err(Error::device)?, bases.view(), share)?;
            network.try_logits(z, index, &mut NoProbe)
        }
    }
    .map_err(Error::device)?;
    let loss = cross_entropy_with_logits_loss(logits, targets) * weight as f32;
    Ok(loss.into())
}
