//! Writing an archive, front to back.

use std::collections::HashSet;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::member::UTF8;
use crate::error::{FormatError, Result, excerpt};

/// Stored content begins at a multiple of this, and so do the items of an array in it: NPY headers are padded to 64
/// bytes too, because that is a line of the processor's cache.
const ALIGNMENT: u64 = 64;

/// The extra field by which archives are commonly aligned: the alignment, and padding.
const PADDING: u16 = 0xd935;

const ZIP64: u16 = 1;

/// The first version of the format with deflate, and that with ZIP64.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;

/// Made on a Unix system, which gives the attributes their meaning.
const UNIX: u16 = 3 << 8;

/// Readable and writable for its owner, where someone unpacks the archive.
const ATTRIBUTES: u32 = 0o600 << 16;

/// The first day that the format knows, so that the same arrays make the same archive at any time.
const DATE: u16 = 1 << 5 | 1;

/// How the content of a member stands in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// As a deflate stream.
    Deflated,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    method: Method,
    crc32: u32,
    len: u64,
    stored_len: u64,
    offset: u64,
}

/// Writes the parts of an archive that are not content.
///
/// For each member write what [`member`](Self::member) returns and then its content, in the end what
/// [`finish`](Self::finish) returns. Nothing is written twice, so any sink will do; sizes beyond 4 GiB and more than
/// 65,535 members make ZIP64 records.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    entries: Vec<Entry>,
    names: HashSet<String>,
    at: u64,
}

impl Encoder {
    /// An archive without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the archive so far, with the content of the last member.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.at
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Begins the member of an array and returns its header; `stored_len` bytes of content must follow it.
    ///
    /// `name` is the array's, without the suffix; `crc32` and `len` are those of the content before it was deflated.
    ///
    /// # Errors
    ///
    /// [`FormatError::MemberName`] for a name that is too long, holds a zero byte, or was there before.
    pub fn member(&mut self, name: &str, method: Method, crc32: u32, len: u64, stored_len: u64) -> Result<Vec<u8>> {
        let name = format!("{name}.npy");
        let wrong = |reason| Err(FormatError::MemberName { name: excerpt(&name), reason });
        if name.len() > usize::from(u16::MAX) {
            return wrong("it is longer than 65,535 bytes");
        }
        if name.contains('\0') {
            return wrong("it holds a zero byte, where readers end it");
        }
        if !self.names.insert(name.clone()) {
            return wrong("there is a member of this name already");
        }
        let entry = Entry { name, method, crc32, len, stored_len, offset: self.at };
        let header = entry.local();
        self.at += header.len() as u64 + stored_len;
        self.entries.push(entry);
        Ok(header)
    }

    /// Ends the archive: the bytes of its directory.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.entries.iter().for_each(|entry| entry.central(&mut out));
        let (entries, size, start) = (self.entries.len() as u64, out.len() as u64, self.at);
        if entries >= u64::from(u16::MAX) || size >= u64::from(u32::MAX) || start >= u64::from(u32::MAX) {
            out.extend(b"PK\x06\x06");
            out.extend(44u64.to_le_bytes());
            out.extend((VERSION_64 | UNIX).to_le_bytes());
            out.extend(VERSION_64.to_le_bytes());
            out.extend([0; 8]);
            [entries, entries, size, start].iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(b"PK\x06\x07\x00\x00\x00\x00");
            out.extend((start + size).to_le_bytes());
            out.extend(1u32.to_le_bytes());
        }
        out.extend(b"PK\x05\x06\x00\x00\x00\x00");
        let count = entries.min(u16::MAX.into()) as u16;
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(narrow(size).to_le_bytes());
        out.extend(narrow(start).to_le_bytes());
        out.extend([0; 2]);
        out
    }
}

/// A number in the width of the first ZIP archives; all bits set where it stands elsewhere.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn is_wide(number: u64) -> bool {
    narrow(number) == u32::MAX
}

