//! What a chunk is, without its data.

use bytes::Bytes;

use super::chunk::{self, Check};
use super::{BLOCK_HEADER, CHUNK_HEADER, ChunkHeader, ChunkKind, Codec, HEADER_SPAN, Result, RiegeliError, block};

/// Bytes of a file from a chunk's begin on that [`peek`] needs, or all up to the end of the file.
pub const PEEK_SPAN: u64 = HEADER_SPAN + BLOCK_HEADER + 1;

/// What a chunk says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek {
    /// Its header, whose hash is right.
    pub header: ChunkHeader,
    /// Where it ends.
    pub end: u64,
    /// How its data is compressed; `None` where it is not for records, or the byte is none that is known.
    pub codec: Option<Codec>,
}

/// Looks at the beginning of the chunk at `begin`; `bytes` are those of the file from there on.
///
/// # Errors
/// [`RiegeliError`], where the bytes are too few, or a hash is wrong.
pub fn peek(begin: u64, bytes: &Bytes) -> Result<Peek> {
    let header = chunk::header(begin, bytes, Check::Hashes)?;
    let end = header.end(begin)?;
    let is_records = matches!(header.kind, ChunkKind::Simple | ChunkKind::Transposed) && header.data_size > 0;
    let codec = || {
        let at = block::content_end(begin, CHUNK_HEADER + 1)? - 1 - begin;
        Codec::from_byte(*bytes.get(usize::try_from(at).ok()?)?).ok()
    };
    let found = Peek { header, end, codec: if is_records { codec() } else { None } };
    if is_records && found.codec.is_none() && bytes.len() as u64 <= HEADER_SPAN {
        let found = begin + bytes.len() as u64;
        return Err(RiegeliError::Truncated { begin, expected: end, found });
    }
    Ok(found)
}
