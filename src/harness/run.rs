//! One run of an experiment, from its flags to its record.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::claim::Verdict;
use super::console::{self, ExperimentArguments};
use super::record::{commit, provenance, Record, SCHEMA};
use crate::artefact;
use crate::data::{DataName, Images};
use crate::error::Result;

/// A run that has begun: its folder can be written.
#[derive(Debug)]
pub struct Run {
    /// Seed of everything random.
    pub seed: u64,
    /// Threads; the results do not depend on it.
    pub threads: usize,
    /// A trial: the whole path on little data.
    pub quick: bool,
    name: &'static str,
    folder: PathBuf,
    /// Held until the run ends, however it ends.
    _lock: std::fs::File,
    start: Instant,
    /// Of the source as the run began: it may change while a long run is under way.
    commit: Option<String>,
}

/// What a run read, for its provenance; nothing for an experiment that draws its own data.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// Data sets.
    pub images: Vec<&'a Images>,
    /// Hash of the checkpoint.
    pub checkpoint_sha256: Option<String>,
}

impl Run {
    /// Begins the run of the experiment `name`, on `data` if it reads any.
    ///
    /// # Errors
    /// As [`artefact::check_writable`] and [`artefact::lock`], before any work is done.
    pub fn begin(
        name: &'static str,
        arguments: &ExperimentArguments,
        data: Option<DataName>,
    ) -> Result<Self> {
        let start = Instant::now();
        let folder = match data {
            Some(data) => arguments.folder_for(name, data),
            None => arguments.folder(name),
        };
        artefact::check_writable(&folder)?;
        let lock = artefact::lock(&folder)?;
        Ok(Self {
            seed: arguments.seed,
            threads: arguments.threads(),
            quick: arguments.quick,
            name,
            folder,
            _lock: lock,
            start,
            commit: commit(),
        })
    }

    /// Where a table or figure goes.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// State of the source as the run began.
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Writes `result.json`, prints the verdicts, and says what was written.
    ///
    /// # Errors
    /// As [`Record::write`].
    pub fn finish<S: Serialize, R: Serialize>(
        self,
        settings: S,
        verdicts: Vec<Verdict>,
        results: R,
        sources: &Sources<'_>,
        artefacts: &str,
    ) -> Result<()> {
        let record = Record {
            schema: SCHEMA,
            experiment: self.name,
            quick: self.quick,
            provenance: provenance(
                self.start,
                self.commit,
                self.seed,
                &sources.images,
                sources.checkpoint_sha256.clone(),
            ),
            settings,
            verdicts,
            results,
        };
        record.write(&self.folder)?;
        for verdict in &record.verdicts {
            println!("\n{verdict}");
        }
        farewell(&self.folder, artefacts, self.quick);
        Ok(())
    }

    /// A progress bar over `length` pieces of work.
    pub fn progress(&self, length: usize) -> indicatif::ProgressBar {
        console::progress(length, "measuring")
    }
}

/// The last lines of an experiment: what it wrote, and whether that is a result.
fn farewell(folder: &Path, artefacts: &str, quick: bool) {
    println!(
        "\nWrote {} with {artefacts}.",
        folder.join("result.json").display()
    );
    if quick {
        println!("This was a trial: run without --quick for the result.");
    }
}
