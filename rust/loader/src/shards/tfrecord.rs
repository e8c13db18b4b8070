//! TFRecord files in order, compressed or not.

use std::sync::{Arc, Mutex, PoisonError};

use s3dlio_records::tfrecord::{Position, Stream, StreamOptions};
use s3dlio_store::{StoreError, Uri, Work};

use super::{Place, RecordShards, Run, ShardReader, fingerprint};
use crate::error::{LoaderError, Result};

/// Bytes that a record takes in its file beside its payload: its length and two checksums.
const FRAME: u64 = 16;

/// TFRecord files, each a shard. The numbers of a place are the records and the (decompressed) bytes before it.
#[derive(Debug)]
pub struct TfRecordShards {
    files: Vec<Uri>,
    verify: bool,
    fingerprint: String,
}

impl TfRecordShards {
    /// Files in order; with `verify` both checksums of every record are compared.
    #[must_use]
    pub fn new(files: Vec<Uri>, verify: bool) -> Self {
        Self { fingerprint: fingerprint(&files), files, verify }
    }
}

impl RecordShards for TfRecordShards {
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
        let start = Position { record: at.0, offset: at.1 };
        let opening = Stream::open(uri, StreamOptions { verify: self.verify, start, ..StreamOptions::default() })?;
        Ok(Box::new(Reader { opening: Some(opening), open: Arc::new(Mutex::new((None, at))) }))
    }
}

struct Reader {
    opening: Option<Work<Stream>>,
    /// The stream, and the place of its next record.
    open: Arc<Mutex<(Option<Stream>, Place)>>,
}

impl ShardReader for Reader {
    fn next(&mut self) -> Result<Work<Result<Run>>> {
        let (opening, open) = (self.opening.take(), Arc::clone(&self.open));
        Ok(Work::network(async move {
            let lock = || open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(opening) = opening {
                let stream = opening.into_future().await?;
                lock().0 = Some(stream);
            }
            let Some(stream) = lock().0.clone() else {
                let detail = "opening the shard failed before".into();
                return Err(StoreError::Store { uri: String::new(), detail });
            };
            let records = match stream.batch() {
                Ok(work) => work.into_future().await?,
                Err(error) => Err(error),
            };
            Ok(records.map_err(LoaderError::from).map(|records| {
                let mut open = lock();
                let behind = |record: bytes::Bytes| {
                    let Place(number, offset) = open.1;
                    open.1 = Place(number + 1, offset + FRAME + record.len() as u64);
                    (record, open.1)
                };
                records.into_iter().map(behind).collect()
            }))
        }))
    }
}
