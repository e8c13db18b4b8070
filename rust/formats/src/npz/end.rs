//! The end of an archive: where its directory is.
//!
//! ```text
//! members ... | directory | ZIP64 end record, ZIP64 locator (large archives only) | end record | comment
//! ```

use std::ops::Range;

use super::fields::Fields;
use crate::error::{FormatError, Result};

const END: &[u8; 4] = b"PK\x05\x06";
const ZIP64_END: &[u8; 4] = b"PK\x06\x06";
const ZIP64_LOCATOR: &[u8; 4] = b"PK\x06\x07";

const END_LEN: usize = 22;
const LOCATOR_LEN: usize = 20;
const ZIP64_END_LEN: u64 = 56;

/// Longest ZIP64 end record accepted. It ends in a part of any size that no known writer fills; a kilobyte bounds what
/// an archive can make its reader fetch for it.
const MAX_ZIP64_END: u64 = 1024;

/// The bytes that hold every end record whatever its comment.
const REACH: u64 = (END_LEN + u16::MAX as usize) as u64;

/// Where the directory is, or from which byte on the archive must be known to tell.
pub(super) enum Found {
    Directory(Place),
    Before(u64),
}

/// The directory as the end record describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) range: Range<u64>,
    pub(super) entries: u64,
}

/// The last bytes of an archive.
#[derive(Clone, Copy)]
pub(super) struct Tail<'a> {
    pub(super) bytes: &'a [u8],
    /// Size of the archive.
    pub(super) len: u64,
}

impl<'a> Tail<'a> {
    /// Where in the archive the bytes begin.
    pub(super) fn start(&self) -> u64 {
        self.len.saturating_sub(self.bytes.len() as u64)
    }

    /// The bytes of a range of the archive, where they are at hand.
    pub(super) fn range(&self, range: &Range<u64>) -> Option<&'a [u8]> {
        let at = |position: u64| usize::try_from(position.checked_sub(self.start())?).ok();
        self.bytes.get(at(range.start)?..at(range.end)?)
    }

    /// Position of the end record in the bytes: the last one whose comment reaches to the end of the archive.
    fn end_record(&self) -> Option<usize> {
        let last = self.bytes.len().checked_sub(END_LEN)?;
        let first = last.saturating_sub(usize::from(u16::MAX));
        (first..=last).rev().find(|&at| {
            let comment = self.bytes.len() - at - END_LEN;
            self.bytes[at..].starts_with(END) && self.bytes[at + 20..at + 22] == (comment as u16).to_le_bytes()
        })
    }

    pub(super) fn directory(&self) -> Result<Found> {
        let Some(at) = self.end_record() else {
            let needed = self.len.saturating_sub(REACH);
            if needed < self.start() {
                return Ok(Found::Before(needed));
            }
            let found = "none".to_owned();
            return Err(FormatError::Archive { offset: needed, found, expected: "the end record of a ZIP archive" });
        };
        let mut end = self.start() + at as u64;
        let record = End::parse(&self.bytes[at + 4..]).ok_or_else(|| damaged(end, "no end record"))?;
        let place = match at.checked_sub(LOCATOR_LEN).map(|locator| &self.bytes[locator..at]) {
            Some(locator) if locator.starts_with(ZIP64_LOCATOR) => {
                let begin = zip64_begin(locator, end - LOCATOR_LEN as u64)?;
                let Some(zip64) = self.range(&(begin..end - LOCATOR_LEN as u64)) else {
                    return Ok(Found::Before(begin));
                };
                let place = record.check_zip64(zip64, begin)?;
                end = begin;
                place
            }
            // The locator may lie just before the bytes at hand.
            None if self.start() > 0 => return Ok(Found::Before(self.start().saturating_sub(LOCATOR_LEN as u64))),
            _ => record.place(self.start() + at as u64)?,
        };
        if place.range.end != end {
            let found = format!("a directory of bytes {} to {}", place.range.start, place.range.end);
            return Err(FormatError::Archive { offset: end, found, expected: "a directory that ends here" });
        }
        Ok(Found::Directory(place))
    }
}

