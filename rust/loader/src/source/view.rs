//! Some records of a source, or all of them several times.

use std::ops::Range;
use std::sync::Arc;

use super::packing::Digest;
use super::{Access, Layout, Reading, RecordReader, RecordSource};
use crate::decode::Decoder;
use crate::error::{LoaderError, Result};

/// Records of a source under new indices.
#[derive(Debug, Clone)]
pub struct View(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Arc<dyn RecordSource>,
    map: Map,
    layout: Option<Layout>,
    fingerprint: String,
}

#[derive(Debug, Clone)]
enum Map {
    Range(Range<u64>),
    List(Arc<[u64]>),
    Repeat { n: u64, times: u64 },
}

impl Map {
    fn len(&self) -> u64 {
        match self {
            Self::Range(range) => range.end - range.start,
            Self::List(indices) => indices.len() as u64,
            Self::Repeat { n, times } => n * times,
        }
    }

    fn inner(&self, index: u64) -> u64 {
        match self {
            Self::Range(range) => range.start.saturating_add(index),
            Self::List(indices) => {
                usize::try_from(index).ok().and_then(|at| indices.get(at)).copied().unwrap_or(u64::MAX)
            }
            Self::Repeat { n, .. } => index.checked_rem(*n).unwrap_or(u64::MAX),
        }
    }
}

impl View {
    /// The records of a range.
    ///
    /// # Errors
    /// [`LoaderError::Config`] for a range that ends before it begins or behind the last record.
    pub fn range(source: Arc<dyn RecordSource>, range: Range<u64>) -> Result<Self> {
        if range.start > range.end || range.end > source.len() {
            let expected = format!("a range within 0..{}", source.len());
            return Err(LoaderError::config("indices", format!("{range:?}"), expected));
        }
        let layout = source.layout().map(|layout| layout.slice(&range));
        let numbers = [1, range.start, range.end];
        Ok(Self::build(source, Map::Range(range), layout, &numbers))
    }

    /// The records of these indices, in this order; they may repeat.
    ///
    /// # Errors
    /// [`LoaderError::Config`] for an index behind the last record.
    pub fn list(source: Arc<dyn RecordSource>, indices: &[u64]) -> Result<Self> {
        let length = source.len();
        if let Some(&wrong) = indices.iter().find(|&&index| index >= length) {
            return Err(LoaderError::config("indices", wrong.to_string(), format!("indices below {length}")));
        }
        // Single records are read by themselves: where they lie in their source says nothing of their order here.
        let layout = source.layout().map(|layout| {
            let mut single = Layout::default();
            single.push_file(indices.iter().map(|&index| (1, layout.record_bytes(index))));
            single
        });
        Ok(Self::build(source, Map::List(indices.into()), layout, indices))
    }

    /// All records `times` times, one pass behind the other.
    ///
    /// # Errors
    /// [`LoaderError::Config`] for no times at all, or more records than can be counted.
    pub fn repeat(source: Arc<dyn RecordSource>, times: u64) -> Result<Self> {
        let n = source.len();
        if times == 0 || n.checked_mul(times).is_none_or(|all| all >= 1 << 63) {
            return Err(LoaderError::config("times", times.to_string(), "at least 1, and below 2^63 records in all"));
        }
        let layout = source.layout().map(|layout| {
            let mut all = Layout::default();
            (0..times).for_each(|_| all.append(layout));
            all
        });
        Ok(Self::build(source, Map::Repeat { n, times }, layout, &[2, times]))
    }

    fn build(source: Arc<dyn RecordSource>, map: Map, layout: Option<Layout>, numbers: &[u64]) -> Self {
        let mut digest = Digest::new([""].into_iter());
        digest.add(source.fingerprint(), &[source.len()]);
        digest.add("", numbers);
        Self(Arc::new(Inner { source, map, layout, fingerprint: digest.finish() }))
    }

    fn inner(&self, index: u64) -> u64 {
        self.0.map.inner(index)
    }
}

impl RecordSource for View {
    fn len(&self) -> u64 {
        self.0.map.len()
    }

    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    fn name(&self, index: u64) -> String {
        self.0.source.name(self.inner(index))
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.0.source.bytes(self.inner(index))
    }

    fn layout(&self) -> Option<&Layout> {
        self.0.layout.as_ref()
    }

    fn decoder(&self) -> Option<Decoder> {
        self.0.source.decoder()
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        Ok(Box::new(Reader { map: self.0.map.clone(), reader: self.0.source.reader()? }))
    }
}

struct Reader {
    map: Map,
    reader: Box<dyn RecordReader>,
}

impl RecordReader for Reader {
    fn access(&self, index: u64) -> s3dlio_store::Result<Access> {
        self.reader.access(self.map.inner(index))
    }

    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let inner: Vec<u64> = indices.iter().map(|&index| self.map.inner(index)).collect();
        self.reader.read(&inner)
    }
}
