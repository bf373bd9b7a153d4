//! Everything that fixes a training run apart from network, data and seed, and the files that hold it.

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::optimiser::{Decay, Method};
use super::penalty::Penalty;
use super::rand_augment::MAGNITUDES;
use crate::error::{Error, Result};

/// The recipes that the program carries: name, contents of its file.
const NAMED: [(&str, &str); 5] = [
    ("demo", include_str!("../../experiments/recipes/demo.toml")),
    (
        "imagenet-paper",
        include_str!("../../experiments/recipes/imagenet-paper.toml"),
    ),
    (
        "imagenet-readme",
        include_str!("../../experiments/recipes/imagenet-readme.toml"),
    ),
    (
        "imagenet-code",
        include_str!("../../experiments/recipes/imagenet-code.toml"),
    ),
    (
        "finetune",
        include_str!("../../experiments/recipes/finetune.toml"),
    ),
];

/// How the learning rate goes from epoch to epoch. `E` is the number of epochs, `W` those of warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// By step: linear up to the end of the warm-up, then half a cosine down to zero.
    Cosine,
    /// By epoch `e` from 0, as the official `main.py`: `min((e + 1) / W, (1 + cos(pi e / E)) / 2)`, the
    /// smaller of a ramp and a cosine that does not wait for it.
    Official,
    /// By epoch `e` from 0, as the official `finetune.py`, which sets its cosine by the epoch before the
    /// one just finished: `(1 + cos(pi (e - 2) / E)) / 2`, and 1 at first. No warm-up.
    LaggingCosine,
}

/// Everything that fixes a training run apart from network, data and seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// The rule of the updates.
    #[serde(default)]
    pub method: Method,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What it applies to.
    #[serde(default)]
    pub decay: Decay,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Epochs of warm-up.
    pub warmup_epochs: f64,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Gradients longer than this, over all parameters, are scaled down to it. The official code
    /// defines 1.0 and never uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// Decay of the exponential moving average of the weights that is evaluated and kept in their place;
    /// none: the weights themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Parameters that stay as they are: those whose official name contains one of these. Neither weight decay
    /// nor clipping sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Random changes to training images.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Training ends after the first epoch whose mean loss is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at_loss: Option<f64>,
    /// What the objective holds besides the cross-entropy. Not part of the losses that are reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<Penalty>,
}

