//! Builds the book from the recorded results, or runs the experiments again first.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use whitebox::harness::console;
use whitebox::{Error, Result};
use whitebox_reports::readme;
use whitebox_reports::reproduce::{self, Plan};
use whitebox_reports::site;
use whitebox_reports::store::Store;

/// The book of whitebox, from its recorded results.
#[derive(Debug, Parser)]
#[command(name = "whitebox-reports", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Folder of the source tree; default: the one around the working directory.
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    /// Folder for the site.
    #[arg(long, value_name = "DIR", global = true)]
    out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill the tables and numbers of README.md in from the records.
    Readme,
    /// Run the experiments that fit a time, quickest first, into reports, and rebuild the book. Started
    /// again after an interruption it goes on where it was.
    Reproduce {
        /// How long the experiments may take by their recorded times: 90s, 10m, 2h.
        #[arg(long, default_value = "10m", value_parser = reproduce::duration)]
        budget: Duration,
        /// Run them into target/reproduce, compare with the records, and fail if a claim comes out otherwise.
        /// The book is left alone.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| run(&arguments))
}

fn run(arguments: &Arguments) -> Result<()> {
    let root = whitebox::harness::record::root(arguments.root.as_deref());
    let reports = root.join("reports");
    if let Some(Command::Readme) = &arguments.command {
        let changed = readme::fill(&root.join("README.md"), &Store::read(&reports)?, &reports)?;
        let what = if changed { "now is" } else { "already was" };
        println!("README.md {what} as the records have it.");
        return Ok(());
    }
    if let Some(Command::Reproduce { budget, check }) = &arguments.command {
        let plan = Plan::within(&Store::read(&reports)?, *budget);
        for left in &plan.left_out {
            let seconds = left.provenance.time.wall_seconds;
            eprintln!("exp_{} takes {seconds:.0} s more: left out", left.name);
        }
        if *check {
            let folder = |name: &str| root.join("target/reproduce").join(name);
            reproduce::run(&plan, &root, folder)?;
            let regressions = reproduce::check(&plan, folder)?;
            if !regressions.is_empty() {
                return Err(Error::file(
                    reports,
                    "claims that come out as recorded",
                    regressions.join("; "),
                    "see target/reproduce for the numbers",
                ));
            }
            println!("Every claim came out as recorded.");
            return Ok(());
        }
        reproduce::run(&plan, &root, |name: &str| reports.join(name))?;
    }
    let start = Instant::now();
    let store = Store::read(&reports)?;
    for refused in &store.refused {
        eprintln!("left out: {}", refused.why);
    }
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| root.join("book/html"));
    let files = site::build(&root.join("book"), &reports, store, &out)?;
    println!(
        "Wrote {files} files in {:.1} s; open {}.",
        start.elapsed().as_secs_f64(),
        out.join("index.html").display()
    );
    Ok(())
}
