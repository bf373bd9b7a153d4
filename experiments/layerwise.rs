//! # Do trained CRATE networks compress and sparsify, layer by layer?
//!
//! **Claims** C-LAY-01 to C-LAY-05. NeurIPS 2023 (arXiv 2306.01129, section 3 and its figure of the
//! layers) and the overview (arXiv 2311.13110, figure 13): in a trained CRATE, the compression term
//!
//! `R^c(Z^{l+1/2} | U^l) = sum_k 1/2 logdet(I + p / (N eps^2) (U_k^T Z)(U_k^T Z)^T)`
//!
//! falls with depth and the ISTA outputs `Z^{l+1}` get sparser. Published, CRATE-Small on ImageNet
//! (read off the figure): `R^c` 1103 at layer 1, 728 (train) and 667 (validation) at layer 12, with
//! 3 of 11 steps rising; nonzeros .411, then .205 at layer 11 and .336 at layer 12.
//!
//! The code behind that figure measures something else than the caption says (see
//! [`mod@whitebox::exact::official_rate`]); both are measured here, on the same images, for the trained
//! network and for the untrained one of the same sizes as control.
//!
//! **Criteria**: the constants below, fixed before the first run. The numbers are those of the
//! catalogue for small networks.
//!
//! **Run**: `cargo run --release --bin exp_layerwise`: under a minute on two cores with the network
//! that ships; `--train` first trains one (about 45 minutes).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dfdx::prelude::Cpu;
use serde::Serialize;
use whitebox::artefact;
use whitebox::data::{DataArguments, DataName, Images, Split};
use whitebox::exact::official_rate::official_upper_bound;
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Scale, Verdict};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::record::{provenance, root, Record, SCHEMA};
use whitebox::harness::training::Training;
use whitebox::measure::layerwise::{measure, Layerwise, Quantity};
use whitebox::measure::trend::{spearman, Summary};
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::{CrateClassifier, CrateConfig};
use whitebox::train::Recipe;
use whitebox::{Error, Result};

const PAPER: &str = "NeurIPS 2023, arXiv 2306.01129; overview, arXiv 2311.13110";

