//! From records to the bytes of a file.

use crate::riegeli::chunk::{self, EncodedChunk};
use crate::riegeli::{Compression, Dialect, Group, Records, Result, simple};

/// Record bytes that complete a chunk: 1 MiB.
pub const DEFAULT_CHUNK_SIZE: u64 = 1 << 20;

/// Zstandard level of files that ask for compression without a level.
pub const DEFAULT_LEVEL: i32 = 3;

/// Empty records never add up to a chunk's bytes. At an average below a byte each they complete it by their number, so
/// that they do not pile up in memory; the number is never below this.
const FEWEST_RECORDS: u64 = 1 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// [`Compression::None`], which is the default, or [`Compression::Zstd`].
    pub compression: Compression,
    /// Record bytes that complete a chunk; [`DEFAULT_CHUNK_SIZE`] by default. The record that reaches it is the chunk's
    /// last, however long.
    pub chunk_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { compression: Compression::None, chunk_size: DEFAULT_CHUNK_SIZE }
    }
}

impl Options {
    /// The chunk of `records`. It does not depend on where in a file it will stand.
    ///
    /// # Errors
    /// [`Compress`](crate::riegeli::RiegeliError::Compress), and
    /// [`UnsupportedCompression`](crate::riegeli::RiegeliError::UnsupportedCompression) for anything but Zstandard.
    pub fn encode(&self, records: &Records) -> Result<EncodedChunk> {
        simple::encode(records, self.compression, Dialect::Disky)
    }
}

/// Collects records until they make a chunk.
#[derive(Debug, Clone)]
pub struct Buffer {
    group: Group,
    chunk_size: u64,
}

impl Buffer {
    /// A buffer for chunks of `chunk_size` record bytes.
    #[must_use]
    pub fn new(chunk_size: u64) -> Self {
        Self { group: Group::default(), chunk_size }
    }

    /// Adds a record, copying it; true where the chunk is complete and has to be [taken](Self::take).
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> bool {
        self.group.push(record);
        self.group.byte_len() as u64 >= self.chunk_size
            || self.group.len() as u64 >= self.chunk_size.max(FEWEST_RECORDS)
    }

    /// The records so far; the buffer is empty then.
    #[must_use]
    pub fn take(&mut self) -> Records {
        self.group.take()
    }

    /// True where there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Bytes of all records together.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.group.byte_len()
    }
}

/// Appends the bytes of a file to a vector, which its owner writes out and clears whenever it likes.
///
/// A writer that failed is to be given up: what it was given since the last chunk may be lost.
#[derive(Debug, Clone)]
pub struct Writer {
    options: Options,
    buffer: Buffer,
    position: u64,
}

impl Writer {
    /// Starts a new file: the signature goes to `out` at once.
    pub fn new(options: Options, out: &mut Vec<u8>) -> Self {
        Self::at(options, chunk::write_signature(out))
    }

    /// Goes on behind a file that ends at `position` with a whole chunk, which [`AppendCheck`](super::AppendCheck)
    /// makes sure of. A file without a byte is to be started anew instead.
    #[must_use]
    pub fn at(options: Options, position: u64) -> Self {
        Self { options, buffer: Buffer::new(options.chunk_size), position }
    }

    /// Adds a record; where it completes a chunk, the chunk goes to `out`.
    ///
    /// # Errors
    /// As [`Options::encode`].
    #[inline]
    pub fn push(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self.buffer.push(record) { self.flush(out) } else { Ok(()) }
    }

    /// Ends the chunk, if it holds a record, and puts it to `out`. Flushing last of all completes the file.
    ///
    /// # Errors
    /// As [`Options::encode`].
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let records = self.buffer.group.view();
        let (_, end) = simple::write(self.position, records, self.options.compression, Dialect::Disky, out)?;
        self.position = end;
        self.buffer.group.clear();
        Ok(())
    }

    /// Length of the file so far, without the records that wait for their chunk.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The records that wait for their chunk.
    #[must_use]
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}
