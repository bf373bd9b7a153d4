//! Runs the experiments again, as many as fit a time, and holds what comes out against the record.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use whitebox::harness::agreement::Agreement;
use whitebox::harness::{console, record};
use whitebox::{Error, Result};

use crate::store::{Record, Store};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The recorded experiments that fit, quickest first.
    pub runs: Vec<Record>,
    /// Those that do not.
    pub left_out: Vec<Record>,
}

impl Plan {
    /// The experiments whose recorded times, quickest first, add up to no more than `budget`.
    pub fn within(store: &Store, budget: Duration) -> Self {
        let program = |record: &Record| record.provenance.command.first().cloned();
        let mut records: Vec<Record> = store
            .records
            .iter()
            .filter(|r| program(r).is_some_and(|name| name.starts_with("exp_")))
            .filter(|r| r.name == r.experiment)
            .cloned()
            .collect();
        let seconds = |record: &Record| record.provenance.time.wall_seconds;
        records.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        let mut spent = 0.0;
        let (mut runs, mut left_out) = (Vec::new(), Vec::new());
        for record in records {
            spent += seconds(&record);
            if spent <= budget.as_secs_f64() {
                runs.push(record);
            } else {
                left_out.push(record);
            }
        }
        Self { runs, left_out }
    }
}

/// Runs what `plan` holds, each into the folder that `folder` gives for its name, unless there is a record
/// of the present source already.
///
/// # Errors
/// [`Error::File`] naming the log of an experiment that failed, [`Error::Interrupted`] after Ctrl-C,
/// [`Error::Io`].
pub fn run(plan: &Plan, root: &Path, folder: impl Fn(&str) -> PathBuf) -> Result<()> {
    let seconds = |record: &Record| record.provenance.time.wall_seconds.ceil() as usize;
    let bar = console::progress(plan.runs.iter().map(seconds).sum(), "reproducing");
    let stop = console::asked_to_stop();
    let source = record::commit().filter(|commit| !commit.contains('+'));
    for (step, recorded) in plan.runs.iter().enumerate() {
        let folder = folder(&recorded.name);
        bar.set_message(format!("exp_{} ({} s)", recorded.name, seconds(recorded)));
        let fresh = fresh(&folder);
        if fresh.is_none() || fresh.as_ref().map(|r| r.provenance.commit.as_str()) != source {
            again(recorded, root, &folder)?;
        }
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted { step });
        }
        bar.inc(seconds(recorded) as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The record in `folder`, if there is one that can be used.
fn fresh(folder: &Path) -> Option<Record> {
    let store = Store::read(folder).ok()?;
    store.records.into_iter().find(|r| r.name.is_empty())
}

/// Runs an experiment with the flags on record.
fn again(recorded: &Record, root: &Path, folder: &Path) -> Result<()> {
    let failed = |e| Error::io("write to", folder, e, "name another folder");
    std::fs::create_dir_all(folder).map_err(failed)?;
    let log = folder.join("log.txt");
    let output = std::fs::File::create(&log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let [program, flags @ ..] = recorded.provenance.command.as_slice() else {
        return Ok(());
    };
    let mut command = start(program, root)?;
    // The record itself is not to be replaced.
    let flags = flags.iter().filter(|flag| *flag != "--record");
    let status = command
        .args(flags)
        .arg("--out")
        .arg(folder)
        .stdout(output)
        .stderr(errors)
        .status()
        .map_err(|e| Error::io("start", command.get_program(), e, "install Rust"))?;
    match status.code() {
        Some(0) => std::fs::remove_file(&log).map_err(failed),
        Some(130) => Err(Error::Interrupted { step: 0 }),
        code => Err(Error::file(
            &log,
            format!("{program} to come to its end"),
            code.map_or("a signal".into(), |code| format!("exit code {code}")),
            "read the log",
        )),
    }
}

/// The start of a command line of `program`: built by cargo in the source tree; where there is none, the
/// program that lies beside this one.
fn start(program: &str, root: &Path) -> Result<Command> {
    let mut command = if root.join("Cargo.toml").is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--release", "--quiet", "--bin", program, "--"]);
        command
    } else {
        let own = std::env::current_exe()
            .map_err(|e| Error::io("find", program, e, "name the source tree with `root`"))?;
        Command::new(own.with_file_name(program))
    };
    command.current_dir(root);
    Ok(command)
}

/// How two records of one experiment differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Numbers that both have.
    pub numbers: usize,
    /// The largest difference among them, relative to the largest number of its kind.
    pub largest: f64,
    /// Where that is.
    pub place: String,
    /// Claims that came out otherwise, or are missing.
    pub regressions: Vec<String>,
}

