//! NPZ: a ZIP archive of NPY arrays, as `numpy.savez` and `numpy.savez_compressed` write it.
//!
//! `numpy.savez` stores its members as they are, so that an array is a slice of the archive. A deflated member is
//! inflated into one buffer of exactly its size. Either way the CRC-32 of all its bytes is checked.
//!
//! What the directory at the end of an archive says is checked against the header in front of each member, and
//! members may neither overlap nor hide from the directory. Since they do not overlap, and deflate makes at most 1032
//! bytes of one, reading all arrays never takes more than 1032 times the memory of the input, whatever the
//! archive claims.

use std::collections::HashSet;
use std::io::{Cursor, Read};

use bytes::Bytes;
use zip::result::{ZipError, ZipResult};
use zip::{CompressionMethod, ZipArchive};

use crate::error::{FormatError, Result};
use crate::npy::{self, Array};

const SUFFIX: &str = ".npy";

/// A match of 258 bytes takes two bits at best: one for its length, one for its distance.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Bounds on what one archive may make this process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that one deflated member may inflate to; 16 GiB by default. Stored members take no memory and are not
    /// bounded.
    pub max_member_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_member_bytes: 16 << 30 }
    }
}

/// An open archive: the directory is read and checked, the arrays are not.
///
/// Only members whose name ends in `.npy` are arrays. For any other member numpy hands out its raw bytes; here it takes
/// part in the checks of the layout and is otherwise left alone.
///
/// A name that occurs twice is an error: `numpy.savez` cannot write it, and readers differ on which of the two they see.
#[derive(Debug, Clone)]
pub struct Npz {
    archive: ZipArchive<Cursor<Bytes>>,
    input: Bytes,
    arrays: Vec<Member>,
    limits: Limits,
}

/// A member of the archive, with where its bytes lie.
#[derive(Debug, Clone)]
struct Member {
    name: String,
    index: usize,
    offset: u64,
    stored_len: u64,
    len: u64,
    crc32: u32,
    method: CompressionMethod,
    encrypted: bool,
}

impl Npz {
    /// Reads the directory of `input`, the bytes of a whole archive.
    ///
    /// # Errors
    ///
    /// [`FormatError::Archive`] where the input is cut short, is no ZIP archive, or where directory, member headers and
    /// member positions contradict each other; [`FormatError::ArchiveUnsupported`] for archives split over several files;
    /// [`FormatError::Member`] around [`FormatError::OutOfBounds`] or [`FormatError::DuplicateMember`].
    pub fn open(input: &Bytes, limits: Limits) -> Result<Self> {
        let damaged = |error: ZipError| archive_error(&error, input.len());
        let mut archive = ZipArchive::new(Cursor::new(input.clone())).map_err(damaged)?;
        archive.validate_header_consistency().map_err(damaged)?;
        let mut arrays = Vec::new();
        let mut names = HashSet::with_capacity(archive.len());
        for index in 0..archive.len() {
            let member = Member::locate(&mut archive, index, input.len()).map_err(damaged)?;
            member.check_bounds(input.len()).map_err(|error| error.in_member(&member.name))?;
            if !names.insert(member.name.clone()) {
                return Err(FormatError::DuplicateMember.in_member(&member.name));
            }
            if member.name.ends_with(SUFFIX) {
                arrays.push(member);
            }
        }
        Ok(Self { archive, input: input.clone(), arrays, limits })
    }

