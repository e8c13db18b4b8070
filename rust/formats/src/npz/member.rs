//! One member of an archive: a header of its own, its content, and sometimes a descriptor behind that.

use std::ops::Range;

use bytes::Bytes;

use super::fields::{Fields, zip64};
use super::{Limits, inflate};
use crate::error::{FormatError, Result};
use crate::npy::{self, Array};

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";

/// Bytes of a member's header without its name and its extra fields.
pub(super) const LOCAL_LEN: u64 = 30;

const DESCRIBED: &str = "the header of the member that the directory describes";

/// What the name of an array ends in.
pub(super) const SUFFIX: &str = ".npy";

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// The two flags of encryption, and the one of a directory that is encrypted.
pub(super) const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// The header was written before the content was known, so checksum and sizes follow the content.
const STREAMED: u16 = 1 << 3;
/// The name is UTF-8.
pub(super) const UTF8: u16 = 1 << 11;

/// A member of an archive, as its directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub(super) name: String,
    pub(super) raw_name: Bytes,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc32: u32,
    pub(super) stored_len: u64,
    pub(super) len: u64,
    pub(super) extent: Range<u64>,
}

impl Member {
    /// Full name, such as `x.npy`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name without the suffix `.npy`, which is what NumPy calls the array.
    #[must_use]
    pub fn array_name(&self) -> &str {
        self.name.strip_suffix(SUFFIX).unwrap_or(&self.name)
    }

    /// Whether the name says that this is an array.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.name.ends_with(SUFFIX)
    }

    /// Bytes of the content, as the directory announces them.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an array has a header, so its content is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the content in the archive.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// Name of the method by which the content is compressed.
    #[must_use]
    pub fn method(&self) -> String {
        match self.method {
            STORED => "stored".to_owned(),
            DEFLATED => "deflate".to_owned(),
            other => method_name(other),
        }
    }

    /// CRC-32 of the content.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        self.crc32
    }

    /// Whether the content is compressed, so that decoding takes memory of its own.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.method != STORED
    }

    /// Where the member lies in the archive: its header, its content and what follows that.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.extent.clone()
    }

    /// The array that the member is; `extent` are the bytes of [`range`](Self::range).
    ///
    /// # Errors
    ///
    /// [`FormatError::Member`] around what is wrong: a header that contradicts the directory, damaged content, a
    /// compression that is not supported, a limit exceeded, or any error of [`npy::parse`].
    pub fn array(&self, extent: &Bytes, limits: &Limits) -> Result<Array> {
        let array = self.unpack(extent, limits).and_then(|content| npy::parse(&content));
        array.map_err(|error| error.in_member(&self.name))
    }

    /// The bytes of the member; `extent` are those of [`range`](Self::range). Content that is stored is a slice of it.
    ///
    /// # Errors
    ///
    /// As [`array`](Self::array), but for what the content is.
    pub fn content(&self, extent: &Bytes, limits: &Limits) -> Result<Bytes> {
        self.unpack(extent, limits).map_err(|error| error.in_member(&self.name))
    }

    fn unpack(&self, extent: &Bytes, limits: &Limits) -> Result<Bytes> {
        let range = self.locate(extent)?;
        let offset = self.extent.start + range.start as u64;
        let stored = extent.slice(range);
        if self.flags & ENCRYPTED != 0 {
            return Err(FormatError::Encrypted);
        }
        let content = match self.method {
            STORED if self.stored_len != self.len => {
                return Err(FormatError::StoredSize { stored: self.stored_len, announced: self.len });
            }
            STORED => stored,
            DEFLATED => inflate::inflate(&stored, self.len, offset, limits)?,
            other => return Err(FormatError::Method { method: method_name(other) }),
        };
        let found = crc32fast::hash(&content);
        if found != self.crc32 {
            return Err(FormatError::Checksum { found, expected: self.crc32 });
        }
        Ok(content)
    }

    /// Checks the member's own header, and the descriptor behind the content, against the directory.
    pub(super) fn check(&self, extent: &[u8]) -> Result<()> {
        self.locate(extent).map(|_| ()).map_err(|error| error.in_member(&self.name))
    }

    /// Where in `extent` the content is.
    fn locate(&self, extent: &[u8]) -> Result<Range<usize>> {
        if extent.len() as u64 != self.extent.end - self.extent.start {
            let (offset, found) = (self.extent.start, format!("{} bytes", extent.len()));
            return Err(FormatError::Archive { offset, found, expected: "all bytes of the member" });
        }
        let start = self.header(extent)?;
        let after = &extent[start..];
        let behind = usize::try_from(self.stored_len).ok().and_then(|len| after.get(len..));
        let behind = behind.ok_or_else(|| self.no_room())?;
        self.check_end(behind)?;
        Ok(start..extent.len() - behind.len())
    }

    pub(super) fn no_room(&self) -> FormatError {
        let found = "headers that leave no room for the content".to_owned();
        FormatError::Archive { offset: self.extent.start, found, expected: DESCRIBED }
    }

    /// Checks what follows the content.
    pub(super) fn check_end(&self, behind: &[u8]) -> Result<()> {
        if self.ends_with(behind) {
            return Ok(());
        }
        let offset = self.extent.end - behind.len() as u64;
        let found = format!("{} bytes", behind.len());
        let expected = "the next member or the directory, and before it only what this member's flags ask for";
        Err(FormatError::Archive { offset, found, expected })
    }

    /// Checks the member's own header, which `extent` begins with, against the directory; where the content begins.
    pub(super) fn header(&self, extent: &[u8]) -> Result<usize> {
        let damaged = |found: &str| FormatError::Archive {
            offset: self.extent.start,
            found: found.to_owned(),
            expected: DESCRIBED,
        };
        let Some((local, after)) = Local::parse(extent) else { return Err(damaged("no such header")) };
        if local.name != self.raw_name {
            return Err(damaged("another name"));
        }
        if local.method != self.method || (local.flags ^ self.flags) & (ENCRYPTED | STREAMED | UTF8) != 0 {
            return Err(damaged("another method or other flags"));
        }
        let agrees = local.crc32 == self.crc32 && local.sizes() == Some((self.len, self.stored_len));
        if !agrees && (self.flags & STREAMED == 0 || !local.is_open()) {
            return Err(damaged("another checksum or other sizes"));
        }
        Ok(extent.len() - after.len())
    }

    /// Whether `behind` is what has to follow the content: nothing, or checksum and sizes in any of their four spellings.
    fn ends_with(&self, behind: &[u8]) -> bool {
        if self.flags & STREAMED == 0 {
            return behind.is_empty();
        }
        let mut expected = self.crc32.to_le_bytes().to_vec();
        match behind.len() {
            12 | 16 => [self.stored_len, self.len].iter().for_each(|&n| expected.extend((n as u32).to_le_bytes())),
            _ => [self.stored_len, self.len].iter().for_each(|n| expected.extend(n.to_le_bytes())),
        }
        behind == expected || behind.strip_prefix(DESCRIPTOR) == Some(&expected)
    }
}

