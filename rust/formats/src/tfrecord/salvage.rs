//! The records of a damaged file.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::{HEADER, OVERHEAD, TfRecordError, announced, length, masked_crc};
use crate::riegeli::walk::Need;
use crate::riegeli::window::Window;

/// Bytes asked for at a time where the next record is shorter.
const READ_AHEAD: u64 = 1 << 20;

/// Bytes that are searched for a header before the caller has its turn again.
const SEARCH: usize = 64 << 10;

/// What a salvage has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salvaged {
    /// Bytes are missing: see [`Salvage::supply`].
    Need(Need),
    /// A record whose checksums are right.
    Record {
        /// Where it begins, its header counted.
        offset: u64,
        /// Its payload.
        record: Bytes,
    },
    /// Damage.
    Damage {
        /// What is wrong.
        error: TfRecordError,
        /// The part of the file that is lost by it; it begins with what is wrong.
        lost: Range<u64>,
    },
    /// The file's end. It stays that.
    End,
}

/// Returns every record of an uncompressed file whose checksums are right, whatever else is wrong with it.
///
/// A damaged payload costs its record. Behind a damaged length the next record is searched for, byte by byte: a length
/// with the right checksum that the file can hold. One that only looks like it is found out by its payload's checksum; but
/// records of another such file, held whole in the payload of a record whose length is damaged, are taken for records.
#[derive(Debug)]
pub struct Salvage {
    size: u64,
    next: u64,
    window: Window,
    /// What is wrong at the byte where the search began.
    search: Option<(TfRecordError, u64)>,
}

impl Salvage {
    /// Of a file of `size` bytes; more than it can have where that is not known.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { size, next: 0, window: Window::default(), search: None }
    }

    /// Hands over bytes of the file that begin at `offset`, usually those asked for. No bytes mean that the file ends
    /// there, whatever its size was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        if bytes.is_empty() {
            self.size = self.size.min(offset);
        }
        self.window.supply(offset, bytes);
    }

    /// The next step.
    pub fn next_step(&mut self) -> Salvaged {
        loop {
            self.window.forget_before(self.next);
            if self.search.is_some() {
                match self.search() {
                    Some(step) => return step,
                    None => continue,
                }
            }
            let left = self.size.saturating_sub(self.next);
            if left == 0 {
                return Salvaged::End;
            }
            if left < HEADER as u64 {
                return self.damage(TfRecordError::TruncatedHeader { found: left }, self.size);
            }
            let header = self.next..self.next + HEADER as u64;
            if let Some(need) = self.need(&header) {
                return need;
            }
            let bytes = self.window.slice(header);
            let announced = bytes.first_chunk().map_or(Ok(0), |header| length(header, true));
            let length = match announced {
                Ok(length) => length,
                Err(error) => {
                    self.search = Some((error, self.next));
                    self.next += 1;
                    continue;
                }
            };
            let whole = length.saturating_add(OVERHEAD as u64);
            if whole > left {
                return self.damage(TfRecordError::Truncated { length, found: left - HEADER as u64 }, self.size);
            }
            if let Some(need) = self.need(&(self.next..self.next + whole)) {
                return need;
            }
            let (offset, end) = (self.next, self.next + whole);
            let record = self.window.slice(offset + HEADER as u64..end - 4);
            let expected = self.window.slice(end - 4..end).get_u32_le();
            let found = masked_crc(&record);
            if found != expected {
                return self.damage(TfRecordError::DataChecksum { length, found, expected }, end);
            }
            self.next = end;
            return Salvaged::Record { offset, record };
        }
    }

    fn damage(&mut self, error: TfRecordError, end: u64) -> Salvaged {
        let lost = self.next..end;
        self.next = end;
        Salvaged::Damage { error, lost }
    }

    /// Looks for the next header in the bytes at hand; nothing to report yet where there is more to look at.
    fn search(&mut self) -> Option<Salvaged> {
        let left = self.size.saturating_sub(self.next);
        if left < HEADER as u64 {
            return self.found(self.size);
        }
        if let Some(need) = self.need(&(self.next..self.next + HEADER as u64)) {
            return Some(need);
        }
        let end = self.window.end().min(self.size).min(self.next.saturating_add(SEARCH as u64));
        let bytes = self.window.slice(self.next..end.max(self.next));
        let is_header = |window: &[u8]| {
            // A length of a terabyte is none, and looking at its bytes costs less than its checksum.
            let is_possible = window[5..8] == [0; 3];
            is_possible
                && window.first_chunk::<HEADER>().is_some_and(|header| {
                    let (length, is_right) = announced(header);
                    is_right && length.saturating_add(OVERHEAD as u64) <= self.size
                })
        };
        match bytes.windows(HEADER).position(is_header) {
            Some(at) => self.found(self.next + at as u64),
            None => {
                self.next += (bytes.len() - (HEADER - 1)) as u64;
                None
            }
        }
    }

    fn found(&mut self, at: u64) -> Option<Salvaged> {
        let (error, begin) = self.search.take()?;
        self.next = at;
        Some(Salvaged::Damage { error, lost: begin..at })
    }

    /// What has to be read before `range` is at hand.
    fn need(&self, range: &Range<u64>) -> Option<Salvaged> {
        if self.window.has(range) {
            return None;
        }
        let joins = range.start <= self.window.end() && self.window.has(&(range.start..self.window.end()));
        let offset = if joins { self.window.end() } else { range.start };
        let wanted = (range.end - offset).max(READ_AHEAD);
        Some(Salvaged::Need(Need { offset, len: wanted.min(self.size.saturating_sub(offset)) }))
    }
}