    /// Names of the arrays, without the suffix `.npy`, in archive order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.arrays.iter().map(Member::array_name)
    }

    /// Bytes that [`read_all`](Self::read_all) allocates, if the directory is right: the inflated sizes of the deflated
    /// members. Zero for an archive written by `numpy.savez`.
    pub fn inflated_len(&self) -> u64 {
        let deflated = self.arrays.iter().filter(|member| member.method != CompressionMethod::Stored);
        deflated.fold(0, |total, member| total.saturating_add(member.len))
    }

    /// Reads one array by its name, with or without the suffix `.npy`.
    ///
    /// # Errors
    ///
    /// [`FormatError::NoSuchArray`], or [`FormatError::Member`] around what is wrong with the member: damaged content, a
    /// compression that is not supported, a limit exceeded, or any error of [`npy::parse`].
    pub fn read(&self, name: &str) -> Result<Array> {
        let member = self
            .arrays
            .iter()
            .find(|member| member.array_name() == name)
            .or_else(|| self.arrays.iter().find(|member| member.name == name))
            .ok_or_else(|| FormatError::NoSuchArray {
                name: name.to_owned(),
                available: self.names().map(str::to_owned).collect(),
            })?;
        self.read_member(member)
    }

    /// Reads every array, with its name, in archive order.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), for the first array that is wrong.
    pub fn read_all(&self) -> Result<Vec<(String, Array)>> {
        self.arrays.iter().map(|member| Ok((member.array_name().to_owned(), self.read_member(member)?))).collect()
    }

    fn read_member(&self, member: &Member) -> Result<Array> {
        self.content(member).and_then(|content| npy::parse(&content)).map_err(|error| error.in_member(&member.name))
    }

    fn content(&self, member: &Member) -> Result<Bytes> {
        if member.encrypted {
            return Err(FormatError::Encrypted);
        }
        match member.method {
            CompressionMethod::Stored => self.stored(member),
            CompressionMethod::Deflated => self.inflated(member),
            other => Err(FormatError::Method { method: other.to_string() }),
        }
    }

    fn stored(&self, member: &Member) -> Result<Bytes> {
        if member.stored_len != member.len {
            return Err(FormatError::StoredSize { stored: member.stored_len, announced: member.len });
        }
        let range = member.range(self.input.len())?;
        let content = self.input.slice(range);
        check_crc32(&content, member.crc32)?;
        Ok(content)
    }

    fn inflated(&self, member: &Member) -> Result<Bytes> {
        let announced = member.len;
        let possible = member.stored_len.saturating_mul(MAX_DEFLATE_RATIO);
        if announced > possible {
            return Err(FormatError::ImpossibleRatio { compressed: member.stored_len, announced, possible });
        }
        if announced > self.limits.max_member_bytes {
            return Err(FormatError::OverLimit { announced, limit: self.limits.max_member_bytes });
        }
        let mut content = Vec::new();
        let capacity = usize::try_from(announced).map_err(|_| FormatError::NoMemory { announced })?;
        content.try_reserve_exact(capacity).map_err(|_| FormatError::NoMemory { announced })?;
        // A clone shares the directory and the bytes; only the read position is its own.
        let mut archive = self.archive.clone();
        let damaged = |detail: String| FormatError::Inflate { offset: member.offset, detail };
        // The archive's own check would report damage without saying what was found.
        let options = zip::read::ZipReadOptions::new().ignore_crc32(true);
        let mut reader =
            archive.by_index_with_options(member.index, options).map_err(|error| damaged(error.to_string()))?;
        reader.by_ref().take(announced).read_to_end(&mut content).map_err(|error| damaged(error.to_string()))?;
        // Content beyond the announced size is an error of the reader, found here so that the buffer never grows.
        reader.read(&mut [0]).map_err(|error| damaged(error.to_string()))?;
        if content.len() != capacity {
            return Err(FormatError::InflatedSize { found: content.len() as u64, expected: announced });
        }
        check_crc32(&content, member.crc32)?;
        Ok(Bytes::from(content))
    }
}

impl Member {
    fn locate(archive: &mut ZipArchive<Cursor<Bytes>>, index: usize, input_len: usize) -> ZipResult<Self> {
        let entry = archive.by_index_raw(index)?;
        Ok(Self {
            name: entry.name()?.into_owned(),
            index,
            // Unknown means that no header was found, which must not pass for a position.
            offset: entry.data_start().unwrap_or(input_len as u64),
            stored_len: entry.compressed_size(),
            len: entry.size(),
            crc32: entry.crc32(),
            method: entry.compression(),
            encrypted: entry.encrypted(),
        })
    }

    fn array_name(&self) -> &str {
        self.name.strip_suffix(SUFFIX).unwrap_or(&self.name)
    }

    fn range(&self, input_len: usize) -> Result<std::ops::Range<usize>> {
        let end = self.offset.checked_add(self.stored_len).filter(|&end| end <= input_len as u64);
        match (usize::try_from(self.offset), end.map(usize::try_from)) {
            (Ok(start), Some(Ok(end))) => Ok(start..end),
            _ => Err(FormatError::OutOfBounds {
                offset: self.offset,
                len: self.stored_len,
                archive_len: input_len as u64,
            }),
        }
    }

    fn check_bounds(&self, input_len: usize) -> Result<()> {
        self.range(input_len).map(|_| ())
    }
}

fn check_crc32(content: &[u8], expected: u32) -> Result<()> {
    let found = crc32fast::hash(content);
    if found != expected {
        return Err(FormatError::Checksum { found, expected });
    }
    Ok(())
}

fn archive_error(error: &ZipError, len: usize) -> FormatError {
    match error {
        ZipError::UnsupportedArchive(detail) => FormatError::ArchiveUnsupported { detail: (*detail).to_owned() },
        ZipError::InvalidArchive(detail) => FormatError::Archive { len: len as u64, detail: detail.to_string() },
        other => FormatError::Archive { len: len as u64, detail: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_checked_without_the_help_of_the_directory_reader() {
        let at = |offset, stored_len| Member {
            name: "x.npy".to_owned(),
            index: 0,
            offset,
            stored_len,
            len: stored_len,
            crc32: 0,
            method: CompressionMethod::Stored,
            encrypted: false,
        };
        assert_eq!(at(10, 90).range(100), Ok(10..100));
        assert_eq!(at(100, 0).range(100), Ok(100..100));
        for (offset, len) in [(10, 91), (101, 0), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            let expected = FormatError::OutOfBounds { offset, len, archive_len: 100 };
            assert_eq!(at(offset, len).range(100), Err(expected));
        }
    }
}
