//! Disky files in order.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use s3dlio_formats::riegeli::Records;
use s3dlio_records::disky::{self, Next, OnDamage};
use s3dlio_store::{StoreError, Uri, Work};

use super::{Place, RecordShards, Run, ShardReader, fingerprint};
use crate::error::{LoaderError, Result};

/// Disky files, each a shard. The numbers of a place are the byte at which its chunk begins, and the records of the chunk
/// before it.
#[derive(Debug)]
pub struct DiskyShards {
    files: Vec<Uri>,
    fingerprint: String,
}

impl DiskyShards {
    /// Files in order.
    #[must_use]
    pub fn new(files: Vec<Uri>) -> Self {
        Self { fingerprint: fingerprint(&files), files }
    }
}

impl RecordShards for DiskyShards {
    fn len(&self) -> u64 {
        self.files.len() as u64
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn name(&self, shard: u64) -> String {
        self.files.get(shard as usize).map_or_else(|| format!("shard {shard}"), Uri::to_string)
    }

    fn open(&self, shard: u64, at: Place) -> Result<Box<dyn ShardReader>> {
        let uri = self.files.get(shard as usize).ok_or_else(|| LoaderError::System(format!("no shard {shard}")))?;
        let place = disky::Place { chunk: at.0, index: at.1 };
        let opening = disky::Reader::open(uri, place, OnDamage::Stop)?;
        Ok(Box::new(Reader { opening: Some(opening), open: Arc::default() }))
    }
}

struct Reader {
    opening: Option<Work<disky::Reader>>,
    open: Arc<Mutex<Option<disky::Reader>>>,
}

impl ShardReader for Reader {
    fn next(&mut self) -> Result<Work<Result<Run>>> {
        let (opening, open) = (self.opening.take(), Arc::clone(&self.open));
        Ok(Work::network(async move {
            let lock = || open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(opening) = opening {
                let reader = opening.into_future().await?;
                *lock() = Some(reader);
            }
            let Some(reader) = lock().clone() else {
                let detail = "opening the shard failed before".into();
                return Err(StoreError::Store { uri: String::new(), detail });
            };
            match reader.fill()?.into_future().await? {
                Ok(true) => Ok(at_hand(&reader)),
                Ok(false) => Ok(Ok(Run::new())),
                Err(error) => Ok(Err(error.into())),
            }
        }))
    }
}

/// The records that need no waiting.
fn at_hand(reader: &disky::Reader) -> Result<Run> {
    let mut run = Run::new();
    let take = |records: &Records, number| -> Bytes {
        let range = records.range(number).unwrap_or_default();
        records.data().slice(range)
    };
    while let Next::Record(record) = reader.next_with(take) {
        let place = reader.place().map_err(LoaderError::from)?;
        run.push((record, Place(place.chunk, place.index)));
    }
    Ok(run)
}
