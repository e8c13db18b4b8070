//! What a writer may be asked for, and the sizes that follow from it.

use crate::compression::Compression;
use crate::error::{Result, StoreError};
use crate::uri::Scheme;

/// Bytes of a part unless said otherwise: at 100 MB/s a connection one request takes 160 ms, long beside its round
/// trip, and 10,000 parts make 160 GB.
const PART_SIZE: u64 = 16 << 20;

/// The same on this machine, where nothing is gained above it and every buffer is fresh memory first.
const LOCAL_PART_SIZE: u64 = 4 << 20;

/// Parts in memory unless said otherwise.
const HELD: usize = 8;

/// Least size of a part that S3 and Google Cloud Storage accept, unless it is the last.
const NETWORK_LEAST: u64 = 5 << 20;

/// Below this the cost of handing a part over is no longer small beside writing it.
const LEAST: u64 = 256 << 10;

/// Largest part that all network stores accept: Azure's limit; that of S3 is 5 GiB.
const MOST: u64 = 4000 << 20;

/// How a writer works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriterOptions {
    /// What happens to the bytes; a file name extension is appended to the key unless it has it already.
    pub compression: Compression,
    /// Bytes that go to the store together; if `None` 16 MiB, and 4 MiB for files and `memory://`. Parts are whole multiples of it: at least 5 MiB for S3
    /// and Google Cloud Storage, which accept no less, and at least 256 KiB elsewhere.
    pub chunk_size: Option<u64>,
    /// Bytes of memory for parts that are being filled or on their way; 8 parts if `None`, and never less than one.
    pub buffer_size: Option<u64>,
    /// Bytes of a part, exactly; for callers that know their store.
    pub part_size: Option<u64>,
    /// Parts in memory; 8 if `None`.
    pub max_in_flight: Option<usize>,
    /// The media type that the store is told; `None` leaves it to the store. Local files have none.
    pub content_type: Option<String>,
    /// Leaves the parts of an upload that is dropped unfinished in the store, for its own rules to clean up.
    pub keep_parts: bool,
}

/// Sizes of one upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of each part but the last.
    pub part: usize,
    /// Buffers of that size.
    pub held: usize,
    /// Parts that an object may have.
    pub most_parts: u64,
}

impl WriterOptions {
    /// What a writer of these options sends and holds.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a size outside the limits of the store.
    pub fn sizes(&self, scheme: Scheme) -> Result<Sizes> {
        let strict = matches!(scheme, Scheme::S3 | Scheme::Gcs);
        let part = match self.part_size {
            Some(part) => within("part_size", part, if strict { NETWORK_LEAST } else { 1 }, scheme)?,
            None => self.part(if strict { NETWORK_LEAST } else { LEAST }, scheme)?,
        };
        let held = match (self.max_in_flight, self.buffer_size) {
            (Some(0), _) => return Err(bad("max_in_flight", 0, "at least 1".into())),
            (Some(held), _) => held,
            (None, Some(bytes)) => usize::try_from((bytes / part).max(1)).unwrap_or(usize::MAX),
            (None, None) => HELD,
        };
        let most_parts = match scheme {
            Scheme::S3 | Scheme::Gcs => 10_000,
            Scheme::Azure => 50_000,
            Scheme::File | Scheme::Direct | Scheme::Memory => u64::MAX,
        };
        Ok(Sizes { part: usize::try_from(part).unwrap_or(usize::MAX), held, most_parts })
    }

    fn part(&self, least: u64, scheme: Scheme) -> Result<u64> {
        let network = matches!(scheme, Scheme::S3 | Scheme::Gcs | Scheme::Azure);
        let usual = if network { PART_SIZE } else { LOCAL_PART_SIZE };
        let chunk = within("chunk_size", self.chunk_size.unwrap_or(usual), 1, scheme)?;
        let buffer = match self.buffer_size {
            Some(0) => return Err(bad("buffer_size", 0, "at least 1 byte".into())),
            buffer => buffer.unwrap_or(u64::MAX),
        };
        let part = chunk * least.div_ceil(chunk);
        let part = if part > buffer { buffer.max(least) } else { part };
        // O_DIRECT writes whole blocks, so parts of files begin at multiples of a page.
        Ok(if scheme.is_local() { part.next_multiple_of(4096) } else { part })
    }
}

fn within(option: &str, value: u64, least: u64, scheme: Scheme) -> Result<u64> {
    if (least..=MOST).contains(&value) {
        return Ok(value);
    }
    Err(bad(option, value, format!("{least} to {MOST} bytes for {}://", scheme.name())))
}

fn bad(option: &str, found: u64, expected: String) -> StoreError {
    StoreError::Config { option: option.into(), found: found.to_string(), expected }
}
