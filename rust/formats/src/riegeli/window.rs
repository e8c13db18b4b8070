//! The stretch of a file that is at hand: pieces as they were read, each following the one before.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

#[derive(Debug, Default)]
pub(crate) struct Window {
    start: u64,
    end: u64,
    pieces: VecDeque<Bytes>,
}

impl Window {
    /// Where the next piece has to begin so that it joins the others.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Adds a piece that begins at `offset`. Where it does not join, everything else is forgotten.
    pub(crate) fn supply(&mut self, offset: u64, piece: Bytes) {
        if offset != self.end {
            self.pieces.clear();
            (self.start, self.end) = (offset, offset);
        }
        if !piece.is_empty() {
            self.end = self.end.saturating_add(piece.len() as u64);
            self.pieces.push_back(piece);
        }
    }

    /// Forgets the pieces that lie entirely before `position`.
    pub(crate) fn forget_before(&mut self, position: u64) {
        while let Some(first) = self.pieces.front() {
            let end = self.start + first.len() as u64;
            if end > position {
                return;
            }
            self.start = end;
            self.pieces.pop_front();
        }
    }

    /// True where all of `range` is at hand.
    pub(crate) fn has(&self, range: &Range<u64>) -> bool {
        self.start <= range.start && range.end <= self.end
    }

    /// The bytes of a range that is at hand, copied only where it reaches over several pieces.
    pub(crate) fn slice(&self, range: Range<u64>) -> Bytes {
        let mut at = self.start;
        let mut joined: Vec<u8> = Vec::new();
        for piece in &self.pieces {
            let end = at + piece.len() as u64;
            if range.start < end {
                let from = range.start.saturating_sub(at) as usize;
                let to = (range.end.min(end).saturating_sub(at) as usize).max(from);
                if range.end <= end && joined.is_empty() {
                    return piece.slice(from..to);
                }
                if joined.is_empty() {
                    joined.reserve_exact((range.end - range.start) as usize);
                }
                joined.extend_from_slice(&piece[from..to]);
                if range.end <= end {
                    break;
                }
            }
            at = end;
        }
        joined.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join() {
        let mut window = Window::default();
        window.supply(100, Bytes::from_static(b"abc"));
        window.supply(103, Bytes::from_static(b"de"));
        window.supply(105, Bytes::from_static(b"fgh"));
        assert!(window.has(&(100..108)) && !window.has(&(99..108)) && !window.has(&(100..109)));
        for start in 100..=108 {
            for end in start..=108 {
                let expected = &b"abcdefgh"[start as usize - 100..end as usize - 100];
                assert_eq!(window.slice(start..end), expected, "{start}..{end}");
            }
        }
        window.forget_before(104);
        assert!(window.has(&(104..108)) && !window.has(&(102..108)));
        assert_eq!(window.slice(104..106), "ef");
        window.supply(50, Bytes::from_static(b"x"));
        assert!(window.has(&(50..51)) && !window.has(&(104..105)));
        assert_eq!(window.end(), 51);
    }
}
