//! Chunks: a header of 40 bytes, data, and what is needed to fill the chunk up.

use bytes::Bytes;

use super::block::{self, BlockHeader, BlockWriter};
use super::hash::{hash, hash_parts};
use super::{BLOCK, BLOCK_HEADER, CHUNK_HEADER, Dialect, Result, RiegeliError};

/// Length of a chunk header as an index.
const HEADER: usize = CHUNK_HEADER as usize;

/// Most bytes of a file that a chunk header takes, a block header counted. A reader that has so many from a chunk's
/// begin on, or all up to the end of the file, can tell how long the chunk is.
pub const HEADER_SPAN: u64 = CHUNK_HEADER + BLOCK_HEADER;

/// `num_records` has 56 bits.
const RECORDS_LIMIT: u64 = 1 << 56;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkKind {
    /// Marks the file; its first chunk, always empty.
    Signature,
    /// Describes the file; holds no records.
    Metadata,
    /// Fills space; its data means nothing.
    Padding,
    /// Records: sizes, then values.
    Simple,
    /// Records, split into the columns of protobuf messages.
    Transposed,
    /// None of these.
    Other(u8),
}

impl ChunkKind {
    /// The byte that stands for it.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Signature => b's',
            Self::Metadata => b'm',
            Self::Padding => b'p',
            Self::Simple => b'r',
            Self::Transposed => b't',
            Self::Other(byte) => byte,
        }
    }

    /// What `byte` stands for.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            b's' => Self::Signature,
            b'm' => Self::Metadata,
            b'p' => Self::Padding,
            b'r' => Self::Simple,
            b't' => Self::Transposed,
            other => Self::Other(other),
        }
    }
}

/// What a chunk says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Bytes of data, block headers not counted.
    pub data_size: u64,
    /// Hash of the data.
    pub data_hash: u64,
    /// What the data is.
    pub kind: ChunkKind,
    /// Records in the data, below 2^56.
    pub num_records: u64,
    /// Bytes of all records together.
    pub decoded_size: u64,
}

/// A chunk whose hashes have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the file.
    pub begin: u64,
    /// Its header.
    pub header: ChunkHeader,
    /// Its data without block headers: a slice of the bytes it was read from, or a copy where one stood in between.
    pub data: Bytes,
}

/// How much of what surrounds a chunk has to be sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Block headers must agree with the chunk, and a file must begin with a signature.
    All,
    /// The hashes of the chunk alone count: they guard it whatever the block headers say.
    Hashes,
}

impl ChunkHeader {
    /// The header of a chunk with `parts` as its data, one after another.
    #[must_use]
    pub fn of(kind: ChunkKind, num_records: u64, decoded_size: u64, parts: &[&[u8]]) -> Self {
        let data_size = parts.iter().map(|part| part.len() as u64).sum();
        Self { data_size, data_hash: hash_parts(parts), kind, num_records, decoded_size }
    }

    /// Decodes the 40 bytes of a header; where the hash is wrong, the one found and the one stored.
    fn parse(bytes: &[u8; HEADER]) -> Result<Self, (u64, u64)> {
        let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let (found, stored) = (hash(&bytes[8..]), word(0));
        if found != stored {
            return Err((found, stored));
        }
        Ok(Self {
            data_size: word(8),
            data_hash: word(16),
            kind: ChunkKind::from_byte(bytes[24]),
            num_records: word(24) >> 8,
            decoded_size: word(32),
        })
    }

    /// The 40 bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let kind_and_records = u64::from(self.kind.byte()) | self.num_records << 8;
        let words = [self.data_size, self.data_hash, kind_and_records, self.decoded_size];
        for (place, word) in out[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let stored = hash(&out[8..]);
        out[..8].copy_from_slice(&stored.to_le_bytes());
        out
    }

    /// Where the data ends of a chunk that begins at `begin`, before what fills the chunk up.
    ///
    /// # Errors
    /// [`RiegeliError::TooLarge`].
    #[inline]
    pub fn content_end(&self, begin: u64) -> Result<u64> {
        block::chunk_end(begin, self.data_size, 0, Dialect::Disky).ok_or_else(|| self.too_large(begin))
    }

