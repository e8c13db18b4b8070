//! One file of the cache: which version of what it holds, the bytes, and checksums of both.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// First bytes of an entry; the last digit is the version of its layout.
const MAGIC: &[u8; 8] = b"S3DLRC01";

/// Bytes of a description at most: keys have 1,024, and entity tags a few.
const MOST: usize = 16 << 10;

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Store, object and the range that was asked for.
    pub key: String,
    /// The version.
    pub etag: String,
    /// Bytes of the whole object.
    pub size: u64,
    /// When it was written.
    pub modified: DateTime<Utc>,
    /// The bytes of it that are here.
    pub range: Range<u64>,
}

impl Head {
    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// An entry that is open: it can be read to its end even when it is removed meanwhile.
#[derive(Debug)]
pub(super) struct Entry {
    pub head: Head,
    file: File,
    body: u64,
}

impl Entry {
    /// Reads the description; `None` for what is no entry, or one of something else.
    pub(super) fn open(mut file: File, key: &str) -> Option<Self> {
        let mut start = [0; MAGIC.len() + 4];
        file.read_exact(&mut start).ok()?;
        let (magic, length) = start.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        if magic != MAGIC || length > MOST {
            return None;
        }
        let mut text = vec![0; length + 4];
        file.read_exact(&mut text).ok()?;
        let (text, crc) = text.split_at(length);
        if crc32c::crc32c(text).to_le_bytes() != crc {
            return None;
        }
        let head: Head = serde_json::from_slice(text).ok()?;
        let body = (start.len() + length + 4) as u64;
        let whole = head.key == key && head.range.start <= head.range.end && head.range.end <= head.size;
        let sized = file.metadata().ok()?.len() == body.checked_add(head.length())?.checked_add(4)?;
        (whole && sized).then_some(Self { head, file, body })
    }

    /// Reads the bytes, and marks the entry as used; `None` when they are not those that were written.
    pub(super) fn read(&self) -> Option<Bytes> {
        let length = usize::try_from(self.head.length()).ok()?;
        let mut bytes = vec![0; length + 4];
        self.file.read_exact_at(&mut bytes, self.body).ok()?;
        let crc = bytes.split_off(length);
        if crc32c::crc32c(&bytes).to_le_bytes()[..] != crc[..] {
            return None;
        }
        // On a folder that is read only, entries age by their making.
        let _ = self.file.set_modified(SystemTime::now());
        Some(bytes.into())
    }
}

/// An entry that is being written, under another name until it is whole.
#[derive(Debug)]
pub(super) struct Draft {
    file: NamedTempFile,
    left: u64,
    crc: u32,
}

impl Draft {
    pub(super) fn begin(mut file: NamedTempFile, head: &Head) -> io::Result<Self> {
        let text = serde_json::to_vec(head)?;
        let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MOST);
        let length = length.ok_or_else(|| io::Error::other("the description is too long"))?;
        let start = [MAGIC.as_slice(), &length.to_le_bytes(), &text, &crc32c::crc32c(&text).to_le_bytes()].concat();
        file.write_all(&start)?;
        Ok(Self { file, left: head.length(), crc: 0 })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        self.left = self.left.checked_sub(length).ok_or_else(|| io::Error::other("more than was announced"))?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.file.write_all(bytes)
    }

    /// The file, if everything is there.
    pub(super) fn end(mut self) -> io::Result<NamedTempFile> {
        if self.left > 0 {
            return Err(io::Error::other("less than was announced"));
        }
        self.file.write_all(&self.crc.to_le_bytes())?;
        Ok(self.file)
    }
}
