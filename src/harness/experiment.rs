//! An experiment as a value: what it claims, how it measures, what it shows. The program around it, from flags
//! to record, is here.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches, Parser};
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;

use super::agreement::Agreement;
use super::chart::Chart;
use super::console::{self, ExperimentArguments};
use super::record::{commit, Line, Record, SCHEMA};
use super::run::Run;
use super::table;
use crate::claim::{Claim, Verdict};
use crate::data::DataName;
use crate::error::{Error, Result};

/// What a run found, with the settings that it ran under.
#[derive(Debug, Clone)]
pub struct Found<S, R> {
    /// The settings, resolved.
    pub settings: S,
    /// What was measured.
    pub results: R,
}

impl<S, R> std::ops::Deref for Found<S, R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.results
    }
}

/// What an experiment found.
pub type FoundBy<E> = Found<<E as Experiment>::Settings, <E as Experiment>::Results>;

/// An experiment.
pub trait Experiment: Sized + 'static {
    /// Its name: that of its program after `exp_`, of its folder in `reports`, of its page.
    const NAME: &'static str;
    /// What it is about, in a line.
    const TITLE: &'static str;
    /// Its flags beside those that every experiment has.
    type Flags: clap::Args + Debug;
    /// The settings that a record keeps.
    type Settings: Serialize + DeserializeOwned + 'static;
    /// The results that a record keeps, from which every verdict follows.
    type Results: Serialize + DeserializeOwned + 'static;
    /// The claims, by question.
    const CLAIMS: &'static [&'static [Claim<FoundBy<Self>>]];

    /// The data set that it reads, which names the folder of its record.
    fn data(_flags: &Self::Flags) -> Option<DataName> {
        None
    }

    /// Measures.
    ///
    /// # Errors
    /// Those of what it reads and computes.
    fn measure(run: &Run, flags: &Self::Flags) -> Result<FoundBy<Self>>;

    /// Prints, writes and draws what was found.
    ///
    /// # Errors
    /// Those of writing.
    fn show(found: &FoundBy<Self>, shown: &Shown<'_>) -> Result<()>;
}

/// Where an experiment shows what it found.
#[derive(Debug)]
pub struct Shown<'a>(&'a Run);

impl Shown<'_> {
    /// A line, or several, on standard output.
    pub fn say(&self, text: impl std::fmt::Display) {
        println!("{text}");
    }

    /// Rows as CSV, in a file of the record.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::File`] if a row does not fit a table.
    pub fn table<R: Serialize>(&self, file: &str, rows: &[R]) -> Result<()> {
        table::write(&self.0.path(file), rows)
    }

    /// A figure of the record.
    ///
    /// # Errors
    /// [`Error::Chart`] if there is nothing to draw, [`Error::Io`].
    pub fn chart(&self, file: &str, chart: &Chart) -> Result<()> {
        chart.write(&self.path(file))
    }

    /// Where another file of the record goes.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path(file)
    }
}

/// All flags of an experiment's program.
#[derive(Debug, Parser)]
struct Arguments<F: clap::Args> {
    #[command(flatten)]
    common: ExperimentArguments,
    #[command(flatten)]
    own: F,
}

/// The command line of an experiment.
pub fn command<E: Experiment>() -> clap::Command {
    // Once in the life of a program.
    let name: &'static str = format!("exp_{}", E::NAME).leak();
    Arguments::<E::Flags>::command()
        .name(name)
        .about(E::TITLE)
        .version(env!("CARGO_PKG_VERSION"))
}

/// The program of an experiment.
pub fn main<E: Experiment>() -> ExitCode {
    let matches = command::<E>().get_matches();
    let arguments = match Arguments::<E::Flags>::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    console::run::<Arguments<E::Flags>>(|| {
        if arguments.common.judge {
            judge_again::<E>(&arguments)
        } else {
            run::<E>(&arguments)
        }
    })
}

