//! The errors of the loader.

use s3dlio_formats::error::FormatError;
use s3dlio_records::RecordError;
use s3dlio_store::StoreError;
use thiserror::Error;

/// The result of a loader operation.
pub type Result<T> = std::result::Result<T, LoaderError>;

/// What can go wrong in the loader.
#[derive(Debug, Clone, Error)]
pub enum LoaderError {
    /// An option has a value outside its range.
    #[error("option `{option}`: found {found}, expected {expected}")]
    Config {
        /// The option's name, as users spell it.
        option: &'static str,
        /// The value that was given.
        found: String,
        /// The values that are possible.
        expected: String,
    },

    /// A saved state belongs to another data set, order or layout than the loader's.
    #[error("the saved state does not fit this loader: {what}: saved {saved}, current {current}")]
    StateMismatch {
        /// What differs, and what would be possible where that is not plain.
        what: String,
        /// The saved value.
        saved: String,
        /// The loader's value.
        current: String,
    },

    /// A saved state cannot be read, or contradicts itself. The text says what was found and what was expected.
    #[error("invalid loader state: {0}")]
    StateInvalid(String),

    /// A record could not be fetched.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// A record of a record file could not be fetched, or its file is damaged there.
    #[error(transparent)]
    Record(RecordError),

    /// A record's content is not what the decoder expects.
    #[error("{uri}: record {index}: {detail}")]
    Decode {
        /// The record's URI.
        uri: String,
        /// Its index in the data set.
        index: u64,
        /// What was found and what was expected.
        detail: String,
        /// Whether the content is legal but not read here (pickled objects, encrypted archives).
        unsupported: bool,
    },

    /// Samples of one batch cannot be stacked.
    #[error("{uri}: field {field:?}: found {found}, expected {expected}; collate=\"list\" hands out unequal samples")]
    Shape {
        /// The first sample that does not fit.
        uri: String,
        /// The field; empty for samples of a single array.
        field: String,
        /// What the sample has.
        found: String,
        /// What the batch's first sample has.
        expected: String,
    },

    /// More records were bad than `max_errors` bears with.
    #[error("more than {limit} bad records (option `max_errors`), the last of which: {last}")]
    TooMany {
        /// The bound.
        limit: u64,
        /// Why the last record is bad.
        last: Box<LoaderError>,
    },

    /// No record that was tried in the place of a bad one is good.
    #[error("none of the {tries} records that were tried in the place of a bad one is good, the last of which: {last}")]
    NoReplacement {
        /// How many were tried.
        tries: u64,
        /// Why the last of them, or the record itself, is bad.
        last: Box<LoaderError>,
    },

    /// No batch came within the configured time.
    #[error("{uri}: no batch within {seconds} s (option `timeout_seconds`), waiting for the one that begins here")]
    Timeout {
        /// The first record of the batch.
        uri: String,
        /// The configured time.
        seconds: f64,
    },

    /// The iterator belongs to the parent of this process.
    #[error("{0}")]
    Forked(String),

    /// The operating system refused something, or a thread of the loader failed.
    #[error("{0}")]
    System(String),
}

impl From<RecordError> for LoaderError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => Self::Store(error),
            error => Self::Record(error),
        }
    }
}

impl LoaderError {
    /// An option out of range.
    pub fn config(option: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Config { option, found: found.into(), expected: expected.into() }
    }

    /// A record whose content the decoder refuses.
    #[must_use]
    pub fn decode(uri: String, index: u64, source: &FormatError) -> Self {
        Self::Decode { uri, index, detail: source.to_string(), unsupported: source.is_unsupported() }
    }

    /// Whether the error is about one record, which may be skipped, and not about the store as a whole.
    pub(crate) fn concerns_one_record(&self) -> bool {
        match self {
            Self::Decode { .. } => true,
            Self::Record(error) => matches!(error, RecordError::Format { .. } | RecordError::OutOfRange { .. }),
            Self::Store(error) => matches!(
                error,
                StoreError::NotFound { .. }
                    | StoreError::Length { .. }
                    | StoreError::Unsupported { .. }
                    | StoreError::Corrupt { .. }
            ),
            _ => false,
        }
    }
}