    /// Where a chunk ends that begins at `begin`. Valid chunks of either dialect end by the same rule, because Disky's
    /// are never so short that it fills them up.
    ///
    /// # Errors
    /// [`RiegeliError::TooLarge`].
    #[inline]
    pub fn end(&self, begin: u64) -> Result<u64> {
        block::chunk_end(begin, self.data_size, self.num_records, Dialect::Riegeli).ok_or_else(|| self.too_large(begin))
    }

    #[cold]
    fn too_large(&self, begin: u64) -> RiegeliError {
        RiegeliError::TooLarge { begin, data_size: self.data_size, num_records: self.num_records }
    }

    /// True for what every file begins with.
    fn is_signature(&self) -> bool {
        self.kind == ChunkKind::Signature && self.data_size == 0 && self.num_records == 0 && self.decoded_size == 0
    }
}

/// The bytes of a file from a chunk's begin on, up to the end of what is at hand.
#[derive(Clone, Copy)]
struct Span<'a> {
    begin: u64,
    bytes: &'a [u8],
    check: Check,
}

impl<'a> Span<'a> {
    fn new(begin: u64, bytes: &'a [u8], check: Check) -> Result<Self> {
        if !block::is_legal(begin) {
            return Err(RiegeliError::IllegalBegin { begin });
        }
        Ok(Self { begin, bytes, check })
    }

    /// The bytes at positions `start..end` of the file.
    fn at(&self, start: u64, end: u64) -> Result<&'a [u8]> {
        let range = usize::try_from(start - self.begin).ok().zip(usize::try_from(end - self.begin).ok());
        range.and_then(|(start, end)| self.bytes.get(start..end)).ok_or_else(|| self.truncated(end))
    }

    #[cold]
    fn truncated(&self, expected: u64) -> RiegeliError {
        let found = self.begin.saturating_add(self.bytes.len() as u64);
        RiegeliError::Truncated { begin: self.begin, expected, found }
    }

    fn header(&self) -> Result<ChunkHeader> {
        let end = block::content_end(self.begin, CHUNK_HEADER).ok_or_else(|| self.truncated(u64::MAX))?;
        let gathered;
        let bytes = match self.at(self.begin, end)? {
            whole if whole.len() == HEADER => whole,
            cut => {
                let block = self.begin.next_multiple_of(BLOCK);
                self.check_block(block, None)?;
                let before = (block - self.begin) as usize;
                let after = &cut[before + BLOCK_HEADER as usize..];
                let mut both = [0; HEADER];
                both[..before].copy_from_slice(&cut[..before]);
                both[before..].copy_from_slice(after);
                gathered = both;
                &gathered
            }
        };
        let bytes = bytes.first_chunk().ok_or_else(|| self.truncated(end))?;
        let header = ChunkHeader::parse(bytes).map_err(|(found, expected)| RiegeliError::ChunkHash {
            begin: self.begin,
            found,
            expected,
        })?;
        if self.begin == 0 && self.check == Check::All && !header.is_signature() {
            return Err(RiegeliError::NotSignature { kind: header.kind.byte() });
        }
        Ok(header)
    }

    /// Holds a block header against the chunk, as far as its end is known.
    fn check_block(&self, block: u64, end: Option<u64>) -> Result<()> {
        if self.check == Check::Hashes {
            return Ok(());
        }
        let found =
            BlockHeader::parse(self.at(block, block + BLOCK_HEADER)?).ok_or(RiegeliError::BlockHash { block })?;
        let expected = BlockHeader::of(block, self.begin, end.unwrap_or(block.wrapping_add(found.next)));
        if found == expected {
            return Ok(());
        }
        Err(RiegeliError::BlockMismatch {
            block,
            previous: expected.previous,
            next: expected.next,
            found_previous: found.previous,
            found_next: found.next,
        })
    }

    /// Checks every block header that stands before the end of the data.
    fn check_blocks(&self, content_end: u64, end: u64) -> Result<()> {
        let mut block = self.begin.next_multiple_of(BLOCK);
        while block < content_end {
            self.check_block(block, Some(end))?;
            block += BLOCK;
        }
        Ok(())
    }
}