const RATE_FALLS: Claim = Claim {
    id: "C-LAY-01",
    paper: PAPER,
    location: "figure of the layers, left; official vis_utils/coding_rate.py",
    statement: "In a trained network the compression term falls with depth (official measurement)",
    criteria: &[
        Criterion::at_most("held-out: rank correlation of R^c with depth", -0.6),
        Criterion::at_most("held-out: R^c at the last layer / at the first", 0.90),
        Criterion::at_least("untrained: R^c at the last layer / at the first", 0.90).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const CAPTION_RATE_FALLS: Claim = Claim {
    id: "C-LAY-01-caption",
    paper: PAPER,
    location: "caption of the same figure",
    statement: "The same for R^c(Z^{l+1/2} | U^l), the formula of the caption",
    criteria: &[
        Criterion::at_most("held-out: rank correlation of R^c with depth", -0.6),
        Criterion::at_most("held-out: R^c at the last layer / at the first", 0.90),
        Criterion::at_least("untrained: R^c at the last layer / at the first", 0.90).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const SPARSITY_GROWS: Claim = Claim {
    id: "C-LAY-02",
    paper: PAPER,
    location: "figure of the layers, right",
    statement: "In a trained network the ISTA outputs get sparser with depth, up to the last layer",
    criteria: &[
        Criterion::at_most("held-out: rank correlation of nonzeros with depth", -0.6),
        Criterion::at_most(
            "held-out: nonzeros at the last layer but one / at the first",
            0.8,
        ),
        Criterion::at_least("fall of nonzeros beyond the untrained network's", 0.0).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const UNTRAINED_CURVES: Claim = Claim {
    id: "C-LAY-03",
    paper: "control of this project",
    location: "not published",
    statement: "Untrained, R^c does not fall with depth, but the ISTA outputs already get sparser",
    criteria: &[
        Criterion::at_least("untrained: R^c at the last layer / at the first", 0.98),
        Criterion::at_most("untrained: nonzeros at the last layer / at the first", 0.8),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const SPLITS_AGREE: Claim = Claim {
    id: "C-LAY-04",
    paper: PAPER,
    location: "figure of the layers, train and validation curves",
    statement: "The curves of training and held-out images coincide",
    criteria: &[
        Criterion::at_most("largest relative gap of R^c between the splits", 0.10),
        Criterion::at_most("largest relative gap of nonzeros between the splits", 0.10),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

const EVERY_BLOCK_WORKS: Claim = Claim {
    id: "C-LAY-05",
    paper: PAPER,
    location: "section 2: what each block is derived to do",
    statement:
        "In most layers MSSA lowers R^c for the layer's own U (tokens of length 1), and ISTA \
                raises the sparsity",
    criteria: &[
        Criterion::at_least("fraction of layers where MSSA lowers R^c, unit tokens", 0.8),
        Criterion::at_least("fraction of layers where ISTA raises the sparsity", 0.8),
        Criterion::at_most(
            "untrained: fraction of layers where MSSA lowers R^c, unit tokens",
            0.5,
        )
        .control(),
        Criterion::at_least("fraction of layers where ISTA beats a plain ReLU", 0.5).control(),
    ],
    kind: Kind::Empirical,
    scale: Scale::Small,
};

/// Measure every layer of a CRATE network, trained and untrained, and judge the papers' claims.
#[derive(Debug, Parser)]
#[command(name = "exp_layerwise", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    data: DataArguments,
    /// Images of each split.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    images: u32,
    /// Precision of every rate but the official one; the official one's is 0.1.
    #[arg(long, default_value_t = 0.1)]
    epsilon: f64,
    /// The trained network; default: the one kept for the data set in reports/checkpoints.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["train", "preset"])]
    checkpoint: Option<PathBuf>,
    /// First train the network, with the recipe of those that ship, and write it to the default
    /// place. Goes on from where an interrupted training stopped.
    #[arg(long, conflicts_with = "preset")]
    train: bool,
    /// Measure an untrained network of these sizes alone: demo, crate-tiny, crate-small,
    /// crate-base or crate-large. Claims about training are then not testable.
    #[arg(long)]
    preset: Option<String>,
}

#[derive(Debug, Serialize)]
struct Settings {
    network: CrateConfig,
    images_per_split: usize,
    epsilon: f64,
    official_upper_bound: f64,
}

/// The curves of one network on one split.
#[derive(Debug, Serialize)]
struct Curves {
    network: &'static str,
    split: Split,
    /// Head-token pairs of length zero, for which the official code would return NaN.
    zero_tokens: usize,
    layers: Vec<LayerRow>,
}

#[derive(Debug, Serialize)]
struct LayerRow {
    layer: usize,
    quantities: BTreeMap<Quantity, Summary>,
}

struct Measured {
    network: &'static str,
    split: Split,
    values: Layerwise,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    let data = &arguments.data;
    let name = match data.data {
        DataName::FashionMnist => "layerwise".to_owned(),
        other => format!("layerwise/{}", other.word()),
    };
    let folder = arguments.experiment.folder(&name);
    artefact::check_writable(&folder)?;
    let seed = arguments.experiment.seed;
    let threads = arguments.experiment.threads();
    let count = if arguments.experiment.quick {
        20
    } else {
        arguments.images as usize
    };

    // An image folder is decoded no further than needed, unless it is to be trained on.
    let limit = (!arguments.train).then_some(count);
    let training_images = if data.has_training_images() {
        Some(data.read(Split::Train, limit, seed)?)
    } else {
        None
    };
    let held_out_images = data.read(Split::Test, limit, seed)?;
    let (trained, checkpoint_sha256) =
        trained(arguments, training_images.as_ref(), &held_out_images)?.unzip();
    let config = match (&trained, &arguments.preset) {
        (Some(network), _) => *network.config(),
        (None, preset) => {
            let [channels, height, width] = held_out_images.shape;
            CrateConfig::preset(preset.as_deref().unwrap_or("demo"))?.for_images(
                channels,
                [height, width],
                held_out_images.classes,
            )
        }
    };
    let untrained = CrateClassifier::new(config, seed, &Cpu::default())?;

    println!(
        "Layer-wise compression and sparsity, claims C-LAY-01 to C-LAY-05 ({PAPER}).\n\
         CRATE, {} layers, width {}, {} heads, {:.2} M parameters; {count} images per split of {}.",
        config.depth,
        config.d,
        config.heads,
        config.parameters() as f64 * 1e-6,
        data.data.word(),
    );
    let mut measured = Vec::new();
    let networks = [
        ("trained", trained.as_ref()),
        ("untrained", Some(&untrained)),
    ];
    let splits: Vec<(Split, &Images)> = training_images
        .iter()
        .map(|images| (Split::Train, images))
        .chain([(Split::Test, &held_out_images)])
        .collect();
    let present = networks.iter().filter(|(_, n)| n.is_some()).count();
    let bar = console::progress(splits.len() * present * count, "measuring");
    for (network_name, network) in networks {
        let Some(network) = network else { continue };
        for &(split, images) in &splits {
            let indices = images.sample(count, seed);
            let values = measure(
                network,
                images,
                &indices,
                &Quantity::ALL,
                arguments.epsilon,
                threads,
                |done| bar.inc(done as u64),
            )?;
            measured.push(Measured {
                network: network_name,
                split,
                values,
            });
        }
    }
    bar.finish_and_clear();

    let verdicts = judge(&measured);
    print_table(&measured);
    for verdict in &verdicts {
        let Verdict {
            claim,
            outcome,
            reason,
            ..
        } = verdict;
        println!("\n{} {}: {outcome}\n  {reason}", claim.id, claim.statement);
    }

    write_table(&folder.join("layers.csv"), &measured)?;
    chart(
        &folder.join("rate.svg"),
        &measured,
        Quantity::OfficialRate,
        "Compression term by layer (official measurement)",
        "R^c, nats",
    )?;
    chart(
        &folder.join("sparsity.svg"),
        &measured,
        Quantity::NonzeroAfterIsta,
        "Nonzero entries of the ISTA outputs by layer",
        "fraction of nonzeros",
    )?;
    let record = Record {
        schema: SCHEMA,
        experiment: "layerwise",
        quick: arguments.experiment.quick,
        provenance: provenance(
            start,
            seed,
            &splits.iter().map(|(_, images)| *images).collect::<Vec<_>>(),
            checkpoint_sha256,
        ),
        settings: Settings {
            network: config,
            images_per_split: count,
            epsilon: arguments.epsilon,
            official_upper_bound: official_upper_bound(config.heads, config.head_width),
        },
        verdicts,
        results: measured.iter().map(curves).collect::<Vec<_>>(),
    };
    record.write(&folder)?;
    println!(
        "\nWrote {} with layers.csv, rate.svg and sparsity.svg.{}",
        folder.join("result.json").display(),
        if arguments.experiment.quick {
            " A trial: run without --quick for the result."
        } else {
            ""
        }
    );
    Ok(())
}

/// A network and the hash of its file.
type Checkpointed = (CrateClassifier<f32, Cpu>, String);

/// The trained network, if there is one to measure.
fn trained(
    arguments: &Arguments,
    images: Option<&Images>,
    held_out: &Images,
) -> Result<Option<Checkpointed>> {
    if arguments.preset.is_some() {
        return Ok(None);
    }
    let word = arguments.data.data.word();
    let default = root().join(format!("reports/checkpoints/crate-demo-{word}.safetensors"));
    let path: &Path = arguments.checkpoint.as_deref().unwrap_or(&default);
    if arguments.train {
        let Some(images) = images else {
            return Err(Error::argument(
                "--train",
                "a data set with training images",
                "a folder without a sub-folder train",
                "name another --data-dir",
            ));
        };
        let [channels, height, width] = images.shape;
        let config = CrateConfig::preset("demo")?;
        let mut recipe = Recipe::demo();
        // Digits are not to be mirrored.
        recipe.augmentation.flip = arguments.data.data != DataName::Mnist;
        let training = Training {
            config: config.for_images(channels, [height, width], images.classes),
            recipe,
            seed: arguments.experiment.seed,
            threads: arguments.experiment.threads(),
            out: path,
        };
        training.run(images, held_out)?;
    } else if arguments.checkpoint.is_none() && !path.exists() {
        return Err(Error::io(
            "find",
            path,
            std::io::ErrorKind::NotFound.into(),
            format!(
                "add --train to make a network for {word}, or name one with --checkpoint, or \
                     measure an untrained one with --preset"
            ),
        ));
    }
    let checkpoint = Checkpoint::read(path)?;
    let network = checkpoint.network(checkpoint.own_config()?, &Cpu::default())?;
    Ok(Some((network, checkpoint.sha256)))
}

fn find<'a>(measured: &'a [Measured], network: &str, split: Split) -> Option<&'a Layerwise> {
    let found = measured
        .iter()
        .find(|m| m.network == network && m.split == split);
    found.map(|m| &m.values)
}

/// Every number that a criterion names, and the verdicts.
fn judge(measured: &[Measured]) -> Vec<Verdict> {
    let trained = find(measured, "trained", Split::Test);
    let training = find(measured, "trained", Split::Train);
    let untrained = find(measured, "untrained", Split::Test);
    let number = |quantity, value| Measurement { quantity, value };

    let falls = |quantity: Quantity| {
        let mut numbers = Vec::new();
        if let Some(found) = trained {
            let means = found.means(quantity);
            numbers.push(number(
                "held-out: rank correlation of R^c with depth",
                spearman(&means),
            ));
            numbers.push(number(
                "held-out: R^c at the last layer / at the first",
                last_over_first(&means),
            ));
        }
        if let Some(found) = untrained {
            numbers.push(number(
                "untrained: R^c at the last layer / at the first",
                last_over_first(&found.means(quantity)),
            ));
        }
        numbers
    };

    let nonzeros = |found: &Layerwise| found.means(Quantity::NonzeroAfterIsta);
    let but_last = |means: &[f64]| means[..means.len().saturating_sub(1)].to_vec();
    let mut sparsity = Vec::new();
    if let (Some(trained), Some(untrained)) = (trained, untrained) {
        let (own, control) = (but_last(&nonzeros(trained)), but_last(&nonzeros(untrained)));
        let fall = |means: &[f64]| means.first().zip(means.last()).map(|(a, b)| a - b);
        sparsity.push(number(
            "held-out: rank correlation of nonzeros with depth",
            spearman(&own),
        ));
        sparsity.push(number(
            "held-out: nonzeros at the last layer but one / at the first",
            last_over_first(&own),
        ));
        if let Some((own, control)) = fall(&own).zip(fall(&control)) {
            sparsity.push(number(
                "fall of nonzeros beyond the untrained network's",
                own - control,
            ));
        }
    }

    let mut control = Vec::new();
    if let Some(found) = untrained {
        control.push(number(
            "untrained: R^c at the last layer / at the first",
            last_over_first(&found.means(Quantity::OfficialRate)),
        ));
        control.push(number(
            "untrained: nonzeros at the last layer / at the first",
            last_over_first(&nonzeros(found)),
        ));
    }

    let mut gaps = Vec::new();
    if let (Some(training), Some(held_out)) = (training, trained) {
        let gap = |quantity| {
            let (a, b) = (training.means(quantity), held_out.means(quantity));
            let gaps = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / b.abs());
            gaps.fold(0.0, f64::max)
        };
        gaps.push(number(
            "largest relative gap of R^c between the splits",
            gap(Quantity::OfficialRate),
        ));
        gaps.push(number(
            "largest relative gap of nonzeros between the splits",
            gap(Quantity::NonzeroAfterIsta),
        ));
    }

    let mut blocks = Vec::new();
    let unit = (
        Quantity::UnitSubspaceRateAfterMssa,
        Quantity::UnitSubspaceRateBeforeMssa,
    );
    if let Some(found) = trained {
        let before = Quantity::SubspaceRateBeforeMssa;
        blocks.extend([
            number(
                "fraction of layers where MSSA lowers R^c, unit tokens",
                fraction_below(found, unit.0, unit.1),
            ),
            number(
                "fraction of layers where MSSA lowers R^c, tokens as they are",
                fraction_below(found, Quantity::SubspaceRateAfterMssa, before),
            ),
            number(
                "fraction of layers where MSSA lowers R^c, Frobenius norm kept",
                fraction_below(found, Quantity::SubspaceRateAfterMssaNormMatched, before),
            ),
            number(
                "fraction of layers where ISTA raises the sparsity",
                fraction_below(
                    found,
                    Quantity::NonzeroAfterIsta,
                    Quantity::NonzeroBeforeIsta,
                ),
            ),
            number(
                "fraction of layers where ISTA beats a plain ReLU",
                fraction_below(
                    found,
                    Quantity::NonzeroAfterIsta,
                    Quantity::PositiveBeforeIsta,
                ),
            ),
        ]);
    }
    if let Some(found) = untrained {
        blocks.push(number(
            "untrained: fraction of layers where MSSA lowers R^c, unit tokens",
            fraction_below(found, unit.0, unit.1),
        ));
    }

    vec![
        RATE_FALLS.judge(falls(Quantity::OfficialRate)),
        CAPTION_RATE_FALLS.judge(falls(Quantity::SubspaceRateAfterMssa)),
        SPARSITY_GROWS.judge(sparsity),
        UNTRAINED_CURVES.judge(control),
        SPLITS_AGREE.judge(gaps),
        EVERY_BLOCK_WORKS.judge(blocks),
    ]
}

fn last_over_first(means: &[f64]) -> f64 {
    match means {
        [first, .., last] => last / first,
        _ => f64::NAN,
    }
}

/// Fraction of layers whose mean of `low` is below that of `high`.
fn fraction_below(found: &Layerwise, low: Quantity, high: Quantity) -> f64 {
    let (low, high) = (found.means(low), found.means(high));
    let below = low.iter().zip(&high).filter(|(low, high)| low < high);
    below.count() as f64 / low.len() as f64
}

fn curves(measured: &Measured) -> Curves {
    let summaries: Vec<(Quantity, Vec<Summary>)> = measured
        .values
        .curves
        .iter()
        .map(|curve| (curve.quantity, curve.summaries()))
        .collect();
    let layers = summaries.first().map_or(0, |(_, layers)| layers.len());
    Curves {
        network: measured.network,
        split: measured.split,
        zero_tokens: measured.values.zero_tokens,
        layers: (0..layers)
            .map(|layer| LayerRow {
                layer: layer + 1,
                quantities: summaries.iter().map(|(q, s)| (*q, s[layer])).collect(),
            })
            .collect(),
    }
}

fn print_table(measured: &[Measured]) {
    println!(
        "\nMeans over images. R^c and its change in nats (official measurement; change across MSSA \
         for tokens of length 1).\n"
    );
    println!(
        "{:>5} | {:^27} | {:^27} | {:^19}",
        "", "R^c", "nonzero fraction", "change of R^c"
    );
    println!(
        "{:>5} | {:>8} {:>8} {:>9} | {:>8} {:>8} {:>9} | {:>9} {:>9}",
        "layer",
        "train",
        "held-out",
        "untrained",
        "train",
        "held-out",
        "untrained",
        "held-out",
        "untrained"
    );
    let sources = [
        find(measured, "trained", Split::Train),
        find(measured, "trained", Split::Test),
        find(measured, "untrained", Split::Test),
    ];
    let layers = measured[0].values.means(Quantity::OfficialRate).len();
    let cell = |source: Option<&Layerwise>, quantity: Quantity, layer: usize| {
        source.map(|found| found.means(quantity)[layer])
    };
    let change = |source: Option<&Layerwise>, layer: usize| {
        let after = cell(source, Quantity::UnitSubspaceRateAfterMssa, layer)?;
        Some(after - cell(source, Quantity::UnitSubspaceRateBeforeMssa, layer)?)
    };
    let one = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
    let three = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.3}"));
    let signed = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:+.2}"));
    for layer in 0..layers {
        let rate = sources.map(|s| one(cell(s, Quantity::OfficialRate, layer)));
        let sparsity = sources.map(|s| three(cell(s, Quantity::NonzeroAfterIsta, layer)));
        println!(
            "{:>5} | {:>8} {:>8} {:>9} | {:>8} {:>8} {:>9} | {:>9} {:>9}",
            layer + 1,
            rate[0],
            rate[1],
            rate[2],
            sparsity[0],
            sparsity[1],
            sparsity[2],
            signed(change(sources[1], layer)),
            signed(change(sources[2], layer)),
        );
    }
}

/// One row per network, split, layer and quantity.
fn write_table(path: &Path, measured: &[Measured]) -> Result<()> {
    #[derive(Serialize)]
    struct Row {
        network: &'static str,
        split: Split,
        layer: usize,
        quantity: Quantity,
        mean: f64,
        deviation: f64,
        images: usize,
    }
    let unwritable = |e: String| Error::file(path, "a table", e, "please report this");
    let mut table = csv::Writer::from_writer(Vec::new());
    for measured in measured {
        for curve in &measured.values.curves {
            for (layer, summary) in curve.summaries().into_iter().enumerate() {
                let row = Row {
                    network: measured.network,
                    split: measured.split,
                    layer: layer + 1,
                    quantity: curve.quantity,
                    mean: summary.mean,
                    deviation: summary.deviation,
                    images: summary.count,
                };
                table
                    .serialize(row)
                    .map_err(|e| unwritable(e.to_string()))?;
            }
        }
    }
    let bytes = table.into_inner().map_err(|e| unwritable(e.to_string()))?;
    artefact::write(path, &bytes)
}

fn chart(
    path: &Path,
    measured: &[Measured],
    quantity: Quantity,
    title: &str,
    vertical: &str,
) -> Result<()> {
    let lines = [
        ("trained, training images", "trained", Split::Train),
        ("trained, held-out images", "trained", Split::Test),
        ("untrained, held-out images", "untrained", Split::Test),
    ];
    let series = lines
        .into_iter()
        .enumerate()
        .filter_map(|(colour, (name, network, split))| {
            let curve = find(measured, network, split)?.curve(quantity)?;
            Some(Series {
                name: name.to_owned(),
                values: curve.summaries(),
                colour,
            })
        })
        .collect();
    let chart = Chart {
        title,
        vertical,
        series,
    };
    chart.write(path)
}