/// The header in front of a member.
struct Local<'a> {
    flags: u16,
    method: u16,
    crc32: u32,
    stored: u32,
    size: u32,
    name: &'a [u8],
    extra: &'a [u8],
}

impl<'a> Local<'a> {
    /// The header, and what follows it.
    fn parse(extent: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut fields = Fields(extent);
        if fields.take(4)? != LOCAL {
            return None;
        }
        let (_version, flags, method) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let (_modified, crc32) = (fields.u32()?, fields.u32()?);
        let (stored, size) = (fields.u32()?, fields.u32()?);
        let lens = (fields.u16()?, fields.u16()?);
        let (name, extra) = (fields.take(lens.0.into())?, fields.take(lens.1.into())?);
        Some((Self { flags, method, crc32, stored, size, name, extra }, fields.0))
    }

    /// Size and stored size; in the ZIP64 field where that is there for them.
    fn sizes(&self) -> Option<(u64, u64)> {
        let mut wide = zip64(self.extra);
        let mut number = |narrow: u32| match &mut wide {
            Some(wide) if narrow == u32::MAX => wide.u64(),
            _ => Some(narrow.into()),
        };
        Some((number(self.size)?, number(self.stored)?))
    }

    /// Whether checksum and sizes were left open, which in a large member is told by sizes with all bits set.
    fn is_open(&self) -> bool {
        self.crc32 == 0 && matches!((self.stored, self.size), (0, 0) | (u32::MAX, u32::MAX))
    }
}

pub(super) fn method_name(method: u16) -> String {
    let name = match method {
        1 => "shrink",
        6 => "implode",
        9 => "deflate64",
        12 => "bzip2",
        14 => "lzma",
        93 => "zstd",
        95 => "xz",
        99 => "AES",
        _ => return method.to_string(),
    };
    format!("{name} ({method})")
}
