//! Writing into one file at any offset, in any order, through the page cache or past it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use super::Mode;
use super::direct::{self, Alignment};
use crate::buffer::Buffer;
use crate::error::{Result, StoreError};

/// Bytes of one copy into aligned memory: large enough for one request to keep a device busy.
const STEP: usize = 4 << 20;

/// A file being written; it takes writes that do not overlap from many threads at once.
pub(super) struct Sink {
    file: File,
    path: String,
    mode: Mode,
    direct: Option<Alignment>,
    edges: Mutex<HashMap<u64, Edge>>,
}

/// A block of which only a part has been given so far: past the page cache it can only be written whole.
struct Edge {
    block: Buffer,
    filled: usize,
}

impl Sink {
    /// Writes into `file`, for the sake of `path`, which errors name.
    pub(super) fn new(file: File, path: &str, mode: Mode) -> Result<Self> {
        let direct = direct::enable(&file, path, mode)?;
        Ok(Self { file, path: path.to_owned(), mode, direct, edges: Mutex::default() })
    }

    fn failed(&self, source: &io::Error) -> StoreError {
        if self.direct.is_some() && source.kind() == io::ErrorKind::InvalidInput {
            return direct::refused(&self.path, &source.to_string());
        }
        StoreError::io(self.mode.uri(&self.path), source)
    }

    /// Writes `data` at `offset`.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let written = match self.direct {
            None => self.file.write_all_at(data, offset),
            Some(alignment) => self.write_direct(offset, data, alignment),
        };
        written.map_err(|source| self.failed(&source))
    }

    fn write_direct(&self, offset: u64, data: &[u8], alignment: Alignment) -> io::Result<()> {
        let behind = usize::try_from(offset - alignment.down(offset)).unwrap_or(0);
        let head = if behind == 0 { 0 } else { (alignment.block - behind).min(data.len()) };
        let (head, rest) = data.split_at(head);
        let (bulk, tail) = rest.split_at(rest.len() - rest.len() % alignment.block);
        self.edge(offset, head, alignment)?;
        self.bulk(offset + head.len() as u64, bulk, alignment)?;
        self.edge(offset + (head.len() + bulk.len()) as u64, tail, alignment)
    }

    /// Writes whole blocks; memory that the device takes is not copied.
    fn bulk(&self, offset: u64, data: &[u8], alignment: Alignment) -> io::Result<()> {
        if data.is_empty() || alignment.fits(data.as_ptr()) {
            return self.file.write_all_at(data, offset);
        }
        let mut buffer = Buffer::new(data.len().min(STEP), alignment.memory)?;
        for (number, piece) in data.chunks(STEP).enumerate() {
            self.file.write_all_at(buffer.copy_of(0, piece), offset + (number * STEP) as u64)?;
        }
        Ok(())
    }

    /// Puts `data`, which stays inside one block, into that block, and writes the block once it is full.
    fn edge(&self, offset: u64, data: &[u8], alignment: Alignment) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let start = alignment.down(offset);
        let full = {
            let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
            let mut edge = match edges.remove(&start) {
                Some(edge) => edge,
                None => Edge { block: Buffer::zeroed(alignment.block, alignment.memory)?, filled: 0 },
            };
            edge.block.copy_of(usize::try_from(offset - start).unwrap_or(0), data);
            edge.filled += data.len();
            if edge.filled < alignment.block {
                edges.insert(start, edge);
                return Ok(());
            }
            edge
        };
        // SAFETY: the block was zeroed when it was made.
        self.file.write_all_at(unsafe { full.block.filled(0..alignment.block) }, start)
    }

    /// Writes what is left, cuts padding off, checks that the file has `length` bytes and brings it to the disk.
    ///
    /// # Errors
    /// [`StoreError::Length`] when not every byte up to `length` was given; those of the operating system.
    pub(super) fn finish(&self, length: u64) -> Result<&File> {
        if let Some(alignment) = self.direct {
            self.flush(length, alignment)?;
        }
        let failed = |source: io::Error| self.failed(&source);
        let found = self.file.metadata().map_err(failed)?.len();
        if found != length {
            return Err(StoreError::Length { uri: self.mode.uri(&self.path), found, expected: length });
        }
        // Without the sync a crash after the rename could leave an empty file under the final name.
        self.file.sync_data().map_err(failed)?;
        Ok(&self.file)
    }

    fn flush(&self, length: u64, alignment: Alignment) -> Result<()> {
        let edges = std::mem::take(&mut *self.edges.lock().unwrap_or_else(PoisonError::into_inner));
        for (start, edge) in edges {
            if start + edge.filled as u64 != length {
                let found = start + edge.filled as u64;
                return Err(StoreError::Length { uri: self.mode.uri(&self.path), found, expected: length });
            }
            // SAFETY: the block was zeroed when it was made.
            let block = unsafe { edge.block.filled(0..alignment.block) };
            self.file.write_all_at(block, start).map_err(|source| self.failed(&source))?;
            self.file.set_len(length).map_err(|source| self.failed(&source))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("uri", &self.mode.uri(&self.path)).finish_non_exhaustive()
    }
}
