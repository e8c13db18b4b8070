//! Blocks: the file is cut every 65536 bytes, and a header of 24 bytes stands at each cut that lies inside a chunk.
//!
//! Such headers interrupt the bytes of a chunk anywhere, its own header included, and belong to no chunk: the positions
//! here count them, the sizes in chunk headers do not. A cut that falls between two chunks belongs to the later one.

use super::hash::hash;
use super::{BLOCK, BLOCK_HEADER, Dialect, USABLE};

/// Length of a block header as an index.
const HEADER: usize = BLOCK_HEADER as usize;

/// True where a block starts at `position`.
#[must_use]
#[inline]
pub const fn is_boundary(position: u64) -> bool {
    position.is_multiple_of(BLOCK)
}

/// True where a chunk can begin or end at `position`: not inside a block header, nor right behind one.
#[must_use]
#[inline]
pub const fn is_legal(position: u64) -> bool {
    let within = position % BLOCK;
    within == 0 || within > BLOCK_HEADER
}

/// The first position from `position` on at which a chunk can begin or end; `None` past the largest position.
#[must_use]
#[inline]
pub const fn legal(position: u64) -> Option<u64> {
    if is_legal(position) {
        return Some(position);
    }
    // 25 is the first byte behind a block header that does not directly follow it.
    (position - position % BLOCK).checked_add(BLOCK_HEADER + 1)
}

/// Where `len` bytes of a chunk end that begins at `begin`, block headers counted; `None` past the largest position.
#[must_use]
#[inline]
pub const fn content_end(begin: u64, len: u64) -> Option<u64> {
    // The chunk's own bytes as if it began at the start of its block, so that dividing counts the headers met.
    let Some(shifted) = len.checked_add((begin % BLOCK + USABLE - 1) % BLOCK) else {
        return None;
    };
    let Some(headers) = (shifted / USABLE).checked_mul(BLOCK_HEADER) else {
        return None;
    };
    match begin.checked_add(len) {
        Some(end) => end.checked_add(headers),
        None => None,
    }
}

/// Where a chunk ends that begins at `begin` and has `data_size` bytes of data; `None` past the largest position.
///
/// Riegeli pads a chunk until it is at least `num_records` bytes long, so that a position inside it can stand for each
/// record. Disky's chunks are never that short.
#[must_use]
#[inline]
pub fn chunk_end(begin: u64, data_size: u64, num_records: u64, dialect: Dialect) -> Option<u64> {
    let end = content_end(begin, data_size.checked_add(super::CHUNK_HEADER)?)?;
    match dialect {
        Dialect::Disky => Some(end),
        Dialect::Riegeli => Some(end.max(legal(begin.checked_add(num_records)?)?)),
    }
}

/// What stands at the start of a block: how far the chunk reaches that it interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// Bytes from the begin of the interrupted chunk to this block; 0 where the chunk begins here.
    pub previous: u64,
    /// Bytes from this block to the end of that chunk.
    pub next: u64,
}

impl BlockHeader {
    /// The header at `block` for a chunk that reaches from `begin` to `end`.
    #[must_use]
    #[inline]
    pub fn of(block: u64, begin: u64, end: u64) -> Self {
        Self { previous: block.wrapping_sub(begin), next: end.wrapping_sub(block) }
    }

    /// Decodes the first 24 of `bytes`; `None` where there are fewer or their hash is wrong.
    #[must_use]
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let (stored, fields) = bytes.split_first_chunk::<8>()?;
        let (previous, next) = fields.split_first_chunk::<8>()?;
        let next = next.first_chunk::<8>()?;
        (hash(fields) == u64::from_le_bytes(*stored))
            .then(|| Self { previous: u64::from_le_bytes(*previous), next: u64::from_le_bytes(*next) })
    }

    /// The 24 bytes of the header.
    #[must_use]
    #[inline]
    pub fn encode(self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[8..16].copy_from_slice(&self.previous.to_le_bytes());
        out[16..].copy_from_slice(&self.next.to_le_bytes());
        let stored = hash(&out[8..]);
        out[..8].copy_from_slice(&stored.to_le_bytes());
        out
    }

    /// True where a chunk can reach as far as the header at `block` says, to both sides.
    #[must_use]
    #[inline]
    pub fn is_possible(self, block: u64) -> bool {
        self.previous % BLOCK < USABLE
            && self.previous <= block
            && self.next > 0
            && (self.next - 1) % BLOCK >= BLOCK_HEADER
            && block.checked_add(self.next).is_some()
    }
}

/// File ranges of the `len` chunk bytes that follow position `at`, block headers left out. `at` itself may be a
/// boundary, whose header is then skipped too. `at + len` and the headers between must be a valid position, which
/// [`content_end`] tells.
pub(super) fn segments(mut at: u64, mut len: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    std::iter::from_fn(move || {
        if len == 0 {
            return None;
        }
        if is_boundary(at) {
            at += BLOCK_HEADER;
        }
        let here = len.min(BLOCK - at % BLOCK);
        let range = at..at + here;
        (at, len) = (range.end, len - here);
        Some(range)
    })
}

