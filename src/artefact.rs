//! Files this program writes: complete or absent, never in between.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const REMEDY: &str = "choose a folder that can be written and has space, with `out`";

/// Writes `bytes` to a temporary file beside `path`, flushes it to disk and renames it. A crash, a
/// full disk or a kill leaves the old file, or none.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e, REMEDY))?;
    let failed = |e| Error::io("write", path, e, REMEDY);
    let mut file = tempfile::Builder::new()
        .prefix(".whitebox-")
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    #[cfg(unix)]
    {
        // Temporary files are private; artefacts have the permissions of ordinary files.
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(permissions)
            .map_err(failed)?;
    }
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Adds `bytes` to the end of a file, and flushes it to disk. Writers at the same time do not mix.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e| Error::io("write", path, e, REMEDY);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Fails early, before hours of work, if `folder` cannot be written.
///
/// # Errors
/// [`Error::Io`] naming `folder`.
pub fn check_writable(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e, REMEDY))?;
    tempfile::tempfile_in(folder).map_err(|e| Error::io("write to", folder, e, REMEDY))?;
    Ok(())
}

/// Makes this process the only one that writes to `folder`, for as long as the file lives. The system lets
/// go of it when the process ends, also by a kill.
///
/// # Errors
/// [`Error::Io`] naming `folder` if another process has it.
pub fn lock(folder: &Path) -> Result<std::fs::File> {
    let taken = |e| {
        Error::io(
            "have for itself",
            folder,
            e,
            "wait for the other run, or choose another `out`",
        )
    };
    let file = std::fs::File::create(folder.join(".lock")).map_err(taken)?;
    file.try_lock().map_err(|e| taken(e.into()))?;
    Ok(file)
}

/// `values` as files hold them: little-endian.
pub fn f32_to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The inverse of [`f32_to_bytes`]; a rest of fewer than four bytes is ignored.
pub fn f32_from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]))
        .collect()
}

/// SHA-256 of `bytes`, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of all `parts`, one after the other, hexadecimal.
pub fn sha256_of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    parts.for_each(|part| hash.update(part));
    hexadecimal(&hash.finalize())
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b.txt");
        write(&path, b"a longer first version").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn a_folder_belongs_to_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let message = lock(folder.path()).unwrap_err().to_string();
        assert!(message.contains("`out`"), "{message}");
        drop(first);
        lock(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        std::fs::write(&file, b"").unwrap();
        let message = write(&file.join("x"), b"").unwrap_err().to_string();
        assert!(message.contains("taken"), "{message}");
    }
}
