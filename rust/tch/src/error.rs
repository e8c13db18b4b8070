//! What can go wrong between a store and a tensor.

use s3dlio_checkpoint::CheckpointError;
use s3dlio_loader::LoaderError;
use s3dlio_store::StoreError;
use tch::TchError;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, TrainError>;

/// Why a batch, or a checkpoint, could not be had as tensors.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loader could not read, decode or assemble a batch, or its options contradict each other.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Values do not fit together: other shapes, types of elements that libtorch has not, names that are not there.
    #[error("{name}: found {found}, expected {expected}")]
    Mismatch {
        /// The tensor or field.
        name: String,
        /// What it is.
        found: String,
        /// What it would have to be.
        expected: String,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

impl From<StoreError> for TrainError {
    fn from(error: StoreError) -> Self {
        Self::Checkpoint(error.into())
    }
}

pub(crate) fn mismatch(name: &str, found: impl ToString, expected: impl Into<String>) -> TrainError {
    TrainError::Mismatch { name: name.to_owned(), found: found.to_string(), expected: expected.into() }
}
