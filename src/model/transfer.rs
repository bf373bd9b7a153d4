//! A network for another task made from a trained one: official `finetune.py`, and positions for
//! another image size.

use dfdx::prelude::*;

use super::parameters::Values;
use super::{names, Classifier, Config};
use crate::error::{Error, Result};

/// Sharpness of the bicubic kernel, as in PyTorch's `interpolate`.
const CUBIC: f64 = -0.75;

/// A network of `config` with the parameters of `trained`, but for a fresh head drawn by `seed`, and
/// with positions interpolated where the grid of patches has another size.
///
/// # Errors
/// [`Error::Argument`] if the two differ in more than classes and image size.
pub fn transfer(
    trained: &Classifier<f32, Cpu>,
    config: Config,
    seed: u64,
) -> Result<Classifier<f32, Cpu>> {
    let from = trained.config();
    let alike = Config {
        image_size: from.image_size,
        classes: from.classes,
        ..config
    };
    if alike != *from {
        return Err(Error::argument(
            "`checkpoint`",
            "a network that differs in classes and image size alone",
            format!("{from:?}"),
            "keep width, depth, heads, patch and channels",
        ));
    }
    let mut network = Classifier::new(config, seed, &Cpu::default())?;
    let fresh = network.parameters();
    let parameters: Vec<Values<f32>> = trained
        .parameters()
        .into_iter()
        .zip(fresh)
        .map(|(mut trained, fresh)| {
            if names::is_head(&fresh.parameter.name) {
                return fresh;
            }
            if trained.parameter.name == names::position(config.architecture) {
                trained.values = positions(&trained.values, grid(from), grid(&config), config.d);
            }
            trained.parameter = fresh.parameter;
            trained
        })
        .collect();
    network.set_parameters(&parameters)?;
    Ok(network)
}

/// Rows and columns of patches.
fn grid(config: &Config) -> [usize; 2] {
    [0, 1].map(|axis| config.image_size[axis] / config.patch_size[axis])
}

/// Positions (1 + rows columns, d) for another grid: the class token's stays, those of the patches
/// are interpolated bicubically, axis by axis.
fn positions(values: &[f32], from: [usize; 2], to: [usize; 2], d: usize) -> Vec<f32> {
    if from == to {
        return values.to_vec();
    }
    let (class, patches) = values.split_at(d);
    // Columns first: (rows, columns, d), then rows: (1, rows, columns d).
    let wide = interpolate(patches, from[1], to[1], d);
    let both = interpolate(&wide, from[0], to[0], to[1] * d);
    [class, &both].concat()
}

/// Interpolates the middle axis of (outer, from, inner) to (outer, to, inner).
fn interpolate(values: &[f32], from: usize, to: usize, inner: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(values.len() / from * to);
    for outer in values.chunks_exact(from * inner) {
        for index in 0..to {
            // Centres of pixels, `align_corners = false`.
            let centre = (index as f64 + 0.5) * from as f64 / to as f64 - 0.5;
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

    #[test]
    fn interpolated_positions_are_those_of_pytorch() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 1, 4], [2, 3, 5], [7, 6, 1]]]]),
        //     size=(2, 4), mode="bicubic", align_corners=False) in PyTorch 2.15.
        let grid = [0.0, 1.0, 4.0, 2.0, 3.0, 5.0, 7.0, 6.0, 1.0];
        let values: Vec<f32> = [9.0].into_iter().chain(grid).collect();
        let found = positions(&values, [3, 3], [2, 4], 1);
        let expected: [f32; 8] = [
            0.20052, 0.63023, 2.55334, 4.58392, 5.97675, 5.96664, 4.08761, 1.69383,
        ];
        assert_eq!(found[0], 9.0);
        for (a, b) in found[1..].iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{found:?}");
        }
        assert_eq!(positions(&values, [3, 3], [3, 3], 1), values);
    }

    #[test]
    fn everything_but_the_head_is_taken_over() {
        let config = Config::preset("demo").unwrap();
        let config = Config { depth: 1, ..config };
        let trained = Classifier::new(config, 1, &Cpu::default()).unwrap();
        let other = config.for_images(config.channels, [32, 32], 3);
        let network = transfer(&trained, other, 2).unwrap();
        for (old, new) in trained.parameters().iter().zip(network.parameters()) {
            let name = &new.parameter.name;
            let differs = name == "pos_embedding" || name.starts_with("mlp_head.1.");
            assert_eq!(old.values != new.values, differs, "{name}");
        }
        let wider = other.with_width(2 * other.d, other.heads).unwrap();
        assert_eq!(transfer(&trained, wider, 2).unwrap_err().exit_code(), 2);
    }
}
