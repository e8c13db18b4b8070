//! Where the records of a file are.

use std::ops::Range;

use bytes::Bytes;

use super::messages::{Entry, FooterMetadata, VERSION, decode};
use super::{ArrayRecordError, Result};
use crate::riegeli::chunk::{self, Check};
use crate::riegeli::{self, ChunkHeader, ChunkKind, Dialect, HEADER_SPAN, Records, block};

/// Stands for a size that the index does not tell. No chunk is so large.
const UNKNOWN: u64 = u64::MAX;

/// The index of a file: where each chunk begins and which records it holds.
///
/// It takes 16 bytes a chunk, and 8 more where the groups are of different sizes. Finding a record takes the same few
/// steps whatever the number of chunks, or a binary search where the groups are of different sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    offsets: Vec<u64>,
    decoded_sizes: Vec<u64>,
    groups: Groups,
    end: u64,
    num_records: u64,
    writer_options: Option<String>,
    /// What has to be sound around a chunk. A scan has passed over block headers that are not.
    check: Check,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Groups {
    /// All of one size, except for a smaller last one. The size is never 0.
    Uniform(u64),
    /// How many records there are up to the end of each chunk.
    Ends(Vec<u64>),
}

/// What the index says of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkEntry {
    /// File range that the chunk lies in; other chunks that hold no records may follow it there.
    pub range: Range<u64>,
    /// Records of the file that it holds.
    pub records: Range<u64>,
    /// Bytes of its records together, if the index tells.
    pub decoded_size: Option<u64>,
}

/// Collects the chunks of an index in file order.
#[derive(Debug, Default)]
pub(super) struct Builder {
    offsets: Vec<u64>,
    decoded_sizes: Vec<u64>,
    first: u64,
    last: u64,
    num_records: u64,
    /// Empty as long as the groups are of one size.
    ends: Vec<u64>,
}

impl Builder {
    pub(super) fn with_capacity(chunks: usize) -> Self {
        Self { offsets: Vec::with_capacity(chunks), decoded_sizes: Vec::with_capacity(chunks), ..Self::default() }
    }

    /// Adds a chunk of at least one record behind the others; what is wrong with it, if anything.
    pub(super) fn push(
        &mut self,
        offset: u64,
        num_records: u64,
        decoded_size: Option<u64>,
    ) -> Result<(), &'static str> {
        if offset < HEADER_SPAN || !block::is_legal(offset) {
            return Err("no chunk can begin at its offset");
        }
        if self.offsets.last().is_some_and(|last| *last >= offset) {
            return Err("its offset is not behind the one before");
        }
        if num_records == 0 {
            return Err("it has no records");
        }
        let end = self.num_records.checked_add(num_records).ok_or("the records are too many to count")?;
        let chunks = self.offsets.len() as u64;
        if self.ends.is_empty() && chunks > 0 && (self.last != self.first || num_records > self.first) {
            // All chunks before but the last had the first one's size.
            self.ends.extend((1..chunks).map(|chunk| chunk * self.first));
            self.ends.push(self.num_records);
        }
        if chunks == 0 {
            self.first = num_records;
        }
        if !self.ends.is_empty() {
            self.ends.push(end);
        }
        self.offsets.push(offset);
        self.decoded_sizes.push(decoded_size.unwrap_or(UNKNOWN));
        (self.last, self.num_records) = (num_records, end);
        Ok(())
    }

    pub(super) fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// The index of a file whose chunks end by `end`.
    pub(super) fn finish(self, end: u64, writer_options: Option<String>, check: Check) -> Index {
        let groups = if self.ends.is_empty() { Groups::Uniform(self.first.max(1)) } else { Groups::Ends(self.ends) };
        let (offsets, decoded_sizes) = (self.offsets, self.decoded_sizes);
        Index { offsets, decoded_sizes, groups, end, num_records: self.num_records, writer_options, check }
    }
}