impl Entry {
    /// What header and directory have in common: version to method, then checksum, sizes and the length of the name.
    fn common(&self, version: u16, out: &mut Vec<u8>) {
        let flags = if self.name.is_ascii() { 0 } else { UTF8 };
        let method = if self.method == Method::Deflated { 8 } else { 0 };
        [version, flags, method, 0, DATE].iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(self.crc32.to_le_bytes());
    }

    /// The header in front of the content.
    fn local(&self) -> Vec<u8> {
        let wide = is_wide(self.len) || is_wide(self.stored_len);
        let mut extra = Vec::new();
        if wide {
            extra.extend([ZIP64, 16].iter().flat_map(|n| n.to_le_bytes()));
            extra.extend([self.len, self.stored_len].iter().flat_map(|n| n.to_le_bytes()));
        }
        if self.method == Method::Stored {
            pad(self.offset + 30 + self.name.len() as u64, &mut extra);
        }
        let mut out = b"PK\x03\x04".to_vec();
        self.common(if wide { VERSION_64 } else { VERSION }, &mut out);
        let sizes = if wide { [u32::MAX; 2] } else { [narrow(self.stored_len), narrow(self.len)] };
        sizes.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend(self.name.as_bytes());
        out.extend(extra);
        out
    }

    /// The entry in the directory.
    fn central(&self, out: &mut Vec<u8>) {
        let numbers = [self.len, self.stored_len, self.offset];
        let wide: Vec<u8> = numbers.into_iter().filter(|&n| is_wide(n)).flat_map(u64::to_le_bytes).collect();
        let version = if wide.is_empty() { VERSION } else { VERSION_64 };
        out.extend(b"PK\x01\x02");
        out.extend((version | UNIX).to_le_bytes());
        self.common(version, out);
        [self.stored_len, self.len].iter().for_each(|&n| out.extend(narrow(n).to_le_bytes()));
        let extra = if wide.is_empty() { 0 } else { wide.len() as u16 + 4 };
        [self.name.len() as u16, extra, 0, 0, 0].iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(ATTRIBUTES.to_le_bytes());
        out.extend(narrow(self.offset).to_le_bytes());
        out.extend(self.name.as_bytes());
        if !wide.is_empty() {
            [ZIP64, wide.len() as u16].iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(wide);
        }
    }
}

/// Adds an extra field, where one is needed, so that what follows begins at a multiple of [`ALIGNMENT`]; the extra fields
/// begin at byte `at` of the archive.
fn pad(at: u64, extra: &mut Vec<u8>) {
    // Identifier, length and alignment.
    const LEAST: u64 = 6;
    let begin = at + extra.len() as u64;
    let gap = match begin.next_multiple_of(ALIGNMENT) - begin {
        0 => return,
        gap @ 1..LEAST => gap + ALIGNMENT,
        gap => gap,
    };
    let end = extra.len() + gap as usize;
    [PADDING, gap as u16 - 4, ALIGNMENT as u16].iter().for_each(|n| extra.extend(n.to_le_bytes()));
    extra.resize(end, 0);
}

/// Deflates a piece of content. The pieces of one content make one stream, one behind the other, so that they can be
/// deflated at the same time; none but the `last` ends it.
///
/// `level` is 1 (fast) to 9 (small); others count as the nearest of these.
///
/// # Errors
///
/// [`FormatError::Deflate`] where the compressor fails, which is not known to happen.
pub fn deflate(piece: &[u8], level: u32, last: bool) -> Result<Vec<u8>> {
    let mut stream = Compress::new(Compression::new(level.clamp(1, 9)), false);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Full };
    let mut out = Vec::with_capacity(piece.len() / 2 + 64);
    loop {
        let taken = usize::try_from(stream.total_in()).ok().and_then(|taken| piece.get(taken..)).unwrap_or_default();
        let status = stream.compress_vec(taken, &mut out, flush);
        let status = status.map_err(|error| FormatError::Deflate { detail: error.to_string() })?;
        let room = out.len() < out.capacity();
        if status == Status::StreamEnd || (!last && room && stream.total_in() == piece.len() as u64) {
            return Ok(out);
        }
        out.reserve(out.capacity() / 2 + 64);
    }
}
