//! How time and memory of one attention grow with the number of tokens.

use peak_alloc::PeakAlloc;
use whitebox::claim::{Claim, Criterion, Measured, Number, Source, Whose};
use whitebox::harness::chart::{Axis, Chart, Scale, Series};
use whitebox::harness::experiment::Shown;
use whitebox::harness::run::Run;
use whitebox::measure::cost::{slope, Cost, Operands, Operator};
use whitebox::measure::statistics::Summary;
use whitebox::Result;

use crate::{Found, Settings, PAPER};

pub(crate) const CLAIMS: &[Claim<Found>] = &[Claim::new(
    "C-THY-27",
    Source::of(PAPER, "complexity of TSSA"),
    Whose::Authors,
    "Time and memory of TSSA grow linearly with the number of tokens, those of softmax attention quadratically",
    &[
        Criterion::at_most(
            "TSSA: slope of log time, four largest sizes",
            1.15,
            |found: &Found| steepest(found, Operator::Tssa, |c| c.seconds),
        ),
        Criterion::at_most("TSSA: slope of log memory", 1.1, |found: &Found| {
            steepest(found, Operator::Tssa, |c| c.peak_bytes as f64)
        })
        .secondary(),
        Criterion::at_least(
            "MSSA: slope of log time, four largest sizes",
            1.7,
            |found: &Found| flattest(found, Operator::Mssa, |c| c.seconds),
        )
        .check(),
        Criterion::at_least("MSSA: slope of log memory", 1.8, |found: &Found| {
            flattest(found, Operator::Mssa, |c| c.peak_bytes as f64)
        })
        .check(),
    ],
)
.beside(&[
    Number::of("MSSA in f32 kernels: slope of log time", |found: &Found| {
        flattest(found, Operator::FusedMssa, |c| c.seconds)
    }),
    Number::of("MSSA in f32 kernels: slope of log memory", |found: &Found| {
        steepest(found, Operator::FusedMssa, |c| c.peak_bytes as f64)
    }),
])];

/// Counts what is allocated.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

fn slopes(
    found: &Found,
    operator: Operator,
    pick: fn(&Cost) -> f64,
) -> impl Iterator<Item = f64> + '_ {
    let widths = found.settings.cost_widths.iter();
    widths.map(move |&d| slope(&found.timings, operator, d, pick))
}

/// The largest slope over widths: of these timings, whatever another run would give.
fn steepest(found: &Found, operator: Operator, pick: fn(&Cost) -> f64) -> Option<Measured> {
    let steepest = slopes(found, operator, pick).reduce(f64::max);
    steepest.map(Measured::exact)
}

/// The smallest.
fn flattest(found: &Found, operator: Operator, pick: fn(&Cost) -> f64) -> Option<Measured> {
    let flattest = slopes(found, operator, pick).reduce(f64::min);
    flattest.map(Measured::exact)
}

/// Median seconds and peak memory of one attention over one sequence, one thread.
pub(crate) fn measure(settings: &Settings, run: &Run) -> Result<Vec<Cost>> {
    let pieces = settings.cost_widths.len() * settings.cost_tokens.len() * Operator::ALL.len();
    let bar = run.progress(pieces);
    let mut costs = Vec::new();
    for &d in &settings.cost_widths {
        for &tokens in &settings.cost_tokens {
            let operands = Operands::draw(run.seed, d, settings.cost_head_width, tokens)?;
            for operator in Operator::ALL {
                bar.inc(1);
                if operator == Operator::Mssa && tokens > settings.cost_reference_limit {
                    continue;
                }
                let repeats = settings.cost_repeats;
                costs.push(Cost::of(operator, &operands, repeats, &ALLOCATED));
            }
        }
    }
    bar.finish_and_clear();
    Ok(costs)
}

pub(crate) fn show(found: &Found, shown: &Shown<'_>) -> Result<()> {
    shown.say(table(&found.timings));
    shown.table("cost.csv", &found.timings)?;
    let chart = |title, vertical, pick: fn(&Cost) -> f64| {
        let operators = Operator::ALL.into_iter().enumerate();
        let series = operators.map(|(colour, operator)| {
            let own = |c: &&Cost| c.d == 384 && c.operator == operator;
            let points = found.timings.iter().filter(own);
            let points = points.map(|c| (c.tokens as f64, Summary::of(&[pick(c)])));
            Series::new(operator.name(), colour, points.collect())
        });
        let axis = |name| Axis {
            name,
            scale: Scale::Logarithmic,
        };
        Chart {
            title,
            horizontal: axis("tokens"),
            vertical: axis(vertical),
            series: series.collect(),
        }
    };
    let time = "Time of one attention, d = 384, one thread";
    shown.chart("time.svg", &chart(time, "seconds", |c| c.seconds))?;
    let memory = "Peak memory of one attention, d = 384";
    shown.chart(
        "memory.svg",
        &chart(memory, "bytes", |c| c.peak_bytes as f64),
    )
}

fn table(costs: &[Cost]) -> String {
    let mut text = format!(
        "\nOne attention over one sequence, one thread: milliseconds (and MiB at the peak).\n\n\
         {:>5} {:>7} | {:>22} | {:>22} | {:>22}",
        "d", "tokens", "TSSA", "MSSA, reference", "MSSA, kernels"
    );
    let mut sizes: Vec<(usize, usize)> = costs.iter().map(|c| (c.d, c.tokens)).collect();
    sizes.dedup();
    for (d, tokens) in sizes {
        text += &format!("\n{d:>5} {tokens:>7}");
        for operator in Operator::ALL {
            let mut own = costs.iter();
            let own = own.find(|c| (c.d, c.tokens, c.operator) == (d, tokens, operator));
            text += &own.map_or(format!(" | {:>22}", "-"), |cost| {
                let (time, memory) = (
                    1e3 * cost.seconds,
                    cost.peak_bytes as f64 / f64::from(1 << 20),
                );
                format!(" | {time:>11.2} ({memory:>8.2})")
            });
        }
    }
    text
}
