//! Networks trained side by side: variants of one, each from the same seeds and on the same images, so that differences
//! are taken seed by seed.

use std::borrow::Cow;
use std::ops::Range;

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};

use super::networks::{ClassifierTraining, Networks, Trained};
use super::run::Run;
use crate::claim::measured::TAIL;
use crate::claim::{Measured, Unit};
use crate::data::{DataArguments, Images, Split};
use crate::error::Result;
use crate::measure::linear;
use crate::measure::statistics::{paired_differences, Summary};
use crate::model::{Classifier, Config};
use crate::train::augment::Augmentation;
use crate::train::Recipe;

/// Flags of a comparison of small networks.
#[derive(Debug, Clone, clap::Args)]
pub struct ComparisonFlags {
    /// Which images.
    #[command(flatten)]
    pub data: DataArguments,
    /// Seeds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    pub seeds: u32,
    /// Training images.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub images: u32,
    /// Passes over them.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
}

/// What a comparison of small networks has to train and look at.
#[derive(Debug, Clone)]
pub struct Material {
    /// Training images.
    pub training: Images,
    /// Training images held back, to choose by; as many as a tenth where they are asked for, else none.
    pub validation: Option<Images>,
    /// Held-out images.
    pub held_out: Images,
    /// [`Recipe::demo`] of this length, in small batches, on images as they are: so short a training does not
    /// overfit.
    pub recipe: Recipe,
    /// Number of seeds.
    pub seeds: usize,
    /// Accuracy of the linear classifier on pixels, the floor.
    pub linear_accuracy: f64,
}

impl ComparisonFlags {
    /// Draws the images, a tenth more of them if some are to be `held_back`.
    ///
    /// # Errors
    /// Those of [`DataArguments::draw`] and [`linear::accuracy`].
    pub fn material(&self, run: &Run, held_back: bool) -> Result<Material> {
        let images = run.count(200, self.images);
        let tenth = if held_back { images / 10 } else { 0 };
        let drawn = self
            .data
            .draw(Split::Train, Some(images + tenth), run.seed)?;
        let held_out = self
            .data
            .draw(Split::Test, run.quick.then_some(100), run.seed)?;
        let indices: Vec<usize> = (0..drawn.len()).collect();
        let (aside, rest) = indices.split_at(tenth.min(drawn.len() / 2));
        let (training, validation) = match held_back {
            false => (drawn, None),
            true => (drawn.subset(rest)?, Some(drawn.subset(aside)?)),
        };
        [&training]
            .into_iter()
            .chain(&validation)
            .for_each(|images| run.reads(images));
        run.reads(&held_out);
        Ok(Material {
            recipe: Recipe {
                epochs: run.count(1, self.epochs),
                batch: 64,
                augmentation: Augmentation::default(),
                ..Recipe::demo()
            },
            seeds: run.count(2, self.seeds),
            linear_accuracy: linear::accuracy(&training, &held_out)?,
            training,
            validation,
            held_out,
        })
    }
}

/// The labels that a variant is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Labels {
    /// Those of the images.
    #[default]
    True,
    /// The same in an order drawn by the seed, [`Images::permuted`].
    Permuted,
}

impl Labels {
    /// `images` with these labels, for a training from `seed`.
    pub fn of(self, images: &Images, seed: u64) -> Cow<'_, Images> {
        match self {
            Self::True => Cow::Borrowed(images),
            Self::Permuted => Cow::Owned(images.permuted(seed)),
        }
    }
}

/// What is trained: a network and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name, in rows and file names.
    pub name: String,
    /// The network.
    pub network: Config,
    /// How it is trained.
    pub recipe: Recipe,
    /// On which labels.
    pub labels: Labels,
}

impl Variant {
    /// `network`, trained by `recipe` on the images' own labels.
    pub fn new(name: impl Into<String>, network: Config, recipe: Recipe) -> Self {
        Self {
            name: name.into(),
            network,
            recipe,
            labels: Labels::True,
        }
    }

