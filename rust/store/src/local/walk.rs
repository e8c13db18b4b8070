//! Walking directories.

use std::fs::Metadata;
use std::io::ErrorKind;
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

/// The directory to read: the path of a relative URI may be empty and then means the current one.
fn root(base: &str) -> &Path {
    Path::new(if base.is_empty() { "." } else { base })
}

fn relative(root: &Path, path: &Path, base: &str) -> Result<String> {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.to_str().map(str::to_owned).ok_or_else(|| StoreError::Unsupported {
        uri: format!("file://{base}"),
        detail: format!("file name is not UTF-8: {}", path.display()),
    })
}

/// Adds an entry, unless it was removed since the directory named it.
fn add(found: &mut Vec<Found>, relative: String, path: &Path, with_meta: bool) -> Result<()> {
    let meta = match with_meta.then(|| std::fs::metadata(path)).transpose() {
        Ok(meta) => meta,
        Err(source) if absent(source.kind()) && !is_link(path) => return Ok(()),
        Err(source) => return Err(StoreError::io(format!("file://{}", path.display()), &source)),
    };
    found.push(Found { relative, meta });
    Ok(())
}

fn absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether `path` is a link: one whose target is missing is worth an error. Anything else that was missing a moment ago
/// was removed while the listing ran, even if a new one stands there by now.
fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink())
}

/// All files below `base`, links followed, in no particular order; nothing if `base` does not exist.
///
/// # Errors
/// [`StoreError::PermissionDenied`], [`StoreError::Store`] (also for a loop of links), [`StoreError::Unsupported`]
/// for names that are not UTF-8.
pub fn walk(base: &str, with_meta: bool) -> Result<Vec<Found>> {
    let root = root(base);
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
            add(&mut found, relative, entry.path(), with_meta)?;
        }
    }
    Ok(found)
}

/// A listing races with deletions; a base that is not there lists as empty, like a prefix of a network store.
fn missing(source: &walkdir::Error) -> bool {
    source.io_error().is_some_and(|io| absent(io.kind()))
        && (source.depth() == 0 || !source.path().is_some_and(is_link))
}

/// The files and directories directly in `base`, in no particular order; nothing if `base` does not exist.
///
/// # Errors
/// As [`walk`].
pub fn directory(base: &str, with_meta: bool) -> Result<Vec<Found>> {
    let root = root(base);
    let failed = |source: std::io::Error| StoreError::io(format!("file://{base}"), &source);
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(source) if absent(source.kind()) => return Ok(Vec::new()),
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
            add(&mut found, relative, &path, with_meta)?;
        }
    }
    Ok(found)
}
