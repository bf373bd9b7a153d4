//! Are the bases of a layer's heads incoherent, and their subspaces nearly orthogonal, by training?

use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::experiment::Shown;
use whitebox::harness::heat_map::{self, HeatMap};
use whitebox::harness::layer_curves::{draw, line, over_networks, Network};
use whitebox::harness::run::Run;
use whitebox::harness::subject::Pair;
use whitebox::measure::coherence::cosines;
use whitebox::Result;

use super::rows::{networks, Row};
use super::Found;

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-LAY-08-bases",
        Source::of(
            "overview, arXiv 2311.13110",
            "learned incoherence of the subspaces",
        ),
        Whose::Authors,
        "The learned bases are incoherent: columns of different heads are nearly orthogonal",
        &[
            Criterion::at_most(
                "largest mean |cosine| between heads over layers, in units of 2 / sqrt(d)",
                1.0,
                |found: &Found| coherent(found, Network::Trained),
            ),
            Criterion::at_most(
                "mean |cosine| between heads: trained less untrained, mean over layers",
                0.0,
                |found: &Found| changes(found, |row| row.between_heads),
            )
            .control(),
        ],
    )
    .beside(&[Number::of(
        "untrained: largest mean |cosine| between heads, in units of 2 / sqrt(d)",
        |found: &Found| coherent(found, Network::Untrained),
    )])
    .pilot_informed(),
    Claim::new(
        "C-LAY-08-subspaces",
        Source::of(
            "derived by this project",
            "the stronger form of learned incoherence",
        ),
        Whose::Project,
        "Training makes the subspaces of a layer's heads overlap less",
        &[Criterion::at_most(
            "share of a subspace in another's: trained less untrained, mean over layers",
            0.0,
            |found: &Found| changes(found, |row| row.overlap),
        )],
    )
    .pilot_informed(),
];

fn coherent(found: &Found, network: Network) -> Option<Measured> {
    let unit = 2.0 / (found.settings.network.d as f64).sqrt();
    over_networks(&networks(found, network), |rows| {
        Some(
            rows.iter()
                .map(|row| row.between_heads / unit)
                .fold(f64::NAN, f64::max),
        )
    })
}

/// What training changes, mean over layers, mean over networks.
fn changes(found: &Found, of: fn(&Row) -> f64) -> Option<Measured> {
    let controls = networks(found, Network::Untrained);
    over_networks(&networks(found, Network::Trained), |own| {
        let control = controls.iter().find(|rows| rows[0].seed == own[0].seed)?;
        let changes = own
            .iter()
            .zip(*control)
            .map(|(own, control)| of(own) - of(control));
        Some(changes.sum::<f64>() / own.len() as f64)
    })
}

/// `|cosine|` between all columns in three layers, trained and untrained.
pub(crate) fn draw_cosines(run: &Run, pair: &Pair) -> Result<()> {
    let mut maps = Vec::new();
    for (kind, network) in [
        (Network::Trained, pair.trained.as_ref()),
        (Network::Untrained, Some(&pair.untrained)),
    ] {
        let Some(network) = network else { continue };
        let depth = network.layers().len();
        for layer in [0, depth / 2, depth - 1] {
            let bases = network.layers()[layer].bases()?;
            maps.push(HeatMap {
                title: format!("{}, layer {}", kind.word(), layer + 1),
                values: cosines(bases.view()),
            });
        }
    }
    let title = "|cosine| between columns of [U_1, ..., U_K]";
    heat_map::write(&run.path("cosines.svg"), title, &maps, 3)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    let series = Network::BOTH.into_iter().filter_map(|network| {
        let each = networks(found, network).into_iter();
        let each = each.map(|rows| rows.iter().map(|row| row.overlap).collect());
        line(network.word(), network.colour(), &each.collect::<Vec<_>>())
    });
    let title = "Share of a subspace that lies in another's";
    draw(shown, ("overlap.svg", title, "overlap"), series.collect())
}
