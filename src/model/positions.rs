//! Positions for another grid of patches than the one a network was made for: interpolated from its own table, whether
//! that is learned or fixed.
//!
//! Two conventions are published, and at other sizes than the network's own they give other tokens (see [`Positions`]).
//! The interpolation is always that of the table a network came with: what was interpolated twice is another table.

use super::parameters::Values;
use super::{Network, Runtime};
use crate::error::Result;

/// Sharpness of the bicubic kernel, as in PyTorch's `interpolate`.
const CUBIC: f64 = -0.75;

/// What [`Positions::Official`] adds to the number of patches along a side.
const NUDGE: f64 = 0.1;

/// Where in a table of `m` positions along a side the `i`-th of `n` new ones is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Positions {
    /// At `(i + 1/2) m / (n + 0.1) - 1/2`: CRATE's code for attention maps and segmentation, after DINO's, which asks
    /// PyTorch for a factor with a little added against rounding, and reads by that factor.
    #[default]
    Official,
    /// At `(i + 1/2) m / n - 1/2`: timm and MAE, which ask for a size, and fine-tuning here.
    Timm,
}

impl Positions {
    /// Positions (1 + rows columns, d) for another grid, given by rows and columns: the class token's stays, those of the
    /// patches are interpolated bicubically, axis by axis. For the same grid they are as they were.
    ///
    /// # Shapes
    /// values (1 + rows columns, d) of the grid `from`, row-major; gives the same of the grid `to`.
    pub fn interpolate(
        self,
        values: &[f32],
        from: [usize; 2],
        to: [usize; 2],
        d: usize,
    ) -> Vec<f32> {
        if from == to {
            return values.to_vec();
        }
        let (class, patches) = values.split_at(d);
        // Columns first: (rows, columns, d), then rows: (1, rows, columns d).
        let wide = self.along_axis(patches, from[1], to[1], d);
        let both = self.along_axis(&wide, from[0], to[0], to[1] * d);
        [class, &both].concat()
    }

    /// Interpolates the middle axis of (outer, from, inner) to (outer, to, inner).
    fn along_axis(self, values: &[f32], from: usize, to: usize, inner: usize) -> Vec<f32> {
        let length = match self {
            Self::Official => to as f64 + NUDGE,
            Self::Timm => to as f64,
        };
        let mut result = Vec::with_capacity(values.len() / from * to);
        for outer in values.chunks_exact(from * inner) {
            for index in 0..to {
                // Centres of pixels, `align_corners = false`.
                let centre = (index as f64 + 0.5) * from as f64 / length - 0.5;
                let first = centre.floor();
                let taps: [(usize, f64); 4] = std::array::from_fn(|tap| {
                    let at = first + tap as f64 - 1.0;
                    (
                        at.clamp(0.0, (from - 1) as f64) as usize,
                        cubic(centre - at),
                    )
                });
                result.extend((0..inner).map(|i| {
                    let parts = taps.map(|(at, weight)| weight * f64::from(outer[at * inner + i]));
                    parts.iter().sum::<f64>() as f32
                }));
            }
        }
        result
    }

    /// Fills `blank` with the parameters of `network`, whose tables of positions, called `tables`, are interpolated from
    /// one grid to the other.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] if the two networks differ in more than their grid.
    pub(super) fn fill<D: Runtime<f32>, N: Network<f32, D>>(
        self,
        mut blank: N,
        network: &N,
        tables: &[&str],
        [from, to]: [[usize; 2]; 2],
    ) -> Result<N> {
        let mut parameters = network.parameters();
        for Values { parameter, values } in &mut parameters {
            if tables.contains(&parameter.name.as_str()) {
                let d = parameter.shape[2];
                *values = self.interpolate(values, from, to, d);
                parameter.shape[1] = values.len() / d;
            }
        }
        blank.set_parameters(&parameters)?;
        Ok(blank)
    }
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        CUBIC * (((x - 5.0) * x + 8.0) * x - 4.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class token of 9 before a grid of 3 x 3.
    const VALUES: [f32; 10] = [9.0, 0.0, 1.0, 4.0, 2.0, 3.0, 5.0, 7.0, 6.0, 1.0];

    fn check(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len() + 1);
        assert_eq!(found[0], 9.0);
        for (a, b) in found[1..].iter().zip(expected) {
            assert!((a - b).abs() < 2e-5, "{found:?}");
        }
    }

    #[test]
    fn interpolated_positions_are_those_of_pytorch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 1, 4], [2, 3, 5], [7, 6, 1]]]]),
        //     size=(2, 4), mode="bicubic", align_corners=False) in PyTorch 2.15.
        let expected = [
            0.20052, 0.63023, 2.55334, 4.58392, 5.97675, 5.96664, 4.08761, 1.69383,
        ];
        let found = Positions::Timm.interpolate(&VALUES, [3, 3], [2, 4], 1);
        check(&found, &expected);
        // The same with scale_factor=(2.1 / 3, 4.1 / 3) in place of the size.
        let expected = [
            0.16566, 0.5642, 2.34739, 4.41941, 5.4433, 5.51365, 4.23462, 2.31655,
        ];
        let found = Positions::Official.interpolate(&VALUES, [3, 3], [2, 4], 1);
        check(&found, &expected);
    }

    #[test]
    fn the_same_grid_keeps_its_positions() {
        for positions in [Positions::Official, Positions::Timm] {
            let same = positions.interpolate(&VALUES, [3, 3], [3, 3], 1);
            assert_eq!(same, VALUES);
        }
    }
}
