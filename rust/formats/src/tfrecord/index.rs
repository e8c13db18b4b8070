//! Where the records of a file are: found by their headers, and kept in the index that DALI reads.
//!
//! The index is one ASCII line for each record, `offset size`; the size is that of the whole record, 16 bytes more than
//! its payload.

use super::{HEADER, OVERHEAD, TfRecordError, announced, masked_crc};
use crate::error::excerpt;

/// A record: where it begins, and how many bytes it has with length and checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Byte of the file.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// Which checksums of lengths are compared when a file is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// All of them, if the first one of the file is right: some writers put other numbers or zeros in their place, and
    /// other indexers do not look.
    #[default]
    Auto,
    /// All of them, and a few bytes behind the last record are an error as well.
    Always,
    /// None.
    Never,
}

/// Walks from header to header, in whatever windows the caller can read.
#[derive(Debug)]
pub struct Scan {
    size: u64,
    next: u64,
    records: u64,
    verify: Verify,
}

impl Scan {
    /// The beginning of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, verify: Verify) -> Self {
        Self { size, next: 0, records: 0, verify }
    }

    /// Where the next header begins; after an error, the record that it is about.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Records found; after an error, the number of the record that it is about.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Whether no further header can follow. Up to 11 bytes may be left, which other indexers pass over in silence.
    ///
    /// # Errors
    /// [`TfRecordError::TruncatedHeader`] for those with [`Verify::Always`].
    pub fn is_done(&self) -> Result<bool, TfRecordError> {
        match self.size - self.next {
            found @ 1..=11 if self.verify == Verify::Always => Err(TfRecordError::TruncatedHeader { found }),
            left => Ok(left < HEADER as u64),
        }
    }

    /// Finds the records whose headers lie in `bytes`, a window of the file that begins at [`next`](Self::next) or
    /// before it.
    ///
    /// # Errors
    /// [`TfRecordError::LengthChecksum`] as [`Verify`] has it, [`TfRecordError::Truncated`] for a record that the file
    /// does not hold.
    pub fn window(&mut self, start: u64, bytes: &[u8], mut found: impl FnMut(Entry)) -> Result<(), TfRecordError> {
        while let Some(at) = self.next.checked_sub(start)
            && let Some(header) = usize::try_from(at).ok().and_then(|at| bytes.get(at..)?.first_chunk::<HEADER>())
        {
            let (length, right) = announced(header);
            if !right {
                self.mismatch(header, length)?;
            }
            let left = self.size - self.next;
            let size = length.saturating_add(OVERHEAD as u64);
            if size > left {
                return Err(TfRecordError::Truncated { length, found: left.saturating_sub(HEADER as u64) });
            }
            found(Entry { offset: self.next, size });
            self.next += size;
            self.records += 1;
        }
        Ok(())
    }

    #[cold]
    fn mismatch(&mut self, header: &[u8; HEADER], length: u64) -> Result<(), TfRecordError> {
        match self.verify {
            Verify::Never => return Ok(()),
            Verify::Auto if self.records == 0 => {
                self.verify = Verify::Never;
                return Ok(());
            }
            Verify::Auto | Verify::Always => {}
        }
        let expected = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        Err(TfRecordError::LengthChecksum { length, found: masked_crc(&header[..8]), expected })
    }
}

/// Bytes of the longest line: two numbers of 20 digits.
const LINE: usize = 42;

/// Appends the line of an entry.
pub fn write_entry(out: &mut Vec<u8>, entry: Entry) {
    // From its end to its beginning, and appended at once: an index is millions of lines, so that formatting both
    // numbers and copying them one by one would take longer than reading the file.
    let mut line = [b' '; LINE];
    line[LINE - 1] = b'\n';
    let size = digits(&mut line[..LINE - 1], entry.size);
    let offset = digits(&mut line[..size - 1], entry.offset);
    out.extend_from_slice(&line[offset..]);
}

/// Writes a number to the end of `out`, and returns where it begins.
fn digits(out: &mut [u8], mut number: u64) -> usize {
    let mut begin = out.len();
    // Two at a time, which halves the divisions that wait for each other.
    while number >= 10 {
        let pair = (number % 100) as u8;
        number /= 100;
        begin -= 2;
        out[begin] = b'0' + pair / 10;
        out[begin + 1] = b'0' + pair % 10;
    }
    if number > 0 || begin == out.len() {
        begin -= 1;
        out[begin] = b'0' + number as u8;
    }
    begin
}

/// The entries of an index. Blank lines are passed over, as is a carriage return at the end of a line.
///
/// # Errors
/// [`TfRecordError::IndexLine`] for any other line that is not two numbers.
pub fn parse_index(text: &[u8]) -> Result<Vec<Entry>, TfRecordError> {
    let mut entries = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let entry = match (fields.next(), fields.next(), fields.next()) {
            (None, ..) => continue,
            (Some(offset), Some(size), None) => {
                decimal(offset).zip(decimal(size)).map(|(offset, size)| Entry { offset, size })
            }
            _ => None,
        };
        let bad = || TfRecordError::IndexLine {
            line: number as u64 + 1,
            found: excerpt(&String::from_utf8_lossy(&line[..line.len().min(400)])),
        };
        entries.push(entry.ok_or_else(bad)?);
    }
    Ok(entries)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The index of a file, in 8 bytes a record where the records follow each other without a gap, as they do in every file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    starts: Vec<u64>,
    /// Sizes, once one record does not begin where the one before it ends.
    sizes: Option<Vec<u64>>,
    end: u64,
}

impl Index {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.starts.len() as u64
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Where the last record ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds a record.
    pub fn push(&mut self, entry: Entry) {
        if self.sizes.is_none() && entry.offset != self.end && !self.starts.is_empty() {
            let sizes = (0..self.len()).filter_map(|at| self.get(at)).map(|entry| entry.size).collect();
            self.sizes = Some(sizes);
        }
        if let Some(sizes) = &mut self.sizes {
            sizes.push(entry.size);
        }
        self.starts.push(entry.offset);
        self.end = entry.offset.saturating_add(entry.size);
    }

    /// The record of this number; `None` behind the last.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Entry> {
        let at = usize::try_from(number).ok()?;
        let offset = *self.starts.get(at)?;
        let size = match &self.sizes {
            Some(sizes) => *sizes.get(at)?,
            None => self.starts.get(at + 1).unwrap_or(&self.end) - offset,
        };
        Some(Entry { offset, size })
    }

    /// All records in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.len()).filter_map(|number| self.get(number))
    }

    /// Compares the index with the size of its file.
    ///
    /// # Errors
    /// The number of a record, where it is about one, and [`TfRecordError::IndexRange`] for bytes that the file does not
    /// have or [`TfRecordError::IndexEnd`] where whole records follow the last one.
    pub fn check(&self, size: u64) -> Result<(), (Option<u64>, TfRecordError)> {
        for (number, entry) in self.iter().enumerate() {
            let end = entry.offset.saturating_add(entry.size);
            if entry.size < OVERHEAD as u64 || end > size {
                let error = TfRecordError::IndexRange { size: entry.size, end, length: size };
                return Err((Some(number as u64), error));
            }
        }
        if size.saturating_sub(self.end) >= HEADER as u64 {
            return Err((None, TfRecordError::IndexEnd { found: self.end, expected: size }));
        }
        Ok(())
    }
}

impl FromIterator<Entry> for Index {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut index = Self::default();
        entries.into_iter().for_each(|entry| index.push(entry));
        index
    }
}
