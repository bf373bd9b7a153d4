//! Files this program writes: complete or absent, never in between.

use std::io::Write;
use std::path::{Path, PathBuf};

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
    let mut builder = tempfile::Builder::new();
    builder.prefix(".whitebox-");
    // Temporary files are private; artefacts have the permissions of ordinary files, less the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
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

/// What belongs to this process alone, for as long as this value lives. The system lets go of it when the
/// process ends, also by a kill.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// None where the file system cannot lock.
    file: Option<std::fs::File>,
    /// Whether the file goes with the lock.
    passing: bool,
}

impl Lock {
    /// Why nobody is kept out, if so: some network file systems cannot lock.
    pub fn warning(&self) -> Option<String> {
        let path = self.path.display();
        self.file.is_none().then(|| {
            format!("{path}: this file system cannot lock; see that no other run writes there")
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.passing && self.file.is_some() {
            // While it is still held: whoever opens the file from now on makes a new one.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes this process the only one that writes to `folder`.
///
/// # Errors
/// [`Error::Io`] naming `folder` if another process has it.
pub fn lock(folder: &Path) -> Result<Lock> {
    hold(&folder.join(".lock"), folder, false)
}

/// Makes this process the only one that writes `path`. Beside it lies `path.lock` meanwhile.
///
/// # Errors
/// [`Error::Io`] naming `path` if another process has it.
pub fn lock_file(path: &Path) -> Result<Lock> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    hold(Path::new(&name), path, true)
}

fn hold(lock: &Path, what: &Path, passing: bool) -> Result<Lock> {
    let remedy = "wait for the other run, or choose another `out`";
    let taken = |e| Error::io("have for itself", what, e, remedy);
    loop {
        let file = std::fs::File::create(lock).map_err(taken)?;
        let locked = held(file.try_lock()).map_err(taken)?;
        // Its last holder may have removed the file between the two calls.
        if locked && passing && !is_at(&file, lock) {
            continue;
        }
        return Ok(Lock {
            path: lock.to_owned(),
            file: locked.then_some(file),
            passing,
        });
    }
}

/// Whether the lock is held; false where the file system has none.
fn held(result: std::result::Result<(), std::fs::TryLockError>) -> std::io::Result<bool> {
    /// "No locks available", of NFS without its lock service; Rust has no kind for it.
    const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    match result {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::Error(e))
            if e.kind() == std::io::ErrorKind::Unsupported || e.raw_os_error() == Some(ENOLCK) =>
        {
            Ok(false)
        }
        Err(e) => Err(e.into()),
    }
}

/// Whether `path` still leads to the open `file`.
fn is_at(file: &std::fs::File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |found: &std::fs::Metadata| (found.dev(), found.ino());
        let (open, there) = (file.metadata(), std::fs::metadata(path));
        matches!((open, there), (Ok(a), Ok(b)) if place(&a) == place(&b))
    }
    #[cfg(not(unix))]
    {
        // An open file cannot be removed there.
        let _ = (file, path);
        true
    }
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
    fn the_lock_of_a_file_goes_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let first = lock_file(&path).unwrap();
        let message = lock_file(&path).unwrap_err().to_string();
        assert!(message.contains("net.safetensors: "), "{message}");
        assert!(first.warning().is_none());
        drop(first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // A file that a kill left behind keeps nobody out.
        std::fs::write(folder.path().join("net.safetensors.lock"), b"").unwrap();
        drop(lock_file(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_system_without_locks_is_told_from_a_lock_that_is_taken() {
        use std::fs::TryLockError;
        assert!(held(Ok(())).unwrap());
        let unsupported = std::io::Error::from(std::io::ErrorKind::Unsupported);
        assert!(!held(Err(TryLockError::Error(unsupported))).unwrap());
        #[cfg(target_os = "linux")]
        for code in [37, 38, 95] {
            let error = std::io::Error::from_raw_os_error(code);
            assert!(!held(Err(TryLockError::Error(error))).unwrap(), "{code}");
        }
        assert!(held(Err(TryLockError::WouldBlock)).is_err());
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(held(Err(TryLockError::Error(denied))).is_err());
        let without = Lock {
            path: "here/.lock".into(),
            file: None,
            passing: false,
        };
        assert!(without.warning().unwrap().contains("here/.lock"));
    }

    #[cfg(unix)]
    #[test]
    fn files_have_the_permissions_that_the_umask_leaves() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::File::create(&plain).unwrap();
        let own = folder.path().join("own");
        write(&own, b"x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&own), mode(&plain));
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
