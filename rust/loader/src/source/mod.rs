//! Where records come from.

mod array_record;
mod concat;
pub(crate) mod direct;
mod discover;
mod layout;
mod memory;
mod names;
mod npz;
mod objects;
mod packing;
mod parquet;
mod table;
mod template;
mod tfrecord;
mod view;

pub use array_record::{ArrayRecordSource, Part};
pub use concat::ConcatSource;
pub use direct::read;
pub use discover::{Named, Selection, discover};
pub use layout::Layout;
pub use memory::MemorySource;
pub use names::Names;
pub use npz::NpzSource;
pub use objects::ObjectSource;
pub(crate) use packing::Digest;
pub use packing::unpack;
pub use parquet::{ParquetSource, RowGroups};
pub use table::ObjectTable;
pub use template::Template;
pub use tfrecord::TfRecordSource;
pub use view::View;

use std::fmt::Debug;

use bytes::Bytes;
use s3dlio_formats::npy::Array;
use s3dlio_runtime::executor::BoxFuture;
use s3dlio_store::local::Mode;
use s3dlio_store::{StoreError, Work};

use crate::decode::Decoder;
use crate::error::Result;

/// How a record is read: the pipeline sends each kind to other threads.
pub enum Access {
    /// From a local file; many are read in one job of the reading pool.
    File(String, Mode),
    /// From a network store, as a task of the network runtime.
    Network(BoxFuture<s3dlio_store::Result<Bytes>>),
    /// Together with others, by [`RecordReader::read`].
    Together,
}

impl Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "File({path})"),
            Self::Network(_) => f.write_str("Network"),
            Self::Together => f.write_str("Together"),
        }
    }
}

/// What a source has of a record before a [`Decoder`] looks at it.
#[derive(Debug, Clone)]
pub enum Record {
    /// Its bytes.
    Bytes(Bytes),
    /// An array that the source itself has decoded, as a member of an archive.
    Array(Array),
}

impl Record {
    /// Bytes that the record holds in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Array(array) => array.data.len() as u64,
        }
    }
}

/// Records that are being read: the outer error is the store's, the inner one that of a record.
pub type Reading = Work<Result<Vec<Record>>>;

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

    /// Which records lie together; `None` where each is an object of its own.
    fn layout(&self) -> Option<&Layout> {
        None
    }

    /// The decoder that the records need, where only one will do.
    fn decoder(&self) -> Option<Decoder> {
        None
    }

    /// The parts that are drawn from by weight, where the source is a mixture: records and weight of each, in their order.
    fn mixture(&self) -> Option<&[(u64, u64)]> {
        None
    }

    /// The source as bytes for another process, which [`unpack`] reads; `None` where the parts have to be sent.
    fn pack(&self) -> Option<Vec<u8>> {
        None
    }

    /// Reads whole objects at once, `in_flight` at a time; `None` where the records are something else.
    fn objects(&self, _indices: &[u64], _in_flight: usize) -> Option<Result<Work<Vec<Bytes>>>> {
        None
    }

    /// Opens the source's stores under the present environment; call it on the thread that begins an iteration.
    ///
    /// # Errors
    /// Settings or URIs that cannot work.
    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>>;
}

/// A source with its stores open, for the threads of one iteration.
pub trait RecordReader: Send + Sync {
    /// Prepares the reading of a record.
    ///
    /// # Errors
    /// An index behind the end.
    fn access(&self, index: u64) -> s3dlio_store::Result<Access>;

    /// Reads records whose access is [`Access::Together`], in their order, with as few requests as are needed; on any
    /// thread. The first failure ends the whole call.
    ///
    /// # Errors
    /// An index behind the end, or one of a record that is read alone.
    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let detail = format!("records {indices:?} are read one by one");
        Err(StoreError::Unsupported { uri: String::new(), detail }.into())
    }
}
