//! Why a checkpoint could not be written or read.

use s3dlio_store::StoreError;

use crate::format::FormatError;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, CheckpointError>;

/// Why a checkpoint could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    /// The store failed, or the bytes are damaged ([`StoreError::Corrupt`]).
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Parts of the checkpoint are not there, or do not belong together.
    #[error("{uri}: incomplete checkpoint ({detail})")]
    Incomplete {
        /// The checkpoint.
        uri: String,
        /// What is missing.
        detail: String,
    },
    /// Another save has committed this step.
    #[error("{uri}: the checkpoint exists ({detail})")]
    Exists {
        /// The checkpoint.
        uri: String,
        /// Which one, and how to replace it.
        detail: String,
    },
    /// The request makes no sense for this checkpoint.
    #[error("{uri}: {detail}")]
    Invalid {
        /// The checkpoint.
        uri: String,
        /// What was found, and what was expected.
        detail: String,
    },
}

impl CheckpointError {
    /// Damaged bytes of an object.
    pub(crate) fn corrupt(uri: impl ToString, detail: impl Into<String>) -> Self {
        Self::Store(StoreError::Corrupt { uri: uri.to_string(), detail: detail.into() })
    }

    pub(crate) fn invalid(uri: impl ToString, detail: impl Into<String>) -> Self {
        Self::Invalid { uri: uri.to_string(), detail: detail.into() }
    }

    pub(crate) fn incomplete(uri: impl ToString, detail: impl Into<String>) -> Self {
        Self::Incomplete { uri: uri.to_string(), detail: detail.into() }
    }

    /// The object or directory that the error is about.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::Store(error) => error.uri(),
            Self::Incomplete { uri, .. } | Self::Exists { uri, .. } | Self::Invalid { uri, .. } => uri,
        }
    }
}

impl FormatError {
    pub(crate) fn at(self, uri: impl ToString) -> CheckpointError {
        CheckpointError::corrupt(uri, self.0)
    }
}