fn damaged(offset: u64, found: &str) -> FormatError {
    FormatError::Archive { offset, found: found.to_owned(), expected: "the end records of a ZIP archive" }
}

fn split(part: &str) -> FormatError {
    FormatError::ArchiveUnsupported { detail: format!("the {part} names several files, expected one") }
}

/// Where the ZIP64 end record begins, which ends where its locator begins.
fn zip64_begin(locator: &[u8], at: u64) -> Result<u64> {
    let mut fields = Fields(&locator[4..]);
    let (Some(disk), Some(begin), Some(disks)) = (fields.u32(), fields.u64(), fields.u32()) else {
        return Err(damaged(at, "half a ZIP64 locator"));
    };
    if disk != 0 || disks > 1 {
        return Err(split("ZIP64 locator"));
    }
    match at.checked_sub(begin) {
        Some(ZIP64_END_LEN..=MAX_ZIP64_END) => Ok(begin),
        _ => Err(damaged(at, &format!("a locator of a ZIP64 end record at byte {begin}"))),
    }
}

/// The numbers of the end record; those that do not fit have all bits set.
struct End {
    disk: u16,
    directory_disk: u16,
    entries_here: u16,
    entries: u16,
    size: u32,
    offset: u32,
}

impl End {
    fn parse(after_magic: &[u8]) -> Option<Self> {
        let mut fields = Fields(after_magic);
        Some(Self {
            disk: fields.u16()?,
            directory_disk: fields.u16()?,
            entries_here: fields.u16()?,
            entries: fields.u16()?,
            size: fields.u32()?,
            offset: fields.u32()?,
        })
    }

    /// The directory, in an archive without ZIP64 records.
    fn place(&self, at: u64) -> Result<Place> {
        if self.disk != 0 || self.directory_disk != 0 || self.entries_here != self.entries {
            return Err(split("end record"));
        }
        let (start, size) = (u64::from(self.offset), u64::from(self.size));
        if start + size > at {
            return Err(damaged(at, &format!("a directory of {size} bytes from byte {start} on")));
        }
        Ok(Place { range: start..start + size, entries: self.entries.into() })
    }

    /// The directory as the ZIP64 end record at byte `at` has it; numbers that this record has too must be the same.
    fn check_zip64(&self, record: &[u8], at: u64) -> Result<Place> {
        let short = || damaged(at, "half a ZIP64 end record");
        if !record.starts_with(ZIP64_END) {
            return Err(damaged(at, "no ZIP64 end record"));
        }
        let mut fields = Fields(&record[4..]);
        let len = fields.u64().ok_or_else(short)?;
        // The length counts what follows it; both versions are of no interest.
        if len.checked_add(12) != Some(record.len() as u64) || fields.u32().is_none() {
            return Err(short());
        }
        let disks = (fields.u32().ok_or_else(short)?, fields.u32().ok_or_else(short)?);
        let here = fields.u64().ok_or_else(short)?;
        let entries = fields.u64().ok_or_else(short)?;
        let size = fields.u64().ok_or_else(short)?;
        let start = fields.u64().ok_or_else(short)?;
        if disks != (0, 0) || here != entries {
            return Err(split("ZIP64 end record"));
        }
        let narrow = [self.disk, self.directory_disk, self.entries_here, self.entries];
        let agrees =
            narrow.into_iter().zip([0, 0, entries, entries]).all(|(n, wide)| n == u16::MAX || u64::from(n) == wide)
                && [self.size, self.offset]
                    .into_iter()
                    .zip([size, start])
                    .all(|(n, wide)| n == u32::MAX || u64::from(n) == wide);
        match start.checked_add(size).filter(|_| agrees) {
            Some(end) if end <= at => Ok(Place { range: start..end, entries }),
            _ => Err(damaged(at, &format!("{entries} members and a directory of {size} bytes from byte {start} on"))),
        }
    }
}
