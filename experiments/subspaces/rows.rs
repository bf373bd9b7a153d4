//! What the weights say of the bases, layer by layer and network by network.

use dfdx::prelude::Cpu;
use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};
use whitebox::harness::layer_curves::Network;
use whitebox::measure::coherence::{alignment, coherence, overlap, Coherence};
use whitebox::measure::statistics::Summary;
use whitebox::model::block::{Block, Form};
use whitebox::model::operators::LayerOperators;
use whitebox::model::Classifier;
use whitebox::Result;

/// One layer of one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) network: Network,
    #[serde(default)]
    pub(crate) seed: u64,
    pub(crate) layer: usize,
    pub(crate) between_heads: f64,
    pub(crate) within_heads: f64,
    pub(crate) overlap: f64,
    /// Share of `U_k` in the span of `W_k`, and the cosine between the two, means over heads; none without an
    /// output projection.
    pub(crate) output_overlap: Option<f64>,
    pub(crate) output_cosine: Option<f64>,
}

pub(crate) fn rows(kind: Network, seed: u64, network: &Classifier<f32, Cpu>) -> Result<Vec<Row>> {
    let layers = network.layers().iter().enumerate();
    layers
        .map(|(layer, own)| {
            let operators = LayerOperators::of(own)?;
            let Coherence {
                between_heads,
                within_heads,
                overlap,
            } = coherence(operators.bases.view())?;
            let output = with_output(own.attention()?, operators.bases.view())?;
            Ok(Row {
                network: kind,
                seed,
                layer: layer + 1,
                between_heads,
                within_heads,
                overlap,
                output_overlap: output.map(|(overlap, _)| overlap),
                output_cosine: output.map(|(_, cosine)| cosine),
            })
        })
        .collect()
}

/// Share of `U_k` in the span of `W_k`, and cosine between the two, means over the heads of a layer.
fn with_output(
    attention: &Block<f32, Cpu>,
    bases: ArrayView3<'_, f64>,
) -> Result<Option<(f64, f64)>> {
    let Some(blocks) = attention.output_blocks()? else {
        return Ok(None);
    };
    let (mut share, mut cosine) = (Vec::new(), Vec::new());
    for (basis, block) in bases.outer_iter().zip(blocks.outer_iter()) {
        share.push(overlap(basis, block)?);
        cosine.push(alignment(basis, block));
    }
    Ok(Some((Summary::of(&share).mean, Summary::of(&cosine).mean)))
}

/// The rows of every trained or untrained network, by seed.
pub(crate) fn networks(found: &[Row], network: Network) -> Vec<&[Row]> {
    let all = found.chunk_by(|a, b| (a.network, a.seed) == (b.network, b.seed));
    all.filter(|rows| rows[0].network == network).collect()
}
