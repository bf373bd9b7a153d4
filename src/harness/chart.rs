//! Curves with error bars or bands, over layers or over a setting that is swept, as SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::artefact;
use crate::error::{Error, Result};
use crate::measure::statistics::Summary;

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Positions on the horizontal axis, ascending, with the values there.
    pub points: Vec<(f64, Summary)>,
    /// What the line stands for.
    pub colour: Colour,
    /// How the spread of the values is drawn.
    pub spread: Spread,
}

impl Series {
    /// A line with error bars.
    pub fn new(
        name: impl Into<String>,
        colour: impl Into<Colour>,
        points: Vec<(f64, Summary)>,
    ) -> Self {
        Self {
            name: name.into(),
            points,
            colour: colour.into(),
            spread: Spread::Deviation,
        }
    }

    /// Values of layer 1, 2, ...
    pub fn by_layer(
        name: impl Into<String>,
        colour: impl Into<Colour>,
        values: Vec<Summary>,
    ) -> Self {
        let layers = values.into_iter().enumerate();
        let points = layers.map(|(l, value)| (l as f64 + 1.0, value)).collect();
        Self::new(name, colour, points)
    }

    /// With a band of the mean's 95 % interval in the place of error bars, where there is one.
    pub fn with_interval(mut self) -> Self {
        let several = self.points.iter().all(|(_, value)| value.count > 1);
        if several {
            self.spread = Spread::Interval;
        }
        self
    }

    /// Half of the height of bar or band.
    fn half(&self, value: &Summary) -> f64 {
        match self.spread {
            Spread::Deviation => value.deviation,
            Spread::Interval => value.interval(),
        }
    }
}

/// What a line stands for: the same thing has the same colour in every chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// A trained network, on images that it has not seen; or the one thing that a chart is about.
    Trained,
    /// A trained network, on images that it was trained on.
    TrainingImages,
    /// The network before training.
    Untrained,
    /// What a paper prints, or what is known.
    Reference,
    /// What the claim credits is missing here.
    Control,
    /// One of several kinds that only the chart's legend tells apart.
    Kind(usize),
}

impl From<usize> for Colour {
    fn from(kind: usize) -> Self {
        Self::Kind(kind)
    }
}

impl Colour {
    /// Okabe and Ito's colours, which remain distinct for the colour-blind and on light and dark pages.
    fn rgb(self) -> RGBColor {
        const KINDS: [RGBColor; 6] = [
            RGBColor(0, 158, 115),
            RGBColor(204, 121, 167),
            RGBColor(213, 94, 0),
            RGBColor(0, 114, 178),
            RGBColor(86, 180, 233),
            RGBColor(150, 130, 0),
        ];
        match self {
            Self::Trained => RGBColor(0, 114, 178),
            Self::TrainingImages => RGBColor(86, 180, 233),
            Self::Untrained => RGBColor(230, 119, 0),
            Self::Reference => RGBColor(40, 40, 40),
            Self::Control => RGBColor(140, 140, 140),
            Self::Kind(kind) => KINDS[kind % KINDS.len()],
        }
    }
}

/// How the spread of the values of a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Bars of one standard deviation.
    Deviation,
    /// A band of the 95 % interval of the mean.
    Interval,
}

/// How positions lie on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Whole numbers; the error bars of different series stand beside each other.
    Layers,
    /// As they are.
    Linear,
    /// By their logarithm; what is not positive is left out.
    Logarithmic,
}

/// Name and unit of an axis, and its scale.
#[derive(Debug, Clone, Copy)]
pub struct Axis<'a> {
    /// Name and unit.
    pub name: &'a str,
    /// Scale.
    pub scale: Scale,
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// What is swept.
    pub horizontal: Axis<'a>,
    /// What was measured.
    pub vertical: Axis<'a>,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
}

const SIZE: (u32, u32) = (720, 460);
/// Height of the strip for the title.
const HEAD: u32 = 40;
/// Height of a row of the legend.
const LEGEND_ROW: u32 = 20;
/// Entries of the legend in a row.
const LEGEND_COLUMNS: usize = 3;
/// Room for one entry of the legend.
const LEGEND_STEP: i32 = 212;
/// Error bars of different series stand beside each other, this far apart, in layers.
const OFFSET: f64 = 0.09;

/// A point in the coordinates that are drawn: horizontal, bottom of the bar, value, top.
type Drawn = [f64; 4];

impl<'a> Chart<'a> {
    /// A chart over layers, on a linear vertical axis.
    pub fn by_layer(title: &'a str, vertical: &'a str, series: Vec<Series>) -> Self {
        Self {
            title,
            horizontal: Axis {
                name: "layer",
                scale: Scale::Layers,
            },
            vertical: Axis {
                name: vertical,
                scale: Scale::Linear,
            },
            series,
        }
    }

