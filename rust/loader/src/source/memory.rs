//! Records that are given as bytes.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_store::{StoreError, Work};

use super::packing::{Digest, Kind, Packer, Unpacker};
use super::{Access, RecordReader, RecordSource};
use crate::error::{LoaderError, Result};

/// Bytes in memory, each a record: for tests, and for programs that fetch their objects themselves.
#[derive(Debug, Clone)]
pub struct MemorySource {
    records: Arc<Vec<Bytes>>,
    fingerprint: String,
}

impl MemorySource {
    /// These records in this order.
    ///
    /// # Errors
    /// [`LoaderError::Config`] where there are none.
    pub fn new(records: Vec<Bytes>) -> Result<Self> {
        if records.is_empty() {
            return Err(LoaderError::config("items", "an empty list", "at least one"));
        }
        let mut digest = Digest::new(std::iter::empty());
        records.iter().for_each(|record| digest.content(record));
        Ok(Self { records: Arc::new(records), fingerprint: digest.finish() })
    }

    pub(super) fn unpack(mut from: Unpacker<'_>) -> Option<Self> {
        let mut records = Vec::new();
        for _ in 0..from.number()? {
            records.push(Bytes::copy_from_slice(from.bytes()?));
        }
        Self::new(records).ok()
    }

    fn record(&self, index: u64) -> Option<&Bytes> {
        self.records.get(usize::try_from(index).ok()?)
    }

    fn behind(&self, index: u64) -> StoreError {
        let detail = format!("there are {} records", self.records.len());
        StoreError::NotFound { uri: self.name(index), detail }
    }

    fn found(&self, index: u64) -> s3dlio_store::Result<Bytes> {
        self.record(index).cloned().ok_or_else(|| self.behind(index))
    }
}

impl RecordSource for MemorySource {
    fn len(&self) -> u64 {
        self.records.len() as u64
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn name(&self, index: u64) -> String {
        format!("bytes:{index}")
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.record(index).map(|record| record.len() as u64)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let mut packer = Packer::new(Kind::Memory);
        packer.number(self.len());
        self.records.iter().for_each(|record| packer.bytes(record));
        Some(packer.done())
    }

    fn objects(&self, indices: &[u64], _in_flight: usize) -> Option<Result<Work<Vec<Bytes>>>> {
        let found: s3dlio_store::Result<Vec<Bytes>> = indices.iter().map(|&index| self.found(index)).collect();
        Some(found.map(|records| Work::here(move || Ok(records))).map_err(LoaderError::from))
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        Ok(Box::new(Reader(self.clone())))
    }
}

struct Reader(MemorySource);

impl RecordReader for Reader {
    fn access(&self, index: u64) -> s3dlio_store::Result<Access> {
        let record = self.0.found(index)?;
        Ok(Access::Network(Box::pin(ready(Ok(record)))))
    }
}
