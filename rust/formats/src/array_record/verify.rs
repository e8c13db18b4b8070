//! Every byte of a file that means something, and those that fill it up.

use std::ops::Range;

use bytes::Bytes;

use super::scan::is_postscript;
use super::{ArrayRecordError, Index, Opened, Opener};
use crate::riegeli::walk::{Need, OnDamage, Step, Walker};
use crate::riegeli::{self, Chunk, Dialect};

/// What a look at a file has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// Bytes are missing: see [`Verify::supply`].
    Need(Need),
    /// Something is wrong.
    Fault {
        /// What, and where.
        error: ArrayRecordError,
        /// The part of the file that cannot be read for it. Empty where all records can.
        lost: Range<u64>,
    },
    /// The file's end. It stays that.
    Done(Summary),
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Chunks with records that are whole, the index not counted.
    pub chunks: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of these records.
    pub record_bytes: u64,
    /// Things that are wrong.
    pub faults: u64,
}

/// Checks all hashes of a file, decodes all of its chunks, and holds them against the index. It needs the file's end
/// first, then the whole file from front to back.
#[derive(Debug)]
pub struct Verify {
    size: u64,
    opener: Option<Result<Opener, ArrayRecordError>>,
    index: Option<Index>,
    /// The first entry of the index whose chunk has not come yet.
    next: usize,
    /// The last stretch that was lost with broken chunks.
    lost: Range<u64>,
    /// A chunk that waits until the entries before it have been reported.
    held: Option<Chunk>,
    walker: Walker,
    summary: Summary,
}

impl Verify {
    /// A check of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let walker = Walker::new(size, OnDamage::Skip).thorough();
        Self {
            size,
            opener: Some(Opener::new(size, 0)),
            index: None,
            next: 0,
            lost: 0..0,
            held: None,
            walker,
            summary: Summary::default(),
        }
    }

    /// Hands over bytes of the file that begin at `offset`, usually those asked for. No bytes mean that the file ends
    /// there, whatever its size was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        match &mut self.opener {
            Some(Ok(opener)) => opener.supply(offset, bytes),
            _ => self.walker.supply(offset, bytes),
        }
    }

    /// The next step.
    pub fn next_step(&mut self) -> Checked {
        if let Some(opener) = &mut self.opener {
            let opened = opener.as_mut().map_err(|error| error.clone()).and_then(Opener::next_step);
            match opened {
                Ok(Opened::Need(need)) => return Checked::Need(need),
                Ok(Opened::Index(index)) => {
                    self.walker.set_landmarks(index.begins());
                    self.index = Some(index);
                    self.opener = None;
                }
                Err(error) => {
                    self.opener = None;
                    return self.fault(error, 0..0);
                }
            }
        }
        loop {
            let chunk = match self.held.take() {
                Some(chunk) => chunk,
                None => match self.walker.step() {
                    Ok(Step::Need(need)) => return Checked::Need(need),
                    Ok(Step::Damage(damage)) => {
                        self.lose(&damage.lost);
                        return self.fault(damage.error.into(), damage.lost);
                    }
                    Ok(Step::End) => match self.missing(self.size) {
                        Some(error) => return self.fault(error, 0..0),
                        None => return Checked::Done(self.summary),
                    },
                    Ok(Step::Chunk(chunk)) => chunk,
                    // A walker that passes over damage has nothing to fail with.
                    Err(error) => return self.fault(error.into(), 0..0),
                },
            };
            if let Some(error) = self.missing(chunk.begin) {
                self.held = Some(chunk);
                return self.fault(error, 0..0);
            }
            if let Err((error, lost)) = self.chunk(&chunk) {
                return self.fault(error, lost);
            }
        }
    }

    fn fault(&mut self, error: ArrayRecordError, lost: Range<u64>) -> Checked {
        self.summary.faults += 1;
        Checked::Fault { error, lost }
    }

    /// Remembers the last stretch between two whole chunks that was reported lost.
    fn lose(&mut self, lost: &Range<u64>) {
        let start = if self.lost.end == lost.start { self.lost.start } else { lost.start };
        self.lost = start..lost.end;
    }

    /// The first entry before `position` that no chunk came for, unless its chunk is among what has been reported lost.
    fn missing(&mut self, position: u64) -> Option<ArrayRecordError> {
        let index = self.index.as_ref()?;
        while let Some(range) = index.range(self.next).filter(|range| range.start < position) {
            let entry = self.next as u64;
            self.next += 1;
            if !self.lost.contains(&range.start) {
                return Some(ArrayRecordError::Entry {
                    begin: index.end(),
                    entry,
                    detail: "no chunk begins at its offset",
                });
            }
        }
        None
    }

    fn chunk(&mut self, chunk: &Chunk) -> Result<(), (ArrayRecordError, Range<u64>)> {
        let whole = chunk.begin..self.walker.position();
        let index = self.index.as_ref();
        let entry = index.and_then(|index| index.range(self.next)).is_some_and(|range| range.start == chunk.begin);
        self.next += usize::from(entry);
        let records = riegeli::decode_chunk(chunk, Dialect::Riegeli).map_err(|error| (error.into(), whole.clone()))?;
        let num_records = records.len() as u64;
        if let Some(index) = index {
            if entry {
                index.check(self.next - 1, chunk.begin, &chunk.header).map_err(|error| (error, whole))?;
            } else if num_records > 0 {
                let is_tail = chunk.begin == index.end() || is_postscript(chunk, &records);
                let error = ArrayRecordError::NotIndexed { begin: chunk.begin, num_records };
                return if is_tail { Ok(()) } else { Err((error, whole)) };
            }
        }
        if num_records > 0 {
            self.summary.chunks += 1;
            self.summary.records += num_records;
            self.summary.record_bytes += chunk.header.decoded_size;
        }
        Ok(())
    }
}