impl Index {
    /// The index in the records of the footer that begins at `begin`.
    pub(super) fn from_footer(begin: u64, records: &Records) -> Result<Self> {
        let mut messages = records.iter();
        let first = messages.next().unwrap_or_default();
        let metadata = decode::<FooterMetadata>(first, "the first record", begin)?.array_record.unwrap_or_default();
        let found = metadata.version.unwrap_or(0);
        if found != VERSION {
            return Err(ArrayRecordError::Version { begin, found });
        }
        let (found, expected) = (messages.len() as u64, metadata.num_chunks.unwrap_or(0));
        if found != expected {
            return Err(ArrayRecordError::ChunkCount { begin, found, expected });
        }
        let mut builder = Builder::with_capacity(messages.len());
        for (entry, message) in messages.enumerate() {
            let fault = |detail| ArrayRecordError::Entry { begin, entry: entry as u64, detail };
            let message: Entry = decode(message, "an entry", begin)?;
            let offset = message.chunk_offset.ok_or_else(|| fault("it has no offset"))?;
            if offset >= begin {
                return Err(fault("its offset is not before the index"));
            }
            builder.push(offset, message.num_records.unwrap_or(0), message.decoded_data_size).map_err(fault)?;
        }
        let (found, expected) = (builder.num_records, metadata.num_records.unwrap_or(0));
        if found != expected {
            return Err(ArrayRecordError::RecordCount { begin, found, expected });
        }
        Ok(builder.finish(begin, metadata.writer_options, Check::All))
    }

    /// Records in the file.
    #[must_use]
    pub fn num_records(&self) -> u64 {
        self.num_records
    }

    /// Chunks that hold records.
    #[must_use]
    pub fn num_chunks(&self) -> usize {
        self.offsets.len()
    }

    /// Records in each chunk but the last, which may have fewer; 0 where there is no chunk, `None` where the chunks are of
    /// different sizes.
    #[must_use]
    pub fn group_size(&self) -> Option<u64> {
        match &self.groups {
            Groups::Uniform(size) => Some(if self.offsets.is_empty() { 0 } else { *size }),
            Groups::Ends(_) => None,
        }
    }

    /// The text of the options that the file was written with, if it keeps one.
    #[must_use]
    pub fn writer_options(&self) -> Option<&str> {
        self.writer_options.as_deref()
    }

    /// Where the chunks end: the begin of the footer.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The chunk that holds `record`, and which record of that chunk it is.
    #[must_use]
    #[inline]
    pub fn locate(&self, record: u64) -> Option<(usize, usize)> {
        if record >= self.num_records {
            return None;
        }
        match &self.groups {
            Groups::Uniform(1) => Some((record as usize, 0)),
            Groups::Uniform(size) => Some(((record / size) as usize, (record % size) as usize)),
            Groups::Ends(ends) => {
                let chunk = ends.partition_point(|end| *end <= record);
                let start = if chunk == 0 { 0 } else { ends[chunk - 1] };
                Some((chunk, (record - start) as usize))
            }
        }
    }

    /// Where the chunks begin, in ascending order.
    pub(super) fn begins(&self) -> Vec<u64> {
        self.offsets.clone()
    }

    /// File range that chunk `chunk` lies in.
    #[must_use]
    #[inline]
    pub fn range(&self, chunk: usize) -> Option<Range<u64>> {
        let begin = *self.offsets.get(chunk)?;
        Some(begin..self.offsets.get(chunk + 1).copied().unwrap_or(self.end))
    }

    /// Records of the file that chunk `chunk` holds.
    #[must_use]
    #[inline]
    pub fn records(&self, chunk: usize) -> Option<Range<u64>> {
        if chunk >= self.offsets.len() {
            return None;
        }
        Some(match &self.groups {
            Groups::Uniform(size) => {
                let start = chunk as u64 * size;
                start..start.saturating_add(*size).min(self.num_records)
            }
            Groups::Ends(ends) => (if chunk == 0 { 0 } else { ends[chunk - 1] })..ends[chunk],
        })
    }

    /// All that is known of chunk `chunk`.
    #[must_use]
    pub fn chunk(&self, chunk: usize) -> Option<ChunkEntry> {
        let decoded_size = self.decoded_sizes.get(chunk).copied().filter(|size| *size != UNKNOWN);
        Some(ChunkEntry { range: self.range(chunk)?, records: self.records(chunk)?, decoded_size })
    }

