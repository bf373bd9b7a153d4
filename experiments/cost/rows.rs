//! Networks, counted and timed.

use std::time::Instant;

use dfdx::prelude::Cpu;
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use whitebox::harness::run::Run;
use whitebox::measure::statistics::median;
use whitebox::model::{Classifier, Config};
use whitebox::{seed, train, Result};

use super::{Found, Kind, Settings};

/// The official loss.
const OBJECTIVE: train::Objective = train::Objective {
    smoothing: 0.1,
    penalty: None,
};

/// A network of one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The CRATE that it is, or is beside.
    pub(crate) size: String,
    pub(crate) kind: Kind,
    pub(crate) d: usize,
    pub(crate) tokens: usize,
    pub(crate) parameters: usize,
    /// For one picture.
    pub(crate) multiply_adds: usize,
    /// A forward pass of one picture on one thread, over that of the CRATE of the size in the same turn; median.
    pub(crate) forward: f64,
    /// Loss and gradients of one picture, likewise.
    pub(crate) backward: f64,
    /// Median.
    pub(crate) forward_seconds: f64,
    /// Median.
    pub(crate) backward_seconds: f64,
}

/// A network with a picture.
struct Subject {
    network: Classifier<f32, Cpu>,
    picture: Vec<f32>,
}

impl Subject {
    fn new(config: Config, seed: u64) -> Result<Self> {
        let mut rng = seed::stream(seed, "picture");
        let numbers = config.patches() * config.patch_width();
        Ok(Self {
            network: Classifier::new(config, seed, &Cpu::default())?,
            picture: (0..numbers).map(|_| rng.sample(StandardNormal)).collect(),
        })
    }

    /// Seconds of a forward pass, and of loss and gradients.
    fn seconds(&self) -> Result<[f64; 2]> {
        let start = Instant::now();
        std::hint::black_box(self.network.forward_on(&self.picture, 1)?);
        let forward = start.elapsed();
        let picture = |_| Ok(self.picture.clone());
        let start = Instant::now();
        let made = train::gradients(&self.network, &[0], OBJECTIVE, 1, picture)?;
        std::hint::black_box(made);
        Ok([forward, start.elapsed()].map(|time| time.as_secs_f64()))
    }
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Row>> {
    let networks = &settings.networks;
    let bar = run.progress((settings.turns + 1) * networks.len());
    let mut rows = Vec::new();
    for group in networks.chunk_by(|a, b| a.0 == b.0) {
        let subjects = group
            .iter()
            .map(|(.., config)| Subject::new(*config, run.seed));
        let subjects: Vec<Subject> = subjects.collect::<Result<_>>()?;
        let mut turns = Vec::new();
        for turn in 0..=settings.turns {
            let mut seconds = Vec::new();
            for subject in &subjects {
                seconds.push(subject.seconds()?);
                bar.inc(1);
            }
            // The first turn pays for what is made once.
            if turn > 0 {
                turns.push(seconds);
            }
        }
        let crates = group.iter().position(|(_, kind, _)| *kind == Kind::Crate);
        let crates = crates.unwrap_or_default();
        for (index, (size, kind, config)) in group.iter().enumerate() {
            let seconds = |way: usize| median_of(&turns, |turn| turn[index][way]);
            let over = |way: usize| median_of(&turns, |turn| turn[index][way] / turn[crates][way]);
            rows.push(Row {
                size: size.clone(),
                kind: *kind,
                d: config.d,
                tokens: config.tokens(),
                parameters: config.parameters(),
                multiply_adds: config.multiply_adds(),
                forward: over(0),
                backward: over(1),
                forward_seconds: seconds(0),
                backward_seconds: seconds(1),
            });
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn median_of(turns: &[Vec<[f64; 2]>], of: impl Fn(&Vec<[f64; 2]>) -> f64) -> f64 {
    median(&turns.iter().map(of).collect::<Vec<_>>())
}

pub(crate) fn table(found: &Found) -> String {
    let mut text = format!(
        "\nOne picture of 224 pixels, one thread; times over CRATE's of the size.\n\n{:<12} {:<30} {:>5} {:>11} {:>14} \
         {:>8} {:>9}",
        "size", "network", "d", "parameters", "multiply-adds", "forward", "backward"
    );
    for row in &found.results {
        let name = match row.kind {
            Kind::Crate => "CRATE",
            Kind::AsWide => "ViT, as wide",
            Kind::AsLarge => "ViT, as many parameters",
        };
        text += &format!(
            "\n{:<12} {name:<30} {:>5} {:>9.2} M {:>12.2} G {:>8.2} {:>9.2}",
            row.size,
            row.d,
            row.parameters as f64 * 1e-6,
            row.multiply_adds as f64 * 1e-9,
            row.forward,
            row.backward
        );
    }
    text
}
