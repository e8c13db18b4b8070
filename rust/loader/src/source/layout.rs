//! Which records lie together: what one read brings, and what a shuffle keeps together.

use std::ops::Range;

/// Bytes from which on neighbouring chunks are a block: at 100 MB/s they take 10 ms, about the round trip of a request.
const BLOCK: u64 = 1 << 20;

/// Bytes of the blocks that the records of a `block` shuffle are mixed from, as far as they are not larger each.
const WINDOW: u64 = 32 << 20;

/// Blocks of a window: with 2 there is something to mix, and more than 32 mix hardly better.
const WINDOW_BLOCKS: Range<u64> = 2..32;

/// The chunks and blocks of a source, as ranges of its records.
///
/// A *chunk* is what has to be read and decoded for any of its records; a *block* is a run of chunks of about a megabyte,
/// which is worth a request of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    chunks: Ends,
    blocks: Vec<u64>,
    bytes: Vec<u64>,
}

/// How many records there are up to the end of each chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ends {
    /// Every record is a chunk; so many there are.
    Single(u64),
    /// All ends.
    List(Vec<u64>),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Single(0)
    }
}

impl Ends {
    fn len(&self) -> u64 {
        match self {
            Self::Single(n) => *n,
            Self::List(ends) => ends.last().copied().unwrap_or(0),
        }
    }

    fn push(&mut self, records: u64) {
        match self {
            Self::Single(n) if records == 1 => *n += 1,
            Self::Single(n) => {
                let mut ends: Vec<u64> = (1..=*n).collect();
                ends.push(*n + records);
                *self = Self::List(ends);
            }
            Self::List(ends) => {
                let end = ends.last().copied().unwrap_or(0) + records;
                ends.push(end);
            }
        }
    }

    fn around(&self, index: u64) -> Range<u64> {
        match self {
            Self::Single(_) => index..index + 1,
            Self::List(ends) => around(ends, index),
        }
    }
}

fn around(ends: &[u64], index: u64) -> Range<u64> {
    let at = ends.partition_point(|&end| end <= index);
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    start..ends.get(at).copied().unwrap_or(index + 1)
}

impl Layout {
    /// Appends the chunks of a file: the records and the decoded bytes of each. A block never goes on into another file.
    pub fn push_file(&mut self, chunks: impl IntoIterator<Item = (u64, u64)>) {
        let (mut open, mut bytes) = (0, 0);
        for (records, size) in chunks.into_iter().filter(|&(records, _)| records > 0) {
            self.chunks.push(records);
            (open, bytes) = (open + records, bytes + size);
            if bytes >= BLOCK {
                self.close_block(bytes);
                (open, bytes) = (0, 0);
            }
        }
        if open > 0 {
            self.close_block(bytes);
        }
    }

    fn close_block(&mut self, bytes: u64) {
        self.blocks.push(self.chunks.len());
        self.bytes.push(bytes);
    }

    /// Appends a block: the records of its chunks, and its bytes.
    pub(super) fn push_block(&mut self, chunks: &[u64], bytes: u64) {
        chunks.iter().for_each(|&records| self.chunks.push(records));
        self.close_block(bytes);
    }

    /// Appends another layout.
    pub fn append(&mut self, other: &Self) {
        let base = self.len();
        match (&mut self.chunks, &other.chunks) {
            (Ends::Single(n), Ends::Single(more)) => *n += more,
            (chunks, Ends::Single(more)) => (0..*more).for_each(|_| chunks.push(1)),
            (chunks, Ends::List(ends)) => {
                let mut before = 0;
                for &end in ends {
                    chunks.push(end - before);
                    before = end;
                }
            }
        }
        self.blocks.extend(other.blocks.iter().map(|end| base + end));
        self.bytes.extend(&other.bytes);
    }

    /// The layout of a range of the records.
    #[must_use]
    pub fn slice(&self, range: &Range<u64>) -> Self {
        let mut sliced = Self::default();
        let mut at = range.start;
        while at < range.end {
            let block = self.block(at);
            let end = block.end.min(range.end);
            let bytes = self.record_bytes(at).saturating_mul(end - at);
            while at < end {
                let chunk = self.chunk(at).end.min(end);
                sliced.chunks.push(chunk - at);
                at = chunk;
            }
            sliced.close_block(bytes);
        }
        sliced
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.chunks.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The chunk that a record lies in.
    #[must_use]
    pub fn chunk(&self, index: u64) -> Range<u64> {
        self.chunks.around(index)
    }

    /// The block that a record lies in.
    #[must_use]
    pub fn block(&self, index: u64) -> Range<u64> {
        around(&self.blocks, index)
    }

    /// How many records there are up to the end of each block.
    #[must_use]
    pub fn block_ends(&self) -> &[u64] {
        &self.blocks
    }

    /// The decoded bytes of each block.
    #[must_use]
    pub fn block_bytes(&self) -> &[u64] {
        &self.bytes
    }

    /// Bytes of a record, as the mean of its block.
    #[must_use]
    pub fn record_bytes(&self, index: u64) -> u64 {
        let at = self.blocks.partition_point(|&end| end <= index);
        let block = self.block(index);
        self.bytes.get(at).map_or(0, |bytes| bytes.div_ceil((block.end - block.start).max(1)))
    }

    /// Blocks that a `block` shuffle mixes unless it is told: about 32 MiB, from 2 to 32.
    #[must_use]
    pub fn window(&self) -> u64 {
        let mean = self.bytes.iter().sum::<u64>() / (self.bytes.len() as u64).max(1);
        (WINDOW / mean.max(1)).clamp(WINDOW_BLOCKS.start, WINDOW_BLOCKS.end)
    }
}