/// The verdicts on what was found.
pub fn judge<E: Experiment>(found: &FoundBy<E>) -> Vec<Verdict> {
    let claims = E::CLAIMS.iter().copied().flatten();
    claims.map(|claim| claim.judge(found)).collect()
}

/// The folder that the record of an experiment lies in.
fn record_folder<E: Experiment>(arguments: &Arguments<E::Flags>) -> PathBuf {
    match E::data(&arguments.own) {
        Some(data) => arguments.common.folder_for(E::NAME, data),
        None => arguments.common.folder(E::NAME),
    }
}

fn run<E: Experiment>(arguments: &Arguments<E::Flags>) -> Result<()> {
    let start = Instant::now();
    let common = &arguments.common;
    let record = record_folder::<E>(arguments);
    let stands = !common.quick && common.out.is_none() && !common.record;
    let stands = stands && record.join("result.json").exists();
    let folder = if stands {
        record.join("latest")
    } else {
        record.clone()
    };
    let run = Run::begin_in(folder, E::NAME, common, start)?;
    println!("{}: {}.", E::NAME, E::TITLE);
    let found = E::measure(&run, &arguments.own)?;
    E::show(&found, &Shown(&run))?;
    let record_of_run = leave(
        &run,
        &found.settings,
        &found.results,
        judge::<E>(&found),
        !stands,
    )?;
    for verdict in &record_of_run.verdicts {
        println!("\n{verdict}");
    }
    let files: Vec<&str> = record_of_run.files.keys().map(String::as_str).collect();
    println!(
        "\nWrote {}{}{}.",
        run.folder().join("result.json").display(),
        if files.is_empty() { "" } else { " with " },
        files.join(", ")
    );
    if common.quick {
        println!("This was a trial: run without --quick for the result.");
    } else if stands {
        println!("{}", against(&record.join("result.json"), &record_of_run)?);
    }
    Ok(())
}

/// Writes the record of a run, of a benchmark for instance, which has no claims; its line too if it is one `for_good`.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written, or a table or figure is gone; [`Error::File`] if a value cannot be
/// written as JSON.
pub fn leave<'a, S: Serialize, R: Serialize>(
    run: &Run,
    settings: &'a S,
    results: &'a R,
    verdicts: Vec<Verdict>,
    for_good: bool,
) -> Result<Record<&'a S, &'a R>> {
    let record = Record {
        schema: SCHEMA,
        experiment: run.name().to_owned(),
        quick: run.quick,
        files: run.written()?,
        provenance: run.provenance(),
        judged: None,
        verdicts,
        settings,
        results,
    };
    record.write(run.folder())?;
    if !run.quick && for_good {
        append_line(&record, run.folder())?;
    }
    run.clear()?;
    Ok(record)
}

/// Adds the line of a run for the record.
fn append_line<S: Serialize, R: Serialize>(record: &Record<S, R>, folder: &Path) -> Result<()> {
    let outcomes = record.verdicts.iter();
    let line = Line {
        schema: SCHEMA,
        finished_unix: record.provenance.time.finished_unix,
        commit: &record.provenance.commit,
        command: &record.provenance.command,
        outcomes: outcomes.map(|v| (v.claim.id.as_str(), v.outcome)).collect(),
    };
    line.append(folder)
}

/// Any record, its settings and results as they stand.
fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io("read", path, e, "run the experiment with `record`"))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::file(path, "a record", e.to_string(), "run with `record`"))
}

