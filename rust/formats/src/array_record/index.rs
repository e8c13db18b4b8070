//! Reading the end of a file: the postscript, and the index that it points to.

use std::ops::Range;

use prost::Message;

use super::Result;
use super::error::ArrayRecordError;
use super::messages::{Entry, FooterMetadata, MAGIC, Postscript, VERSION};
use crate::riegeli::chunk::{self, Check, Chunk, ChunkHeader};
use crate::riegeli::{BLOCK, ChunkKind, Dialect, Records, block, decode_chunk};

use bytes::Bytes;

/// The postscript begins exactly so many bytes before the end of the file.
pub const TAIL: u64 = BLOCK;

/// Bytes from the begin of the postscript that are enough for any: three small records take 105.
const POSTSCRIPT: u64 = 4096;

/// The first place behind the signature.
const FIRST: u64 = 64;

/// Where the index of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    begin: u64,
    limit: u64,
}

impl Tail {
    /// Which bytes of a file of `size` bytes [`parse`](Self::parse) needs.
    ///
    /// # Errors
    /// [`ArrayRecordError::TooSmall`].
    pub fn range(size: u64) -> Result<Range<u64>> {
        match size.checked_sub(TAIL) {
            Some(begin) if begin >= TAIL => Ok(begin..begin + POSTSCRIPT),
            _ => Err(ArrayRecordError::TooSmall { size }),
        }
    }

    /// Reads the postscript of a file of `size` bytes from the bytes of [`range`](Self::range).
    ///
    /// # Errors
    /// [`ArrayRecordError::Postscript`], [`ArrayRecordError::IndexPlace`].
    pub fn parse(size: u64, bytes: &Bytes) -> Result<Self> {
        let begin = Self::range(size)?.start;
        let wrong = |detail: String| ArrayRecordError::Postscript { begin, detail };
        let records = chunk::read(begin, bytes, Check::All).and_then(|chunk| decode_chunk(&chunk, Dialect::Riegeli));
        let records = records.map_err(|error| wrong(error.to_string()))?;
        let first = records.get(0).ok_or_else(|| wrong("the chunk there holds no record".into()))?;
        let postscript = Postscript::decode(first).map_err(|error| wrong(error.to_string()))?;
        if postscript.magic != Some(MAGIC) {
            return Err(wrong(format!("its mark is {:x?}, expected {MAGIC:#x}", postscript.magic)));
        }
        let found = postscript.footer_offset.ok_or_else(|| wrong("it does not say where the index is".into()))?;
        if !block::is_legal(found) || found < FIRST || found >= begin {
            return Err(ArrayRecordError::IndexPlace { found, limit: begin });
        }
        Ok(Self { begin: found, limit: begin })
    }

    /// Where the index begins.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// Bytes of the file from [`begin`](Self::begin) on that are needed to tell how long the index is.
    #[must_use]
    pub fn header_range(&self) -> Range<u64> {
        self.begin..(self.begin + chunk::HEADER_SPAN).min(self.limit)
    }

    /// Bytes of the file that the index takes; `bytes` are those of [`header_range`](Self::header_range), or more.
    ///
    /// # Errors
    /// [`ArrayRecordError::Riegeli`], [`ArrayRecordError::Index`] where it would not end before the postscript.
    pub fn index_range(&self, bytes: &[u8]) -> Result<Range<u64>> {
        let header = chunk::header(self.begin, bytes, Check::All)?;
        let end = header.end(self.begin)?;
        if end > self.limit {
            let detail = format!("it would end at byte {end}, expected at most {}", self.limit);
            return Err(ArrayRecordError::Index { begin: self.begin, detail });
        }
        Ok(self.begin..header.content_end(self.begin)?)
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Number of the chunk.
    pub chunk: u64,
    /// Number of the record in the chunk.
    pub record: u64,
}

/// Where each chunk of a file is, and how many records it holds: 16 bytes a chunk, 24 where the groups differ in size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    offsets: Vec<u64>,
    /// [`u64::MAX`] where the file does not say.
    decoded_sizes: Vec<u64>,
    groups: Groups,
    num_records: u64,
    /// Where the last chunk ends at the latest.
    end: u64,
    writer_options: Option<String>,
}

/// How the records are spread over the chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Groups {
    /// So many in each chunk but the last: a record is found by division.
    Uniform(u64),
    /// Where the records of each chunk end.
    Ends(Vec<u64>),
}

