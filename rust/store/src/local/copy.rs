//! Copies and renames on the local file system.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::Mode;
use super::temporary::{Create, Temporary, allowed, parent};
use crate::error::{Result, StoreError};

/// Bytes between two looks at whether anybody still waits: 64 MiB take a tenth of a second on a slow disk.
const STEP: u64 = 64 << 20;

/// Copies the contents of a file and returns the number of bytes; directories are made, and what was there before is
/// replaced by the complete copy, or stays, as `create` says. `moved` is told the bytes of each step, and ends the copy
/// by an error.
///
/// The kernel copies, and shares the blocks where the file system can. The copy has the rights of a new file.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::PermissionDenied`], [`StoreError::Unsupported`] for a directory,
/// [`StoreError::Length`] when the source changes meanwhile, [`StoreError::AlreadyExists`] with [`Create::New`],
/// [`StoreError::Store`] (disk full and the like), and those of `moved`.
pub fn copy(from: &str, to: &str, create: &Create, moved: &mut dyn FnMut(u64) -> Result<()>) -> Result<u64> {
    let mode = Mode::Buffered;
    let unread = |source: io::Error| StoreError::io(mode.uri(from), &source);
    let source = File::open(from).map_err(unread)?;
    let meta = source.metadata().map_err(unread)?;
    if meta.is_dir() {
        return Err(StoreError::Unsupported { uri: mode.uri(from), detail: "is a directory, not an object".into() });
    }
    allowed(to, mode, create)?;
    let unwritten = |source: io::Error| StoreError::io(mode.uri(to), &source);
    let (temporary, target) = Temporary::beside(to, mode)?;
    let mut copied = 0;
    loop {
        let step = io::copy(&mut (&source).take(STEP), &mut &target).map_err(unwritten)?;
        if step == 0 {
            break;
        }
        copied += step;
        moved(step)?;
    }
    if meta.is_file() && copied < meta.len() {
        return Err(StoreError::Length { uri: mode.uri(from), found: copied, expected: meta.len() });
    }
    target.sync_data().map_err(unwritten)?;
    temporary.commit(&target, to, mode, create)?;
    Ok(copied)
}

/// Gives a file another name; directories are made. With [`Create::New`] a file of that name stays and is an error.
pub(super) fn rename(from: &str, to: &str, create: &Create) -> Result<()> {
    let mode = Mode::Buffered;
    if std::fs::symlink_metadata(from).map_err(|source| StoreError::io(mode.uri(from), &source))?.is_dir() {
        return Err(StoreError::Unsupported { uri: mode.uri(from), detail: "is a directory, not an object".into() });
    }
    let failed = |source: io::Error| StoreError::io(mode.uri(to), &source);
    let flags = if *create == Create::Overwrite { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    let renamed = match rustix::fs::renameat_with(CWD, from, CWD, to, flags) {
        Err(Errno::NOENT) => {
            std::fs::create_dir_all(parent(to)).map_err(failed)?;
            rustix::fs::renameat_with(CWD, from, CWD, to, flags)
        }
        renamed => renamed,
    };
    match renamed {
        Ok(()) => Ok(()),
        // Another file system, or one that knows no rename with a condition.
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
            copy(from, to, create, &mut |_| Ok(()))?;
            std::fs::remove_file(from).map_err(|source| match source.kind() {
                ErrorKind::NotFound => StoreError::NotFound { uri: mode.uri(from), detail: source.to_string() },
                _ => StoreError::io(mode.uri(from), &source),
            })
        }
        Err(source) => Err(failed(source.into())),
    }
}
