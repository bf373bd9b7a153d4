//! A network for another task made from a trained one: official `finetune.py`, and positions for
//! another image size.

use dfdx::prelude::*;

use super::parameters::Values;
use super::patches::Patches;
use super::positions::Positions;
use super::{names, Classifier, Config};
use crate::error::{Error, Result};

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
                let grids = [*from, config].map(|config| Patches::of(&config).grid());
                trained.values =
                    Positions::Timm.interpolate(&trained.values, grids[0], grids[1], config.d);
            }
            trained.parameter = fresh.parameter;
            trained
        })
        .collect();
    network.set_parameters(&parameters)?;
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

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
