//! Are the dictionaries incoherent, and by training?

use dfdx::prelude::Cpu;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::harness::layer_curves::over_networks;
use whitebox::measure::coherence::{column_coherence, dictionary_incoherence};
use whitebox::model::operators::LayerOperators;
use whitebox::model::Classifier;
use whitebox::Result;

use super::Found;

const OVERVIEW: &str = "overview, arXiv 2311.13110";
const ISSUE: &str = "learned incoherence, quoted in the official repository's issue 18";

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-08",
        Source::of(OVERVIEW, ISSUE),
        Whose::Authors,
        "The columns of the learned dictionaries are incoherent",
        &[
            Criterion::at_most(
                "largest mean |cosine| between columns of D over layers, in units of 2 / sqrt(d)",
                1.0,
                |found: &Found| {
                    let unit = 2.0 / (found.settings.network.d as f64).sqrt();
                    Some(scaled(largest(found)?, unit))
                },
            ),
            Criterion::at_most(
                "mean |cosine| between columns: trained less untrained, mean over layers",
                0.0,
                |found: &Found| {
                    pairs(found, |pairs| {
                        mean(pairs, |own, control| {
                            Some(own.column_coherence? - control.column_coherence?)
                        })
                    })
                },
            )
            .control(),
        ],
    )
    .pilot_informed(),
    Claim::new(
        "C-LAY-08-training",
        Source::of(
            "derived by this project",
            "the stronger form of learned incoherence",
        ),
        Whose::Project,
        "Training makes the dictionaries more incoherent: D^T D nearer to a multiple of I",
        &[Criterion::at_most(
            "||D^T D - alpha I|| / ||D^T D||: trained less untrained, mean over layers",
            0.0,
            |found: &Found| {
                pairs(found, |pairs| {
                    mean(pairs, |own, control| {
                        Some(own.incoherence - control.incoherence)
                    })
                })
            },
        )],
    )
    .beside(&[Number::of(
        "fraction of layers more incoherent than before training",
        |found: &Found| {
            pairs(found, |pairs| {
                mean(pairs, |own, control| {
                    Some(f64::from(u8::from(own.incoherence < control.incoherence)))
                })
            })
        },
    )]),
];

/// What the weights alone say of a layer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Weights {
    #[serde(default)]
    pub(crate) seed: u64,
    layer: usize,
    /// `eta ||D||_2^2`.
    pub(crate) eta_lipschitz: f64,
    /// `||D^T D - alpha I||_F / ||D^T D||_F`.
    incoherence: f64,
    /// Mean |cosine| between columns of `D`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column_coherence: Option<f64>,
}

pub(crate) fn weights(seed: u64, network: &Classifier<f32, Cpu>) -> Result<Vec<Weights>> {
    let layers = network.layers().iter().enumerate();
    layers
        .map(|(index, layer)| {
            let operators = LayerOperators::of(layer)?;
            let ista = operators.sparsifier()?;
            Ok(Weights {
                seed,
                layer: index + 1,
                eta_lipschitz: ista.step_size * ista.lipschitz,
                incoherence: dictionary_incoherence(ista.dictionary.view()),
                column_coherence: Some(column_coherence(ista.dictionary.view())),
            })
        })
        .collect()
}

/// Over layers, of every trained network.
fn largest(found: &Found) -> Option<Vec<f64>> {
    let trained = found.trained.as_ref()?;
    let networks = trained.chunk_by(|a, b| a.seed == b.seed);
    let largest = networks.map(|own| {
        let all: Option<Vec<f64>> = own.iter().map(|w| w.column_coherence).collect();
        all?.into_iter().reduce(f64::max)
    });
    largest.collect()
}

fn scaled(values: Vec<f64>, unit: f64) -> Measured {
    let values: Vec<f64> = values.iter().map(|value| value / unit).collect();
    Measured::mean(Unit::Network, &values)
}

/// Over the layers of a network; none if one has no such number.
fn mean(pairs: &[(Weights, Weights)], of: fn(&Weights, &Weights) -> Option<f64>) -> Option<f64> {
    let all: Option<Vec<f64>> = pairs
        .iter()
        .map(|(own, control)| of(own, control))
        .collect();
    let all = all?;
    Some(all.iter().sum::<f64>() / all.len() as f64)
}

/// A number of the layers of every network, each after training and before.
fn pairs(found: &Found, of: fn(&[(Weights, Weights)]) -> Option<f64>) -> Option<Measured> {
    let both: Vec<(Weights, Weights)> = found
        .trained
        .iter()
        .flatten()
        .filter_map(|after| {
            let mut before = found.untrained.iter();
            let before = before.find(|w| (w.seed, w.layer) == (after.seed, after.layer))?;
            Some((*after, *before))
        })
        .collect();
    let networks: Vec<&[(Weights, Weights)]> =
        both.chunk_by(|(a, _), (b, _)| a.seed == b.seed).collect();
    over_networks(&networks, |own| of(own))
}
