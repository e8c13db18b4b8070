//! What can be wrong with a Riegeli file.

use crate::varint::VarintError;

/// Why a block or chunk could not be read or written.
///
/// Positions and sizes are in bytes, positions count from the start of the file. What is wrong with the data of a chunk
/// is wrapped in [`Chunk`](Self::Chunk), which says where that chunk begins; all other variants that concern a place in
/// the file name it themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RiegeliError {
    /// No chunk can begin there, because it would be inside a block header or right behind one.
    #[error("no chunk can begin at byte {begin}, which is {} past a block boundary, expected 0 or at least 25", begin % super::BLOCK)]
    IllegalBegin {
        /// Where the chunk was said to begin.
        begin: u64,
    },
    /// The bytes end inside a chunk.
    #[error("the chunk at byte {begin} reaches to byte {expected}, but the data ends at byte {found}")]
    Truncated {
        /// Where the chunk begins.
        begin: u64,
        /// Where the part that is short would end.
        expected: u64,
        /// Where the bytes end.
        found: u64,
    },
    /// A chunk that would end past the largest position a file can have.
    #[error("the chunk at byte {begin} has {data_size} bytes and {num_records} records, more than any file holds")]
    TooLarge {
        /// Where the chunk begins.
        begin: u64,
        /// Its size according to its header.
        data_size: u64,
        /// Its records according to its header.
        num_records: u64,
    },
    /// The hash of a block header is wrong.
    #[error("the block header at byte {block} is damaged: its hash is wrong")]
    BlockHash {
        /// Where the block begins.
        block: u64,
    },
    /// A block header disagrees with the chunk that it interrupts.
    #[error(
        "the block header at byte {block} belongs to a chunk that begins {found_previous} bytes before it and ends \
         {found_next} behind, expected {previous} and {next}"
    )]
    BlockMismatch {
        /// Where the block begins.
        block: u64,
        /// Bytes from the chunk's begin to the block.
        previous: u64,
        /// Bytes from the block to the chunk's end.
        next: u64,
        /// What the block header says instead of `previous`.
        found_previous: u64,
        /// What the block header says instead of `next`.
        found_next: u64,
    },
    /// The hash of a chunk header is wrong.
    #[error("the chunk header at byte {begin} is damaged: its hash is {found:016x}, expected {expected:016x}")]
    ChunkHash {
        /// Where the chunk begins.
        begin: u64,
        /// The hash of what is there.
        found: u64,
        /// The hash stored there.
        expected: u64,
    },
    /// The hash of a chunk's data is wrong.
    #[error("the chunk at byte {begin} is damaged: the hash of its data is {found:016x}, expected {expected:016x}")]
    DataHash {
        /// Where the chunk begins.
        begin: u64,
        /// The hash of the data that is there.
        found: u64,
        /// The hash stored in the chunk header.
        expected: u64,
    },
    /// The file does not begin with a signature.
    #[error("the file begins with a chunk of type {kind:#04x}, expected an empty signature (0x73)")]
    NotSignature {
        /// Type of the chunk found.
        kind: u8,
    },
    /// A chunk of an unknown type that holds records.
    #[error(
        "chunk type {kind:#04x} with {num_records} records is unknown, expected 0x72 (simple) or 0x74 (transposed)"
    )]
    UnknownChunk {
        /// The type.
        kind: u8,
        /// Its records.
        num_records: u64,
    },
    /// A compression that the format does not have.
    #[error("compression {found:#04x} is unknown, expected 0x00 (none), {expected}")]
    UnknownCompression {
        /// The byte found.
        found: u8,
        /// The others that would be valid.
        expected: &'static str,
    },
    /// A compression that the dialect cannot express.
    #[error("{codec} is no compression of this format")]
    UnsupportedCompression {
        /// Name of the compression.
        codec: &'static str,
    },
    /// A number is cut off or too large.
    #[error("the {part} of the chunk is damaged: {error}")]
    Varint {
        /// Which part.
        part: &'static str,
        /// What is wrong with the number.
        error: VarintError,
    },
    /// A part reaches past the end of what holds it.
    #[error("the {part} has {expected} bytes, but only {found} follow")]
    Overrun {
        /// Which part.
        part: &'static str,
        /// Its length as announced.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Bytes follow where a part should end.
    #[error("{bytes} bytes follow the {part}, expected none")]
    Trailing {
        /// Which part.
        part: &'static str,
        /// How many bytes.
        bytes: u64,
    },
    /// More records announced than sizes are there.
    #[error("{num_records} records in {bytes} bytes of sizes, expected at least a byte each")]
    TooManyRecords {
        /// Records announced.
        num_records: u64,
        /// Bytes that hold the sizes.
        bytes: u64,
    },
    /// The sizes of the records do not add up.
    #[error("the sizes of the records sum up to {found} bytes, expected {expected}")]
    SizesSum {
        /// The sum, or where it first exceeded what was expected.
        found: u64,
        /// What the chunk header says.
        expected: u64,
    },
    /// A part is not as long as announced.
    #[error("the {part} has {found} bytes, expected {expected}")]
    Size {
        /// Which part.
        part: &'static str,
        /// Its length.
        found: u64,
        /// The length expected.
        expected: u64,
    },
    /// Compressed bytes are damaged.
    #[error("the {codec} data is damaged: {detail}")]
    Decompress {
        /// Name of the compression.
        codec: &'static str,
        /// What the decompressor found.
        detail: String,
    },
    /// The compressor failed.
    #[error("{codec} could not compress {len} bytes: {detail}")]
    Compress {
        /// Name of the compression.
        codec: &'static str,
        /// Bytes to be compressed.
        len: u64,
        /// What the compressor says.
        detail: String,
    },
    /// The columns of a transposed chunk are damaged.
    #[error("the transposed data is damaged: {0}")]
    Transposed(#[source] super::transpose::Fault),
    /// The system refused the memory.
    #[error("no memory for {bytes} bytes")]
    NoMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// What is wrong with the data of one chunk.
    #[error("the chunk at byte {begin}: {error}")]
    Chunk {
        /// Where the chunk begins.
        begin: u64,
        /// What is wrong.
        error: Box<RiegeliError>,
    },
}

impl RiegeliError {
    /// The same, of the chunk at `begin`.
    #[must_use]
    #[cold]
    pub fn at(self, begin: u64) -> Self {
        Self::Chunk { begin, error: Box::new(self) }
    }

    /// Position in the file of the damaged block or chunk, where it is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::IllegalBegin { begin }
            | Self::Truncated { begin, .. }
            | Self::TooLarge { begin, .. }
            | Self::ChunkHash { begin, .. }
            | Self::DataHash { begin, .. }
            | Self::Chunk { begin, .. } => Some(*begin),
            Self::BlockHash { block } | Self::BlockMismatch { block, .. } => Some(*block),
            Self::NotSignature { .. } => Some(0),
            _ => None,
        }
    }
}
