//! What one attention over one sequence costs, by number of tokens.

use std::time::Instant;

use ndarray::{Array2, Array3};
use peak_alloc::PeakAlloc;
use serde::{Deserialize, Serialize};

use super::trend::fit_line;
use crate::data::subspaces::{gaussian, orthogonal_bases};
use crate::error::Result;
use crate::exact::mssa::attention_update;
use crate::exact::tssa::{memberships, tssa};
use crate::fused;
use crate::fused::product::{Matrix, Panels};
use crate::mask::Mask;

/// An attention, as it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Token statistics attention, the reference in f64.
    Tssa,
    /// Subspace self-attention, the reference in f64, which makes the whole map.
    Mssa,
    /// Subspace self-attention by the kernels of the networks, in f32.
    FusedMssa,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tssa, Self::Mssa, Self::FusedMssa];

    /// The name in tables and charts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tssa => "TSSA, f64 reference",
            Self::Mssa => "MSSA, f64 reference",
            Self::FusedMssa => "MSSA, f32 kernels",
        }
    }
}

/// Tokens and bases, in the form that each operator takes.
#[derive(Debug, Clone)]
pub struct Operands {
    z: Array2<f64>,
    bases: Array3<f64>,
    /// Tokens as rows, and bases stacked as rows.
    rows: Vec<f32>,
    stacked: Vec<f32>,
    ones: Vec<f32>,
    zeros: Vec<f32>,
}

impl Operands {
    /// `tokens` Gaussian tokens of width `d`, and orthogonal bases of width `head_width`, which divides it.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if the bases cannot be orthogonalised.
    pub fn draw(seed: u64, d: usize, head_width: usize, tokens: usize) -> Result<Self> {
        let z = gaussian(seed, "cost", d, tokens);
        let bases = orthogonal_bases(seed, &format!("cost {d}"), d / head_width, head_width)?;
        let narrow = |v: &f64| *v as f32;
        Ok(Self {
            rows: z.t().iter().map(narrow).collect(),
            stacked: bases
                .outer_iter()
                .flat_map(|basis| basis.t().iter().map(narrow).collect::<Vec<_>>())
                .collect(),
            ones: vec![1.0; d],
            zeros: vec![0.0; d],
            z,
            bases,
        })
    }
}

impl Operator {
    /// Computes the attention once and throws its result away.
    pub fn apply(self, operands: &Operands) {
        let (z, bases) = (operands.z.view(), operands.bases.view());
        let (heads, _, p) = bases.dim();
        match self {
            Self::Tssa => {
                let pi = memberships(z, bases, 1.0);
                let n = z.ncols() as f64;
                std::hint::black_box(tssa(z, bases, pi.view(), 1.0, n));
            }
            Self::Mssa => {
                let scale = (p as f64).powf(-0.5);
                std::hint::black_box(attention_update(z, bases, scale));
            }
            Self::FusedMssa => {
                let stacked = Matrix::new(&operands.stacked, heads * p, z.nrows());
                let weights = fused::attention::Weights {
                    norm: fused::layer_norm::Weights {
                        gain: &operands.ones,
                        bias: &operands.zeros,
                        epsilon: 1e-5,
                    },
                    projection: &Panels::of(stacked.t()),
                    projection_bias: None,
                    output: None,
                    heads,
                    head_width: p,
                    roles: fused::attention::Roles::One,
                    mask: Mask::None,
                };
                let rows = fused::attention::forward(&operands.rows, z.ncols(), &weights);
                std::hint::black_box(rows);
            }
        }
    }
}

/// What one attention costs on one thread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    /// Which.
    pub operator: Operator,
    /// Width of a token.
    pub d: usize,
    /// Tokens of the sequence, N.
    pub tokens: usize,
    /// Median over the repeats.
    pub seconds: f64,
    /// Most bytes allocated at once beyond what there was before.
    pub peak_bytes: usize,
}

impl Cost {
    /// Applies `operator` `repeats` times, at least once. `allocated` has to be the global allocator of the
    /// program; else there is nothing to count, and the peak is 0.
    pub fn of(
        operator: Operator,
        operands: &Operands,
        repeats: usize,
        allocated: &PeakAlloc,
    ) -> Self {
        let mut seconds = Vec::new();
        let mut peak_bytes = 0;
        for _ in 0..repeats.max(1) {
            let before = allocated.current_usage();
            allocated.reset_peak_usage();
            let start = Instant::now();
            operator.apply(operands);
            seconds.push(start.elapsed().as_secs_f64());
            peak_bytes = allocated.peak_usage().saturating_sub(before);
        }
        seconds.sort_by(f64::total_cmp);
        let (d, tokens) = operands.z.dim();
        Self {
            operator,
            d,
            tokens,
            seconds: seconds[seconds.len() / 2],
            peak_bytes,
        }
    }
}

/// Slope of the logarithm of a cost against that of the number of tokens, over the four largest sizes, for one
/// operator at width `d`: 1 for what grows linearly. NaN for fewer than two sizes.
pub fn slope(costs: &[Cost], operator: Operator, d: usize, pick: fn(&Cost) -> f64) -> f64 {
    let own = costs.iter().filter(|c| c.operator == operator && c.d == d);
    let points: Vec<(f64, f64)> = own
        .map(|c| ((c.tokens as f64).ln(), pick(c).ln()))
        .collect();
    fit_line(&points[points.len().saturating_sub(4)..]).growth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(operator: Operator, power: i32, sizes: std::ops::Range<u32>) -> Vec<Cost> {
        let cost = |size: u32| {
            let tokens = 1usize << size;
            Cost {
                operator,
                d: 64,
                tokens,
                seconds: 1e-6 * (tokens as f64).powi(power),
                peak_bytes: 8 * tokens.pow(2),
            }
        };
        sizes.map(cost).collect()
    }

    #[test]
    fn slopes_are_the_powers_of_the_largest_four_sizes_of_one_operator() {
        let mut costs = made_up(Operator::Tssa, 1, 7..12);
        // Small sizes pay for what does not grow.
        costs[0].seconds = 1.0;
        costs.extend(made_up(Operator::Mssa, 2, 7..12));
        let of = |operator, pick| slope(&costs, operator, 64, pick);
        assert!((of(Operator::Tssa, |c| c.seconds) - 1.0).abs() < 1e-12);
        assert!((of(Operator::Mssa, |c| c.seconds) - 2.0).abs() < 1e-12);
        assert!((of(Operator::Tssa, |c| c.peak_bytes as f64) - 2.0).abs() < 1e-12);
        assert!(of(Operator::FusedMssa, |c| c.seconds).is_nan());
    }

    #[test]
    fn every_operator_runs_on_the_same_operands() {
        let operands = Operands::draw(0, 32, 16, 10).unwrap();
        for operator in Operator::ALL {
            let cost = Cost::of(operator, &operands, 3, &PeakAlloc);
            assert_eq!((cost.d, cost.tokens, cost.operator), (32, 10, operator));
            assert!(cost.seconds > 0.0);
        }
    }
}
