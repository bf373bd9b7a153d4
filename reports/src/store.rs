//! The records under `reports/`: what can be read is read, what cannot is named.

use std::path::{Path, PathBuf};

use serde_json::Value;
use whitebox::harness::record::SCHEMA;
use whitebox::{artefact, harness, Error, Result};

/// A `result.json`, with its place.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its folder below `reports`, "layerwise/mnist".
    pub name: String,
    /// What it holds.
    pub contents: harness::record::Record<Value, Value>,
}

impl std::ops::Deref for Record {
    type Target = harness::record::Record<Value, Value>;

    fn deref(&self) -> &Self::Target {
        &self.contents
    }
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
                Ok(Some(contents)) => store.records.push(Record { name, contents }),
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
        if path.is_dir() && !path.ends_with("latest") {
            find(&path, files)?;
        } else if path.file_name().is_some_and(|name| name == "result.json") {
            files.push(path);
        }
    }
    Ok(())
}

/// A record whose tables and figures are those that it was written with; none for a trial, of whatever age.
fn read(path: &Path) -> std::result::Result<Option<harness::record::Record<Value, Value>>, String> {
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
    let record: harness::record::Record<Value, Value> =
        serde_json::from_value(value).map_err(|e| refused(path, &e))?;
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
        let good = r#"{"schema": 3, "experiment": "a", "quick": false, "verdicts": [], "settings": 0,
            "results": [], "files":
            {"a.csv": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
            "provenance": {"commit": "c", "command": [], "seed": 0, "data": [], "machine": "m",
            "time": {"finished_unix": 0, "wall_seconds": 1.0}}}"#;
        let trial = good.replace("\"quick\": false", "\"quick\": true");
        let old = good.replace("\"schema\": 3", "\"schema\": 0");
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
