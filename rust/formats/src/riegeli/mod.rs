//! Riegeli/records: the container under ArrayRecord and Disky files.
//!
//! From the bottom up: [`block`] headers interrupt the file every 64 KiB, a [`chunk`] carries a header, data and their
//! hashes, and the data of a chunk is either [`simple`] (sizes and values) or [`transpose`]d (protobuf messages split into
//! columns). [`decode_chunk`] makes [`Records`] of either. A [`Walker`] goes through the chunks of a file one after another
//! and finds its way around damage.
//!
//! Nothing here reads or writes a file: a reader is given the bytes of a chunk's file range and returns slices of them
//! wherever no block header interrupts them, a writer appends bytes to a vector.

pub mod block;
pub mod chunk;
pub mod compression;
mod error;
pub mod hash;
mod peek;
pub mod records;
pub mod simple;
pub mod transpose;
pub mod walk;
pub(crate) mod window;

pub use chunk::{Chunk, ChunkHeader, ChunkKind, EncodedChunk, HEADER_SPAN};
pub use compression::{Codec, Compression};
pub use error::RiegeliError;
pub use peek::{PEEK_SPAN, Peek, peek};
pub use records::{Group, Records, RecordsRef};
pub use walk::{Damage, Need, OnDamage, Step, Walker};

/// Bytes from one block header to the next.
pub const BLOCK: u64 = 65536;

/// Bytes of a block header.
pub const BLOCK_HEADER: u64 = 24;

/// Bytes of a block that hold chunks.
pub const USABLE: u64 = BLOCK - BLOCK_HEADER;

/// Bytes of a chunk header, block headers not counted.
pub const CHUNK_HEADER: u64 = 40;

/// Result of reading or writing at this level.
pub type Result<T, E = RiegeliError> = std::result::Result<T, E>;

/// Who wrote a chunk: the two differ in how compressed chunks are laid out and in the form of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Riegeli and ArrayRecord: every compressed buffer is preceded by its decompressed size.
    Riegeli,
    /// Disky: sizes are never compressed, values are a bare Zstandard frame, some numbers take a byte more.
    Disky,
}

impl Dialect {
    /// Which of the two a chunk's data follows. Uncompressed chunks read alike in both and count as Riegeli's.
    ///
    /// The values of a Disky chunk begin with the four magic bytes of Zstandard. In Riegeli's a size comes first, and no
    /// size looks like them: 0x28, the first of them, is a whole size by itself, followed by the magic bytes.
    #[must_use]
    pub fn of(chunk: &Chunk) -> Self {
        const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
        let values = || {
            let mut rest = chunk.data.strip_prefix(&[Codec::Zstd.byte()])?;
            let sizes = crate::varint::get_u64(&mut rest).ok()?;
            rest.get(usize::try_from(sizes).ok()?..)
        };
        let is_bare = chunk.header.kind == ChunkKind::Simple && values().is_some_and(|it| it.starts_with(&ZSTD_MAGIC));
        if is_bare { Self::Disky } else { Self::Riegeli }
    }
}

/// The records of a chunk whose data hash has been checked. Chunks that carry no records, such as padding and metadata,
/// give none.
///
/// # Errors
/// [`RiegeliError::Chunk`], which names the chunk's begin and what is wrong with its data.
pub fn decode_chunk(chunk: &Chunk, dialect: Dialect) -> Result<Records> {
    let header = &chunk.header;
    let records = match header.kind {
        ChunkKind::Simple => simple::decode(chunk, dialect),
        ChunkKind::Transposed => transpose::decode(chunk),
        _ if header.num_records == 0 => Ok(Records::default()),
        kind => Err(RiegeliError::UnknownChunk { kind: kind.byte(), num_records: header.num_records }),
    };
    records.map_err(|error| error.at(chunk.begin))
}
