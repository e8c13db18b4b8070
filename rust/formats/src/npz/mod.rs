//! NPZ: a ZIP archive of NPY arrays, as `numpy.savez` and `numpy.savez_compressed` write it.
//!
//! `numpy.savez` stores its members as they are, so that an array is a slice of the archive. A deflated member is
//! inflated into one buffer of exactly its size. Either way the CRC-32 of all its bytes is checked.
//!
//! What the directory at the end of an archive says is checked against the header in front of each member that is read,
//! and members may neither overlap nor hide from the directory. Since they do not overlap, and deflate makes at most 1032
//! bytes of one, reading all arrays never takes more than 1032 times the memory of the input, whatever the archive
//! claims.
//!
//! [`Npz`] reads an archive that is in memory as a whole, [`Directory`] one of which only parts are, and [`Encoder`]
//! writes one.

mod check;
mod directory;
mod encode;
mod end;
mod fields;
mod inflate;
mod member;
mod name;

use bytes::Bytes;

pub use check::Check;
pub use directory::{Directory, Progress};
pub use encode::{Encoder, Method, deflate};
pub use member::Member;

use crate::error::{FormatError, Result};
use crate::npy::Array;

/// Bounds on what one archive may make this process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that one deflated member may inflate to; 16 GiB by default. Stored members take no memory and are not
    /// bounded.
    pub max_member_bytes: u64,
    /// Most bytes of the directory; 256 MiB by default, which is some three million members. In memory
    /// they take up to five times that.
    pub max_directory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_member_bytes: 16 << 30, max_directory_bytes: 256 << 20 }
    }
}

/// An open archive: the directory is read and checked, the arrays are not.
///
/// Only members whose name ends in `.npy` are arrays. For any other member numpy hands out its raw bytes; here it takes
/// part in the checks of the layout and is otherwise left alone, unless it is read by its full name.
///
/// A name that occurs twice is an error: `numpy.savez` cannot write it, and readers differ on which of the two they see.
#[derive(Debug, Clone)]
pub struct Npz {
    directory: Directory,
    input: Bytes,
    limits: Limits,
}

impl Npz {
    /// Reads the directory of `input`, the bytes of a whole archive, and checks the headers of all members.
    ///
    /// # Errors
    ///
    /// As [`Directory::read`]; [`FormatError::Member`] where the header of a member contradicts the directory.
    pub fn open(input: &Bytes, limits: Limits) -> Result<Self> {
        let directory = match Directory::read(input, input.len() as u64, &limits)? {
            Progress::Ready(directory) => directory,
            Progress::NeedsFrom(offset) => {
                let found = "nothing".to_owned();
                return Err(FormatError::Archive { offset, found, expected: "a part of the archive's directory" });
            }
        };
        let archive = Self { directory, input: input.clone(), limits };
        archive.directory.members().iter().try_for_each(|member| member.check(&archive.extent(member)))?;
        Ok(archive)
    }

    /// The members and their places.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Names of the arrays, without the suffix `.npy`, in archive order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.directory.arrays().map(Member::array_name)
    }

    /// Bytes that [`read_all`](Self::read_all) allocates, if the directory is right: the inflated sizes of the deflated
    /// members. Zero for an archive written by `numpy.savez`.
    #[must_use]
    pub fn inflated_len(&self) -> u64 {
        let deflated = self.directory.arrays().filter(|member| member.is_compressed());
        deflated.fold(0, |total, member| total.saturating_add(member.len()))
    }

    /// Reads one array by its name, with or without the suffix `.npy`; see [`Directory::find`].
    ///
    /// # Errors
    ///
    /// [`FormatError::NoSuchArray`], or as [`Member::array`].
    pub fn read(&self, name: &str) -> Result<Array> {
        self.read_member(self.directory.find(name)?)
    }

    /// Reads the array that a member of this archive is.
    ///
    /// # Errors
    ///
    /// As [`Member::array`].
    pub fn read_member(&self, member: &Member) -> Result<Array> {
        member.array(&self.extent(member), &self.limits)
    }

    /// Reads every array, with its name, in archive order.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), for the first array that is wrong.
    pub fn read_all(&self) -> Result<Vec<(String, Array)>> {
        let named = |member: &Member| Ok((member.array_name().to_owned(), self.read_member(member)?));
        self.directory.arrays().map(named).collect()
    }

    /// The bytes of [`Member::range`]; cut, which its decoding notices, for a member of another archive.
    #[must_use]
    pub fn extent(&self, member: &Member) -> Bytes {
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(self.input.len());
        let range = member.range();
        self.input.slice(at(range.start)..at(range.end))
    }
}
