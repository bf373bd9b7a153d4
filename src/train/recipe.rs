//! Everything that fixes a training run apart from network, data and seed, and the files that hold it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::clip::ClipBy;
use super::masking::Masking;
use super::optimiser::{Decay, Method, Optimiser};
use super::penalty::Penalty;
use super::rand_augment::MAGNITUDES;
use super::schedule::{cosine, Ramp, Schedule};
use crate::error::{Error, Result};
use crate::model::{Network, Runtime};

/// The recipes that the program carries: name, contents of its file.
const NAMED: [(&str, &str); 7] = [
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
    (
        "mae-demo",
        include_str!("../../experiments/recipes/mae-demo.toml"),
    ),
    ("mae", include_str!("../../experiments/recipes/mae.toml")),
];

/// Everything that fixes a training run apart from network, data and seed. Augmentation is for pictures,
/// label smoothing and penalty for their labels, masking for autoencoders; other tasks do not read them.
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
    /// How much of the moments a step keeps, first and second; none: [`Method::betas`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 2]>,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Where the cosine by step ends; none: at zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate_floor: Option<f64>,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Where it goes, by step on half a cosine; none: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay_end: Option<f64>,
    /// What it applies to.
    #[serde(default)]
    pub decay: Decay,
    /// What it does not apply to in any case: parameters whose official name contains one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_decay: Vec<String>,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Epochs of warm-up.
    pub warmup_epochs: f64,
    /// Steps of warm-up of the cosine by step, in place of epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    /// Form of that warm-up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup_ramp: Ramp,
    /// Label smoothing.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Gradients longer than this are scaled down to it. The official code defines 1.0 and never uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// The gradients whose length that is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gradient_clip_by: ClipBy,
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
    /// What an autoencoder does not see of its pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masking: Option<Masking>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Recipe {
    /// The recipe of the networks that ship with this project, for small images.
    pub fn demo() -> Self {
        Self {
            epochs: 10,
            batch: 128,
            method: Method::AdamW,
            betas: None,
            learning_rate: 1e-3,
            learning_rate_floor: None,
            weight_decay: 0.05,
            weight_decay_end: None,
            decay: Decay::All,
            no_decay: Vec::new(),
            schedule: Schedule::Cosine,
            warmup_epochs: 0.5,
            warmup_steps: None,
            warmup_ramp: Ramp::Open,
            label_smoothing: 0.1,
            gradient_clip: None,
            gradient_clip_by: ClipBy::Norm,
            ema: None,
            freeze: Vec::new(),
            stop_at_loss: None,
            penalty: None,
            masking: None,
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
        let (largest, floor) = (
            self.learning_rate,
            self.learning_rate_floor.unwrap_or_default(),
        );
        let (e, epochs) = (epoch as f64, self.epochs as f64);
        match self.schedule {
            Schedule::Cosine => {
                let per_epoch = per_epoch as f64;
                let (step, steps) = (e * per_epoch + index as f64, epochs * per_epoch);
                let warmup = self.warmup_epochs * per_epoch;
                let warmup = self.warmup_steps.map_or(warmup, |steps| steps as f64);
                if step < warmup {
                    largest * self.warmup_ramp.at(step, warmup)
                } else {
                    cosine(largest, floor, (step - warmup) / (steps - warmup).max(1.0))
                }
            }
            Schedule::Official => {
                let ramp = (e + 1.0) / self.warmup_epochs;
                largest * ramp.min(cosine(1.0, 0.0, e / epochs))
            }
            Schedule::LaggingCosine if epoch == 0 => largest,
            Schedule::LaggingCosine => largest * cosine(1.0, 0.0, (e - 2.0) / epochs),
        }
    }

    /// Weight decay of batch `index` of `epoch`, both from 0, with `per_epoch` batches in each.
    pub fn weight_decay_at(&self, epoch: usize, index: usize, per_epoch: usize) -> f64 {
        let Some(end) = self.weight_decay_end else {
            return self.weight_decay;
        };
        let (step, steps) = (epoch * per_epoch + index, self.epochs * per_epoch);
        cosine(self.weight_decay, end, step as f64 / steps as f64)
    }

    /// The optimiser of `network`, before the first step.
    ///
    /// # Errors
    /// [`Error::Argument`] with a name in `freeze` or `no_decay` that no parameter of the network contains.
    pub fn optimiser<N: Network<f32, D>, D: Runtime<f32>>(&self, network: &N) -> Result<Optimiser> {
        let betas = self.betas.unwrap_or(self.method.betas());
        Optimiser::new(self.method, self.weight_decay, self.decay)
            .with_betas(betas)
            .freezing(network, &self.freeze)?
            .sparing(network, &self.no_decay)
    }

    /// Refuses values outside their range.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the setting.
    pub fn check(&self) -> Result<()> {
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
        self.check_course()?;
        let ema = self.ema.unwrap_or(0.0);
        setting("ema", ema, (0.0..1.0).contains(&ema), "in [0, 1)")?;
        let ratio = self.masking.unwrap_or_default().ratio;
        let valid = (0.0..1.0).contains(&ratio);
        setting("masking.ratio", ratio, valid, "in [0, 1)")?;
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

    /// The same of moments, warm-up, floor, course of the weight decay and form of the clipping.
    fn check_course(&self) -> Result<()> {
        for beta in self.betas.into_iter().flatten() {
            setting("betas", beta, (0.0..1.0).contains(&beta), "two in [0, 1)")?;
        }
        if let Some(end) = self.weight_decay_end {
            setting("weight_decay_end", end, finite(end), "a number >= 0")?;
        }
        let cosine = self.schedule == Schedule::Cosine;
        if let Some(floor) = self.learning_rate_floor {
            let valid = cosine && finite(floor) && floor <= self.learning_rate;
            let wanted = "at most `learning_rate`, with `schedule` cosine";
            setting("learning_rate_floor", floor, valid, wanted)?;
        }
        if let Some(steps) = self.warmup_steps {
            let valid = cosine && self.warmup_epochs == 0.0;
            let wanted = "none but with `schedule` cosine and `warmup_epochs` 0";
            setting("warmup_steps", steps as f64, valid, wanted)?;
        }
        let refused = |name: &str, wanted: &str, got: &str| {
            let remedy = format!("change it with `set` {name}=VALUE");
            Err(Error::argument(name, wanted, got, remedy))
        };
        if !cosine && self.warmup_ramp != Ramp::default() {
            return refused("warmup_ramp", "open but with `schedule` cosine", "another");
        }
        if self.gradient_clip.is_none() && self.gradient_clip_by != ClipBy::default() {
            return refused("gradient_clip_by", "a `gradient_clip` with it", "none");
        }
        Ok(())
    }
}

/// Refuses a setting that is not `valid`.
fn setting(name: &str, value: f64, valid: bool, wanted: &str) -> Result<()> {
    if valid {
        return Ok(());
    }
    Err(Error::argument(
        name,
        wanted,
        value.to_string(),
        format!("change it with `set` {name}=VALUE"),
    ))
}

fn finite(value: f64) -> bool {
    value.is_finite() && value >= 0.0
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
    fn the_schedules_of_nanogpt_mae_and_dino_are_theirs() {
        let recipe = |changes: &[&str]| {
            let own = ["learning_rate=1e-3", "epochs=10", "warmup_epochs=0"];
            let changes = own.iter().chain(changes);
            let changes: Vec<String> = changes.map(|&change| change.to_owned()).collect();
            Recipe::read("demo", &changes).unwrap()
        };
        let close = |recipe: &Recipe, steps: &[usize], expected: &[f64]| {
            for (step, expected) in steps.iter().zip(expected) {
                let found = recipe.learning_rate_at(step / 10, step % 10, 10);
                assert!(
                    (found - expected).abs() < 1e-15,
                    "{step}: {found} {expected}"
                );
            }
        };
        let half = std::f64::consts::FRAC_1_SQRT_2;
        // nanoGPT: get_lr(it) with warmup_iters 20, lr_decay_iters 100, min_lr 1e-4.
        let nano = recipe(&["warmup_steps=20", "learning_rate_floor=1e-4"]);
        let quarter = 1e-4 + 0.5 * (1.0 + half) * 9e-4;
        let rates = [1e-3 / 21.0, 1e-3 * 20.0 / 21.0, 1e-3, quarter, 5.5e-4];
        close(&nano, &[0, 19, 20, 40, 60], &rates);
        // MAE: adjust_learning_rate by fractional epoch, 2 of 10 of warm-up, min_lr 0.
        let mae = recipe(&["warmup_epochs=2", "warmup_ramp=from-zero"]);
        let rates = [0.0, 0.95e-3, 1e-3, 0.5e-3 * (1.0 + half), 0.5e-3];
        close(&mae, &[0, 19, 20, 40, 60], &rates);
        // DINO: cosine_scheduler(1e-3, 1e-6, 10, 10, warmup_epochs=2).
        let dino = [
            "warmup_epochs=2",
            "warmup_ramp=closed",
            "learning_rate_floor=1e-6",
            "weight_decay=0.04",
            "weight_decay_end=0.4",
        ];
        let dino = recipe(&dino);
        let rates = [0.0, 1e-3 / 19.0, 1e-3, 1e-3, 1e-6 + 0.5 * 0.999e-3];
        close(&dino, &[0, 1, 19, 20, 60], &rates);
        // cosine_scheduler(0.04, 0.4, 10, 10).
        let decays = [0.04, 0.4 - 0.18 * (1.0 + half), 0.22];
        for (step, expected) in [0, 25, 50].into_iter().zip(decays) {
            let found = dino.weight_decay_at(step / 10, step % 10, 10);
            assert!((found - expected).abs() < 1e-15, "{step}: {found}");
        }
        assert_eq!(nano.weight_decay_at(7, 3, 10), 0.05);
    }

    #[test]
    fn settings_that_are_not_used_are_not_written() {
        let written = serde_json::to_value(Recipe::demo()).unwrap();
        let keys: Vec<&str> = written.as_object().unwrap().keys().map(|k| &**k).collect();
        let mut expected = [
            "epochs",
            "batch",
            "method",
            "learning_rate",
            "weight_decay",
            "decay",
            "schedule",
            "warmup_epochs",
            "label_smoothing",
            "augmentation",
        ];
        let mut keys = keys;
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
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
            ("masking.ratio=1.0", "masking.ratio"),
            ("schedule=linear", "linear"),
            ("betas=[0.9, 1.0]", "betas"),
            ("betas=[0.9]", "array"),
            ("learning_rate_floor=0.1", "learning_rate_floor"),
            ("weight_decay_end=-1.0", "weight_decay_end"),
            ("warmup_steps=100", "warmup_steps"),
            ("decay=three-axes", "three-axes"),
            ("gradient_clip_by=tensor", "gradient_clip_by"),
        ] {
            let error = Recipe::read("demo", &[change.to_owned()]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
        for change in [
            "learning_rate_floor=0.0",
            "warmup_ramp=closed",
            "warmup_steps=1",
        ] {
            let error = Recipe::read("finetune", &[change.to_owned()]).unwrap_err();
            let name = change.split('=').next().unwrap();
            assert!(error.to_string().starts_with(name), "{error}");
        }
        assert!(Recipe::read("paper", &[])
            .unwrap_err()
            .to_string()
            .contains("imagenet-paper"));
    }
}
