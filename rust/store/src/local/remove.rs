//! Removing files, and making and removing directories.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use super::walk::is_temporary;
use crate::error::{Result, StoreError};

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

/// Makes a directory and those above it; one that is there already counts as made.
///
/// # Errors
/// [`StoreError::AlreadyExists`] when a file has the name, [`StoreError::PermissionDenied`], [`StoreError::Store`].
pub fn make_directory(path: &str) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|source| StoreError::io(format!("file://{path}"), &source))
}

/// Removes an empty directory.
///
/// # Errors
/// [`StoreError::NotFound`] (also for a file of that name), [`StoreError::PermissionDenied`],
/// [`StoreError::Precondition`] for one that holds anything.
pub fn remove_directory(path: &str) -> Result<()> {
    std::fs::remove_dir(path).map_err(|source| match source.kind() {
        ErrorKind::DirectoryNotEmpty => {
            let detail = if holds_only_temporaries(path) {
                "holds files of writes that run or were interrupted, which listings hide; deleting it with \
                 recursive=True removes them too"
            } else {
                "is not empty"
            };
            StoreError::Precondition { uri: format!("file://{path}"), detail: detail.into() }
        }
        _ => StoreError::io(format!("file://{path}"), &source),
    })
}

fn holds_only_temporaries(path: &str) -> bool {
    let names = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.map(|name| name.to_str().is_some_and(is_temporary)).reduce(|all, one| all && one).unwrap_or(false)
}
