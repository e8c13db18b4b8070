//! What can be wrong with an ArrayRecord file or its options.

use crate::riegeli::RiegeliError;

/// Why an ArrayRecord file could not be read or written.
///
/// Positions and sizes are in bytes, positions count from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayRecordError {
    /// A block or a chunk is damaged.
    #[error(transparent)]
    Riegeli(#[from] RiegeliError),
    /// No ArrayRecord file has this size.
    #[error("no ArrayRecord file has {size} bytes, expected a multiple of 65536 and at least 131072")]
    FileSize {
        /// Size of the file.
        size: u64,
    },
    /// A message of the index does not parse.
    #[error("{part} of the index at byte {begin} is damaged: {detail}")]
    Message {
        /// Which message.
        part: &'static str,
        /// Where the chunk that holds it begins.
        begin: u64,
        /// What is wrong.
        detail: String,
    },
    /// The last block does not hold what marks an ArrayRecord file.
    #[error("not an ArrayRecord file: the mark at byte {begin} is {found:#x}, expected 0x71930e704fdae05e")]
    Magic {
        /// Where the postscript begins.
        begin: u64,
        /// The mark found.
        found: u64,
    },
    /// The index cannot be where the last block says.
    #[error("the index cannot be at byte {offset}, expected a chunk from byte 64 on that ends by byte {limit}")]
    FooterOffset {
        /// Where the index is said to begin.
        offset: u64,
        /// Where the postscript begins.
        limit: u64,
    },
    /// A version of the format that is not known.
    #[error("the index at byte {begin} has version {found}, expected 1")]
    Version {
        /// Where the index begins.
        begin: u64,
        /// The version; 0 where it is missing.
        found: u32,
    },
    /// The index does not have as many entries as it says.
    #[error("the index at byte {begin} has {found} entries, expected {expected}")]
    ChunkCount {
        /// Where the index begins.
        begin: u64,
        /// Entries found.
        found: u64,
        /// Entries announced.
        expected: u64,
    },
    /// The entries do not hold as many records as the index says.
    #[error("the index at byte {begin} counts {found} records, expected {expected}")]
    RecordCount {
        /// Where the index begins.
        begin: u64,
        /// Sum over the entries; the largest number where it overflows.
        found: u64,
        /// Records announced.
        expected: u64,
    },
    /// An entry of the index makes no sense.
    #[error("entry {entry} of the index at byte {begin} is damaged: {detail}")]
    Entry {
        /// Where the index begins.
        begin: u64,
        /// Which entry, from 0.
        entry: u64,
        /// What is wrong.
        detail: &'static str,
    },
    /// A chunk is not the one that the index describes.
    #[error("chunk {chunk} at byte {begin} has {found} {part}, expected {expected} from the index")]
    ChunkMismatch {
        /// Which chunk, from 0.
        chunk: u64,
        /// Where it begins.
        begin: u64,
        /// What differs.
        part: &'static str,
        /// What the chunk has.
        found: u64,
        /// What the index says.
        expected: u64,
    },
    /// A chunk in the place of a data chunk holds something else.
    #[error("chunk {chunk} at byte {begin} has type {kind:#04x}, expected 0x72 (simple) or 0x74 (transposed)")]
    ChunkType {
        /// Which chunk, from 0.
        chunk: u64,
        /// Where it begins.
        begin: u64,
        /// Its type.
        kind: u8,
    },
    /// A file has fewer chunks than one asked for.
    #[error("no chunk {chunk} in a file of {chunks} chunks")]
    NoSuchChunk {
        /// The chunk asked for, from 0.
        chunk: u64,
        /// Chunks in the file.
        chunks: u64,
    },
    /// A chunk of the file that the index does not have.
    #[error("the index has no entry for the chunk at byte {begin}, which holds {num_records} records")]
    NotIndexed {
        /// Where it begins.
        begin: u64,
        /// Its records.
        num_records: u64,
    },
    /// Groups of a file must be of one size, except for a smaller last one.
    #[error("a group of {found} records, expected {expected}: only the last group of a file may be smaller")]
    GroupSize {
        /// Records in the group.
        found: u64,
        /// Records in the groups before.
        expected: u64,
    },
    /// An option string is wrong.
    #[error(transparent)]
    Options(#[from] OptionError),
}

impl ArrayRecordError {
    /// Position in the file of the damage, where it is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Riegeli(error) => error.offset(),
            Self::Message { begin, .. }
            | Self::Magic { begin, .. }
            | Self::Version { begin, .. }
            | Self::ChunkCount { begin, .. }
            | Self::RecordCount { begin, .. }
            | Self::Entry { begin, .. }
            | Self::ChunkMismatch { begin, .. }
            | Self::ChunkType { begin, .. }
            | Self::NotIndexed { begin, .. } => Some(*begin),
            Self::FooterOffset { limit, .. } => Some(*limit),
            Self::FileSize { .. } | Self::NoSuchChunk { .. } | Self::GroupSize { .. } | Self::Options(_) => None,
        }
    }
}

/// Why an option string was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// There is no such option.
    #[error("unknown option {key:?}, expected one of {expected}")]
    Unknown {
        /// The option.
        key: String,
        /// All that there are.
        expected: &'static str,
    },
    /// An option occurs twice.
    #[error("option {key} is given more than once")]
    Repeated {
        /// The option.
        key: &'static str,
    },
    /// Two options exclude each other.
    #[error("option {key} conflicts with option {other}")]
    Conflict {
        /// The later option.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A value is out of range or of the wrong kind.
    #[error("option {key}: invalid value {value:?}, expected {expected}")]
    Value {
        /// The option.
        key: &'static str,
        /// The value; empty where there is none.
        value: String,
        /// What would be valid.
        expected: &'static str,
    },
    /// `default` stands behind another option.
    #[error("option default must be the first")]
    DefaultNotFirst,
}
