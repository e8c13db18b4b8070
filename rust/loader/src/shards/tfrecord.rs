//! TFRecord files in order, compressed or not.

use std::sync::{Arc, Mutex, PoisonError};

use s3dlio_records::tfrecord::{Position, Stream, StreamOptions};
use s3dlio_store::{Uri, Work};

use super::{Files, Opened, Place, RecordShards, Run, ShardReader};
use crate::error::{LoaderError, Result};

/// Bytes that a record takes in its file beside its payload: its length and two checksums.
const FRAME: u64 = 16;

/// TFRecord files, each a shard. The numbers of a place are the records and the (decompressed) bytes before it.
#[derive(Debug)]
pub struct TfRecordShards {
    files: Files,
    verify: bool,
}

impl TfRecordShards {
    /// Files in order; with `verify` both checksums of every record are compared.
    #[must_use]
    pub fn new(files: Vec<Uri>, verify: bool) -> Self {
        Self { files: Files::new(files), verify }
    }
}

impl RecordShards for TfRecordShards {
    fn files(&self) -> &Files {
        &self.files
    }

    fn open(&self, shard: u64, at: Place) -> Result<Box<dyn ShardReader>> {
        let start = Position { record: at.0, offset: at.1 };
        let options = StreamOptions { verify: self.verify, start, ..StreamOptions::default() };
        let opening = Stream::open(self.files.get(shard)?, options)?;
        Ok(Box::new(Reader { stream: Opened::new(opening), place: Arc::new(Mutex::new(at)) }))
    }
}

struct Reader {
    stream: Opened<Stream>,
    /// The place of the next record.
    place: Arc<Mutex<Place>>,
}

impl ShardReader for Reader {
    fn next(&mut self) -> Result<Work<Result<Run>>> {
        let place = Arc::clone(&self.place);
        Ok(self.stream.read(|stream| async move {
            let records = match stream.batch() {
                Ok(work) => work.into_future().await?,
                Err(error) => Err(error),
            };
            Ok(records.map_err(LoaderError::from).map(|records| {
                let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                let behind = |record: bytes::Bytes| {
                    *place = Place(place.0 + 1, place.1 + FRAME + record.len() as u64);
                    (record, *place)
                };
                records.into_iter().map(behind).collect()
            }))
        }))
    }
}
