//! The state of a training: taken up, it leads to the bytes of a training that was not interrupted.

use std::path::Path;
use std::time::Duration;

use dfdx::prelude::Cpu;
use whitebox::data::{procedural, Images, Split};
use whitebox::model::{Classifier, Config};
use whitebox::train::augment::Augmentation;
use whitebox::train::{train, Circumstances, Classify, Epoch, Observer, Recipe, Score};
use whitebox::{Error, Result};

use crate::Format;

const FILE: &str = "net.state";

/// Stops after so many steps.
struct Stop(usize, usize);

impl Observer<Classifier<f32, Cpu>, Score> for Stop {
    fn step(&mut self, step: usize, _: usize, _: f64) {
        self.1 = step;
    }

    fn epoch(&mut self, _: &[Epoch<Score>], _: &Classifier<f32, Cpu>) {}

    fn wants_to_stop(&self) -> bool {
        self.0 == self.1
    }
}

fn images() -> Images {
    procedural::gratings(4, 1, 8, Split::Train, 0).unwrap()
}

/// Trains for up to `steps` of 4 steps, and returns the parameters.
fn trained(state: &Path, steps: usize) -> Result<Vec<Vec<f32>>> {
    let config = Config {
        depth: 1,
        patch_size: [4; 2],
        ..Config::preset("demo")?.with_width(4, 2)?
    };
    let images = images();
    let config = config.for_images(1, [8, 8], images.classes);
    let recipe = Recipe {
        epochs: 2,
        batch: 2,
        ema: Some(0.5),
        augmentation: Augmentation::default(),
        ..Recipe::demo()
    };
    let mut network: Classifier<f32, Cpu> = Classifier::new(config, 0, &Cpu::default())?;
    let run = Circumstances {
        seed: 0,
        threads: 1,
        state_file: Some(state),
        save_every: Duration::from_secs(300),
    };
    let mut stop = Stop(steps, 0);
    let task = Classify::new(&config, &images, &images, &recipe);
    train(&mut network, &task, &recipe, &run, &mut stop)?;
    let parameters = network.parameters().into_iter();
    Ok(parameters.map(|found| found.values).collect())
}

pub(crate) fn format() -> Format {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let stopped = |steps: usize| {
        let _ = std::fs::remove_file(&path);
        let end = trained(&path, steps).unwrap_err();
        assert!(matches!(end, Error::Interrupted { .. }), "{end}");
        std::fs::read(&path).unwrap()
    };
    let valid = [1, 2, 3].map(stopped).to_vec();
    let _ = std::fs::remove_file(&path);
    let whole = trained(&path, usize::MAX).unwrap();
    Format {
        name: "training state",
        file: FILE,
        valid,
        read: Box::new(move |folder| {
            let found = trained(&folder.join(FILE), usize::MAX)?;
            assert!(found == whole, "another network");
            Ok(())
        }),
        memory: 16 << 20,
    }
}
