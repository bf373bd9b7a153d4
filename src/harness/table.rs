//! Rows as CSV.

use std::path::Path;

use serde::Serialize;

use crate::artefact;
use crate::error::{Error, Result};

/// Writes one line per row under a line of field names, atomically.
///
/// # Errors
/// [`Error::Io`] naming `path`; [`Error::File`] if a row does not fit a table.
pub fn write<R: Serialize>(path: &Path, rows: &[R]) -> Result<()> {
    let unwritable = |e: String| Error::file(path, "a table", e, "please report this");
    let mut table = csv::Writer::from_writer(Vec::new());
    for row in rows {
        table
            .serialize(row)
            .map_err(|e| unwritable(e.to_string()))?;
    }
    let bytes = table.into_inner().map_err(|e| unwritable(e.to_string()))?;
    artefact::write(path, &bytes)
}
