//! Writing files: complete under their final name, or not there at all.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Mode;
use super::walk::TEMPORARY;
use crate::error::{Result, StoreError};

/// Writes a file under a temporary name in its own directory, syncs it, then renames it; directories are made.
///
/// # Errors
/// [`StoreError::PermissionDenied`], [`StoreError::Store`] (disk full and the like); the final name is then as it
/// was before and the temporary file is gone.
pub fn write_atomic(path: &str, data: &[u8], mode: Mode) -> Result<()> {
    mode.check(path)?;
    let failed = |source: std::io::Error| StoreError::io(format!("file://{path}"), &source);
    if path.ends_with('/') {
        return Err(StoreError::InvalidUri { uri: format!("file://{path}"), reason: "names a directory".into() });
    }
    let target = Path::new(path);
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = || {
        tempfile::Builder::new()
            .prefix(TEMPORARY)
            // Asked for with the usual mode, so that the umask decides; temporary files are otherwise private.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent)
    };
    let mut file = match temporary() {
        Ok(file) => file,
        Err(source) if source.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(parent).map_err(failed)?;
            temporary().map_err(failed)?
        }
        Err(source) => return Err(failed(source)),
    };
    file.write_all(data).map_err(failed)?;
    // Without the sync a crash after the rename could leave an empty file under the final name.
    file.as_file().sync_data().map_err(failed)?;
    file.persist(target).map_err(|source| failed(source.error))?;
    Ok(())
}

/// What [`write`] may replace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Create {
    /// Whatever is there.
    #[default]
    Overwrite,
    /// Nothing: the object must be new.
    New,
    /// The object with this entity tag.
    Matching(String),
}

/// As [`write_atomic`] under a condition; returns the entity tag.
///
/// # Errors
/// As [`write_atomic`].
pub fn write(path: &str, data: &[u8], mode: Mode, _create: &Create) -> Result<String> {
    write_atomic(path, data, mode)?;
    Ok(super::etag(&super::metadata(path)?))
}

/// Removes a file; one that is not there counts as removed.
///
/// # Errors
/// [`StoreError::Unsupported`] for a directory; [`StoreError::PermissionDenied`], [`StoreError::Store`].
pub fn remove(path: &str) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        // Below a file there is nothing either.
        Err(source) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(_) if Path::new(path).is_dir() => Err(StoreError::Unsupported {
            uri: format!("file://{path}"),
            detail: "is a directory: pass recursive=True to delete everything below it".into(),
        }),
        Err(source) => Err(StoreError::io(format!("file://{path}"), &source)),
    }
}

/// Removes a directory and everything below it; links are removed, not followed.
///
/// # Errors
/// [`StoreError::InvalidUri`] for the root directory; [`StoreError::PermissionDenied`], [`StoreError::Store`].
pub fn remove_tree(path: &str) -> Result<()> {
    let given = path;
    // With its slash a link to a directory would be followed, and the files of another tree removed.
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        let reason = "names the root directory, which is never removed".into();
        return Err(StoreError::InvalidUri { uri: format!("file://{given}"), reason });
    }
    match std::fs::symlink_metadata(path) {
        Ok(meta) if given.ends_with('/') && !meta.is_dir() && !meta.is_symlink() => return Ok(()),
        Ok(meta) if meta.is_dir() => {
            std::fs::remove_dir_all(path).map_err(|source| StoreError::io(format!("file://{path}"), &source))?;
        }
        _ => return remove(path),
    }
    if let Some(parent) = Path::new(path).parent() {
        // The removal should survive a crash; a file system that cannot sync a directory still has removed it.
        let _ = File::open(parent).and_then(|dir| dir.sync_all());
    }
    Ok(())
}
