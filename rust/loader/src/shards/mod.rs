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
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use s3dlio_store::{StoreError, Uri, Work};
use serde::{Deserialize, Serialize};

use crate::error::{LoaderError, Result};
use crate::source::Digest;

/// A place between two records of a shard. What the numbers mean is the shard's own affair; both are 0 at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place(pub u64, pub u64);

/// Records in order, each with the place behind it.
pub type Run = Vec<(Bytes, Place)>;

/// Files, each a shard.
#[derive(Debug)]
pub struct Files {
    uris: Vec<Uri>,
    fingerprint: String,
}

impl Files {
    /// Files in order.
    #[must_use]
    pub fn new(uris: Vec<Uri>) -> Self {
        let mut digest = Digest::new(uris.iter().map(|uri| uri.key.as_str()));
        uris.iter().for_each(|uri| digest.add(&uri.key, &[]));
        Self { fingerprint: digest.finish(), uris }
    }

    /// The file of a shard.
    ///
    /// # Errors
    /// [`LoaderError::System`] for a number behind the end.
    pub fn get(&self, shard: u64) -> Result<&Uri> {
        let uri = usize::try_from(shard).ok().and_then(|shard| self.uris.get(shard));
        uri.ok_or_else(|| LoaderError::System(format!("no shard {shard}")))
    }
}

/// Shards of records.
pub trait RecordShards: Send + Sync + Debug {
    /// The files.
    fn files(&self) -> &Files;

    /// Opens a shard at a place, on the thread that owns the environment.
    ///
    /// # Errors
    /// Settings that cannot work.
    fn open(&self, shard: u64, at: Place) -> Result<Box<dyn ShardReader>>;

    /// Number of shards.
    fn len(&self) -> u64 {
        self.files().uris.len() as u64
    }

    /// Whether there is no shard.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identifies the data set, as that of a source does: by the names of the shards.
    fn fingerprint(&self) -> &str {
        &self.files().fingerprint
    }

    /// What a message calls the shard: its URI.
    fn name(&self, shard: u64) -> String {
        self.files().get(shard).map_or_else(|_| format!("shard {shard}"), Uri::to_string)
    }
}

/// A shard that is being read.
pub trait ShardReader: Send {
    /// The next records; none at the end of the shard. One call at a time.
    ///
    /// # Errors
    /// From the work: damage, after all records before it, and what the store says.
    fn next(&mut self) -> Result<Work<Result<Run>>>;
}

/// What reads a file, opened by the first read.
struct Opened<T> {
    opening: Option<Work<T>>,
    open: Arc<Mutex<Option<T>>>,
}

impl<T: Clone + Send + 'static> Opened<T> {
    fn new(opening: Work<T>) -> Self {
        Self { opening: Some(opening), open: Arc::default() }
    }

    /// Reads on.
    fn read<F>(&mut self, next: impl FnOnce(T) -> F + Send + 'static) -> Work<Result<Run>>
    where
        F: Future<Output = s3dlio_store::Result<Result<Run>>> + Send + 'static,
    {
        let (opening, open) = (self.opening.take(), Arc::clone(&self.open));
        Work::network(async move {
            let lock = || open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(opening) = opening {
                let opened = opening.into_future().await?;
                *lock() = Some(opened);
            }
            let Some(opened) = lock().clone() else {
                let detail = "opening the shard failed before".into();
                return Err(StoreError::Store { uri: String::new(), detail });
            };
            next(opened).await
        })
    }
}