    /// The records of chunk `chunk`. `bytes` are those of the file from the chunk's begin on, as far as its range in the
    /// index or at least to the end of its data.
    ///
    /// # Errors
    /// [`ArrayRecordError`], where the chunk is damaged or is not the one that the index describes.
    #[inline]
    pub fn decode(&self, chunk: usize, bytes: &Bytes) -> Result<Records> {
        let no_such = || ArrayRecordError::NoSuchChunk { chunk: chunk as u64, chunks: self.offsets.len() as u64 };
        let begin = *self.offsets.get(chunk).ok_or_else(no_such)?;
        let found = chunk::read(begin, bytes, self.check)?;
        self.check(chunk, begin, &found.header)?;
        Ok(riegeli::decode_chunk(&found, Dialect::Riegeli)?)
    }

    /// Holds a chunk header against the index.
    pub(super) fn check(&self, chunk: usize, begin: u64, header: &ChunkHeader) -> Result<()> {
        let entry = chunk as u64;
        if !matches!(header.kind, ChunkKind::Simple | ChunkKind::Transposed) {
            return Err(ArrayRecordError::ChunkType { chunk: entry, begin, kind: header.kind.byte() });
        }
        let mismatch =
            |part, found, expected| Err(ArrayRecordError::ChunkMismatch { chunk: entry, begin, part, found, expected });
        let expected = self.records(chunk).map_or(0, |records| records.end - records.start);
        if header.num_records != expected {
            return mismatch("records", header.num_records, expected);
        }
        let expected = self.decoded_sizes.get(chunk).copied().unwrap_or(UNKNOWN);
        if expected != UNKNOWN && header.decoded_size != expected {
            return mismatch("bytes of records", header.decoded_size, expected);
        }
        let limit = self.range(chunk).map_or(begin, |range| range.end);
        let end = header.end(begin)?;
        if end > limit { mismatch("bytes", end - begin, limit - begin) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(groups: &[u64]) -> Index {
        let mut builder = Builder::default();
        for (chunk, size) in groups.iter().enumerate() {
            builder.push(64 + 1000 * chunk as u64, *size, None).unwrap();
        }
        builder.finish(1_000_000, None, Check::All)
    }

    #[test]
    fn records_are_found_in_groups_of_any_sizes() {
        for groups in [
            &[][..],
            &[1],
            &[5],
            &[1, 1, 1],
            &[4, 4, 4],
            &[4, 4, 1],
            &[4, 5],
            &[4, 4, 5],
            &[4, 3, 4],
            &[4, 3, 3],
            &[4, 4, 3, 4, 4],
            &[1, 2, 3, 4],
            &[9, 1, 1],
        ] {
            let index = index(groups);
            let smaller = groups.len() < 2
                || groups
                    .windows(2)
                    .rev()
                    .enumerate()
                    .all(|(at, pair)| if at == 0 { pair[1] <= pair[0] } else { pair[0] == pair[1] });
            assert_eq!(index.group_size().is_some(), smaller, "{groups:?}");
            let mut record = 0;
            for (chunk, size) in groups.iter().enumerate() {
                assert_eq!(index.records(chunk), Some(record..record + size), "{groups:?}");
                for inner in 0..*size {
                    assert_eq!(index.locate(record), Some((chunk, inner as usize)), "{groups:?}");
                    record += 1;
                }
            }
            assert_eq!((index.num_records(), index.locate(record)), (record, None));
            assert_eq!(index.records(groups.len()), None);
            assert_eq!(index.chunk(groups.len()), None);
        }
    }

    #[test]
    fn entries_must_ascend() {
        let mut builder = Builder::default();
        assert!(builder.push(63, 1, None).is_err());
        assert!(builder.push(65537, 1, None).is_err());
        assert!(builder.push(64, 0, None).is_err());
        builder.push(64, 1, None).unwrap();
        assert!(builder.push(64, 1, None).is_err());
        assert!(builder.push(200, u64::MAX, None).is_err());
    }
}
