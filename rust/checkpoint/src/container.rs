//! The compressed shard: independent zstd frames, so that a part of a tensor costs only the frames that cover it.
//!
//! ```text
//! magic, length and CRC32C of the header, header │ frame of each chunk ... │ table │ footer
//! ```
//!
//! Pure functions over bytes. Everything before the frames and behind them is covered by a checksum of its own, every
//! frame by one of the compressed and one of the raw bytes.

use prost::Message;

use crate::format::{FormatError, wrong};
use crate::header::MOST_HEADER;

/// The first and the last bytes; the line end tells a transfer as text.
pub const MAGIC: [u8; 8] = *b"S3CK\x01\r\n\0";

/// Bytes before the header.
pub const PREFIX: u64 = 16;

/// Bytes of the footer.
pub const FOOTER: u64 = 24;

/// Bytes of an entry of the table.
pub const ENTRY: u64 = 24;

/// Bytes that are compressed to find out whether it is worth while.
const PROBE: usize = 64 << 10;

/// The header of a container.
#[derive(Clone, PartialEq, Message)]
pub struct ContainerHeader {
    /// The header of the shard, as it would stand in an uncompressed one, without its length.
    #[prost(bytes = "vec", tag = "1")]
    pub text: Vec<u8>,
    /// Bytes of all tensors.
    #[prost(uint64, tag = "2")]
    pub raw: u64,
    /// Raw bytes of each frame but the last.
    #[prost(uint64, tag = "3")]
    pub chunk: u64,
}

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its first byte in the object.
    pub offset: u64,
    /// Its bytes in the object.
    pub length: u32,
    /// Whether it holds the raw bytes as they are.
    pub stored: bool,
    /// CRC32C of its bytes in the object.
    pub packed: u32,
    /// CRC32C of the raw bytes.
    pub raw: u32,
}

/// The bytes before the first frame.
#[must_use]
pub fn write_head(header: &ContainerHeader) -> Vec<u8> {
    let message = header.encode_to_vec();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(crc32c::crc32c(&message).to_le_bytes());
    bytes.extend(message);
    bytes
}

/// The bytes behind the last frame, which ends at `at`.
#[must_use]
pub fn write_tail(frames: &[Frame], at: u64, head: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames.len() * 24 + 24);
    for frame in frames {
        bytes.extend(frame.offset.to_le_bytes());
        bytes.extend(frame.length.to_le_bytes());
        bytes.extend(u32::from(frame.stored).to_le_bytes());
        bytes.extend(frame.packed.to_le_bytes());
        bytes.extend(frame.raw.to_le_bytes());
    }
    let table = crc32c::crc32c(&bytes);
    let footer = bytes.len();
    bytes.extend(at.to_le_bytes());
    bytes.extend(table.to_le_bytes());
    bytes.extend(crc32c::crc32c_append(crc32c::crc32c(head), &bytes[footer..]).to_le_bytes());
    bytes.extend(MAGIC);
    bytes
}

/// Length of the header's message, from the first [`PREFIX`] bytes; `None` if they are those of something else.
///
/// # Errors
/// More than any header has.
pub fn announced(prefix: &[u8], file: u64) -> Result<Option<u64>, FormatError> {
    let Some(rest) = prefix.strip_prefix(&MAGIC) else { return Ok(None) };
    let Some(length) = rest.first_chunk::<4>() else { return wrong("the container ends in its prefix") };
    let length = u64::from(u32::from_le_bytes(*length));
    if length > MOST_HEADER || PREFIX + length + FOOTER > file {
        return wrong(format!("the header of the container announces {length} bytes, the object has {file}"));
    }
    Ok(Some(length))
}

/// Parses the bytes before the first frame.
///
/// # Errors
/// A damaged header, or one that says more than [`MOST_HEADER`] bytes of text.
pub fn parse_head(bytes: &[u8]) -> Result<ContainerHeader, FormatError> {
    let (prefix, message) = match bytes.split_at_checked(PREFIX as usize) {
        Some((prefix, message)) if prefix.starts_with(&MAGIC) => (prefix, message),
        _ => return wrong("no container begins here"),
    };
    let crc = u32::from_le_bytes([prefix[12], prefix[13], prefix[14], prefix[15]]);
    let found = crc32c::crc32c(message);
    let length = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize;
    if found != crc || length != message.len() {
        return wrong(format!("the header of the container has the checksum {found:08x}, expected {crc:08x}"));
    }
    let header = ContainerHeader::decode(message).map_err(|error| FormatError(error.to_string()))?;
    if header.chunk < 4096 || header.chunk > 1 << 30 {
        return wrong(format!("the container has chunks of {} bytes", header.chunk));
    }
    Ok(header)
}

