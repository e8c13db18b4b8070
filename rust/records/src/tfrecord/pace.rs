//! How much of a file to look at next when only its headers are wanted.
//!
//! Small records are best read through: headers between them come along, and one request brings thousands. Of large ones
//! only the headers are read. Which it is, the records of the window before tell.

use std::ops::Range;

/// Payloads from this size on are left where they are; the gap that reading many ranges takes along as well.
const LARGE: u64 = 64 << 10;

/// An object of at most this size is read whole: it costs little more than a request for a header of it.
pub const WHOLE: u64 = 256 << 10;

/// Bytes of the first window, and of the first after a jump over large records.
const FIRST: u64 = 64 << 10;

/// Bytes of the largest window: as much as one request of a reader that goes through a file.
const MOST: u64 = 8 << 20;

/// Bytes read for one header: it takes 12, and more of them show whether small records follow.
const PROBE: u64 = 1 << 10;

/// Headers of equally large records that are asked for at once.
const PROBES: u64 = 32;

/// What to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Windows of this size, one behind the other.
    Through(u64),
    /// Each of these ranges: the next header, and others where records of the same size would have theirs.
    Headers(Vec<Range<u64>>),
}

/// What the windows so far have shown.
#[derive(Debug, Default)]
pub struct Pace {
    window: u64,
    /// Size of the last large record, and how many in a row have had it.
    equal: Option<(u64, u64)>,
    large: bool,
}

impl Pace {
    /// Notes what was found in a window: how many records, how far they reach, and the size of the last one.
    pub fn found(&mut self, records: u64, bytes: u64, last: u64) {
        self.large = records > 0 && bytes / records > LARGE;
        if !self.large {
            self.equal = None;
            self.window = (self.window * 4).clamp(FIRST, MOST);
            return;
        }
        self.window = 0;
        self.equal = match self.equal {
            Some((size, count)) if size == last && records == 1 => Some((size, count + 1)),
            _ => Some((last, 1)),
        };
    }

    /// What to read of a file of `size` bytes whose next header is at `at`.
    pub fn next(&self, at: u64, size: u64) -> Next {
        if !self.large {
            return Next::Through(if size <= WHOLE { size } else { self.window.max(FIRST) });
        }
        let (step, count) = match self.equal {
            // Records of one size are not worth a guess before two of them were seen.
            Some((step, count)) if count > 1 => (step, count.min(PROBES)),
            _ => (u64::MAX, 1),
        };
        let probe = |number: u64| {
            let start = step.checked_mul(number)?.checked_add(at).filter(|&start| start < size)?;
            Some(start..size.min(start.saturating_add(PROBE)))
        };
        Next::Headers((0..count).map_while(probe).collect())
    }
}
