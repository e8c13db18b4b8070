//! Disky files in order.

use bytes::Bytes;
use s3dlio_formats::riegeli::Records;
use s3dlio_records::disky::{self, Next, OnDamage};
use s3dlio_store::{Uri, Work};

use super::{Files, Opened, Place, RecordShards, Run, ShardReader};
use crate::error::{LoaderError, Result};

/// Disky files, each a shard. The numbers of a place are the byte at which its chunk begins, and the records of the chunk
/// before it.
#[derive(Debug)]
pub struct DiskyShards(Files);

impl DiskyShards {
    /// Files in order.
    #[must_use]
    pub fn new(files: Vec<Uri>) -> Self {
        Self(Files::new(files))
    }
}

impl RecordShards for DiskyShards {
    fn files(&self) -> &Files {
        &self.0
    }

    fn open(&self, shard: u64, at: Place) -> Result<Box<dyn ShardReader>> {
        let place = disky::Place { chunk: at.0, index: at.1 };
        let opening = disky::Reader::open(self.0.get(shard)?, place, OnDamage::Stop)?;
        Ok(Box::new(Reader(Opened::new(opening))))
    }
}

struct Reader(Opened<disky::Reader>);

impl ShardReader for Reader {
    fn next(&mut self) -> Result<Work<Result<Run>>> {
        Ok(self.0.read(|reader| async move {
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
