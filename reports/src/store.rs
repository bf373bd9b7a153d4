//! The records under `reports/`: what can be read is read, what cannot is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use whitebox::harness::record::SCHEMA;
use whitebox::{artefact, Error, Result};

/// A `result.json` as the book uses it.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// Version of the layout.
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// Its tables and figures, with their SHA-256.
    pub files: BTreeMap<String, String>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Claims with their outcome.
    pub verdicts: Vec<Verdict>,
    /// Its folder below `reports`, "layerwise/mnist".
    #[serde(skip)]
    pub name: String,
}

/// Where a record comes from.
#[derive(Debug, Clone, Deserialize)]
pub struct Provenance {
    /// Commit of the source.
    pub commit: String,
    /// Program and flags.
    pub command: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// Data sets read.
    pub data: Vec<Data>,
    /// Processor.
    pub machine: String,
    /// When and how long.
    pub time: Time,
}

/// A data set that was read.
#[derive(Debug, Clone, Deserialize)]
pub struct Data {
    /// Name and split.
    pub name: String,
}

/// When and how long.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Time {
    /// Seconds.
    pub wall_seconds: f64,
}

/// A claim and how it came out.
#[derive(Debug, Clone, Deserialize)]
pub struct Verdict {
    /// The claim.
    pub claim: Claim,
    /// The numbers its criteria name.
    pub measurements: Vec<Measurement>,
    /// `reproduced`, `partly`, `not_reproduced` or `not_testable`.
    pub outcome: String,
}

/// A claim as recorded.
#[derive(Debug, Clone, Deserialize)]
pub struct Claim {
    /// Catalogue number.
    pub id: String,
    /// Where it is made.
    pub paper: String,
    /// Figure, table, equation.
    pub location: String,
    /// What it says.
    pub statement: String,
    /// What has to hold.
    pub criteria: Vec<Criterion>,
    /// `identity`, `inequality`, `asymptotic` or `empirical`.
    pub kind: String,
    /// `full` or `small`.
    pub scale: String,
}

/// A condition as recorded.
#[derive(Debug, Clone, Deserialize)]
pub struct Criterion {
    /// `claim` or `control`.
    pub role: String,
    /// Number it is about.
    pub quantity: String,
    /// `at_most` or `at_least`.
    pub relation: String,
    /// The bound; none where it depends on what could not be measured.
    pub bound: Option<f64>,
}

/// A number as recorded.
#[derive(Debug, Clone, Deserialize)]
pub struct Measurement {
    /// Its name.
    pub quantity: String,
    /// Its value; none where it was not a number.
    pub value: Option<f64>,
}

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its folder below `reports`, as [`Record::name`].
    pub name: String,
    /// File, and what is wrong with it.
    pub why: String,
}

/// All records that can be used, and a line about each that cannot.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Sorted by name.
    pub records: Vec<Record>,
    /// Those that were left out.
    pub refused: Vec<Refused>,
}

impl Store {
    /// Reads every `result.json` below `folder`. Trials are left out without a word: they are meant to be.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be listed. A record that cannot be used is no error.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut store = Self::default();
        let mut files = Vec::new();
        find(folder, &mut files)?;
        files.sort();
        for path in files {
            let own = path.parent().unwrap_or(folder);
            let name = own.strip_prefix(folder).unwrap_or(own);
            let name = name.to_string_lossy().replace('\\', "/");
            match read(&path) {
                Ok(None) => {}
                Ok(Some(mut record)) => {
                    record.name = name;
                    store.records.push(record);
                }
                Err(why) => store.refused.push(Refused { name, why }),
            }
        }
        Ok(store)
    }

    /// Why the record called `name` was left out, if it was.
    pub fn refused(&self, name: &str) -> Option<&Refused> {
        self.refused.iter().find(|refused| refused.name == name)
    }

    /// The record called `name`, "layerwise/mnist".
    pub fn get(&self, name: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.name == name)
    }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |e| Error::io("list", folder, e, "check its permissions");
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.file_name().is_some_and(|name| name == "result.json") {
            files.push(path);
        }
    }
    Ok(())
}

/// A record whose tables and figures are those that it was written with; none for a trial, of whatever age.
fn read(path: &Path) -> std::result::Result<Option<Record>, String> {
    let refused = |path: &Path, why: &dyn std::fmt::Display| {
        format!("{}: {why}; run the experiment again", path.display())
    };
    let text = std::fs::read_to_string(path).map_err(|e| refused(path, &e))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| refused(path, &e))?;
    if value["quick"] == true {
        return Ok(None);
    }
    match value["schema"].as_u64() {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) => {
            let other = format!("schema {schema}, this program reads {SCHEMA}");
            return Err(refused(path, &other));
        }
        None => return Err(refused(path, &"no schema")),
    }
    let record: Record = serde_json::from_value(value).map_err(|e| refused(path, &e))?;
    for (name, recorded) in &record.files {
        let path = path.with_file_name(name);
        let bytes = std::fs::read(&path).map_err(|e| refused(&path, &e))?;
        if artefact::sha256(&bytes) != *recorded {
            return Err(refused(&path, &"not the file of the run on record"));
        }
    }
    Ok(Some(record))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_and_left_out() {
        let folder = std::env::temp_dir().join(format!("whitebox-store-{}", std::process::id()));
        let good = r#"{"schema": 2, "experiment": "a", "quick": false, "verdicts": [], "files":
            {"a.csv": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
            "provenance": {"commit": "c", "command": [], "seed": 0, "data": [], "machine": "m",
            "time": {"wall_seconds": 1.0}}}"#;
        let trial = good.replace("\"quick\": false", "\"quick\": true");
        let old = good.replace("\"schema\": 2", "\"schema\": 0");
        for (name, text) in [
            ("good", good),
            ("trial", trial.as_str()),
            ("old", old.as_str()),
            ("cut", &good[..80]),
            ("mixed", good),
            ("torn", good),
        ] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("result.json"), text).unwrap();
            std::fs::write(folder.join(name).join("a.csv"), "a").unwrap();
        }
        std::fs::write(folder.join("mixed/a.csv"), "b").unwrap();
        std::fs::remove_file(folder.join("torn/a.csv")).unwrap();
        let store = Store::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(store.records.len(), 1);
        assert_eq!(store.records[0].name, "good");
        let names: Vec<&str> = store.refused.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["cut", "mixed", "old", "torn"]);
        let why = |name: &str| store.refused(name).unwrap().why.clone();
        assert!(why("old").contains("schema 0"));
        assert!(why("mixed").contains("a.csv") && why("torn").contains("a.csv"));
    }
}
