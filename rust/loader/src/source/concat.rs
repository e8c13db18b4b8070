//! Several sources as one: behind each other, or mixed by weight.

use std::sync::Arc;

use futures::future::try_join_all;
use s3dlio_store::{StoreError, Work};

use super::packing::Digest;
use super::{Access, Layout, Reading, Record, RecordReader, RecordSource};
use crate::decode::Decoder;
use crate::error::{LoaderError, Result};

/// Largest weight: all weights together are a table's length.
const MAX_WEIGHT: u64 = 1 << 16;

/// The records of several sources behind each other; with weights, each position of an epoch draws from one of them, in
/// the proportion of the weights.
#[derive(Debug, Clone)]
pub struct ConcatSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Vec<Arc<dyn RecordSource>>,
    /// Records of this and all earlier sources.
    ends: Vec<u64>,
    layout: Option<Layout>,
    decoder: Option<Decoder>,
    mixture: Option<Vec<(u64, u64)>>,
    fingerprint: String,
}

impl ConcatSource {
    /// The records of all sources behind each other.
    ///
    /// # Errors
    /// [`LoaderError::Config`] where there is no source, or two need different decoders.
    pub fn new(sources: Vec<Arc<dyn RecordSource>>) -> Result<Self> {
        Self::build(sources, None)
    }

    /// The same as a mixture: each source is drawn from in proportion to its weight.
    ///
    /// # Errors
    /// [`LoaderError::Config`] also where a weight is 0 or above 65,536, there are not as many as sources, or a source has
    /// no records.
    pub fn mix(sources: Vec<Arc<dyn RecordSource>>, weights: &[u64]) -> Result<Self> {
        if weights.len() != sources.len() {
            let expected = format!("{}, one for each data set", sources.len());
            return Err(LoaderError::config("weights", weights.len().to_string(), expected));
        }
        if let Some(&wrong) = weights.iter().find(|&&weight| weight == 0 || weight > MAX_WEIGHT) {
            return Err(LoaderError::config("weights", wrong.to_string(), format!("integers from 1 to {MAX_WEIGHT}")));
        }
        if sources.iter().any(|source| source.is_empty()) {
            return Err(LoaderError::config("weights", "a data set without records", "records in each"));
        }
        Self::build(sources, Some(weights))
    }

    fn build(sources: Vec<Arc<dyn RecordSource>>, weights: Option<&[u64]>) -> Result<Self> {
        if sources.is_empty() {
            return Err(LoaderError::config("sources", "none", "at least one"));
        }
        let mut ends = Vec::with_capacity(sources.len());
        let mut total = 0;
        for source in &sources {
            total += source.len();
            ends.push(total);
        }
        let mut digest = Digest::new([""].into_iter());
        for (number, source) in sources.iter().enumerate() {
            let weight = weights.map_or(0, |weights| weights[number]);
            digest.add(source.fingerprint(), &[source.len(), weight]);
        }
        let mixture =
            weights.map(|weights| sources.iter().map(|source| source.len()).zip(weights.iter().copied()).collect());
        let (layout, decoder) = (layout(&sources), decoder(&sources)?);
        Ok(Self(Arc::new(Inner { sources, ends, layout, decoder, mixture, fingerprint: digest.finish() })))
    }

    /// The number of the source that holds a record, and the record's index there.
    fn locate(&self, index: u64) -> Option<(usize, u64)> {
        let number = self.0.ends.partition_point(|&end| end <= index);
        let before = number.checked_sub(1).map_or(0, |before| self.0.ends[before]);
        (number < self.0.ends.len()).then(|| (number, index - before))
    }

    fn of<T>(&self, index: u64, ask: impl FnOnce(&dyn RecordSource, u64) -> T) -> Option<T> {
        self.locate(index).map(|(number, index)| ask(self.0.sources[number].as_ref(), index))
    }
}

/// Objects of their own are blocks of one record.
fn layout(sources: &[Arc<dyn RecordSource>]) -> Option<Layout> {
    sources.iter().find_map(|source| source.layout())?;
    let mut all = Layout::default();
    for source in sources {
        match source.layout() {
            Some(layout) => all.append(layout),
            None => (0..source.len()).for_each(|index| all.push_block(&[1], source.bytes(index).unwrap_or(0))),
        }
    }
    Some(all)
}

fn decoder(sources: &[Arc<dyn RecordSource>]) -> Result<Option<Decoder>> {
    let first = sources[0].decoder();
    let Some(other) = sources.iter().map(|source| source.decoder()).find(|other| *other != first) else {
        return Ok(first);
    };
    let name = |decoder: Option<Decoder>| decoder.map_or_else(|| "any".to_owned(), |decoder| decoder.to_string());
    let found = format!("data sets that need {} and {}", name(first), name(other));
    Err(LoaderError::config("decoder", found, "data sets that need the same"))
}

impl RecordSource for ConcatSource {
    fn len(&self) -> u64 {
        self.0.ends.last().copied().unwrap_or(0)
    }

    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    fn name(&self, index: u64) -> String {
        self.of(index, |source, index| source.name(index)).unwrap_or_else(|| format!("record {index}"))
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.of(index, |source, index| source.bytes(index)).flatten()
    }

    fn layout(&self) -> Option<&Layout> {
        self.0.layout.as_ref()
    }

    fn decoder(&self) -> Option<Decoder> {
        self.0.decoder.clone()
    }

    fn mixture(&self) -> Option<&[(u64, u64)]> {
        self.0.mixture.as_deref()
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        let readers = self.0.sources.iter().map(|source| source.reader()).collect::<s3dlio_store::Result<_>>()?;
        Ok(Box::new(Reader { source: self.clone(), readers }))
    }
}

struct Reader {
    source: ConcatSource,
    readers: Vec<Box<dyn RecordReader>>,
}

impl RecordReader for Reader {
    fn access(&self, index: u64) -> s3dlio_store::Result<Access> {
        match self.source.locate(index) {
            Some((number, index)) => self.readers[number].access(index),
            None => Err(StoreError::InvalidUri {
                uri: format!("record {index}"),
                reason: format!("the data set has {} records", self.source.len()),
            }),
        }
    }

    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let mut wanted: Vec<(Vec<u64>, Vec<usize>)> = vec![<_>::default(); self.readers.len()];
        for (place, &index) in indices.iter().enumerate() {
            let Some((number, index)) = self.source.locate(index) else {
                let detail = format!("record {index} of {}", self.source.len());
                return Err(StoreError::Unsupported { uri: String::new(), detail }.into());
            };
            wanted[number].0.push(index);
            wanted[number].1.push(place);
        }
        let mut parts = Vec::new();
        for (reader, (indices, places)) in self.readers.iter().zip(wanted) {
            if !indices.is_empty() {
                let read = reader.read(&indices)?.into_future();
                parts.push(async move { Ok::<_, LoaderError>((read.await??, places)) });
            }
        }
        let total = indices.len();
        Ok(Work::network(async move {
            Ok(try_join_all(parts).await.map(|parts| {
                let mut results: Vec<Option<Record>> = vec![None; total];
                for (records, places) in parts {
                    for (place, record) in places.into_iter().zip(records) {
                        results[place] = Some(record);
                    }
                }
                results.into_iter().flatten().collect()
            }))
        }))
    }
}
