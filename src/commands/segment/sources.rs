//! Where the masks come from that are held against the objects: the network, and what knows less.

use dfdx::prelude::Cpu;
use ndarray::{Array2, Array3, ArrayView2};
use whitebox::measure::segmentation::benchmark::Predictions;
use whitebox::measure::segmentation::layer_scores::SHARE;
use whitebox::measure::segmentation::mask_cut::MaskCut;
use whitebox::measure::segmentation::{floors, head_maps};
use whitebox::model::{Classifier, Encoder};
use whitebox::{parallel, seed, Error, Result};

/// What they are called, in the order of [`Sources::of`].
pub(super) const NAMES: [&str; 5] = [
    "network",
    "untrained network",
    "smooth random maps",
    "centre disc",
    "everything",
];

/// How often features are drawn at random: pictures take turns with what MaskCut makes of them.
const DRAWS: usize = 16;

/// Features in each of these draws.
const FEATURES: usize = 64;

/// Deviation of the Gaussian that random maps and features are smoothed by, as a share of the side.
const SMOOTHNESS: f64 = 1.0 / 8.0;

pub(super) struct Sources {
    networks: [Classifier<f32, Cpu>; 2],
    /// From 1.
    layer: usize,
    heads: usize,
    mask_cut: MaskCut,
    seed: u64,
    /// What MaskCut makes of features that are smooth and random, by draw.
    random: Vec<Vec<Array2<bool>>>,
    disc: Predictions,
    everything: Predictions,
}

impl Sources {
    pub(super) fn new(
        network: Classifier<f32, Cpu>,
        layer: usize,
        mask_cut: MaskCut,
        seed: u64,
        threads: usize,
    ) -> Result<Self> {
        let grid = network.cut().grid();
        let (patches, scale) = (grid[0] * grid[1], scale(grid));
        let random = parallel::map(DRAWS, threads, |draw| {
            let mut rng = seed::stream(seed, &format!("smooth features {draw}"));
            // Their logarithms are normal numbers.
            let fields = floors::smooth_maps(FEATURES, grid, scale, &mut rng).mapv_into(f64::ln);
            let features = fields.into_shape_with_order((FEATURES, patches));
            let features = features.map_err(|e| Error::misfit("features", grid, &e))?;
            found(&mask_cut, features.t(), grid)
        })?;
        let area = (SHARE * patches as f64).round() as usize;
        Ok(Self {
            heads: network.heads()?,
            networks: [
                Classifier::new(*network.config(), seed, &Cpu::default())?,
                network,
            ],
            layer,
            mask_cut,
            seed,
            random,
            disc: Predictions::of_mask(floors::centre_disc(grid, area)),
            everything: Predictions::of_mask(Array2::from_elem(grid, true)),
        })
    }

    /// Of picture `index`, whose network input is `input`.
    pub(super) fn of(&self, index: usize, input: &[f32]) -> Result<[Predictions; 5]> {
        let [untrained, network] = &self.networks;
        let mut rng = seed::stream(self.seed, &format!("smooth maps {index}"));
        let grid = network.cut().grid();
        let smooth: Array3<f64> = floors::smooth_maps(self.heads, grid, scale(grid), &mut rng);
        Ok([
            self.looked_at(network, input)?,
            self.looked_at(untrained, input)?,
            Predictions::of_maps(&smooth, self.random[index % DRAWS].clone())?,
            self.disc.clone(),
            self.everything.clone(),
        ])
    }

    fn looked_at(&self, network: &Classifier<f32, Cpu>, input: &[f32]) -> Result<Predictions> {
        let mut shown = head_maps::of_layers(network, input, &[self.layer])?;
        // One layer was asked for.
        let shown = shown.remove(0);
        let found = found(&self.mask_cut, shown.keys.view(), network.cut().grid())?;
        Predictions::of_maps(&shown.maps, found)
    }
}

/// In patches; of a grid that is no square, by its shorter side.
fn scale([rows, columns]: [usize; 2]) -> f64 {
    SMOOTHNESS * rows.min(columns) as f64
}

fn found(
    mask_cut: &MaskCut,
    features: ArrayView2<'_, f64>,
    grid: [usize; 2],
) -> Result<Vec<Array2<bool>>> {
    let rounds = mask_cut.masks(features, grid)?;
    Ok(rounds.into_iter().map(|round| round.mask).collect())
}
