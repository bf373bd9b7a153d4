//! The attention-only transformer's theorem: with the thresholded softmax every layer multiplies the
//! ratio of signal to noise by exactly `1 + eta tau`. And the book's figure of it.

use ndarray::{Array2, Axis as Dimension};
use serde::Serialize;
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::attention_only::{attention_only_layer, Phi};
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::claim::Scale as Size;
use whitebox::harness::claim::{Claim, Criterion, Kind, Measurement, Verdict};
use whitebox::harness::run::Run;
use whitebox::harness::table;
use whitebox::measure::statistics::{fraction, Summary};
use whitebox::measure::trend::{akaike_difference, fit_geometric, fit_line};
use whitebox::{parallel, Result};

use crate::compression::{block_ratios, mean_ratio};

const BOOK: &str = "authors' book, chapter 4";

// ANCHOR: claims
/// A layer counts as exact up to this relative deviation: rounding is six orders below.
const EXACT: f64 = 1e-9;

const ONE_LAYER: Claim = Claim {
    id: "C-THY-22-one",
    paper: BOOK,
    location: "theorem thm:1, for one layer",
    statement:
        "The first layer multiplies every subspace's signal-to-noise ratio by exactly 1 + eta tau",
    criteria: &[
        Criterion::at_least("fraction of draws exact at layer 1", 0.95),
        Criterion::at_most(
            "scores scaled by p^{-1/2}: fraction of draws exact at layer 1",
            0.05,
        )
        .control(),
    ],
    kind: Kind::Asymptotic,
    scale: Size::Small,
};

const ALL_LAYERS: Claim = Claim {
    id: "C-THY-22",
    paper: BOOK,
    location: "theorem thm:1",
    statement: "All of 12 layers do",
    criteria: &[Criterion::at_least(
        "fraction of draws exact at all 12 layers",
        0.95,
    )],
    kind: Kind::Asymptotic,
    scale: Size::Small,
};

const RESCALED: Claim = Claim {
    id: "C-THY-22-rescaled",
    paper: "repaired by this project",
    location: "theorem thm:1 with every token rescaled to length sqrt(p) after each layer",
    statement: "Rescaled, all of 20 layers do",
    criteria: &[Criterion::at_least(
        "rescaled: fraction of draws exact at all 20 layers",
        0.95,
    )],
    kind: Kind::Asymptotic,
    scale: Size::Small,
};

const FIGURE: Claim = Claim {
    id: "C-THY-23",
    paper: BOOK,
    location: "figures SNR1 and SNR2 against theorem thm:1",
    statement:
        "The signal-to-noise ratio grows geometrically, as the theorem has it, in the published \
                figure and in its re-run",
    criteria: &[
        Criterion::at_least(
            "published curve, noise 0.2: AIC of a line less that of a geometric curve",
            10.0,
        ),
        Criterion::at_least(
            "published curve, noise 0.5: AIC of a line less that of a geometric curve",
            10.0,
        ),
        Criterion::at_least("thresholded softmax, noise 0.2: the same", 10.0),
        Criterion::at_least("thresholded softmax, noise 0.5: the same", 10.0),
        Criterion::at_most(
            "thresholded softmax, noise 0.2: distance of the ratio from 1 + eta tau",
            0.01,
        ),
        Criterion::at_most(
            "thresholded softmax, noise 0.5: distance of the ratio from 1 + eta tau",
            0.01,
        ),
    ],
    kind: Kind::Empirical,
    scale: Size::Small,
};

/// Signal-to-noise ratios by layer, read off the book's figures SNR1 (noise 0.2) and SNR2 (0.5).
const PUBLISHED: [(f64, [f64; 13]); 2] = [
    (
        0.2,
        [
            1.55, 1.64, 1.735, 1.83, 1.92, 2.015, 2.11, 2.205, 2.30, 2.39, 2.485, 2.58, 2.62,
        ],
    ),
    (
        0.5,
        [
            1.635, 1.72, 1.81, 1.90, 1.985, 2.08, 2.17, 2.26, 2.355, 2.45, 2.54, 2.635, 2.73,
        ],
    ),
];
// ANCHOR_END: claims

