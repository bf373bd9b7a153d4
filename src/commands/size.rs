//! The flags that say how large pictures are looked at.

use dfdx::prelude::Cpu;
use whitebox::model::positions::Positions;
use whitebox::model::Encoder;
use whitebox::{Error, Result};

/// Numbers in the attention maps of a layer that are not too many: 16 GiB of them.
const MOST: usize = 1 << 32;

#[derive(Debug, clap::Args)]
pub(crate) struct SizeArguments {
    /// Resize pictures to squares of this many pixels, a multiple of the patch. Default: what the network was made for.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..))]
    size: Option<u32>,
    /// At another size, where positions are read between those that the network has.
    #[arg(long, value_enum, default_value_t)]
    positions: Positions,
}

impl SizeArguments {
    /// The network for pictures of the size that is asked for.
    pub(crate) fn of<N: Encoder<Cpu>>(&self, network: &N) -> Result<N> {
        let own = network.cut();
        let size = self.size.map_or(own.image_size, |size| [size as usize; 2]);
        for (pixels, patch) in size.into_iter().zip(own.patch_size) {
            if !pixels.is_multiple_of(patch) {
                let [below, above] = [pixels / patch, pixels / patch + 1].map(|n| n * patch);
                return Err(Error::argument(
                    "--size",
                    format!("a multiple of the patch, {patch} pixels"),
                    pixels.to_string(),
                    match below {
                        0 => format!("give {above}"),
                        _ => format!("give {below} or {above}"),
                    },
                ));
            }
        }
        let patches = |axis: usize| size[axis] / own.patch_size[axis];
        let tokens = patches(0).saturating_mul(patches(1)).saturating_add(1);
        let numbers = tokens.saturating_mul(tokens);
        let numbers = numbers.saturating_mul(network.heads()?);
        if numbers > MOST {
            let name = format!("numbers in the attention maps of {tokens} tokens");
            return Err(Error::size(name, MOST, numbers, "give a smaller `size`"));
        }
        match size == own.image_size {
            true => Ok(network.clone()),
            false => network.at_size(size, self.positions),
        }
    }
}
