//! What a run shows: accuracies by number of images, as a table and as a chart.

use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::comparison::{means, over_seeds};
use whitebox::harness::experiment::Shown;
use whitebox::Result;

use super::{scores, sizes, Found, Origin, Row};

pub(super) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let sizes = sizes(found);
    let heads: Vec<String> = sizes.iter().map(|n| format!("{n} images")).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let lines = Origin::ALL.map(|origin| {
        let of = |&n: &usize| over_seeds(&scores(found, origin, n));
        (origin.word().to_owned(), sizes.iter().map(of).collect())
    });
    shown.say(means(&heads, 2, &lines));
    shown.table("fine-tuning.csv", found)?;
    shown.chart("accuracy.svg", &chart(found, &sizes))
}

fn chart<'a>(rows: &[Row], sizes: &[usize]) -> Chart<'a> {
    let series = Origin::ALL.map(|origin| {
        let colour = match origin {
            Origin::Scratch => Colour::Untrained,
            Origin::Pretrained => Colour::Trained,
            Origin::PermutedLabels => Colour::Control,
        };
        let point = |&n: &usize| (n as f64, over_seeds(&scores(rows, origin, n)));
        Series::new(origin.word(), colour, sizes.iter().map(point).collect())
    });
    Chart {
        title: "Accuracy on new classes",
        horizontal: Axis {
            name: "images of the new classes",
            scale: Scale::Logarithmic,
        },
        vertical: Axis {
            name: "held-out accuracy, per cent",
            scale: Scale::Linear,
        },
        series: series.to_vec(),
    }
}
