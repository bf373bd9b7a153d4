//! The record of a run: `result.json`. Two runs of the same command and seed differ in the fields
//! under `provenance.time` alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::artefact;
use crate::claim::{Outcome, Verdict};
use crate::data::Images;
use crate::error::{Error, Result};

/// Version of the layout of `result.json`.
pub const SCHEMA: u32 = 3;

const REPORT: &str = "please report this";

/// What a run was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Commit of the source, with `+changes` if the tree differed from it; `unknown` without git.
    pub commit: String,
    /// The command line, program name first, without its folder.
    pub command: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// Data sets by name, with their hash.
    pub data: Vec<DataRecord>,
    /// Checkpoints that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<CheckpointRecord>,
    /// Processor and its number of cores.
    pub machine: String,
    /// When and how long.
    pub time: Time,
}

/// A data set that a run read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Name and split.
    pub name: String,
    /// Images in it.
    pub images: usize,
    /// SHA-256 of shape, labels and pixels.
    pub sha256: String,
}

/// A checkpoint that a run read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Name of its file.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl From<&Images> for DataRecord {
    fn from(images: &Images) -> Self {
        Self {
            name: images.name.clone(),
            images: images.len(),
            sha256: images.sha256.clone(),
        }
    }
}

/// The only part of a record that may differ between equal runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// Seconds since 1970 at the end of the run.
    pub finished_unix: u64,
    /// Duration.
    pub wall_seconds: f64,
}

/// Everything an experiment leaves behind, apart from tables and figures: settings `S`, results `R`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record<S, R> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// A trial with `--quick`: never shown as a result.
    pub quick: bool,
    /// Tables and figures of the run, with their SHA-256: what does not fit is not of this run.
    pub files: BTreeMap<String, String>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Source that the criteria are of, if they were applied after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<String>,
    /// The settings, resolved.
    pub settings: S,
    /// All claims with their verdicts.
    pub verdicts: Vec<Verdict>,
    /// What was measured, in the experiment's own layout.
    pub results: R,
}

impl<S: Serialize, R: Serialize> Record<S, R> {
    /// Writes `folder/result.json`, atomically.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if a value cannot be written as JSON.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join("result.json"), self)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::file(path, "values JSON can hold", e.to_string(), REPORT))?;
    text.push('\n');
    artefact::write(path, text.as_bytes())
}

/// A line of `runs.jsonl`, which every run for the record is added to: a record is replaced by the next one,
/// and what came before shall not be forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct Line<'a> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it ended, seconds since 1970.
    pub finished_unix: u64,
    /// State of the source.
    pub commit: &'a str,
    /// Program and flags.
    pub command: &'a [String],
    /// Claims with their outcome.
    pub outcomes: BTreeMap<&'a str, Outcome>,
}

impl Line<'_> {
    /// Adds the line to `folder/runs.jsonl`, in one write.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] if it cannot be written as JSON.
    pub fn append(&self, folder: &Path) -> Result<()> {
        append_json(&folder.join("runs.jsonl"), self)
    }
}

fn append_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::file(path, "values JSON can hold", e.to_string(), REPORT))?;
    artefact::append(path, format!("{text}\n").as_bytes())
}

/// Gathers the provenance of a run that began at `start`, of what it has read.
pub fn provenance(
    start: Instant,
    seed: u64,
    data: Vec<DataRecord>,
    checkpoints: Vec<CheckpointRecord>,
) -> Provenance {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Provenance {
        commit: commit().unwrap_or("unknown").to_owned(),
        command: command(),
        seed,
        data,
        checkpoints,
        machine: machine(),
        time: Time {
            finished_unix: now.map(|d| d.as_secs()).unwrap_or(0),
            wall_seconds: (start.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        },
    }
}

/// The command line with the program's folder, which differs between machines, taken off.
pub fn command() -> Vec<String> {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut() {
        let name = Path::new(program.as_str()).file_name();
        if let Some(name) = name.and_then(|n| n.to_str()) {
            *program = name.to_owned();
        }
    }
    words
}

/// The commit of the source that this program was built from, with `+changes` if it was not the whole
/// truth; none where it was built without git.
pub fn commit() -> Option<&'static str> {
    option_env!("WHITEBOX_COMMIT")
}

/// The folder that `reports` lies in: `chosen`, else the source tree around the working directory, else the
/// working directory itself.
pub fn root(chosen: Option<&Path>) -> PathBuf {
    if let Some(chosen) = chosen {
        return chosen.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let is_source = |folder: &&Path| folder.join("experiments/recipes").is_dir();
    let source = here.ancestors().find(is_source).map(Path::to_owned);
    source.unwrap_or(here)
}

/// Processor, cores and system.
pub fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {cores} cores, {}",
        model.as_deref().unwrap_or(std::env::consts::ARCH),
        std::env::consts::OS
    )
}
