//! Reading files: open, fstat, read, close, into memory of the right size.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;
use s3dlio_runtime::pool;

use super::direct::{self, Alignment};
use super::together::together;
use super::{Mode, POOLED};
use crate::buffer::Buffer;
use crate::error::{Result, StoreError};
use crate::work::on_pool;

/// From this size on a read is shared out between threads: below it the hand-over costs what the second thread gains.
const SHARED: usize = 16 << 20;

/// Bytes that one thread reads before it looks for more work; large beside a system call, small beside [`SHARED`].
const PIECE: usize = 4 << 20;

/// A file that is open for reading: one state of it, whatever is renamed over its name meanwhile.
#[derive(Debug)]
pub struct Reader<'a> {
    file: File,
    path: Cow<'a, str>,
    mode: Mode,
    direct: Option<Alignment>,
    size: u64,
    /// When the file was last written before it was opened.
    written: (i64, u64),
    /// Until the first read, which belongs to the opening: one operation sees one state of the file.
    fresh: AtomicBool,
    /// Set when nobody wants the bytes any more; looked at before each piece.
    stop: Arc<AtomicBool>,
}

impl<'a> Reader<'a> {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`read`].
    pub fn open(path: impl Into<Cow<'a, str>>, mode: Mode) -> Result<Self> {
        let path = path.into();
        let plain = OFlags::RDONLY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::open(&*path, flags, rustix::fs::Mode::empty());
        let failed = |source: Errno| StoreError::io(mode.uri(&path), &source.into());
        let direct = matches!(mode, Mode::Direct { .. });
        let mut refusal = None;
        let opened = match open(if direct { plain | OFlags::DIRECT } else { plain }) {
            Err(source @ (Errno::INVAL | Errno::OPNOTSUPP)) if direct => {
                refusal = Some(source.to_string());
                open(plain)
            }
            opened => opened,
        };
        let mut file = File::from(opened.map_err(failed)?);
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Err(StoreError::Unsupported {
                uri: mode.uri(&path),
                detail: "is a directory: name a file, or list the directory".into(),
            });
        }
        let mut alignment = None;
        if direct && refusal.is_none() {
            alignment = Alignment::of(&file);
            if alignment.is_none() {
                refusal = Some(direct::NO_ALIGNMENT.into());
                file = File::from(open(plain).map_err(failed)?);
            }
        }
        if let Some(found) = refusal.filter(|_| mode != (Mode::Direct { fallback: true })) {
            return Err(direct::refused(&path, &found));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let (written, fresh) = (last_write(&stat), AtomicBool::new(true));
        Ok(Self { file, path, mode, direct: alignment, size, written, fresh, stop: Arc::default() })
    }

    pub(super) fn metadata(&self) -> Result<std::fs::Metadata> {
        self.file.metadata().map_err(|source| self.failed(&source))
    }

    fn failed(&self, source: &io::Error) -> StoreError {
        if self.direct.is_some() && source.kind() == io::ErrorKind::InvalidInput {
            return direct::refused(&self.path, &source.to_string());
        }
        StoreError::io(self.mode.uri(&self.path), source)
    }

    fn short(&self, found: usize, expected: usize) -> StoreError {
        StoreError::Length { uri: self.mode.uri(&self.path), found: found as u64, expected: expected as u64 }
    }

    /// How many bytes [`read`](Self::read) will give; 0 for files that do not say.
    #[must_use]
    pub fn wanted(&self, offset: u64, length: Option<u64>) -> u64 {
        self.size.saturating_sub(offset).min(length.unwrap_or(u64::MAX))
    }

    /// `length` bytes from `offset`, cut at the end of the file.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self, offset: u64, length: Option<u64>) -> Result<Bytes> {
        if self.size == 0 && self.direct.is_none() {
            return self.read_unsized(offset, length);
        }
        let want = usize::try_from(self.wanted(offset, length)).unwrap_or(usize::MAX);
        if want == 0 {
            return Ok(Bytes::new());
        }
        if let Some(alignment) = self.direct {
            return self.read_direct(offset, want, alignment);
        }
        if want < POOLED {
            let mut bytes = Vec::new();
            self.append(offset, want, &mut bytes)?;
            self.still(offset, want)?;
            return Ok(Bytes::from(bytes));
        }
        let mut buffer = Buffer::new(want, 1).map_err(|source| self.failed(&source))?;
        let memory = &mut buffer.spare()[..want];
        self.shared(memory, &|at, piece| self.exactly(offset + at as u64, piece, piece.len(), want, at))?;
        self.still(offset, want)?;
        // SAFETY: `shared` has filled the first `want` bytes.
        Ok(unsafe { buffer.freeze(0..want) })
    }

    /// Makes sure that the file still holds what was read: a read that a truncation overtakes finds zeros in the page cache
    /// where the file has ended by then, even if it has been written anew since.
    pub(super) fn still(&self, offset: u64, want: usize) -> Result<()> {
        let stat = rustix::fs::fstat(&self.file).map_err(|source| self.failed(&source.into()))?;
        let found = usize::try_from(u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(offset));
        let found = found.unwrap_or(usize::MAX);
        if found < want {
            return Err(self.short(found, want));
        }
        if self.fresh.swap(false, Ordering::Relaxed) && last_write(&stat) != self.written {
            let detail = "the file was written while it was read, expected one state of it".into();
            return Err(StoreError::Corrupt { uri: self.mode.uri(&self.path), detail });
        }
        Ok(())
    }

    /// The aligned range around the wanted one, in one buffer; the result is a slice of that.
    fn read_direct(&self, offset: u64, want: usize, alignment: Alignment) -> Result<Bytes> {
        let start = alignment.down(offset);
        let head = usize::try_from(offset - start).unwrap_or(0);
        let needed = head.saturating_add(want);
        let length = needed.checked_next_multiple_of(alignment.block).unwrap_or(usize::MAX);
        let mut buffer = Buffer::new(length, alignment.memory).map_err(|source| self.failed(&source))?;
        self.shared(&mut buffer.spare()[..length], &|at, piece| {
            self.exactly(start + at as u64, piece, piece.len().min(needed - at), needed, at)
        })?;
        // SAFETY: `shared` has filled the first `needed` bytes.
        Ok(unsafe { buffer.freeze(head..needed) })
    }

    /// Files of /proc and the like say 0 and still have content; some of them cannot be read at an offset.
    fn read_unsized(&self, offset: u64, length: Option<u64>) -> Result<Bytes> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &self.file, &mut bytes).map_err(|source| self.failed(&source))?;
        let start = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let rest = bytes.len() - start;
        let length = length.and_then(|length| usize::try_from(length).ok()).map_or(rest, |length| length.min(rest));
        Ok(Bytes::from(bytes).slice(start..start + length))
    }

    /// Fills `memory` from `offset`, cut at the end of the file; how many bytes that were.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read_into(&self, offset: u64, memory: &mut [u8]) -> Result<usize> {
        if self.size == 0 && self.direct.is_none() {
            let bytes = self.read_unsized(offset, Some(memory.len() as u64))?;
            memory[..bytes.len()].copy_from_slice(&bytes);
            return Ok(bytes.len());
        }
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = rest.min(memory.len());
        // SAFETY: the same memory and length; only whole bytes are ever written into it.
        let memory = unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast::<MaybeUninit<u8>>(), want) };
        match self.direct {
            None => {
                self.shared(memory, &|at, piece| self.exactly(offset + at as u64, piece, piece.len(), want, at))?;
                self.still(offset, want)?;
            }
            Some(alignment) => {
                self.shared(memory, &|at, piece| self.read_unaligned(offset + at as u64, piece, alignment))?;
            }
        }
        Ok(want)
    }

    /// Reads past the page cache into memory of any alignment: at once what is aligned, the rest through a buffer.
    fn read_unaligned(&self, offset: u64, memory: &mut [MaybeUninit<u8>], alignment: Alignment) -> Result<()> {
        let aligned = alignment.fits(memory.as_ptr().cast()) && alignment.down(offset) == offset;
        let whole = if aligned { memory.len() - memory.len() % alignment.block } else { 0 };
        let (bulk, rest) = memory.split_at_mut(whole);
        self.exactly(offset, bulk, whole, whole, 0)?;
        if rest.is_empty() {
            return Ok(());
        }
        let bytes = self.read_direct(offset + whole as u64, rest.len(), alignment)?;
        // SAFETY: `read_direct` gives just as many bytes as asked for, from memory of its own.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), rest.as_mut_ptr().cast(), bytes.len()) };
        Ok(())
    }

    /// Fills `memory` piece by piece, on several threads where it is large. `read` gets the place of a piece in
    /// `memory`; pieces begin at multiples of [`PIECE`].
    fn shared(&self, memory: &mut [MaybeUninit<u8>], read: &Fill<'_>) -> Result<()> {
        if memory.len() < SHARED {
            return read(0, memory);
        }
        let pieces = Mutex::new(memory.chunks_mut(PIECE).enumerate());
        let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        let failure = Mutex::new(None);
        let failed = AtomicBool::new(false);
        together(pool::io().threads().saturating_sub(1), &|| {
            let stopped = || failed.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed);
            while let Some((number, piece)) = next().filter(|_| !stopped()) {
                if let Err(error) = read(number * PIECE, piece) {
                    failed.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        });
        if self.stop.load(Ordering::Relaxed) {
            let detail = "the read was given up".into();
            return Err(StoreError::Store { uri: self.mode.uri(&self.path), detail });
        }
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Reads at least the first `needed` bytes of `memory` from `offset`; `total` and `before` are for the error text.
    pub(super) fn exactly(
        &self,
        offset: u64,
        memory: &mut [MaybeUninit<u8>],
        needed: usize,
        total: usize,
        before: usize,
    ) -> Result<()> {
        let block = self.direct.map_or(1, |alignment| alignment.block);
        let mut filled = 0;
        while filled < needed {
            // A transfer past the page cache goes on at a block, so bytes after one may be read twice.
            let from = filled - filled % block;
            let read = match rustix::io::pread(&self.file, &mut memory[from..], offset + from as u64) {
                Ok((read, _)) => from + read.len(),
                Err(Errno::INTR) => continue,
                Err(source) => return Err(self.failed(&source.into())),
            };
            if read <= filled {
                return Err(self.short(before + filled, total));
            }
            filled = read;
        }
        Ok(())
    }

    /// Appends `want` bytes from `offset` to `bytes`; all of them or none.
    ///
    /// # Errors
    /// As [`read`]; [`StoreError::Length`] for a range that passes the end.
    pub fn append(&self, offset: u64, want: usize, bytes: &mut Vec<u8>) -> Result<()> {
        bytes
            .try_reserve(want)
            .map_err(|source| self.failed(&io::Error::new(io::ErrorKind::OutOfMemory, source.to_string())))?;
        if let Some(alignment) = self.direct {
            let read = self.read_direct(offset, want, alignment)?;
            bytes.extend_from_slice(&read);
            return Ok(());
        }
        let end = bytes.len() + want;
        self.exactly(offset, &mut bytes.spare_capacity_mut()[..want], want, want, 0)?;
        // SAFETY: `exactly` has filled the `want` bytes behind the old end.
        unsafe { bytes.set_len(end) };
        Ok(())
    }
}

/// Reads one piece, given its place and its memory.
type Fill<'a> = dyn Fn(usize, &mut [MaybeUninit<u8>]) -> Result<()> + Sync + 'a;

/// Reads `length` bytes from `offset` (to the end of the file if `None`).
///
/// A range that passes the end is cut there; one that begins at or behind the end gives no bytes. Past the page cache
/// the device reads whole blocks, and the result is a slice of them. Large reads use the threads of the reading pool.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::PermissionDenied`], [`StoreError::Unsupported`] for a directory or where
/// the file system refuses `O_DIRECT`, [`StoreError::Length`] when the file shrinks while it is read.
pub fn read(path: &str, offset: u64, length: Option<u64>, mode: Mode) -> Result<Bytes> {
    Reader::open(path, mode)?.read(offset, length)
}

impl Reader<'static> {
    /// As [`read`](Self::read), on the reading pool: for large files, so that whoever waits can give up.
    ///
    /// Dropping the future stops the reading within a few megabytes.
    ///
    /// # Errors
    /// As [`read`].
    pub async fn read_on_pool(self, offset: u64, length: Option<u64>) -> Result<Bytes> {
        struct Stop(Arc<AtomicBool>);
        impl Drop for Stop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let stop = Stop(Arc::clone(&self.stop));
        let bytes = on_pool(move || self.read(offset, length)).await;
        drop(stop);
        bytes
    }
}

/// Reads from `offset` into `memory`, as much as there is up to its length; how many bytes that were.
///
/// Past the page cache, bytes go straight into memory that has the alignment of the device, together with an offset
/// that has it; all others are copied once.
///
/// # Errors
/// As [`read`].
pub fn read_into(path: &str, offset: u64, memory: &mut [u8], mode: Mode) -> Result<usize> {
    Reader::open(path, mode)?.read_into(offset, memory)
}

/// Appends a whole file to `arena`, through the page cache, and returns the number of bytes.
///
/// # Errors
/// As [`read`].
pub fn read_onto(path: &str, arena: &mut Vec<u8>) -> Result<usize> {
    let reader = Reader::open(path, Mode::Buffered)?;
    let want = usize::try_from(reader.size).unwrap_or(usize::MAX);
    let start = arena.len();
    reader.append(0, want, arena)?;
    reader.still(0, want).inspect_err(|_| arena.truncate(start))?;
    Ok(want)
}

fn last_write(stat: &rustix::fs::Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}