/// The header of the chunk at `begin`; `bytes` are those of the file from there on, at least [`HEADER_SPAN`] of them or
/// all that there are.
///
/// # Errors
/// [`RiegeliError`], where the bytes are too few, where a hash is wrong or a block header disagrees, and where the file
/// begins with something else than a signature.
pub fn header(begin: u64, bytes: &[u8], check: Check) -> Result<ChunkHeader> {
    Span::new(begin, bytes, check)?.header()
}

/// The chunk at `begin`; `bytes` are those of the file from there on, as far as the end of its data or further.
///
/// # Errors
/// As [`header()`], and [`RiegeliError::DataHash`]. Nothing is allocated before the chunk is known to lie within `bytes`.
#[inline]
pub fn read(begin: u64, bytes: &Bytes, check: Check) -> Result<Chunk> {
    read_data(begin, header(begin, bytes, check)?, bytes, check)
}

/// As [`read`], of a chunk whose header has been read before.
///
/// # Errors
/// As [`read`].
pub fn read_data(begin: u64, header: ChunkHeader, bytes: &Bytes, check: Check) -> Result<Chunk> {
    let span = Span::new(begin, bytes, check)?;
    let content_end = header.content_end(begin)?;
    span.at(begin, content_end)?;
    span.check_blocks(content_end, header.end(begin)?)?;
    let data = gather(&span, bytes, header.data_size, content_end);
    let found = hash(&data);
    if found != header.data_hash {
        return Err(RiegeliError::DataHash { begin, found, expected: header.data_hash });
    }
    Ok(Chunk { begin, header, data })
}

/// Looks at what fills a chunk up behind its data: zeros, and the block headers in between. `bytes` are those of the file
/// from the chunk's begin to its end.
pub(super) fn check_fill(begin: u64, header: &ChunkHeader, bytes: &[u8]) -> Result<()> {
    let span = Span::new(begin, bytes, Check::All)?;
    let (mut at, end) = (header.content_end(begin)?, header.end(begin)?);
    while at < end {
        if block::is_boundary(at) {
            span.check_block(at, Some(end))?;
            at += BLOCK_HEADER;
        }
        let until = end.min(at - at % BLOCK + BLOCK);
        if let Some(found) = span.at(at, until)?.iter().position(|byte| *byte != 0) {
            return Err(RiegeliError::Fill { begin, found: at + found as u64 });
        }
        at = until;
    }
    Ok(())
}

/// The data of a chunk that lies within `bytes`, copied only where block headers stand in between.
fn gather(span: &Span<'_>, bytes: &Bytes, data_size: u64, content_end: u64) -> Bytes {
    let begin = span.begin;
    // Where no block starts behind the first byte of the data, the data is the last bytes before the content's end. Those
    // reach into a block header where one does.
    let start = content_end - data_size;
    if data_size == 0 || start / BLOCK == (content_end - 1) / BLOCK && start % BLOCK >= BLOCK_HEADER {
        return bytes.slice((start - begin) as usize..(content_end - begin) as usize);
    }
    let mut out = Vec::with_capacity(data_size as usize);
    // The header's end is known to exist, since the content's does.
    let data_begin = block::content_end(begin, CHUNK_HEADER).unwrap_or(content_end);
    for range in block::segments(data_begin, data_size) {
        out.extend_from_slice(&bytes[(range.start - begin) as usize..(range.end - begin) as usize]);
    }
    out.into()
}

/// A chunk ready to be put anywhere in a file.
#[derive(Debug, Clone)]
pub struct EncodedChunk {
    header: ChunkHeader,
    head: Vec<u8>,
    values: Bytes,
}

impl EncodedChunk {
    /// A chunk whose data is `head` followed by `values`. `header` is [`ChunkHeader::of`] the two.
    #[must_use]
    pub(crate) fn new(header: ChunkHeader, head: Vec<u8>, values: Bytes) -> Self {
        Self { header, head, values }
    }

    /// A chunk of one piece of data.
    #[must_use]
    pub fn of(kind: ChunkKind, num_records: u64, decoded_size: u64, data: Vec<u8>) -> Self {
        let header = ChunkHeader::of(kind, num_records, decoded_size, &[&data]);
        Self { header, head: data, values: Bytes::new() }
    }