    /// This one under another name and but for `change`.
    pub fn but(&self, name: impl Into<String>, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        other.name = name.into();
        change(&mut other);
        other
    }

    /// The network before its training.
    ///
    /// # Errors
    /// Those of [`Classifier::new`].
    pub fn start(&self, seed: u64) -> Result<Classifier<f32, Cpu>> {
        Classifier::new(self.network, seed, &Cpu::default())
    }

    /// The name of its files from `seed`.
    fn file(&self, seed: u64) -> String {
        let plain = |c: char| if c == ' ' { '-' } else { c };
        let name: String = self.name.chars().filter(|c| *c != '^').map(plain).collect();
        format!("{name}-{seed}")
    }
}

/// The layers, width and four heads of a network of this project's own for `images`: [`Config::preset`] `demo`,
/// smaller.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if 4 does not divide `width`.
pub fn small_network(images: &Images, width: usize, depth: usize) -> Result<Config> {
    let [channels, height, long] = images.shape;
    let demo = Config::preset("demo")?.for_images(channels, [height, long], images.classes);
    Ok(Config {
        depth,
        ..demo.with_width(width, 4)?
    })
}

/// What all variants of a comparison share.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    /// Training images.
    pub images: &'a Images,
    /// Held-out images, looked at after every epoch.
    pub held_out: &'a Images,
    /// Seeds of start, order and augmentation.
    pub seeds: Range<u64>,
    /// Epochs after which a network is kept too, in rising order.
    pub stages: &'a [usize],
}

impl<'a> Comparison<'a> {
    /// From `count` seeds, the first of them `first`.
    pub fn new(images: &'a Images, held_out: &'a Images, first: u64, count: usize) -> Self {
        Self {
            images,
            held_out,
            seeds: first..first + count as u64,
            stages: &[],
        }
    }

    /// Optimiser steps of all trainings, for the progress bar of [`Networks::of`].
    pub fn steps(&self, variants: &[Variant]) -> usize {
        let steps = variants.iter().map(|variant| {
            let recipe = &variant.recipe;
            self.images.len().div_ceil(recipe.batch) * recipe.epochs
        });
        self.seeds.clone().count() * steps.sum::<usize>()
    }

    /// Trains every variant from every seed, seed by seed, or finds it trained among `networks`: what `row` makes of
    /// each, in that order. A network is let go as soon as its row is made.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`] if a number stops being one, [`crate::Error::Interrupted`] by Ctrl-C,
    /// [`crate::Error::Domain`] if the two sets of images have other classes, [`crate::Error::File`] if a state belongs
    /// to another run, [`crate::Error::Io`], [`crate::Error::Device`]; those of `row`.
    pub fn train<R>(
        &self,
        networks: &Networks,
        variants: &[Variant],
        mut row: impl FnMut(&Variant, u64, Trained) -> Result<R>,
    ) -> Result<Vec<R>> {
        let mut rows = Vec::with_capacity(variants.len() * self.seeds.clone().count());
        for seed in self.seeds.clone() {
            for variant in variants {
                let trained = self.train_one(networks, variant, seed)?;
                rows.push(row(variant, seed, trained)?);
            }
        }
        Ok(rows)
    }

    fn train_one(&self, networks: &Networks, variant: &Variant, seed: u64) -> Result<Trained> {
        let images = variant.labels.of(self.images, seed);
        let lesson = ClassifierTraining {
            images: &images,
            held_out: self.held_out,
            recipe: &variant.recipe,
            seed,
        };
        networks.train(
            &variant.file(seed),
            variant.start(seed)?,
            lesson,
            self.stages,
        )
    }
}

/// How one training ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Name of the variant.
    pub variant: String,
    /// Seed.
    pub seed: u64,
    /// Mean training loss over the last epoch, nats.
    pub training_loss: f64,
    /// Loss on the held-out images, nats.
    pub held_out_loss: f64,
    /// Fraction of the held-out images.
    pub accuracy: f64,
}

