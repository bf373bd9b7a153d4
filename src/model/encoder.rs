//! What turns the patches of a picture and a class token into tokens, layer by layer: a classifier without its head, or
//! the first half of an autoencoder that is shown all of the picture.

use super::block::Form;
use super::patches::Patches;
use super::positions::Positions;
use super::probe::Probe;
use super::stack::Stack;
use super::{names, Autoencoder, AutoencoderConfig, Classifier, Config, Network, Runtime};
use crate::error::{Error, Result};

/// A network that is looked into at its first stack of layers; token 0 is the class token.
pub trait Encoder<D: Runtime<f32>>: Network<f32, D> {
    /// How it cuts pictures.
    fn cut(&self) -> Patches;

    /// Its layers.
    fn stack(&self) -> &Stack<f32, D>;

    /// A pass over all of the pictures, masking nothing, that a probe looks at.
    ///
    /// # Shapes
    /// images (b, channels, height, width), row-major, normalised.
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of pictures, [`Error::Device`].
    fn observe(&self, images: &[f32], probe: &mut impl Probe<f32>) -> Result<()>;

    /// The same network for pictures of another size, with its positions interpolated.
    ///
    /// # Errors
    /// [`Error::Argument`] if the patch does not divide the sides, or no network of the kind has such a size;
    /// [`Error::Device`] if memory runs out.
    fn at_size(&self, image_size: [usize; 2], positions: Positions) -> Result<Self>;

    /// Heads of a layer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if its first layer has none.
    fn heads(&self) -> Result<usize> {
        let first = self.stack().layers().first();
        let first = first.ok_or_else(|| {
            Error::unsupported(
                "looking at heads",
                "in a network without layers",
                "take a network with layers",
            )
        })?;
        Ok(first.attention()?.heads().unwrap_or_default())
    }
}

impl<D: Runtime<f32>> Encoder<D> for Classifier<f32, D> {
    fn cut(&self) -> Patches {
        Patches::of(self.config())
    }

    fn stack(&self) -> &Stack<f32, D> {
        &self.stack
    }

    fn observe(&self, images: &[f32], probe: &mut impl Probe<f32>) -> Result<()> {
        self.forward_probed(images, probe).map(|_| ())
    }

    fn at_size(&self, image_size: [usize; 2], positions: Positions) -> Result<Self> {
        let old = *self.config();
        let config = Config { image_size, ..old };
        let blank = Self::blank(config, self.device())?;
        let grids = [old, config].map(|config| Patches::of(&config).grid());
        positions.fill(blank, self, &[names::position(old.architecture)], grids)
    }
}

impl<D: Runtime<f32>> Encoder<D> for Autoencoder<f32, D> {
    fn cut(&self) -> Patches {
        self.config().patches()
    }

    fn stack(&self) -> &Stack<f32, D> {
        self.encoder()
    }

    fn observe(&self, images: &[f32], probe: &mut impl Probe<f32>) -> Result<()> {
        let patches = self.patches(images)?;
        let latent = self.try_encode(patches, &[], probe);
        latent.map(|_| ()).map_err(Error::device)
    }

    /// The fixed positions are those of the file, interpolated as the official code does, not sines of the new grid:
    /// the network was trained on the former.
    fn at_size(&self, image_size: [usize; 2], positions: Positions) -> Result<Self> {
        let old = *self.config();
        let config = AutoencoderConfig { image_size, ..old };
        let blank = Self::blank(config, self.device())?;
        let grids = [old, config].map(|config| config.patches().grid());
        let tables = ["pos_embed", "decoder_pos_embed"];
        positions.fill(blank, self, &tables, grids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parameters::Values;
    use crate::model::probe::{Recorder, Site};
    use dfdx::prelude::Cpu;

    fn autoencoder() -> Autoencoder<f32, Cpu> {
        let demo = AutoencoderConfig::preset("mae-demo").unwrap();
        let config = AutoencoderConfig {
            d: 8,
            heads: 2,
            decoder_heads: 2,
            encoder_depth: 2,
            decoder_depth: 1,
            ..demo
        };
        Autoencoder::new(config, 1, &Cpu::default()).unwrap()
    }

    fn classifier() -> Classifier<f32, Cpu> {
        let demo = Config::preset("demo").unwrap().with_width(8, 2).unwrap();
        let config = Config { depth: 2, ..demo };
        Classifier::new(config, 1, &Cpu::default()).unwrap()
    }

    /// Another size changes the named tables and nothing else; its own size nothing.
    fn check<N: Encoder<Cpu>>(network: &N, tables: &[&str]) {
        assert_eq!(network.heads().unwrap(), 2);
        for positions in [Positions::Official, Positions::Timm] {
            let same = network.at_size([28, 28], positions).unwrap();
            assert_eq!(same.parameters(), network.parameters());
            let larger = network.at_size([40, 40], positions).unwrap();
            assert_eq!(larger.cut().grid(), [10, 10]);
            let found = larger.parameters();
            for (old, new) in network.parameters().iter().zip(&found) {
                let Values { parameter, values } = new;
                match tables.contains(&parameter.name.as_str()) {
                    false => assert_eq!(&old.values, values, "{}", parameter.name),
                    true => {
                        let expected = positions.interpolate(&old.values, [7, 7], [10, 10], 8);
                        assert_eq!(&expected, values, "{}", parameter.name);
                    }
                }
            }
            let refused = network.at_size([30, 30], positions).map(|_| ());
            assert_eq!(refused.unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn another_size_changes_the_positions_and_nothing_else() {
        check(&classifier(), &["pos_embedding"]);
        check(&autoencoder(), &["pos_embed", "decoder_pos_embed"]);
    }

    #[test]
    fn an_autoencoder_shows_its_encoder_without_masking() {
        let network = autoencoder();
        let images: Vec<f32> = (0..784).map(|i| (0.3 * i as f32).sin()).collect();
        let mut found = Recorder::new([Site::AFTER_ISTA]);
        network.observe(&images, &mut found).unwrap();
        let layers: Vec<usize> = found.records.iter().map(|(_, layer, ..)| *layer).collect();
        assert_eq!(layers, [0, 1]);
        let mut whole = Recorder::new([Site::AFTER_ISTA]);
        let shown = vec![false; 49];
        network
            .reconstruct_probed(&images, &shown, &mut whole)
            .unwrap();
        assert_eq!(
            found.get(Site::AFTER_ISTA, 1),
            whole.get(Site::AFTER_ISTA, 1)
        );
    }
}
