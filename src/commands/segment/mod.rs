//! `whitebox segment --checkpoint FILE (--voc DIR | --coco JSON --pictures DIR | --masks DIR | --scenes) --out FILE.csv`

mod sources;

use std::path::{Path, PathBuf};

use dfdx::prelude::Cpu;
use serde::Serialize;
use whitebox::data::masked::{coco, drawn, pairs, voc, MaskedPictures};
use whitebox::harness::{console, table};
use whitebox::measure::segmentation::benchmark::{Compared, Precision, Scores};
use whitebox::measure::segmentation::mask_cut::{Foreground, MaskCut, Rejection};
use whitebox::model::{Classifier, Encoder};
use whitebox::{artefact, parallel, Error, Result};

use super::checkpoint::CheckpointArguments;
use super::size::SizeArguments;
use sources::{Sources, NAMES};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    #[command(flatten)]
    truth: Truth,
    /// The folder of COCO's pictures: val2017.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["voc", "masks", "scenes"])]
    pictures: Option<PathBuf>,
    /// Every number of a mask of --masks is an object of its own, not all together one.
    #[arg(long, conflicts_with_all = ["voc", "coco", "scenes"])]
    instances: bool,
    /// Which layer, from 1. Default: the last.
    #[arg(long, value_name = "L")]
    layer: Option<usize>,
    #[command(flatten)]
    size: SizeArguments,
    /// Masks of MaskCut on each picture, at most; 0 leaves it out, and average precision with it. The time grows with the
    /// cube of the number of patches.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u16,
    /// Cosine of two keys above which MaskCut joins their patches.
    #[arg(long, default_value_t = 0.15, value_parser = cosine, allow_negative_numbers = true)]
    tau: f64,
    /// Use only so many pictures, drawn by the seed.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    limit: Option<u32>,
    /// Seed of that draw, of the halves that heads are chosen on, of random maps and of the untrained network.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The table to write: a line for every picture and everything that masks come from.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
}

/// Pictures whose objects are known.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Truth {
    /// PASCAL VOC 2012: the folder VOC2012, or one above it. Its pictures val of Segmentation.
    #[arg(long, value_name = "DIR")]
    voc: Option<PathBuf>,
    /// COCO: a file of instances, as instances_val2017.json.
    #[arg(long, value_name = "JSON", requires = "pictures")]
    coco: Option<PathBuf>,
    /// Your own: a folder with images/NAME.jpg or .png, and masks/NAME.png of the same size, where black is the ground.
    #[arg(long, value_name = "DIR")]
    masks: Option<PathBuf>,
    /// The held-out scenes of `--data scenes`: no files.
    #[arg(long)]
    scenes: bool,
}

fn cosine(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err("wanted a cosine in [0, 1); the papers take 0.15 to 0.3".into()),
    }
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct Row {
    picture: String,
    objects: usize,
    masks_of: &'static str,
    mass_head_per_object: Option<f64>,
    mass_head_per_class: Option<f64>,
    mass_head_of_other_half: Option<f64>,
    mass_all_heads: Option<f64>,
    area_head_per_object: Option<f64>,
    area_head_per_class: Option<f64>,
    area_head_of_other_half: Option<f64>,
    area_all_heads: Option<f64>,
    /// Masks of MaskCut, or of what takes its place.
    found: usize,
}

/// A picture held against what masks come from, in the order of [`NAMES`].
struct Seen {
    compared: Vec<Compared>,
    empty: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments
        .out
        .parent()
        .filter(|folder| *folder != Path::new(""));
    artefact::check_writable(folder.unwrap_or(Path::new(".")))?;
    let pictures = arguments.pictures()?;
    let (network, _) = arguments.checkpoint.load_encoder()?;
    let network = arguments.size.of(&network)?;
    let (layer, cut) = (arguments.layer(&network)?, network.cut());
    let channels = pictures.normalisation.mean.len();
    if cut.channels != channels {
        return Err(Error::shape(
            format!("pictures of {}", pictures.name),
            format!("{} channels, which the network reads", cut.channels),
            channels.to_string(),
            "take a network for pictures in colour",
        ));
    }
    let threads = console::threads(arguments.threads);
    let mask_cut = MaskCut {
        tau: arguments.tau,
        rounds: arguments.rounds.into(),
        foreground: Foreground::SeedSideUnlessCorners,
        rejection: Rejection::HoldsOneRound,
    };
    let depth = network.layers().len();
    let heads = network.heads()?;
    let sources = Sources::new(network, layer, mask_cut, arguments.seed, threads)?;
    let bar = console::progress(pictures.len(), "looking at pictures");
    let seen = parallel::map(pictures.len(), threads, |index| {
        let read = pictures.read(index)?;
        let mut input = Vec::new();
        let picture = read.picture.resize(cut.image_size);
        pictures.normalisation.apply(&picture, &mut input);
        let predictions = sources.of(index, &input)?;
        let compared = predictions.iter().map(|own| own.against(&read.marks));
        bar.inc(1);
        Ok(Seen {
            compared: compared.collect::<Result<_>>()?,
            empty: read.marks.empty,
        })
    })?;
    bar.finish_and_clear();
    let empty: usize = seen.iter().map(|seen| seen.empty).sum();
    console::warn((empty > 0).then(|| format!("left out {empty} objects without a pixel")));
    let by_source: Vec<Vec<Compared>> = (0..NAMES.len())
        .map(|source| seen.iter().map(|s| s.compared[source].clone()).collect())
        .collect();
    let scores = by_source.iter().map(|own| Scores::of(own, arguments.seed));
    let scores = scores.collect::<Result<Vec<_>>>()?;
    table::write(&arguments.out, &rows(&pictures, &by_source, &scores))?;
    let objects: usize = by_source[0].iter().map(|own| own.mass.len()).sum();
    let [rows, columns] = cut.grid();
    println!(
        "{} pictures of {} with {objects} objects; layer {layer} of {depth}, {heads} heads, {rows} x {columns} patches",
        pictures.len(),
        pictures.name
    );
    print(&scores, arguments.rounds > 0);
    println!("see {}", arguments.out.display());
    Ok(())
}

