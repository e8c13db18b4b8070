//! `O_DIRECT`: whether a file takes it, and with which alignment.

use std::fs::File;

use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::Errno;

use super::Mode;
use crate::error::StoreError;

/// What a device asks of a transfer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alignment {
    /// Memory begins at a multiple of this many bytes.
    pub(super) memory: usize,
    /// Offset and length in the file are multiples of this many bytes.
    pub(super) block: usize,
}

/// Where the kernel does not say: the sector of every disk sold divides it.
const UNTOLD: Alignment = Alignment { memory: 4096, block: 4096 };

/// What was found where `O_DIRECT` can be asked for and then does nothing.
pub(super) const NO_ALIGNMENT: &str = "the kernel gives no alignment for this file";

impl Alignment {
    /// The alignment of an open file; `None` if the kernel says that this file takes no `O_DIRECT`.
    pub(super) fn of(file: &File) -> Option<Self> {
        let Ok(stat) = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else {
            return Some(UNTOLD);
        };
        if stat.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
            return Some(UNTOLD);
        }
        let power = |found: u32| usize::try_from(found).ok().filter(|n| n.is_power_of_two());
        Some(Self { memory: power(stat.stx_dio_mem_align)?, block: power(stat.stx_dio_offset_align)? })
    }

    /// Whether memory at `start` can be transferred as it is.
    pub(super) fn fits(self, start: *const u8) -> bool {
        start.addr().is_multiple_of(self.memory)
    }

    /// The last block boundary at or before `offset`.
    pub(super) fn down(self, offset: u64) -> u64 {
        offset - offset % self.block as u64
    }
}

/// Turns `O_DIRECT` on for a file that is open already.
///
/// Asking at `open` would, where the file system refuses, leave an empty file behind.
///
/// # Errors
/// [`StoreError::Unsupported`] where the file system refuses and `mode` allows no fallback.
pub(super) fn enable(file: &File, path: &str, mode: Mode) -> Result<Option<Alignment>, StoreError> {
    let Mode::Direct { fallback } = mode else { return Ok(None) };
    let set = rustix::fs::fcntl_getfl(file).and_then(|flags| rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT));
    let failed = |source: Errno| StoreError::io(mode.uri(path), &source.into());
    match set {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::OPNOTSUPP) if fallback => return Ok(None),
        Err(source @ (Errno::INVAL | Errno::OPNOTSUPP)) => return Err(refused(path, &source.to_string())),
        Err(source) => return Err(failed(source)),
    }
    match Alignment::of(file) {
        Some(alignment) => Ok(Some(alignment)),
        None if fallback => {
            let flags = rustix::fs::fcntl_getfl(file).map_err(failed)?;
            rustix::fs::fcntl_setfl(file, flags - OFlags::DIRECT).map_err(failed)?;
            Ok(None)
        }
        None => Err(refused(path, NO_ALIGNMENT)),
    }
}

/// The error of a file system that refuses.
pub(super) fn refused(path: &str, found: &str) -> StoreError {
    StoreError::Unsupported {
        uri: format!("direct://{path}"),
        detail: format!(
            "the file system refuses O_DIRECT: {found}; direct_fallback=True or S3DLIO_DIRECT_FALLBACK=1 goes through \
             the page cache instead"
        ),
    }
}
