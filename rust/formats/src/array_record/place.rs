//! Where the chunks of a file go, and the index behind them.

use prost::Message;

use super::messages::{Entry, FooterMetadata, MAGIC, Metadata, Postscript, VERSION};
use super::{ArrayRecordError, DEFAULT_GROUP_SIZE, FIRST_GROUP_BYTES, Result, WriterOptions};
use crate::riegeli::{ChunkHeader, Compression, Dialect, EncodedChunk, Group, RecordsRef, chunk, simple};

/// Copies of the postscript.
const POSTSCRIPTS: usize = 3;

/// Puts chunks into a file one after another and keeps the index.
///
/// All groups but the last have the same number of records: readers find a record by dividing.
#[derive(Debug)]
pub struct Placer {
    options: WriterOptions,
    position: u64,
    /// An index entry for each chunk, encoded.
    entries: Group,
    num_records: u64,
    num_bytes: u64,
    group_size: Option<u64>,
    is_short: bool,
}

impl Placer {
    /// Starts a file: the signature goes to `out` at once.
    pub fn new(options: WriterOptions, out: &mut Vec<u8>) -> Self {
        let (position, group_size) = (chunk::write_signature(out), options.group_size.map(u64::from));
        Self { options, position, entries: Group::default(), num_records: 0, num_bytes: 0, group_size, is_short: false }
    }

    /// Appends the chunk of the next group to `out`.
    ///
    /// # Errors
    /// [`ArrayRecordError::GroupSize`], where the group has no record, more than the ones before, or follows a smaller one;
    /// [`RiegeliError::TooLarge`](crate::riegeli::RiegeliError::TooLarge), where the file would.
    pub fn place(&mut self, chunk: &EncodedChunk, out: &mut Vec<u8>) -> Result<()> {
        self.check(chunk.header().num_records)?;
        let end = chunk.write(self.position, out)?;
        self.placed(chunk.header(), end, out)
    }

    /// Encodes a group without columns and appends its chunk to `out`.
    pub(super) fn place_simple(&mut self, records: RecordsRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        self.check(records.len() as u64)?;
        let (header, end) = simple::write(self.position, records, self.options.compression, Dialect::Riegeli, out)?;
        self.placed(&header, end, out)
    }

    fn check(&self, found: u64) -> Result<()> {
        let expected = self.group_size.unwrap_or(found);
        if found == 0 || found > expected || self.is_short {
            return Err(ArrayRecordError::GroupSize { found, expected });
        }
        Ok(())
    }

    fn placed(&mut self, header: &ChunkHeader, end: u64, out: &mut Vec<u8>) -> Result<()> {
        let entry = Entry {
            chunk_offset: Some(self.position),
            decoded_data_size: Some(header.decoded_size),
            num_records: Some(header.num_records),
        };
        self.entries.push_with(|data| entry.encode_raw(data));
        self.num_records += header.num_records;
        self.num_bytes = self.num_bytes.saturating_add(header.decoded_size);
        self.is_short = header.num_records < *self.group_size.get_or_insert(header.num_records);
        self.position = end;
        if self.options.pad_to_block_boundary {
            self.position = chunk::write_padding(self.position, out)?;
        }
        Ok(())
    }

    /// Puts the index to `out`, which completes the file; returns the file's size.
    ///
    /// # Errors
    /// What the compressor refuses, and sizes beyond any file.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<u64> {
        let offset = self.position;
        let mut footer = Group::default();
        footer.push(&self.metadata().encode_to_vec());
        self.entries.view().into_iter().for_each(|entry| footer.push(entry));
        let (_, end) = simple::write(offset, footer.view(), self.options.compression, Dialect::Riegeli, out)?;
        let end = chunk::write_padding(end, out)?;
        let mut postscripts = Group::default();
        let postscript = Postscript { footer_offset: Some(offset), magic: Some(MAGIC) };
        (0..POSTSCRIPTS).for_each(|_| postscripts.push(&postscript.encode_to_vec()));
        let (_, end) = simple::write(end, postscripts.view(), Compression::None, Dialect::Riegeli, out)?;
        Ok(chunk::write_padding(end, out)?)
    }

    fn metadata(&self) -> FooterMetadata {
        // A single group that nothing closed but the end of the file does not tell how large groups would have been.
        let is_open = self.entries.len() == 1 && self.num_bytes < FIRST_GROUP_BYTES as u64;
        let first = self.group_size.filter(|_| !is_open).and_then(|size| u32::try_from(size).ok());
        let group_size = self.options.group_size.or(first).unwrap_or(DEFAULT_GROUP_SIZE);
        FooterMetadata {
            array_record: Some(Metadata {
                version: Some(VERSION),
                num_chunks: Some(self.entries.len() as u64),
                num_records: Some(self.num_records),
                writer_options: Some(self.options.text(group_size)),
            }),
        }
    }

    /// Length of the file so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Records in the file so far.
    #[must_use]
    pub fn num_records(&self) -> u64 {
        self.num_records
    }
}
