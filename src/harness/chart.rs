//! Curves with error bars over layers, as SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::artefact;
use crate::error::{Error, Result};
use crate::measure::trend::Summary;

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// By layer, from 1.
    pub values: Vec<Summary>,
    /// Position in the palette: the same thing has the same colour in every chart.
    pub colour: usize,
}

/// A chart over layers.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// Name and unit of the vertical axis.
    pub vertical: &'a str,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
}

/// Okabe and Ito's colours, which remain distinct for the colour-blind and on light and dark pages.
const PALETTE: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 119, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

const SIZE: (u32, u32) = (720, 460);
/// Height of the strip for title and legend.
const HEAD: u32 = 60;
/// Room for one entry of the legend.
const LEGEND_STEP: i32 = 212;
/// Error bars of different series stand beside each other, this far apart, in layers.
const OFFSET: f64 = 0.09;

impl Chart<'_> {
    /// Draws the chart into `path`, atomically. Points are means, bars one standard deviation.
    ///
    /// # Errors
    /// [`Error::Chart`] if there is nothing to draw, [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |message: String| Error::Chart {
            path: path.to_owned(),
            message,
        };
        let ends = self.series.iter().flat_map(|s| {
            s.values
                .iter()
                .flat_map(|v| [v.mean - v.deviation, v.mean + v.deviation])
        });
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| {
            (low.min(end), high.max(end))
        });
        let layers = self
            .series
            .iter()
            .map(|s| s.values.len())
            .max()
            .unwrap_or(0);
        if !(low.is_finite() && high.is_finite()) || layers == 0 {
            return Err(failed("no finite values".into()));
        }
        let margin = 0.05 * (high - low).max(1e-12);
        let mut svg = String::new();
        self.draw(&mut svg, layers, low - margin, high + margin)
            .map_err(failed)?;
        artefact::write(path, svg.as_bytes())
    }

    fn draw(
        &self,
        svg: &mut String,
        layers: usize,
        low: f64,
        high: f64,
    ) -> std::result::Result<(), String> {
        let text = |e: DrawingAreaErrorKind<_>| format!("{e:?}");
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(text)?;
        let (head, plot) = area.split_vertically(HEAD);
        self.draw_head(&head).map_err(text)?;
        let mut chart = ChartBuilder::on(&plot)
            .margin(12)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(0.5..layers as f64 + 0.5, low..high)
            .map_err(text)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(layers.min(24) + 2)
            .x_label_formatter(&|x| {
                if (x - x.round()).abs() < 1e-9 {
                    format!("{x:.0}")
                } else {
                    String::new()
                }
            })
            .y_label_formatter(&|y| {
                if high - low > 20.0 {
                    format!("{y:.0}")
                } else {
                    format!("{y:.2}")
                }
            })
            .x_desc("layer")
            .y_desc(self.vertical)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(text)?;
        let middle = (self.series.len() as f64 - 1.0) / 2.0;
        for (index, series) in self.series.iter().enumerate() {
            let colour = PALETTE[series.colour % PALETTE.len()];
            let shift = (index as f64 - middle) * OFFSET;
            let points: Vec<(f64, Summary)> = series
                .values
                .iter()
                .enumerate()
                .map(|(layer, value)| (layer as f64 + 1.0 + shift, *value))
                .collect();
            let line = points.iter().map(|(x, v)| (*x, v.mean));
            chart
                .draw_series(LineSeries::new(line, colour.stroke_width(2)))
                .map_err(text)?;
            let bars = points.iter().flat_map(|(x, v)| {
                let (bottom, top) = (v.mean - v.deviation, v.mean + v.deviation);
                [
                    vec![(*x, bottom), (*x, top)],
                    vec![(x - OFFSET / 2.0, bottom), (x + OFFSET / 2.0, bottom)],
                    vec![(x - OFFSET / 2.0, top), (x + OFFSET / 2.0, top)],
                ]
            });
            let bars = bars.map(|path| PathElement::new(path, colour.stroke_width(1)));
            chart.draw_series(bars).map_err(text)?;
            let dots = points
                .iter()
                .map(|(x, v)| Circle::new((*x, v.mean), 3, colour.filled()));
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
            let x = 78 + LEGEND_STEP * index as i32;
            let colour = PALETTE[series.colour % PALETTE.len()];
            let key = vec![(x, 46), (x + 22, 46)];
            head.draw(&PathElement::new(key, colour.stroke_width(3)))?;
            head.draw_text(&series.name, &label, (x + 28, 39))?;
        }
        Ok(())
    }
}
