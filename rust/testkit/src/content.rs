//! What an object holds: bytes as they were sent, or bytes computed from their position.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// Odd and without short cycles in its multiples (the golden ratio in 64 bits): neighbouring words look unrelated.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Computed bytes are made and sent in pieces of this size: as much as a socket usually takes at once.
const PIECE: u64 = 64 << 10;

/// The bytes of an object.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Pieces in order; several after an upload in parts, whose bytes are never copied together.
    Stored(Arc<[Bytes]>),
    /// The pattern of this seed; see [`pattern`].
    Pattern { seed: u64, length: u64 },
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Stored(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
            Self::Pattern { length, .. } => *length,
        }
    }

    /// The bytes of a range that lies inside the content.
    pub(crate) fn slice(&self, range: &Range<u64>) -> Pieces {
        let pieces = match self {
            Self::Stored(pieces) => cut(pieces, range),
            Self::Pattern { .. } => VecDeque::new(),
        };
        let seed = if let Self::Pattern { seed, .. } = self { *seed } else { 0 };
        let computed = matches!(self, Self::Pattern { .. });
        Pieces { pieces, seed, computed, at: range.start, left: range.end - range.start }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Stored([bytes].into())
    }
}

fn cut(pieces: &[Bytes], range: &Range<u64>) -> VecDeque<Bytes> {
    let mut start = 0;
    let mut found = VecDeque::new();
    for piece in pieces {
        let end = start + piece.len() as u64;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            found.push_back(piece.slice((from - start) as usize..(to - start) as usize));
        }
        start = end;
    }
    found
}

/// What is still to be sent of a content.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    seed: u64,
    computed: bool,
    at: u64,
    left: u64,
}

impl Pieces {
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, at most `most` of them; nothing at the end.
    pub(crate) fn next(&mut self, most: u64) -> Option<Bytes> {
        let most = most.min(self.left);
        if most == 0 {
            return None;
        }
        let piece = if self.computed {
            let end = self.at + most.min(PIECE);
            let piece = pattern(self.seed, self.at..end);
            self.at = end;
            piece
        } else {
            let mut front = self.pieces.pop_front()?;
            if front.len() as u64 > most {
                self.pieces.push_front(front.split_off(most as usize));
            }
            front
        };
        self.left -= piece.len() as u64;
        Some(piece)
    }

    /// All that is left, as one buffer.
    pub(crate) fn rest(&mut self) -> Bytes {
        let mut rest = Vec::new();
        while let Some(piece) = self.next(u64::MAX) {
            rest.extend_from_slice(&piece);
        }
        rest.into()
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Content::from(bytes).slice(&(0..length))
    }
}

/// The bytes at `range` of the pattern of `seed`.
///
/// The pattern is a sequence of little-endian 64-bit words; word `i` is `x ^ (x >> 32)` with
/// `x = (seed * 2^32 + i) * 0x9E3779B97F4A7C15`, everything modulo 2^64.
#[must_use]
pub fn pattern(seed: u64, range: Range<u64>) -> Bytes {
    let (first, last) = (range.start / 8, range.end.div_ceil(8));
    let mut bytes = Vec::with_capacity(((last - first) * 8) as usize);
    for word in first..last {
        let x = (seed << 32).wrapping_add(word).wrapping_mul(SPREAD);
        bytes.extend_from_slice(&(x ^ (x >> 32)).to_le_bytes());
    }
    let skip = (range.start - first * 8) as usize;
    Bytes::from(bytes).slice(skip..skip + (range.end - range.start) as usize)
}
