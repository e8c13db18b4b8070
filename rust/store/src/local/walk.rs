//! Walking directories.

use std::fs::Metadata;
use std::path::Path;

use crate::error::{Result, StoreError};

/// Names of files that an interrupted write leaves behind begin so; listings pass over them.
pub(super) const TEMPORARY: &str = ".s3dlio-tmp-";

/// Whether a path names the remains of an interrupted write.
#[must_use]
pub fn is_temporary(relative: &str) -> bool {
    relative.rsplit('/').next().is_some_and(|name| name.starts_with(TEMPORARY))
}

/// A file or directory below the base of a listing.
#[derive(Debug)]
pub struct Found {
    /// Path relative to the base; a directory ends in `/`.
    pub relative: String,
    /// Metadata, when it was asked for.
    pub meta: Option<Metadata>,
}

fn relative(base: &Path, path: &Path, uri: &str) -> Result<String> {
    let below = path.strip_prefix(base).unwrap_or(path);
    below.to_str().map(str::to_owned).ok_or_else(|| StoreError::Unsupported {
        uri: uri.to_owned(),
        detail: format!("file name is not UTF-8: {}", path.display()),
    })
}

fn metadata(path: &Path, wanted: bool) -> Result<Option<Metadata>> {
    if !wanted {
        return Ok(None);
    }
    std::fs::metadata(path)
        .map(Some)
        .map_err(|source| StoreError::io(format!("file://{}", path.display()), &source))
}

/// All files below `base`, links followed, in no particular order; nothing if `base` does not exist.
///
/// # Errors
/// [`StoreError::PermissionDenied`], [`StoreError::Store`] (also for a loop of links), [`StoreError::Unsupported`]
/// for names that are not UTF-8.
pub fn walk(base: &str, with_meta: bool) -> Result<Vec<Found>> {
    let root = Path::new(base);
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(root).follow_links(true).min_depth(1) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(source) if missing(&source) => continue,
            Err(source) => {
                let uri = format!("file://{}", source.path().unwrap_or(root).display());
                let io = std::io::Error::from(source);
                return Err(StoreError::io(uri, &io));
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let relative = relative(root, entry.path(), base)?;
        if !is_temporary(&relative) {
            found.push(Found { relative, meta: metadata(entry.path(), with_meta)? });
        }
    }
    Ok(found)
}

/// A listing races with deletions; a base that is not there lists as empty, like a prefix of a network store.
fn missing(source: &walkdir::Error) -> bool {
    source.io_error().is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound && source.depth() == 0)
}

/// The files and directories directly in `base`, in no particular order; nothing if `base` does not exist.
///
/// # Errors
/// As [`walk`].
pub fn directory(base: &str, with_meta: bool) -> Result<Vec<Found>> {
    let root = Path::new(base);
    let failed = |source: std::io::Error| StoreError::io(format!("file://{base}"), &source);
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let mut relative = relative(root, &path, base)?;
        if is_temporary(&relative) {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
            relative.push('/');
            found.push(Found { relative, meta: None });
        } else {
            found.push(Found { relative, meta: metadata(&path, with_meta)? });
        }
    }
    Ok(found)
}
