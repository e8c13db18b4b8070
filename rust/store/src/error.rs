//! Why a storage operation failed; every variant names the URI.

use std::error::Error as StdError;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a storage operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The text is not a URI that this library reads.
    #[error("invalid URI {uri:?}: {reason}")]
    InvalidUri {
        /// The text as given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting has a value outside its range.
    #[error("option `{option}`: found {found}, expected {expected}")]
    Config {
        /// The option or environment variable.
        option: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// No such object, bucket or file.
    #[error("{uri}: not found ({detail})")]
    NotFound {
        /// The object.
        uri: String,
        /// What the store said.
        detail: String,
    },
    /// The object exists and was not to be replaced.
    #[error("{uri}: already exists ({detail})")]
    AlreadyExists {
        /// The object.
        uri: String,
        /// What the store said.
        detail: String,
    },
    /// The object is not in the state that the operation asks for.
    #[error("{uri}: precondition failed ({detail})")]
    Precondition {
        /// The object.
        uri: String,
        /// What the store said.
        detail: String,
    },
    /// The credentials are missing, wrong, or not enough.
    #[error("{uri}: permission denied ({detail})")]
    PermissionDenied {
        /// The object.
        uri: String,
        /// What the store said.
        detail: String,
    },
    /// No answer within the configured time.
    #[error("{uri}: timed out ({detail})")]
    Timeout {
        /// The object.
        uri: String,
        /// What was waited for.
        detail: String,
    },
    /// The operation does not exist for this scheme or object.
    #[error("{uri}: unsupported ({detail})")]
    Unsupported {
        /// The object.
        uri: String,
        /// What is not supported.
        detail: String,
    },
    /// The body was shorter or longer than announced.
    #[error("{uri}: body of {found} bytes, expected {expected}")]
    Length {
        /// The object.
        uri: String,
        /// Bytes received.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The content is damaged, cut short, or not of the expected format.
    #[error("{uri}: corrupt data ({detail})")]
    Corrupt {
        /// The object.
        uri: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The value belongs to the parent of this process.
    #[error("{uri}: {detail}")]
    Forked {
        /// The object.
        uri: String,
        /// What was inherited and what to do instead.
        detail: String,
    },
    /// Any other failure of the store or the operating system.
    #[error("{uri}: {detail}")]
    Store {
        /// The object.
        uri: String,
        /// The chain of causes.
        detail: String,
    },
}

impl StoreError {
    /// The URI that the error is about; empty for a bad setting.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::Config { .. } => "",
            Self::InvalidUri { uri, .. }
            | Self::NotFound { uri, .. }
            | Self::AlreadyExists { uri, .. }
            | Self::Precondition { uri, .. }
            | Self::PermissionDenied { uri, .. }
            | Self::Timeout { uri, .. }
            | Self::Unsupported { uri, .. }
            | Self::Length { uri, .. }
            | Self::Corrupt { uri, .. }
            | Self::Forked { uri, .. }
            | Self::Store { uri, .. } => uri,
        }
    }

    /// An operating-system error about `uri`.
    #[must_use]
    pub fn io(uri: impl Into<String>, source: &io::Error) -> Self {
        let (uri, detail) = (uri.into(), source.to_string());
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound { uri, detail },
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { uri, detail },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { uri, detail },
            io::ErrorKind::TimedOut => Self::Timeout { uri, detail },
            _ => Self::Store { uri, detail },
        }
    }

    /// An error of an `object_store` client about `uri`.
    #[must_use]
    pub fn object(uri: impl Into<String>, source: object_store::Error) -> Self {
        use object_store::Error as E;
        let uri = uri.into();
        let detail = chain(&source);
        match source {
            E::NotFound { .. } => Self::NotFound { uri, detail },
            E::AlreadyExists { .. } => Self::AlreadyExists { uri, detail },
            E::Precondition { .. } | E::NotModified { .. } => Self::Precondition { uri, detail },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::PermissionDenied { uri, detail },
            E::NotSupported { .. } | E::NotImplemented { .. } => Self::Unsupported { uri, detail },
            E::InvalidPath { .. } => Self::InvalidUri { uri, reason: detail },
            other if timed_out(&other) => Self::Timeout { uri, detail },
            // For a listing the client keeps the status in a type of its own, which only its text shows.
            _ if detail.contains("non-2xx status code: 404") => Self::NotFound { uri, detail },
            _ if ["401", "403"].iter().any(|status| detail.contains(&format!("non-2xx status code: {status}"))) => {
                Self::PermissionDenied { uri, detail }
            }
            _ => Self::Store { uri, detail },
        }
    }
}

impl From<s3dlio_runtime::executor::StartError> for StoreError {
    fn from(source: s3dlio_runtime::executor::StartError) -> Self {
        Self::Store { uri: String::new(), detail: source.to_string() }
    }
}

/// The texts of an error and its causes; a cause that its parent already quotes is left out.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = cause.source();
    }
    text
}

fn timed_out(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let http = cause.downcast_ref::<HttpError>().map(HttpError::kind);
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if http == Some(HttpErrorKind::Timeout) || io == Some(io::ErrorKind::TimedOut) {
            return true;
        }
        next = cause.source();
    }
    false
}
