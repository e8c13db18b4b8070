//! The records of a damaged file.

use bytes::Bytes;

use super::scan::{Event, Scan};
use super::{ArrayRecordError, Opened, Opener};
use crate::riegeli::Records;
use crate::riegeli::walk::Need;

use std::ops::Range;

/// What a salvage has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salvaged {
    /// Bytes are missing: see [`Salvage::supply`].
    Need(Need),
    /// A whole group of records.
    Records {
        /// Where its chunk begins.
        begin: u64,
        /// The records.
        records: Records,
    },
    /// Damage.
    Damage {
        /// What is wrong, and where.
        error: ArrayRecordError,
        /// The part of the file that is lost by it; empty where it costs no record.
        lost: Range<u64>,
    },
    /// The file's end. It stays that.
    End,
}

/// Returns every group of records that is whole, in file order, whatever else is wrong with the file.
///
/// The end of the file is read first: an index that is sound tells where chunks begin behind a broken one. Without it they
/// are found by themselves and by block headers, as [`Scan`] does.
#[derive(Debug)]
pub struct Salvage {
    size: u64,
    opener: Option<Opener>,
    scan: Scan,
    index_error: Option<ArrayRecordError>,
}

impl Salvage {
    /// Of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let (opener, index_error) = match Opener::new(size, 0) {
            Ok(opener) => (Some(opener), None),
            Err(error) => (None, Some(error)),
        };
        Self { size, opener, scan: Scan::new(size), index_error }
    }

    /// Hands over bytes of the file that begin at `offset`, usually those asked for. No bytes mean that the file ends
    /// there, whatever its size was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        match &mut self.opener {
            Some(opener) => opener.supply(offset, bytes),
            None => self.scan.supply(offset, bytes),
        }
    }

    /// The next step.
    pub fn next_step(&mut self) -> Salvaged {
        if let Some(opener) = &mut self.opener {
            match opener.next_step() {
                Ok(Opened::Need(need)) => return Salvaged::Need(need),
                Ok(Opened::Index(index)) => self.scan = Scan::guided(self.size, &index),
                Err(error) => self.index_error = Some(error),
            }
            self.opener = None;
        }
        if let Some(error) = self.index_error.take() {
            return Salvaged::Damage { error, lost: 0..0 };
        }
        match self.scan.event() {
            Event::Need(need) => Salvaged::Need(need),
            Event::Group { begin, records } => Salvaged::Records { begin, records },
            Event::Damage(damage) => Salvaged::Damage { error: damage.error.into(), lost: damage.lost },
            Event::End => Salvaged::End,
        }
    }
}
