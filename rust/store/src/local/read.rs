//! Reading files: open, fstat, read, close, into a buffer of exactly the right size.

use std::fs::File;
use std::io;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;

use super::Mode;
use crate::error::{Result, StoreError};

fn failed(path: &str, source: &io::Error) -> StoreError {
    StoreError::io(format!("file://{path}"), source)
}

fn open(path: &str) -> Result<(File, u64)> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
        .map_err(|source| failed(path, &source.into()))?;
    let stat = rustix::fs::fstat(&fd).map_err(|source| failed(path, &source.into()))?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(StoreError::Unsupported {
            uri: format!("file://{path}"),
            detail: "is a directory: name a file, or list the directory".into(),
        });
    }
    Ok((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Reads `length` bytes from `offset` (to the end of the file if `None`).
///
/// A range that passes the end is cut there; one that begins at or behind the end gives no bytes.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::PermissionDenied`], [`StoreError::Unsupported`] for a directory,
/// [`StoreError::Length`] when the file shrinks while it is read.
pub fn read(path: &str, offset: u64, length: Option<u64>, mode: Mode) -> Result<Bytes> {
    mode.check(path)?;
    let (file, size) = open(path)?;
    let want = size.saturating_sub(offset).min(length.unwrap_or(u64::MAX));
    let mut buffer = Vec::with_capacity(usize::try_from(want).unwrap_or(usize::MAX));
    if want == 0 && size == 0 {
        // Files of /proc and the like say 0 and still have content; some of them cannot be read at an offset.
        io::Read::read_to_end(&mut &file, &mut buffer).map_err(|source| failed(path, &source))?;
        let start = usize::try_from(offset).map_or(buffer.len(), |offset| offset.min(buffer.len()));
        let rest = buffer.len() - start;
        let length = length.and_then(|length| usize::try_from(length).ok()).map_or(rest, |length| length.min(rest));
        return Ok(Bytes::from(buffer).slice(start..start + length));
    }
    fill(&file, path, offset, want, &mut buffer)?;
    Ok(Bytes::from(buffer))
}

/// Appends a whole file to `arena` and returns the number of bytes.
///
/// # Errors
/// As [`read`].
pub fn read_onto(path: &str, arena: &mut Vec<u8>) -> Result<usize> {
    let (file, size) = open(path)?;
    let start = arena.len();
    fill(&file, path, 0, size, arena)?;
    Ok(arena.len() - start)
}

fn fill(file: &File, path: &str, offset: u64, want: u64, buffer: &mut Vec<u8>) -> Result<()> {
    let want_len = usize::try_from(want).unwrap_or(usize::MAX);
    buffer.reserve(want_len);
    let start = buffer.len();
    let end = start + want_len;
    while buffer.len() < end {
        let at = offset + (buffer.len() - start) as u64;
        let read = match rustix::io::pread(file, spare_capacity(buffer), at) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(source) => return Err(failed(path, &source.into())),
        };
        if read == 0 {
            let found = (buffer.len() - start) as u64;
            return Err(StoreError::Length { uri: format!("file://{path}"), found, expected: want });
        }
    }
    // The allocator may give more room than asked for, and the file may have grown meanwhile.
    buffer.truncate(end);
    Ok(())
}