impl Recipe {
    /// The recipe of the networks that ship with this project, for small images.
    pub fn demo() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            method: Method::AdamW,
            learning_rate: 1e-3,
            weight_decay: 0.05,
            decay: Decay::All,
            schedule: Schedule::Cosine,
            warmup_epochs: 0.5,
            label_smoothing: 0.1,
            gradient_clip: None,
            ema: None,
            freeze: Vec::new(),
            stop_at_loss: None,
            penalty: None,
            augmentation: Augmentation {
                shift: 2,
                flip: true,
                ..Augmentation::default()
            },
        }
    }

    /// The recipe `name`, or that in the TOML file of this name, with `changes` of the form
    /// `key=value`, where a key may be `augmentation.flip` and a value is written as in TOML.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the recipe, the change, or a setting out of range; [`Error::Io`] and
    /// [`Error::File`] for a file.
    pub fn read(name: &str, changes: &[String]) -> Result<Self> {
        let named = NAMED.iter().find(|(known, _)| *known == name);
        let path = Path::new(name);
        let text = match named {
            Some((_, text)) => (*text).to_owned(),
            None if path.extension().is_some_and(|e| e == "toml") => std::fs::read_to_string(path)
                .map_err(|e| Error::io("read", path, e, "name a recipe that exists"))?,
            None => {
                return Err(Error::argument(
                    "`recipe`",
                    format!("a file NAME.toml, or one of {}", Self::names().join(", ")),
                    name,
                    "choose one",
                ))
            }
        };
        let refused = |e: toml::de::Error| {
            Error::file(
                path,
                "a recipe",
                e.message().trim().replace('\n', ", "),
                "see the recipes in experiments/recipes",
            )
        };
        let mut table: toml::Table = text.parse().map_err(refused)?;
        for change in changes {
            set(&mut table, change)?;
        }
        let recipe: Self = table.try_into().map_err(|e| match changes {
            [] => refused(e),
            changes => Error::argument(
                "`set`",
                "settings of a recipe",
                format!("{} ({})", changes.join(" "), e.message().trim()),
                "see the recipes in experiments/recipes",
            ),
        })?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Names that [`Recipe::read`] knows.
    pub fn names() -> Vec<&'static str> {
        NAMED.iter().map(|(name, _)| *name).collect()
    }

    /// Learning rate of batch `index` of `epoch`, both from 0, with `per_epoch` batches in each.
    pub fn learning_rate_at(&self, epoch: usize, index: usize, per_epoch: usize) -> f64 {
        let half_cosine = |progress: f64| 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        let (e, epochs) = (epoch as f64, self.epochs as f64);
        let factor = match self.schedule {
            Schedule::Cosine => {
                let per_epoch = per_epoch as f64;
                let (step, steps) = (e * per_epoch + index as f64, epochs * per_epoch);
                let warmup = self.warmup_epochs * per_epoch;
                if step < warmup {
                    (step + 1.0) / (warmup + 1.0)
                } else {
                    half_cosine((step - warmup) / (steps - warmup).max(1.0))
                }
            }
            Schedule::Official => {
                let ramp = (e + 1.0) / self.warmup_epochs;
                ramp.min(half_cosine(e / epochs))
            }
            Schedule::LaggingCosine if epoch == 0 => 1.0,
            Schedule::LaggingCosine => half_cosine((e - 2.0) / epochs),
        };
        self.learning_rate * factor
    }

    /// Refuses values outside their range.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn check(&self) -> Result<()> {
        let setting = |name: &str, value: f64, valid: bool, wanted: &str| {
            if valid {
                return Ok(());
            }
            Err(Error::argument(
                name,
                wanted,
                value.to_string(),
                format!("change it with `set` {name}=VALUE"),
            ))
        };
        let finite = |value: f64| value.is_finite() && value >= 0.0;
        let (epochs, batch) = (self.epochs as f64, self.batch as f64);
        setting("epochs", epochs, self.epochs > 0, "at least 1")?;
        setting("batch", batch, self.batch > 0, "at least 1")?;
        let rate = self.learning_rate;
        setting("learning_rate", rate, finite(rate), "a number >= 0")?;
        let decay = self.weight_decay;
        setting("weight_decay", decay, finite(decay), "a number >= 0")?;
        let warmup = self.warmup_epochs;
        setting("warmup_epochs", warmup, finite(warmup), "a number >= 0")?;
        let smoothing = self.label_smoothing;
        let valid = (0.0..1.0).contains(&smoothing);
        setting("label_smoothing", smoothing, valid, "in [0, 1)")?;
        let clip = self.gradient_clip.unwrap_or(1.0);
        setting(
            "gradient_clip",
            clip,
            finite(clip) && clip > 0.0,
            "a number > 0",
        )?;
        let ema = self.ema.unwrap_or(0.0);
        setting("ema", ema, (0.0..1.0).contains(&ema), "in [0, 1)")?;
        if let Some(penalty) = self.penalty {
            let (weight, epsilon) = (penalty.weight, penalty.epsilon);
            setting("penalty.weight", weight, weight.is_finite(), "a number")?;
            let valid = finite(epsilon) && epsilon > 0.0;
            setting("penalty.epsilon", epsilon, valid, "a number > 0")?;
            let layer = penalty.layer;
            setting("penalty.layer", layer as f64, layer > 0, "at least 1")?;
        }
        if let Some(crop) = self.augmentation.crop {
            let [least, most] = crop.scale;
            let valid = 0.0 < least && least <= most && most <= 1.0;
            setting(
                "augmentation.crop.scale",
                least,
                valid,
                "0 < FROM <= TO <= 1",
            )?;
            let [least, most] = crop.ratio;
            let valid = 0.0 < least && least <= most && most.is_finite();
            setting("augmentation.crop.ratio", least, valid, "0 < FROM <= TO")?;
        }
        if let Some(found) = self.augmentation.rand_augment {
            let name = "augmentation.rand_augment.magnitude";
            let magnitude = found.magnitude;
            setting(name, magnitude as f64, magnitude < MAGNITUDES, "0 to 30")?;
        }
        Ok(())
    }
}

