//! Why a record file could not be read or written.

use std::fmt;

use s3dlio_formats::FormatError;
use s3dlio_formats::array_record::OptionError;
use s3dlio_store::{StoreError, Uri};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, RecordError>;

/// Why a record file could not be read or written.
///
/// Work that can end in one of these has the type `Work<Result<T>>`: the outer error is the store's, this one is the
/// format's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes are not what the format asks for.
    #[error("{uri}: {place}{source}")]
    Format {
        /// The object.
        uri: String,
        /// Where in the object.
        place: Place,
        /// What was found, and what was expected.
        source: FormatError,
    },
    /// A text of options is wrong.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// An option has a value outside its range.
    #[error("option `{option}`: found {found}, expected {expected}")]
    Config {
        /// The option, as users spell it.
        option: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// An index behind the last record.
    #[error("{uri}: record {index} was asked for, expected one below {length}")]
    OutOfRange {
        /// The object.
        uri: String,
        /// The index that was given.
        index: u64,
        /// Number of records.
        length: u64,
    },
    /// The reader or writer was closed.
    #[error("{uri}: {detail}")]
    Closed {
        /// The object.
        uri: String,
        /// What is closed.
        detail: String,
    },
}

/// Where in an object: a byte offset, a record, both, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Bytes from the beginning of the object.
    pub offset: Option<u64>,
    /// Number of the record, from 0.
    pub record: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.record, self.offset) {
            (Some(record), Some(offset)) => write!(f, "record {record} at byte {offset}: "),
            (Some(record), None) => write!(f, "record {record}: "),
            (None, Some(offset)) => write!(f, "at byte {offset}: "),
            (None, None) => Ok(()),
        }
    }
}

impl RecordError {
    /// An option out of range.
    pub fn config(option: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Config { option: option.into(), found: found.into(), expected: expected.into() }
    }

    /// Bytes that a format refuses; `place` says where they are, as far as it is known.
    pub fn format(uri: &Uri, place: Place, source: impl Into<FormatError>) -> Self {
        Self::Format { uri: uri.to_string(), place, source: source.into() }
    }

    /// The object that the error is about; empty for an option.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::Store(error) => error.uri(),
            Self::Format { uri, .. } | Self::OutOfRange { uri, .. } | Self::Closed { uri, .. } => uri,
            Self::Config { .. } | Self::Options(_) => "",
        }
    }

    /// Where in the object the error is, as far as it is known.
    #[must_use]
    pub fn place(&self) -> Place {
        match self {
            Self::Format { place, .. } => *place,
            Self::OutOfRange { index, .. } => Place { offset: None, record: Some(*index) },
            Self::Store(_) | Self::Config { .. } | Self::Options(_) | Self::Closed { .. } => Place::default(),
        }
    }
}