/// Where the table begins, from the footer of an object of `file` bytes.
///
/// # Errors
/// A damaged footer.
pub fn parse_footer(footer: &[u8], head: &[u8], file: u64) -> Result<(u64, u32), FormatError> {
    let Some(footer) = footer.first_chunk::<{ FOOTER as usize }>().filter(|_| footer.len() as u64 == FOOTER) else {
        return wrong("the container ends before its footer");
    };
    let number = |at: usize| u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]]);
    let found = crc32c::crc32c_append(crc32c::crc32c(head), &footer[..12]);
    if footer[16..] != MAGIC || found != number(12) {
        return wrong("the footer of the container is damaged");
    }
    let at = u64::from(number(0)) | u64::from(number(4)) << 32;
    if at < head.len() as u64 || at > file.saturating_sub(FOOTER) {
        return wrong(format!("the table of the container is said to begin at byte {at} of {file}"));
    }
    Ok((at, number(8)))
}

/// Parses the table, whose frames follow each other without gaps from the end of the header on.
///
/// # Errors
/// A damaged table, or one that does not fit the header.
pub fn parse_table(
    table: &[u8],
    crc: u32,
    header: &ContainerHeader,
    first: u64,
    end: u64,
) -> Result<Vec<Frame>, FormatError> {
    let count = header.raw.div_ceil(header.chunk);
    if crc32c::crc32c(table) != crc || Some(table.len() as u64) != count.checked_mul(ENTRY) {
        return wrong("the table of the container is damaged");
    }
    let mut frames = Vec::with_capacity(table.len() / ENTRY as usize);
    let mut at = first;
    let (entries, _) = table.as_chunks::<{ ENTRY as usize }>();
    for (number, entry) in entries.iter().enumerate() {
        let word = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let offset = u64::from(word(0)) | u64::from(word(4)) << 32;
        let frame = Frame { offset, length: word(8), stored: word(12) == 1, packed: word(16), raw: word(20) };
        let size = raw_size(header, number as u64);
        if offset != at || frame.stored && u64::from(frame.length) != size || word(12) > 1 {
            return wrong(format!("frame {number} of the container does not fit its place"));
        }
        at += u64::from(frame.length);
        frames.push(frame);
    }
    if at == end { Ok(frames) } else { wrong(format!("the frames end at byte {at}, the table begins at {end}")) }
}

/// Raw bytes of a frame.
#[must_use]
pub fn raw_size(header: &ContainerHeader, number: u64) -> u64 {
    header.chunk.min(header.raw.saturating_sub(number.saturating_mul(header.chunk)))
}

/// Compresses a chunk, unless a probe of it does not shrink; the frame's place is 0.
///
/// # Errors
/// Those of zstd.
pub fn pack(raw: &[u8], level: i32) -> Result<(Vec<u8>, Frame), FormatError> {
    let failed = |error: std::io::Error| FormatError(format!("zstd: {error}"));
    let probe = &raw[..raw.len().min(PROBE)];
    let shrinks = zstd::bulk::compress(probe, level).map_err(failed)?.len() < probe.len() / 16 * 15;
    let packed = if shrinks { zstd::bulk::compress(raw, level).map_err(failed)? } else { raw.to_vec() };
    let frame = Frame {
        offset: 0,
        length: u32::try_from(packed.len()).unwrap_or(u32::MAX),
        stored: !shrinks,
        packed: crc32c::crc32c(&packed),
        raw: crc32c::crc32c(raw),
    };
    Ok((packed, frame))
}

/// Decompresses a frame into memory of just its raw size; nothing else is ever allocated for it.
///
/// # Errors
/// Damaged bytes, or another number of them.
pub fn unpack(packed: &[u8], frame: &Frame, raw: &mut [u8]) -> Result<(), FormatError> {
    if crc32c::crc32c(packed) != frame.packed || packed.len() as u64 != u64::from(frame.length) {
        return wrong(format!("the frame at byte {} is damaged", frame.offset));
    }
    if frame.stored {
        if packed.len() != raw.len() {
            return wrong(format!("the frame at byte {} has {} bytes", frame.offset, packed.len()));
        }
        raw.copy_from_slice(packed);
        return Ok(());
    }
    match zstd::bulk::decompress_to_buffer(packed, raw) {
        Ok(length) if length == raw.len() => Ok(()),
        Ok(length) => wrong(format!("the frame at byte {} holds {length} bytes, expected {}", frame.offset, raw.len())),
        Err(error) => wrong(format!("the frame at byte {}: zstd: {error}", frame.offset)),
    }
}