    /// Draws the chart into `path`, atomically. Points are means.
    ///
    /// # Errors
    /// [`Error::Chart`] if there is nothing to draw, [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_with(path, 2)
    }

    /// Draws the chart into `path`, atomically, with no lines between the points.
    ///
    /// # Errors
    /// [`Error::Chart`] if there is nothing to draw, [`Error::Io`].
    pub fn write_points(&self, path: &Path) -> Result<()> {
        self.write_with(path, 0)
    }

    fn write_with(&self, path: &Path, stroke: u32) -> Result<()> {
        let failed = |message: String| Error::Chart {
            path: path.to_owned(),
            message,
        };
        let lines: Vec<Vec<Drawn>> = (0..self.series.len()).map(|i| self.drawn(i)).collect();
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            })
        };
        let all = || lines.iter().flatten();
        let (left, right) = range(&mut all().map(|p| p[0]));
        let (low, high) = range(&mut all().flat_map(|p| [p[1], p[3]]));
        if ![left, right, low, high].iter().all(|v| v.is_finite()) {
            return Err(failed("no finite values".into()));
        }
        let margin = 0.05 * (high - low).max(1e-12);
        let side = match self.horizontal.scale {
            Scale::Layers => 0.5,
            _ => 0.03 * (right - left).max(1e-12),
        };
        let horizontal = match self.horizontal.scale {
            Scale::Layers => (left.round() - side, right.round() + side),
            _ => (left - side, right + side),
        };
        let (mut svg, vertical) = (String::new(), (low - margin, high + margin));
        self.draw(&mut svg, &lines, stroke, horizontal, vertical)
            .map_err(failed)?;
        artefact::write(path, svg.as_bytes())
    }

    /// The points of a series in drawn coordinates.
    fn drawn(&self, index: usize) -> Vec<Drawn> {
        let middle = (self.series.len() as f64 - 1.0) / 2.0;
        let shift = match self.horizontal.scale {
            Scale::Layers => (index as f64 - middle) * OFFSET,
            _ => 0.0,
        };
        let series = &self.series[index];
        let points = series.points.iter();
        points
            .filter_map(|&(x, value)| {
                let x = to_axis(self.horizontal.scale, x)? + shift;
                let mean = to_axis(self.vertical.scale, value.mean)?;
                // On a logarithmic axis a bar that reaches 0 has no lower end: it stops at the point.
                let end = |v: f64| to_axis(self.vertical.scale, v).unwrap_or(mean);
                let (bottom, top) = (
                    value.mean - series.half(&value),
                    value.mean + series.half(&value),
                );
                Some([x, end(bottom), mean, end(top)])
            })
            .collect()
    }

    fn draw(
        &self,
        svg: &mut String,
        lines: &[Vec<Drawn>],
        stroke: u32,
        (left, right): (f64, f64),
        (low, high): (f64, f64),
    ) -> std::result::Result<(), String> {
        let text = |e: DrawingAreaErrorKind<_>| format!("{e:?}");
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(text)?;
        let rows = self.series.len().div_ceil(LEGEND_COLUMNS) as u32;
        let (head, plot) = area.split_vertically(HEAD + rows * LEGEND_ROW);
        self.draw_head(&head).map_err(text)?;
        let mut chart = ChartBuilder::on(&plot)
            .margin(12)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(left..right, low..high)
            .map_err(text)?;
        let ticks = match self.horizontal.scale {
            Scale::Layers => ((right - left) as usize).min(24) + 2,
            _ => 8,
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(ticks)
            .x_label_formatter(&|x| tick(self.horizontal.scale, *x, right - left))
            .y_label_formatter(&|y| tick(self.vertical.scale, *y, high - low))
            .x_desc(self.horizontal.name)
            .y_desc(self.vertical.name)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(text)?;
        let cap = match self.horizontal.scale {
            Scale::Layers => OFFSET / 2.0,
            _ => 0.004 * (right - left),
        };
        for (series, points) in self.series.iter().zip(lines) {
            let colour = series.colour.rgb();
            let line = points.iter().map(|[x, _, mean, _]| (*x, *mean));
            if stroke > 0 {
                let line = LineSeries::new(line, colour.stroke_width(stroke));
                chart.draw_series(line).map_err(text)?;
            }
            if series.spread == Spread::Interval {
                let below = points.iter().map(|[x, bottom, ..]| (*x, *bottom));
                let above = points.iter().rev().map(|[x, _, _, top]| (*x, *top));
                let edge: Vec<(f64, f64)> = below.chain(above).collect();
                let band = Polygon::new(edge, colour.mix(0.18).filled());
                chart.draw_series([band]).map_err(text)?;
            } else {
                let bars = points.iter().flat_map(|[x, bottom, _, top]| {
                    [
                        vec![(*x, *bottom), (*x, *top)],
                        vec![(x - cap, *bottom), (x + cap, *bottom)],
                        vec![(x - cap, *top), (x + cap, *top)],
                    ]
                });
                let bars = bars.map(|path| PathElement::new(path, colour.stroke_width(1)));
                chart.draw_series(bars).map_err(text)?;
            }
            let dots = points
                .iter()
                .map(|[x, _, mean, _]| Circle::new((*x, *mean), 3, colour.filled()));
            chart.draw_series(dots).map_err(text)?;
        }
        area.present().map_err(text)
    }

    /// Title and legend, in a strip of their own, so that they never cover a curve.
    fn draw_head<B: DrawingBackend>(
        &self,
        head: &DrawingArea<B, plotters::coord::Shift>,
    ) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let title = ("sans-serif", 18).into_text_style(head);
        head.draw_text(self.title, &title, (78, 10))?;
        let label = ("sans-serif", 14).into_text_style(head);
        for (index, series) in self.series.iter().enumerate() {
            let x = 78 + LEGEND_STEP * (index % LEGEND_COLUMNS) as i32;
            let y = 46 + LEGEND_ROW as i32 * (index / LEGEND_COLUMNS) as i32;
            let colour = series.colour.rgb();
            let key = vec![(x, y), (x + 22, y)];
            head.draw(&PathElement::new(key, colour.stroke_width(3)))?;
            head.draw_text(&series.name, &label, (x + 28, y - 7))?;
        }
        Ok(())
    }
}

