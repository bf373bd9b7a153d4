//! `whitebox forward --checkpoint FILE --heads K --input x.npy --output y.npy [--measure m.json]`

use std::path::PathBuf;

use dfdx::prelude::Cpu;
use ndarray::{Array2, Ix4};
use whitebox::data::npy;
use whitebox::harness::console;
use whitebox::harness::device::{DeviceArguments, OnDevice};
use whitebox::measure::layerwise::{measure_input, Layerwise, Quantity};
use whitebox::model::{Classifier, Runtime};
use whitebox::train::score::check_logits;
use whitebox::{artefact, Error, Result};

use super::checkpoint::CheckpointArguments;

/// Far above every pixel less its mean over its deviation, of any data set here.
const LARGEST_PIXEL: f64 = 10.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    checkpoint: CheckpointArguments,
    /// Images (B, C, H, W), f32, already normalised.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where to write the logits (B, classes), f32.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Where to write the official layer-wise measurement over the batch, as JSON.
    #[arg(long, value_name = "FILE")]
    measure: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArguments,
    /// Threads; the results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// [`measure_input`] on any device.
struct Work<'a> {
    network: &'a Classifier<f32, Cpu>,
    pixels: &'a [f32],
    quantities: &'a [Quantity],
    threads: usize,
}

impl OnDevice for Work<'_> {
    type Output = Layerwise;

    fn run<D: Runtime<f32>>(self, device: &D) -> Result<Layerwise> {
        let network = self.network.on(device)?;
        // Nothing random is asked for.
        measure_input(&network, self.pixels, self.quantities, 0, self.threads)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (network, _) = arguments.checkpoint.load()?;
    let config = *network.config();
    let input = npy::read::<Ix4>(&arguments.input, "(B, C, H, W)")?;
    let (b, c, h, w) = input.dim();
    let [height, width] = config.image_size;
    if (c, h, w) != (config.channels, height, width) || b == 0 {
        return Err(Error::file(
            &arguments.input,
            format!(
                "(B, {}, {height}, {width}), which tensor pos_embedding of the checkpoint implies",
                config.channels
            ),
            format!("({b}, {c}, {h}, {w})"),
            "resize the images, or give the right --channels",
        ));
    }
    if let Some((position, value)) = input.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::file(
            &arguments.input,
            "finite numbers",
            format!("{value} at {position:?}"),
            "find out where it comes from",
        ));
    }
    let largest = input.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    console::warn((largest > LARGEST_PIXEL).then(|| {
        format!(
            "{}: numbers up to {largest}; normalised pictures stay below {LARGEST_PIXEL}: \
             were pixels of 0 to 255 meant?",
            arguments.input.display()
        )
    }));
    let pixels: Vec<f32> = input.iter().map(|&v| v as f32).collect();
    let quantities: &[Quantity] = match arguments.measure {
        Some(_) => &[Quantity::OFFICIAL_RATE, Quantity::NONZERO_AFTER_ISTA],
        None => &[],
    };
    let threads = console::threads(arguments.threads);
    let found = arguments.device.device.run(Work {
        network: &network,
        pixels: &pixels,
        quantities,
        threads,
    })?;
    check_logits(&found.logits, config.classes, |row| {
        format!("picture {row} of {}", arguments.input.display())
    })?;
    let shape = [b, config.classes];
    let logits = Array2::from_shape_vec(shape, found.logits.clone())
        .map_err(|e| Error::misfit("logits", shape, &e))?;
    let report = arguments.measure.as_ref().map(|path| -> Result<_> {
        let rates = found.curve(Quantity::OFFICIAL_RATE)?.summaries();
        let nonzeros = found.curve(Quantity::NONZERO_AFTER_ISTA)?.summaries();
        let pairs = rates.into_iter().zip(nonzeros);
        let layers: Vec<_> = pairs
            .map(|(rate, nonzero)| {
                serde_json::json!({
                    "official_rate_mean": rate.mean,
                    "official_rate_std": (b > 1).then_some(rate.deviation),
                    "nonzero_fraction_mean": nonzero.mean,
                    "nonzero_fraction_std": nonzero.population_deviation(),
                })
            })
            .collect();
        let report = serde_json::json!({
            "layers": layers,
            "zero_tokens": found.zero_tokens,
        });
        Ok((path, format!("{report:#}\n")))
    });
    let report = report.transpose()?;
    npy::write(&arguments.output, &logits)?;
    if let Some((path, text)) = report {
        artefact::write(path, text.as_bytes())?;
    }
    Ok(())
}
