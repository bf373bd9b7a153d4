//! One run of an experiment, from its flags to its record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::console::{self, ExperimentArguments};
use super::record::{provenance, CheckpointRecord, DataRecord, Provenance};
use crate::artefact;
use crate::data::{DataName, Images};
use crate::error::{Error, Result};

/// A run that has begun: its folder can be written.
#[derive(Debug)]
pub struct Run {
    /// Seed of everything random.
    pub seed: u64,
    /// Threads; the results do not depend on it.
    pub threads: usize,
    /// A trial: the whole path on little data.
    pub quick: bool,
    /// The folder that `reports` lies in.
    pub root: PathBuf,
    name: &'static str,
    folder: PathBuf,
    /// Names that were asked for, to be written to.
    files: Mutex<BTreeSet<String>>,
    read: Mutex<Read>,
    /// Held until the run ends, however it ends.
    _lock: artefact::Lock,
    start: Instant,
}

/// What a run has read so far, and what it leaves behind.
#[derive(Debug, Default)]
struct Read {
    data: Vec<DataRecord>,
    checkpoints: Vec<CheckpointRecord>,
    /// Folders of no more use once the record is written.
    leftovers: Vec<PathBuf>,
}

impl Run {
    /// Begins the run of the experiment `name`, on `data` if it reads any.
    ///
    /// # Errors
    /// [`Error::Io`] naming the folder if it cannot be written or another run has it, before any work is done.
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
        Self::begin_in(folder, name, arguments, start)
    }

    /// Begins the run of the experiment `name` in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] naming the folder if it cannot be written or another run has it.
    pub(super) fn begin_in(
        folder: PathBuf,
        name: &'static str,
        arguments: &ExperimentArguments,
        start: Instant,
    ) -> Result<Self> {
        artefact::check_writable(&folder)?;
        let lock = artefact::lock(&folder)?;
        console::warn(lock.warning());
        Ok(Self {
            seed: arguments.seed,
            threads: arguments.threads(),
            quick: arguments.quick,
            root: arguments.root(),
            name,
            folder,
            files: Mutex::default(),
            read: Mutex::default(),
            _lock: lock,
            start,
        })
    }

    /// `quick` images or draws for a trial, else `full`.
    pub fn count(&self, quick: usize, full: u32) -> usize {
        match self.quick {
            true => quick,
            false => full as usize,
        }
    }

    /// Where a table or figure goes. The record will vouch for it.
    pub fn path(&self, file: &str) -> PathBuf {
        let files = self.files.lock();
        let mut files = files.unwrap_or_else(PoisonError::into_inner);
        files.insert(file.to_owned());
        self.folder.join(file)
    }

    /// Name of the experiment.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The folder that is written to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn reading(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the run reads `images`, for its provenance.
    pub fn reads(&self, images: &Images) {
        let record = DataRecord::from(images);
        let mut read = self.reading();
        if !read.data.contains(&record) {
            read.data.push(record);
        }
    }

    /// Notes that the run reads the checkpoint `path`, for its provenance.
    pub fn reads_checkpoint(&self, path: &Path, sha256: &str) {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let record = CheckpointRecord {
            name: name.to_string_lossy().into_owned(),
            sha256: sha256.to_owned(),
        };
        let mut read = self.reading();
        if !read.checkpoints.contains(&record) {
            read.checkpoints.push(record);
        }
    }

    /// Has `folder` removed once the record is written.
    pub fn remove_when_recorded(&self, folder: PathBuf) {
        self.reading().leftovers.push(folder);
    }

    /// Removes what the record makes superfluous.
    pub(super) fn clear(&self) -> Result<()> {
        for folder in self.reading().leftovers.drain(..) {
            std::fs::remove_dir_all(&folder)
                .map_err(|e| Error::io("remove", &folder, e, "remove it yourself"))?;
        }
        Ok(())
    }

    /// Where the run comes from, as of now.
    pub(super) fn provenance(&self) -> Provenance {
        let read = self.reading();
        provenance(
            self.start,
            self.seed,
            read.data.clone(),
            read.checkpoints.clone(),
        )
    }

    /// The files that were written, with their hashes.
    pub(super) fn written(&self) -> Result<BTreeMap<String, String>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = files.iter().map(|name| (name, self.folder.join(name)));
        let written = paths.filter(|(_, path)| path.is_file());
        let hashes = written.map(|(name, path)| {
            let bytes = std::fs::read(&path)
                .map_err(|e| Error::io("read", &path, e, "leave the folder to the run"))?;
            Ok((name.clone(), artefact::sha256(&bytes)))
        });
        hashes.collect()
    }

    /// A progress bar over `length` pieces of work.
    pub fn progress(&self, length: usize) -> indicatif::ProgressBar {
        console::progress(length, "measuring")
    }
}
