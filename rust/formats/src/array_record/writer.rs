//! Writing: records into groups, groups into chunks, chunks into a file.

use prost::Message;

use super::error::ArrayRecordError;
use super::messages::{Entry, FooterMetadata, MAGIC, Metadata, Postscript, VERSION};
use super::{Result, WriterOptions};
use crate::riegeli::chunk::{EncodedChunk, write_padding, write_signature};
use crate::riegeli::{Compression, Dialect, Group, Records, simple, transpose};

/// Records of a group where the options do not say.
pub const DEFAULT_GROUP_SIZE: u64 = 65536;

/// Record bytes at which the first group closes where the options do not say how many records it holds: large records
/// would otherwise pile up to gigabytes.
pub const ADAPTIVE_BYTES: usize = 16 << 20;

/// Collects records until a group is full. All groups of a file but the last hold the same number of records.
#[derive(Debug)]
pub struct Grouper {
    group: Group,
    size: u64,
    /// Whether the first group, still open, may close early and so tell the size of all.
    adaptive: bool,
}

impl Grouper {
    /// Groups as the options say.
    #[must_use]
    pub fn new(options: &WriterOptions) -> Self {
        Self {
            group: Group::default(),
            size: options.group_size.unwrap_or(DEFAULT_GROUP_SIZE),
            adaptive: options.group_size.is_none(),
        }
    }

    /// Adds a record; returns the group that it completes.
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Option<Records> {
        if self.size == 1 {
            return Some(Records::one(bytes::Bytes::copy_from_slice(record)));
        }
        self.group.push(record);
        if self.adaptive && self.group.byte_len() >= ADAPTIVE_BYTES {
            self.size = self.group.len() as u64;
        }
        (self.group.len() as u64 >= self.size).then(|| {
            self.adaptive = false;
            self.group.take()
        })
    }

    /// Records that no group was returned for yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.group.len()
    }

    /// The last group, if it holds anything.
    pub fn rest(&mut self) -> Option<Records> {
        (!self.group.is_empty()).then(|| self.group.take())
    }

    /// Records of a full group.
    #[must_use]
    pub fn group_size(&self) -> u64 {
        self.size
    }
}

/// The chunk of one group. It does not depend on other groups, so that several can be encoded at the same time.
///
/// # Errors
/// What the compressor refuses.
pub fn encode(records: &Records, options: &WriterOptions) -> Result<EncodedChunk> {
    Ok(if options.transpose {
        transpose::encode(records.view(), options.compression, options.transpose_bucket_size)?
    } else {
        simple::encode(records, options.compression, Dialect::Riegeli)?
    })
}

/// Puts chunks one behind the other, and an index behind all of them.
#[derive(Debug, Default)]
pub struct Placer {
    at: u64,
    entries: Vec<Entry>,
    records: u64,
}

impl Placer {
    /// Begins a file; `out` takes its first bytes.
    #[must_use]
    pub fn begin(out: &mut Vec<u8>) -> Self {
        Self { at: write_signature(out), entries: Vec::new(), records: 0 }
    }

    /// Records of all chunks so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Appends the next data chunk to `out`.
    ///
    /// # Errors
    /// [`ArrayRecordError::Riegeli`] and [`ArrayRecordError::TooLarge`] where the file would outgrow all limits.
    pub fn place(&mut self, chunk: &EncodedChunk, pad_to_block_boundary: bool, out: &mut Vec<u8>) -> Result<()> {
        let header = chunk.header();
        self.records = self.records.checked_add(header.num_records).ok_or(ArrayRecordError::TooLarge)?;
        self.entries.push(Entry {
            chunk_offset: Some(self.at),
            decoded_data_size: Some(header.decoded_size),
            num_records: Some(header.num_records),
        });
        self.at = chunk.write(self.at, out)?;
        if pad_to_block_boundary {
            self.at = write_padding(self.at, out)?;
        }
        Ok(())
    }

    /// Appends the index and what else ends a file; `group_size` goes into the text that the index keeps of the options.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub fn finish(self, options: &WriterOptions, group_size: u64, out: &mut Vec<u8>) -> Result<()> {
        let metadata = Metadata {
            version: Some(VERSION),
            num_chunks: Some(self.entries.len() as u64),
            num_records: Some(self.records),
            writer_options: Some(options.text(group_size).into_bytes()),
        };
        let mut index = Group::default();
        index.push(&FooterMetadata { array_record: Some(metadata) }.encode_to_vec());
        let mut message = Vec::new();
        for entry in &self.entries {
            message.clear();
            entry.encode_raw(&mut message);
            index.push(&message);
        }
        let postscript = Postscript { footer_offset: Some(self.at), magic: Some(MAGIC) }.encode_to_vec();
        let footer = simple::encode(&index.take(), options.compression, Dialect::Riegeli)?;
        let at = write_padding(footer.write(self.at, out)?, out)?;
        // Three copies, of which readers need one.
        let mut copies = Group::default();
        (0..3).for_each(|_| copies.push(&postscript));
        let copies = simple::encode(&copies.take(), Compression::None, Dialect::Riegeli)?;
        write_padding(copies.write(at, out)?, out)?;
        Ok(())
    }
}
