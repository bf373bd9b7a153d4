//! The book's figure of the attention-only theorem: is the published curve geometric, and is any re-run of it?

use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Source, Whose};
use whitebox::harness::chart::{Chart, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::statistics::Summary;
use whitebox::measure::trend::{akaike_difference, fit_geometric, fit_line};
use whitebox::Result;

use crate::curve::{Curve, PUBLISHED};
use crate::settings::AttentionOnly as Settings;
use crate::{Found, Named};

pub(crate) const BOOK: &str = "authors' book, chapter 4";

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-THY-23",
    Source::of(BOOK, "figures SNR1 and SNR2, whose setting is not given, against theorem thm:1"),
    Whose::Authors,
    "The signal-to-noise ratio grows geometrically, as the theorem has it, in the published figure and in its \
     re-run",
    &[
        Criterion::at_least(
            "published curve, noise 0.2: AIC of a line less that of a geometric curve",
            10.0,
            |found: &Found| geometric(found, 0.2, Curve::Published),
        ),
        Criterion::at_least(
            "published curve, noise 0.5: AIC of a line less that of a geometric curve",
            10.0,
            |found: &Found| geometric(found, 0.5, Curve::Published),
        )
        .secondary(),
        Criterion::at_least("thresholded softmax, noise 0.2: the same", 10.0, |found: &Found| {
            geometric(found, 0.2, Curve::Thresholded)
        })
        .secondary(),
        Criterion::at_least("thresholded softmax, noise 0.5: the same", 10.0, |found: &Found| {
            geometric(found, 0.5, Curve::Thresholded)
        })
        .secondary(),
        Criterion::at_most(
            "thresholded softmax, noise 0.2: distance of the ratio from 1 + eta tau",
            0.01,
            |found: &Found| distance(found, 0.2),
        )
        .secondary(),
        Criterion::at_most(
            "thresholded softmax, noise 0.5: distance of the ratio from 1 + eta tau",
            0.01,
            |found: &Found| distance(found, 0.5),
        )
        .secondary(),
    ],
)];

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    noise: f64,
    phi: Curve,
    layer: usize,
    mean: f64,
    deviation: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fit {
    noise: f64,
    phi: Curve,
    slope: f64,
    ratio: f64,
    /// Above 0 the geometric curve fits better.
    aic_line_less_geometric: f64,
}

fn fit(fits: &[Fit], noise: f64, curve: Curve) -> Option<&Fit> {
    fits.iter().find(|f| f.noise == noise && f.phi == curve)
}

// One curve of means each: of a fixed set of draws, or of the figure.
fn geometric(found: &Found, noise: f64, curve: Curve) -> Option<Measured> {
    let fit = fit(&found.attention_only.fits, noise, curve)?;
    Some(Measured::exact(fit.aic_line_less_geometric))
}

fn distance(found: &Found, noise: f64) -> Option<Measured> {
    let fit = fit(&found.attention_only.fits, noise, Curve::Thresholded)?;
    Some(Measured::exact(fit.distance(found.attention_only.gain)))
}

impl Fit {
    fn distance(&self, gain: f64) -> f64 {
        (self.ratio / gain - 1.0).abs()
    }
}

/// The numbers of the claim.
pub(crate) fn numbers(fits: &[Fit], gain: f64) -> Vec<Named> {
    let mut numbers = Vec::new();
    for (noise, _) in PUBLISHED {
        let names = [
            format!("published curve, noise {noise}: AIC of a line less that of a geometric curve"),
            format!("thresholded softmax, noise {noise}: the same"),
            format!("thresholded softmax, noise {noise}: distance of the ratio from 1 + eta tau"),
        ];
        let curves = [Curve::Published, Curve::Thresholded];
        if let [Some(published), Some(own)] = curves.map(|curve| fit(fits, noise, curve)) {
            let values = [
                published.aic_line_less_geometric,
                own.aic_line_less_geometric,
                own.distance(gain),
            ];
            numbers.extend(
                names
                    .iter()
                    .zip(values)
                    .map(|(name, value)| Named::new(name, value)),
            );
        }
    }
    numbers
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<(Vec<Row>, Vec<Fit>)> {
    let bar = run.progress(PUBLISHED.len());
    let (mut rows, mut fits) = (Vec::new(), Vec::new());
    for (noise, published) in PUBLISHED {
        for (phi, _) in Curve::ALL {
            let values = phi.values(settings, run, noise, &published)?;
            let points = values.iter().enumerate().map(|(l, v)| (l as f64, v.mean));
            let points: Vec<(f64, f64)> = points.collect();
            let (line, geometric) = (fit_line(&points), fit_geometric(&points));
            let size = values[0].mean;
            fits.push(Fit {
                noise,
                phi,
                slope: line.growth,
                ratio: geometric.growth,
                aic_line_less_geometric: akaike_difference(line, geometric, points.len(), size),
            });
            rows.extend(values.into_iter().enumerate().map(|(layer, value)| Row {
                noise,
                phi,
                layer: layer + 1,
                mean: value.mean,
                deviation: value.deviation,
            }));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((rows, fits))
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.table("curves.csv", &found.attention_only.curves)?;
    for (noise, _) in PUBLISHED {
        let curves = Curve::ALL.into_iter().enumerate();
        let series = curves.map(|(colour, (phi, name))| {
            let rows = found.attention_only.curves.iter();
            let values = rows
                .filter(|r| r.noise == noise && r.phi == phi)
                .map(|r| Summary {
                    mean: r.mean,
                    deviation: r.deviation,
                    count: 1,
                });
            Series::by_layer(name, colour, values.collect())
        });
        let title = format!("Signal-to-noise ratio by layer, noise {noise}");
        let chart = Chart::by_layer(&title, "signal-to-noise ratio", series.collect());
        shown.chart(&format!("snr-{noise}.svg"), &chart)?;
    }
    Ok(())
}
