//! Reading some records at once, without a loader.

use std::sync::Arc;

use s3dlio_store::local::{self, Mode};
use s3dlio_store::{Work, ops};

use super::{Access, Record, RecordSource};
use crate::decode::{Decoder, Sample};
use crate::error::{LoaderError, Result};

/// Reads and decodes records in any order: objects `in_flight` at a time, those of files with as few requests as they need.
///
/// # Errors
/// At once: settings that cannot work, an index behind the end. From the work: the first error of a record.
pub fn read(
    source: &Arc<dyn RecordSource>,
    indices: Vec<u64>,
    in_flight: usize,
    decoder: Decoder,
) -> Result<Work<Result<Vec<Sample>>>> {
    let own = Arc::clone(source);
    let decode = move |index: u64, record: Record| match record {
        Record::Array(array) => Ok(Sample::Array(array)),
        Record::Bytes(bytes) => {
            decoder.decode(bytes).map_err(|error| LoaderError::decode(own.name(index), index, &error))
        }
    };
    if let Some(objects) = source.objects(&indices, in_flight) {
        let all = move |objects: Vec<bytes::Bytes>| {
            indices.iter().zip(objects).map(|(&index, bytes)| decode(index, Record::Bytes(bytes))).collect()
        };
        return Ok(objects?.map(all));
    }
    let reader = source.reader()?;
    let (mut alone, mut together, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (place, &index) in indices.iter().enumerate() {
        match reader.access(index)? {
            Access::Together => {
                together.push(index);
                places.push(place);
            }
            access => alone.push((place, access)),
        }
    }
    let together = if together.is_empty() { None } else { Some(reader.read(&together)?) };
    Ok(Work::network(async move {
        let read = async {
            let mut records: Vec<Option<Record>> = vec![None; indices.len()];
            if let Some(together) = together {
                for (place, record) in places.into_iter().zip(together.into_future().await??) {
                    records[place] = Some(record);
                }
            }
            for (place, record) in ops::each(alone, in_flight, one).await? {
                records[place] = Some(record);
            }
            indices.iter().zip(records.into_iter().flatten()).map(|(&index, record)| decode(index, record)).collect()
        };
        Ok(read.await)
    }))
}

async fn one((place, access): (usize, Access)) -> Result<(usize, Record)> {
    let bytes = match access {
        Access::File(path, mode) => file(path, mode).into_future().await?,
        Access::Network(read) => read.await?,
        Access::Together => return Err(LoaderError::System("a record of a file was taken for an object".into())),
    };
    Ok((place, Record::Bytes(bytes)))
}

/// A whole local file, read on the reading pool.
pub(crate) fn file(path: String, mode: Mode) -> Work<bytes::Bytes> {
    Work::pool(move || local::read(&path, 0, None, mode))
}
