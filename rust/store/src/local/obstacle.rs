//! What stands in the way of a file that is to be written.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::Uri;
use crate::error::StoreError;

/// Why no file can be written at a local URI, as far as a look at its folders tells; makes nothing. `None` says little: the
/// write itself may still fail.
#[must_use]
pub fn obstacle(uri: &Uri) -> Option<StoreError> {
    let path = Path::new(&uri.key);
    let because = |source: io::Error| Some(StoreError::io(uri.to_string(), &source));
    if path.is_dir() {
        return because(io::ErrorKind::IsADirectory.into());
    }
    // Folders that are missing are made.
    let here = |folder: &Path| if folder.as_os_str().is_empty() { Path::new(".").into() } else { folder.to_path_buf() };
    let folder = path.ancestors().skip(1).map(here).find(|folder| folder.exists())?;
    if !folder.is_dir() {
        return because(io::ErrorKind::NotADirectory.into());
    }
    access(&folder, Access::WRITE_OK | Access::EXEC_OK).err().and_then(|error| because(error.into()))
}
