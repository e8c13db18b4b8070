//! Where records come from.

mod objects;
mod table;

pub use objects::{ObjectSource, Selection};
pub use table::ObjectTable;

use std::fmt::Debug;

use bytes::Bytes;
use s3dlio_runtime::executor::BoxFuture;
use s3dlio_store::StoreError;
use s3dlio_store::local::Mode;

/// How a record is read: the pipeline sends each kind to other threads.
pub enum Access {
    /// From a local file; many are read in one job of the reading pool.
    File(String, Mode),
    /// From a network store, as a task of the network runtime.
    Network(BoxFuture<Result<Bytes, StoreError>>),
}

impl Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "File({path})"),
            Self::Network(_) => f.write_str("Network"),
        }
    }
}

/// Records that can be read by index, in any order: the map style of data sets.
pub trait RecordSource: Send + Sync + Debug {
    /// Number of records.
    fn len(&self) -> u64;

    /// Whether there is no record.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identifies the data set: saved with a loader's state, which another data set then refuses. Hexadecimal.
    fn fingerprint(&self) -> &str;

    /// What a message calls the record: its URI.
    fn name(&self, index: u64) -> String;

    /// Bytes that reading the record brings into memory, where they are known beforehand.
    fn bytes(&self, index: u64) -> Option<u64>;

    /// Opens the source's stores under the present environment; call it on the thread that begins an iteration.
    ///
    /// # Errors
    /// Settings or URIs that cannot work.
    fn reader(&self) -> Result<Box<dyn RecordReader>, StoreError>;
}

/// A source with its stores open, for the threads of one iteration.
pub trait RecordReader: Send + Sync {
    /// Prepares the reading of a record.
    ///
    /// # Errors
    /// An index behind the end.
    fn access(&self, index: u64) -> Result<Access, StoreError>;
}