impl Index {
    /// Reads the index from the bytes of [`Tail::index_range`], and holds everything in it against everything else.
    ///
    /// # Errors
    /// [`ArrayRecordError::Riegeli`] where the chunk is damaged; [`ArrayRecordError::Index`] and
    /// [`ArrayRecordError::Entry`] for contents that contradict each other or the file.
    pub fn parse(tail: &Tail, bytes: &Bytes) -> Result<Self> {
        let chunk = chunk::read(tail.begin, bytes, Check::All)?;
        let wrong = |detail: String| ArrayRecordError::Index { begin: tail.begin, detail };
        if chunk.header.kind != ChunkKind::Simple {
            let found = chunk.header.kind.byte();
            return Err(wrong(format!("it is a chunk of type {found:#04x}, expected 0x72 (simple)")));
        }
        let records = decode_chunk(&chunk, Dialect::Riegeli)?;
        let mut records = records.iter();
        let first = records.next().ok_or_else(|| wrong("it holds no record, expected at least one".into()))?;
        let metadata = FooterMetadata::decode(first).map_err(|error| wrong(error.to_string()))?;
        let metadata = metadata.array_record.ok_or_else(|| wrong("it does not describe an ArrayRecord file".into()))?;
        if metadata.version != Some(VERSION) {
            return Err(wrong(format!("its version is {:?}, expected {VERSION}", metadata.version)));
        }
        let entries = records.len() as u64;
        if metadata.num_chunks != Some(entries) {
            return Err(wrong(format!("it has {entries} entries, expected {:?}", metadata.num_chunks)));
        }
        let mut building = Building::new(tail.begin, records.len());
        for record in records {
            building.push(record)?;
        }
        let (offsets, decoded_sizes, groups, num_records) = building.finish();
        if metadata.num_records != Some(num_records) {
            return Err(wrong(format!("its chunks hold {num_records} records, expected {:?}", metadata.num_records)));
        }
        let writer_options = metadata.writer_options.map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(Self { offsets, decoded_sizes, groups, num_records, end: tail.begin, writer_options })
    }

    /// Number of records.
    #[must_use]
    pub fn num_records(&self) -> u64 {
        self.num_records
    }

