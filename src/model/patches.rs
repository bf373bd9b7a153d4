//! Pictures cut into patches, and put together again.

use rayon::prelude::*;

use super::config::Config;
use crate::data::Images;
use crate::error::{Error, Result};

/// What to do about images that a network cannot read.
pub(super) const OTHER_IMAGES: &str =
    "choose the data set the network was made for, or train one for it";

/// How pictures are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patches {
    /// Channels of a picture.
    pub channels: usize,
    /// Height and width of a picture in pixels.
    pub image_size: [usize; 2],
    /// Height and width of a patch in pixels.
    pub patch_size: [usize; 2],
    /// What the numbers of a patch are in the order of.
    pub order: Order,
}

/// The order of the numbers of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `b c (h p1) (w p2) -> b (h w) (p1 p2 c)`: as CRATE's embedding reads them, and as an autoencoder writes them.
    ChannelLast,
    /// `b c (h p1) (w p2) -> b (h w) (c p1 p2)`: as a convolution reads them.
    ChannelFirst,
}

impl Patches {
    /// Those that a classifier reads.
    pub fn of(config: &Config) -> Self {
        Self {
            channels: config.channels,
            image_size: config.image_size,
            patch_size: config.patch_size,
            order: match config.architecture.embeds_by_convolution() {
                true => Order::ChannelFirst,
                false => Order::ChannelLast,
            },
        }
    }

    /// The same in another order.
    pub fn in_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Rows and columns of patches.
    pub fn grid(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.image_size[axis] / self.patch_size[axis])
    }

    /// Patches of a picture.
    pub fn count(&self) -> usize {
        self.grid().iter().product()
    }

    /// Numbers of a patch.
    pub fn width(&self) -> usize {
        self.channels * self.patch_size[0] * self.patch_size[1]
    }

    /// Numbers of a picture.
    pub fn image(&self) -> usize {
        self.channels * self.image_size[0] * self.image_size[1]
    }

    /// Refuses images of another number of channels: no network for these patches reads them.
    ///
    /// # Errors
    /// [`Error::Shape`] naming both.
    pub fn check_channels(&self, images: &Images) -> Result<()> {
        let [channels, ..] = images.shape;
        if channels == self.channels {
            return Ok(());
        }
        Err(Error::shape(
            format!("images of {}", images.name),
            format!("{} channels", self.channels),
            channels.to_string(),
            OTHER_IMAGES,
        ))
    }

    /// Pictures among so many numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not a whole number of pictures, or none.
    pub fn images(&self, numbers: usize) -> Result<usize> {
        let [height, width] = self.image_size;
        if numbers == 0 || !numbers.is_multiple_of(self.image()) {
            return Err(Error::shape(
                "images",
                format!("(b, {}, {height}, {width})", self.channels),
                format!("{numbers} numbers"),
                "pass whole images",
            ));
        }
        Ok(numbers / self.image())
    }

    /// Pictures cut into patches.
    ///
    /// # Shapes
    /// images (b, channels, height, width); gives (b, patches, patch width).
    ///
    /// # Errors
    /// [`Error::Shape`] if `images` is not a whole number of pictures.
    pub fn cut<E: Copy + Default + Send + Sync>(&self, images: &[E]) -> Result<Vec<E>> {
        self.images(images.len())?;
        let mut patches = vec![E::default(); images.len()];
        let strips = patches.par_chunks_exact_mut(self.strip()).enumerate();
        strips.for_each(|(index, strip)| {
            self.walk(index, |pixel, number, step, run| {
                let to = strip[number..].iter_mut().step_by(step);
                for (to, from) in to.zip(&images[pixel..pixel + run]) {
                    *to = *from;
                }
            });
        });
        Ok(patches)
    }

    /// The pictures that [`Patches::cut`] makes these patches of.
    ///
    /// # Shapes
    /// patches (b, patches, patch width); gives (b, channels, height, width).
    ///
    /// # Errors
    /// [`Error::Shape`] if `patches` are not those of a whole number of pictures.
    pub fn join<E: Copy + Default>(&self, patches: &[E]) -> Result<Vec<E>> {
        self.images(patches.len())?;
        let mut images = vec![E::default(); patches.len()];
        for (index, strip) in patches.chunks_exact(self.strip()).enumerate() {
            self.walk(index, |pixel, number, step, run| {
                let from = strip[number..].iter().step_by(step);
                for (to, from) in images[pixel..pixel + run].iter_mut().zip(from) {
                    *to = *from;
                }
            });
        }
        Ok(images)
    }

    /// Numbers in a strip: a row of patches.
    fn strip(&self) -> usize {
        self.grid()[1] * self.width()
    }

    /// Takes in turn every line of a patch of strip `index`, of all pictures: its first pixel among the pictures' and
    /// its first number among the strip's, how far apart its numbers are there, and how many it has.
    fn walk(&self, index: usize, mut take: impl FnMut(usize, usize, usize, usize)) {
        let [height, width] = self.image_size;
        let [p1, p2] = self.patch_size;
        let [rows, columns] = self.grid();
        let (sample, row) = (index / rows, index % rows);
        for column in 0..columns {
            let patch = column * self.width();
            for channel in 0..self.channels {
                for y in 0..p1 {
                    let line = (sample * self.channels + channel) * height + row * p1 + y;
                    let pixel = line * width + column * p2;
                    let (number, step) = match self.order {
                        Order::ChannelFirst => ((channel * p1 + y) * p2, 1),
                        Order::ChannelLast => (y * p2 * self.channels + channel, self.channels),
                    };
                    take(pixel, patch + number, step, p2);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pictures of 2 x 6 pixels and two channels; patches of 2 x 3.
    const PATCHES: Patches = Patches {
        channels: 2,
        image_size: [2, 6],
        patch_size: [2, 3],
        order: Order::ChannelLast,
    };

    #[test]
    fn a_patch_is_in_the_order_that_was_asked_for() {
        let images: Vec<usize> = (0..48).collect();
        let last = PATCHES.cut(&images).unwrap();
        assert_eq!(last[..12], [0, 12, 1, 13, 2, 14, 6, 18, 7, 19, 8, 20]);
        let first = PATCHES.in_order(Order::ChannelFirst).cut(&images).unwrap();
        assert_eq!(first[12..24], [3, 4, 5, 9, 10, 11, 15, 16, 17, 21, 22, 23]);
    }

    #[test]
    fn joining_undoes_cutting() {
        let images: Vec<usize> = (0..48).collect();
        for order in [Order::ChannelLast, Order::ChannelFirst] {
            let patches = PATCHES.in_order(order);
            let cut = patches.cut(&images).unwrap();
            assert_ne!(cut, images);
            assert_eq!(patches.join(&cut).unwrap(), images);
        }
    }

    #[test]
    fn parts_of_a_picture_are_refused() {
        assert!(PATCHES.cut(&[0; 25]).is_err());
        assert!(PATCHES.cut(&[0; 0]).is_err());
    }
}
