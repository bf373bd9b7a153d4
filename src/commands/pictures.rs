//! The flags that say which pictures to look at.

use std::path::PathBuf;

use whitebox::data::{image_folder, DataArguments, Images, Split};
use whitebox::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct PictureArguments {
    /// JPEG or PNG files, in place of a data set.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["data", "data_dir"])]
    pictures: Vec<PathBuf>,
    #[command(flatten)]
    data: DataArguments,
    /// How many held-out pictures of a data set, drawn by the seed.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// Seed of what is drawn: the choice of pictures, and masks.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl PictureArguments {
    /// For a network that reads pictures of `size`.
    pub(crate) fn images(&self, size: [usize; 2]) -> Result<Images> {
        if self.pictures.is_empty() {
            let count = usize::from(self.count);
            return self.data.draw(Split::Test, Some(count), self.seed);
        }
        image_folder::pictures(self.pictures.clone(), size)
    }
}
