//! Records that can only be read in order: the iterable style of data sets.
//!
//! A data set is a number of shards, which are dealt out to ranks and workers whole. There is no cheap length, so that two
//! ranks may give different numbers of batches; where that matters, take a [`RecordSource`](crate::source::RecordSource).

mod disky;
mod iterate;
mod loader;
mod state;
mod tfrecord;

pub use disky::DiskyShards;
pub use iterate::{NextRecords, ShardIter};
pub use loader::{ShardLoader, ShardOptions};
pub use state::ShardState;
pub use tfrecord::TfRecordShards;

use std::fmt::Debug;

use bytes::Bytes;
use s3dlio_store::Work;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// A place between two records of a shard. What the numbers mean is the shard's own affair; both are 0 at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place(pub u64, pub u64);

/// Records in order, each with the place behind it.
pub type Run = Vec<(Bytes, Place)>;

/// Shards of records.
pub trait RecordShards: Send + Sync + Debug {
    /// Number of shards.
    fn len(&self) -> u64;

    /// Whether there is no shard.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identifies the data set, as that of a source does: by the names of the shards.
    fn fingerprint(&self) -> &str;

    /// What a message calls the shard: its URI.
    fn name(&self, shard: u64) -> String;

    /// Opens a shard at a place, on the thread that owns the environment.
    ///
    /// # Errors
    /// Settings that cannot work.
    fn open(&self, shard: u64, at: Place) -> Result<Box<dyn ShardReader>>;
}

/// A shard that is being read.
pub trait ShardReader: Send {
    /// The next records; none at the end of the shard. One call at a time.
    ///
    /// # Errors
    /// From the work: damage, after all records before it, and what the store says.
    fn next(&mut self) -> Result<Work<Result<Run>>>;
}

/// The shards' names as one digest.
fn fingerprint(uris: &[s3dlio_store::Uri]) -> String {
    let mut digest = crate::source::Digest::new(uris.iter().map(|uri| uri.key.as_str()));
    uris.iter().for_each(|uri| digest.add(&uri.key, &[]));
    digest.finish()
}