/// Carries out `key=value`.
fn set(table: &mut toml::Table, change: &str) -> Result<()> {
    let refused = |got: &str| {
        Error::argument(
            "`set`",
            "KEY=VALUE, as learning_rate=1e-4 or augmentation.flip=false",
            got,
            "see the recipes in experiments/recipes",
        )
    };
    let (key, value) = change.split_once('=').ok_or_else(|| refused(change))?;
    let (key, value) = (key.trim(), value.trim());
    // A bare word is a string: schedule=cosine.
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut parts: Vec<&str> = key.split('.').collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty()) else {
        return Err(refused(change));
    };
    let mut place = table;
    for part in parts {
        let entry = place
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = entry.as_table_mut().ok_or_else(|| refused(change))?;
    }
    // "none" takes a setting out.
    if value.as_str() == Some("none") {
        place.remove(last);
    } else {
        // A whole number where a fraction is meant: weight_decay=0.
        let value = match (place.get(last), value) {
            (Some(toml::Value::Float(_)), toml::Value::Integer(n)) => toml::Value::Float(n as f64),
            (_, value) => value,
        };
        place.insert(last.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::augment::RandomResizedCrop;
    use crate::train::rand_augment::RandAugment;

    fn rates(recipe: &Recipe, per_epoch: usize) -> Vec<f64> {
        (0..recipe.epochs * per_epoch)
            .map(|step| recipe.learning_rate_at(step / per_epoch, step % per_epoch, per_epoch))
            .collect()
    }

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let recipe = Recipe {
            learning_rate: 1.0,
            warmup_epochs: 2.0,
            ..Recipe::demo()
        };
        let rates = rates(&recipe, 10);
        assert!(rates[..20].windows(2).all(|w| w[0] < w[1]));
        assert!(rates[20..].windows(2).all(|w| w[0] > w[1]));
        assert_eq!(rates[20], 1.0);
        assert!(rates[99] < 1e-2);
    }

    #[test]
    fn the_official_schedules_are_those_that_the_official_programs_print() {
        // LambdaLR of main.py and CosineAnnealingLR.step(epoch - 1) of finetune.py in PyTorch 2.15.
        let main = Recipe::read("imagenet-code", &["learning_rate=1.0".into()]).unwrap();
        let rates = |recipe: &Recipe, epochs: &[usize]| -> Vec<f64> {
            let rate = |&e: &usize| recipe.learning_rate_at(e, 7, 100);
            epochs.iter().map(rate).collect()
        };
        let close = |found: Vec<f64>, expected: &[f64]| {
            let far = found
                .iter()
                .zip(expected)
                .any(|(a, b)| (a - b).abs() > 1e-12);
            assert!(!far, "{found:?}");
        };
        close(
            rates(&main, &[0, 18, 19, 45, 89]),
            &[
                0.05,
                0.9045084971874737,
                0.8940053768033609,
                0.5,
                0.00030458649045211894,
            ],
        );
        let tune = ["learning_rate=1.0".to_owned(), "epochs=10".to_owned()];
        let tune = Recipe::read("finetune", &tune).unwrap();
        close(
            rates(&tune, &[0, 1, 2, 3, 9]),
            &[
                1.0,
                0.9755282581475768,
                1.0,
                0.9755282581475768,
                0.20610737385376343,
            ],
        );
    }

    #[test]
    fn every_recipe_reads_and_demo_is_the_one_in_its_file() {
        for name in Recipe::names() {
            Recipe::read(name, &[]).unwrap();
        }
        assert_eq!(Recipe::read("demo", &[]).unwrap(), Recipe::demo());
        let tune = Recipe::read("finetune", &[]).unwrap().augmentation;
        assert_eq!(tune.rand_augment, Some(RandAugment::default()));
        assert_eq!(tune.crop, Some(RandomResizedCrop::default()));
    }

    #[test]
    fn settings_change_one_by_one() {
        let changes = [
            "learning_rate=3e-4",
            "weight_decay=0",
            "method=lion",
            "augmentation.flip=false",
            "augmentation.rand_augment.magnitude=5",
            "gradient_clip=1.0",
        ];
        let changes: Vec<String> = changes.map(str::to_owned).to_vec();
        let recipe = Recipe::read("demo", &changes).unwrap();
        assert_eq!((recipe.learning_rate, recipe.weight_decay), (3e-4, 0.0));
        assert_eq!(recipe.method, Method::Lion);
        assert!(!recipe.augmentation.flip);
        assert_eq!(recipe.augmentation.rand_augment.unwrap().magnitude, 5);
        assert_eq!(recipe.gradient_clip, Some(1.0));
        let no_crop = Recipe::read("finetune", &["augmentation.crop=none".into()]).unwrap();
        assert_eq!(no_crop.augmentation.crop, None);
    }

    #[test]
    fn a_setting_that_no_recipe_has_is_named() {
        for (change, word) in [
            ("epoch=3", "epoch"),
            ("epochs", "epochs"),
            ("label_smoothing=1.5", "label_smoothing"),
            ("augmentation.rand_augment.magnitude=31", "magnitude"),
            ("learning_rate=nan", "learning_rate"),
            ("ema=1.0", "ema"),
            ("schedule=linear", "linear"),
        ] {
            let error = Recipe::read("demo", &[change.to_owned()]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(Recipe::read("paper", &[])
            .unwrap_err()
            .to_string()
            .contains("imagenet-paper"));
    }
}
