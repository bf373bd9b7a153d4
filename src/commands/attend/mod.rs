//! `whitebox attend --checkpoint FILE (--pictures FILE... | --data NAME) --out DIR`

mod figures;

use std::path::PathBuf;

use dfdx::prelude::Cpu;
use whitebox::harness::{console, table};
use whitebox::measure::segmentation::colours::Side;
use whitebox::measure::segmentation::mask_cut::{Foreground, MaskCut, Rejection};
use whitebox::measure::segmentation::{head_maps, threshold};
use whitebox::model::Encoder;
use whitebox::{artefact, Error, Result};

use super::checkpoint::CheckpointArguments;
use super::pictures::PictureArguments;
use super::size::SizeArguments;
use figures::{Look, Wanted};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    pictures: PictureArguments,
    /// Which layers, from 1. Default: the last one, of an autoencoder that of its encoder.
    #[arg(long, value_name = "L", num_args = 1.., value_delimiter = ',')]
    layer: Vec<usize>,
    /// Which heads to show, from 1. Default: all.
    #[arg(long, value_name = "H", num_args = 1.., value_delimiter = ',')]
    head: Vec<usize>,
    /// Outline the fewest patches that hold this share of a map, as DINO does: 0.6 there.
    #[arg(
        long,
        value_name = "SHARE",
        conflicts_with = "area",
        allow_negative_numbers = true
    )]
    mass: Option<f64>,
    /// Outline this share of the patches, those with the largest entries: 0.6 in the CRATE paper's measurement.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    area: Option<f64>,
    #[command(flatten)]
    size: SizeArguments,
    /// Colour the object by components of its own, too: the patches above, or below, the middle of the first component.
    #[arg(long, value_enum)]
    object: Option<Side>,
    /// Masks of MaskCut on each picture, at most: 3 in the paper. The time grows with the cube of the number of patches.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    masks: Option<u16>,
    /// Cosine of two keys above which MaskCut joins their patches.
    #[arg(
        long,
        default_value_t = 0.15,
        requires = "masks",
        allow_negative_numbers = true
    )]
    tau: f64,
    /// The folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.check()?;
    let checkpoint = arguments.checkpoint.file.read()?;
    if let Some(network) = arguments.checkpoint.autoencoder(&checkpoint)? {
        return arguments.look(&network);
    }
    let (network, _) = arguments.checkpoint.encoder(checkpoint)?;
    arguments.look(&network)
}

impl Arguments {
    /// Refuses what is wrong whatever the network.
    fn check(&self) -> Result<()> {
        for (flag, share) in [("--mass", self.mass), ("--area", self.area)] {
            if let Some(share) = share.filter(|&share| !(share > 0.0 && share <= 1.0)) {
                return Err(Error::argument(
                    flag,
                    "a share in (0, 1]",
                    share.to_string(),
                    "the papers keep 0.6",
                ));
            }
        }
        if !(0.0..1.0).contains(&self.tau) {
            return Err(Error::argument(
                "--tau",
                "a cosine in [0, 1)",
                self.tau.to_string(),
                "the papers take 0.15 to 0.3",
            ));
        }
        Ok(())
    }

    fn look<N: Encoder<Cpu>>(&self, network: &N) -> Result<()> {
        let depth = network.stack().layers().len();
        let layers = chosen("--layer", &self.layer, depth, depth..=depth)?;
        let heads = network.heads()?;
        let heads = chosen("--head", &self.head, heads, 1..=heads)?;
        let network = &self.size.of(network)?;
        let cut = network.cut();
        let images = self.pictures.images(cut.image_size)?;
        cut.check_channels(&images)?;
        let bar = console::progress(images.len(), "looking at pictures");
        let mut looks = Vec::with_capacity(images.len());
        for index in 0..images.len() {
            let picture = images.picture(index)?.resize(cut.image_size);
            let mut input = Vec::new();
            images.normalise_into(&picture, &mut input);
            looks.push(Look {
                name: images.describe(index),
                layers: head_maps::of_layers(network, &input, &layers)?,
                picture,
            });
            bar.inc(1);
        }
        bar.finish_and_clear();
        let wanted = Wanted {
            cut,
            layers: &layers,
            heads: &heads,
            threshold: match (self.mass, self.area) {
                (Some(share), _) => Some((threshold::mass, share)),
                (None, Some(share)) => Some((threshold::area, share)),
                (None, None) => None,
            },
            object: self.object,
            mask_cut: self.masks.map(|rounds| MaskCut {
                tau: self.tau,
                rounds: usize::from(rounds),
                foreground: Foreground::SeedSideUnlessCorners,
                rejection: Rejection::Ends,
            }),
        };
        let made = wanted.figures(&looks)?;
        // Everything is there, and nothing is written yet.
        for (name, bytes) in &made.files {
            artefact::write(&self.out.join(name), bytes)?;
        }
        table::write(&self.out.join("heads.csv"), &made.heads)?;
        if self.masks.is_some() {
            table::write(&self.out.join("masks.csv"), &made.masks)?;
        }
        for line in &made.lines {
            println!("{line}");
        }
        println!("see {}", self.out.display());
        Ok(())
    }
}

/// The numbers of a flag, each once, or those it has by default; all from 1 to `most`.
fn chosen(
    flag: &str,
    given: &[usize],
    most: usize,
    default: std::ops::RangeInclusive<usize>,
) -> Result<Vec<usize>> {
    if let Some(wrong) = given.iter().find(|number| !(1..=most).contains(*number)) {
        return Err(Error::argument(
            flag,
            format!("1 to {most}"),
            wrong.to_string(),
            "name one that the network has",
        ));
    }
    let mut chosen: Vec<usize> = match given.is_empty() {
        true => default.collect(),
        false => given.to_vec(),
    };
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}