    /// Number of data chunks.
    #[must_use]
    pub fn num_chunks(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// What the writer's options were, as a text; older files do not say.
    #[must_use]
    pub fn writer_options(&self) -> Option<&str> {
        self.writer_options.as_deref()
    }

    /// Where a record is; `None` behind the last one.
    #[must_use]
    #[inline]
    pub fn locate(&self, record: u64) -> Option<Location> {
        if record >= self.num_records {
            return None;
        }
        Some(match &self.groups {
            Groups::Uniform(size) => Location { chunk: record / size, record: record % size },
            Groups::Ends(ends) => {
                let chunk = ends.partition_point(|&end| end <= record);
                let before = if chunk == 0 { 0 } else { ends[chunk - 1] };
                Location { chunk: chunk as u64, record: record - before }
            }
        })
    }

    /// The numbers of the records of a chunk.
    #[must_use]
    pub fn records(&self, chunk: u64) -> Range<u64> {
        match &self.groups {
            Groups::Uniform(size) => chunk * size..(chunk + 1).saturating_mul(*size).min(self.num_records),
            Groups::Ends(ends) => {
                let at = chunk as usize;
                (if at == 0 { 0 } else { ends[at - 1] })..ends[at]
            }
        }
    }

    /// Bytes of the file that a chunk takes at most: up to the next one.
    #[must_use]
    #[inline]
    pub fn range(&self, chunk: u64) -> Range<u64> {
        let at = chunk as usize;
        self.offsets[at]..self.offsets.get(at + 1).copied().unwrap_or(self.end)
    }

    /// Bytes of the records of a chunk, where the file says.
    #[must_use]
    pub fn decoded_size(&self, chunk: u64) -> Option<u64> {
        self.decoded_sizes.get(chunk as usize).copied().filter(|&size| size != u64::MAX)
    }

    /// Bytes of the file that are worth reading for a chunk: all that it can take, or, where padding follows it, what its
    /// records will hardly exceed. [`decode`](Self::decode) says if it was too little.
    #[must_use]
    #[inline]
    pub fn likely_range(&self, chunk: u64) -> Range<u64> {
        let range = self.range(chunk);
        let Some(decoded) = self.decoded_size(chunk) else { return range };
        let records = self.records(chunk);
        // Sizes take up to three bytes a record, compressors and block headers well below a hundredth.
        let likely = decoded.saturating_add(decoded / 64).saturating_add(3 * (records.end - records.start) + 512);
        range.start..range.end.min(range.start.saturating_add(likely))
    }

    /// The records of a chunk from the bytes of the file that begin with it.
    ///
    /// # Errors
    /// [`RiegeliError::Truncated`](crate::riegeli::RiegeliError::Truncated) where `bytes` are too few;
    /// [`ArrayRecordError::Mismatch`] where the chunk is not the one of the index; [`ArrayRecordError::Riegeli`] where it
    /// is damaged.
    #[inline]
    pub fn decode(&self, chunk: u64, bytes: &Bytes) -> Result<Records> {
        let begin = self.offsets[chunk as usize];
        let read = chunk::read(begin, bytes, Check::All)?;
        self.check(chunk, &read)?;
        Ok(decode_chunk(&read, Dialect::Riegeli)?)
    }

    #[inline]
    fn check(&self, number: u64, chunk: &Chunk) -> Result<()> {
        let ChunkHeader { kind, num_records, decoded_size, .. } = chunk.header;
        let records = self.records(number);
        let expected = records.end - records.start;
        let differ = |part, found, expected| {
            if found == expected {
                return Ok(());
            }
            Err(ArrayRecordError::Mismatch { begin: chunk.begin, part, found, expected })
        };
        if !matches!(kind, ChunkKind::Simple | ChunkKind::Transposed) {
            differ("type", u64::from(kind.byte()), u64::from(ChunkKind::Simple.byte()))?;
        }
        differ("number of records", num_records, expected)?;
        self.decoded_size(number).map_or(Ok(()), |expected| differ("bytes of the records", decoded_size, expected))
    }
}

/// An index that is being read.
struct Building {
    begin: u64,
    offsets: Vec<u64>,
    decoded_sizes: Vec<u64>,
    first: u64,
    last: u64,
    num_records: u64,
    /// Filled once the groups turn out to differ.
    ends: Option<Vec<u64>>,
}

impl Building {
    fn new(begin: u64, entries: usize) -> Self {
        let (offsets, decoded_sizes) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
        Self { begin, offsets, decoded_sizes, first: 0, last: 0, num_records: 0, ends: None }
    }

    #[inline]
    fn push(&mut self, record: &[u8]) -> Result<()> {
        let entry = Entry::decode(record).map_err(|error| self.wrong(error.to_string()))?;
        let Some(offset) = entry.chunk_offset else { return Err(self.wrong("no position".into())) };
        let earliest = self.offsets.last().map_or(FIRST, |last| last + 1);
        if offset < earliest || offset >= self.begin || !block::is_legal(offset) {
            let detail = format!("position {offset}, expected {earliest} to {}, at a chunk boundary", self.begin);
            return Err(self.wrong(detail));
        }
        let count = entry.num_records.unwrap_or(0);
        let Some(num_records) = self.num_records.checked_add(count).filter(|_| count > 0) else {
            return Err(self.wrong(format!("{:?} records, expected at least one", entry.num_records)));
        };
        if self.offsets.is_empty() {
            self.first = count;
        } else if self.ends.is_none() && (self.last != self.first || count > self.first) {
            self.ends = Some((1..=self.offsets.len() as u64).map(|chunk| chunk * self.first).collect());
            if let Some(last) = self.ends.as_mut().and_then(|ends| ends.last_mut()) {
                *last = self.num_records;
            }
        }
        self.offsets.push(offset);
        self.decoded_sizes.push(entry.decoded_data_size.unwrap_or(u64::MAX));
        (self.last, self.num_records) = (count, num_records);
        if let Some(ends) = &mut self.ends {
            ends.push(num_records);
        }
        Ok(())
    }

    #[cold]
    fn wrong(&self, detail: String) -> ArrayRecordError {
        ArrayRecordError::Entry { begin: self.begin, entry: self.offsets.len() as u64, detail }
    }

    fn finish(self) -> (Vec<u64>, Vec<u64>, Groups, u64) {
        let groups = self.ends.map_or(Groups::Uniform(self.first.max(1)), Groups::Ends);
        (self.offsets, self.decoded_sizes, groups, self.num_records)
    }
}