/// Appends the bytes of one chunk and, in between, the block headers.
pub(super) struct BlockWriter<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) at: u64,
}

impl BlockWriter<'_> {
    #[inline]
    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let here = self.room().min(bytes.len() as u64);
            let (now, rest) = bytes.split_at(here as usize);
            self.out.extend_from_slice(now);
            self.at += here;
            bytes = rest;
        }
    }

    /// Zeros up to the end of the chunk.
    pub(super) fn pad(&mut self) {
        while self.at < self.end {
            let here = self.room().min(self.end.saturating_sub(self.at));
            self.out.resize(self.out.len() + here as usize, 0);
            self.at += here;
        }
    }

    /// Bytes up to the next block header, behind the one that is due now.
    fn room(&mut self) -> u64 {
        if is_boundary(self.at) {
            self.out.extend_from_slice(&BlockHeader::of(self.at, self.begin, self.end).encode());
            self.at += BLOCK_HEADER;
        }
        BLOCK - self.at % BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule as the format states it, one byte after another in steps of a block.
    fn slow_end(begin: u64, mut len: u64) -> u64 {
        let mut at = begin;
        while len > 0 {
            at += if is_boundary(at) { BLOCK_HEADER } else { 0 };
            let step = len.min(BLOCK - at % BLOCK);
            (at, len) = (at + step, len - step);
        }
        at
    }

    #[test]
    fn ends_agree_with_the_rule() {
        for begin in [0, 25, 64, 100, 65472, 65495, 65511, 65512, 65535, 65536, 65561, 131_072, 1_000_000] {
            for len in [0, 1, 39, 40, 41, 64, 65000, 65511, 65512, 65513, 131_023, 131_024, 131_025, 9_999_999] {
                assert_eq!(content_end(begin, len), Some(slow_end(begin, len)), "{begin} {len}");
                let ranges: Vec<_> = segments(begin, len).collect();
                assert_eq!(ranges.iter().map(|range| range.end - range.start).sum::<u64>(), len);
                assert_eq!(ranges.last().map_or(begin, |range| range.end), slow_end(begin, len));
            }
        }
        assert_eq!(content_end(0, u64::MAX), None);
        assert_eq!(content_end(u64::MAX - 20, 40), None);
        assert_eq!(chunk_end(64, 0, u64::MAX, Dialect::Riegeli), None);
        assert_eq!(chunk_end(64, u64::MAX, 0, Dialect::Disky), None);
    }

    #[test]
    fn padding_reaches_a_legal_position() {
        assert_eq!(chunk_end(64, 2, 65472 + 24, Dialect::Riegeli), Some(65561));
        assert_eq!(chunk_end(64, 2, 65472, Dialect::Riegeli), Some(65536));
        assert_eq!(chunk_end(64, 2, 65472, Dialect::Disky), Some(106));
        assert_eq!(legal(65537), Some(65561));
        assert_eq!(legal(65561), Some(65561));
        assert_eq!(legal(131_072), Some(131_072));
    }

    #[test]
    fn published_headers() {
        let first = BlockHeader { previous: 0, next: 64 };
        let bytes = [0x83, 0xaf, 0x70, 0xd1, 0x0d, 0x88, 0x4a, 0x3f];
        assert_eq!(first.encode()[..8], bytes);
        let inner = BlockHeader::of(65536, 65516, 65633);
        assert_eq!(inner, BlockHeader { previous: 20, next: 97 });
        assert_eq!(inner.encode()[..8], [0xaa, 0x87, 0xf4, 0xbf, 0x85, 0xa6, 0x01, 0xd5]);
        assert_eq!(BlockHeader::parse(&inner.encode()), Some(inner));
        let mut wrong = inner.encode();
        wrong[9] ^= 1;
        assert_eq!(BlockHeader::parse(&wrong), None);
        assert_eq!(BlockHeader::parse(&wrong[..23]), None);
    }

    #[test]
    fn impossible_headers() {
        assert!(BlockHeader { previous: 20, next: 97 }.is_possible(65536));
        assert!(!BlockHeader { previous: USABLE, next: 97 }.is_possible(BLOCK));
        assert!(!BlockHeader { previous: 0, next: 0 }.is_possible(BLOCK));
        assert!(!BlockHeader { previous: 0, next: 24 }.is_possible(BLOCK));
        assert!(BlockHeader { previous: 0, next: 25 }.is_possible(BLOCK));
        assert!(!BlockHeader { previous: 0, next: u64::MAX }.is_possible(BLOCK));
        assert!(!BlockHeader { previous: 20, next: 97 }.is_possible(0));
    }
}