/// How a run stands to the record, for people.
fn against<S: Serialize, R: Serialize>(path: &Path, fresh: &Record<S, R>) -> Result<String> {
    let unwritable = |e: serde_json::Error| {
        Error::file(path, "values JSON can hold", e.to_string(), "report this")
    };
    let recorded = read(path)?;
    let results = serde_json::to_value(&fresh.results).map_err(unwritable)?;
    let place = path.display();
    let under = |record: &Value| {
        let provenance = &record["provenance"];
        let data = provenance["data"].as_array().into_iter().flatten();
        let hashes: Vec<&Value> = data.map(|set| &set["sha256"]).collect();
        serde_json::json!({ "settings": record["settings"], "seed": provenance["seed"], "data": hashes })
    };
    let own = serde_json::json!({
        "settings": serde_json::to_value(&fresh.settings).map_err(unwritable)?,
        "provenance": serde_json::to_value(&fresh.provenance).map_err(unwritable)?,
    });
    let other = Agreement::of(&under(&recorded), &under(&own));
    if !other.structure.is_empty() || other.largest > 0.0 {
        let mut what = other.structure;
        what.extend((other.largest > 0.0).then_some(other.place));
        return Ok(format!(
            "Not a run to hold against the record {place}, which has other {}. It stays as it is.",
            what.join(", ").replace('.', " ").trim()
        ));
    }
    let found = Agreement::of(&recorded["results"], &results);
    let outcomes: BTreeMap<&str, Value> = fresh
        .verdicts
        .iter()
        .map(|v| (v.claim.id.as_str(), serde_json::json!(v.outcome)))
        .collect();
    let empty = Vec::new();
    let verdicts = recorded["verdicts"].as_array().unwrap_or(&empty);
    let turned: Vec<&str> = verdicts
        .iter()
        .filter_map(|v| {
            let id = v["claim"]["id"].as_str()?;
            (outcomes.get(id) != Some(&v["outcome"])).then_some(id)
        })
        .collect();
    let numbers = found.numbers;
    let digits = match found.digits() {
        17 => "to the last digit".to_owned(),
        digits => format!(
            "to {digits} digits (the largest difference: {})",
            found.place
        ),
    };
    Ok(if !turned.is_empty() {
        format!(
            "The record {place} has other outcomes of {}. It stays as it is; --record replaces it.",
            turned.join(", ")
        )
    } else if found.is_close() {
        format!("Agrees with the record {place}: {numbers} numbers, {digits}. The record stays as it is.")
    } else if let Some(first) = found.structure.first() {
        let first = if first.is_empty() {
            "their number"
        } else {
            first
        };
        format!(
            "Same outcomes as the record {place}, but other results, first in {first}. It stays as it is; \
             --record replaces it."
        )
    } else {
        format!(
            "Same outcomes as the record {place}, but {numbers} numbers agree only {digits}. It stays as it \
             is; --record replaces it."
        )
    })
}

/// Judges the record that is there, and shows it anew.
fn judge_again<E: Experiment>(arguments: &Arguments<E::Flags>) -> Result<()> {
    let folder = record_folder::<E>(arguments);
    let path = folder.join("result.json");
    let unreadable = |e: serde_json::Error| {
        let remedy = "run the experiment again with `record`";
        Error::file(
            &path,
            format!("a record of exp_{}", E::NAME),
            e.to_string(),
            remedy,
        )
    };
    let mut recorded = read(&path)?;
    let mut part = |name: &str| recorded[name].take();
    let found = Found {
        settings: serde_json::from_value(part("settings")).map_err(unreadable)?,
        results: serde_json::from_value(part("results")).map_err(unreadable)?,
    };
    let mut files: BTreeMap<String, String> =
        serde_json::from_value(part("files")).map_err(unreadable)?;
    let provenance = serde_json::from_value(part("provenance")).map_err(unreadable)?;
    let run = Run::begin_in(folder.clone(), E::NAME, &arguments.common, Instant::now())?;
    E::show(&found, &Shown(&run))?;
    files.extend(run.written()?);
    let record = Record {
        schema: SCHEMA,
        experiment: E::NAME.to_owned(),
        quick: false,
        files,
        provenance,
        judged: commit().map(str::to_owned),
        verdicts: judge::<E>(&found),
        settings: &found.settings,
        results: &found.results,
    };
    record.write(&folder)?;
    append_line(&record, &folder)?;
    for verdict in &record.verdicts {
        println!("\n{verdict}");
    }
    println!("\nJudged {} anew.", path.display());
    Ok(())
}