    /// Its header.
    #[must_use]
    pub const fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// Appends the chunk as it stands at `begin` in a file, block headers and all; returns where it ends.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write(&self, begin: u64, out: &mut Vec<u8>) -> Result<u64> {
        write(begin, &self.header, &[&self.head, &self.values], out)
    }
}

/// Appends a chunk as it stands at `begin` in a file: its header, `parts` as its data, zeros that fill it up, and the
/// block headers in between. Returns where it ends, which is where the next chunk begins.
///
/// # Errors
/// [`RiegeliError::IllegalBegin`], and [`RiegeliError::TooLarge`] where the position or the number of records is out of
/// range.
pub fn write(begin: u64, header: &ChunkHeader, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<u64> {
    if !block::is_legal(begin) {
        return Err(RiegeliError::IllegalBegin { begin });
    }
    if header.num_records >= RECORDS_LIMIT {
        return Err(header.too_large(begin));
    }
    let end = header.end(begin)?;
    out.reserve(usize::try_from(end - begin).map_err(|_| header.too_large(begin))?);
    let mut writer = BlockWriter { out, begin, end, at: begin };
    writer.put(&header.encode());
    for part in parts {
        writer.put(part);
    }
    writer.pad();
    Ok(end)
}

/// Appends the chunk that every file begins with; returns where it ends.
pub fn write_signature(out: &mut Vec<u8>) -> u64 {
    let header = ChunkHeader::of(ChunkKind::Signature, 0, 0, &[]);
    out.extend_from_slice(&BlockHeader { previous: 0, next: HEADER_SPAN }.encode());
    out.extend_from_slice(&header.encode());
    HEADER_SPAN
}

/// Appends a chunk that reaches from `begin` to a block boundary; returns where it ends. At a boundary it appends
/// nothing. Where fewer than 40 bytes remain in the block it fills the next one too.
///
/// # Errors
/// As [`write()`].
pub fn write_padding(begin: u64, out: &mut Vec<u8>) -> Result<u64> {
    static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
    let room = begin.wrapping_neg() % BLOCK;
    let len = match room {
        0 => return Ok(begin),
        short if short < CHUNK_HEADER => short + super::USABLE - CHUNK_HEADER,
        room => room - CHUNK_HEADER,
    };
    let zeros = &ZEROS[..len as usize];
    write(begin, &ChunkHeader::of(ChunkKind::Padding, 0, 0, &[zeros]), &[zeros], out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: [u8; 64] = [
        0x83, 0xaf, 0x70, 0xd1, 0x0d, 0x88, 0x4a, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x91, 0xba,
        0xc2, 0x3c, 0x92, 0x87, 0xe1, 0xa9, 0, 0, 0, 0, 0, 0, 0, 0, 0xe1, 0x9f, 0x13, 0xc0, 0xe9, 0xb1, 0xc3, 0x72,
        0x73, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn every_file_begins_alike() {
        let mut out = Vec::new();
        assert_eq!(write_signature(&mut out), 64);
        assert_eq!(out, SIGNATURE);
        let mut same = Vec::new();
        let header = header(0, &out, Check::All).unwrap();
        assert_eq!(write(0, &header, &[], &mut same), Ok(64));
        assert_eq!(same, SIGNATURE);
    }

    #[test]
    fn padding_reaches_a_boundary() {
        for (begin, end) in [(204, BLOCK), (65496, BLOCK), (65497, 2 * BLOCK), (65535, 2 * BLOCK), (BLOCK, BLOCK)] {
            let mut out = Vec::new();
            assert_eq!(write_padding(begin, &mut out), Ok(end));
            assert_eq!(out.len() as u64, end - begin);
        }
        let mut out = Vec::new();
        write_padding(204, &mut out).unwrap();
        assert_eq!(out[..8], [0xfb, 0xb2, 0xf6, 0xa5, 0x6a, 0x5d, 0x55, 0xef]);
        assert_eq!(out[16..24], [0x12, 0xdd, 0x3d, 0x19, 0x70, 0x50, 0xd7, 0]);
    }

    /// Chunks at every interesting distance from a boundary come back, as slices where they can.
    #[test]
    fn written_chunks_are_read_back() {
        let data: Vec<u8> = (0..140_000_u32).map(|at| (at * 7 % 251) as u8).collect();
        for begin in [25, 64, 65472, 65495, 65496, 65497, 65512, 65535, 65536, 65561, 131_072] {
            for len in [0, 1, 23, 24, 25, 65432, 65472, 65471, 65473, 131_000, 140_000] {
                for num_records in [0, 3, 70_000, 200_000] {
                    let parts: [&[u8]; 2] = [&data[..len / 3], &data[len / 3..len]];
                    let header = ChunkHeader::of(ChunkKind::Other(1), num_records, 9, &parts);
                    let mut out = Vec::new();
                    let end = write(begin, &header, &parts, &mut out).unwrap();
                    assert_eq!(out.len() as u64, end - begin);
                    assert!(end - begin >= num_records);
                    let out = Bytes::from(out);
                    for check in [Check::All, Check::Hashes] {
                        let chunk = read(begin, &out, check).unwrap();
                        assert_eq!((chunk.header, &chunk.data[..]), (header, &data[..len]));
                        let short = out.slice(..(header.content_end(begin).unwrap() - begin) as usize - 1);
                        assert!(matches!(read(begin, &short, check), Err(RiegeliError::Truncated { .. })));
                    }
                    let cuts = begin.next_multiple_of(BLOCK)..header.content_end(begin).unwrap();
                    for cut in cuts.step_by(BLOCK as usize) {
                        let mut wrong = out.to_vec();
                        wrong[(cut - begin) as usize + 17] ^= 1;
                        let wrong = Bytes::from(wrong);
                        let error = read(begin, &wrong, Check::All).unwrap_err();
                        assert_eq!(error, RiegeliError::BlockHash { block: cut });
                        assert_eq!(read(begin, &wrong, Check::Hashes).unwrap().data.len(), len);
                    }
                }
            }
        }
    }

    #[test]
    fn data_in_one_block_is_not_copied() {
        for begin in [64, 65536, 65536 + 100, 65500] {
            let header = ChunkHeader::of(ChunkKind::Simple, 1, 1000, &[&[1; 1000]]);
            let mut out = Vec::new();
            write(begin, &header, &[&[1; 1000]], &mut out).unwrap();
            let out = Bytes::from(out);
            let data = read(begin, &out, Check::All).unwrap().data;
            assert!(out.as_ptr_range().contains(&data.as_ptr()), "{begin}");
        }
    }

    #[test]
    fn wrong_headers() {
        let header = ChunkHeader::of(ChunkKind::Simple, 1, 3, &[b"abc"]);
        let mut out = Vec::new();
        write(64, &header, &[b"abc"], &mut out).unwrap();
        let at = |begin, bytes: &[u8]| read(begin, &Bytes::copy_from_slice(bytes), Check::All);
        assert!(at(65, &out).is_ok());
        assert_eq!(at(65537, &out), Err(RiegeliError::IllegalBegin { begin: 65537 }));
        let mut wrong = out.clone();
        wrong[30] ^= 1;
        assert!(matches!(at(64, &wrong), Err(RiegeliError::ChunkHash { begin: 64, .. })));
        let mut wrong = out.clone();
        wrong[42] ^= 1;
        assert!(matches!(at(64, &wrong), Err(RiegeliError::DataHash { begin: 64, .. })));
        let huge = ChunkHeader { data_size: u64::MAX - 100, ..header };
        assert!(matches!(at(64, &huge.encode()), Err(RiegeliError::TooLarge { .. })));
        let huge = ChunkHeader { data_size: 1 << 40, ..header };
        assert!(matches!(at(64, &huge.encode()), Err(RiegeliError::Truncated { .. })));
        let mut file = BlockHeader { previous: 0, next: 67 }.encode().to_vec();
        file.extend_from_slice(&out);
        assert_eq!(at(0, &file), Err(RiegeliError::NotSignature { kind: b'r' }));
    }
}
