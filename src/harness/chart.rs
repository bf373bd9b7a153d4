//! Curves with error bars, over layers or over a setting that is swept, as SVG.

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
    /// Position in the palette: the same thing has the same colour in every chart.
    pub colour: usize,
}

impl Series {
    /// Values of layer 1, 2, ...
    pub fn by_layer(name: impl Into<String>, colour: usize, values: Vec<Summary>) -> Self {
        let layers = values.into_iter().enumerate();
        Self {
            name: name.into(),
            points: layers.map(|(l, value)| (l as f64 + 1.0, value)).collect(),
            colour,
        }
    }
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

/// Okabe and Ito's colours, which remain distinct for the colour-blind and on light and dark pages.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 119, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

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

    /// Draws the chart into `path`, atomically. Points are means, bars one standard deviation.
    ///
    /// # Errors
    /// [`Error::Chart`] if there is nothing to draw, [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_with(path, 2)
    }

    /// As [`Chart::write`], with no lines between the points.
    ///
    /// # Errors
    /// As there.
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
        let points = self.series[index].points.iter();
        points
            .filter_map(|&(x, value)| {
                let x = to_axis(self.horizontal.scale, x)? + shift;
                let mean = to_axis(self.vertical.scale, value.mean)?;
                // On a logarithmic axis a bar that reaches 0 has no lower end: it stops at the point.
                let end = |v: f64| to_axis(self.vertical.scale, v).unwrap_or(mean);
                let (bottom, top) = (value.mean - value.deviation, value.mean + value.deviation);
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
            let colour = PALETTE[series.colour % PALETTE.len()];
            let line = points.iter().map(|[x, _, mean, _]| (*x, *mean));
            if stroke > 0 {
                let line = LineSeries::new(line, colour.stroke_width(stroke));
                chart.draw_series(line).map_err(text)?;
            }
            let bars = points.iter().flat_map(|[x, bottom, _, top]| {
                [
                    vec![(*x, *bottom), (*x, *top)],
                    vec![(x - cap, *bottom), (x + cap, *bottom)],
                    vec![(x - cap, *top), (x + cap, *top)],
                ]
            });
            let bars = bars.map(|path| PathElement::new(path, colour.stroke_width(1)));
            chart.draw_series(bars).map_err(text)?;
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
            let colour = PALETTE[series.colour % PALETTE.len()];
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
            series: vec![Series {
                name: "s".into(),
                points: vec![
                    (0.0, summary(1.0)),
                    (1.0, summary(-1.0)),
                    (10.0, summary(0.1)),
                ],
                colour: 0,
            }],
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
    fn a_chart_of_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let chart = Chart::by_layer("t", "v", Vec::new());
        assert!(chart.write(&folder.path().join("chart.svg")).is_err());
    }
}