impl Training {
    /// Of `variant` from `seed`.
    pub fn of(variant: &Variant, seed: u64, trained: &Trained) -> Self {
        let last = trained.epochs.last();
        Self {
            variant: variant.name.clone(),
            seed,
            training_loss: last.map_or(f64::NAN, |epoch| epoch.training_loss),
            held_out_loss: last.map_or(f64::NAN, |epoch| epoch.held_out.loss),
            accuracy: trained.accuracy(),
        }
    }

    /// Its accuracy under its seed.
    pub fn scored(&self) -> (u64, f64) {
        (self.seed, self.accuracy)
    }
}

/// Values under their seeds.
pub type BySeed = Vec<(u64, f64)>;

/// Accuracies of the rows that `own` picks, in per cent.
pub fn accuracies<R>(rows: &[R], own: impl Fn(&R) -> bool, of: fn(&R) -> (u64, f64)) -> BySeed {
    let own = rows.iter().filter(|row| own(row)).map(of);
    own.map(|(seed, accuracy)| (seed, 100.0 * accuracy))
        .collect()
}

/// Mean and spread over the seeds.
pub fn over_seeds(values: &[(u64, f64)]) -> Summary {
    Summary::of(&values.iter().map(|v| v.1).collect::<Vec<_>>())
}

/// The mean over networks of values under their seeds, with its limits.
pub fn mean(values: &[(u64, f64)]) -> Measured {
    Measured::mean(
        Unit::Network,
        &values.iter().map(|v| v.1).collect::<Vec<_>>(),
    )
}

/// The mean over networks of what values have above `floor`, a number without uncertainty, with its limits.
pub fn above(values: &[(u64, f64)], floor: f64) -> Measured {
    let above = values.iter().map(|(seed, value)| (*seed, value - floor));
    mean(&above.collect::<Vec<_>>())
}

/// The mean of the differences `first - second`, seed by seed, with its limits; none unless both have the same seeds.
pub fn less(first: &[(u64, f64)], second: &[(u64, f64)]) -> Option<Measured> {
    let differences = paired_differences(first, second)?;
    Some(Measured::mean(Unit::Network, &differences))
}

/// The largest of several means over networks, each of them `read` off the differences of its own networks. It is at most
/// the largest of their upper limits, each at 95 %: it exceeds that only if the one that is largest exceeds its own. And at
/// least the largest of their lower limits, at a level that takes into account how many there are (Bonferroni). None
/// without a mean, or of single networks.
pub fn largest(differences: &[Vec<f64>], read: impl Fn(Measured) -> Measured) -> Option<Measured> {
    let summaries: Vec<Summary> = differences.iter().map(|own| Summary::of(own)).collect();
    let count = summaries.iter().map(|summary| summary.count).min()?;
    if count < 2 {
        return None;
    }
    let at = |tail: f64| -> Vec<Measured> {
        let of = |own: &Summary| {
            let limits = own.limits(tail);
            read(Measured::within(own.mean, limits, Unit::Network, own.count))
        };
        summaries.iter().map(of).collect()
    };
    let most = |numbers: &mut dyn Iterator<Item = f64>| numbers.reduce(f64::max);
    let (each, together) = (at(TAIL), at(TAIL / summaries.len() as f64));
    let value = most(&mut each.iter().map(|own| own.value))?;
    let high = most(&mut each.iter().filter_map(|own| Some(own.interval?[1])))?;
    let low = most(&mut together.iter().filter_map(|own| Some(own.interval?[0])))?;
    Some(Measured::within(value, [low, high], Unit::Network, count))
}

