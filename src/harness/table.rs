//! Rows as CSV.

use std::path::Path;

use serde::Serialize;

use crate::artefact;
use crate::error::{Error, Result};

const REMEDY: &str = "please report this";

/// Writes one line per row under a line of field names, atomically.
///
/// # Errors
/// [`Error::Io`] naming `path`; [`Error::File`] if a row does not fit a table.
pub fn write<R: Serialize>(path: &Path, rows: &[R]) -> Result<()> {
    let unwritable = |e: String| Error::file(path, "a table", e, REMEDY);
    let mut table = csv::Writer::from_writer(Vec::new());
    for row in rows {
        table
            .serialize(row)
            .map_err(|e| unwritable(e.to_string()))?;
    }
    let bytes = table.into_inner().map_err(|e| unwritable(e.to_string()))?;
    artefact::write(path, &bytes)
}

/// The same for rows that have no field names of their own, under `header`.
///
/// # Errors
/// [`Error::File`] if a row cannot be written as a line of numbers, [`Error::Io`].
pub fn write_under<R: Serialize>(path: &Path, header: &[&str], rows: &[R]) -> Result<()> {
    let unwritable = |e: csv::Error| Error::file(path, "a table", e.to_string(), REMEDY);
    let mut table = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    table.write_record(header).map_err(unwritable)?;
    for row in rows {
        table.serialize(row).map_err(unwritable)?;
    }
    let bytes = table
        .into_inner()
        .map_err(|e| Error::file(path, "a table", e.to_string(), REMEDY))?;
    artefact::write(path, &bytes)
}
