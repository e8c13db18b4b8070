//! Why a command ends, and the exit code that says so.

use std::io;

use s3dlio_checkpoint::CheckpointError;
use s3dlio_records::RecordError;
use s3dlio_store::StoreError;

/// Exit codes; they are part of the interface.
pub mod code {
    /// All was done.
    pub const OK: i32 = 0;
    /// A store or the system failed, or refused for another reason than those below.
    pub const FAILURE: i32 = 1;
    /// The command line, a URI or a setting is wrong.
    pub const USAGE: i32 = 2;
    /// An object, bucket, path or match is not there.
    pub const NOT_FOUND: i32 = 3;
    /// Credentials are missing, wrong or not enough.
    pub const PERMISSION: i32 = 4;
    /// No answer within the configured time.
    pub const TIMEOUT: i32 = 5;
    /// Ctrl-C: 128 and the number of the signal.
    pub const INTERRUPTED: i32 = 130;
    /// Whoever read standard output has gone away: 128 and the number of the signal that other programs die of.
    pub const CLOSED: i32 = 141;
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// A storage operation failed.
    Store(StoreError),
    /// A record file is damaged, or cannot be used as was asked.
    Record(RecordError),
    /// A checkpoint is damaged or incomplete, or has not what was asked for.
    Checkpoint(CheckpointError),
    /// The command refuses to do what it was told.
    Refused(String),
    /// Standard output cannot be written.
    Output(io::Error),
    /// The user interrupted.
    Interrupted,
    /// What went wrong is reported already; the code that is left to return.
    Reported(i32),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> i32 {
        match self {
            Self::Store(error) => match error {
                StoreError::InvalidUri { .. } | StoreError::Config { .. } => code::USAGE,
                StoreError::NotFound { .. } => code::NOT_FOUND,
                StoreError::PermissionDenied { .. } => code::PERMISSION,
                StoreError::Timeout { .. } => code::TIMEOUT,
                _ => code::FAILURE,
            },
            Self::Record(RecordError::Config { .. } | RecordError::Options(_)) => code::USAGE,
            Self::Checkpoint(CheckpointError::Invalid { .. }) => code::USAGE,
            Self::Record(_) | Self::Checkpoint(_) | Self::Refused(_) => code::FAILURE,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => code::CLOSED,
            Self::Output(_) => code::FAILURE,
            Self::Interrupted => code::INTERRUPTED,
            Self::Reported(code) => *code,
        }
    }

    /// What is said on standard error, if anything.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Store(error) => Some(error.to_string()),
            Self::Record(error) => Some(error.to_string()),
            Self::Checkpoint(error) => Some(error.to_string()),
            Self::Refused(text) => Some(text.clone()),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(error) => Some(format!("standard output: {error}")),
            Self::Interrupted => Some("interrupted".into()),
            Self::Reported(_) => None,
        }
    }

    /// Whether the command goes on with its next argument.
    pub fn is_of_one_argument(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Record(_) | Self::Checkpoint(_) | Self::Refused(_))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => Self::Store(error),
            error => Self::Record(error),
        }
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Store(error) => Self::Store(error),
            error => Self::Checkpoint(error),
        }
    }
}
