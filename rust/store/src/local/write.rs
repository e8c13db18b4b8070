//! Writing files: complete under their final name, or not there at all.

use super::Mode;
use super::sink::Sink;
use super::temporary::{Create, Temporary, allowed};
use crate::error::Result;

/// Writes a file under a temporary name in its own directory, syncs it, then gives it its name; directories are made.
/// The result is the entity tag of the new file.
///
/// # Errors
/// [`StoreError::AlreadyExists`](crate::StoreError::AlreadyExists) and
/// [`StoreError::Precondition`](crate::StoreError::Precondition) as [`Create`] says,
/// [`StoreError::Unsupported`](crate::StoreError::Unsupported) where the file system refuses `O_DIRECT`,
/// [`StoreError::PermissionDenied`](crate::StoreError::PermissionDenied),
/// [`StoreError::Store`](crate::StoreError::Store) (disk full and the like). The final name is then as it was before
/// and the temporary file is gone.
pub fn write(path: &str, data: &[u8], mode: Mode, create: &Create) -> Result<String> {
    write_pieces(path, [data], mode, create, |_| ())
}

/// As [`write()`], with the contents in several pieces.
pub(crate) fn write_pieces<T: AsRef<[u8]>>(
    path: &str,
    pieces: impl IntoIterator<Item = T>,
    mode: Mode,
    create: &Create,
    written: impl Fn(u64),
) -> Result<String> {
    allowed(path, mode, create)?;
    let (temporary, file) = Temporary::beside(path, mode)?;
    let sink = Sink::new(file, path, mode)?;
    let mut length = 0;
    for piece in pieces {
        sink.write(length, piece.as_ref())?;
        length += piece.as_ref().len() as u64;
        written(piece.as_ref().len() as u64);
    }
    temporary.commit(sink.finish(length)?, path, mode, create)
}

/// Writes a file as [`write()`] does, whatever is there already.
///
/// # Errors
/// As [`write()`].
pub fn write_atomic(path: &str, data: &[u8], mode: Mode) -> Result<()> {
    write(path, data, mode, &Create::Overwrite).map(|_| ())
}