/// A value in drawn coordinates, if the axis has a place for it.
fn to_axis(scale: Scale, value: f64) -> Option<f64> {
    match scale {
        Scale::Logarithmic => (value > 0.0).then(|| value.log10()),
        _ => Some(value),
    }
}

/// The label at a drawn coordinate of an axis of this length.
fn tick(scale: Scale, position: f64, length: f64) -> String {
    match scale {
        Scale::Layers if (position - position.round()).abs() > 1e-9 => String::new(),
        Scale::Layers => format!("{position:.0}"),
        Scale::Linear if length > 20.0 => format!("{position:.0}"),
        Scale::Linear if length > 5.0 => format!("{position:.1}"),
        Scale::Linear => format!("{position:.2}"),
        Scale::Logarithmic => {
            let value = 10f64.powf(position);
            if !(1e-3..1e5).contains(&value) {
                return format!("{value:.0e}");
            }
            // Two digits: between the powers of ten lie their multiples by 3.2.
            let decimals = (1.0 - value.log10().floor()).max(0.0) as usize;
            let text = format!("{value:.decimals$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(mean: f64) -> Summary {
        Summary {
            mean,
            deviation: 0.5,
            count: 2,
        }
    }

    #[test]
    fn a_logarithmic_axis_leaves_out_what_it_cannot_hold() {
        let axis = |scale| Axis { name: "a", scale };
        let chart = Chart {
            title: "t",
            horizontal: axis(Scale::Logarithmic),
            vertical: axis(Scale::Logarithmic),
            series: vec![Series::new(
                "s",
                Colour::Trained,
                vec![
                    (0.0, summary(1.0)),
                    (1.0, summary(-1.0)),
                    (10.0, summary(0.1)),
                ],
            )],
        };
        let drawn = chart.drawn(0);
        assert_eq!(drawn.len(), 1);
        // The bar's lower end, -0.4, has no place either.
        assert_eq!(drawn[0][..3], [1.0, -1.0, -1.0]);
        let folder = tempfile::tempdir().unwrap();
        chart.write(&folder.path().join("chart.svg")).unwrap();
    }

    #[test]
    fn ticks_of_a_logarithmic_axis_have_two_digits() {
        let tick = |position| tick(Scale::Logarithmic, position, 3.0);
        assert_eq!(
            [-2.0, -0.5, 0.0, 0.5, 1.0, 2.5, 4.0].map(tick),
            ["0.01", "0.32", "1", "3.2", "10", "316", "10000"]
        );
        assert_eq!(tick(-6.0), "1e-6");
    }

    #[test]
    fn a_band_is_the_interval_of_the_mean_and_needs_several_values() {
        let several = vec![summary(1.0), summary(2.0)];
        let banded = Series::by_layer("s", Colour::Trained, several.clone()).with_interval();
        assert_eq!(banded.spread, Spread::Interval);
        // Student's 12.706 standard errors of two values.
        let half = 12.706 * 0.5 / 2f64.sqrt();
        assert!((banded.half(&several[0]) - half).abs() < 1e-3);
        let chart = Chart::by_layer("t", "v", vec![banded]);
        let drawn = chart.drawn(0);
        assert!((drawn[1][3] - drawn[1][2] - half).abs() < 1e-3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        chart.write(&path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("<polygon"));
        let one = Summary::of(&[3.0]);
        let alone = Series::by_layer("s", Colour::Trained, vec![one]).with_interval();
        assert_eq!((alone.spread, alone.half(&one)), (Spread::Deviation, 0.0));
    }

    #[test]
    fn what_has_a_meaning_of_its_own_has_a_colour_of_its_own() {
        use Colour::*;
        let meanings = [Trained, TrainingImages, Untrained, Reference, Control];
        for (index, colour) in meanings.into_iter().enumerate() {
            assert!(meanings[..index].iter().all(|c| c.rgb() != colour.rgb()));
        }
    }

    #[test]
    fn a_chart_of_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let chart = Chart::by_layer("t", "v", Vec::new());
        assert!(chart.write(&folder.path().join("chart.svg")).is_err());
    }
}