/// Lines of means with half of their 95 % intervals, `digits` after the point, under the names of the columns, for
/// people.
pub fn means(columns: &[&str], digits: usize, lines: &[(String, Vec<Summary>)]) -> String {
    let wide = lines.iter().map(|(name, _)| name.chars().count()).max();
    let wide = wide.unwrap_or(0);
    let cell = |summary: &Summary| match summary.count {
        0 | 1 => format!("{:.digits$}", summary.mean),
        _ => format!(
            "{:.digits$} +- {:.digits$}",
            summary.mean,
            summary.interval()
        ),
    };
    let cells: Vec<Vec<String>> = lines
        .iter()
        .map(|(_, found)| found.iter().map(cell).collect())
        .collect();
    let room = |column: usize| {
        let own = cells.iter().filter_map(|line| line.get(column));
        let widths = own
            .map(String::len)
            .chain([columns[column].chars().count()]);
        widths.max().unwrap_or(0)
    };
    let mut text = format!("\n{:wide$}", "");
    for (column, name) in columns.iter().enumerate() {
        text += &format!(" | {name:>0$}", room(column));
    }
    for ((name, _), line) in lines.iter().zip(&cells) {
        text += &format!("\n{name:>wide$}");
        for (column, cell) in line.iter().enumerate() {
            text += &format!(" | {cell:>0$}", room(column));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_another_but_for_its_change() {
        let plain = Variant::new("plain", Config::preset("demo").unwrap(), Recipe::demo());
        let frozen = plain.but("U^T frozen", |v| v.recipe.freeze.push("qkv.weight".into()));
        assert_eq!(frozen.recipe.freeze, ["qkv.weight"]);
        assert_eq!(frozen.file(3), "UT-frozen-3");
        let back = frozen.but("plain", |v| v.recipe.freeze.clear());
        assert_eq!(back, plain);
    }

    #[test]
    fn differences_are_taken_seed_by_seed() {
        let (first, second) = ([(0, 3.0), (1, 7.0)], [(1, 6.0), (0, 1.0)]);
        let found = less(&first, &second).unwrap();
        assert_eq!((found.value, found.count), (1.5, 2));
        assert_eq!(found.values, [2.0, 1.0]);
        assert_eq!(less(&first, &second[..1]), None);
    }

    #[test]
    fn the_largest_of_several_means_has_the_highest_of_their_limits() {
        // Two networks each: the limits of one degree of freedom, 6.3138 standard errors at 5 %, 12.706 at 2.5 %.
        let differences = [vec![0.8, 1.0], vec![-1.0, 2.0]];
        let found = largest(&differences, |difference| difference).unwrap();
        let [low, high] = found.interval.unwrap();
        assert!((found.value - 0.9).abs() < 1e-12 && found.count == 2);
        // Standard errors 0.1 and 1.5.
        assert!((high - (0.5 + 6.313_75 * 1.5)).abs() < 1e-3, "{high}");
        assert!((low - (0.9 - 12.706_2 * 0.1)).abs() < 1e-3, "{low}");
        // Sizes: the second may be as far below 0 as 0.5 - 9.4706.
        let sizes = largest(&differences, |difference| difference.size()).unwrap();
        let [low, high] = sizes.interval.unwrap();
        assert!((high - (0.5 + 6.313_75 * 1.5)).abs() < 1e-3 && low == 0.0);
        assert_eq!(largest(&[vec![1.0]], |difference| difference), None);
        assert_eq!(largest(&[], |difference| difference), None);
    }

    #[test]
    fn means_stand_under_their_names() {
        let lines = [
            ("linear".to_owned(), vec![Summary::of(&[80.0])]),
            ("CRATE".to_owned(), vec![Summary::of(&[84.0, 86.0])]),
        ];
        // Two values 2 apart: 12.706 standard errors of 1.
        let text = "\n       |       accuracy\nlinear |           80.0\n CRATE | 85.0 +- 12.7";
        let wanted: Vec<&str> = text.split(['\n', '|']).map(str::trim).collect();
        let found = means(&["accuracy"], 1, &lines);
        let found: Vec<&str> = found.split(['\n', '|']).map(str::trim).collect();
        assert_eq!(found, wanted);
    }
}
