//! The book's convex form `(1 - kappa c) Z + kappa c M`: does it descend on `R^c`, and by more than shrinking?

use ndarray::s;
use serde::{Deserialize, Serialize};
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Unit, Whose};
use whitebox::data::subspaces::{Bases, TokenKind, UnionOfSubspaces};
use whitebox::exact::neumann::radius;
use whitebox::harness::run::Run;
use whitebox::measure::controls::random_map;
use whitebox::measure::convex::Convex;
use whitebox::measure::statistics::fraction;
use whitebox::{parallel, seed, Result};

use crate::{Found, Settings};

const BOOK: &str = "authors' book, chapter 4";

pub(crate) const CLAIMS: &[Claim<Found>] = &[
    Claim::new(
        "C-SUP-01",
        Source::of(BOOK, "the step (1 - kappa c) Z + kappa c M"),
        Whose::Authors,
        "The convex form of MSSA descends on R^c far outside the radius, beyond mere shrinkage",
        &[
            Criterion::at_least(DESCENDS, 0.95, |found: &Found| descends(found, ASSUMED)),
            Criterion::at_least(BEYOND, 0.2, |found: &Found| {
                least(found, ASSUMED, |c| c.beyond_shrinkage)
            })
            .secondary(),
            Criterion::at_least(BEYOND_A_MAP, 0.0, |found: &Found| {
                least(found, ASSUMED, Cell::beyond_a_map)
            })
            .control(),
        ],
    )
    .beside(&[Number::of(SHRINKAGE, |found: &Found| {
        least(found, ASSUMED, |c| c.cosine_of_shrinkage)
    })]),
    Claim::new(
        "C-SUP-01-any",
        Source::of(BOOK, "the same step, outside the book's assumptions"),
        Whose::Project,
        "The same with coherent bases, and with a few tokens that are ten times as long",
        &[
            Criterion::at_least(DESCENDS, 0.95, |found: &Found| descends(found, OTHERS)),
            Criterion::at_least(BEYOND, 0.2, |found: &Found| {
                least(found, OTHERS, |c| c.beyond_shrinkage)
            })
            .secondary(),
            Criterion::at_least(BEYOND_A_MAP, 0.0, |found: &Found| {
                least(found, OTHERS, Cell::beyond_a_map)
            })
            .control(),
        ],
    )
    .beside(&[Number::of(SHRINKAGE, |found: &Found| {
        least(found, OTHERS, |c| c.cosine_of_shrinkage)
    })]),
];

const DESCENDS: &str = "smallest fraction over cells of draws that descend";
const BEYOND: &str = "smallest mean cosine over cells beyond shrinkage";
const BEYOND_A_MAP: &str = "the same less a random doubly stochastic map's, smallest over cells";
const SHRINKAGE: &str = "smallest mean cosine over cells of mere shrinkage";

/// In which way the book's assumptions are kept or broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Assumptions {
    #[serde(rename = "orthogonal bases")]
    Kept,
    #[serde(rename = "coherent bases")]
    CoherentBases,
    /// Every 16th of 64 tokens is ten times as long.
    #[serde(rename = "long tokens")]
    LongTokens,
}

const ASSUMED: &[Assumptions] = &[Assumptions::Kept];
const OTHERS: &[Assumptions] = &[Assumptions::CoherentBases, Assumptions::LongTokens];

fn cells_with<'a>(
    found: &'a Found,
    assumptions: &'static [Assumptions],
) -> impl Iterator<Item = &'a Cell> {
    let cells = found.convex.iter();
    cells.filter(move |cell| assumptions.contains(&cell.setting))
}

fn descends(found: &Found, assumptions: &'static [Assumptions]) -> Option<Measured> {
    let worst = cells_with(found, assumptions).map(|cell| cell.descends);
    let worst = worst.reduce(f64::min)?;
    Some(Measured::mean_share(
        Unit::Draw,
        &[worst],
        found.settings.draws,
    ))
}

/// Of a fixed set of cells and draws.
fn least(
    found: &Found,
    assumptions: &'static [Assumptions],
    of: fn(&Cell) -> f64,
) -> Option<Measured> {
    let smallest = cells_with(found, assumptions).map(of).reduce(f64::min)?;
    Some(Measured::exact(smallest))
}

/// One cell: a share of draws and mean cosines with the exact descent direction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    setting: Assumptions,
    tokens: TokenKind,
    rho: f64,
    softmax_scale: f64,
    descends: f64,
    cosine: f64,
    cosine_of_shrinkage: f64,
    beyond_shrinkage: f64,
    beyond_shrinkage_random_map: f64,
}

impl Cell {
    fn beyond_a_map(&self) -> f64 {
        self.beyond_shrinkage - self.beyond_shrinkage_random_map
    }
}

/// 4 subspaces of width 8, 64 tokens.
pub(crate) fn cells(settings: &Settings, run: &Run) -> Result<Vec<Cell>> {
    let (model, epsilon) = (UnionOfSubspaces::new(4, 8, 64, 0.3), 0.5);
    let mut cells = Vec::new();
    for setting in [ASSUMED, OTHERS].concat() {
        let spoilt = match setting {
            Assumptions::CoherentBases => Bases::Coherent,
            Assumptions::Kept | Assumptions::LongTokens => Bases::Orthogonal,
        };
        for tokens in TokenKind::ALL {
            for rho in [0.01, 1.0, 100.0] {
                for softmax_scale in [(model.p as f64).powf(-0.5), 1.0] {
                    let draws = parallel::map(settings.draws, run.threads, |draw| {
                        let drawn = tokens.draw(&model, run.seed, draw, "isotropic")?;
                        let bases = spoilt.of(drawn.bases, run.seed, draw)?;
                        let mut z = drawn.noisy;
                        if setting == Assumptions::LongTokens {
                            z.slice_mut(s![.., ..;16]).mapv_inplace(|v| 10.0 * v);
                        }
                        z *= (rho / radius(z.view(), bases.view(), epsilon)?).sqrt();
                        let mut rng = seed::stream(run.seed, &format!("map {draw}"));
                        let map = random_map(z.ncols(), &mut rng);
                        Convex::at(z.view(), bases.view(), epsilon, softmax_scale, &map)
                    })?;
                    let mean = |of: fn(&Convex) -> f64| {
                        draws.iter().map(of).sum::<f64>() / draws.len() as f64
                    };
                    cells.push(Cell {
                        setting,
                        tokens,
                        rho,
                        softmax_scale,
                        descends: fraction(&draws, |d| d.cosine > 0.0),
                        cosine: mean(|d| d.cosine),
                        cosine_of_shrinkage: mean(|d| d.cosine_of_shrinkage),
                        beyond_shrinkage: mean(|d| d.beyond_shrinkage),
                        beyond_shrinkage_random_map: mean(|d| d.beyond_shrinkage_with_map),
                    });
                }
            }
        }
    }
    Ok(cells)
}