/// Holds `fresh` against `recorded`. A claim that came out otherwise is a regression; a number that moved is
/// not, since another processor's last digits train another network.
pub fn compare(recorded: &Record, fresh: &Record) -> Comparison {
    let mut comparison = Comparison::default();
    for verdict in &recorded.verdicts {
        let id = &verdict.claim.id;
        let Some(other) = fresh.verdicts.iter().find(|v| v.claim.id == *id) else {
            comparison.regressions.push(format!("{id} is missing"));
            continue;
        };
        if other.outcome != verdict.outcome {
            let line = format!("{id} was {}, is {}", verdict.words(), other.words());
            comparison.regressions.push(line);
        }
    }
    let (old, new) = (&recorded.results, &fresh.results);
    let agreement = Agreement::of(old, new);
    comparison.numbers = agreement.numbers;
    comparison.largest = agreement.largest;
    comparison.place = agreement.place;
    comparison
}

/// Compares every run of `plan` with what lies in the folder of its name, prints a line for each, and
/// returns the regressions.
///
/// # Errors
/// [`Error::File`] if a run left no record.
pub fn check(plan: &Plan, folder: impl Fn(&str) -> PathBuf) -> Result<Vec<String>> {
    let mut regressions = Vec::new();
    for recorded in &plan.runs {
        let folder = folder(&recorded.name);
        let fresh = fresh(&folder).ok_or_else(|| {
            Error::file(&folder, "a record", "none that can be used", "run it again")
        })?;
        let comparison = compare(recorded, &fresh);
        let Comparison {
            numbers,
            largest,
            place,
            ..
        } = &comparison;
        println!(
            "exp_{}: {numbers} numbers, largest relative difference {largest:.1e} {place}",
            recorded.name
        );
        for line in comparison.regressions {
            regressions.push(format!("exp_{}: {line}", recorded.name));
        }
    }
    Ok(regressions)
}

/// A time as people write it: `90s`, `10m`, `2h`, or a bare number of minutes.
///
/// # Errors
/// A line for the command line's own message.
pub fn duration(text: &str) -> std::result::Result<Duration, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        _ => (text, 60.0),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write 90s, 10m or 2h".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|e| e.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use whitebox::claim::Outcome;

    #[test]
    fn a_budget_takes_the_quickest_first() {
        let store = Store::read(&crate::root().join("reports")).unwrap();
        let nothing = Plan::within(&store, Duration::ZERO);
        assert!(nothing.runs.is_empty());
        let all = Plan::within(&store, Duration::from_secs(1_000_000));
        assert!(all.left_out.is_empty() && all.runs.len() >= 12);
        let some = Plan::within(&store, Duration::from_secs(120));
        assert!(!some.runs.is_empty() && !some.left_out.is_empty());
        let time = |r: &Record| r.provenance.time.wall_seconds;
        let slowest = some.runs.iter().map(time).fold(0.0, f64::max);
        assert!(some.left_out.iter().all(|r| time(r) >= slowest));
    }

    #[test]
    fn a_claim_that_comes_out_otherwise_is_a_regression() {
        let store = Store::read(&crate::root().join("reports")).unwrap();
        let recorded = store.get("layerwise").unwrap();
        let same = compare(recorded, recorded);
        assert!(same.regressions.is_empty() && same.numbers > 10);
        assert_eq!(same.largest, 0.0);
        let mut other = recorded.clone();
        let verdicts = &mut other.contents.verdicts;
        verdicts[0].outcome = match verdicts[0].outcome {
            Outcome::Contradicted => Outcome::Supported,
            _ => Outcome::Contradicted,
        };
        verdicts.pop();
        let found = compare(recorded, &other).regressions;
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("90s").unwrap().as_secs(), 90);
        assert_eq!(duration("10m").unwrap().as_secs(), 600);
        assert_eq!(duration("1.5h").unwrap().as_secs(), 5400);
        assert_eq!(duration("2").unwrap().as_secs(), 120);
        assert!(duration("soon").is_err() && duration("-1s").is_err());
    }
}
