//! The names of the objects of a data set: kept in a table, or made of a template.

use super::{ObjectTable, Template};
use crate::error::{LoaderError, Result};

/// First bytes of a packed template; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"S3DLTPL1";

/// The objects of a data set, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Each with its name.
    Table(ObjectTable),
    /// Counted up.
    Template(Template),
}

impl From<ObjectTable> for Names {
    fn from(mut table: ObjectTable) -> Self {
        table.shrink();
        Self::Table(table)
    }
}

impl From<Template> for Names {
    fn from(template: Template) -> Self {
        Self::Template(template)
    }
}

impl Names {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Table(table) => table.len() as u64,
            Self::Template(template) => template.len(),
        }
    }

    /// The distinct texts before the keys.
    pub(super) fn roots(&self) -> Vec<&str> {
        match self {
            Self::Table(table) => table.roots().iter().map(String::as_str).collect(),
            Self::Template(template) => vec![template.root()],
        }
    }

    /// Number of the root, and key; `None` behind the end.
    pub(super) fn place(&self, index: u64) -> Option<(usize, String)> {
        match self {
            Self::Table(table) => table.place(usize::try_from(index).ok()?),
            Self::Template(template) => Some((0, template.key(index)?)),
        }
    }

    pub(super) fn size(&self, index: u64) -> Option<u64> {
        match self {
            Self::Table(table) => table.size(usize::try_from(index).ok()?),
            Self::Template(template) => template.size(),
        }
    }

    pub(super) fn fingerprint(&self) -> String {
        match self {
            Self::Table(table) => table.fingerprint(),
            Self::Template(template) => template.fingerprint().to_owned(),
        }
    }

    /// Bytes of memory that names and sizes take.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Table(table) => table.memory(),
            Self::Template(_) => size_of::<Template>(),
        }
    }

    /// The names as bytes, for another process; [`Names::unpack`] reads it.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        match self {
            Self::Table(table) => table.pack(),
            Self::Template(template) => {
                let (text, start, count, size) = template.parts();
                let mut out = MAGIC.to_vec();
                for number in [start, count, size.unwrap_or(u64::MAX)] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(text.as_bytes());
                out
            }
        }
    }

    /// Reads what [`Names::pack`] wrote.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`] for anything else.
    pub fn unpack(bytes: &[u8]) -> Result<Self> {
        match bytes.strip_prefix(MAGIC) {
            None => ObjectTable::unpack(bytes).map(Self::from),
            Some(rest) => {
                let bad = || LoaderError::StateInvalid(format!("not a packed template: {} bytes", bytes.len()));
                let (numbers, text) = rest.split_at_checked(24).ok_or_else(bad)?;
                let number =
                    |at: usize| numbers[at..at + 8].iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte));
                let size = Some(number(16)).filter(|&size| size != u64::MAX);
                let text = std::str::from_utf8(text).map_err(|_| bad())?;
                Template::parse(text, number(0), number(8), size).map(Self::Template)
            }
        }
    }
}
