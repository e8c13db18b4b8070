//! What can be wrong with an ArrayRecord file, and with options.

use crate::riegeli::RiegeliError;

/// Why an ArrayRecord file could not be opened, or one of its chunks not be read.
///
/// Positions and sizes are in bytes, positions count from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayRecordError {
    /// The file is too small to end in a postscript.
    #[error("not an ArrayRecord file: it has {size} bytes, expected at least 131072")]
    TooSmall {
        /// Bytes of the file.
        size: u64,
    },
    /// There is no sound postscript 64 KiB before the end.
    #[error("not an ArrayRecord file, or one that was cut or never closed: no postscript at byte {begin}: {detail}")]
    Postscript {
        /// Where it would begin.
        begin: u64,
        /// What is there instead.
        detail: String,
    },
    /// The postscript points to where no index can be.
    #[error("the postscript says that the index begins at byte {found}, expected 64 to {limit}, at a chunk boundary")]
    IndexPlace {
        /// The position it names.
        found: u64,
        /// The first position behind the possible ones.
        limit: u64,
    },
    /// The index chunk is not what it should be.
    #[error("the index at byte {begin}: {detail}")]
    Index {
        /// Where the index begins.
        begin: u64,
        /// What was found, and what was expected.
        detail: String,
    },
    /// An entry of the index is wrong.
    #[error("entry {entry} of the index at byte {begin}: {detail}")]
    Entry {
        /// Where the index begins.
        begin: u64,
        /// Number of the entry, from 0.
        entry: u64,
        /// What was found, and what was expected.
        detail: String,
    },
    /// A chunk is not what the index says of it.
    #[error("the chunk at byte {begin}: {part}: found {found}, expected {expected}, which the index says")]
    Mismatch {
        /// Where the chunk begins.
        begin: u64,
        /// What they disagree on.
        part: &'static str,
        /// What the chunk says.
        found: u64,
        /// What the index says.
        expected: u64,
    },
    /// More chunks, records or bytes than a file can hold.
    #[error("the file would be larger than any file can be")]
    TooLarge,
    /// A chunk is damaged.
    #[error(transparent)]
    Riegeli(#[from] RiegeliError),
}

impl ArrayRecordError {
    /// Where in the file, as far as it is known.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Postscript { begin, .. }
            | Self::Index { begin, .. }
            | Self::Entry { begin, .. }
            | Self::Mismatch { begin, .. } => Some(*begin),
            Self::IndexPlace { limit, .. } => Some(*limit),
            Self::Riegeli(error) => error.offset(),
            Self::TooSmall { .. } | Self::TooLarge => None,
        }
    }
}

/// An option that does not exist, is given twice, or has a value outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option `{option}`: found {found}, expected {expected}")]
pub struct OptionError {
    /// The option, as the text spells it.
    pub option: String,
    /// Its value, or what else is wrong.
    pub found: String,
    /// What it may be.
    pub expected: String,
}
