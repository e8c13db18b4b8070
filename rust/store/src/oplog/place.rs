//! Names of log files.

use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};
use crate::{Scheme, Uri};

/// The path that `place`, a path or a `file://` URI, names.
pub(super) fn path(place: &str) -> Result<PathBuf> {
    if !place.contains("://") {
        if place.is_empty() {
            return Err(StoreError::InvalidUri { uri: String::new(), reason: "an operation log needs a path".into() });
        }
        return Ok(PathBuf::from(place));
    }
    let uri = Uri::parse(place)?;
    if uri.scheme == Scheme::File {
        return Ok(PathBuf::from(uri.key));
    }
    let detail = "an operation log is a local file: give a path or a file:// URI".into();
    Err(StoreError::Unsupported { uri: place.into(), detail })
}

/// `path` with the process number before its extension: `ops.tsv.zst` becomes `ops.41.tsv.zst`.
///
/// Process numbers come again, also those of an earlier run: `attempt` above 0 gives further names.
pub(super) fn of_child(path: &Path, process: u32, attempt: u32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = if attempt == 0 { process.to_string() } else { format!("{process}-{attempt}") };
    let cut = [".tsv.zst", ".csv.zst", ".log.zst"]
        .into_iter()
        .find_map(|extension| name.strip_suffix(extension).map(str::len))
        .or_else(|| name.rfind('.'))
        .filter(|&cut| cut > 0);
    path.with_file_name(match cut {
        Some(cut) => format!("{}.{number}{}", &name[..cut], &name[cut..]),
        None => format!("{name}.{number}"),
    })
}