impl Arguments {
    fn pictures(&self) -> Result<MaskedPictures> {
        let truth = &self.truth;
        let pictures = match (&truth.voc, &truth.coco, &self.pictures, &truth.masks) {
            (Some(folder), ..) => voc::read(folder, "val")?,
            (_, Some(instances), Some(folder), _) => coco::read(instances, folder)?,
            (.., Some(folder)) => pairs::read(
                folder,
                match self.instances {
                    true => pairs::Numbers::OneEach,
                    false => pairs::Numbers::OneObject,
                },
            )?,
            // The one that is left: one of them is there.
            _ => drawn::held_out(),
        };
        for note in &pictures.notes {
            console::warn(Some(note.clone()));
        }
        let pictures = match self.limit {
            Some(limit) => pictures.limited(limit as usize, self.seed),
            None => pictures,
        };
        pictures.check_files()?;
        Ok(pictures)
    }

    fn layer(&self, network: &Classifier<f32, Cpu>) -> Result<usize> {
        let depth = network.layers().len();
        let layer = self.layer.unwrap_or(depth);
        match (1..=depth).contains(&layer) {
            true => Ok(layer),
            false => Err(Error::argument(
                "--layer",
                format!("1 to {depth}"),
                layer.to_string(),
                "name one that the network has",
            )),
        }
    }
}

/// Picture by picture, and within one in the order of [`NAMES`].
fn rows(pictures: &MaskedPictures, by_source: &[Vec<Compared>], scores: &[Scores]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(pictures.len() * NAMES.len());
    // The place among the pictures that have an object.
    let mut place = 0;
    for (picture, first) in by_source[0].iter().enumerate() {
        let file = pictures.file(picture);
        let name = file.file_name().unwrap_or(file.as_os_str());
        let objects = first.mass.len();
        for (source, masks_of) in NAMES.into_iter().enumerate() {
            let Scores { mass, area, .. } = &scores[source];
            let at = |values: &Vec<f64>| (objects > 0).then(|| values[place]);
            rows.push(Row {
                picture: name.to_string_lossy().into_owned(),
                objects,
                masks_of,
                mass_head_per_object: at(&mass.per_object),
                mass_head_per_class: at(&mass.per_class),
                mass_head_of_other_half: at(&mass.other_half),
                mass_all_heads: at(&mass.all),
                area_head_per_object: at(&area.per_object),
                area_head_per_class: at(&area.per_class),
                area_head_of_other_half: at(&area.other_half),
                area_all_heads: at(&area.all),
                found: by_source[source][picture].masks.scores.len(),
            });
        }
        place += usize::from(objects > 0);
    }
    rows
}

fn print(scores: &[Scores], cut: bool) {
    let mean = |values: &[f64]| 100.0 * values.iter().sum::<f64>() / values.len() as f64;
    println!(
        "\n{:20}{:>24}{:>24}{:>24}{:>24}",
        "mean IoU, %",
        "mass, head per object",
        "mass, of other half",
        "area, head per class",
        "area, of other half"
    );
    for (name, Scores { mass, area, .. }) in NAMES.iter().zip(scores) {
        println!(
            "{name:20}{:>24.1}{:>24.1}{:>24.1}{:>24.1}",
            mean(&mass.per_object),
            mean(&mass.other_half),
            mean(&area.per_class),
            mean(&area.other_half)
        );
    }
    if !cut {
        return;
    }
    println!(
        "\n{:20}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "MaskCut, %", "masks AP50", "AP75", "AP", "boxes AP50", "AP75", "AP"
    );
    for (name, Scores { masks, boxes, .. }) in NAMES.iter().zip(scores) {
        let [masks, boxes] = [masks, boxes].map(|of: &Precision| {
            let [half, three_quarters, mean] =
                [of.half, of.three_quarters, of.mean].map(|value| 100.0 * value);
            format!("{half:>12.1}{three_quarters:>12.1}{mean:>12.1}")
        });
        println!("{name:20}{masks}{boxes}");
    }
}
