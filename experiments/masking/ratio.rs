//! Which share of patches should be masked?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::{Axis, Chart, Colour, Scale, Series};
use whitebox::harness::comparison::{largest, less, means, over_seeds, BySeed};
use whitebox::harness::experiment::Shown;
use whitebox::measure::statistics::{paired_differences, Summary};
use whitebox::Result;

use super::networks::{by_seed, Row, Variant, PLAIN, RATIOS};
use super::{Found, PAPER};

// ANCHOR: claims
pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-MAE-06",
    Source::of(PAPER, "table of mask ratios"),
    Whose::Authors,
    "Masking three quarters of the patches is within a point of the best share for a linear probe",
    &[
        Criterion::at_most(
            "probe on the mean token, best other share less three quarters, points",
            1.0,
            best_other,
        ),
        Criterion::at_least(
            "three quarters less the untrained network, points",
            2.0,
            learned,
        )
        .check(),
    ],
)
.beside(&[
    Number::of("a quarter less three quarters, points", |found: &Found| {
        less(&probe(found, RATIOS[0]), &probe(found, PLAIN.ratio))
    }),
    Number::of("half less three quarters, points", |found: &Found| {
        less(&probe(found, RATIOS[1]), &probe(found, PLAIN.ratio))
    }),
    Number::of("nine tenths less three quarters, points", |found: &Found| {
        less(&probe(found, RATIOS[3]), &probe(found, PLAIN.ratio))
    }),
    Number::of(
        "error with three quarters masked of the network trained with a quarter, over that of the one trained so",
        |found: &Found| {
            let error = |ratio| of(found, ratio, |row| row.error.ln());
            let logarithm = less(&error(RATIOS[0]), &error(PLAIN.ratio))?;
            Some(Measured {
                value: logarithm.value.exp(),
                interval: logarithm.interval.map(|ends| ends.map(f64::exp)),
                values: logarithm.values.iter().map(|value| value.exp()).collect(),
                ..logarithm
            })
        },
    ),
])];
// ANCHOR_END: claims

/// What `value` is of the networks trained with a share masked.
fn of(found: &Found, ratio: f64, value: fn(&Row) -> f64) -> BySeed {
    by_seed(&found.networks, Variant { ratio, ..PLAIN }, true, value)
}

fn probe(found: &Found, ratio: f64) -> BySeed {
    of(found, ratio, |row| row.probe_mean)
}

/// The largest of what the other shares have above three quarters.
fn best_other(found: &Found) -> Option<Measured> {
    let others = RATIOS.into_iter().filter(|ratio| *ratio != PLAIN.ratio);
    let plain = probe(found, PLAIN.ratio);
    let above = others.map(|ratio| paired_differences(&probe(found, ratio), &plain));
    largest(&above.collect::<Option<Vec<_>>>()?, |difference| difference)
}

/// What training gives the plain network.
pub(crate) fn learned(found: &Found) -> Option<Measured> {
    let untrained = by_seed(&found.networks, PLAIN, false, |row| row.probe_mean);
    less(&probe(found, PLAIN.ratio), &untrained)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let values: [fn(&Row) -> f64; 3] =
        [|row| row.probe_mean, |row| row.probe_class, |row| row.error];
    let cells = |variant, trained| {
        let own = values.map(|value| by_seed(&found.networks, variant, trained, value));
        own.map(|values| over_seeds(&values)).to_vec()
    };
    let mut lines = vec![("untrained".to_owned(), cells(PLAIN, false))];
    lines.extend(RATIOS.map(|ratio| {
        let name = format!("{ratio} masked");
        (name, cells(Variant { ratio, ..PLAIN }, true))
    }));
    let columns = [
        "mean token, per cent",
        "class token, per cent",
        "error, 0.75 masked",
    ];
    shown.say(means(&columns, 3, &lines));
    let untrained = by_seed(&found.networks, PLAIN, false, |row| row.probe_mean);
    let probes = [
        curve("mean token", Colour::Trained, |ratio| {
            over_seeds(&probe(found, ratio))
        }),
        curve("class token", Colour::Control, |ratio| {
            over_seeds(&of(found, ratio, |row| row.probe_class))
        }),
        curve("mean token, untrained", Colour::Untrained, |_| {
            over_seeds(&untrained)
        }),
    ];
    let name = "held-out accuracy of a linear probe, per cent";
    shown.chart(
        "probe.svg",
        &chart("Features by the share masked in training", name, &probes),
    )?;
    let errors = [curve("trained", Colour::Trained, |ratio| {
        over_seeds(&of(found, ratio, |row| row.error))
    })];
    let title = "Reconstruction with three quarters masked";
    let name = "mean square error of masked pixels";
    shown.chart("error.svg", &chart(title, name, &errors))
}

/// Values by share masked.
fn curve(name: &str, colour: Colour, value: impl Fn(f64) -> Summary) -> Series {
    let points = RATIOS.map(|ratio| (ratio, value(ratio)));
    Series::new(name, colour, points.to_vec())
}

fn chart<'a>(title: &'a str, vertical: &'a str, series: &[Series]) -> Chart<'a> {
    let axis = |name| Axis {
        name,
        scale: Scale::Linear,
    };
    Chart {
        title,
        horizontal: axis("share of patches masked in training"),
        vertical: axis(vertical),
        series: series.to_vec(),
    }
}