const HEADS: usize = 4;

/// One size at which the theorem is tried.
#[derive(Debug, Clone, Copy, Serialize)]
struct TheoremSize {
    p: usize,
    tokens: usize,
    draws: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    eta: f64,
    tau: f64,
    /// Sizes with p >= 64, for which tau lies in the theorem's interval.
    sizes: Vec<TheoremSize>,
    /// Noise, in units of `p^{-1/2}`; the theorem asks for no more than a constant times that.
    noises: Vec<f64>,
    layers: usize,
    rescaled_layers: usize,
    first_off_noises: Vec<f64>,
    first_off_draws: usize,
    figure_p: usize,
    figure_tokens: usize,
    figure_eta: f64,
    figure_eta_relu: f64,
    figure_draws: usize,
}

impl Settings {
    pub(crate) fn new(quick: bool) -> Self {
        let size = |p, tokens, draws| TheoremSize { p, tokens, draws };
        let sizes = if quick {
            vec![size(64, 128, 1)]
        } else {
            vec![
                size(64, 128, 100),
                size(64, 512, 20),
                size(128, 512, 8),
                size(64, 2048, 1),
            ]
        };
        Self {
            eta: 0.5,
            tau: 0.6,
            sizes,
            noises: vec![0.1, 0.25, 0.5],
            layers: 12,
            rescaled_layers: 20,
            first_off_noises: (0..if quick { 2 } else { 10 })
                .map(|i| 2f64.powi(-2 - i))
                .collect(),
            first_off_draws: if quick { 1 } else { 10 },
            figure_p: 32,
            figure_tokens: 256,
            figure_eta: 0.1,
            figure_eta_relu: 0.02,
            figure_draws: if quick { 1 } else { 10 },
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct SnrRow {
    p: usize,
    tokens: usize,
    noise: f64,
    rescaled: bool,
    layer: usize,
    /// Largest relative deviation of the ratio from `1 + eta tau` over subspaces, mean and largest
    /// over draws.
    mean_deviation: f64,
    largest_deviation: f64,
    /// Draws exact up to and including this layer.
    exact: f64,
}

#[derive(Debug, Clone, Serialize)]
struct FirstOffRow {
    noise: f64,
    rescaled: bool,
    /// First layer that is not exact; one more than there are layers if all are. Mean over draws.
    first_layer_off: f64,
    deviation: f64,
    draws: usize,
}

#[derive(Debug, Clone, Serialize)]
struct CurveRow {
    noise: f64,
    phi: &'static str,
    layer: usize,
    mean: f64,
    deviation: f64,
}

#[derive(Debug, Clone, Serialize)]
struct FitRow {
    noise: f64,
    phi: &'static str,
    slope: f64,
    ratio: f64,
    /// Above 0 the geometric curve fits better.
    aic_line_less_geometric: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    snr: Vec<SnrRow>,
    first_off: Vec<FirstOffRow>,
    curves: Vec<CurveRow>,
    fits: Vec<FitRow>,
    verdict_numbers: Vec<Measurement>,
    gain: f64,
}

/// Relative deviations of the ratio's growth from `1 + eta tau`, largest over subspaces, by layer.
fn deviations(
    model: &UnionOfSubspaces,
    run: &Run,
    draw: usize,
    settings: &Settings,
    layers: usize,
    rescaled: bool,
    phi: Phi,
) -> Result<Vec<f64>> {
    let drawn = model.draw(run.seed, draw)?;
    let gain = 1.0 + settings.eta * settings.tau;
    let mut z = drawn.noisy.clone();
    if rescaled {
        rescale(&mut z, model.p);
    }
    let mut found = Vec::with_capacity(layers);
    for _ in 0..layers {
        // The layer's own growth: rescaling weighs the tokens of a subspace anew, and so moves the
        // ratio of their sum without moving that of any token.
        let before = block_ratios(&drawn, &z);
        z = attention_only_layer(z.view(), drawn.bases.view(), settings.eta, phi);
        let after = block_ratios(&drawn, &z);
        let off = before
            .iter()
            .zip(&after)
            .map(|(b, a)| (a / b / gain - 1.0).abs());
        found.push(off.fold(0.0, f64::max));
        if rescaled {
            rescale(&mut z, model.p);
        }
    }
    Ok(found)
}

/// Every token to length `sqrt(p)`, what a clean token has on average.
fn rescale(z: &mut Array2<f64>, p: usize) {
    for mut token in z.axis_iter_mut(Dimension(1)) {
        let length = token.dot(&token).sqrt();
        if length > 0.0 {
            token *= (p as f64).sqrt() / length;
        }
    }
}

pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Results> {
    let (phi, layers) = (Phi::Thresholded { tau: settings.tau }, settings.layers);
    let steps = settings.sizes.len() * settings.noises.len() + settings.first_off_noises.len() + 2;
    let bar = run.progress(steps);
    let mut snr = Vec::new();
    let (mut one, mut all, mut rescaled_all, mut scaled_one) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for size in &settings.sizes {
        for &share in &settings.noises {
            let noise = share / (size.p as f64).sqrt();
            let model = UnionOfSubspaces::new(HEADS, size.p, size.tokens, noise);
            for rescaled in [false, true] {
                let count = if rescaled {
                    settings.rescaled_layers
                } else {
                    layers
                };
                let draws = parallel::map(size.draws, run.threads, |draw| {
                    deviations(&model, run, draw, settings, count, rescaled, phi)
                })?;
                for layer in 0..count {
                    let values: Vec<f64> = draws.iter().map(|d| d[layer]).collect();
                    snr.push(SnrRow {
                        p: size.p,
                        tokens: size.tokens,
                        noise,
                        rescaled,
                        layer: layer + 1,
                        mean_deviation: Summary::of(&values).mean,
                        largest_deviation: values.iter().copied().fold(0.0, f64::max),
                        exact: fraction(&draws, |d| d[..=layer].iter().all(|&v| v <= EXACT)),
                    });
                }
                for draw in &draws {
                    let exact = draw.iter().all(|&v| v <= EXACT);
                    if rescaled {
                        rescaled_all.push(exact);
                    } else {
                        one.push(draw[0] <= EXACT);
                        all.push(exact);
                    }
                }
            }
            let scaled = parallel::map(size.draws, run.threads, |draw| {
                scaled_first_layer(&model, run, draw, settings)
            })?;
            scaled_one.extend(scaled);
            bar.inc(1);
        }
    }
    let mut first_off = Vec::new();
    for &noise in &settings.first_off_noises {
        let model = UnionOfSubspaces::new(HEADS, 64, 256, noise);
        for rescaled in [false, true] {
            let draws = parallel::map(settings.first_off_draws, run.threads, |draw| {
                let count = settings.rescaled_layers;
                let found = deviations(&model, run, draw, settings, count, rescaled, phi)?;
                let first = found.iter().position(|&v| v > EXACT).unwrap_or(count);
                Ok(first as f64 + 1.0)
            })?;
            let found = Summary::of(&draws);
            first_off.push(FirstOffRow {
                noise,
                rescaled,
                first_layer_off: found.mean,
                deviation: found.deviation,
                draws: found.count,
            });
        }
        bar.inc(1);
    }
    let yes = |values: &[bool]| fraction(values, |&v| v);
    let mut numbers = vec![
        Measurement::of("fraction of draws exact at layer 1", yes(&one)),
        Measurement::of(
            "scores scaled by p^{-1/2}: fraction of draws exact at layer 1",
            yes(&scaled_one),
        ),
        Measurement::of("fraction of draws exact at all 12 layers", yes(&all)),
        Measurement::of(
            "rescaled: fraction of draws exact at all 20 layers",
            yes(&rescaled_all),
        ),
    ];
    let (mut curves, mut fits) = (Vec::new(), Vec::new());
    for (noise, published) in PUBLISHED {
        let (rows, found) = figure(settings, run, noise, &published)?;
        curves.extend(rows);
        fits.extend(found);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let gain = 1.0 + settings.figure_eta * settings.tau;
    numbers.extend(figure_numbers(&fits, gain));
    Ok(Results {
        snr,
        first_off,
        curves,
        fits,
        verdict_numbers: numbers,
        gain,
    })
}

/// Whether the first layer is exact with the network's scale on the scores.
fn scaled_first_layer(
    model: &UnionOfSubspaces,
    run: &Run,
    draw: usize,
    settings: &Settings,
) -> Result<bool> {
    let mut drawn = model.draw(run.seed, draw)?;
    // Scores scaled by p^{-1/2} are scores of tokens scaled by p^{-1/4}; the ratio ignores scale.
    drawn.noisy *= (model.p as f64).powf(-0.25);
    let before = block_ratios(&drawn, &drawn.noisy);
    let phi = Phi::Thresholded { tau: settings.tau };
    let next = attention_only_layer(drawn.noisy.view(), drawn.bases.view(), settings.eta, phi);
    let gain = 1.0 + settings.eta * settings.tau;
    let after = block_ratios(&drawn, &next);
    Ok(before
        .iter()
        .zip(&after)
        .all(|(b, a)| (a / b / gain - 1.0).abs() <= EXACT))
}

const PHIS: [&str; 4] = [
    "thresholded softmax",
    "softmax",
    "softmax, scale p^{-1/2}",
    "ReLU / N",
];

/// The book's figure at one noise level: every candidate for `phi`, and the published curve.
fn figure(
    settings: &Settings,
    run: &Run,
    noise: f64,
    published: &[f64; 13],
) -> Result<(Vec<CurveRow>, Vec<FitRow>)> {
    let model = UnionOfSubspaces::new(HEADS, settings.figure_p, settings.figure_tokens, noise);
    let scale = (settings.figure_p as f64).powf(-0.5);
    let candidates = [
        (Phi::Thresholded { tau: settings.tau }, settings.figure_eta),
        (Phi::Softmax { scale: 1.0 }, settings.figure_eta),
        (Phi::Softmax { scale }, settings.figure_eta),
        (Phi::Relu, settings.figure_eta_relu),
    ];
    let (mut curves, mut fits) = (Vec::new(), Vec::new());
    let mut keep = |phi: &'static str, values: Vec<Summary>| {
        let points: Vec<(f64, f64)> = values
            .iter()
            .enumerate()
            .map(|(l, v)| (l as f64, v.mean))
            .collect();
        let (line, geometric) = (fit_line(&points), fit_geometric(&points));
        fits.push(FitRow {
            noise,
            phi,
            slope: line.growth,
            ratio: geometric.growth,
            aic_line_less_geometric: akaike_difference(
                line,
                geometric,
                points.len(),
                values[0].mean,
            ),
        });
        for (layer, value) in values.into_iter().enumerate() {
            curves.push(CurveRow {
                noise,
                phi,
                layer: layer + 1,
                mean: value.mean,
                deviation: value.deviation,
            });
        }
    };
    for (name, (phi, eta)) in PHIS.into_iter().zip(candidates) {
        let draws = parallel::map(settings.figure_draws, run.threads, |draw| {
            let drawn = model.draw(run.seed, draw)?;
            let mut z = drawn.noisy.clone();
            let mut ratios = vec![mean_ratio(&drawn, &z)];
            while ratios.len() < published.len() {
                z = attention_only_layer(z.view(), drawn.bases.view(), eta, phi);
                ratios.push(mean_ratio(&drawn, &z));
            }
            Ok(ratios)
        })?;
        let by_layer = (0..published.len())
            .map(|layer| Summary::of(&draws.iter().map(|d| d[layer]).collect::<Vec<_>>()));
        keep(name, by_layer.collect());
    }
    keep(
        "published",
        published.iter().map(|&v| Summary::of(&[v])).collect(),
    );
    Ok((curves, fits))
}

fn figure_numbers(fits: &[FitRow], gain: f64) -> Vec<Measurement> {
    let find = |phi: &str, noise: f64| fits.iter().find(|f| f.phi == phi && f.noise == noise);
    let mut numbers = Vec::new();
    let names = [
        (
            0.2,
            "published curve, noise 0.2: AIC of a line less that of a geometric curve",
            "thresholded softmax, noise 0.2: the same",
            "thresholded softmax, noise 0.2: distance of the ratio from 1 + eta tau",
        ),
        (
            0.5,
            "published curve, noise 0.5: AIC of a line less that of a geometric curve",
            "thresholded softmax, noise 0.5: the same",
            "thresholded softmax, noise 0.5: distance of the ratio from 1 + eta tau",
        ),
    ];
    for (noise, published, own, distance) in names {
        if let Some(fit) = find("published", noise) {
            numbers.push(Measurement::of(published, fit.aic_line_less_geometric));
        }
        if let Some(fit) = find(PHIS[0], noise) {
            numbers.push(Measurement::of(own, fit.aic_line_less_geometric));
            numbers.push(Measurement::of(distance, (fit.ratio / gain - 1.0).abs()));
        }
    }
    numbers
}

impl Results {
    pub(crate) fn judge(&self) -> Vec<Verdict> {
        // A verdict keeps the numbers that its claim names.
        [ONE_LAYER, ALL_LAYERS, RESCALED, FIGURE]
            .into_iter()
            .map(|claim| {
                let named =
                    |m: &&Measurement| claim.criteria.iter().any(|c| c.quantity == m.quantity);
                claim.judge(self.verdict_numbers.iter().filter(named).cloned().collect())
            })
            .collect()
    }

    pub(crate) fn print(&self) {
        println!("\nFirst layer whose growth of the signal-to-noise ratio is not 1 + eta tau (21: none of 20), p 64, N 256.\n");
        println!("{:>9} | {:>10} | {:>10}", "noise", "as it is", "rescaled");
        for rows in self.first_off.chunks(2) {
            if let [plain, rescaled] = rows {
                println!(
                    "{:>9.5} | {:>10.1} | {:>10.1}",
                    plain.noise, plain.first_layer_off, rescaled.first_layer_off
                );
            }
        }
    }

    pub(crate) fn write(&self, run: &Run) -> Result<()> {
        table::write(&run.path("snr.csv"), &self.snr)?;
        table::write(&run.path("first-layer-off.csv"), &self.first_off)?;
        table::write(&run.path("curves.csv"), &self.curves)?;
        let first_off = [(false, "as the theorem has it"), (true, "tokens rescaled")];
        let series = first_off
            .into_iter()
            .enumerate()
            .map(|(colour, (rescaled, name))| {
                Series::new(
                    name,
                    colour,
                    self.first_off
                        .iter()
                        .rev()
                        .filter(|r| r.rescaled == rescaled)
                        .map(|r| {
                            let value = Summary {
                                mean: r.first_layer_off,
                                deviation: r.deviation,
                                count: r.draws,
                            };
                            (r.noise, value)
                        })
                        .collect(),
                )
            });
        Chart {
            title: "First of 20 layers off the theorem (21: none)",
            horizontal: Axis {
                name: "noise: deviation in the other subspaces",
                scale: Scale::Logarithmic,
            },
            vertical: Axis {
                name: "layer",
                scale: Scale::Linear,
            },
            series: series.collect(),
        }
        .write(&run.path("first-layer-off.svg"))?;
        for (noise, _) in PUBLISHED {
            let names = PHIS.into_iter().chain(["published"]);
            let series = names.enumerate().map(|(colour, phi)| {
                let rows = self
                    .curves
                    .iter()
                    .filter(|r| r.noise == noise && r.phi == phi);
                let values = rows.map(|r| Summary {
                    mean: r.mean,
                    deviation: r.deviation,
                    count: 1,
                });
                Series::by_layer(phi, colour, values.collect())
            });
            let title = format!("Signal-to-noise ratio by layer, noise {noise}");
            Chart::by_layer(&title, "signal-to-noise ratio", series.collect())
                .write(&run.path(&format!("snr-{noise}.svg")))?;
        }
        Ok(())
    }
}
