//! The directory of an archive, from its last bytes.

use bytes::Bytes;

use super::Limits;
use super::end::{Found, Place, Tail};
use super::fields::{Fields, zip64};
use super::member::{LOCAL_LEN, Member, SUFFIX, UTF8};
use super::name;
use crate::error::{FormatError, Result};

const ENTRY: &[u8; 4] = b"PK\x01\x02";

/// Bytes of an entry without its name and its extra fields.
const ENTRY_LEN: u64 = 46;

/// How far the directory could be read from the bytes at hand.
#[derive(Debug, Clone)]
pub enum Progress {
    /// To its end.
    Ready(Directory),
    /// The archive must be known from this byte on, which is before the first one that was given.
    NeedsFrom(u64),
}

/// The members of an archive and where their bytes lie.
///
/// It is read from the end of an archive alone, so that members of a remote archive can be fetched one by one:
///
/// 1. give [`Directory::read`] the last bytes of the archive, [`Directory::TAIL`] for instance;
/// 2. as long as it answers [`Progress::NeedsFrom`], give it the archive from that byte on;
/// 3. fetch [`Member::range`] of what is wanted, and let [`Member::array`] decode it.
#[derive(Debug, Clone)]
pub struct Directory {
    members: Vec<Member>,
    /// Positions of the members, by their names.
    by_name: Vec<usize>,
}

impl Directory {
    /// Bytes to begin with: the end records and some 500 members. No more than a round trip to a store costs anyway.
    pub const TAIL: u64 = 64 << 10;

    /// Reads the directory of an archive of `len` bytes from `tail`, its last ones.
    ///
    /// # Errors
    ///
    /// [`FormatError::Archive`] where the bytes are not the end of a ZIP archive, or its records contradict each other;
    /// [`FormatError::ArchiveUnsupported`] for archives split over several files; [`FormatError::OverLimit`] for a
    /// directory larger than [`Limits::max_directory_bytes`]; [`FormatError::Member`] around
    /// [`FormatError::DuplicateMember`] or [`FormatError::OutOfBounds`].
    pub fn read(tail: &Bytes, len: u64, limits: &Limits) -> Result<Progress> {
        let view = Tail { bytes: tail, len };
        let place = match view.directory()? {
            Found::Before(from) => return Ok(Progress::NeedsFrom(from)),
            Found::Directory(place) => place,
        };
        let size = place.range.end - place.range.start;
        if size > limits.max_directory_bytes {
            return Err(FormatError::OverLimit { announced: size, limit: limits.max_directory_bytes });
        }
        let Some(bytes) = view.range(&place.range) else {
            return Ok(Progress::NeedsFrom(place.range.start));
        };
        let members = apart(entries(&tail.slice_ref(bytes), &place)?, place.range.start)?;
        Ok(Progress::Ready(Self { by_name: by_name(&members)?, members }))
    }

    /// All members, in the order of the directory.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members that are arrays, in the order of the directory.
    pub fn arrays(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_array())
    }

    /// The member of an array, named with or without the suffix `.npy`; a name without it goes first. Any other member
    /// is found by its full name.
    ///
    /// # Errors
    ///
    /// [`FormatError::NoSuchArray`].
    pub fn find(&self, name: &str) -> Result<&Member> {
        self.full(&format!("{name}{SUFFIX}")).or_else(|| self.full(name)).ok_or_else(|| FormatError::NoSuchArray {
            name: name.to_owned(),
            available: self.arrays().map(|member| member.array_name().to_owned()).collect(),
        })
    }

    fn full(&self, name: &str) -> Option<&Member> {
        let found = self.by_name.binary_search_by(|&at| self.members[at].name().cmp(name)).ok()?;
        self.members.get(*self.by_name.get(found)?)
    }
}

/// The order of the members by their names, each of which must be there once.
fn by_name(members: &[Member]) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&at| members[at].name());
    match order.windows(2).find(|pair| members[pair[0]].name() == members[pair[1]].name()) {
        Some(twice) => Err(FormatError::DuplicateMember.in_member(members[twice[0]].name())),
        None => Ok(order),
    }
}

fn entries(bytes: &Bytes, place: &Place) -> Result<Vec<Member>> {
    let damaged = |left: usize| FormatError::Archive {
        offset: place.range.end - left as u64,
        found: format!("{left} bytes"),
        expected: "a directory with as many entries as it announces",
    };
    if place.entries > bytes.len() as u64 / ENTRY_LEN {
        return Err(damaged(bytes.len()));
    }
    let mut members: Vec<Member> = Vec::with_capacity(place.entries as usize);
    let mut rest = Fields(bytes);
    for _ in 0..place.entries {
        let left = rest.0.len();
        members.push(entry(&mut rest, bytes).ok_or_else(|| damaged(left))?);
    }
    if rest.0.is_empty() { Ok(members) } else { Err(damaged(rest.0.len())) }
}

/// The next entry of the directory that `whole` holds.
fn entry(fields: &mut Fields<'_>, whole: &Bytes) -> Option<Member> {
    if fields.take(4)? != ENTRY {
        return None;
    }
    let (_versions, flags, method) = (fields.u32()?, fields.u16()?, fields.u16()?);
    let (_modified, crc32) = (fields.u32()?, fields.u32()?);
    let (stored, size) = (fields.u32()?, fields.u32()?);
    let lens = [fields.u16()?, fields.u16()?, fields.u16()?];
    let (disk, _attributes, offset) = (fields.u16()?, fields.take(6)?, fields.u32()?);
    let raw = fields.take(lens[0].into())?;
    let extra = fields.take(lens[1].into())?;
    fields.take(lens[2].into())?;
    let mut wide = zip64(extra);
    // Only what did not fit stands in the ZIP64 field. Without such a field the number is meant as it stands.
    let mut number = |narrow: u32| match &mut wide {
        Some(wide) if narrow == u32::MAX => wide.u64(),
        _ => Some(narrow.into()),
    };
    let (len, stored_len, offset) = (number(size)?, number(stored)?, number(offset)?);
    if disk != 0 && disk != u16::MAX {
        return None;
    }
    Some(Member {
        name: name::decode(raw, flags & UTF8 != 0)?,
        raw_name: whole.slice_ref(raw),
        flags,
        method,
        crc32,
        stored_len,
        len,
        extent: offset..offset,
    })
}

/// Gives each member all bytes up to the next one: members lie one behind the other from the first byte of the archive
/// to its directory, so that none can hide and no two can share bytes.
fn apart(mut members: Vec<Member>, directory: u64) -> Result<Vec<Member>> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&at| members[at].extent.start);
    let mut end = directory;
    for &at in order.iter().rev() {
        let member = &mut members[at];
        member.extent.end = end;
        let least = member.raw_name.len() as u64 + LOCAL_LEN;
        let needed = member.stored_len.saturating_add(least);
        if member.extent.start.checked_add(needed).is_none_or(|needed| needed > end) {
            let error = FormatError::OutOfBounds { offset: member.extent.start, len: needed, limit: end };
            return Err(error.in_member(&member.name));
        }
        end = member.extent.start;
    }
    if end != 0 {
        let found = format!("the first member, or the directory of none, only at byte {end}");
        return Err(FormatError::Archive { offset: 0, found, expected: "a member known to the directory" });
    }
    Ok(members)
}
